"""Temporary directories that do not outlive who made them by long.

A process that is killed removes nothing. So each directory is locked by the process that made it, and the lock ends
with the process, however that ends: a directory that nobody holds has been abandoned, and who comes next removes it.
Its name tells it from others: ``.<name>.<eight characters>`` holds ``<name>`` and no more.
"""

from __future__ import annotations

import contextlib
import errno
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

NAME = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
REPLACED = "replaced"
"""In such a directory: what stood where ``<name>``, which is whole, is about to be moved to."""
OWN = "fpgaml"
"""The name of the directory of all temporary files of a process."""


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def reason(error: OSError) -> str:
    """Why something could not be written; numpy, for one, does not keep the system's own words."""
    return error.strerror or f"the disk may be full ({error})"


def unwritable(place: object, error: OSError) -> OutputError:
    """The error for people that a place cannot be written to."""
    full = error.errno in FULL or not error.strerror
    advice = "Free some room there, and run the same again" if full else "Choose another place or free this one"
    return OutputError(f"{place}: cannot be written: {reason(error)}. {advice}")


@contextlib.contextmanager
def path_beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a fresh directory beside ``path``; the directory is removed when the block ends.

    Raises
    ------
    OSError
        The directory cannot be made.
    """
    directory, lock = _make_locked(path)
    try:
        yield directory / path.name
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _make_locked(path: Path) -> tuple[Path, int]:
    """A fresh directory beside ``path``, and the descriptor that locks it until it is closed."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        with contextlib.suppress(FileNotFoundError):  # another process has found it before it was locked
            lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # not all file systems have locks; nothing is removed there
                fcntl.flock(lock, fcntl.LOCK_SH)
            if made.exists():
                return made, lock
            os.close(lock)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left of ``path_beside`` in a folder, and in all folders in it."""
    for place, folders, _ in os.walk(folder):
        for path in [Path(place, name) for name in folders]:
            if _is_temporary(path):
                folders.remove(path.name)
                _remove(path)


def _is_temporary(path: Path) -> bool:
    """Whether a folder is one of ``path_beside``: the name alone could be that of a ``.venv.disabled``."""
    found = NAME.fullmatch(path.name)
    if found is None:
        return False
    with contextlib.suppress(OSError):
        return {inside.name for inside in path.iterdir()} <= {found[1], REPLACED}
    return False


def _remove(path: Path) -> None:
    """Remove a temporary directory, unless a process holds it, or its file system has no locks to tell."""
    with contextlib.suppress(OSError):  # held, or another user's
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _log.info("removing %s, which a killed process has left", path)
            name = path.name[1:-9]
            if (path / REPLACED).exists() and (path / name).exists() and not (path.parent / name).exists():
                (path / name).replace(path.parent / name)  # killed between two renames: the new one is whole
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)


@contextlib.contextmanager
def scratch_directory(prefix: str) -> Iterator[Path]:
    """A directory for what is not kept.

    Raises
    ------
    OutputError
        It cannot be made or written to, as where the disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise no_room(error) from error


def no_room(error: OSError) -> OutputError:
    """The error for people that temporary files cannot be written."""
    place = error.filename2 or error.filename or "temporary files"
    if not error.filename:
        with contextlib.suppress(OSError):  # there may be no place for any
            place = tempfile.gettempdir()
    return OutputError(f"{place}: {reason(error)}. Free some room there; TMPDIR says where such temporary files are")


@contextlib.contextmanager
def temporary_files() -> Iterator[Path]:
    """A directory for all temporary files of a process, which goes when the block ends.

    Libraries and compilers leave theirs behind when they are killed. What killed processes have left is removed first.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    with contextlib.ExitStack() as held:
        try:
            place = Path(tempfile.gettempdir())
            for path in filter(_is_temporary, place.glob(f".{OWN}.????????")):
                _remove(path)
            made = held.enter_context(path_beside(place / OWN))
            made.mkdir()
        except OSError as error:
            raise no_room(error) from error
        yield made


@contextlib.contextmanager
def own_temporary_files() -> Iterator[None]:
    """Have ``temporary_files`` for this process and all that it starts.

    Where there is no room for them they stay where they would be: what needs one says so, and much needs none.
    """
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with contextlib.ExitStack() as held:
        try:
            made = held.enter_context(temporary_files())
        except OutputError:
            yield
            return
        os.environ["TMPDIR"] = tempfile.tempdir = str(made)
        try:
            yield
        finally:
            os.environ.pop("TMPDIR")
            if before[0] is not None:
                os.environ["TMPDIR"] = before[0]
            tempfile.tempdir = before[1]
