"""The files of a project, and what of each counts when it is compared with what was written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fpgaml.errors import OutputError

README = "README.md"
CERTIFICATE = "certificate.json"
SIGNATURE = f"{CERTIFICATE}.sig"

DIGEST_LINE = re.compile(rb"^SHA-256 of `certificate\.json`: `([0-9a-f]{64})`\n", re.MULTILINE)
"""Of ``README.md``, which the certificate covers but for this line: it covers the certificate."""
IGNORED = {
    README: (DIGEST_LINE, b""),
    "build_opt.tcl": (re.compile(rb" [01]$", re.MULTILINE), b" -"),
}
"""What does not count, and what takes its place: the steps that Vitis HLS takes may be chosen."""

PLAIN_NAME = re.compile(r"(?!/|(?:.*/)?\.\.(?:/|\Z))[A-Za-z0-9_.+~@=,/-]{1,1000}")
"""Names that stand in a certificate as they are, of files in the project."""
LEFT_OUT = re.compile(r"[A-Za-z0-9_.+~@=,/-]{0,100}\*?[A-Za-z0-9_.+~@=,/-]{0,100}")
LONGEST = 2**24
"""Bytes of a file of which not all counts: nobody writes so many."""


def project_files(project: Path) -> list[str]:
    """Paths of all that is no folder in a project, sorted, but for its certificate and the latter's signature."""
    names = (
        path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return sorted(name for name in names if name not in (CERTIFICATE, SIGNATURE))


def check_plain(project: Path, names: Iterable[str]) -> None:
    """Raise OutputError where one of the names is no plain file's, or cannot stand in a certificate."""
    for name in names:
        path = project / name
        if path.is_symlink() or not path.is_file() or not PLAIN_NAME.fullmatch(name):
            raise OutputError(
                f"{project}: {name!r} should be a plain file, and its name of letters, digits and _.+~@=,- alone. "
                "Remove or rename it"
            )


def is_left_out(name: str, left_out: Iterable[str]) -> bool:
    """Whether a path is one of ``left_out``: folders end in a slash, and ``*`` stands for anything but a slash."""
    return any(re.match(_pattern(entry), name) for entry in left_out)


def _pattern(entry: str) -> str:
    ends = "" if entry.endswith("/") else r"\Z"
    return re.escape(entry).replace(r"\*", "[^/]*") + ends


def file_hashes(project: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of what counts of files, by their path in the project, sorted."""
    return {name: _hash(project / name, name) for name in sorted(names)}


def changed_files(project: Path, hashes: Mapping[str, str]) -> list[str]:
    """Files that are no longer as they were hashed, or no longer there."""
    now = file_hashes(project, (name for name in hashes if (project / name).exists()))
    return [name for name, digest in hashes.items() if now.get(name) != digest]


def _hash(path: Path, name: str) -> str:
    with path.open("rb") as file:
        if name not in IGNORED:
            return hashlib.file_digest(file, "sha256").hexdigest()
        pattern, replacement = IGNORED[name]
        return hashlib.sha256(pattern.sub(replacement, file.read(LONGEST))).hexdigest()
