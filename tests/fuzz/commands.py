"""The command line on a case: what it said, what it left, and what is wrong with either."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.outcome import Outcome
from fuzz.workspace import Snapshot, Workspace

LONGEST_MESSAGE = 500
"""Characters of an error, without the folders of the case."""

CODES = (0, 1, 2)
"""Exit codes that are no fault by themselves."""

WARNING = re.compile(r"^.*\b[A-Z]\w*Warning: .*$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """What a command gave: its exit code, and what it wrote to stdout and stderr."""

    command: str
    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The error for the user; empty if there is none."""
        return self.err[self.err.find("fpgaml: ") :].removeprefix("fpgaml: ").rstrip("\n") if self.code else ""


def run_here(workspace: Workspace, *arguments: object) -> Said:
    """Run ``fpgaml`` in this process, which is none but this case's."""
    from fpgaml.cli import main

    words = [str(argument) for argument in arguments]
    out, err = (workspace.top / name for name in ("stdout", "stderr"))
    before = [os.dup(1), os.dup(2)]
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    try:
        code = main(words)
    except SystemExit as error:  # argparse
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  a command of its own would end with this traceback
        traceback.print_exc()
        code = 1
    finally:
        for number, (kept, stream) in enumerate(zip(before, (sys.stdout, sys.stderr), strict=True), start=1):
            stream.flush()
            os.dup2(kept, number)
            os.close(kept)
    return Said(" ".join(words), code, _text(out.read_bytes()), _text(err.read_bytes()))


def run_fresh(workspace: Workspace, *arguments: object) -> Said:
    """Run ``fpgaml`` in a process of its own."""
    words = [str(argument) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "fpgaml.cli", *words], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    return Said(" ".join(words), done.returncode, _text(done.stdout), _text(done.stderr))


def judge(said: Said, before: Snapshot, workspace: Workspace) -> Outcome:
    """What became of a case by one command."""
    wrong = [*_faults(said, workspace), *_strange_files(before, workspace)]
    counts = {f"exit code {said.code}": 1}
    if wrong:
        detail = f"fpgaml {said.command}\nexit code {said.code}\n{said.out[-5000:]}\n{said.err[-20_000:]}"
        return Outcome("failed", wrong[0], "\n".join([*wrong, "", detail]), counts)
    if said.code:
        return Outcome("refused", _without_folders(said.message, workspace), counts=counts)
    return Outcome("accepted", counts=counts)


def _faults(said: Said, workspace: Workspace) -> Iterator[str]:
    """What is wrong with what a command said."""
    if "Traceback (most recent call last)" in said.err:
        raised = [
            line for line in said.err.splitlines() if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)?\b", line)
        ]
        yield f"a traceback, exit code {said.code}: {raised[-1] if raised else ''}"
    if said.code not in CODES:
        yield f"exit code {said.code}"
    for warning in WARNING.findall(said.err):
        yield f"a warning: {warning.strip()}"
    if said.code:
        yield from _message_faults(said, workspace)


def _message_faults(said: Said, workspace: Workspace) -> Iterator[str]:
    """What is wrong with an error for the user."""
    message = _without_folders(said.message, workspace)
    if not message:
        yield f"exit code {said.code} without a message"
    if len(message) > LONGEST_MESSAGE:
        yield f"a message of {len(message)} characters: {message[:200]}"
    odd = sorted({f"U+{ord(c):04X}" for c in message if c != "\n" and unicodedata.category(c)[0] in "CZ" and c != " "})
    if odd:
        yield f"a message with {', '.join(odd)}: {message[:200]!r}"
    places = (*(path.name for path in workspace.folder.iterdir()), "--")
    if not said.message.startswith(os.sep) and not any(place in message for place in places):
        yield f"a message without a place: {message[:300]}"


def _strange_files(before: Snapshot, workspace: Workspace) -> Iterator[str]:
    """What was made, changed or removed outside of the output."""
    after = workspace.snapshot()
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            what = "removed" if path not in after else "changed" if path in before else "written"
            yield f"{what} outside of --output: {path!r}"


def _without_folders(message: str, workspace: Workspace) -> str:
    return message.replace(f"{workspace.folder}{os.sep}", "")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
