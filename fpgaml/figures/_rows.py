"""Figures with a row for each name: their height, and the names on the vertical axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rows_height(rows: float, each: float, *, around: float = 2.0, least: float = 5.0) -> float:
    """Height of a figure in inches: rows of ``each``, what is ``around`` them, and not less than ``least``."""
    return max(least, around + rows * each)


def name_rows(drawn: Axes, names: Sequence[str], *, below: float = 0.4, above: float = 0.6) -> None:
    """Names on the vertical axis, at 0, -1 and so on from the top; room below the last row and above the first."""
    drawn.set_yticks([-row for row in range(len(names))], names, fontsize=19)
    drawn.tick_params(axis="y", which="both", length=0)
    drawn.yaxis.minorticks_off()
    drawn.set_ylim(below - len(names), above)
