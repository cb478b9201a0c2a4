"""From a trained model to an HLS project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pydantic

from fpgaml.architecture import Architecture
from fpgaml.backends import get_backend
from fpgaml.errors import FpgamlError, OutputError, StudyError
from fpgaml.hardware import Hardware
from fpgaml.hls_limits import check_limits
from fpgaml.project_files import file_hashes, project_files
from fpgaml.storage import atomic_path, read_json, write_json
from fpgaml.train import TrainedModel

MANIFEST = "fpgaml.json"


@dataclass(frozen=True)
class HLSProject:
    """A project on disk.

    Parameters
    ----------
    directory : Path
        Where it lies.
    name : str
        The top-level function.
    architecture : Architecture
        What it computes, without batch normalisation.
    hardware : Hardware
        What it was made for.
    effective : mapping
        What the tool made of each layer: class, type, strategy, reuse factor.
    files : mapping
        SHA-256 of every file that the tool wrote, by its path in the project.
    """

    directory: Path
    name: str
    architecture: Architecture
    hardware: Hardware
    effective: Mapping[str, Any]
    files: Mapping[str, str]

    @classmethod
    def load(cls, directory: Path) -> HLSProject:
        """The project in a directory.

        Raises
        ------
        OutputError
            There is none.
        """
        manifest = read_json(Path(directory) / MANIFEST)
        try:
            return cls(
                Path(directory),
                manifest["name"],
                Architecture.from_json(manifest["architecture"]),
                Hardware(**manifest["hardware"]),
                manifest["effective"],
                manifest.get("files", {}),
            )
        except (KeyError, TypeError, pydantic.ValidationError) as error:
            raise OutputError(f"{directory}/{MANIFEST}: describes no HLS project: {error}") from error


def convert(trained: TrainedModel, hardware: Hardware, directory: Path, *, name: str = "network") -> HLSProject:
    """Write the HLS project of a trained model.

    Parameters
    ----------
    trained : TrainedModel
        Its folded, quantized weights become the project's.
    hardware : Hardware
        Backend, part, clock, interface and strategy.
    directory : Path
        Becomes the project; a project that stands there is replaced once the new one is whole.
    name : str
        The top-level function, a C++ identifier.

    Raises
    ------
    ExactnessError
        A layer cannot be exact on this hardware.
    StudyError
        The name is none, an option of a layer is not there, or the tool certainly fails on a network of this size.
    AgreementError
        The tool did something else than it was asked to.
    ToolError
        The tool failed.
    OutputError
        ``directory`` cannot be written, or holds something that is no HLS project.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise StudyError(f"project name {name!r} is no C++ identifier: letters, digits and _, a letter first")
    directory = Path(directory)
    if directory.exists() and not (directory / MANIFEST).exists() and any(directory.iterdir()):
        raise OutputError(f"{directory}: holds something that is no HLS project; choose another place")
    architecture = trained.firmware
    architecture.check_hardware(hardware)
    check_limits(architecture, hardware)
    backend = get_backend(hardware.backend)
    with atomic_path(directory) as fresh:
        try:
            effective = backend.write(
                fresh, name=name, architecture=architecture, weights=trained.quantized_weights, hardware=hardware
            )
        except FpgamlError as error:
            raise type(error)(f"{directory}: {error}") from error
        files = file_hashes(fresh, project_files(fresh))
        write_json(
            fresh / MANIFEST,
            {
                "name": name,
                "architecture": architecture.to_json(),
                "hardware": hardware.model_dump(mode="json"),
                "effective": effective,
                "files": files,
                "versions": {package: version(package) for package in ("hls4ml", "qkeras-v3", "keras", "numpy")},
            },
        )
    return HLSProject(directory, name, architecture, hardware, effective, files)
