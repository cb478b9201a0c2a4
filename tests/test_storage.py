"""A file is whole or not there, whatever goes wrong while it is written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fpgaml.errors import OutputError
from fpgaml.storage import (
    atomic_path,
    cache_directory,
    file_name,
    read_arrays,
    read_json,
    write_json,
    write_text,
)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_and_its_directories(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "η–φ")
    assert (tmp_path / "a" / "b" / "note.txt").read_text(encoding="utf-8") == "η–φ"
    assert names(tmp_path / "a" / "b") == ["note.txt"]


def test_nothing_is_seen_before_the_end(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with atomic_path(path) as fresh:
        fresh.write_text("new")
        assert path.read_text() == "old"
        assert fresh.parent.parent == tmp_path  # the same file system, so that the rename is atomic
    assert path.read_text() == "new"
    assert names(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OutputError("other")])
def test_an_exception_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write():
        with atomic_path(path) as fresh:
            fresh.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_directories(tmp_path):
    path = tmp_path / "project"
    for content in ("one", "two"):
        with atomic_path(path) as fresh:
            fresh.mkdir()
            (fresh / content).touch()
    assert names(path) == ["two"]

    def write():
        with atomic_path(path) as fresh:
            fresh.mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert names(path) == ["two"]
    assert names(tmp_path) == ["project"]


def test_a_file_where_a_directory_is_needed(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/note\.txt: cannot be written"):
        write_text(tmp_path / "file" / "note.txt", "x")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.fixture
def closed_directory():
    """A directory in which this process may not write; root, who may everywhere, becomes nobody for a while."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "closed"
        Path(name).chmod(0o755)
        directory.mkdir(mode=0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield directory
        if root:
            os.seteuid(0)


def test_a_read_only_directory(closed_directory):
    with pytest.raises(OutputError, match=r"closed/note\.txt: cannot be written: Permission denied"):
        write_text(closed_directory / "note.txt", "x")


def test_a_place_that_takes_no_directories():
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(Path("/proc/fpgaml/note.txt"), "x")


def test_a_full_disk_by_its_error(tmp_path):
    """/dev/full gives the error of a full disk to whoever writes to it."""
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write():
        with atomic_path(path) as fresh:
            fresh.symlink_to("/dev/full")
            fresh.write_text("x")

    with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_full_disk_under_a_tree_that_is_copied(tmp_path):
    """What copies a tree tells of every file, with both of its paths and a text of the cause."""
    source, made = tmp_path / "source", tmp_path / "made"
    source.mkdir()
    (source / "weights.txt").write_text("1, 2")

    def write():
        with atomic_path(made) as fresh:
            shutil.copytree(source, fresh, copy_function=lambda _, target: Path("/dev/full").write_text(target))

    with pytest.raises(OutputError) as caught:
        write()
    advice = "Free some room there, and run the same again"
    assert str(caught.value) == f"{made}: cannot be written: {os.strerror(errno.ENOSPC)}. {advice}"
    assert names(tmp_path) == ["source"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from fpgaml.errors import OutputError
from fpgaml.storage import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path(sys.argv[1]), "x" * 5000)
except OutputError as error:
    print(error)
"""


def test_a_file_that_cannot_grow(tmp_path):
    """The write fails half-way, as on a disk that fills up: some bytes were taken."""
    path = tmp_path / "note.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written: " + os.strerror(errno.EFBIG) in done.stdout
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_killed_while_writing(tmp_path):
    """What a kill leaves behind is hidden and beside, never under the name of the finished file."""
    path = tmp_path / "note.txt"
    program = (
        "import os, sys; from pathlib import Path; from fpgaml.storage import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as fresh:\n"
        "    fresh.write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    assert all(name.startswith(".note.txt.") for name in names(tmp_path))


def test_what_takes_its_place_is_on_the_disk_before(tmp_path, monkeypatch):
    """A machine that loses its power does not leave the new name of a file that was not written."""
    done = []

    def synced(descriptor):
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def replaced(self, target):
        done.append(f"to {Path(target).name}")
        os.rename(self, target)  # noqa: PTH104  what is replaced here
        return Path(target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_text(tmp_path / "note.txt", "x")
    assert done == ["note.txt", "to note.txt", tmp_path.name]
    done.clear()
    with atomic_path(tmp_path / "folder") as fresh:
        fresh.mkdir()
        (fresh / "file").touch()
    assert done == ["to folder", tmp_path.name]


def test_a_folder_that_goes_while_something_is_written_is_told(tmp_path):
    def write():
        with atomic_path(tmp_path / "folder" / "note.txt") as fresh:
            fresh.write_text("x")
            shutil.rmtree(tmp_path / "folder")

    with pytest.raises(OutputError, match=r"note\.txt: its folder was removed while it was written"):
        write()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "npy", "missing", "flipped small"])
def test_broken_arrays_are_named(tmp_path, damage):
    path = tmp_path / "scores.npz"
    save = np.savez_compressed if damage == "flipped" else np.savez
    save(path, validation=np.arange(1000.0), test=np.arange(500.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    if damage == "missing":
        path.unlink()
    elif damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"no arrays"}.get(damage, bytes(content)))
    with pytest.raises(OutputError, match=r"scores\.npz: (not found|cannot be read as npz.*remove it)"):
        read_arrays(path)


def test_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", validation=np.arange(3.0))
    (found,) = read_arrays(tmp_path / "a.npz").items()
    assert found[0] == "validation"
    np.testing.assert_array_equal(found[1], np.arange(3.0))


def test_json(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": [1, 2.5, None]}
    with pytest.raises(OutputError, match="not found"):
        read_json(tmp_path / "other.json")
    path.write_text("{")
    with pytest.raises(OutputError, match="cannot be read as JSON"):
        read_json(path)


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("FPGAML_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert cache_directory() == tmp_path / "fpgaml"


HOSTILE_NAMES = (
    "x/../../../../NAME", "x_.._.._.._.._NAME", "/", "//", "..", ".", "", "a/b", "a_b", "a b", "a\0b", "a\nb", "-rf",
    "a~b", "a~c14cddc033f64b9dea80ea675cf280a0", "é", "\ud800", "\u202e", "x" * 300, "x" * 301, "ht_gev", "HT [GeV]",
    "CON.", "a\\b",
)  # fmt: skip


def test_names_of_people_become_names_of_files(tmp_path):
    assert file_name("ht_gev") == "ht_gev"
    assert file_name("jet.pt-2") == "jet.pt-2"
    for name in HOSTILE_NAMES:
        write_text(tmp_path / "inside" / f"{file_name(name)}.txt", repr(name))
    assert names(tmp_path) == ["inside"]
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "inside").iterdir()]
    assert sorted(written) == sorted(map(repr, HOSTILE_NAMES))  # none in another's place, none in a folder


def test_an_escaped_name_is_nobodys_own():
    first = file_name("a/b")
    assert file_name(first) != first
