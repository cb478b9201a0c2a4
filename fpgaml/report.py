"""One report per run: ``summary.json`` for machines, ``report.md`` and four figures for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.evaluation import Evaluation, evaluate
from fpgaml.markdown import render
from fpgaml.runs import Run, load_run
from fpgaml.storage import write_json, write_text

__all__ = ["Report", "Run", "load_run", "summarize", "write_report"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """A report that has been written.

    Parameters
    ----------
    directory : Path
        The run's.
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


def write_report(directory: Path, *, trial: str | None = None, replicas: int = 300) -> Report:
    """Judge what a run has left and write the report into its directory.

    A run that has no float twin or no csim yet gets a report that says so.

    Parameters
    ----------
    directory, trial
        See ``load_run``.
    replicas : int
        See ``evaluate``.

    Raises
    ------
    OutputError
        As ``load_run``, or the report cannot be written.
    DataError
        As ``evaluate``.
    """
    run = load_run(directory, trial=trial)
    evaluation = evaluate(run.events, run.scores, run.targets, replicas=replicas)
    figures = _draw(run, evaluation)
    summary = summarize(run, evaluation)
    markdown = render(run, evaluation, summary, figures=tuple(path for path in figures if path.suffix == ".png"))
    write_text(run.directory / "report.md", markdown)
    write_json(run.directory / "summary.json", summary)
    return Report(directory=run.directory, evaluation=evaluation, summary=summary, markdown=markdown, figures=figures)


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
        }
    return {
        "study": run.study.get("study"),
        "task": run.dataset.get("task"),
        "dataset": {
            "sha256": run.dataset.get("sha256"),
            "test_signal": run.events.count("test", signal=True),
            "test_background": run.events.count("test", signal=False),
        },
        "search": {key: run.search[key] for key in ("trials", "failed", "epochs", "wall_s")}
        if run.search
        else {"trials": 1, "epochs": sum(epochs.values()), "wall_s": sum(run.trained.get("wall_s", {}).values())},
        "winner": {
            "trial": run.trial,
            "choices": run.architecture.get("choices", {}),
            "parameters": cost.get("parameters"),
            "ebops": cost.get("ebops"),
            "cost": cost,
        },
        "working_point": {headline.kind: headline.value},
        "signal_efficiency": efficiencies,
        "evaluation": evaluation.to_json(),
        "csim": None if run.agreement is None else {**run.agreement, "scores_differing": _scores_differing(run)},
        "hls_project": None if run.hls_project is None else run.hls_project.relative_to(run.directory).as_posix(),
    }


def _scores_differing(run: Run) -> int:
    """Test events whose csim score is not the QKeras score on disk: a check that does not go through the agreement."""
    return int(np.count_nonzero(run.scores["csim"].test != run.scores["qkeras"].test))


def _draw(run: Run, evaluation: Evaluation) -> tuple[Path, ...]:
    from fpgaml import figures

    tested = run.events.chosen("test")
    points, headline = evaluation.performances, evaluation.performance("qkeras")
    drawn = {
        "signal_efficiency": figures.signal_efficiency_curve(evaluation.curves, working_points=points),
        "background_rejection": figures.background_rejection_curve(evaluation.curves, working_points=points),
    }
    if run.histories:
        drawn["training"] = figures.training_curves(run.histories)
    drawn["scores"] = figures.score_distributions(
        {name: run.scores[name].test for name in evaluation.models},
        run.events.y[tested],
        weights=None if run.events.weights is None else run.events.weights[tested],
        threshold=headline.threshold,
        threshold_label=f"QKeras at {headline.target.value:g} kHz"
        if headline.target.kind == "rate_khz"
        else rf"QKeras at $\varepsilon_b$ = {headline.target.value:g}",
    )
    return tuple(path for name, axes in drawn.items() for path in figures.save(axes, run.directory / "figures" / name))
