"""The report of a run as one page: charts that answer, tables that sort, nothing fetched from anywhere.

The words are those of ``report.md``; what is drawn comes from the same evaluation. The page holds its own copy of the
chart library, Vega-Lite, so that it opens offline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import markdown_it

from fpgaml.evaluation import Evaluation
from fpgaml.html_report import layer_charts, page_facts, performance_charts, training_charts
from fpgaml.html_report.search_view import SearchView, search_view
from fpgaml.html_report.vega import CONFIG, LABELS, Spec
from fpgaml.layer_profile import LayerProfile
from fpgaml.markdown import ReportText, agreement_text
from fpgaml.metrics import TurnOnCurve
from fpgaml.runs import Run
from fpgaml.storage import file_name
from fpgaml.tables import quantity_text, target_text

__all__ = ["render_html"]


def render_html(
    run: Run,
    evaluation: Evaluation,
    *,
    text: ReportText,
    profile: LayerProfile | None,
    turn_on: Mapping[str, Mapping[str, TurnOnCurve]],
) -> str:
    """The page, as it is to be written into a file.

    Parameters
    ----------
    run, evaluation
        What it is about.
    text : ReportText
        What ``report.md`` says: every section of it is on the page.
    profile : LayerProfile, optional
        What the layers do with their bits, if it is known.
    turn_on : mapping of quantity to mapping of model to TurnOnCurve
        As ``turn_on_curves`` gives them.
    """
    searched = search_view(run)
    drawn = _charts(run, evaluation, searched, profile, turn_on)
    certificate = run.agreement
    return _template().render(
        title=text.title,
        notes=[_html(note) for note in text.notes],
        headline=[
            {"model": LABELS[model], "estimate": evaluation.performance(model).signal_efficiency}
            for model in evaluation.models
        ],
        target=target_text(evaluation.targets[0]),
        level=f"{100 * evaluation.level:.0f}",
        verdict=_html(agreement_text(certificate)),
        status="unknown" if certificate is None else "agrees" if certificate["mismatches"] == 0 else "differs",
        certificate=certificate,
        labels=LABELS,
        drawn=drawn,
        texts={name: _html(section) for name, section in text.sections.items()},
        search=searched,
        profile=profile,
        confusion=page_facts.confusion(run, evaluation),
        turn_on={file_name(name): quantity_text(name) for name in turn_on},
        curves=page_facts.curve_figures(run.histories),
        study=(run.directory / "study.yaml").read_text(encoding="utf-8"),
        command=run.environment.get("command") or "",
        style=_part("style.css"),
        script=_part("page.js"),
        library=chart_library(),
        page=_embedded({"config": CONFIG, "charts": drawn, "curves": searched.curves if searched else ""}),
    )


@cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    # only the end of the script element may not stand in it
    library = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub knows no default
    return library.replace("</script", "<\\/script")


def _charts(
    run: Run,
    evaluation: Evaluation,
    searched: SearchView | None,
    profile: LayerProfile | None,
    turn_on: Mapping[str, Mapping[str, TurnOnCurve]],
) -> dict[str, Spec]:
    """Every chart by the name of its place."""
    shares, edges = page_facts.score_shares(run, evaluation)
    headline = evaluation.performance("qkeras")
    drawn = {
        "efficiency": performance_charts.efficiency_chart(evaluation),
        "rejection": performance_charts.rejection_chart(evaluation),
        "scores": performance_charts.score_chart(
            shares,
            edges,
            threshold=headline.threshold,
            threshold_label=f"{LABELS[headline.model]} at {target_text(headline.target)}",
        ),
    }
    if run.histories:
        drawn["training-loss"] = training_charts.training_chart(run.histories, quantity="loss", title="Loss")
        kept = {name: history for name, history in run.histories.items() if history.get("accuracy")}
        if kept:
            drawn["training-accuracy"] = training_charts.training_chart(kept, quantity="accuracy", title="Accuracy")
    if searched is not None:
        drawn["front"] = training_charts.front_chart(searched)
        if searched.curves.count("\n") > 1:
            loss = {"val_loss": "validation", "loss": "training"}
            drawn["trial-loss"] = training_charts.trial_curves_chart(searched, quantities=loss, title="Loss")
            efficiency = {"signal_efficiency_smooth": "smoothed", "signal_efficiency": "each epoch"}
            drawn["trial-efficiency"] = training_charts.trial_curves_chart(
                searched, quantities=efficiency, title="Signal efficiency ε_s on validation"
            )
    if profile is not None:
        drawn["bits"] = layer_charts.bits_chart(profile.uses)
        drawn["cost"] = layer_charts.cost_chart(profile.costs)
        drawn |= {f"weights-{found.layer}": layer_charts.weights_chart(found) for found in profile.weights}
    for name, curves in turn_on.items():
        drawn[f"turn-on-{file_name(name)}"] = performance_charts.turn_on_chart(curves, quantity=quantity_text(name))
    return drawn


def _embedded(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _markdown() -> markdown_it.MarkdownIt:
    return markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")


def _html(text: str) -> str:
    """Markdown as HTML; wide tables scroll by themselves, and with the keyboard."""
    rendered = str(_markdown().render(text))
    rendered = rendered.replace("<table>", '<div class="wide" tabindex="0"><table>')
    return rendered.replace("</table>", "</table></div>")


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part("page.html"))
