"""C simulation, fpgaml against hls4ml's own `predict`, of the same project in one run.

    python benchmarks/csim.py [--events 20000] [--repeats 5] [--processes 2]

The network is the one of search_spaces/trigger_demo.yaml with random weights. Compiling is timed apart from simulating.
The two take turns, so that a machine whose speed drifts is no better for either; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from fpgaml.backends import get_backend
from fpgaml.builder import build_model, model_weights
from fpgaml.convert import convert
from fpgaml.csim import csim
from fpgaml.environment import describe_environment
from fpgaml.study import Study
from fpgaml.train import TrainedModel

STUDY = Path(__file__).parent.parent / "search_spaces" / "trigger_demo.yaml"
CHOICES = {"bits": [10, 2], "act_bits": [12, 4], "filters_1": 8, "filters_2": 16, "dropout": 0.1}


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()

    point = Study.load(STUDY).point(CHOICES)
    rng = np.random.default_rng(1)
    weights = {
        layer: {name: rng.normal(scale=0.3, size=array.shape) for name, array in arrays.items()}
        for layer, arrays in model_weights(build_model(point.architecture)).items()
    }
    trained = TrainedModel(point.architecture, weights)
    x = rng.exponential(0.2, size=(options.events, *point.architecture.input_shape)).astype(np.float32)

    with tempfile.TemporaryDirectory() as directory:
        os.environ["FPGAML_CACHE_DIR"] = f"{directory}/cache"
        project = convert(trained, point.hardware, Path(directory) / "project", name="benchmark")
        built = csim(project, x[:1]).build_s
        graph = get_backend(point.hardware.backend).graph(
            Path(directory) / "hls4ml", "benchmark", point.architecture, trained.quantized_weights, point.hardware
        )
        started = time.perf_counter()
        graph.compile()
        theirs_built = time.perf_counter() - started
        ours_s, theirs_s = [], []
        for _ in range(options.repeats):
            simulation = csim(project, x, processes=options.processes)
            ours_s.append(simulation.wall_s)
            started = time.perf_counter()
            scores = graph.predict(x)
            theirs_s.append(time.perf_counter() - started)
        # hls4ml hands scores back as float32
        if not np.array_equal(simulation.scores.ravel().astype(np.float32), np.ravel(scores)):
            raise SystemExit("the two simulations differ")

    ours, theirs = (options.events / statistics.median(seconds) for seconds in (ours_s, theirs_s))
    print(f"{options.events} events, {options.repeats} repeats, {platform.processor() or platform.machine()}")
    print(f"fpgaml csim, {options.processes} processes: {ours:9.0f} events/s (built in {built:.1f} s)")
    print(f"hls4ml predict:             {theirs:9.0f} events/s (built in {theirs_built:.1f} s)")
    print(f"ratio: {ours / theirs:.2f}")
    print(json.dumps(describe_environment(seed=1, command="python benchmarks/csim.py")["machine"]))


if __name__ == "__main__":
    main()
