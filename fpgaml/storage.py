"""Files that are whole or not there: write beside, then rename; and the user's cache."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import OutputError
from fpgaml.temporary_paths import REPLACED, path_beside, unwritable

_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError)

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A fresh path beside ``path`` to write a file or directory to, which takes its place when the block ends.

    If the block raises, what was written is removed and ``path`` stays as it was. Parent directories are made. A file
    that has taken its place is on the disk, whatever happens to the process, or to the machine, afterwards. Of a
    directory this holds for the process: a project has a hundred files, and to wait for each would take seconds.

    Raises
    ------
    OutputError
        The disk is full, the directory is read-only, or a file stands where a directory is needed.
    """
    path = Path(path)
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = held.enter_context(path_beside(path))
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            yield fresh
            if not fresh.is_dir():
                _sync(fresh)
            if path.is_dir() and fresh.is_dir():
                path.rename(fresh.with_name(REPLACED))
            fresh.replace(path)
            _sync(path.parent)
        except FileNotFoundError as error:
            if fresh.parent.exists():
                raise  # something that the block wanted to read
            raise OutputError(f"{path}: its folder was removed while it was written. Run the same again") from error
        except shutil.Error as error:
            raise unwritable(path, _first_cause(error)) from error
        except OSError as error:
            raise unwritable(path, error) from error


def _first_cause(error: shutil.Error) -> OSError:
    """What stopped a tree from being copied: the error holds a list of (source, target, text of the cause)."""
    text = str(error.args[0][0][-1])
    found = re.match(r"\[Errno (\d+)\]", text)
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(text)


def _sync(path: Path) -> None:
    """See to it that a file, or the names in a directory, are on the disk: a new name may be there before."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not all file systems can
            raise
    finally:
        os.close(descriptor)


def file_name(name: str) -> str:
    """A name for a file, or a part of one, from a name that somebody has chosen; different names give different ones.

    A name of letters, digits, "_", "-" and "." stays as it is. In others, what is not such a character becomes "_", and
    a hash of the name follows "~", which no name has that stays as it is.

    >>> file_name("ht_gev"), file_name("../ht")
    ('ht_gev', '_ht~3115c57519461f2cd6eac3d100dc544a')
    """
    if PLAIN_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{re.sub('[^A-Za-z0-9_-]+', '_', name)[:40]}~{digest[:32]}"


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with atomic_path(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path``, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises
    ------
    OutputError
        The file is not there or holds no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise OutputError(f"{path}: not found. Has the stage that writes it been run?") from error
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot be read as JSON: {error}. It has been changed since it was written: restore it, or remove "
            "it, and the command that wrote it writes it again"
        ) from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz file, by name.

    Raises
    ------
    OutputError
        The file is not there or holds no such arrays.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise OutputError(f"{path}: not found. Has the stage that writes it been run?") from error
    except (OSError, EOFError, ValueError, TypeError, *_BROKEN) as error:  # numpy has none of its own
        raise OutputError(
            f"{path}: cannot be read as npz: {error}. It has been changed since it was written: restore it, or remove "
            "it, and the command that wrote it writes it again"
        ) from error


def cache_directory() -> Path:
    """Where event pools and csim builds are kept: ``$FPGAML_CACHE_DIR``, or fpgaml's folder in the user's cache."""
    chosen = os.environ.get("FPGAML_CACHE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("fpgaml", appauthor=False))
