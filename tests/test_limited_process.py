"""Programs with a time limit: how they end, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from fpgaml.backends._limited_process import check_room, run_limited
from fpgaml.errors import OutputError, ToolError

HANGING = """\
import os, signal, subprocess, sys, time
{first}
own = subprocess.Popen(["sleep", "600"])
apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(os.getpid(), own.pid, apart.pid, flush=True)
time.sleep(600)
"""


def python(text, folder, **options):
    return run_limited([sys.executable, "-c", text], cwd=folder, log=folder / "log", **options)


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_program_that_ends_well(tmp_path):
    ended = python("import sys; print('out'); print('told', file=sys.stderr)", tmp_path)
    assert ended.returncode == 0
    assert ended.wall_s > 0
    assert sorted(ended.tail()) == ["out", "told"]


def test_it_runs_in_its_folder_without_input(tmp_path):
    python("import os, sys; print(os.getcwd(), repr(sys.stdin.read()))", tmp_path)
    assert (tmp_path / "log").read_text() == f"{tmp_path} ''\n"


def test_an_exit_code_and_what_it_complained_of(tmp_path):
    ended = python("print('INFO: a\\nERROR: [X 1] b\\nINFO: c'); raise SystemExit(3)", tmp_path)
    assert ended.how == "ended with exit code 3"
    assert ended.errors() == "ERROR: [X 1] b"


def test_without_a_complaint_the_last_lines_are_told(tmp_path):
    assert python("print('\\n'.join('abcdefgh'))", tmp_path).errors(lines=3) == "f\ng\nh"


def test_a_program_that_is_killed(tmp_path):
    ended = python("import os; os.kill(os.getpid(), 9)", tmp_path)
    assert ended.returncode == -signal.SIGKILL
    assert "SIGKILL" in ended.how
    assert "memory" in ended.how


@pytest.mark.parametrize("first", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["plain", "stubborn"])
def test_time_runs_out_for_it_and_all_that_it_started(first, tmp_path, monkeypatch):
    monkeypatch.setattr("fpgaml.backends._limited_process.GRACE_S", 0.5)
    ended = python(HANGING.format(first=first), tmp_path, timeout_s=3)
    assert ended.returncode is None
    assert 3 <= ended.wall_s < 60
    assert "took longer than 0.05 minutes" in ended.how
    pids = list(map(int, ended.tail()[0].split()))
    assert len(pids) == 3
    assert [runs(pid) for pid in pids] == [False, False, False]


def test_an_interrupt_ends_it_too(tmp_path):
    def interrupt():
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text().endswith("\n"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            python(HANGING.format(first=""), tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
        thread.join()
    pids = list(map(int, (tmp_path / "log").read_text().split()))
    assert [runs(pid) for pid in pids] == [False, False, False]


def test_the_last_line_is_watched(tmp_path):
    seen = []
    python("import time; print('half', flush=True); time.sleep(2.5)", tmp_path, watch=seen.append)
    assert seen
    assert set(seen) <= {"", "half"}
    assert seen[-1] == "half"


def test_a_program_that_cannot_be_started(tmp_path):
    with pytest.raises(ToolError, match="no_such_program: cannot be started"):
        run_limited(["no_such_program"], cwd=tmp_path, log=tmp_path / "log")


def test_a_log_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        run_limited(["true"], cwd=tmp_path, log=tmp_path / "no such folder" / "log")


KILLED = """
import sys
from pathlib import Path
from fpgaml.backends._limited_process import check_room, run_limited
run_limited([sys.executable, "-c", sys.argv[1]], cwd=Path(sys.argv[2]), log=Path(sys.argv[2]) / "log")
"""


@pytest.mark.parametrize("group", [False, True], ids=["alone", "with its group"])
def test_it_ends_where_the_process_that_runs_it_is_killed(group, tmp_path):
    command = [sys.executable, "-c", KILLED, HANGING.format(first=""), str(tmp_path)]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text().endswith("\n"):
            time.sleep(0.02)
        *pids, apart = map(int, (tmp_path / "log").read_text().split())
        assert [runs(pid) for pid in pids] == [True, True]
        helpers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    deadline = time.monotonic() + 20
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [runs(pid) for pid in pids] == [False, False]
    assert psutil.wait_procs(helpers, timeout=20)[1] == []
    os.kill(apart, signal.SIGKILL)  # what begins a session of its own is beyond reach then


def test_nothing_stays_of_a_program_that_has_ended(tmp_path):
    before = set(psutil.Process().children())
    python("pass", tmp_path)
    assert set(psutil.Process().children()) == before


def test_a_full_disk_is_told():
    with pytest.raises(OutputError, match=r"g\+\+: a disk is full. Free some of it and try again. It works in /here"):
        check_room("a.cpp:1: x\nfatal error: a.s: No space left on device\n", name="g++", cwd=Path("/here"))
    with pytest.raises(OutputError, match=r"g\+\+: .*said nothing: the disk may be full. Free some of it.* in /here"):
        check_room("\n", name="g++", cwd=Path("/here"), returncode=1)
    check_room("a.cpp:1: error: no such thing", name="g++", cwd=Path("/here"), returncode=1)
    check_room("", name="g++", cwd=Path("/here"), returncode=-9)
    check_room("", name="g++", cwd=Path("/here"), returncode=None)
