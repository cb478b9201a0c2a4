"""Programs that the backend rtl runs: what they say if they end well, an error for people if they do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fpgaml.backends._limited_process import check_room, run_limited
from fpgaml.errors import ToolError, ToolTimeoutError
from fpgaml.storage import atomic_path
from fpgaml.temporary_paths import scratch_directory

INSTALL = "Install fpgaml with its extra rtl: pip install 'fpgaml[rtl]'"


def run_tool(
    command: Sequence[str],
    *,
    name: str,
    cwd: Path,
    timeout_s: float | None = None,
    log: Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> str:
    """Run a program and return what it said.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    name : str
        What to call it in errors.
    cwd : Path
        Where it runs.
    timeout_s : float, optional
        Seconds; then it and all that it has started is killed.
    log : Path, optional
        Where to leave what it said, also if it fails; whole or not at all.
    watch : function of str, optional
        Called about every second with the last line that it said.

    Raises
    ------
    ToolTimeoutError
        It took too long.
    ToolError
        It cannot be started, failed, or was killed.
    OutputError
        A disk is full.
    """
    with scratch_directory("fpgaml-log-") as scratch:
        ended = run_limited(command, cwd=cwd, log=scratch / "log", timeout_s=timeout_s, watch=watch)
        said = ended.log.read_text(encoding="utf-8", errors="replace")
        complaint = ended.errors()
        if log is not None:
            # Copied: Yosys does not notice that its log is on a full disk.
            with atomic_path(log) as fresh:
                shutil.copy(ended.log, fresh)
    where = f" All it said is in {log}." if log is not None else ""
    if ended.returncode is None:
        raise ToolTimeoutError(f"{name} {ended.how}.{where} Give it more time, or make the network smaller")
    check_room(said, name=name, cwd=cwd, returncode=ended.returncode)
    if ended.returncode < 0:
        raise ToolError(
            f"{name} {ended.how}.{where} If nobody did it by hand, make the network smaller, or run less beside it"
        )
    if ended.returncode:
        raise ToolError(f"{name} {ended.how}.{where}\n{complaint}")
    return said
