"""Verilog through da4ml, simulated with Verilator and synthesized with Yosys: figures without a vendor's tool."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from fpgaml.architecture import Architecture
from fpgaml.backends import Backend, _rtl_estimate
from fpgaml.backends import _rtl_simulation as simulation
from fpgaml.backends._bench import bench_files
from fpgaml.backends._rtl_netlist import synthesize_verilog, yosys_version
from fpgaml.backends._rtl_ports import bench_values, declaration, port_notes
from fpgaml.backends._rtl_trace import trace_network
from fpgaml.backends._rtl_verilog import INTERFACE, Verilog, write_verilog
from fpgaml.builder import ModelWeights
from fpgaml.errors import AgreementError, OutputError, ToolError, ToolMissingError, ToolTimeoutError
from fpgaml.fixed_point import FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.rtl_limits import check_options, check_size, family_of
from fpgaml.storage import read_json, write_json
from fpgaml.synthesis import CHECKS, Resources, Status, StepReport, Synthesis

if TYPE_CHECKING:
    from rich.progress import Progress

NETWORK, LAYERS, NUMBERS = "model/network.npy", "model/layers.npy", "model/numbers.json"
EVENTS, CHUNK, SEED = 100_000, 10_000, 1
"""Events that the step "simulation" draws, as many at a time, and from where."""
STEPS = ("verilog", "simulation", "yosys")
SUFFIX = "_rtl"
"""Of the top module's name: "small" is a word of Verilog, and "mux" one of da4ml's modules."""


class RtlBackend(Backend):
    """Every product and sum of the network in hardware of its own, a new event at every clock edge."""

    name: ClassVar[str] = "rtl"
    synthesis_steps: ClassVar[tuple[str, ...]] = STEPS
    estimates: ClassVar[tuple[str, ...]] = _rtl_estimate.ESTIMATES
    estimate_margins: ClassVar[Mapping[str, float]] = _rtl_estimate.MARGINS
    packages: ClassVar[tuple[str, ...]] = ("da4ml", "verilator")
    tool_outputs: ClassVar[tuple[str, ...]] = (
        "yosys.log",
        ".Xil/",
        "vivado*.log",
        "vivado*.jou",
        "xsim.dir/",
        "xvlog.*",
        "xelab.*",
        "xsim*.log",
        "xsim*.jou",
        "words.wdb",
    )

    def write(
        self, directory: Path, *, name: str, architecture: Architecture, weights: ModelWeights, hardware: Hardware
    ) -> dict[str, Any]:
        """Write the Verilog, da4ml's circuit and its layers; see ``Backend.write``."""
        simulation.require_da4ml()
        check_options(hardware)
        check_size(architecture)
        traced = trace_network(architecture, weights)
        network = traced.network()
        (directory / "model").mkdir(parents=True)
        verilog = write_verilog(network, directory, name + SUFFIX, clock_period_ns=hardware.clock_period_ns)
        np.save(directory / NETWORK, network.to_binary())
        np.save(directory / LAYERS, traced.layers().to_binary())
        write_json(
            directory / NUMBERS,
            {
                "input": vars(architecture.input_format.format),
                "layers": {step.name: math.prod(step.output_shape) for step in architecture.steps},
            },
        )
        effective: dict[str, Any] = {
            step.name: {
                "class": step.layer.kind,
                "type": f"{step.output_values.width} bits, {step.output_values.fraction} of them fraction",
                "shape": list(step.output_shape),
            }
            for step in architecture.steps
        }
        stages = {"class": "pipeline", "type": f"{verilog.latency_cycles} stages", "shape": [verilog.latency_cycles]}
        return {**effective, "pipeline": stages}

    def bench_files(self) -> Mapping[str, Path]:
        """A test bench in Verilog, and the scripts that build it with Verilator; see ``Backend.bench_files``."""
        return bench_files("check_words_rtl.sh", "check_words.v")

    def bench_values(self, project: Path) -> Mapping[str, str]:
        """The circuit's module and ports; see ``Backend.bench_values``."""
        return bench_values(Verilog.load(project))

    def output_format(self, project: Path, effective: Mapping[str, Any]) -> FixedPoint:
        """Of all words of the outputs, as the bench compares them; see ``Backend.output_format``."""
        return Verilog.load(project).output_format

    def prototype(self, project: Path, name: str) -> str:
        """From the top module; see ``Backend.prototype``."""
        return declaration(project / "src" / f"{name}{SUFFIX}.v")

    def port_notes(self, project: Path) -> Sequence[str]:
        """Where the bits are, and when; see ``Backend.port_notes``."""
        return port_notes(Verilog.load(project))

    def simulation_files(self, project: Path) -> Sequence[Path]:
        """The Verilog, where its numbers are, and what they are worth."""
        files = [*sorted((project / "src").glob("*")), project / INTERFACE, project / NUMBERS]
        return [path for path in files if path.exists()]

    def simulation_version(self) -> str:
        """Verilator, the compiler, their flags, and the runner's text."""
        return simulation.simulation_version()

    def build_simulation(self, project: Path, name: str, build: Path, timeout_s: float | None = None) -> None:
        """Compile with Verilator, and take along what ``simulate`` and ``trace`` need."""
        compiled = simulation.compiled_simulation(project, timeout_s)
        for needed in (*compiled.parent.iterdir(), project / INTERFACE, project / NUMBERS, project / LAYERS):
            if not needed.exists():
                raise ToolError(f"{needed}: not found; the project is not complete. Convert the model again")
            shutil.copy(needed, build / needed.name)

    def simulate(
        self, build: Path, x: NDArray[np.float64], n_outputs: int, timeout_s: float | None = None
    ) -> NDArray[np.float64]:
        """Run the circuit, one event at every clock edge; see ``Backend.simulate``."""
        words = _input_format(build / Path(NUMBERS).name).words(x)
        found = simulation.simulate_words(build / simulation.SIMULATION, words, n_outputs, timeout_s)
        return _values(found, Verilog.load(build))

    def trace(self, build: Path, x: NDArray[np.float64], sizes: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
        """What da4ml's interpreter hands on from each layer; see ``Backend.trace``.

        Layers are no longer apart in the Verilog. Where the interpreter agrees with the model in all of them and the
        simulation does not, the Verilog was edited, or is wrong.
        """
        quantized = _input_format(build / Path(NUMBERS).name).quantize(x[None, :])
        values = simulation.interpret(build / Path(LAYERS).name, quantized)[0]
        ends = np.cumsum(list(sizes.values()))
        return dict(zip(sizes, np.split(values, ends[:-1]), strict=True))

    def interpret(self, project: Path, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores from da4ml's interpreter; see ``Backend.interpret``."""
        return simulation.interpret(project / NETWORK, _input_format(project / NUMBERS).quantize(x))

    def estimate(self, architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Resources:
        """From da4ml's circuit; see ``Backend.estimate``."""
        simulation.require_da4ml()
        check_size(architecture)
        return _rtl_estimate.estimate(architecture, weights, hardware)

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
        """Look at the Verilog, compare its simulation with the interpreter, and synthesize; see ``Backend.synthesize``.

        ``project`` gets ``yosys.log``.
        """
        family = family_of(hardware.part)
        top = Verilog.load(project).name

        def yosys(watch: Callable[[str], None]) -> tuple[str, Resources]:
            log = project / "yosys.log"
            found = synthesize_verilog(project, top, family=family, timeout_s=timeout_s, log=log, watch=watch)
            return f"family {family}", found

        actions = {
            "verilog": lambda _: _describe(project),
            "simulation": lambda watch: _compare(project, timeout_s, watch),
            "yosys": yosys,
        }
        reports = [
            _report(step, actions[step], progress) if step in steps else StepReport(step=step, status="not run")
            for step in STEPS
        ]
        try:
            version = yosys_version()
        except ToolError:
            version = None
        return Synthesis(
            backend=self.name,
            tool="Yosys",
            version=version and version.removeprefix("Yosys "),
            part=hardware.part,
            clock_period_ns=hardware.clock_period_ns,
            steps=tuple(reports),
        )


def _report(
    step: str,
    action: Callable[[Callable[[str], None]], tuple[str, Resources | None]],
    progress: Progress | None,
) -> StepReport:
    """Do a step; what a tool does wrong becomes its status."""
    begun = time.monotonic()
    status: Status = "done"
    resources = None
    with _shown(progress, step) as watch:
        try:
            message, resources = action(watch)
        except ToolMissingError as error:
            status, message = "tool not found", str(error)
        except ToolTimeoutError as error:
            status, message = "timed out", str(error)
        except OutputError as error:  # a full disk, on which a check has not failed
            status, message = "not run" if step in CHECKS else "failed", str(error)
        except (ToolError, AgreementError) as error:
            status, message = "failed", str(error)
    took = None if status == "tool not found" else time.monotonic() - begun
    return StepReport(step=step, status=status, message=message, wall_s=took, resources=resources)


@contextlib.contextmanager
def _shown(progress: Progress | None, step: str) -> Iterator[Callable[[str], None]]:
    """Shows what a step is at behind its name."""
    task = progress.add_task(step, total=None) if progress else None

    def watch(line: str) -> None:
        if progress and task is not None:
            progress.update(task, description=escape(f"{step}: {line[:60]}"))

    yield watch
    if progress and task is not None:
        progress.update(task, description=step, total=1, completed=1)


def _describe(project: Path) -> tuple[str, Resources]:
    """What the Verilog itself says."""
    verilog = Verilog.load(project)
    modules = len(list((project / "src").glob("*.v")))
    found = Resources(
        origin="pipeline of the Verilog",
        latency_cycles=verilog.latency_cycles,
        interval_cycles=1,
        clock_period_ns=verilog.clock_period_ns,
    )
    return f"{modules} modules, {verilog.register_bits} bits of registers before optimisation", found


def _compare(project: Path, timeout_s: float | None, watch: Callable[[str], None]) -> tuple[str, None]:
    """Compare the simulation of the Verilog with da4ml's interpreter, on events drawn over the input's words.

    Raises
    ------
    AgreementError
        A word differs.
    """
    verilog, fixed = Verilog.load(project), _input_format(project / NUMBERS)
    program = simulation.compiled_simulation(project, timeout_s)
    draw = np.random.default_rng(SEED)
    low, high = fixed.word_range
    wrong = 0
    for done in range(0, EVENTS, CHUNK):
        watch(f"{done} of {EVENTS} events")
        words = draw.integers(low, high, (CHUNK, len(verilog.inputs)), endpoint=True)
        simulated = _values(simulation.simulate_words(program, words, len(verilog.outputs)), verilog)
        inputs = np.multiply(words, fixed.step, dtype=np.float64)
        wrong += int((simulated != simulation.interpret(project / NETWORK, inputs)).sum())
    told = (
        f"{wrong} of {EVENTS * len(verilog.outputs)} words of the RTL simulation and of da4ml's interpreter differ "
        f"over {EVENTS} events drawn over the input's words"
    )
    if wrong:
        raise AgreementError(f"{told}: the Verilog was edited, or is wrong. Convert the model again")
    return told, None


def _values(words: NDArray[np.int64], verilog: Verilog) -> NDArray[np.float64]:
    """What output words are worth."""
    return words * 2.0 ** -np.array([port.fraction for port in verilog.outputs])


def _input_format(path: Path) -> FixedPoint:
    """The number format of a project's inputs."""
    try:
        return FixedPoint(**read_json(path)["input"])
    except (KeyError, TypeError) as error:
        raise OutputError(f"{path}: describes no inputs: {error!r}. Convert the model again") from error


BACKEND = RtlBackend()
