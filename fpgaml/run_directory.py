"""The directory that a run writes to: one process at a time, and nothing half-written left in it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fpgaml.errors import FpgamlError, OutputError
from fpgaml.storage import cache_directory
from fpgaml.temporary_paths import remove_abandoned, unwritable

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def working_in(output: Path, *, make: bool = False) -> Iterator[None]:
    """Be the only process that writes to ``output``, after removing what killed ones have left there and in the cache.

    Parameters
    ----------
    output : Path
        The directory.
    make : bool
        Make it if it is not there; it is removed again if it is empty in the end.

    Raises
    ------
    OutputError
        Nothing can be written there, another process is at work, or the directory is removed in the meantime.
    """
    made = make and not output.exists()
    try:
        directory = _opened(output, make=make)
        try:
            _lock(directory, output)
            for place in (output, cache_directory()):
                remove_abandoned(place)
            with _standing(directory, output):
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
        raise unwritable(output, error) from error


def _lock(directory: int, output: Path) -> None:
    """Lock an open directory until it is closed, by whatever way this process ends."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{output}: another fpgaml is at work in it. Wait for it, or choose another place") from error
    except OSError as error:
        _log.warning("%s: cannot be locked (%s): let no two processes work in it", output, error.strerror)


@contextlib.contextmanager
def _standing(directory: int, output: Path) -> Iterator[None]:
    """Say so where ``output`` is no longer the open directory in the end, or where that has made something fail."""
    try:
        yield
    except (FpgamlError, OSError) as error:
        _check_standing(directory, output, error)
        raise
    _check_standing(directory, output, None)


def _check_standing(directory: int, output: Path, cause: Exception | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(output.stat(), os.fstat(directory)):
            return
    raise OutputError(
        f"{output}: was removed or replaced while fpgaml was at work in it. Remove what is left of it, and run the "
        "same command again"
    ) from cause
