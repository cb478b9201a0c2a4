"""C simulation of a project over any number of events, and its agreement with the model, word for word."""

from __future__ import annotations

import hashlib
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.backends import Backend, get_backend
from fpgaml.convert import HLSProject
from fpgaml.displays import html_table
from fpgaml.errors import DataError, ToolTimeoutError
from fpgaml.storage import atomic_path, cache_directory
from fpgaml.train import TrainedModel

if TYPE_CHECKING:
    from rich.progress import Progress

CHUNK = 4096
"""Events that one process simulates at a time, at most."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a C simulation gave.

    Parameters
    ----------
    scores : float64, shape (n_events, n_outputs)
        The outputs, exactly the words of the firmware.
    build_s, wall_s : float
        Seconds to compile, zero if the build was kept from before, and to simulate.
    processes : int
        How many ran side by side.
    """

    scores: NDArray[np.float64]
    build_s: float
    wall_s: float
    processes: int

    @property
    def events_per_s(self) -> float:
        """Events simulated per second, without compiling."""
        return len(self.scores) / self.wall_s


@dataclass(frozen=True)
class Difference:
    """The first word that differs.

    Parameters
    ----------
    layer : str
        The first layer, from the input on, whose outputs differ.
    event : int
        The first event whose score differs.
    lsb : float
        By how many of the layer's smallest steps: csim minus model, where it is largest.
    """

    layer: str
    event: int
    lsb: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far the C simulation of a project and the model agree.

    Parameters
    ----------
    words : int
        Output words compared: every output of every event.
    mismatches : int
        Words that differ at all.
    first_difference : Difference, optional
        Where they differ first, if they do.
    simulation : Simulation
        The C simulation.
    interpreter_mismatches : int, optional
        Words in which the backend's interpreter differs from the model, on the same events; None where it has none.
    """

    words: int
    mismatches: int
    first_difference: Difference | None
    simulation: Simulation
    interpreter_mismatches: int | None = None

    @property
    def exact(self) -> bool:
        """Whether no word differs, neither of the simulation nor of the interpreter."""
        return self.mismatches == 0 and not self.interpreter_mismatches

    def to_json(self) -> dict[str, Any]:
        """Everything but the scores."""
        difference = self.first_difference
        return {
            "events": len(self.simulation.scores),
            "words": self.words,
            "mismatches": self.mismatches,
            **({} if self.interpreter_mismatches is None else {"interpreter_mismatches": self.interpreter_mismatches}),
            "first_difference": None if difference is None else vars(difference),
            "events_per_s": self.simulation.events_per_s,
            "wall_s": self.simulation.wall_s,
            "build_s": self.simulation.build_s,
            "processes": self.simulation.processes,
        }

    def __str__(self) -> str:
        if self.interpreter_mismatches:
            return f"{self.interpreter_mismatches} of {self.words} words of the interpreter differ from the model's"
        if self.first_difference is None:
            ways = "" if self.interpreter_mismatches is None else " between model, interpreter and RTL simulation"
            return f"0 of {self.words} words differ{ways} over {len(self.simulation.scores)} events"
        first = self.first_difference
        return (
            f"{self.mismatches} of {self.words} words differ; first in event {first.event}, where layer {first.layer} "
            f"is the first that differs, by {first.lsb:g} LSB"
        )

    def _repr_html_(self) -> str:
        simulation = self.simulation
        rows = [
            ("words that differ", f"{self.mismatches:,} of {self.words:,}"),
            ("events", f"{len(simulation.scores):,}"),
            ("speed", f"{simulation.events_per_s:,.0f} events per second, {simulation.processes} processes"),
        ]
        if self.first_difference is not None:
            first = self.first_difference
            rows.append(("first difference", f"event {first.event}, layer {first.layer}, {first.lsb:g} LSB"))
        return html_table(f"C simulation and model {'agree' if self.exact else 'DISAGREE'}", rows)


def csim(
    project: HLSProject,
    x: ArrayLike,
    *,
    processes: int | None = None,
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate a project bit for bit.

    Parameters
    ----------
    project : HLSProject
        As ``convert`` wrote it, or as someone edited it since: its files are what is compiled.
    x : array, shape (n_events, *input_shape)
        Inputs before quantization.
    processes : int, optional
        How many run side by side; as many as there are cores if not given.
    timeout_s : float, optional
        Seconds for compiling and simulating together; no limit if not given. A compilation that ends in time is kept.
    progress : rich.progress.Progress, optional
        Where to show events.

    Raises
    ------
    DataError
        ``x`` does not have the project's input shape.
    ToolError
        No compiler, sources that do not compile, or a simulation that crashes.
    ToolTimeoutError
        It took longer than ``timeout_s``; every process has been ended.
    """
    inputs = np.asarray(x)
    shape = project.architecture.input_shape
    if inputs.shape[1:] != shape:
        raise DataError(
            f"csim: inputs have shape {inputs.shape}, the project takes (n_events, {', '.join(map(str, shape))})"
        )
    backend = get_backend(project.hardware.backend)
    shown = progress.add_task("csim", total=None) if progress else None  # its end is not known while g++ works
    started = time.perf_counter()

    def left_s() -> float | None:
        """Of the time limit."""
        if timeout_s is None:
            return None
        left = started + timeout_s - time.perf_counter()
        if left <= 0:
            raise ToolTimeoutError(
                f"C simulation of {len(inputs)} events took longer than {timeout_s / 60:.3g} minutes"
            )
        return left

    build, kept = _build(backend, project, left_s())
    built = time.perf_counter()
    if progress and shown is not None:
        progress.update(shown, total=len(inputs))
    processes = processes or len(os.sched_getaffinity(0))
    n_outputs = math.prod(project.architecture.output_shape)
    scores = np.empty((len(inputs), n_outputs))
    # As many chunks for each process, of nearly the same size: none works on while the others have finished.
    n_chunks = processes * max(1, math.ceil(len(inputs) / (processes * CHUNK)))

    def simulate(events: NDArray[np.int64]) -> int:
        if len(events):
            chunk = inputs[events].reshape(len(events), -1).astype(np.float64)
            scores[events] = backend.simulate(build, chunk, n_outputs, left_s())
        return len(events)

    with ThreadPoolExecutor(processes) as pool:
        chunks = np.array_split(np.arange(len(inputs)), n_chunks)
        futures = [pool.submit(simulate, events) for events in chunks]
        try:
            for future in as_completed(futures):
                done = future.result()
                if progress and shown is not None:
                    progress.advance(shown, done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Simulation(scores, 0.0 if kept else built - started, time.perf_counter() - built, processes)


def compare(
    project: HLSProject,
    trained: TrainedModel,
    x: ArrayLike,
    *,
    processes: int | None = None,
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Agreement:
    """Compare the C simulation of a project with the model, every output of every event, for exact equality.

    The model is evaluated in float64, which holds every product and sum exactly. Parameters and errors are those of
    ``csim``; its time limit does not hold for the model.
    """
    inputs = np.asarray(x)
    simulation = csim(project, inputs, processes=processes, timeout_s=timeout_s, progress=progress)
    reference = trained.predict(inputs)
    differs = simulation.scores != reference
    first = None
    if differs.any():
        event = int(np.flatnonzero(differs.any(axis=1))[0])
        first = _locate(project, trained, inputs, event, simulation.scores[event] - reference[event])
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    interpreted = get_backend(project.hardware.backend).interpret(project.directory, flat)
    second = None if interpreted is None else int((interpreted != reference).sum())
    return Agreement(int(differs.size), int(differs.sum()), first, simulation, second)


def project_digest(project: HLSProject) -> str:
    """Hash of the files that are simulated, as they are now: someone may have edited them since the conversion."""
    digest = hashlib.sha256()
    for path in get_backend(project.hardware.backend).simulation_files(project.directory):
        digest.update(f"{path.relative_to(project.directory)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(backend: Backend, project: HLSProject, timeout_s: float | None = None) -> tuple[Path, bool]:
    """The compiled simulation, and whether it was kept from before."""
    digest = hashlib.sha256(f"{backend.simulation_version()}\0{project_digest(project)}".encode())
    build = cache_directory() / "csim" / digest.hexdigest()[:32]
    if build.exists():
        return build, True
    with atomic_path(build) as fresh:
        fresh.mkdir()
        backend.build_simulation(project.directory, project.name, fresh, timeout_s)
    return build, False


def _locate(
    project: HLSProject, trained: TrainedModel, x: NDArray[Any], event: int, difference: NDArray[np.float64]
) -> Difference:
    """Find the first layer whose outputs differ for one event, whose scores have this ``difference``."""
    backend = get_backend(project.hardware.backend)
    build, _ = _build(backend, project)
    steps = trained.firmware.steps
    sizes = {step.name: math.prod(step.output_shape) for step in steps}
    traced = backend.trace(build, x[event].astype(np.float64).ravel(), sizes)
    reference = trained.layer_outputs(x[event : event + 1])
    positions = [position for position, step in enumerate(steps) if step.name in traced]
    for position, following in zip(positions, [*positions, len(steps)][1:], strict=True):
        # What a layer hands on in hardware has gone through the activations that hls4ml fused into it.
        last = steps[following - 1]
        found = traced[steps[position].name] - reference[last.name].ravel()
        if found.any():
            return Difference(steps[position].name, event, _largest(found) * 2.0**last.output_values.fraction)
    # Every layer agrees: the project hands on something else than its last layer's output.
    return Difference("output", event, _largest(difference) * 2.0 ** steps[-1].output_values.fraction)


def _largest(values: NDArray[np.float64]) -> float:
    return float(values[np.argmax(np.abs(values))])
