"""How values show themselves in a notebook: a title and a small table, in HTML without colours of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LEFT = ' style="text-align: left; vertical-align: top"'


def html_table(title: str, rows: Iterable[Sequence[object]], *, headers: Sequence[str] = ()) -> str:
    """A table under a title; everything is escaped.

    Parameters
    ----------
    title : str
        In bold, above the table.
    rows : iterable of sequences
        The cells of each row; without ``headers`` the first of them names the row.
    headers : sequence of str
        Names of the columns.
    """
    first = "td" if headers else "th"
    lines = [f"<tr>{''.join(f'<th{LEFT}>{escape(name)}</th>' for name in headers)}</tr>"] if headers else []
    for name, *cells in rows:
        others = "".join(f"<td{LEFT}>{escape(str(cell))}</td>" for cell in cells)
        lines.append(f"<tr><{first}{LEFT}>{escape(str(name))}</{first}>{others}</tr>")
    return f"<div><p><strong>{escape(title)}</strong></p><table>{''.join(lines)}</table></div>"
