"""Verilog of a circuit, cut into pipeline stages for a clock.

Works on any ``CombLogic`` of da4ml, whatever it came from.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpgaml.errors import OutputError
from fpgaml.fixed_point import FixedPoint
from fpgaml.storage import read_json

ADDER_NS = 1.0
"""Time of one adder with its wires, in ns: an estimate, see ``adders_per_stage``."""
INTERFACE = "interface.json"


@dataclass(frozen=True)
class Port:
    """One number of the circuit's packed input or output: where its bits are, and what they are worth.

    Parameters
    ----------
    low : int
        Its lowest bit's place in the packed port.
    width, fraction : int
        Bits of its word, and how many of them are right of the binary point. A width of 0 is a number that is always 0.
    signed : bool
        Two's complement.
    """

    low: int
    width: int
    fraction: int
    signed: bool


@dataclass(frozen=True)
class Verilog:
    """Verilog that ``write_verilog`` wrote.

    Parameters
    ----------
    name : str
        The top module, with ports ``clk``, ``model_inp``, ``model_out``.
    latency_cycles : int
        Stages between the registers of the inputs and those of the outputs; there is a new event every cycle.
    register_bits : int
        Bits of all registers, before any optimisation.
    clock_period_ns : float
        The clock that the stages were cut for.
    inputs, outputs : tuple of Port
        The layout of the packed ports.
    """

    name: str
    latency_cycles: int
    register_bits: int
    clock_period_ns: float
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def output_format(self) -> FixedPoint:
        """The narrowest format that holds the words of all outputs, as fine as the finest of them."""
        fraction = max(port.fraction for port in self.outputs)
        signed = any(port.signed for port in self.outputs)
        # An unsigned word needs one bit more beside signed ones.
        integer = max(port.width - port.fraction + (signed and not port.signed) for port in self.outputs)
        return FixedPoint(max(integer + fraction, 1 + signed), max(integer, 1 + signed - fraction), signed)

    @classmethod
    def load(cls, directory: Path) -> Verilog:
        """What ``write_verilog`` says of the Verilog in a directory.

        Raises
        ------
        OutputError
            There is none.
        """
        path = Path(directory) / INTERFACE
        try:
            value: dict[str, Any] = read_json(path)
            value |= {key: tuple(Port(**port) for port in value[key]) for key in ("inputs", "outputs")}
            return cls(**value)
        except (KeyError, TypeError) as error:
            raise OutputError(f"{path}: describes no Verilog: {error!r}. Convert the model again") from error


def adders_per_stage(clock_period_ns: float) -> int:
    """How many adders, one after the other, a pipeline stage may hold at a clock period.

    da4ml counts delays in adders. The defaults of its command ``da4ml convert`` (version 0.5.2) are five of them for a
    clock period of 5 ns and xcvu13p-flga2577-2-e, which is 1 ns for an adder and its wires. That is an estimate: the
    true figure comes from place and route alone.
    """
    return max(1, math.floor(clock_period_ns / ADDER_NS + 1e-9))


def pipeline_stages(logic: Any, clock_period_ns: float) -> int:
    """How many stages a circuit is cut into at a clock period."""
    return math.ceil(_depth(logic) / adders_per_stage(clock_period_ns))


def adders_in_stages(logic: Any, stages: int) -> int:
    """As few adders a stage as that number of stages allows."""
    return math.ceil(_depth(logic) / stages)


def _depth(logic: Any) -> float:
    """Adders, one after the other."""
    return max(float(logic.latency[1]), 1.0)


def write_verilog(logic: Any, directory: Path, name: str, *, clock_period_ns: float) -> Verilog:
    """Write the Verilog of a circuit, cut into pipeline stages, into an existing directory.

    Parameters
    ----------
    logic : CombLogic
        da4ml's circuit, whose delays are counted in adders.
    directory : Path
        Gets ``src/`` with the modules, ``interface.json``, and ``src/<name>.xdc`` with the clock.
    name : str
        The top module.
    clock_period_ns : float
        Decides how many adders a stage holds: ``adders_per_stage``.
    """
    import da4ml.codegen.rtl.verilog as package
    from da4ml.codegen.rtl.verilog.comb import table_mem_gen
    from da4ml.trace import to_pipeline

    stages = pipeline_stages(logic, clock_period_ns)
    # da4ml's own retiming would count logic as adders.
    pipeline = to_pipeline(logic, adders_in_stages(logic, stages), retiming=False, verbose=False)
    sources = Path(directory) / "src"
    sources.mkdir(parents=True, exist_ok=True)
    texts = {f"{module}.v": text for module, text in package.pipeline_logic_gen(pipeline, name).items()}
    for stage in pipeline.solutions:
        texts |= table_mem_gen(stage)
    for file, text in texts.items():
        (sources / file).write_text(text, encoding="utf-8")
    for source in sorted((Path(package.__file__).parent / "source").glob("*.v")):
        shutil.copy(source, sources / source.name)
    (sources / f"{name}.xdc").write_text(
        f"create_clock -period {clock_period_ns:g} -name clk [get_ports clk]\n", encoding="utf-8"
    )
    written = Verilog(
        name=name,
        latency_cycles=len(pipeline.solutions),
        register_bits=int(pipeline.reg_bits),
        clock_period_ns=clock_period_ns,
        inputs=_ports(pipeline.inp_qint),
        outputs=_ports(pipeline.out_qint),
    )
    ports = {key: [vars(port) for port in getattr(written, key)] for key in ("inputs", "outputs")}
    text = json.dumps({**vars(written), **ports}, indent=1)
    (Path(directory) / INTERFACE).write_text(text + "\n", encoding="utf-8")
    return written


def _ports(intervals: Sequence[Any]) -> tuple[Port, ...]:
    """Where da4ml packs numbers of these ranges: one after the other, the first lowest, in as few bits as hold them."""
    ports: list[Port] = []
    for interval in intervals:
        signed, integer, fraction = map(int, interval.precision)
        low = ports[-1].low + ports[-1].width if ports else 0
        ports.append(Port(low, signed + integer + fraction, fraction, bool(signed)))
    return tuple(ports)
