"""Pieces of Markdown: tables, and values as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpgaml.errors import printable
from fpgaml.metrics import Estimate, Target
from fpgaml.search_options import METRICS

_SPECIAL = re.compile(
    r"""
    (?P<unit>\[[A-Za-z0-9 /%]+\])(?![(\[:])  # stays as it is
    | [\\`*\[\]~$@]             # code, emphasis, links, formulas, mentions
    | (?<![^\W_])_ | _(?![^\W_])  # emphasis, but not inside a word
    | <(?=[A-Za-z/!?])            # tags
    | &(?=[#A-Za-z])              # entities
    | {(?=[{%])                   # MyST's substitutions
    | :(?=//) | (?<=www)\.        # addresses
    | (?<=\))=                    # MyST's targets
    | ^[#>=%:]                    # what begins a block
    | ^[-+](?![\w.]) | (?<=^\d)[.)](?=\s|$)
    """,
    re.VERBOSE,
)
"""What Markdown would read as more than text."""


def escape(text: object, limit: int = 400) -> str:
    r"""Text from outside as Markdown that shows it as it is, on one line.

    Parameters
    ----------
    text : object
        A name, a path, a value: whatever fpgaml has not written itself.
    limit : int
        Characters to show.

    >>> print(escape("<b>jet_pt</b> [GeV], [x](http://y)"))
    \<b>jet_pt\</b> [GeV], \[x\](http\://y)
    """
    shown = " ".join(printable(text, limit).split())  # blanks in front would make it code, or its bold stars stars
    return _SPECIAL.sub(lambda found: found["unit"] or f"\\{found[0]}", shown)


def code(text: object, limit: int = 400) -> str:
    """Text from outside as code in a line of Markdown.

    >>> print(code("a`b"), code("c"))
    `` a`b `` `c`
    """
    shown = printable(text, limit)
    if "`" not in shown:
        return f"`{shown}`" if shown.strip() else escape(shown)
    fence = _fence(shown, 1)
    return f"{fence} {shown} {fence}"


def code_block(text: str) -> str:
    """Lines from outside as a block of code in Markdown."""
    shown = "\n".join(printable(line, 2_000) for line in text.split("\n"))
    fence = _fence(shown, 3)
    return f"{fence}\n{shown}\n{fence}"


def _fence(text: str, least: int) -> str:
    """More backticks than stand anywhere in a row."""
    return "`" * max(least, 1 + max((len(run) for run in re.findall("`+", text)), default=0))


def target_text(target: Target) -> str:
    """A target as people say it: "10 kHz", or "background efficiency 0.01"."""
    return f"{target.value:g} kHz" if target.kind == "rate_khz" else f"background efficiency {target.value:g}"


def estimate_text(estimate: Estimate, *, digits: int = 4) -> str:
    """Value and interval with so many decimals; a limit where there is only one end."""
    if math.isnan(estimate.value):
        return f"> {estimate.low:.{digits}f}" if not math.isnan(estimate.low) else "not measurable"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def compatible_text(smallest: float | None) -> str:
    """What is said of a difference that may be zero, with the smallest that would have been seen.

    >>> compatible_text(0.01234)
    'statistically compatible; a difference of 0.0123 would have been seen'
    """
    seen = "" if smallest is None else f"; a difference of {smallest:.4f} would have been seen"
    return f"statistically compatible{seen}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells are Markdown, so text from outside must have been escaped."""
    lines = [list(headers), ["---"] * len(headers), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def words(key: str) -> str:
    """A JSON key as words; a unit at its end goes into brackets."""
    for unit, shown in (
        ("_per_s", " per second"),
        ("_khz", " [kHz]"),
        ("_gev", " [GeV]"),
        ("_gib", " [GiB]"),
        ("_mb", " [mb]"),
        ("_s", " [s]"),
    ):
        if key.endswith(unit):
            return key.removesuffix(unit).replace("_", " ") + shown
    return key.replace("_", " ")


def cost_text(name: str) -> str:
    """The name of a cost for people; what a backend predicts says so.

    >>> cost_text("lut"), cost_text("ebops"), cost_text("weight_bits")
    ('predicted LUT', 'EBOPs', 'weight bits')
    """
    predicted = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM (18 Kibit)", "latency_ns": "latency (ns)"}
    predicted |= {"latency_cycles": "latency (cycles)", "interval_cycles": "interval (cycles)"}
    if name in predicted:
        return f"predicted {predicted[name]}"
    return words(name).replace("bops", "BOPs").replace("eB", "EB")


def aim_text(objective: str, limits: Sequence[str]) -> str:
    """What a search looks for.

    >>> aim_text("lut", ["signal_efficiency >= 0.4"])
    'minimises predicted LUT with signal_efficiency >= 0.4'
    >>> aim_text("auc", [])
    'maximises auc'
    """
    kept = f" with {', '.join(limits)}" if limits else ""
    if objective in METRICS:
        return f"{'minimises' if objective == 'val_loss' else 'maximises'} {words(objective)}{kept}"
    return f"minimises {cost_text(objective)}{kept}"


def score_text(objective: str, metric: str) -> str:
    """What heads a column of scores: the metric as well, where the objective is a cost.

    >>> score_text("auc", "auc"), score_text("lut", "signal_efficiency"), score_text("lut", "val_loss")
    ('score', 'score (signal efficiency)', 'score (−val loss)')
    """
    if objective in METRICS:
        return "score"
    return f"score ({'−' if metric == 'val_loss' else ''}{words(metric)})"


def quantity_text(name: str) -> str:
    """A quantity as an axis calls it: "HT [GeV]"."""
    return printable(re.sub(r"^ht\b", "HT", words(name)), 60)


def plain(value: Any) -> str:
    """A JSON value for people; what is long is cut, because the JSON files have it whole."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        text = ", ".join(f"{words(str(key))} {plain(item)}" for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        nested = any(isinstance(item, Mapping) for item in value)
        text = "; ".join(map(plain, value)) if nested else "(" + ", ".join(map(plain, value)) + ")"
    else:
        text = str(value)
    return text if len(text) <= 400 else text[:400] + " …"


def choice_text(value: Any) -> str:
    """A value of a choice, short: bits as (8, 2), a layer as its kind with what belongs to it."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{key} {choice_text(item)}" for key, item in value.items() if key != "kind")
        return " ".join(filter(None, (str(value.get("kind", "")), rest)))
    return "none" if value is None else plain(value)
