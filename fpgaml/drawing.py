"""How figures look and how they are kept.

Drawn in mplhep's ROOT style, for the one figure at hand: no global setting is touched. Without an experiment's name,
because nothing here is approved by one.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpgaml.errors import DataError, printable
from fpgaml.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METADATA: dict[str, dict[str, None]] = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
"""Formats of figures, and what would make their bytes differ from one writing to the next."""


def settings() -> dict[Any, Any]:
    """The ROOT style of mplhep, with smaller type, as matplotlib's settings by name."""
    import mplhep

    return {
        **mplhep.style.ROOT,
        # by name: "sans-serif" alone and "custom" are looked up only when drawn, which may be out of the style
        "font.family": ["TeX Gyre Heros", "sans-serif"],
        "mathtext.fontset": "stixsans",
        "font.size": 24,
        "figure.figsize": (10.0, 8.0),
        "figure.constrained_layout.use": True,
    }


@contextlib.contextmanager
def style() -> Iterator[None]:
    """``settings`` while the block lasts."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcParams.update(settings())
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in letters that the font does not have
        yield


@contextlib.contextmanager
def drawing(axes: Axes | None, *, size: tuple[float, float] | None = None) -> Iterator[Axes]:
    """``axes``, or those of a new figure that no window holds, to be drawn on in style.

    ``size`` is the width and height of a new figure in inches; the style's if not given.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=size)
        yield figure.subplots() if axes is None else axes
        if axes is None:
            figure.draw_without_rendering()  # ticks and fonts are settled only now, and must be so in style


def literal(text: str) -> str:
    r"""Text from outside for a figure, where ``$`` would begin a formula.

    >>> print(literal("a$b"))
    a\$b
    """
    return printable(text, 60).replace("$", r"\$")


def save(axes: Axes, path_stem: Path) -> tuple[Path, Path]:
    """Write the figure of ``axes`` as ``<path_stem>.png`` and ``<path_stem>.pdf``, each whole or not at all.

    The same figure gives the same bytes. Raises OutputError where it cannot be written.
    """
    png, pdf = (path_stem.with_name(path_stem.name + suffix) for suffix in METADATA)
    return write(axes, png), write(axes, pdf)


def write(axes: Axes, path: Path) -> Path:
    """Write the figure of ``axes`` as PNG or PDF, by the ending of ``path``, whole or not at all; returns ``path``.

    Raises
    ------
    DataError
        Another ending, or the axes belong to no figure.
    OutputError
        It cannot be written.
    """
    from matplotlib.figure import Figure

    if path.suffix not in METADATA:
        raise DataError(f"{path}: a figure is written as .png or .pdf, not as {path.suffix or 'a file without ending'}")
    figure = axes.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise DataError("save: the axes belong to no figure")
    drawn = io.BytesIO()  # on a full disk matplotlib would stumble while it closes the file
    with style():
        figure.savefig(drawn, format=path.suffix[1:], dpi=100, metadata=METADATA[path.suffix])
    with atomic_path(path) as fresh:
        fresh.write_bytes(drawn.getvalue())
    return path
