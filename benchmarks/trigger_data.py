"""How fast trigger data is made: collisions from Pythia on one and on two processes, and crossings mixed.

Run: python benchmarks/trigger_data.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from fpgaml.trigger_data.crossings import mix
from fpgaml.trigger_data.event_pool import EventPool
from fpgaml.trigger_data.generation import generate_chunks, load_pools, pool_chunks
from fpgaml.trigger_data.images import collision_images
from fpgaml.trigger_data.processes import Process, hard_process, pythia_version, signal_process, soft_process
from fpgaml.trigger_data.strata import Occupancy

ENERGY_TEV = 14.0
PILE_UP = 200.0
GOAL_CROSSINGS_PER_S = 20_000


def machine() -> str:
    """The processor and how many of its cores this process may use."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, Python {platform.python_version()}, pythia8mc {pythia_version()}"


def events_per_second(process: Process, n_events: int, *, n_processes: int) -> float:
    """Rate of generation into an empty cache, with the start of worker processes and of Pythia."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FPGAML_CACHE_DIR"] = folder
        start = time.perf_counter()
        generate_chunks(pool_chunks(process, n_events, seed=1), n_processes=n_processes)
        return n_events / (time.perf_counter() - start)


def crossings_per_second(pools: list[EventPool], n_crossings: int, *, leading: int) -> float:
    """Rate of mixing on one core."""
    collisions = collision_images(
        pools,
        first_groups=np.cumsum([0, *(len(pool) for pool in pools)])[:-1].tolist(),
        shape=(20, 12),
        removal_efficiency=0.95,
        soft_veto_gev=20.0,
        seed=1,
    )
    occupancy = Occupancy.from_cross_sections(
        pile_up=PILE_UP, inelastic_mb=pools[0].sigma_mb, hard_mb=[pool.sigma_mb for pool in pools[1:-1]]
    )
    start = time.perf_counter()
    for _ in mix(collisions, occupancy, n_crossings, leading=leading, rng=np.random.default_rng(1)):
        pass
    return n_crossings / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small samples: a minute instead of several")
    quick = parser.parse_args().quick
    print(machine())
    processes = (
        soft_process(energy_tev=ENERGY_TEV),
        hard_process(20.0, 50.0, energy_tev=ENERGY_TEV),
        hard_process(100.0, float("inf"), energy_tev=ENERGY_TEV),
        signal_process(mass_gev=400.0, energy_tev=ENERGY_TEV),
    )
    print(f"{'collisions/s':>20} {'1 process':>10} {'2 processes':>12} {'ratio':>6}")
    for process in processes:
        # Two equal chunks, so that two processes can share them.
        size = process.chunk_events // (8 if quick else 1)
        halves = Process(name=process.name, settings=process.settings, energy_tev=ENERGY_TEV, chunk_events=size)
        one, two = (events_per_second(halves, 2 * size, n_processes=number) for number in (1, 2))
        print(f"{process.name:>20} {one:10.0f} {two:12.0f} {two / one:6.2f}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FPGAML_CACHE_DIR"] = folder
        sizes = (2000, 300, 300, 300) if quick else (10_000, 2500, 2500, 2500)
        pools = load_pools(list(zip(processes, sizes, strict=True)), seed=1)
    print(f"{'crossings/s and core':>20} {'':>10} {'':>12} (goal: {GOAL_CROSSINGS_PER_S})")
    for name, leading in (("no hard collision", 0), ("hard collision", 2), ("signal", 3)):
        n_crossings = 10_000 if quick else 100_000
        print(f"{name:>20} {crossings_per_second(pools, n_crossings, leading=leading):10.0f}")


if __name__ == "__main__":
    main()
