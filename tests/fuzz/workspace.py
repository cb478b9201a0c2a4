"""The folders that a case has for itself, and whether anything was written where nothing should be."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEPTH = 8
"""Folders between a study and the top of its workspace: how far ``../../…`` is followed."""

Snapshot = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Workspace:
    """Folders of one case.

    Parameters
    ----------
    top : Path
        Everything is in here.
    """

    top: Path

    @property
    def folder(self) -> Path:
        """Where a study and its data are, with folders around it."""
        return self.top.joinpath("around", *"abcdefgh"[:DEPTH], "case")

    @property
    def output(self) -> Path:
        """What ``--output`` is."""
        return self.folder / "output"

    @property
    def shared(self) -> Path:
        """A folder that all cases of a run of the suite have in common, for what takes long to make."""
        return Path(os.environ["FUZZ_SHARED"])

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that keep a process in here: the user's home, temporary files and caches."""
        return {
            **os.environ,
            "HOME": str(self.top / "around" / "home"),
            "TMPDIR": str(self.top / "around" / "tmp"),
            "FPGAML_CACHE_DIR": str(self.top / "cache"),
            "XDG_CACHE_HOME": str(self.top / "cache"),
            # What these write there when they are imported is none of fpgaml's doing.
            "KERAS_HOME": str(self.top / "cache" / "keras"),
            "MPLCONFIGDIR": str(self.top / "cache" / "matplotlib"),
        }

    def enter(self) -> None:
        """Make the folders, and have this process and those that it starts live in them."""
        around = self.top / "around"
        for folder in (self.folder, self.top / "cache", *(around / name for name in ("home", "tmp", "cwd"))):
            folder.mkdir(parents=True)
        os.environ.update(self.environment)
        tempfile.tempdir = None  # asks for TMPDIR again
        os.chdir(around / "cwd")

    def snapshot(self) -> Snapshot:
        """Kind, size and time of everything around the case: all but its output and the cache."""
        found: Snapshot = {}
        for parent, folders, files in os.walk(self.top / "around"):
            if Path(parent) == self.folder and self.output.name in folders:
                folders.remove(self.output.name)
            for name in (*folders, *files):
                facts = os.lstat(os.path.join(parent, name))  # noqa: PTH118  names may be no UTF-8
                size, time = (0, 0) if stat.S_ISDIR(facts.st_mode) else (facts.st_size, facts.st_mtime_ns)
                found[os.path.relpath(os.path.join(parent, name), self.top)] = (facts.st_mode, size, time)  # noqa: PTH118
        return found
