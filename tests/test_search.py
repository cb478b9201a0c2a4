"""A search with real trainings, small: the same whatever kills it and however many workers it has."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import worker_tasks
from rich.progress import Progress
from small_search import SECTIONS, events_of, outcome, searched, small_study, start_search, write_data

from fpgaml import search as search_module
from fpgaml.errors import OutputError, StudyError
from fpgaml.journal import JOURNAL, Journal
from fpgaml.proposals import Proposal, schedule
from fpgaml.search import training_part
from fpgaml.search_options import SearchOptions
from fpgaml.search_progress import SearchProgress
from fpgaml.search_result import SearchResult
from fpgaml.study import Study

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("search")
    write_data(directory)
    return directory


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return small_study(folder)


@pytest.fixture(scope="module")
def uninterrupted(study: Study, folder: Path) -> SearchResult:
    return searched(study, folder / "uninterrupted")


@slow
def test_every_point_of_a_small_space_is_trained_once(uninterrupted, study, folder):
    assert len(uninterrupted.trials) == 4 == study.n_points
    assert not uninterrupted.failed
    assert uninterrupted.trials[0].epochs == 3
    finished = events_of(folder / "uninterrupted", "finished")
    keys = [(event["trial"], event["epochs"]) for event in finished]
    assert len(keys) == len(set(keys)) == schedule(study.search, study.n_points).trials
    scores = [found.score for found in uninterrupted.trials if found.epochs == 3]
    assert scores == sorted(scores, reverse=True)
    assert all(event["signal_efficiency"]["low"] <= event["signal_efficiency"]["value"] for event in finished)


@slow
def test_the_front_is_of_the_longest_trained(uninterrupted):
    longest = [found for found in uninterrupted.trials if found.epochs == 3]
    front = uninterrupted.front
    assert {found.trial for found in front} <= {found.trial for found in longest}
    assert all(
        not any(other.score > found.score and other.cost["ebops"] <= found.cost["ebops"] for other in longest)
        for found in front
    )
    assert uninterrupted.hypervolume >= 0


@slow
def test_a_finished_search_costs_nothing(uninterrupted, study, folder):
    before = (folder / "uninterrupted" / JOURNAL).read_bytes()
    again = searched(study, folder / "uninterrupted")
    assert again.trials == uninterrupted.trials
    assert (folder / "uninterrupted" / JOURNAL).read_bytes() == before


@slow
def test_workers_change_nothing(uninterrupted, study, folder):
    assert searched(study, folder / "workers", workers=2).trials == uninterrupted.trials


class Killed:
    """A search that is killed ``KILLS`` times at random moments, and ends after that."""

    KILLS = 10

    def __init__(self, study: Study, output: Path, seed: int, *, group: bool) -> None:
        self.study, self.output, self.group = study, output, group
        self.random = random.Random(seed)
        self.kills = self.orphans = 0
        self.lost: list[dict] = []
        self.stdout = self.stderr = ""

    def work(self) -> None:
        while self.kills < self.KILLS:
            search = start_search(self.study, self.output, "1")
            time.sleep(self.random.uniform(0, 7))
            children = psutil.Process(search.pid).children(recursive=True) if search.poll() is None else []
            known = events_of(self.output, "finished")
            if self.group:
                os.killpg(search.pid, signal.SIGKILL)
            else:
                search.kill()
            search.communicate()
            self.kills += 1
            self.orphans += len(psutil.wait_procs(children, timeout=20)[1])
            self.lost += [event for event in known if event not in events_of(self.output, "finished")]
        self.stdout, self.stderr = start_search(self.study, self.output, "1").communicate()


@slow
def test_a_search_that_is_killed_twenty_times_ends_as_if_it_had_not_been(folder):
    """Half the kills take the worker process with them, half leave it to notice by itself."""
    sections = {
        "choices": {"bits": [[4, 1], [8, 2], [10, 3]], "units": [3, 4, 5, 6]},
        "search": {"algorithm": "hyperband", "max_epochs": 9, "seed": 2},
    }
    study = small_study(folder, "killed", **sections)
    killed = [Killed(study, folder / f"killed_{seed}", seed, group=bool(seed)) for seed in (0, 1)]
    threads = [threading.Thread(target=search.work) for search in killed]  # one for each core
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = outcome(searched(study, folder / "not_killed"))
    for search in killed:
        assert search.kills == Killed.KILLS
        assert not search.lost
        assert not search.orphans
        assert search.stderr == ""
        assert json.loads(search.stdout) == expected
        finished = [(event["trial"], event["epochs"]) for event in events_of(search.output, "finished")]
        assert len(finished) == len(set(finished)) == len(events_of(folder / "not_killed", "finished"))
        assert not list(search.output.glob(".*"))


@slow
def test_a_dead_worker_is_replaced(uninterrupted, study, folder, monkeypatch):
    killed = []
    append = Journal.append

    def append_and_kill(self, event):
        append(self, event)
        if event["event"] == "started" and len(killed) < 2:
            workers = [
                child for child in psutil.Process().children() if "fpgaml.worker_process" in " ".join(child.cmdline())
            ]
            for worker in workers:
                worker.kill()
                killed.append(worker.pid)

    monkeypatch.setattr(Journal, "append", append_and_kill)
    assert searched(study, folder / "dead").trials == uninterrupted.trials
    assert killed


@slow
def test_a_trial_that_kills_its_workers_fails_until_the_search_goes_on(uninterrupted, study, folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(search_module, "train_in_worker", worker_tasks.train_or_die)
        found = searched(study, folder / "always")
    assert {trial.choices["units"] for trial in found.trials} == {3}
    assert len(found.failed) == 2
    assert all("its worker died 3 times, for lack of memory perhaps" in reason for reason in found.failed.values())
    assert not any(event["final"] for event in events_of(folder / "always", "failed"))
    again = searched(study, folder / "always")
    assert not again.failed
    assert {trial.trial for trial in again.trials} == {trial.trial for trial in uninterrupted.trials}


@slow
def test_a_trial_that_diverges_fails_alone_and_for_good(folder):
    sections = {
        "choices": {"bits": [[8, 2]], "units": [3, 6], "rate": [0.01, 1e38]},
        # Weights and activations are clipped, so only the scale of a batch normalisation can run away.
        "layers": [SECTIONS["layers"][0], {"kind": "batchnorm"}, *SECTIONS["layers"][1:]],
        "train": {**SECTIONS["train"], "learning_rate": "$rate"},
        "search": {"algorithm": "grid", "max_epochs": 2, "seed": 1},
    }
    study = small_study(folder, "rates", **sections)
    found = searched(study, folder / "diverging", workers=2)
    assert {trial.choices["rate"] for trial in found.trials} == {0.01}
    assert len(found.trials) == len(found.failed) == 2
    assert all("diverged" in reason and "learning_rate" in reason for reason in found.failed.values())
    before = (folder / "diverging" / JOURNAL).read_bytes()
    assert searched(study, folder / "diverging").failed == found.failed
    assert (folder / "diverging" / JOURNAL).read_bytes() == before


WIDE = {"backend": "vitis"}  # whose tool has no certain limit to products side by side


@slow
def test_a_trial_without_enough_memory_fails_alone_until_there_is(folder):
    """A batch of it takes some 0.7 GB behind every layer, and the processes may have 6 GiB each."""
    head, *events = (folder / "events.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "many.csv").write_text(head + 12 * "".join(events), encoding="utf-8")
    choices = {"bits": [[4, 1]], "units": [40_000, 3, 6]}
    options = {"algorithm": "grid", "max_epochs": 1, "seed": 1}
    sections = {"data": {**SECTIONS["data"], "path": "many.csv"}, "train": {**SECTIONS["train"], "batch_size": 4096}}
    study = small_study(folder, "memory", choices=choices, search=options, hardware=WIDE, **sections)
    output = folder / "memory"
    limit = (3 * 2**30, 3 * 2**30)
    search = start_search(study, output, "1", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
    stdout, stderr = search.communicate(timeout=120)
    assert search.returncode == 0, stderr
    assert "more memory than there is" in stderr
    assert "The search goes on without it" in stderr
    found = json.loads(stdout)
    assert {trial["choices"]["units"] for trial in found["trials"]} == {3, 6}
    assert len(found["failed"]) == 1
    (failed,) = events_of(output, "failed")
    assert failed["choices"]["units"] == 40_000
    assert not failed["final"]


@slow
@pytest.mark.parametrize(
    ("units", "epochs", "limit", "place"), [(3000, 1, 2**16, "epoch_00001.state"), (9, 60, 20_000, JOURNAL)]
)
def test_a_full_disk_stops_the_search_which_goes_on_later(folder, units, epochs, limit, place):
    """The first time, files cannot grow beyond a limit, which a state or the journal reaches in the middle."""
    choices = {"bits": [[4, 1]], "units": [3, 6, units]}
    options = {"algorithm": "grid", "max_epochs": epochs, "seed": 1}
    study = small_study(folder, place, choices=choices, search=options, hardware=WIDE)
    output = folder / f"full_{place}"
    search = start_search(
        study, output, "1", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, stderr = search.communicate(timeout=120)
    assert search.returncode == 2, stderr
    assert place in stderr
    assert "cannot be written: File too large" in stderr
    assert "Traceback" not in stderr
    known = events_of(output, "finished")
    assert known
    found = searched(study, output)
    assert events_of(output, "finished")[: len(known)] == known
    assert outcome(found) == outcome(searched(study, folder / f"roomy_{place}"))


@slow
def test_limits_decide_who_may_win(folder):
    study = small_study(folder, "limits", search={**SECTIONS["search"], "limits": ["parameters <= 16"]})
    found = searched(study, folder / "limits", workers=2)
    assert all(winner.choices["units"] == 3 for winner in found.winners(4))
    assert {trial.feasible for trial in found.trials} == {True, False}


@slow
def test_hand_picked_trials_are_all_trained(folder):
    trials = [{"bits": [8, 2], "units": 6}, {"bits": [4, 1], "units": 3}]
    sections = {"trials": trials, "search": {"max_epochs": 2, "training_fraction": 0.5}}
    study = small_study(folder, "trials", **sections)
    found = searched(study, folder / "trials")
    started = [event["choices"] for event in events_of(folder / "trials", "started")]
    assert started == trials
    assert {trial.epochs for trial in found.trials} == {2}


@slow
def test_another_space_is_refused(uninterrupted, folder):
    other = small_study(folder, "other", search={**SECTIONS["search"], "seed": 3})
    with pytest.raises(OutputError, match="another space"):
        searched(other, folder / "uninterrupted")


def test_a_study_without_choices_has_nothing_to_search(folder, tmp_path):
    layers = [{"kind": "dense", "units": 1, "bits": [8, 2]}]
    single = small_study(folder, "single", choices={}, layers=layers)
    with pytest.raises(StudyError, match="nothing to search"):
        searched(single, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_part_of_the_training_events_has_the_same_share_of_each_class(study):
    dataset = study.dataset()
    part = training_part(dataset, 0.25, seed=3)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(part.part(split).x, dataset.part(split).x)
    for label in (0, 1):
        before, after = ((taken.part("train").y == label).sum() for taken in (dataset, part))
        assert after == round(0.25 * before)
    assert {row.tobytes() for row in part.part("train").x} < {row.tobytes() for row in dataset.part("train").x}
    assert part.sha256 == training_part(dataset, 0.25, seed=3).sha256 != training_part(dataset, 0.25, seed=4).sha256
    assert training_part(dataset, 1.0, seed=3) is dataset
    assert {0, 1} == set(training_part(dataset, 1e-9, seed=3).part("train").y)


def proposed(number: int, epochs: int, from_epochs: int, bracket: int, step: int) -> Proposal:
    return Proposal(number, {}, epochs, from_epochs, bracket, step)


def test_progress_counts_what_is_told(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(disable=True)
    options = SearchOptions(max_epochs=9)
    planned = schedule(options, 100)
    first, second = planned.brackets[0].rounds[:2]
    shown = SearchProgress(planned, progress)
    assert shown.left_s is None
    with caplog.at_level(logging.INFO, "fpgaml"):
        shown.ended(
            proposed(0, 1, 0, 2, 0), {"event": "finished", "trial": "known", "epochs": 1, "score": 0.5}, known=True
        )
        assert shown.left_s is None  # nothing is known of the time that training takes
        assert not caplog.text
        now[0] += 10.0
        shown.ended(proposed(1, 1, 0, 2, 0), {"event": "failed", "trial": "bad", "reason": "it diverged"}, known=False)
    assert "trial bad, epoch 1: it diverged" in caplog.text
    assert shown.left_s == pytest.approx(10.0 * (planned.epochs - 2))
    assert shown.stopped == 0
    for number in range(2, first.trials):
        shown.ended(
            proposed(number, 1, 0, 2, 0), {"event": "finished", "trial": "t", "epochs": 1, "score": 0.6}, known=False
        )
    assert shown.stopped == first.trials - second.trials
    shown.ended(proposed(99, 3, 1, 2, 1), {"event": "finished", "trial": "t", "epochs": 3, "score": 0.4}, known=False)
    shown.show(2)
    (task,) = progress.tasks
    assert task.total == planned.epochs
    assert task.completed == first.trials + 2
    assert task.description.startswith(f"search: 2 running, {first.trials + 1} of {planned.trials} finished, ")
    assert "1 failed, best 0.4000 after 3 epochs, 0:" in task.description
