"""What a report says of the layers of a network and of the bits that they use, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from fpgaml.layer_profile import LayerCost, LayerProfile
from fpgaml.tables import code, escape, table
from fpgaml.word_use import WordUse

MEANING = """\
{events}Magnitudes are typically from 5 % to 95 % of those that are not zero. Saturated: beyond the range (what a ReLU
makes zero is not counted). Zeroed: made zero by rounding alone. Zero: for whatever reason. In bold: more than one bit
that is never needed, or more than 1 % saturated."""


def layer_section(profile: LayerProfile | None, note: str = "") -> str:
    """The text of the section.

    Parameters
    ----------
    profile : LayerProfile, optional
        What the layers do with their bits, if it is known.
    note : str
        What of it is not known, and why.
    """
    parts = [f"> **Note:** {note}"] if note else []
    if profile is not None:
        events = f"Inputs and activations over {profile.events:,} validation events. " if profile.events else ""
        parts += [_uses(profile.uses), MEANING.format(events=events), _costs(profile.costs)]
    return "\n\n".join(parts)


def _uses(uses: Sequence[WordUse]) -> str:
    headers = [
        "values", "format", "possible", "largest magnitude", "typical magnitudes", "bits needed", "saturated", "zeroed",
        "zero",
    ]  # fmt: skip
    rows = [
        [
            escape(use.name),
            code(use.fixed.ap_type),
            f"{use.fixed.minimum:.5g} to {use.fixed.maximum:.5g}",
            f"{use.largest:.5g}",
            f"{use.typical[0]:.3g} to {use.typical[1]:.3g}",
            _loud(f"{use.width_used} of {use.fixed.width}", loud=use.unused > 1),
            _loud(f"{100 * use.saturated:.2f} %", loud=use.saturated > 0.01),
            f"{100 * use.zeroed:.2f} %",
            f"{100 * use.zeros:.2f} %",
        ]
        for use in uses
    ]
    return table(headers, rows)


def _costs(costs: Sequence[LayerCost]) -> str:
    total = sum(found.ebops for found in costs) or 1
    rows = [
        [
            escape(found.layer),
            f"{found.parameters:,}",
            f"{found.multiply_accumulates:,}",
            f"{found.ebops:,}",
            f"{100 * found.ebops / total:.1f} %",
        ]
        for found in costs
    ]
    return table(["layer", "parameters", "multiply-accumulates", "EBOPs", "share of EBOPs"], rows)


def _loud(text: str, *, loud: bool) -> str:
    return f"**{text}**" if loud else text
