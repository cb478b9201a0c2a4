"""The directory of a run: one process at a time, and nothing half-written left in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from fpgaml.errors import OutputError
from fpgaml.run_directory import working_in
from fpgaml.storage import read_json

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from fpgaml.storage import atomic_path
with atomic_path(Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("place", ["study.yaml", "csim/abc.npz", "trials/abc/weights.npz"])
def test_what_a_killed_process_was_writing_is_removed(tmp_path, place):
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path / place)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = (tmp_path / place).parent.iterdir()
    assert leftover.is_dir()
    with working_in(tmp_path):
        assert not leftover.exists()
        assert leftover.parent.is_dir()


def test_what_looks_like_it_and_is_not_stays(tmp_path):
    for name in (".venv.disabled", ".git", "csim"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".notes.original").touch()
    before = sorted(tmp_path.rglob("*"))
    with working_in(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_one_process_at_a_time(tmp_path):
    with working_in(tmp_path):
        with pytest.raises(OutputError, match="another fpgaml is at work"), working_in(tmp_path):
            pass
        with pytest.raises(OutputError, match="another fpgaml is at work"), working_in(tmp_path):
            pass  # the refused one has not taken the lock with it
    with working_in(tmp_path):
        pass


def test_a_directory_in_which_nothing_came_about_goes_again(tmp_path):
    with working_in(tmp_path / "a" / "b", make=True):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a" / "b").exists()
    with working_in(tmp_path / "c", make=True):
        (tmp_path / "c" / "file").touch()
    assert (tmp_path / "c" / "file").exists()
    (tmp_path / "d").mkdir()
    with working_in(tmp_path / "d", make=True):
        pass
    assert (tmp_path / "d").is_dir()  # it was there before


def test_a_missing_directory_is_refused_unless_it_shall_be_made(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"), working_in(tmp_path / "a"):
        pass


@pytest.mark.parametrize("change", ["removed", "renamed", "replaced"])
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_directory_that_goes_in_the_meantime_is_told(tmp_path, change, ends):
    output = tmp_path / "output"

    def work():
        with working_in(output, make=True):
            if change == "removed":
                output.rmdir()
            else:
                output.rename(tmp_path / "elsewhere")
            if change == "replaced":
                output.mkdir()
            if ends == "badly":
                read_json(output / "dataset.json")

    with pytest.raises(OutputError, match=f"{output}: was removed or replaced while fpgaml was at work in it"):
        work()


def test_leftovers_go_from_every_depth_and_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / "cache"))
    names = [
        "output/states/a/.e.state.abcd1234",
        "output/hls_projects/a/tb_data/.x.dat.abcd1234",
        "cache/csim/.a.abcd1234",
    ]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / name.rsplit(".", 1)[0].rsplit("/.", 1)[1]).touch()
    with working_in(tmp_path / "output"):
        assert not list(tmp_path.rglob(".*"))


def test_no_descriptor_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a directory of the kernel
    for _ in range(3):
        with working_in(tmp_path):
            pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
