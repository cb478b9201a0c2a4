"""Which files of a project a certificate lists: those converted, simulated, or written by the hand-over."""

from __future__ import annotations

import logging

from fpgaml.backends import Backend
from fpgaml.convert import MANIFEST, HLSProject
from fpgaml.handover.vectors import FOLDER as VECTORS
from fpgaml.project_files import README, changed_files, check_plain, is_left_out, project_files

_log = logging.getLogger(__name__)

CHECK = "check"
"""The folder of the scripts and the bench."""
SHOWN = 5
"""Files in a message."""


def edited_files(project: HLSProject, backend: Backend) -> list[str]:
    """Files that are not as the conversion wrote them, not there, or simulated and not from it.

    Raises
    ------
    OutputError
        One that is there is no plain file.
    """
    added = _added_files(project, backend)
    check_plain(project.directory, [*added, *(name for name in project.files if (project.directory / name).exists())])
    return [*changed_files(project.directory, project.files), *added]


def certified_files(project: HLSProject, backend: Backend) -> list[str]:
    """What the certificate lists, once all has been written; what else is there is named in the log."""
    there = [name for name in project_files(project.directory) if not is_left_out(name, backend.tool_outputs)]
    if not project.files:
        return there
    listed = {*project.files, *_added_files(project, backend), *backend.number_files, MANIFEST, README, "Makefile"}
    names = [name for name in there if name in listed or name.startswith((f"{CHECK}/", f"{VECTORS}/"))]
    if others := sorted({*there} - {*names}):
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        shown = ", ".join(map(repr, others[:SHOWN]))
        _log.warning("%s: not certified, and named by `make check`: %s%s", project.directory, shown, more)
    return names


def _added_files(project: HLSProject, backend: Backend) -> list[str]:
    if not project.files:  # it was not written down what the conversion wrote
        return []
    simulated = (path.relative_to(project.directory).as_posix() for path in backend.simulation_files(project.directory))
    return sorted({*simulated} - {*project.files})
