"""The two ports of a circuit for others: the lines of a bench that fill and read them, and how to connect them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fpgaml.backends._rtl_verilog import INTERFACE, Port, Verilog
from fpgaml.errors import OutputError

INDENT = " " * 12


def bench_values(verilog: Verilog) -> dict[str, str]:
    """What stands for what in ``check_words.v`` and ``check_words_rtl.sh``, beside the network's numbers."""
    finest = verilog.output_format.fraction
    return {
        "TOP": verilog.name,
        "LATENCY": str(verilog.latency_cycles),
        "INPUT_BITS": str(_bits(verilog.inputs)),
        "OUTPUT_BITS": str(_bits(verilog.outputs)),
        "PACK": "\n".join(INDENT + line for line in _pack(verilog.inputs)),
        "UNPACK": "\n".join(INDENT + line for line in _unpack(verilog.outputs, finest)),
    }


def declaration(top: Path) -> str:
    """The head of a module.

    Raises
    ------
    OutputError
        The file is missing, or holds no such module.
    """
    try:
        text = top.read_text(encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{top}: cannot be read: {error.strerror}. Convert the model again") from error
    found = re.search(rf"^module {top.stem} \(.*?\);", text, flags=re.DOTALL | re.MULTILINE)
    if found is None:
        raise OutputError(f"{top}: holds no module {top.stem}. Convert the model again")
    return found.group()


def port_notes(verilog: Verilog) -> list[str]:
    """Paragraphs of Markdown: where the bits of each number are, and at which clock edge."""
    cycles = verilog.latency_cycles
    layout = (
        f"`model_inp` holds the input words: {_layout(verilog.inputs, 'model_inp')} `model_out` holds the output: "
        f"{_layout(verilog.outputs, 'model_out')} `{INTERFACE}` has the same for programs: lowest bit, width, bits "
        "right of the binary point, sign."
    )
    timing = (
        "There is no reset and no handshake: a new event is taken at every rising edge of `clk` (interval 1). Of an "
        f"event that is taken at one edge, the output is in `model_out` after the {_ordinal(cycles)} edge that follows "
        f"(latency: {cycles} cycles between the registers of the inputs and those of the outputs; the pipeline was cut "
        f"for a period of {verilog.clock_period_ns:g} ns, by an estimate)."
    )
    return [layout, timing]


def _bits(ports: Sequence[Port]) -> int:
    return max(port.low + port.width for port in ports)


def _pack(ports: Sequence[Port]) -> Iterator[str]:
    for number, port in enumerate(ports):
        if port.width:
            yield f"model_inp[{port.low} +: {port.width}] = in[{number}][{port.width - 1}:0];"


def _unpack(ports: Sequence[Port], finest: int) -> Iterator[str]:
    for number, port in enumerate(ports):
        bits = f"model_out[{port.low} +: {port.width}]"
        yield f"found[{number}] = " + ((f"$signed({bits})" if port.signed else bits) if port.width else "0") + ";"
        if port.fraction != finest:
            yield f"found[{number}] = found[{number}] <<< {finest - port.fraction};"


def _layout(ports: Sequence[Port], name: str) -> str:
    """In one sentence, where all numbers are alike; else they are listed."""
    width, signed = ports[0].width, ports[0].signed
    kind = "two's complement" if signed else "without a sign"
    if len(ports) == 1:
        return f"`{name}[{width - 1}:0]`, {kind}, {ports[0].fraction} bits right of the binary point."
    if all((port.low, port.width, port.signed) == (i * width, width, signed) for i, port in enumerate(ports)):
        return f"number i, from 0, is `{name}[{width} * i +: {width}]`, {kind}."
    listed = (
        f"{number}: `{name}[{port.low} +: {port.width}]` {'signed' if port.signed else 'unsigned'}"
        for number, port in enumerate(ports)
    )
    return "; ".join(listed) + "."


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"
