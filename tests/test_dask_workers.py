"""A search on a Dask cluster of real processes, that Dask's own commands start and that talk over TCP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import worker_tasks
from small_search import events_of, outcome, searched, small_study, start_search, write_data

from fpgaml.dask_workers import DaskWorkers
from fpgaml.errors import ToolError
from fpgaml.study import Study
from fpgaml.workers import WorkerDied, open_workers

pytestmark = pytest.mark.slow


@dataclass
class Cluster:
    """A Dask scheduler and its workers."""

    folder: Path
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def dask(self, *arguments: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": path}
        # A worker of the user's has as many threads as TensorFlow likes; fpgaml sees to it that it is one.
        for name in [name for name in environment if name.startswith(("TF_NUM", "OMP"))]:
            del environment[name]
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        with (self.folder / f"dask_{len(self.processes)}.log").open("wb") as log:
            started = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.folder, start_new_session=True
            )
        self.processes.append(started)
        return started

    def start(self) -> None:
        file = self.folder / "scheduler.json"
        self.scheduler = self.dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        return self.dask("worker", self.address, *(options or ("--nthreads", "1", "--no-nanny")))

    def stop(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Trials that take about two seconds each."""
    write_data(tmp_path)
    choices = {"bits": [[4, 1], [8, 2]], "units": [3, 6, 9]}
    return small_study(tmp_path, choices=choices, search={"algorithm": "grid", "max_epochs": 200, "seed": 2})


def worker_pids(cluster: Cluster) -> set[int]:
    """Processes in which a trial is trained: they have TensorFlow's threads and the data in memory."""
    found = set()
    for process in cluster.processes[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for member in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if any("search-data" in part.path for part in member.memory_maps()):
                        found.add(member.pid)
    return found


def test_workers_are_killed_in_the_middle_of_trials(cluster, study, tmp_path):
    local = searched(study, tmp_path / "local", workers=2)
    bare = cluster.worker()
    with_nanny = cluster.worker("--nthreads", "1")
    output = tmp_path / "cluster"
    search = start_search(study, output, "2", cluster.address)

    def busy() -> bool:
        """Both workers are at a trial, and some trial has ended."""
        assert search.poll() is None, search.communicate()
        ended = len(events_of(output, "finished"))
        return ended >= 1 and len(events_of(output, "started")) - ended == 2 and len(worker_pids(cluster)) == 2

    wait_until(busy)
    bare.kill()
    (left,) = worker_pids(cluster) - {bare.pid}
    assert left != with_nanny.pid  # a child of the nanny, which starts another
    ended = len(events_of(output, "finished"))
    wait_until(lambda: len(events_of(output, "finished")) > ended)
    os.kill(left, signal.SIGKILL)
    stdout, stderr = search.communicate(timeout=120)
    assert search.returncode == 0, stderr
    assert json.loads(stdout) == outcome(local)
    assert (
        "unresponsive" in (tmp_path / "dask_0.log").read_text()
        or "Remove worker" in (tmp_path / "dask_0.log").read_text()
    )
    finished = [(event["trial"], event["epochs"]) for event in events_of(output, "finished")]
    assert len(finished) == len(set(finished)) == 6
    assert not list(output.glob(".*"))


def test_tasks_on_a_cluster(cluster, study, tmp_path):
    dataset = study.dataset()
    waiting = str(tmp_path / "begun"), str(tmp_path / "ended")
    with open_workers(study, dataset, tmp_path, scheduler=cluster.address) as workers:
        assert workers.n == 1  # a task would wait for the first worker
        cluster.worker("--nthreads", "1")
        found = [workers.submit(worker_tasks.describe) for _ in range(2)]
        assert found[0].result() == found[1].result()  # the same process, and no data read twice
        assert found[0].result()["threads"] == 1
        cluster.worker()
        wait_until(lambda: workers.n == 2)
        with pytest.raises(ZeroDivisionError, match="of the task's own"):
            workers.submit(worker_tasks.fail).result()
        killing = workers.submit(worker_tasks.wait_for, *waiting)
        wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text())
        os.kill(int((tmp_path / "begun").read_text()), signal.SIGKILL)
        wait_until(lambda: len((tmp_path / "begun").read_text().split()) == 2)
        (tmp_path / "ended").touch()
        assert len(set(killing.result())) == 2


def test_a_task_that_kills_workers_is_given_up(cluster, study, tmp_path):
    cluster.worker("--nthreads", "1")
    with open_workers(study, study.dataset(), tmp_path, scheduler=cluster.address) as workers:
        dying = workers.submit(worker_tasks.die, str(tmp_path / "begun"), 100)
        with pytest.raises(WorkerDied, match="died 4 times, for lack of memory perhaps"):
            dying.result()
        assert len((tmp_path / "begun").read_text().split()) == 4


def test_a_scheduler_that_dies_is_told(cluster, study, tmp_path):
    cluster.worker()
    output = tmp_path / "search"
    search = start_search(study, output, "1", cluster.address)
    wait_until(lambda: events_of(output, "finished"))
    cluster.scheduler.kill()
    _, stderr = search.communicate(timeout=90)
    assert search.returncode == 2, stderr
    assert "the scheduler has gone" in stderr
    assert "Traceback" not in stderr


def test_workers_with_several_threads_are_refused(cluster, study, tmp_path):
    cluster.worker("--nthreads", "2", "--no-nanny")
    with open_workers(study, study.dataset(), tmp_path, scheduler=cluster.address) as workers:
        wait_until(workers._threads)
        with pytest.raises(ToolError, match="--nthreads 1"):
            workers.submit(worker_tasks.describe).result()
    with pytest.raises(ToolError, match=r"\(2 threads\).*--nthreads 1"):
        DaskWorkers(cluster.address, None, None)


def test_no_scheduler_is_told_within_seconds(study, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ToolError, match="no Dask scheduler answers there"):
            searched(study, tmp_path / "nothing", scheduler=address)
        assert time.monotonic() - started < 20
    with pytest.raises(ToolError, match="no Dask scheduler answers there"):
        DaskWorkers("nonsense://here", None, None)
