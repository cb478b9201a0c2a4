"""A search with real trainings, small: the same whatever kills it and however many workers it has."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from fpgaml import search as search_module
from fpgaml.errors import OutputError, StudyError
from fpgaml.journal import Journal
from fpgaml.pipeline import journal_events, plan_search, run, search_stage
from fpgaml.search import JOURNAL, SearchResult, share_dataset, shared_dataset
from fpgaml.storage import read_json
from fpgaml.study import Study

pytestmark = pytest.mark.slow

STUDY = {
    "study": "small search",
    "task": "file",
    "data": {
        "path": "events.csv",
        "inputs": ["a", "b", "c"],
        "label": "y",
        "signal": 1,
        "background_efficiencies": [0.1],
    },
    "choices": {"bits": [[4, 1], [8, 2]], "units": [3, 6]},
    "input": {"bits": [8, 2]},
    "layers": [
        {"kind": "dense", "units": "$units", "bits": "$bits"},
        {"kind": "relu", "bits": [6, 2]},
        {"kind": "dropout", "rate": 0.1},
        {"kind": "dense", "units": 1, "bits": "$bits"},
    ],
    "train": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "search": {"algorithm": "hyperband", "max_epochs": 3, "seed": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(900, 3))
    label = (inputs[:, 0] + inputs[:, 1] ** 2 + rng.normal(size=900) > 1).astype(int)
    table = np.column_stack([inputs, label])
    np.savetxt(directory / "events.csv", table, delimiter=",", header="a,b,c,y", comments="", fmt="%.6g")
    (directory / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return directory


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return Study.load(folder / "study.yaml")


@pytest.fixture(scope="module")
def uninterrupted(study: Study, folder: Path) -> SearchResult:
    return search_stage(study, folder / "uninterrupted", workers=1)


def changed(folder: Path, name: str, **sections: object) -> Study:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **sections}))
    return Study.load(path)


def test_every_point_of_a_small_space_is_trained_once(uninterrupted, study, folder):
    assert len(uninterrupted.trials) == 4 == study.n_points
    assert not uninterrupted.failed
    assert uninterrupted.trials[0].epochs == 3
    finished = [event for event in journal_events(folder / "uninterrupted") if event["event"] == "finished"]
    keys = [(event["trial"], event["epochs"]) for event in finished]
    assert len(keys) == len(set(keys))
    scores = [found.score for found in uninterrupted.trials if found.epochs == 3]
    assert scores == sorted(scores, reverse=True)


def test_the_front_is_of_the_longest_trained(uninterrupted):
    longest = [found for found in uninterrupted.trials if found.epochs == 3]
    front = uninterrupted.front
    assert {found.trial for found in front} <= {found.trial for found in longest}
    assert all(
        not any(other.score > found.score and other.cost["ebops"] <= found.cost["ebops"] for other in longest)
        for found in front
    )
    assert uninterrupted.hypervolume >= 0


def test_a_finished_search_costs_nothing(uninterrupted, study, folder):
    before = (folder / "uninterrupted" / JOURNAL).read_bytes()
    again = search_stage(study, folder / "uninterrupted", workers=1)
    assert again.trials == uninterrupted.trials
    assert (folder / "uninterrupted" / JOURNAL).read_bytes() == before


def test_workers_change_nothing(uninterrupted, study, folder):
    assert search_stage(study, folder / "workers", workers=2).trials == uninterrupted.trials


def count_finished(output: Path) -> int:
    path = output / JOURNAL
    return path.read_text().count('"finished"') if path.exists() else 0


def test_a_killed_search_goes_on_where_it_was(uninterrupted, folder):
    command = [sys.executable, "-m", "fpgaml.cli", "search", str(folder / "study.yaml"), "--json", "--workers", "1"]
    output = folder / "killed"
    kills = 0
    while True:
        known = count_finished(output)
        started = subprocess.Popen(
            [*command, "--output", str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while started.poll() is None and count_finished(output) == known:
            time.sleep(0.05)
        if started.poll() is None and kills < 4:
            time.sleep(random.Random(kills).uniform(0, 1.5))
            os.killpg(started.pid, signal.SIGKILL)
            started.communicate()
            kills += 1
        else:
            stdout, stderr = started.communicate()
            break
    assert kills
    assert stderr == b""
    assert json.loads(stdout)["trials"] == json.loads(json.dumps(uninterrupted.to_json()["trials"]))
    assert not list(output.glob(".*"))


def test_a_dead_worker_is_replaced(uninterrupted, study, folder, monkeypatch):
    killed = []
    append = Journal.append

    def append_and_kill(self, event):
        append(self, event)
        if event["event"] == "started" and len(killed) < 2:
            workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
            for worker in workers:
                worker.kill()
                killed.append(worker.pid)

    monkeypatch.setattr(Journal, "append", append_and_kill)
    assert search_stage(study, folder / "dead", workers=1).trials == uninterrupted.trials
    assert killed


def test_a_worker_that_always_dies_fails_its_trial(study, folder, monkeypatch):
    submit = search_module.ProcessPoolExecutor.submit

    def submit_a_death(self, function, *arguments):
        return submit(self, os._exit, 1) if arguments[0]["units"] == 6 else submit(self, function, *arguments)

    monkeypatch.setattr(search_module.ProcessPoolExecutor, "submit", submit_a_death)
    found = search_stage(study, folder / "always", workers=1)
    assert {trial.choices["units"] for trial in found.trials} == {3}
    assert set(found.failed.values()) == {"its worker died 3 times, for lack of memory perhaps: try fewer workers"}


def test_a_trial_that_diverges_fails_alone(folder):
    rates = {**STUDY["train"], "learning_rate": "$rate"}
    # Weights and activations are clipped, so only the scale of a batch normalisation can run away.
    layers = [STUDY["layers"][0], {"kind": "batchnorm"}, *STUDY["layers"][1:]]
    choices = {**STUDY["choices"], "rate": [0.01, 1e38]}
    study = changed(folder, "rates", choices=choices, layers=layers, train=rates)
    found = search_stage(study, folder / "diverging", workers=2)
    assert found.failed
    assert {trial.choices["rate"] for trial in found.trials[:1]} == {0.01}
    assert all("learning_rate" in reason for reason in found.failed.values())


def test_another_space_is_refused(uninterrupted, folder):
    other = changed(folder, "other", search={**STUDY["search"], "seed": 3})
    with pytest.raises(OutputError, match="another study"):
        search_stage(other, folder / "uninterrupted")


def test_a_study_without_choices_has_nothing_to_search(folder, tmp_path):
    layers = [{"kind": "dense", "units": 1, "bits": [8, 2]}]
    single = changed(folder, "single", choices={}, layers=layers)
    with pytest.raises(StudyError, match="nothing to search"):
        search_stage(single, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_plan_is_what_happens(uninterrupted, study):
    planned = plan_search(study)
    assert planned.points == len(uninterrupted.trials)


def test_limits_decide_who_may_win(folder):
    study = changed(folder, "limits", search={**STUDY["search"], "limits": ["parameters <= 16"]})
    found = search_stage(study, folder / "limits", workers=2)
    assert all(winner.choices["units"] == 3 for winner in found.winners(4))
    assert {trial.feasible for trial in found.trials} == {True, False}
    impossible = changed(folder, "impossible", search={**STUDY["search"], "limits": ["parameters <= 1"]})
    with pytest.raises(StudyError, match="no trial keeps the limits"):
        search_stage(impossible, folder / "impossible", workers=2)


def test_run_searches_and_certifies_the_winner(uninterrupted, study, folder):
    report = run(study, folder / "run", workers=2)
    facts = read_json(folder / "run" / "search.json")
    assert facts["choices"] == dict(uninterrupted.trials[0].choices)
    assert report.summary["search"]["trials"] == 4
    assert report.summary["winner"]["choices"] == facts["choices"]
    assert report.summary["csim"]["mismatches"] == 0
    assert "4 trials" in report.markdown


def test_shared_data_are_the_data(study, tmp_path):
    dataset = study.dataset()
    share_dataset(dataset, tmp_path / "shared")
    shared = shared_dataset(tmp_path / "shared")
    for split in ("train", "validation"):
        np.testing.assert_array_equal(shared.part(split).x, dataset.part(split).x)
        np.testing.assert_array_equal(shared.part(split).y, dataset.part(split).y)
    assert len(shared) == sum(dataset.split != 2)
    assert shared.rate_khz == dataset.rate_khz
