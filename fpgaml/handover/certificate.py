"""What is certified about a project: hashes of its files, of the model and of the data, and the words compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fpgaml.builder import ModelWeights

CERTIFICATE = "certificate.json"

NOT_CERTIFIED = (
    CERTIFICATE,
    "build_opt.tcl",
    "tb_data/csim_results.log",
    "tb_data/rtl_cosim_results.log",
)
"""What says which steps a tool shall take, or what tools write."""

PACKAGES = ("fpgaml", "qkeras-v3", "keras", "tensorflow", "numpy")
"""Beside those of the backend."""


def file_hashes(project: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files by their path in the project, sorted."""
    return {
        name: hashlib.sha256((project / name).read_bytes()).hexdigest()
        for name in sorted(names)
        if name not in NOT_CERTIFIED
    }


def weights_hash(weights: ModelWeights) -> str:
    """SHA-256 of the quantized weights of all layers."""
    digest = hashlib.sha256()
    for layer, arrays in sorted(weights.items()):
        for name, array in sorted(arrays.items()):
            digest.update(f"{layer}.{name} {np.shape(array)}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of the packages that decide what is in a project, those of its backend among them."""
    return {package: version(package) for package in (*PACKAGES, *packages)}


def edited_files(project: Path, converted: Mapping[str, str]) -> list[str]:
    """Files that are no longer as the conversion wrote them, or no longer there."""
    now = file_hashes(project, (name for name in converted if (project / name).exists()))
    return [name for name, digest in converted.items() if name not in NOT_CERTIFIED and now.get(name) != digest]
