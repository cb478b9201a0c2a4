"""What the report says of a project's certificate: whether there is one, whether it still holds, how to check it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpgaml.errors import OutputError
from fpgaml.handover.certificate import CERTIFICATE, edited_files
from fpgaml.storage import read_json
from fpgaml.tables import code, table

SHOWN_DIGITS = 12
"""Of a SHA-256; all of them stand in the file."""
SHOWN_FILES = 5


def certificate_section(project: Path) -> str:
    """Markdown on ``certificate.json`` of a project; empty where there is none.

    Raises
    ------
    OutputError
        The file holds something else.
    """
    path = project / CERTIFICATE
    if not path.exists():
        return ""
    found = read_json(path)
    try:
        changed = edited_files(project, found["files"])
        rows = _rows(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path}: is no certificate: {error!r}. `fpgaml csim` on the run writes it again") from error
    if changed:
        more = f" and {len(changed) - SHOWN_FILES} more" if len(changed) > SHOWN_FILES else ""
        names = ", ".join(map(code, changed[:SHOWN_FILES]))
        told = f"**Certificate: no longer valid.** Changed or missing since it was written: {names}{more}."
    else:
        told = f"**Certified**: when this report was written, every file was as `{CERTIFICATE}` lists it."
    told += " `make check` in the project's folder checks files and words anew."
    return f"{told}\n\n{table(['certificate', ''], rows)}"


def _rows(found: Mapping[str, Any]) -> list[list[str]]:
    csim, vectors = found["csim"], found["vectors"]
    return [
        ["words compared", f"{csim['words']:,} over {csim['events']:,} events, {csim['mismatches']:,} differ"],
        ["words of `make check`", f"{vectors['words']:,} over {vectors['events']:,} events"],
        ["weights, SHA-256", _short(found["model"]["weights_sha256"])],
        ["data, SHA-256", _short(found["data"]["sha256"])],
        ["simulated files, SHA-256", _short(csim["project_sha256"])],
        ["files listed", f"{len(found['files']):,}"],
    ]


def _short(digest: str) -> str:
    return f"`{digest[:SHOWN_DIGITS]}…`"
