"""Charts of layers: their bits, their cost, their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpgaml.html_report.vega import Rows, Spec, chart, quantitative, short, tip
from fpgaml.layer_profile import LayerCost, WeightHistogram
from fpgaml.word_use import WordUse

_FORMAT, _USED = "in the format", "needed by values"


def bits_chart(uses: Sequence[WordUse]) -> Spec:
    """Per number format, the bits that it has, and those between the lowest and the highest that values need."""
    rows: Rows = []
    for use in uses:
        fixed = use.fixed
        low, high = -fixed.fraction, fixed.integer - fixed.signed
        shared = {
            "name": use.name,
            "type": fixed.ap_type,
            "possible": f"{fixed.minimum:g} to {fixed.maximum:g}",
            "largest": f"{use.largest:g}",
            "typical": f"{use.typical[0]:.3g} to {use.typical[1]:.3g}",
            "width_used": f"{use.width_used} of {fixed.width}",
            "saturated": use.saturated,
            "zeroed": use.zeroed,
        }
        rows.append({**shared, "bits": _FORMAT, "from": low, "to": high})
        if use.largest:
            first, last = round(math.log2(use.smallest)), min(high, math.floor(math.log2(use.largest)) + 1)
            rows.append({**shared, "bits": _USED, "from": min(first, high - 1), "to": last})
    kinds = [_FORMAT, _USED]
    tooltip = [
        tip("name", "values"),
        tip("type", "format"),
        tip("possible", "possible"),
        tip("largest", "largest magnitude"),
        tip("typical", "typical magnitudes"),
        tip("width_used", "bits needed"),
        tip("saturated", "saturated", ".2%"),
        tip("zeroed", "zeroed", ".2%"),
    ]
    axis = {"tickMinStep": 1, "format": "d"}
    layer = {
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "x": quantitative(
                "from",
                title="Bit, as a power of two (without the sign)",
                scale={"zero": False, "nice": False},
                axis=axis,
            ),
            "x2": {"field": "to"},
            "color": {
                "field": "bits",
                "type": "nominal",
                "scale": {"domain": kinds, "range": ["var(--pale)", "var(--float)"]},
            },
            "size": {"condition": {"test": f"datum.bits === '{_FORMAT}'", "value": 18}, "value": 9},
            "tooltip": tooltip,
        },
    }
    return chart({"values": rows}, [layer], height=26 * len(uses))


def cost_chart(costs: Sequence[LayerCost]) -> Spec:
    """Share of every layer in the EBOPs of the network."""
    total = sum(found.ebops for found in costs) or 1
    rows: Rows = [{"layer": found.layer, "ebops": found.ebops, "share": short(found.ebops / total)} for found in costs]
    x = quantitative("share", title="Share of EBOPs", axis={"format": ".0%"}, scale={"domain": [0, 1]})
    y = {"field": "layer", "type": "nominal", "sort": None, "title": None}
    tooltip = [tip("layer", "layer"), tip("ebops", "EBOPs", ",.0f"), tip("share", "share", ".1%")]
    written = {"type": "text", "align": "left", "dx": 4, "color": "var(--ink)", "fontSize": 12}
    return chart(
        {"values": rows},
        [
            {"mark": {"type": "bar", "color": "var(--float)"}, "encoding": {"x": x, "y": y, "tooltip": tooltip}},
            {"mark": written, "encoding": {"x": x, "y": y, "text": tip("share", "share", ".1%")}},
        ],
        height=26 * len(costs),
    )


def weights_chart(found: WeightHistogram) -> Spec:
    """Histogram of one layer's weights after rounding, over the range of their format."""
    rows: Rows = [
        {"from": short(left), "to": short(right), "weights": count}
        for left, right, count in zip(found.edges[:-1], found.edges[1:], found.counts, strict=True)
    ]
    domain = [min(found.minimum, rows[0]["from"]), max(found.maximum, rows[-1]["to"])]
    layer = {
        # with an outline, because bins narrower than a pixel would be pale
        "mark": {"type": "rect", "color": "var(--float)", "stroke": "var(--float)", "strokeWidth": 0.8},
        "encoding": {
            "x": quantitative("from", title="Weight", scale={"domain": domain, "nice": False}),
            "x2": {"field": "to"},
            "y": quantitative("weights", title="Weights per bin", axis={"tickMinStep": 1, "format": "~s"}),
            "y2": {"datum": 0},
            "tooltip": [tip("from", "from"), tip("to", "to"), tip("weights", "weights", ",.0f")],
        },
    }
    return chart({"values": rows}, [layer], height=150)
