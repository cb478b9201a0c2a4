"""A process that has fpgaml loaded and makes a child for every case, which is bounded and leaves nothing behind.

It reads requests and writes answers, a line of JSON each. Importing takes a second and a child of this process
milliseconds, so that thousands of cases an hour are possible.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from fuzz.kinds import Kind
from fuzz.outcome import Outcome
from fuzz.workspace import Workspace

OUTCOME, TRACE = "outcome.json", "trace"
"""What a child leaves: what became of the case; where it was when it had used up its time."""

LOADED = (
    *("fpgaml.cli", "fpgaml.pipeline", "fpgaml.tasks.file", "fpgaml.tasks.trigger", "h5py", "numpy.random", "psutil"),
    *("pyarrow.csv", "pyarrow.parquet", "rich.console", "rich.progress", "uproot"),
)
"""What a process of the command line would import while it works."""

SPARE_S = 2
"""Processor time beyond the limit after which a child is ended; with less, it says itself what became of the case."""


def main() -> int:
    """Answer requests until there are no more."""
    _load()
    answers = os.fdopen(os.dup(1), "w")  # whatever else is printed does not mix with answers
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        kind = Kind(**request["kind"])
        kind.import_function()
        if kind.trains:
            _load_tensorflow()
        answer = examine(kind, request["seed"], Path(request["kept"]))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _load() -> None:
    """Import what most cases need; nothing is run, so that no threads are there when children are made."""
    from fpgaml.layers import layer_class, layer_kinds

    for module in LOADED:
        importlib.import_module(module)
    for name in layer_kinds():
        layer_class(name)


def _load_tensorflow() -> None:
    """Import what trains and converts; it has no threads as long as nothing is computed."""
    from fpgaml.environment import load_tensorflow

    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    load_tensorflow()
    for module in ("hls4ml", "keras", "keras_tuner", "matplotlib.pyplot", "qkeras"):
        importlib.import_module(module)


def examine(kind: Kind, seed: int, kept: Path) -> dict[str, Any]:
    """Make the case of a seed in a process of its own; its outcome and what it took.

    A failed case's folders are moved to ``kept``, and the others' are removed.
    """
    top = Path(tempfile.mkdtemp(prefix="fuzz-", dir=os.environ.get("FUZZ_WORKSPACES")))
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_case(kind, seed, top)
    status, usage = _wait(child, kind.limit_s * kind.patience)
    seconds = usage.ru_utime + usage.ru_stime
    gigabytes = usage.ru_maxrss * 1024 / 1e9
    outcome = _outcome(kind, top, status, seconds=seconds, gigabytes=gigabytes)
    if outcome.verdict == "failed":
        _move(top, kept)
        (kept / "outcome.txt").write_text(f"{outcome.reason}\n\n{outcome.detail}\n", encoding="utf-8", errors="replace")
    else:
        shutil.rmtree(top, ignore_errors=True)
    took = {"seconds": seconds, "clock_s": time.monotonic() - started, "gigabytes": gigabytes}
    return {**outcome.to_json(), "reason_class": outcome.reason_class, **took}


def _move(top: Path, kept: Path) -> None:
    """Move a folder, to another file system if need be; pipes and devices stay behind."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for path in top.rglob("*"):
        if not path.is_symlink() and not path.is_dir() and not path.is_file():
            path.unlink()
    shutil.move(top, kept)


def _outcome(kind: Kind, top: Path, status: int | None, *, seconds: float, gigabytes: float) -> Outcome:
    try:
        outcome = Outcome(**json.loads((top / OUTCOME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        outcome = None
    said = "".join(
        path.read_text(encoding="utf-8", errors="replace")[-20_000:]
        for path in (top / TRACE, top / "stderr")
        if path.exists()
    )
    if status is None:
        return Outcome("failed", f"did not end in {kind.limit_s * kind.patience:g} s", said)
    if seconds > kind.limit_s or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Outcome("failed", f"took more than {kind.limit_s:g} s", f"{seconds:.1f} s\n{said}")
    if gigabytes > kind.limit_gb:
        return Outcome("failed", f"took more than {kind.limit_gb:g} GB", f"{gigabytes:.2f} GB\n{said}")
    if outcome is None:
        how = f"signal {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else f"status {status}"
        return Outcome("failed", f"the process died: {how}", said)
    return outcome


def _wait(child: int, patience_s: float) -> tuple[int | None, resource.struct_rusage]:
    """Wait for a child and end whatever it has left running; no status if it had to be ended itself."""
    descriptor = os.pidfd_open(child)
    ended, _, _ = select.select([descriptor], [], [], patience_s)
    os.close(descriptor)
    with contextlib.suppress(ProcessLookupError):  # it has not made its group yet
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return (status if ended else None), usage


def _be_the_case(kind: Kind, seed: int, top: Path) -> None:
    """What the child does: never returns."""
    try:
        os.setsid()
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
        os.dup2(sys.stdin.fileno(), 0)
        _bound(kind, top)
        workspace = Workspace(top)
        workspace.enter()
        outcome = kind.import_function()(seed, workspace)
        # Renamed when whole: a child that is ended while it writes has left none.
        (top / "outcome").write_text(json.dumps(outcome.to_json()), encoding="utf-8")
        os.replace(top / "outcome", top / OUTCOME)
    except BaseException:  # noqa: BLE001  a fault of the generator is told as the case's
        wrong = Outcome("failed", "the case itself failed", traceback.format_exc())
        (top / OUTCOME).write_text(json.dumps(wrong.to_json()), encoding="utf-8")
    finally:
        os._exit(0)


def _bound(kind: Kind, top: Path) -> None:
    """Limit the child's processor time and memory: a machine on which more is not to be had."""
    trace = open(top / TRACE, "w", encoding="utf-8")  # noqa: PTH123, SIM115  open as long as the process lives
    faulthandler.register(signal.SIGXCPU, file=trace, chain=True)
    limit_s = int(kind.limit_s) + SPARE_S
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + SPARE_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not kind.bounded:
        return
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = taken + int(1e9 * kind.limit_gb)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
