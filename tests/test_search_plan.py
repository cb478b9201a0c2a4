"""How long a search may take, before anything was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_study import STUDY, write_study

from fpgaml.search_plan import Estimate, plan, schedule
from fpgaml.study import Study

TRIGGER = """\
study: estimated
task: trigger
data: {n_signal: 40_000, n_background: 60_000}
choices:
  bits: [[8, 2], [6, 1], [10, 2]]
  filters: [4, 8]
input: {bits: [12, 4], signed: false}
layers:
  - {kind: conv2d, filters: $filters, kernel_size: 3, bits: $bits}
  - {kind: relu, bits: [8, 3]}
  - {kind: flatten}
  - {kind: dense, units: 1, bits: $bits}
train: {epochs: 10, float_epochs: 0}
search: {algorithm: grid, max_epochs: 5, winners: 2, winner_seeds: [1, 2]}
"""


def estimated(tmp_path: Path, text: str = TRIGGER, *, workers: int = 1) -> Estimate:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    found = plan(Study.load(path), workers=workers).estimate
    assert found is not None
    return found


def test_the_estimate_is_events_times_epochs_over_speed(tmp_path):
    """One convolution: 6.5 microseconds an event and a little more for its products; 1 s for each of two shapes."""
    found = estimated(tmp_path)
    assert found.search_s == pytest.approx(2 + 6 * 5 * 100_000 * 7.3e-6, rel=0.05)
    # Two winners and a float twin, with two seeds each.
    assert found.winners_s == pytest.approx(6 * (1 + 10 * 100_000 * 7.3e-6), rel=0.05)


def test_workers_share_the_work(tmp_path):
    one, four = estimated(tmp_path), estimated(tmp_path, workers=4)
    assert four.search_s == pytest.approx(2 + (one.search_s - 2) / 4)
    assert four.winners_s == pytest.approx(one.winners_s / 4)


def test_trials_see_a_part_of_the_events_and_winners_all(tmp_path):
    whole, half = (
        estimated(tmp_path),
        estimated(tmp_path, TRIGGER.replace("winners: 2", "training_fraction: 0.5, winners: 2")),
    )
    assert half.search_s == pytest.approx(2 + (whole.search_s - 2) / 2)
    assert half.winners_s == whole.winners_s


def test_float_epochs_are_trained_once_for_each_shape(tmp_path):
    without = estimated(tmp_path)
    with_them = estimated(tmp_path, TRIGGER.replace("float_epochs: 0", "float_epochs: 5"))
    assert (with_them.search_s - 2) == pytest.approx((without.search_s - 2) * (30 + 2 * 5) / 30)


def test_hand_picked_trials_are_estimated_too(tmp_path):
    text = TRIGGER.replace("algorithm: grid, ", "") + "trials:\n  - {bits: [8, 2], filters: 4}\n"
    one = estimated(tmp_path, text)
    two = estimated(tmp_path, text + "  - {bits: [6, 1], filters: 4}\n")
    assert two.search_s - 1 == pytest.approx(2 * (one.search_s - 1))


def test_combinations_that_cannot_be_built_are_left_out(tmp_path):
    text = (
        TRIGGER.replace("[10, 2]]", "[24, 2]]")
        .replace("bits: [8, 3]}", "bits: $act}")
        .replace("  filters:", "  act: [[8, 3], [30, 3]]\n  filters:")
    )
    assert estimated(tmp_path, text).search_s > 0


def test_a_file_tells_its_number_of_events_only_when_read(tmp_path):
    text = STUDY.replace("units: 4", "units: $units") + "choices: {units: [2, 3]}\n"
    study = Study.load(write_study(tmp_path, text))
    assert plan(study) == schedule(study.search, 2)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01, "1 s"), (89, "89 s"), (1500, "25 min"), (5000, "83 min"), (9000, "2.5 h")]
)
def test_the_estimate_as_text(seconds, text):
    planned = schedule(Study.load(Path(__file__).parents[1] / "search_spaces" / "trigger_dropout.yaml").search, 2)
    line = str(replace(planned, estimate=Estimate(seconds, 60.0, 1))).splitlines()[-1]
    assert line.startswith(f"  roughly {text} for the trials and 60 s for the winners with 1 worker: guessed")
    assert line not in str(planned)
