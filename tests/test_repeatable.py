"""The same network twice gives the same folder, byte for byte: in another process, at another place, another day."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from handover_facts import hand_over_hls, hand_over_rtl

from fpgaml.backends._hls4ml_repeatable import make_repeatable

TARGETS = {
    "vivado": lambda folder: hand_over_hls(folder, "vivado", "io_parallel"),
    "vitis": lambda folder: hand_over_hls(folder, "vitis", "io_stream"),
    "rtl": hand_over_rtl,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_runs_hand_over_the_same_bytes(tmp_path):
    pytest.importorskip("da4ml")
    here, there = tmp_path / "here", tmp_path / "the other place"
    for name, hand_over in TARGETS.items():
        hand_over(here / name)
    there.mkdir()
    # Sets and dictionaries have another order there, and the clock and the language are others.
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    program = f"from pathlib import Path; import {Path(__file__).stem} as t\n"
    program += "for name, hand_over in t.TARGETS.items(): hand_over(Path(name))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=there, env=environment, check=True)
    for name in TARGETS:
        first, second = contents(here / name), contents(there / name)
        assert len(first) > 20
        assert sorted(first) == sorted(second)
        assert [file for file in first if first[file] != second[file]] == [], name
        assert all(os.fsencode(place) not in text for place in (here, there) for text in first.values())


def test_the_stamp_is_that_of_the_content(tmp_path):
    stamps = []
    for weights, stamp in (("1, 2", "0a1b2c3d"), ("1, 2", "12345678"), ("1, 3", "0a1b2c3d")):
        project = tmp_path / str(len(stamps))
        (project / "firmware").mkdir(parents=True)
        (project / "firmware" / "w2.h").write_text(weights, encoding="utf-8")
        (project / "build_lib.sh").write_text(f"PROJECT=tiny\nLIB_STAMP={stamp}\n", encoding="utf-8")
        config = f"OutputDir: {project}/long\n  and folded\nPart: x\nStamp: {stamp}\nWriter: y\n"
        (project / "hls4ml_config.yml").write_text(config, encoding="utf-8")
        make_repeatable(project)
        written = (project / "build_lib.sh").read_text(encoding="utf-8")
        stamps.append(written.removeprefix("PROJECT=tiny\nLIB_STAMP=").strip())
        config = (project / "hls4ml_config.yml").read_text(encoding="utf-8")
        assert config == f"OutputDir: .\nPart: x\nStamp: '{stamps[-1]}'\nWriter: y\n"
    assert stamps[0] == stamps[1] != stamps[2]
    assert {len(stamp) for stamp in stamps} == {8}
