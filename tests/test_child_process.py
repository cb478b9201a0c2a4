"""Processes that work for another one: what ends a group does not reach them, and they do not outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import worker_tasks

from fpgaml.child_process import GROUP_SIGNALS, ChildDied
from fpgaml.worker_process import WorkerProcess


@pytest.fixture
def child():
    made = WorkerProcess()
    yield made
    made.end()


def test_it_calls_functions(child):
    assert child.call(worker_tasks.pid_and, "x") == (child.pid, "x")
    assert child.call(worker_tasks.pid_and, b"x" * 10_000_000) == (child.pid, b"x" * 10_000_000)


def test_an_error_says_where_it_was(child):
    with pytest.raises(ZeroDivisionError, match="of the task's own") as raised:
        child.call(worker_tasks.fail, None)
    assert "in fail" in raised.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Unpicklable: told"):
        child.call(worker_tasks.fail_unpicklably)
    assert child.call(worker_tasks.pid_and, 1) == (child.pid, 1)


def test_what_it_prints_is_no_answer(child, capfd):
    assert child.call(worker_tasks.print_and, "x") == "x"
    assert capfd.readouterr().out == ""


def test_one_that_dies_is_told(child):
    with pytest.raises(ChildDied, match="exit code -9"):
        child.call(os.kill, child.pid, signal.SIGKILL)


def test_temporary_files_go_with_it(child):
    place = Path(child.call(worker_tasks.leave_temporary_file))
    assert place.exists()
    child.end()
    assert not place.parent.exists()


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1])
def test_what_ends_a_group_does_not_reach_it_from_its_first_instruction_on(delay_s, capfd):
    child = WorkerProcess()
    try:
        time.sleep(delay_s)
        for number in GROUP_SIGNALS:
            os.kill(child.pid, number)
        assert child.call(worker_tasks.pid_and, 1) == (child.pid, 1)
        for number in GROUP_SIGNALS:
            os.kill(child.pid, number)
        assert child.call(worker_tasks.pid_and, 2) == (child.pid, 2)
    finally:
        child.end()
    assert capfd.readouterr().err == ""


def test_signals_that_are_held_back_for_it_reach_this_process():
    child = WorkerProcess()
    child.end()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & GROUP_SIGNALS


PARENT = """
import sys, time
import worker_tasks
from fpgaml.worker_process import WorkerProcess
if __name__ != "__main__":
    raise SystemExit("the script of the user was run again")
child = WorkerProcess()
if sys.argv[1] == "busy":
    child.call(worker_tasks.pid_and, 1)
print(child.pid, flush=True)
child.call(time.sleep, 600)
"""


@pytest.mark.parametrize("state", ["starting", "busy"])
@pytest.mark.parametrize("how", ["parent", "group"])
def test_it_ends_with_the_process_that_started_it(state, how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(script), state]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert psutil.Process(parent.pid).children() == [child]  # none of multiprocessing's, that tracks semaphores
        if how == "parent":
            parent.kill()
        else:
            os.killpg(parent.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            child.wait(timeout=20)
        assert parent.stderr.read() == ""
