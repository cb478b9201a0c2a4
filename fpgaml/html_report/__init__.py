"""The report of a run as one page: charts that answer, tables that sort, nothing fetched from anywhere.

The words are those of ``report.md``; what is drawn comes from the same evaluation. The page holds its own copy of the
chart library, Vega-Lite, so that it opens offline.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import markdown_it

from fpgaml.evaluation import Evaluation
from fpgaml.html_report import layer_charts, page_facts, performance_charts, training_charts
from fpgaml.html_report.search_view import FIGURES, SearchView, search_view
from fpgaml.html_report.vega import CONFIG, LABELS, Spec
from fpgaml.layer_profile import LayerProfile
from fpgaml.runs import Run
from fpgaml.tables import estimate_text, target_text, words

__all__ = ["render_html"]

_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n\n\*[^\n]*\*\n*")


def render_html(run: Run, evaluation: Evaluation, *, markdown: str, profile: LayerProfile | str) -> str:
    """The page, as it is to be written into a file.

    Parameters
    ----------
    run, evaluation
        What it is about.
    markdown : str
        The report as Markdown: every section of it is on the page.
    profile : LayerProfile or str
        What the layers do with their bits, or why that is not known.
    """
    searched = search_view(run)
    texts = sections(markdown)
    opening, *notes = texts.pop("").split("\n\n> ")
    turn_on = page_facts.turn_on_curves(run, evaluation)
    drawn = _charts(run, evaluation, searched, profile, turn_on)
    certificate = run.agreement
    return _template().render(
        title=_title(opening),
        notes=[_html(note) for note in notes],
        headline=[
            {
                "model": LABELS[model],
                "estimate": evaluation.performance(model).signal_efficiency,
                "text": estimate_text(evaluation.performance(model).signal_efficiency),
            }
            for model in evaluation.models
        ],
        target=target_text(evaluation.targets[0]),
        level=f"{100 * evaluation.level:.0f}",
        verdict=_html(_verdict(opening)),
        status="unknown" if certificate is None else "agrees" if certificate["mismatches"] == 0 else "differs",
        certificate=certificate,
        labels=LABELS,
        drawn=drawn,
        texts={name: _html(text) for name, text in texts.items()},
        rest=[name for name in texts if name not in _PLACED],
        search=searched,
        columns=FIGURES,
        profile=profile if isinstance(profile, LayerProfile) else None,
        no_profile=profile if isinstance(profile, str) else "",
        confusion=page_facts.confusion(run, evaluation),
        turn_on={name: _quantity(name) for name in turn_on},
        curves=page_facts.curve_figures(run.histories),
        study=_study(run.directory),
        command=run.environment.get("command") or "",
        style=_part("style.css"),
        script=_part("page.js"),
        library=chart_library(),
        page=_embedded({"config": CONFIG, "charts": drawn, "curves": searched.curves if searched else ""}),
    )


def sections(markdown: str) -> dict[str, str]:
    """The text of every section of a report by its heading, the part before the first one under no name.

    Pictures and their captions are left out: the page draws its own.
    """
    parts = re.split(r"^## (.+)$", _PICTURE.sub("", markdown), flags=re.MULTILINE)
    found = {"": parts[0].strip()}
    found |= {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    return {name: text for name, text in found.items() if text or not name}


_PLACED = {
    "Working points",
    "Differences in signal efficiency",
    "Network",
    "Search",
    "Winners",
    "Data",
    "Training",
    "C-simulation",
    "Environment",
    "What the intervals mean",
    "Limits",
}
"""Sections that have their place on the page; others, should there ever be any, come at the end."""


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
    profile: LayerProfile | str,
    turn_on: dict[str, dict[str, Any]],
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
    if isinstance(profile, LayerProfile):
        drawn["bits"] = layer_charts.bits_chart(profile.uses)
        drawn["cost"] = layer_charts.cost_chart(profile.costs)
        drawn |= {f"weights-{found.layer}": layer_charts.weights_chart(found) for found in profile.weights}
    for name, curves in turn_on.items():
        drawn[f"turn-on-{name}"] = performance_charts.turn_on_chart(curves, quantity=_quantity(name))
    return drawn


def _quantity(name: str) -> str:
    """A quantity as an axis calls it: "HT [GeV]"."""
    return re.sub(r"^ht\b", "HT", words(name))


def _title(opening: str) -> str:
    return opening.split("\n", 1)[0].removeprefix("# ").removesuffix(": report")


def _verdict(opening: str) -> str:
    """What the headline says of the agreement: the sentences after the efficiencies."""
    bold = opening.split("**")[1]
    found = re.search(r"(Firmware and|FIRMWARE AND|No C-simulation).*", bold, flags=re.DOTALL)
    return found[0] if found else bold


def _study(directory: Path) -> str:
    return (directory / "study.yaml").read_text(encoding="utf-8")


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
