"""Worker processes of this machine: what they find, and what happens when they die."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import worker_tasks
from small_search import small_study, write_data

from fpgaml import workers as workers_module
from fpgaml.dataset import Dataset
from fpgaml.errors import OutputError
from fpgaml.study import Study
from fpgaml.worker import Worker, share
from fpgaml.workers import ATTEMPTS, WorkerDied, default_workers, open_workers


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("workers")
    write_data(folder)
    return small_study(folder)


@pytest.fixture(scope="module")
def dataset(study: Study) -> Dataset:
    return study.dataset()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_keeps_its_data_and_computes_in_one_thread(study, dataset, tmp_path):
    with open_workers(study, dataset, tmp_path, n=1) as workers:
        assert not list(tmp_path.iterdir())  # nothing is written before there is something to do
        first, second = (workers.submit(worker_tasks.describe).result() for _ in range(2))
    assert first == second
    assert first["threads"] == 1
    assert first["mapped"]
    assert first["events"] == (dataset.split != 2).sum()
    assert not psutil.pid_exists(first["pid"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_is_replaced_after_so_many_tasks(study, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "TASKS_PER_PROCESS", 2)
    with open_workers(study, dataset, tmp_path, n=1) as workers:
        pids = [workers.submit(worker_tasks.describe).result()["pid"] for _ in range(3)]
    assert pids[0] == pids[1] != pids[2]


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_disturbs_no_other(study, dataset, tmp_path, caplog):
    files = str(tmp_path / "dying"), str(tmp_path / "waiting"), str(tmp_path / "ended")
    with open_workers(study, dataset, tmp_path, n=2) as workers:
        waiting = workers.submit(worker_tasks.wait_for, files[1], files[2])
        dying = workers.submit(worker_tasks.die, files[0], 2)
        begun = [int(pid) for pid in (dying.result(), *Path(files[0]).read_text().split())]
        wait_until(lambda: Path(files[1]).exists())
        Path(files[2]).touch()
        assert len(waiting.result()) == 1
    assert begun[0] == begun[-1]
    assert len(set(begun)) == 3
    assert caplog.text.count("begun again") == 2


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_given_up(study, dataset, tmp_path):
    with open_workers(study, dataset, tmp_path, n=1) as workers:
        dying = workers.submit(worker_tasks.die, str(tmp_path / "begun"), 100)
        with pytest.raises(WorkerDied, match="died 3 times, for lack of memory perhaps: try fewer workers"):
            dying.result()
        assert len((tmp_path / "begun").read_text().split()) == ATTEMPTS
        assert workers.submit(worker_tasks.describe).result()["threads"] == 1
        with pytest.raises(ZeroDivisionError, match="of the task's own"):
            workers.submit(worker_tasks.fail).result()


@pytest.mark.slow
def test_what_runs_is_killed_in_the_end(study, dataset, tmp_path):
    begun = tmp_path / "begun"
    with open_workers(study, dataset, tmp_path, n=1) as workers:
        running, queued = (workers.submit(worker_tasks.wait_for, str(begun), str(tmp_path / "no")) for _ in range(2))
        wait_until(lambda: begun.exists() and begun.read_text())
        closing = time.monotonic()
    assert time.monotonic() - closing < 5
    assert not psutil.pid_exists(int(begun.read_text()))
    assert isinstance(running.exception(), WorkerDied)
    assert queued.cancelled()


def test_shared_data_are_the_data(study, dataset, tmp_path):
    share(study, dataset, tmp_path / "shared")
    worker = Worker.load(tmp_path / "shared")
    for split in ("train", "validation"):
        np.testing.assert_array_equal(worker.dataset.part(split).x, dataset.part(split).x)
        np.testing.assert_array_equal(worker.dataset.part(split).y, dataset.part(split).y)
    assert len(worker.dataset) == sum(dataset.split != 2)
    assert worker.dataset.rate_khz == dataset.rate_khz
    for values in study.grid():
        assert worker.study.point(values) == study.point(values)


def test_a_directory_that_a_worker_does_not_see_is_told(tmp_path):
    with pytest.raises(OutputError, match="on a file system that all workers share"):
        Worker.load(tmp_path / "elsewhere")


def test_a_disk_that_is_full_is_told_before_anything_starts(study, dataset, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_workers(study, dataset, tmp_path, n=1) as workers:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            with pytest.raises(OutputError, match=r"the disk may be full .*It takes 1 MiB: free some room"):
                workers.submit(worker_tasks.describe)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_there_is_always_a_worker(dataset, monkeypatch):
    monkeypatch.setattr(workers_module, "WORKER_GIB", 1e6)
    assert default_workers(dataset) == 1
