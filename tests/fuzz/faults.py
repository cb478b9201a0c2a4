"""Cases that do what no case of fpgaml may do: the tests of the suite itself see that each is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from unittest import mock

from fuzz.commands import Said, judge, run_here
from fuzz.outcome import Outcome
from fuzz.workspace import Workspace

FAR_TOO_LONG_S = 1000


def _command(workspace: Workspace, call: Callable[[list[str]], int]) -> Outcome:
    """What is judged of a command line that does ``call``."""
    (workspace.folder / "study.yaml").touch()
    before = workspace.snapshot()
    with mock.patch("fpgaml.cli.main", call):
        said: Said = run_here(workspace, "data", workspace.folder / "study.yaml")
    return judge(said, before, workspace)


def _refuse(workspace: Workspace, message: str) -> Outcome:
    def call(_arguments: list[str]) -> int:
        print(f"fpgaml: {message.replace('STUDY', str(workspace.folder / 'study.yaml'))}", file=sys.stderr)
        return 2

    return _command(workspace, call)


def accept(seed: int, workspace: Workspace) -> Outcome:
    """Nothing is wrong."""
    return _command(workspace, lambda _: 0)


def refuse(seed: int, workspace: Workspace) -> Outcome:
    """The input is wrong."""
    return _refuse(workspace, "STUDY:3: study: should be a name, found nothing")


def refuse_at_length(seed: int, workspace: Workspace) -> Outcome:
    """A message that nobody reads."""
    return _refuse(workspace, f"STUDY:3: {'x' * 500}")


def refuse_with_control_characters(seed: int, workspace: Workspace) -> Outcome:
    """A message that a terminal would act on."""
    return _refuse(workspace, "STUDY:3: \x1b[31mred\u202e")


def refuse_somewhere(seed: int, workspace: Workspace) -> Outcome:
    """A message without a place."""
    return _refuse(workspace, "Unable to allocate 5 GiB")


def print_a_traceback(seed: int, workspace: Workspace) -> Outcome:
    """An exception that nobody has caught."""
    return _command(workspace, lambda _: [][seed])


def end_with_70(seed: int, workspace: Workspace) -> Outcome:
    """A bug, as the command line says."""
    return _command(workspace, lambda _: 70)


def warn(seed: int, workspace: Workspace) -> Outcome:
    """A warning with a place inside a library."""
    return _command(workspace, lambda _: warnings.warn("overflow", RuntimeWarning, stacklevel=1) or 0)


def write_beside(seed: int, workspace: Workspace) -> Outcome:
    """A file in another folder."""
    return _command(workspace, lambda _: (workspace.folder / ".." / ".." / "MARKER.png").write_bytes(b"x") and 0)


def leave_temporary_files(seed: int, workspace: Workspace) -> Outcome:
    """A file where those are that should vanish."""
    return _command(
        workspace, lambda _: int(subprocess.run(["mktemp"], check=True, stdout=subprocess.DEVNULL).returncode)
    )


def change_the_study(seed: int, workspace: Workspace) -> Outcome:
    """The user's own file."""
    return _command(workspace, lambda _: (workspace.folder / "study.yaml").write_text("x", encoding="utf-8") and 0)


def remove_the_study(seed: int, workspace: Workspace) -> Outcome:
    """The user's own file."""
    return _command(workspace, lambda _: (workspace.folder / "study.yaml").unlink() or 0)


def compute_forever(seed: int, workspace: Workspace) -> Outcome:
    """Work without end."""
    while True:
        pass


def wait_forever(seed: int, workspace: Workspace) -> Outcome:
    """Nothing, without end; a process of its own does the same."""
    subprocess.Popen(["sleep", str(FAR_TOO_LONG_S)])
    time.sleep(FAR_TOO_LONG_S)
    return Outcome("accepted")


def take_memory(seed: int, workspace: Workspace) -> Outcome:
    """More than there is."""
    taken = bytearray(2**31)
    return Outcome("accepted", f"{len(taken)} bytes")


def die(seed: int, workspace: Workspace) -> Outcome:
    """A fault in native code."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return Outcome("accepted")


NOTICED = {
    # what: a part of the reason
    refuse_at_length: "a message of 514 characters",
    refuse_with_control_characters: "a message with U+001B, U+202E",
    refuse_somewhere: "a message without a place",
    print_a_traceback: "a traceback, exit code 1: IndexError: list index out of range",
    end_with_70: "exit code 70",
    warn: "a warning: ",
    write_beside: "written outside of --output: 'around/a/b/c/d/e/f/g/MARKER.png'",
    leave_temporary_files: "written outside of --output: 'around/tmp/tmp.",
    change_the_study: "changed outside of --output: 'around/a/b/c/d/e/f/g/h/case/study.yaml'",
    remove_the_study: "removed outside of --output: 'around/a/b/c/d/e/f/g/h/case/study.yaml'",
    compute_forever: "took more than 1 s",
    wait_forever: "did not end in 4 s",
    take_memory: "MemoryError",
    die: "the process died: signal SIGSEGV",
}
