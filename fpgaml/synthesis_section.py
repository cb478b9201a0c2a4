"""What a report says of the synthesis of a network, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpgaml.synthesis import FIGURES, Synthesis
from fpgaml.tables import code, escape, plain, table

NONE = "Not synthesized yet: `fpgaml synthesize` does it, with AMD's tools or, for a pipeline in Verilog, without them."
MEANING = """\
Figures of different origins are not the same quantity: before place and route they are estimates. Latency in ns is at
the clock period that was asked for; the clock estimate is what the origin thinks is possible."""


def synthesis_section(syntheses: Sequence[Mapping[str, Any]]) -> str:
    """The text of the section.

    Parameters
    ----------
    syntheses : sequence of mapping
        What the files in ``synthesis/`` of a run hold, one for each backend.

    Raises
    ------
    OutputError
        One of them holds no synthesis.
    """
    if not syntheses:
        return NONE
    parts = []
    for found in syntheses:
        parts += [f"### {escape(found['backend'])}", _agreement(found)]
        if found["synthesis"] is None:
            parts.append("No step has been run yet.")
        else:
            parts += _steps(Synthesis.from_json(found["synthesis"]))
    return "\n\n".join([*parts, MEANING])


def _agreement(found: Mapping[str, Any]) -> str:
    project, agreement = f"Project {code(found['project'])}", found["agreement"]
    if agreement is None:
        return f"{project}, which has not been compared with the model."
    composition = agreement.get("composition", {})
    kinds = {"test": "test events", "other": "others of the data set", "drawn": "drawn over the words of the inputs"}
    parts = ", ".join(f"{composition[kind]:,} {text}" for kind, text in kinds.items() if composition.get(kind))
    events = f"{agreement['events']:,} events" + (f" ({parts})" if parts else "")
    return f"{project}: {agreement['mismatches']:,} of {agreement['words']:,} words differ over {events}."


def _steps(found: Synthesis) -> list[str]:
    tool = f"{found.tool} {found.version}" if found.version else f"{found.tool}, which is not there"
    named = [dict(step.resources.rows()) if step.resources is not None else {} for step in found.steps]
    shares = [{FIGURES[key]: share for key, share in step.utilisation.items()} for step in found.steps]
    figures = list(dict.fromkeys(name for rows in named for name in rows))
    rows = [
        [
            step.step,
            step.status,
            "" if step.wall_s is None else f"{step.wall_s:.0f}",
            *(_figure(known.get(name, ""), share.get(name)) for name in figures),
            "" if step.resources is None else step.resources.origin,
        ]
        for step, known, share in zip(found.steps, named, shares, strict=True)
    ]
    headers = ["step", "status", "seconds", *figures, "figures from"]
    clock = f"clock period {plain(found.clock_period_ns)} ns"
    messages: dict[str, list[str]] = {}
    for step in found.steps:
        if step.message:
            messages.setdefault(step.message, []).append(step.step)
    told = "\n".join(f"- {', '.join(steps)}: {escape(message)}" for message, steps in messages.items())
    return [f"{escape(tool)}; part {code(found.part)}, {clock}.", table(headers, rows), *([told] if told else [])]


def _figure(value: str, share: float | None) -> str:
    """A figure with its share of the part, where the report tells it."""
    return value if not value or share is None else f"{value} ({100 * share:.2g} %)"
