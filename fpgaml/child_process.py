"""Processes that work for the one that has started them, and only as long as that lives.

They are plain programs (``python -m MODULE``) and no processes of multiprocessing: forking a process in which
TensorFlow has started its threads may hang, spawning would run the user's script a second time, and both leave
semaphores behind when a whole group is killed. A signal to the group, such as Ctrl-C or a batch system's SIGTERM, is
for the process that started them, which ends them. Where that is killed, their standard input closes, and they end by
themselves.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO

from fpgaml.temporary_paths import temporary_files

GROUP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""What ends a process group: Ctrl-C, a batch system, a terminal that closes."""


class ChildDied(Exception):  # noqa: N818  what has happened
    """A child has ended before it answered; the message says how."""


class Child:
    """A process that answers requests, seen from the one that asks; one request at a time.

    Parameters
    ----------
    module : str
        Its main function calls ``answer_parent``.
    **environment : str
        Variables beside those of this process.

    Raises
    ------
    OutputError
        There is no room for its temporary files.
    """

    def __init__(self, module: str, **environment: str) -> None:
        path = os.pathsep.join(entry or "." for entry in sys.path)
        self._held = contextlib.ExitStack()
        temporary = str(self._held.enter_context(temporary_files()))
        # Of this thread only, and what it starts inherits it: from its first instruction on, Ctrl-C does not reach it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, "TMPDIR": temporary, **environment},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, request: bytes) -> bytes:
        """The answer to a request; ``ChildDied`` if there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, request)
            return _receive(self._process.stdout)
        except (OSError, EOFError, ValueError) as error:  # the last: ``end`` has closed the pipes
            raise ChildDied(f"exit code {self._process.wait()}") from error

    def kill(self) -> None:
        """End the process at once; whoever waits in ``ask`` gets ``ChildDied``."""
        self._process.kill()

    def end(self) -> None:
        """End the process, whatever it is doing, and all that is left of it; what it has finished is kept."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what it could not be told any more
                    stream.close()
        self._held.close()


def answer_parent(answer: Callable[[bytes], bytes]) -> None:
    """Answer the requests of the process that started this one, until that closes its end, or is gone."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        with contextlib.suppress(EOFError):
            while True:
                requests.put(_receive(sys.stdin.buffer))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answered = answer(requests.get())
        try:
            _send(answers, answered)
        except BrokenPipeError:
            os._exit(0)


def _send(stream: IO[bytes], content: bytes) -> None:
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    size = int.from_bytes(_read(stream, 8), "big")
    return _read(stream, size)


def _read(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
