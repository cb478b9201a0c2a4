"""Pools of collisions: their files, and their generation, which survives whatever ends it."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from fpgaml.errors import DataError, OutputError, ToolError
from fpgaml.storage import atomic_path
from fpgaml.trigger_data.event_pool import FINE_SHAPE, EventPool
from fpgaml.trigger_data.generation import generate_chunks, load_pools, pool_chunks
from fpgaml.trigger_data.processes import Process, chunk_seed, chunk_sizes, hard_process, signal_process, soft_process
from fpgaml.trigger_data.pythia_events import generate
from fpgaml.trigger_data.strata import EDGES_GEV


def random_pool(n_events: int, *, seed: int, sigma_mb: float = 80.0) -> EventPool:
    """Collisions of a few random particles."""
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(6.0, n_events)
    total = int(counts.sum())
    return EventPool(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        cell=rng.integers(0, FINE_SHAPE[0] * FINE_SHAPE[1], total).astype(np.uint16),
        pt_gev=rng.exponential(size=total).astype(np.float32),
        tracked=rng.random(total) < 0.5,
        hard_scale_gev=rng.exponential(size=n_events).astype(np.float32),
        ht_gev=rng.exponential(size=n_events).astype(np.float32),
        m4b_gev=rng.exponential(size=n_events).astype(np.float32),
        sigma_mb=sigma_mb,
        n_tried=n_events,
    )


# Pools and their files ---------------------------------------------------------------------------------------------


def test_pools_are_sliced_and_joined() -> None:
    pool = random_pool(20, seed=1)
    parts = [pool[:7], pool[7:7], pool[7:]]
    assert [len(part) for part in parts] == [7, 0, 13]
    joined = EventPool.join(parts)
    for name in ("offsets", "cell", "pt_gev", "tracked", "hard_scale_gev", "ht_gev", "m4b_gev"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(pool, name))
    with pytest.raises(ValueError, match="step 1"):
        pool[::2]


def test_joined_pools_average_cross_sections_over_tries() -> None:
    joined = EventPool.join([random_pool(10, seed=1, sigma_mb=1.0), random_pool(30, seed=2, sigma_mb=2.0)])
    assert joined.sigma_mb == pytest.approx(1.75)
    assert joined.n_tried == 40


def test_a_pool_is_the_same_in_its_file(tmp_path: Path) -> None:
    pool = random_pool(20, seed=1)
    for name in ("a.npz", "b.npz"):
        pool.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = EventPool.load(tmp_path / "a.npz", n_events=20)
    np.testing.assert_array_equal(again.pt_gev, pool.pt_gev)
    assert again.sigma_mb == pool.sigma_mb


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_broken_file_is_noticed(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "chunk.npz"
    random_pool(200, seed=1).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes({"cut": content[:-100], "flipped": content, "empty": b"", "text": b"no events here"}[damage])
    with pytest.raises(DataError, match=r"chunk\.npz"):
        EventPool.load(path, n_events=200)


def test_a_file_of_other_events_is_noticed(tmp_path: Path) -> None:
    random_pool(20, seed=1).save(tmp_path / "chunk.npz")
    with pytest.raises(DataError, match="holds 20 events, expected 30"):
        EventPool.load(tmp_path / "chunk.npz", n_events=30)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"chunk\.npz"), atomic_path(tmp_path / "chunk.npz") as fresh:
            random_pool(5000, seed=1).save(fresh)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


# Generation --------------------------------------------------------------------------------------------------------


def quick_process(chunk_events: int = 20) -> Process:
    process = hard_process(20.0, 30.0, energy_tev=14.0)
    return Process(name=process.name, settings=process.settings, energy_tev=14.0, chunk_events=chunk_events)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.npz"))}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_chunks_depend_on_what_events_depend_on(cache: Path) -> None:
    """And on nothing else: not on how many chunks there are."""
    process = quick_process()
    assert chunk_sizes(process, 50) == [20, 20, 10]
    assert chunk_sizes(process, 40) == [20, 20]
    paths = [chunk.path for chunk in pool_chunks(process, 50, seed=1)]
    assert all(path.is_relative_to(cache) for path in paths)
    assert paths[:2] == [chunk.path for chunk in pool_chunks(process, 40, seed=1)]
    others = [
        pool_chunks(process, 50, seed=2),
        pool_chunks(hard_process(20.0, 31.0, energy_tev=14.0), 50, seed=1),
        pool_chunks(hard_process(20.0, 30.0, energy_tev=13.0), 50, seed=1),
    ]
    assert len({paths[0], *(pool[0].path for pool in others)}) == 4
    processes = [soft_process(energy_tev=14.0), process, signal_process(mass_gev=400.0, energy_tev=14.0)]
    seeds = [chunk_seed(p, seed=s, chunk=c) for p in processes for s in range(10) for c in range(10)]
    assert len(set(seeds)) == 300
    assert 1 <= min(seeds) <= max(seeds) <= 900_000_000


def test_a_missing_generator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ToolError, match=r"not installed.*pip install 'fpgaml\[trigger\]'"):
        pool_chunks(quick_process(), 50, seed=1)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / "file"))
    before = set(psutil.Process().children(recursive=True))  # other tests of this process may have left one, idle
    with pytest.raises(OutputError, match="cannot be written"):
        load_pools([(quick_process(), 20)], seed=1, n_processes=1)
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.slow
def test_one_and_two_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = []
    for n_processes in (1, 2):
        monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / str(n_processes)))
        pools += load_pools([(quick_process(), 90)], seed=1, n_processes=n_processes)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 5
    np.testing.assert_array_equal(pools[0].pt_gev, pools[1].pt_gev)
    assert len(pools[0]) == 90


@pytest.mark.slow
def test_a_broken_chunk_is_generated_anew(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_pools([(quick_process(), 40)], seed=1, n_processes=1)
    before = contents(cache)
    path = next(cache.rglob("chunk-0001-*.npz"))
    path.write_bytes(path.read_bytes()[:-50])
    with caplog.at_level(logging.WARNING):
        load_pools([(quick_process(), 40)], seed=1, n_processes=1)
    assert any("generated anew" in message for message in caplog.messages)
    assert contents(cache) == before


# A shell that has started the tests in the background has SIGINT ignored, and whatever they start inherits that.
GENERATE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fpgaml.trigger_data.generation import load_pools
from fpgaml.trigger_data.processes import Process
process = Process(name={name!r}, settings={settings!r}, energy_tev=14.0, chunk_events={chunk_events})
load_pools([(process, {n_events})], seed=1, n_processes=2)
"""


@pytest.fixture
def interrupted(cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that generates 12 chunks, of which the first is done."""
    process = quick_process()
    program = GENERATE.format(name=process.name, settings=process.settings, chunk_events=20, n_events=240)
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, env=dict(os.environ)) as running:
        # Not rglob: it looks into the folders of unfinished chunks too, which vanish.
        while running.poll() is None and not list(cache.glob("trigger/*/chunk-*.npz")):
            pass
        yield running
        running.kill()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_generation_goes_on(
    cache: Path,
    interrupted: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
) -> None:
    """Whether it is killed or interrupted: workers end, finished chunks stay, and the result is that of one go."""
    workers = psutil.Process(interrupted.pid).children(recursive=True)
    assert len(workers) == 2
    interrupted.send_signal(how)
    assert interrupted.wait(timeout=30) == -how
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    done = {path: path.stat().st_mtime_ns for path in cache.rglob("chunk-*.npz")}
    assert 1 <= len(done) < 12
    load_pools([(quick_process(), 240)], seed=1, n_processes=2)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    resumed = contents(cache)
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path / "one go"))
    generate_chunks(pool_chunks(quick_process(), 240, seed=1), n_processes=2)
    assert resumed == contents(tmp_path / "one go")


@pytest.mark.slow
def test_pythias_refusal_reaches_the_user(cache: Path) -> None:
    process = Process(name="wrong", settings=("HardQCD:everything = on",), energy_tev=14.0, chunk_events=20)
    with pytest.raises(ToolError, match="does not accept the setting 'HardQCD:everything = on'"):
        load_pools([(process, 20)], seed=1, n_processes=1)
    assert not list(cache.rglob("*.npz"))


@pytest.mark.slow
def test_generated_events_are_what_they_are_called() -> None:
    """Hard scales inside their bin, jets that follow them, cross-sections as known, b jets of the resonance's mass."""
    hard = generate(hard_process(140.0, 190.0, energy_tev=14.0), seed=1, chunk=0, n_events=200)
    assert ((hard.hard_scale_gev >= 140) & (hard.hard_scale_gev < 190)).mean() > 0.98
    assert 200 < np.median(hard.ht_gev) < 500
    assert hard.sigma_mb == pytest.approx(2.6e-4, rel=0.2)
    assert np.isnan(hard.m4b_gev).all()
    signal_events = generate(signal_process(mass_gev=400.0, energy_tev=14.0), seed=1, chunk=0, n_events=200)
    assert 0.1 < np.isfinite(signal_events.m4b_gev).mean() < 0.6
    assert 330 < np.nanmedian(signal_events.m4b_gev) < 420
    soft = generate(soft_process(energy_tev=14.0), seed=1, chunk=0, n_events=600)
    assert soft.sigma_mb == pytest.approx(78.9, rel=0.02)
    assert (soft.hard_scale_gev > EDGES_GEV[0]).mean() < 0.05
    per_event = np.bincount(np.repeat(np.arange(600), np.diff(soft.offsets)), weights=soft.pt_gev, minlength=600)
    assert 25 < per_event.mean() < 80
    assert 0.2 < soft.tracked.mean() < 0.5


@pytest.mark.slow
def test_soft_and_hard_pools_agree_on_the_rate_of_hard_collisions() -> None:
    """Closure: minimum bias has as many hard collisions as HardQCD says; the veto removes what the bins supply."""
    soft = generate(soft_process(energy_tev=14.0), seed=3, chunk=0, n_events=3000)
    hard = generate(hard_process(15.0, float("inf"), energy_tev=14.0), seed=3, chunk=0, n_events=300)
    seen = int((soft.hard_scale_gev >= 15).sum())
    expected = 3000 * hard.sigma_mb / soft.sigma_mb
    assert abs(seen - expected) < 4 * np.sqrt(expected) + 0.1 * expected
