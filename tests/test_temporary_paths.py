"""Temporary directories: removed by who made them, or by who comes after a kill, and never while they are used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from fpgaml.errors import OutputError
from fpgaml.temporary_paths import (
    own_temporary_files,
    path_beside,
    remove_abandoned,
    scratch_directory,
    temporary_files,
    unwritable,
)

HOLDING = """
import sys, time
from pathlib import Path
from fpgaml.temporary_paths import path_beside
with path_beside(Path(sys.argv[1])) as fresh:
    fresh.mkdir()
    (fresh / "file").write_text("half")
    print(fresh, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holding(tmp_path):
    """A process that writes to a temporary directory, and where."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "name")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_it_goes_in_the_end(tmp_path):
    with path_beside(tmp_path / "name") as fresh:
        assert fresh.name == "name"
        assert fresh.parent.parent == tmp_path
        fresh.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_holds_stays_and_what_a_killed_one_held_goes(tmp_path, holding):
    process, fresh = holding
    remove_abandoned(tmp_path)
    assert (fresh / "file").read_text() == "half"
    process.send_signal(signal.SIGKILL)
    process.wait()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_replacement_that_was_killed_between_two_renames_is_completed(tmp_path):
    (tmp_path / ".name.abcd1234" / "name").mkdir(parents=True)
    (tmp_path / ".name.abcd1234" / "replaced").mkdir()
    (tmp_path / ".name.abcd1234" / "name" / "new").touch()
    remove_abandoned(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["name", "name/new"]


def test_a_new_one_is_never_taken_for_an_abandoned_one(tmp_path):
    """One process looks for abandoned ones as fast as it can, while this makes them."""
    program = (
        "import sys; from pathlib import Path; from fpgaml.temporary_paths import remove_abandoned\n"
        "print(flush=True)\nwhile True: remove_abandoned(Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as removing:
        removing.stdout.readline()
        for number in range(300):
            with path_beside(tmp_path / "name") as fresh:
                fresh.write_text(str(number))
                assert fresh.read_text() == str(number)
        assert removing.poll() is None
        removing.kill()


def test_all_temporary_files_of_a_process_go_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / ".fpgaml.abcd1234" / "fpgaml").mkdir(parents=True)  # of a process that was killed
    (tmp_path / ".fpgaml.abcd1234" / "fpgaml" / "big").touch()
    with own_temporary_files():
        (own,) = tmp_path.iterdir()
        said = subprocess.run(["sh", "-c", "echo $TMPDIR"], capture_output=True, text=True, check=True).stdout.strip()
        assert Path(said) == Path(tempfile.gettempdir()) == own / "fpgaml"
        tempfile.mkstemp()
        with temporary_files() as other:
            assert other.parent.parent == own / "fpgaml"
    assert list(tmp_path.iterdir()) == []
    assert os.environ["TMPDIR"] == str(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path)


def test_a_full_disk_is_named(tmp_path):
    told = r"the disk may be full \(8 requested.*Free some room there; TMPDIR says"
    with pytest.raises(OutputError, match=told), scratch_directory("test-"):
        raise OSError("8 requested and 0 written")  # as numpy says it
    assert "Free some room there, and run" in str(unwritable(tmp_path, OSError(28, os.strerror(28), "x")))
    assert "Choose another place" in str(unwritable(tmp_path, OSError(30, os.strerror(30), "x")))


def test_where_there_is_no_room_for_any_it_is_told_where_one_is_needed(monkeypatch):
    def no_place():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", no_place)
    with own_temporary_files():
        pass
    with pytest.raises(OutputError, match=r"temporary files: No usable .*Free some room there"), temporary_files():
        pass


def test_threads_do_not_get_into_each_others_way(tmp_path):
    made = []

    def make():
        for _ in range(50):
            with path_beside(tmp_path / "name") as fresh:
                fresh.touch()
                made.append(fresh)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 200
    assert list(tmp_path.iterdir()) == []
