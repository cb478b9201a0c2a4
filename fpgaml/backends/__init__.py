"""Hardware targets, loaded when first asked for: one module each, found by listing this folder."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights
from fpgaml.errors import StudyError, did_you_mean
from fpgaml.hardware import Hardware, backend_names


class Backend(abc.ABC):
    """Writes a project for one hardware target, and simulates it bit for bit."""

    name: ClassVar[str]

    @abc.abstractmethod
    def write(
        self, directory: Path, *, name: str, architecture: Architecture, weights: ModelWeights, hardware: Hardware
    ) -> dict[str, Any]:
        """Write a project to ``directory`` and return the configuration that the tool really used.

        ``architecture`` is folded, ``weights`` are quantized; ``name`` becomes the top-level function.

        Raises
        ------
        ToolError
            The tool failed.
        AgreementError
            The tool did something else than it was asked to.
        """

    @abc.abstractmethod
    def simulation_files(self, project: Path) -> Sequence[Path]:
        """The files of a project that its simulation is made from, in a fixed order."""

    @abc.abstractmethod
    def simulation_version(self) -> str:
        """What a compiled simulation depends on beside the project's files: compiler, flags, runner.

        Raises
        ------
        ToolError
            The compiler is missing.
        """

    @abc.abstractmethod
    def build_simulation(self, project: Path, name: str, build: Path) -> None:
        """Compile the simulation of a project into the directory ``build``.

        Raises
        ------
        ToolError
            The compiler is missing, or does not take the project.
        """

    @abc.abstractmethod
    def simulate(self, build: Path, x: NDArray[np.float64], n_outputs: int) -> NDArray[np.float64]:
        """Scores, shape (n_events, n_outputs), of inputs ``x``, shape (n_events, n_inputs), from one process.

        Raises
        ------
        ToolError
            The simulation crashed.
        """

    @abc.abstractmethod
    def trace(self, build: Path, x: NDArray[np.float64], sizes: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
        """The values that each layer hands on for one event ``x``, shape (n_inputs,), by layer name.

        ``sizes`` gives the number of values of each layer; layers that need no hardware are not in the result.
        """


def get_backend(name: str) -> Backend:
    """The backend of a name.

    Raises
    ------
    StudyError
        No such backend.
    """
    if name not in backend_names():
        raise StudyError(f"unknown backend {name!r}; {did_you_mean(name, backend_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    backend: Backend = module.BACKEND
    return backend
