"""Continuous integration runs what README.md tells a newcomer to run, and fails when that fails."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
RUN = REPOSITORY / ".ci" / "run"
PASSED = "======= 3 passed, 1 skipped in 2.50s ======="
FAILED = "1 failed, 3 passed in 62.10s (0:01:02)"


def ci(folder: Path, *, prints: str, status: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run ``.ci/run`` with a make that writes down how it was called; returns that too."""
    tools = folder / "tools"
    tools.mkdir()
    calls = folder / "calls"
    for name, script in (
        ("make", f"echo \"$PWD $CI $*\" >> '{calls}'; printf '%s\\n' '{prints}'; exit {status}"),
        ("chromium", "exit 0"),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    ended = subprocess.run([RUN], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended, calls.read_text(encoding="utf-8").splitlines()


def commands_of_readme() -> list[str]:
    """The lines of the first block of commands."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    assert block, "README.md has no block of commands"
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def test_it_runs_the_second_command_of_the_readme_and_nothing_else(tmp_path):
    demo, test = commands_of_readme()
    assert demo == "make demo"
    ended, calls = ci(tmp_path, prints=PASSED, status=0)
    assert calls == [f"{REPOSITORY} true {test.removeprefix('make ')}"]
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, PASSED)


@pytest.mark.parametrize(
    ("prints", "status"), [(FAILED, 2), (PASSED, 2), ("make: *** [Makefile:43: rules] Error 1", 2), ("", 0)]
)
def test_it_fails_when_anything_fails_or_no_test_has_run(tmp_path, prints, status):
    ended, _ = ci(tmp_path, prints=prints, status=status)
    assert ended.returncode != 0
    if " in " in prints:
        assert ended.stdout.splitlines()[-1] == prints
