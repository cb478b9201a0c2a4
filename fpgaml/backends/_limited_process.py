"""A program with a time limit, whose whole process group ends with it, and which writes to a log file."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fpgaml.errors import OutputError, ToolError

_log = logging.getLogger(__name__)

POLL_S = 0.2
GRACE_S = 5.0
"""Between the request to end and the order to: a tool may want to remove its lock files."""
KILL_S = 5.0
"""For the system to do what it was ordered to; a program that waits for a disk may take longer."""
TAIL_BYTES = 65536


@dataclass(frozen=True)
class Ended:
    """How a program has ended.

    Parameters
    ----------
    returncode : int or None
        Negative: the signal that ended it. None: it took longer than it was given.
    wall_s : float
        Seconds.
    log : Path
        What it wrote to stdout and stderr.
    timeout_s : float, optional
        Seconds that it was given.
    """

    returncode: int | None
    wall_s: float
    log: Path
    timeout_s: float | None = None

    @property
    def how(self) -> str:
        """For people: how it ended, where it did not end well."""
        if self.returncode is None:
            minutes = (self.timeout_s or 0) / 60
            return f"took longer than {minutes:.3g} minutes and was ended, with all that it had started"
        if self.returncode < 0:
            name = signal.Signals(-self.returncode).name
            hint = " (the system does that where memory runs out)" if -self.returncode == signal.SIGKILL else ""
            return f"was killed by {name}{hint}"
        return f"ended with exit code {self.returncode}"

    def tail(self) -> list[str]:
        """The last lines of the log that are not empty."""
        return _tail(self.log)

    def errors(self, lines: int = 5) -> str:
        """What it complains of in its log: lines that begin with ERROR or error, else the last ones."""
        found = self.tail()
        return "\n".join(([line for line in found if line.lower().startswith(("error", "%error"))] or found)[-lines:])


def run_limited(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    timeout_s: float | None = None,
    watch: Callable[[str], None] | None = None,
) -> Ended:
    """Run a program to its end, or to the end of its time.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    cwd : Path
        Where to run it.
    log : Path
        Takes stdout and stderr; replaced.
    timeout_s : float, optional
        Seconds. What runs longer is asked to end, and killed ``GRACE_S`` later, with its process group and everything
        else that descends from it. Where this function is interrupted they are killed at once.
    watch : function of str, optional
        Called about every second with the last line of the log.

    Raises
    ------
    ToolError
        The program cannot be started.
    OutputError
        The log cannot be written.
    """
    try:
        written = log.open("wb")
    except OSError as error:
        raise OutputError(f"{log}: cannot be written: {error.strerror}. Free some room there") from error
    begun = time.monotonic()
    with written, _guard() as guarded:
        try:
            process = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
            )
        except OSError as error:
            raise ToolError(f"{command[0]}: cannot be started: {error.strerror}") from error
        guarded(process.pid)
        try:
            returncode = _wait(process, begun, timeout_s, log, watch)
        except BaseException:
            _end(process, grace_s=0)
            raise
        if returncode is None:
            _end(process, grace_s=GRACE_S)
    return Ended(returncode, time.monotonic() - begun, log, timeout_s)


@contextlib.contextmanager
def _guard() -> Iterator[Callable[[int], None]]:
    """Gives a function that names a process group, which is killed where this process is killed in the block."""
    script = 'read -r group && { read -r _ || kill -KILL "-$group"; }'  # the second waits until nobody can write
    guard = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
    assert guard.stdin is not None
    try:
        yield lambda group: _tell(guard, group)
    finally:
        guard.kill()
        guard.wait()
        guard.stdin.close()


def _tell(guard: subprocess.Popen[bytes], group: int) -> None:
    assert guard.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # somebody has killed it
        guard.stdin.write(f"{group}\n".encode())
        guard.stdin.flush()


def check_room(said: str, *, name: str, cwd: Path, returncode: int | None = 0) -> None:
    """Raise OutputError where a program that works in ``cwd`` has complained of a full disk, or failed without a word.

    What it says goes to a file, so that it cannot complain where that is on the disk.
    """
    full = next((line for line in said.splitlines() if "No space left on device" in line), None)
    if full is not None:
        raise OutputError(
            f"{name}: a disk is full. Free some of it and try again. It works in {cwd}, and said: {full[:200]}"
        )
    if (returncode or 0) > 0 and not said.strip():
        raise OutputError(
            f"{name}: ended with exit code {returncode} and said nothing: the disk may be full. Free some of it and "
            f"try again. It works in {cwd}"
        )


def _wait(
    process: subprocess.Popen[bytes],
    begun: float,
    timeout_s: float | None,
    log: Path,
    watch: Callable[[str], None] | None,
) -> int | None:
    """The exit code; None if time ran out before."""
    told = begun
    while True:
        left = POLL_S if timeout_s is None else min(POLL_S, begun + timeout_s - time.monotonic())
        try:
            return process.wait(max(0.0, left))
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            if timeout_s is not None and now >= begun + timeout_s:
                return None
            if watch is not None and now >= told + 1:
                told = now
                watch(next(reversed(_tail(log)), ""))


def _end(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    """End a running program and everything that descends from it."""
    if process.returncode is not None:
        return
    # It has not been waited for, so that its number is still its own, and its group's.
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        family = []
    _log.info("ending process %d and %d that it has started", process.pid, len(family))
    everyone = (process.pid, *(member.pid for member in family))
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        for member in family:  # those that have begun a group of their own
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)
        # ``process`` itself is not waited for before the last signal to its group has been sent.
        ended_by = time.monotonic() + patience_s
        while time.monotonic() < ended_by and any(map(_runs, everyone)):
            time.sleep(POLL_S / 10)
    process.wait()


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()]
