"""The directory that a run writes to: one process at a time, and nothing half-written left in it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fpgaml.errors import OutputError

_log = logging.getLogger(__name__)

LEFTOVER = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
"""Names of the directories that ``storage.atomic_path`` writes to; they stay behind where a process was killed."""


@contextlib.contextmanager
def working_in(output: Path, *, make: bool = False) -> Iterator[None]:
    """Be the only process that writes to ``output``, after removing what a killed one has left there.

    Parameters
    ----------
    output : Path
        The directory.
    make : bool
        Make it if it is not there; it is removed again if it is empty in the end.

    Raises
    ------
    OutputError
        Nothing can be written there, or another process is at work.
    """
    made = make and not output.exists()
    try:
        directory = _opened(output, make=make)
        try:
            _lock(directory, output)
            _remove_leftovers(output)
            yield
        finally:
            os.close(directory)
    finally:
        if made:
            with contextlib.suppress(OSError):  # something is in it, or it could not be made
                output.rmdir()


def _opened(output: Path, *, make: bool) -> int:
    """A descriptor of the directory, in which something has been written."""
    try:
        if make:
            output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output, buffering=0) as probe:
            probe.write(bytes(4096))
        return os.open(output, os.O_RDONLY)
    except OSError as error:
        reason = f"{output}: cannot be written: {error.strerror}"
        raise OutputError(f"{reason}. Choose another place or free this one") from error


def _lock(directory: int, output: Path) -> None:
    """Lock an open directory until it is closed, by whatever way this process ends."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{output}: another fpgaml is at work in it. Wait for it, or choose another place") from error
    except OSError as error:
        _log.warning("%s: cannot be locked (%s): let no two processes work in it", output, error.strerror)


def _remove_leftovers(output: Path) -> None:
    """Remove what a killed process was writing."""
    for pattern in (".*", "*/.*", "trials/*/.*", "winners/*/.*", "reports/*/.*", "reports/*/figures/.*"):
        for path in list(output.glob(pattern)):
            found = LEFTOVER.fullmatch(path.name)
            # The name alone could be that of something else, such as a ``.venv.disabled``.
            if found and path.is_dir() and {inside.name for inside in path.iterdir()} <= {found[1], "replaced"}:
                _log.info("removing %s, which a killed process has left", path)
                shutil.rmtree(path, ignore_errors=True)
