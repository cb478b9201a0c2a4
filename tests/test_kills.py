"""A few interruptions of the many that ``fuzz/kills.py`` can make: resumed, a run ends as if nothing had been."""

from __future__ import annotations

import random
import shutil

import pytest
from fuzz.kills import STAGES, Reference, can_mount, check_full_disk, check_kills, content_of, half_files, leftovers

pytestmark = pytest.mark.slow

STAGE = {stage.name: stage for stage in STAGES}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference.make(tmp_path_factory.mktemp("kills") / "reference", commands=("run",))


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(reference, tmp_path):
    draw = random.Random(1)
    plan = [
        (STAGE[name], draw.random(), how)
        for name, how in (
            ("worker's start", "interrupt"),
            ("winners", "kill main"),
            ("csim: compilation", "kill main"),
            ("report: figures", "kill"),
        )
    ]
    outcomes = check_kills(reference, tmp_path / "run", plan)
    assert [outcome.wrong for outcome in outcomes] == [()] * len(plan)
    assert sum(outcome.happened for outcome in outcomes) > 1


def test_a_full_disk_is_told_and_the_run_resumed_when_there_is_room(reference, tmp_path):
    if not can_mount():
        pytest.skip("only root may mount a small disk, and not in every container")
    outcome = check_full_disk(reference, tmp_path / "disk", STAGE["HLS project"], 0.0)
    assert outcome.wrong == ()
    assert outcome.happened
    assert "No space left on device" in outcome.message
    assert "Free some" in outcome.message


def test_what_is_wrong_is_seen(reference, tmp_path):
    """The oracle itself: a file that differs, is half, or was left."""
    place = tmp_path / "run"
    shutil.copytree(reference.study.parent / "run", place)
    assert content_of(place / "output") == reference.content
    assert half_files(place / "output") == leftovers(place) == []
    (weights,) = (place / "output").glob("trials/*/weights_qkeras.npz")
    weights.write_bytes(weights.read_bytes()[:-30])
    (place / "output" / ".summary.json.abcd1234").mkdir()
    (place / "tmp" / "ccXYZ.s").touch()
    assert [name for name, digest in content_of(place / "output").items() if digest != reference.content[name]] == [
        weights.relative_to(place / "output").as_posix()
    ]
    assert len(half_files(place / "output")) == 1
    assert len(leftovers(place)) == 2
