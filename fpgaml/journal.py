"""What has happened in a search, one event a line, in a file that only grows.

An event is in the journal once ``append`` returns, whatever happens to the process, or to the machine, afterwards. A
process that is killed while it writes leaves at most a torn last line: it ends in no newline, is not read, and is cut
off before the next event is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpgaml.errors import OutputError

_log = logging.getLogger(__name__)

VERSION = 1
HEADER = "header"

JOURNAL = "journal.jsonl"
"""The journal of a run, in its directory."""


class Journal:
    """The journal of one search.

    Parameters
    ----------
    path : Path
        The file.
    space : str, optional
        Names what is searched. With it, the journal is begun if it is not there, and must be of this space if it is;
        without it, it must be there.

    Raises
    ------
    OutputError
        The file belongs to another space, holds something else, or cannot be written.
    """

    def __init__(self, path: Path, *, space: str | None = None) -> None:
        self.path = Path(path)
        self._warned = False
        if space is not None:
            self._begin(space)

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one event; it has been written to the disk when this returns.

        Parameters
        ----------
        event : mapping
            JSON values by name; ``event`` says of which kind it is, and is a text.

        Raises
        ------
        OutputError
            The event cannot be written, for example because the disk is full; nothing of it stays in the file then.
            Or it is none, or the journal has not been begun.
        """
        if not isinstance(event.get("event"), str) or event["event"] == HEADER:
            raise OutputError(f"{self.path}: an event needs a kind in 'event', found {event.get('event')!r}")
        line = self._line(event)
        with self._locked(os.O_RDWR, fcntl.LOCK_EX) as file:
            if not self._end(file):
                raise OutputError(f"{self.path}: holds no journal: it has no header")
            self._write(file, line)

    def read(self) -> tuple[dict[str, Any], ...]:
        """All events in the order in which they were written, without the header.

        Raises
        ------
        OutputError
            There is no journal, or a line of it is broken.
        """
        with self._locked(os.O_RDONLY, fcntl.LOCK_SH) as file:
            lines = self._whole_lines(file)
        if not lines:
            raise OutputError(f"{self.path}: holds no journal: it has no header")
        self._header(lines[0])
        return tuple(self._event(number, line) for number, line in enumerate(lines[1:], start=2))

    def _begin(self, space: str) -> None:
        """Write the header, or check the one that is there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        with self._locked(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as file:
            lines = self._whole_lines(file)
            if not lines:
                self._check_torn(file)
                self._write(file, self._line({"event": HEADER, "version": VERSION, "space": space}))
                self._sync_directory()
                return
        found = self._header(lines[0])["space"]
        if found != space:
            raise OutputError(
                f"{self.path}: is the journal of another space ({found}, not {space}): the study, its search options "
                "or its data have changed since. Go on in another directory, or undo the change"
            )

    def _check_torn(self, file: int) -> None:
        """What will be overwritten is nothing, or the beginning of a header: not the only line of something else."""
        expected = self._line({"event": HEADER, "version": VERSION})[:-2]
        found = os.pread(file, len(expected), 0)
        if not expected.startswith(found):
            raise OutputError(
                f"{self.path}: holds something else than a journal. Choose another place or free this one"
            )

    def _header(self, line: bytes) -> dict[str, Any]:
        try:
            header = json.loads(line)
            kind, version, _ = header["event"], header["version"], header["space"]
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(f"{self.path}:1: holds no journal: the header is missing") from error
        if kind != HEADER or version != VERSION:
            raise OutputError(
                f"{self.path}:1: should be the header of a journal of version {VERSION}, found {kind!r} of version "
                f"{version!r}. Another version of fpgaml can read it, perhaps"
            )
        found: dict[str, Any] = header
        return found

    def _event(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except ValueError as error:
            raise OutputError(
                f"{self.path}:{number}: is no JSON ({error}). Something else than fpgaml has changed the file: restore "
                "it, or remove this line, and the trial that it was about is trained again"
            ) from error
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise OutputError(f"{self.path}:{number}: is no event: it has no kind in 'event'")
        return event

    def _line(self, event: Mapping[str, Any]) -> bytes:
        try:
            return json.dumps(dict(event), allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise OutputError(
                f"{self.path}: the event {event['event']!r} cannot be written as JSON: {error}"
            ) from error

    @contextlib.contextmanager
    def _locked(self, flags: int, lock: int) -> Iterator[int]:
        """A descriptor of the file, locked against other processes and threads."""
        try:
            file = os.open(self.path, flags | os.O_CLOEXEC, 0o666)
        except FileNotFoundError as error:
            raise OutputError(f"{self.path}: not found. Has the search been started?") from error
        except OSError as error:
            if flags & os.O_RDWR:
                raise self._unwritable(error) from error
            raise OutputError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            try:
                fcntl.flock(file, lock)
            except OSError as error:
                if not self._warned:
                    _log.warning("%s: cannot be locked (%s): let no two processes write it", self.path, error.strerror)
                self._warned = True
            yield file
        finally:
            os.close(file)

    def _whole_lines(self, file: int) -> list[bytes]:
        """All lines that end in a newline."""
        try:
            with os.fdopen(os.dup(file), "rb") as stream:
                stream.seek(0)
                return stream.read().split(b"\n")[:-1]
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _write(self, file: int, line: bytes) -> None:
        """Put a line behind the last whole one, on the disk; if that fails, leave the file as it was."""
        try:
            end = self._end(file)
            os.ftruncate(file, end)
            try:
                written = 0
                while written < len(line):  # a disk that runs full takes a part
                    written += os.pwrite(file, line[written:], end + written)
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, end)
                raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _end(self, file: int) -> int:
        """Where the last whole line ends."""
        end = os.fstat(file).st_size
        while end:
            start = max(0, end - 65536)
            newline = os.pread(file, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _sync_directory(self) -> None:
        """See to it that the name of a new file is on the disk, too."""
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # not all file systems can
                os.fsync(directory)
        finally:
            os.close(directory)

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written: {error.strerror}. Choose another place or free this one")
