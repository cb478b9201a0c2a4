"""A small share of the fuzz suite, and the suite itself: its cases can be made again, and it notices what is wrong."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz import faults
from fuzz.hostile_files import HOSTILE_FILES
from fuzz.kinds import KINDS, Kind
from fuzz.outcome import Outcome
from fuzz.random_layers import random_layers
from fuzz.random_studies import random_study, valid_study
from fuzz.run_content import content_of, half_files, kept_files, leftovers, trained_twice
from fuzz.runner import Run

from fpgaml.layers import layer_kinds

REPOSITORY = Path(__file__).parents[1]


def run_cases(folder: Path, kinds: dict[str, Kind], cases: dict[str, int], seed: int = 1) -> Run:
    run = Run(kinds, seed=seed, folder=folder, cases=cases, tell=lambda _: None)
    run.run()
    return run


@pytest.mark.slow
def test_generated_studies_and_data_are_accepted_or_refused_as_they_should_be(tmp_path):
    cases = {"studies": 150, "data": 40}
    run = run_cases(tmp_path, {name: KINDS[name] for name in cases}, cases)
    assert run.failed == 0, run.summary()
    for name, tally in run.tallies.items():
        assert tally.cases == cases[name]
        assert tally.verdicts["accepted"] > cases[name] / 8, run.summary()  # or nothing but the first check is tested
        assert len(tally.refusals) > cases[name] / 5, run.messages()


@pytest.mark.slow
def test_generated_studies_run_from_data_to_report(tmp_path):
    run = run_cases(tmp_path, {"runs": KINDS["runs"]}, {"runs": 4}, seed=3)
    assert run.failed == 0, run.summary()
    assert run.tallies["runs"].counts["words"] > 0, run.messages()


@pytest.mark.slow
def test_every_fault_is_noticed(tmp_path):
    kinds = {
        call.__name__: Kind(
            f"fuzz.faults:{call.__name__}", 1.0, limit_s=1, patience=4 if call is faults.wait_forever else 100
        )
        for call in faults.NOTICED
    }
    run = run_cases(tmp_path, kinds, dict.fromkeys(kinds, 1))
    for call, reason in faults.NOTICED.items():
        kept = tmp_path / "failures" / f"{call.__name__}-1"
        assert reason in (kept / "outcome.txt").read_text(encoding="utf-8"), call.__name__
    assert run.failed == len(kinds)
    assert "FAILED end_with_70 × 1 [1]: exit code #" in run.summary()
    assert not any("sleep" in command for command in commands_in(tmp_path))


def commands_in(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder, or in what was moved there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append((process / "cmdline").read_text(encoding="utf-8"))
        except OSError:
            continue
    return found


def test_what_is_right_is_no_fault(tmp_path):
    kinds = {name: Kind(f"fuzz.faults:{name}", 1.0) for name in ("accept", "refuse")}
    run = run_cases(tmp_path, kinds, dict.fromkeys(kinds, 2))
    assert run.failed == 0, run.summary()
    assert run.tallies["accept"].verdicts == {"accepted": 2}
    assert run.messages().endswith("     2 × [1] study.yaml:3: study: should be a name, found nothing\n")
    assert not (tmp_path / "failures").exists()


def test_the_same_seed_makes_the_same_case(tmp_path):
    made = []
    for attempt in ("one", "two"):
        for seed in range(30):
            (tmp_path / attempt / str(seed)).mkdir(parents=True)
            made.append(random_study(random.Random(seed), tmp_path / attempt / str(seed)))
    assert made[:30] == made[30:]
    assert len(set(made)) == 30
    files = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("events.csv")}
    assert files
    assert all((tmp_path / "two" / name).read_bytes() == content for name, content in files.items())


def test_every_layer_kind_and_section_is_generated(tmp_path):
    shapes = ((6,), (8, 3), (6, 5, 2))
    kinds = {entry["kind"] for seed in range(300) for entry in random_layers(shapes[seed % 3], random.Random(seed))}
    assert kinds == set(layer_kinds())
    sections = Counter(key for seed in range(60) for key in valid_study(random.Random(seed), tmp_path))
    assert sections.keys() == {
        "study",
        "task",
        "data",
        "input",
        "layers",
        "train",
        "search",
        "hardware",
        "choices",
        "trials",
    }


@pytest.mark.parametrize("write", dict.fromkeys(HOSTILE_FILES), ids=lambda write: write.__name__)
def test_every_hostile_file_can_be_written(tmp_path, write):
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        assert "path" in write(tmp_path / str(seed), random.Random(seed))


def test_refusals_that_differ_in_names_and_numbers_are_counted_together():
    reasons = (
        "study.yaml:3: layers[0].bits: should be a list, found 'it\\'s' (with x: [1, (2, 3)])",
        'study.yaml:12: layers[11].bits: should be a list, found "a\'b" (with x: {})',
    )
    assert {Outcome("refused", reason).reason_class for reason in reasons} == {
        "study.yaml:#: layers….bits: should be a list, found '…' …"
    }


@pytest.mark.slow
def test_cases_are_made_again_by_their_seed(tmp_path):
    """In processes of their own, in which hashes of texts differ."""
    paths = os.pathsep.join(filter(None, (str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    outcomes = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        command = [sys.executable, "-m", "fuzz", "--kinds", "studies", "data", "--seed", "5", "--cases", "4"]
        done = subprocess.run(
            [*command, "--folder", folder], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"kinds studies data, first seed 5; failures and messages go to {folder}/5\n")
        assert re.search(r"^ *studies +4 +", done.stdout, flags=re.MULTILINE)
        lines = (folder / "5" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
        outcomes.append(sorted((case["kind"], case["seed"], case["reason"]) for case in map(json.loads, lines)))
    assert outcomes[0] == outcomes[1]
    assert [(kind, seed) for kind, seed, _ in outcomes[0]] == [
        (kind, seed) for kind in ("data", "studies") for seed in range(5, 9)
    ]


JOURNAL = [
    {"event": "header", "version": 1},
    {"event": "started", "trial": "a", "time": "12:00"},
    {"event": "finished", "trial": "a", "epochs": 1, "score": 0.5, "wall_s": 3.0},
]
REPORT = "score 0.5 | 7 |\n| build [s] | 3.1 |\nfpgaml run study.yaml --output /somewhere\n"


def write_run(folder: Path, journal: list[dict[str, object]], report: str = REPORT, seed: int = 1) -> Path:
    """A folder as a run leaves it, as far as it is looked at."""
    (folder / "output" / "csim").mkdir(parents=True)
    (folder / "tmp").mkdir()
    (folder / "output" / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in journal))
    (folder / "output" / "report.md").write_text(report)
    (folder / "output" / "csim" / "a.json").write_text(json.dumps({"seed": seed, "build_s": seed * 0.7}))
    return folder


def test_what_a_killed_run_has_made_of_itself_is_seen(tmp_path):
    first = write_run(tmp_path / "first", JOURNAL)
    expected = content_of(first / "output")
    assert half_files(first / "output") == leftovers(first) == trained_twice(first / "output") == []

    retried = [*JOURNAL[:2], {**JOURNAL[1], "time": "12:30"}, {**JOURNAL[2], "wall_s": 4.0}]
    same = write_run(tmp_path / "same", retried, REPORT.replace("3.1", "4.5").replace("/some", "/any"))
    (same / "output" / "csim" / "a.json").write_text(json.dumps({"seed": 1, "build_s": 1.5}))
    assert content_of(same / "output") == expected

    retrained = [*JOURNAL, JOURNAL[2]]
    other = write_run(tmp_path / "other", retrained, REPORT.replace("7", "8"), seed=2)
    assert {name for name, digest in content_of(other / "output").items() if digest != expected[name]} == set(expected)
    assert trained_twice(other / "output") == ["trial a was trained 2 times to epoch 1"]

    kept = kept_files(first)
    assert set(kept) == {"output/csim/a.json"}
    (first / "output" / "csim" / "a.json").write_text("{")
    (first / "output" / ".summary.json.abcd1234").mkdir()
    (first / "tmp" / "ccXYZ.s").touch()
    assert kept_files(first) != kept
    assert len(half_files(first / "output")) == 1
    assert sorted(leftovers(first)) == ["output/.summary.json.abcd1234 was left", "tmp/ccXYZ.s was left"]
