"""Hardware targets, loaded when first asked for: one module each, found by listing this folder."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights
from fpgaml.errors import StudyError, did_you_mean
from fpgaml.fixed_point import FixedPoint
from fpgaml.hardware import Hardware, backend_names
from fpgaml.synthesis import Resources, Synthesis

if TYPE_CHECKING:
    from rich.progress import Progress


class Backend(abc.ABC):
    """Writes a project for one hardware target, and simulates it bit for bit."""

    name: ClassVar[str]
    synthesis_steps: ClassVar[tuple[str, ...]]
    """The steps that ``synthesize`` knows, in the order in which they need each other."""
    estimates: ClassVar[tuple[str, ...]]
    """What ``estimate`` tells, by names of ``Resources``; a limit on anything else is refused before a search."""
    estimate_margins: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """By how much a synthesized figure may exceed the estimate, as a factor, where that was measured."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Installed packages that decide what is in a project: a certificate names their versions."""
    number_files: ClassVar[tuple[str, ...]] = ()
    """Where the tool's own test bench reads inputs and expected outputs as numbers; nowhere if empty."""
    tool_outputs: ClassVar[tuple[str, ...]] = ()
    """What tools write into a project, which no certificate covers: folders end in a slash, ``*`` stands for anything
    but a slash."""

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

    def check_files(  # noqa: B027  most backends have nothing to read back
        self,
        project: Path,
        *,
        name: str,
        architecture: Architecture,
        weights: ModelWeights,
        hardware: Hardware,
        effective: Mapping[str, Any],
    ) -> None:
        """Compare what stands in a project's files with what was asked for and with what ``write`` returned.

        Raises
        ------
        AgreementError
            With every file and value that differs.
        OutputError
            A file is missing or cannot be read.
        """

    def bench_files(self) -> Mapping[str, Path]:
        """Files of a check that a project carries with it, by their place in it; none: there is no hand-over.

        In each, ``@TOP@``, ``@N_INPUTS@``, ``@INPUT_FRACTION@``, ``@N_OUTPUTS@``, ``@OUTPUT_FRACTION@`` and
        ``@N_EVENTS@`` stand for the network's numbers. ``make check`` in the project runs it.
        """
        return {}

    def bench_values(self, project: Path) -> Mapping[str, str]:
        """What other words between ``@`` stand for in ``bench_files``, or these where the backend knows better."""
        return {}

    def output_format(self, project: Path, effective: Mapping[str, Any]) -> FixedPoint:
        """The number format of a project's outputs; ``effective`` is what ``write`` returned.

        Only with ``bench_files``, as is ``prototype``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no check of its own")

    def prototype(self, project: Path, name: str) -> str:
        """The declaration of the top-level function or module."""
        raise NotImplementedError(f"{type(self).__name__} has no check of its own")

    def port_notes(self, project: Path) -> Sequence[str]:
        """Paragraphs on ports and timing for whoever connects them, where the declaration does not say it all."""
        return ()

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
    def build_simulation(self, project: Path, name: str, build: Path, timeout_s: float | None = None) -> None:
        """Compile the simulation of a project into the directory ``build``.

        Raises
        ------
        ToolError
            The compiler is missing, or does not take the project.
        ToolTimeoutError
            It took longer than ``timeout_s`` seconds.
        """

    @abc.abstractmethod
    def simulate(
        self, build: Path, x: NDArray[np.float64], n_outputs: int, timeout_s: float | None = None
    ) -> NDArray[np.float64]:
        """Scores, shape (n_events, n_outputs), of inputs ``x``, shape (n_events, n_inputs), from one process.

        Raises
        ------
        ToolError
            The simulation crashed.
        ToolTimeoutError
            It took longer than ``timeout_s`` seconds.
        """

    @abc.abstractmethod
    def trace(self, build: Path, x: NDArray[np.float64], sizes: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
        """The values that each layer hands on for one event ``x``, shape (n_inputs,), by layer name.

        ``sizes`` gives the number of values of each layer; layers that need no hardware are not in the result.
        """

    def interpret(self, project: Path, x: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """What ``simulate`` should give, by a second way that compiles nothing; None where there is none.

        Parameters are those of ``simulate``.
        """
        return None

    @abc.abstractmethod
    def estimate(self, architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Resources:
        """What a network will cost, before anything is written: fast enough for every trial of a search.

        ``architecture`` is folded, ``weights`` are quantized. How the figures come about, and how far they can be
        trusted, stands in docs/costs.md.

        Raises
        ------
        ToolError
            A package that the estimate needs is missing.
        """

    def missing_tools(self, steps: Sequence[str]) -> Mapping[str, str]:
        """By step, what is not installed and what to do, as far as that is known before any work."""
        return {}

    @abc.abstractmethod
    def synthesize(
        self,
        project: Path,
        *,
        name: str,
        hardware: Hardware,
        steps: Sequence[str],
        timeout_s: float | None,
        progress: Progress | None = None,
    ) -> Synthesis:
        """Run the hardware tools on a project and read what they report.

        That the project computes what the model computes is checked before, through ``simulate``.

        Parameters
        ----------
        project : Path
            What ``write`` wrote; the tools may write into it, but not to ``simulation_files``.
        name : str
            The top-level function, as given to ``write``.
        hardware : Hardware
            As given to ``write``.
        steps : sequence of str
            Some of ``synthesis_steps``; a step may need the results of those before it.
        timeout_s : float, optional
            Seconds for each step; what runs longer is killed with everything it has started.
        progress : rich.progress.Progress, optional
            Where to show how far the work is.

        Returns
        -------
        Synthesis
            With a report for every step of ``synthesis_steps``. A tool that is missing, fails or takes too long is a
            status of its step, not an exception, so that what earlier steps found is kept.

        Raises
        ------
        StudyError
            The part does not exist, as far as the backend can tell before it starts a tool.
        OutputError
            ``project`` is not complete, or cannot be written to.
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
