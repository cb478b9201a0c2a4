"""What hls4ml writes that would differ from run to run: where the project was written, and a random stamp."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

CONFIG, LIBRARY = "hls4ml_config.yml", "build_lib.sh"
PLACE = re.compile(r"^OutputDir: .*(\n +.*)*$", re.MULTILINE)
STAMP = re.compile(r"^(Stamp: |LIB_STAMP=).*$", re.MULTILINE)
DIGITS = 8
"""Of a stamp, as in hls4ml's own."""


def make_repeatable(project: Path) -> None:
    """Take the place from hls4ml's record, because a project is copied elsewhere, and make its stamp from its content.

    hls4ml compiles a library whose name has the stamp, which is to tell those of different projects apart.
    """
    for name in (CONFIG, LIBRARY):
        path = project / name
        text = PLACE.sub("OutputDir: .", path.read_text(encoding="utf-8"))
        path.write_text(STAMP.sub(r"\1", text), encoding="utf-8")
    content = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        if path.is_file():
            content.update(f"{path.relative_to(project).as_posix()} {path.stat().st_size}\n".encode())
            content.update(path.read_bytes())
    stamp = content.hexdigest()[:DIGITS]
    for name, written in ((CONFIG, f"'{stamp}'"), (LIBRARY, stamp)):
        path = project / name
        path.write_text(STAMP.sub(rf"\g<1>{written}", path.read_text(encoding="utf-8")), encoding="utf-8")
