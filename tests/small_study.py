"""A study that takes seconds, its data, and the command line that runs it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

STUDY = """\
study: small
task: file
data:
  path: events.csv
  inputs: [a, b, c, d]
  label: kind
  signal: g
  background_efficiencies: [0.1, 0.5]
input: {bits: [12, 4]}
layers:
  - {kind: dense, units: 4, bits: [8, 2]}
  - {kind: relu, bits: [8, 3]}
  - {kind: dense, units: 1, bits: [8, 2]}
train: {epochs: 2, batch_size: 64, learning_rate: 0.01}
hardware: {backend: vivado}
"""

IMAGE_STUDY = re.sub(
    "layers:.*?train",
    """layers:
  - {kind: conv2d, filters: 2, kernel_size: [2, 1], bits: [8, 2]}
  - {kind: relu, bits: [8, 3]}
  - {kind: flatten}
  - {kind: dense, units: 1, bits: [8, 2]}
train""",
    STUDY.replace("[a, b, c, d]", "[a, b, c, d]\n  shape: [4, 1, 1]"),
    flags=re.DOTALL,
)


def write_study(folder: Path, text: str = STUDY) -> Path:
    """A study file with its data beside it: 600 events in two overlapping clouds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    signal = np.arange(600) % 2 == 1
    x = rng.normal(size=(600, 4)) + signal[:, None]
    rows = [",".join(f"{value:.4f}" for value in row) + (",g" if y else ",h") for row, y in zip(x, signal, strict=True)]
    (folder / "events.csv").write_text("\n".join(["a,b,c,d,kind", *rows, ""]), encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def fpgaml(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "fpgaml.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file, hidden ones included, by relative path."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def without_compiler(folder: Path) -> str:
    """A PATH on which there is nothing."""
    folder.mkdir(exist_ok=True)
    return os.fspath(folder)
