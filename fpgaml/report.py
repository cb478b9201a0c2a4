"""One report per run: ``summary.json`` for machines, ``report.html``, ``report.md`` and figures for people."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fpgaml import figures
from fpgaml.certificate_section import certificate_digests
from fpgaml.environment import load_tensorflow
from fpgaml.errors import FpgamlError
from fpgaml.evaluation import Evaluation, evaluate
from fpgaml.html_report import render_html
from fpgaml.layer_profile import LayerProfile, profile_layers
from fpgaml.markdown import report_text
from fpgaml.report_figures import report_figures
from fpgaml.runs import Run, load_run
from fpgaml.storage import read_json, write_json, write_text
from fpgaml.tables import escape
from fpgaml.train import TrainedModel
from fpgaml.turn_on import turn_on_curves

__all__ = ["Report", "Run", "load_run", "summarize", "write_report"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """A report that has been written.

    Parameters
    ----------
    directory : Path
        Where it stands.
    evaluation : Evaluation
        The numbers behind it.
    summary : mapping
        What ``summary.json`` holds.
    markdown : str
        What ``report.md`` holds.
    figures : tuple of Path
        PNG and PDF files.
    """

    directory: Path
    evaluation: Evaluation
    summary: Mapping[str, Any]
    markdown: str
    figures: tuple[Path, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether csim and QKeras model agree on every word; None where no csim has run."""
        found = self.summary["csim"]
        return None if found is None else found["mismatches"] == 0

    @property
    def page(self) -> Path:
        """``report.html``."""
        return self.directory / "report.html"

    def _repr_html_(self) -> str:
        """For notebooks: the headline, and where the page is."""
        headline = self.markdown.split("**")[1]
        page = html.escape(self.page.as_posix())
        return f'<p><strong>{html.escape(headline)}</strong></p><p><a href="{page}">{page}</a></p>'


def write_report(
    directory: Path,
    *,
    trial: str | None = None,
    replicas: int = 300,
    inputs: Callable[[], ArrayLike] | None = None,
) -> Report:
    """Judge what a run has left and write the report into its directory, or into ``reports/<trial>`` of it.

    A run that has no float twin or no csim yet gets a report that says so.

    Parameters
    ----------
    directory : Path
        The run's.
    trial : str, optional
        What the run has come to if not given; its report stands in the run's directory itself.
    replicas : int
        See ``evaluate``.
    inputs : callable, optional
        Gives the inputs of validation events, shape (n_events, *input_shape), to see which values the layers have. It
        is called only if nobody has looked yet: what was seen is kept in ``layers.json`` beside the weights. Without
        either, and where it raises an error for people, the report shows weights only and says why.

    Raises
    ------
    OutputError
        As ``load_run``, or the report cannot be written.
    DataError
        As ``evaluate``.
    """
    run = load_run(directory, trial=trial)
    evaluation = evaluate(run.events, run.scores, run.targets, replicas=replicas)
    place = run.directory if trial is None else run.directory / "reports" / trial
    summary = summarize(run, evaluation)
    trained, profile, note = _look_into(run, inputs)
    drawn = report_figures(run, evaluation, trained=trained, profile=profile)
    files = tuple(path for figure in drawn for path in figures.save(figure.axes, place / "figures" / figure.name))
    turn_on = turn_on_curves(run, evaluation)
    text = report_text(run, evaluation, summary, profile=profile, profile_note=note, turn_on=turn_on)
    pictures: dict[str, list[str]] = {}
    for figure in drawn:
        pictures.setdefault(figure.section, []).append(figure.markdown)
    markdown = text.markdown(pictures)
    write_text(place / "report.md", markdown)
    write_text(place / "report.html", render_html(run, evaluation, text=text, profile=profile, turn_on=turn_on))
    write_json(place / "summary.json", summary)
    return Report(directory=place, evaluation=evaluation, summary=summary, markdown=markdown, figures=files)


def summarize(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """What ``summary.json`` holds; what a run does not have is null."""
    headline = run.targets[0]
    cost, epochs = run.trained.get("cost", {}), run.trained.get("epochs", {})
    efficiencies: dict[str, Any] = dict.fromkeys(("float", "qkeras", "csim"))
    for model in evaluation.models:
        found = evaluation.performance(model)
        achieved = found.achieved.to_json()
        efficiencies[model] = {
            **found.signal_efficiency.to_json(),
            f"achieved_{headline.kind}": achieved["value"],
            f"achieved_{headline.kind}_low": achieved["low"],
            f"achieved_{headline.kind}_high": achieved["high"],
            "threshold": found.threshold,
            "validation_background": found.validation_background.to_json(),
            "test_background": found.test_background.to_json(),
        }
    return {
        "study": run.study.get("study"),
        "task": run.dataset.get("task"),
        "dataset": {
            "sha256": run.dataset.get("sha256"),
            "test_signal": run.events.count("test", signal=True),
            "test_background": run.events.count("test", signal=False),
        },
        "search": {key: value for key, value in run.search.items() if key != "compared"}
        if run.search
        else {"trials": 1, "epochs": sum(epochs.values()), "wall_s": sum(run.trained.get("wall_s", {}).values())},
        "winner": {
            "trial": run.trial,
            "choices": run.architecture.get("choices", {}),
            "parameters": cost.get("parameters"),
            "ebops": cost.get("ebops"),
            "cost": cost,
        },
        "winners": None if run.winners is None else run.winners["winners"],
        "float_twin": None if run.winners is None else run.winners["float_twin"],
        "working_point": {headline.kind: headline.value},
        "signal_efficiency": efficiencies,
        "evaluation": evaluation.to_json(),
        "csim": None if run.agreement is None else {**run.agreement, "scores_differing": _scores_differing(run)},
        "hls_project": None if run.hls_project is None else run.hls_project.relative_to(run.directory).as_posix(),
        "certificates": certificate_digests(run.directory, run.trial),
    }


def _scores_differing(run: Run) -> int:
    """Test events whose csim score is not the QKeras score on disk: a check that does not go through the agreement."""
    return int(np.count_nonzero(run.scores["csim"].test != run.scores["qkeras"].test))


def _look_into(
    run: Run, inputs: Callable[[], ArrayLike] | None
) -> tuple[TrainedModel | None, LayerProfile | None, str]:
    """The network, what its layers do with their bits, and what of that is not known, and why."""
    folder = run.directory / "trials" / run.trial
    kept = folder / "layers.json"
    if not (folder / "weights_qkeras.npz").exists():
        return None, None, "The weights of this network were not kept, so nothing is known of its layers."
    try:
        trained = TrainedModel.load(folder)
    except FpgamlError as error:
        return None, None, f"The weights of this network cannot be read: {escape(error, 500)}"
    try:
        if kept.exists():
            return trained, LayerProfile.from_json(read_json(kept)), ""
        if inputs is None:
            reason = "no events were at hand to look at inputs and activations on."
            return trained, profile_layers(trained), f"Only weights are shown: {reason}"
        load_tensorflow()
        found = profile_layers(trained, inputs())
    except FpgamlError as error:
        return trained, profile_layers(trained), f"Only weights are shown, because of this: {escape(error, 500)}"
    write_json(kept, found.to_json())
    return trained, found, ""
