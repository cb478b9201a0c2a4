"""Limits of the vendor's HLS tools that no C simulation meets: found before training, with the option that cures them.

None of them was met here: no vendor tool has been run. They come from reports of people who ran one:

* products side by side: ``hls4ml`` issues 1157, 1013 and 903. Vivado HLS neither unrolls more than about 4096 products
  nor splits an array of more than 4096 elements into registers, which is the ``maximum_size`` in hls4ml's
  ``project.tcl``. Vitis HLS has no such option; "fully unrolling is still unlikely" there.
* values side by side, with io_parallel: hls4ml pull request 600, "the usual partitioning limit". The inputs are one
  port: issue 506 has its limit of 65,536 bits.
* stream words: Vitis-HLS-Introductory-Examples issue 19, 4096 bits, for hls4ml's own kind of stream.
* stream depths: finn pull requests 232 and 703, 32,768 words. hls4ml makes a stream as deep as an image has positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fpgaml.architecture import Architecture, Step
from fpgaml.errors import StudyError
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer, Shape
from fpgaml.rtl_limits import check_options, check_size

SIDE_BY_SIDE = 4096
"""Products of one layer, or values between two layers, at the same time."""

PORT_BITS = 65_536
STREAM_BITS = 4096
STREAM_DEPTH = 32_768

SHOWN = 6
"""Reuse factors that a message names."""


@dataclass(frozen=True)
class Limit:
    """A limit that a network exceeds.

    Parameters
    ----------
    layer : str
        Where.
    message : str
        What is too much, and what would cure it.
    certain : bool
        The tool reports an error. Otherwise it may take very long, need much memory, or fail.
    """

    layer: str
    message: str
    certain: bool

    def __str__(self) -> str:
        return f"{self.layer}: {self.message}"


def exceeded_limits(architecture: Architecture, hardware: Hardware) -> tuple[Limit, ...]:
    """The limits of the backend's HLS tool that a network exceeds on some hardware; none where no HLS tool is used."""
    if not hardware.through_hls4ml:
        return ()
    return tuple(_limits(architecture.folded(), hardware))


def check_limits(architecture: Architecture, hardware: Hardware) -> None:
    """Refuse what the HLS tool certainly fails on, and what the backend rtl cannot do.

    Raises
    ------
    StudyError
        With what would cure it.
    ExactnessError
        Words that are too wide for the backend rtl.
    """
    if hardware.backend == "rtl":
        check_options(hardware)
        check_size(architecture)
    certain = [str(limit) for limit in exceeded_limits(architecture, hardware) if limit.certain]
    if certain:
        raise StudyError("hardware: " + "; ".join(certain))


def _limits(architecture: Architecture, hardware: Hardware) -> Iterator[Limit]:
    width = architecture.input_format.format.width
    streamed = hardware.io_type == "io_stream"
    yield from _stream("inputs", architecture.input_shape, width) if streamed else _inputs(architecture, hardware)
    shape = architecture.input_shape
    for step in architecture.steps:
        if isinstance(step.layer, ArithmeticLayer):
            yield from _products(step, step.layer, hardware.for_layer(step.name))
        if streamed and step.layer.role in ("quantizer", "pooling"):
            yield from _stream(step.name, step.output_shape, step.output_values.width)
        elif not streamed and step.output_shape != shape and step.layer.role in ("arithmetic", "pooling"):
            yield from _values(step.name, step.output_shape, hardware)
        shape = step.output_shape


def _inputs(architecture: Architecture, hardware: Hardware) -> Iterator[Limit]:
    bits = math.prod(architecture.input_shape) * architecture.input_format.format.width
    if bits > PORT_BITS:
        yield Limit(
            "inputs",
            f"{bits} bits in one port, more than the {PORT_BITS} that the tool makes. Use io_type io_stream",
            hardware.backend == "vivado",
        )
    yield from _values("inputs", architecture.input_shape, hardware)


def _values(name: str, shape: Shape, hardware: Hardware) -> Iterator[Limit]:
    """io_parallel: all values of a tensor are registers."""
    values = math.prod(shape)
    if values > SIDE_BY_SIDE:
        yield Limit(
            name,
            f"{values} values side by side, more than the {SIDE_BY_SIDE} that the tool keeps in registers. Use io_type "
            "io_stream",
            hardware.backend == "vivado",
        )


def _stream(name: str, shape: Shape, width: int) -> Iterator[Limit]:
    """io_stream: all channels of a position are one word, and a stream holds all positions."""
    bits, depth = shape[-1] * width, math.prod(shape[:-1])
    if bits > STREAM_BITS:
        yield Limit(
            name,
            f"{bits} bits in one word of a stream ({shape[-1]} values of {width} bits), more than the {STREAM_BITS} "
            "that Vitis HLS takes. Use io_type io_parallel, or fewer channels or bits before it",
            certain=False,
        )
    if depth > STREAM_DEPTH:
        yield Limit(
            name,
            f"a stream of {depth} words, more than the {STREAM_DEPTH} of the vendor's FIFOs. Use smaller images, for "
            "example by strides or pooling before it",
            certain=False,
        )


def _products(step: Step, layer: ArithmeticLayer, hardware: Hardware) -> Iterator[Limit]:
    """Products of one layer that are computed at the same time."""
    n_in, n_out = layer.fan_in(step.input_shape), layer.fan_out(step.input_shape)
    factor = hardware.parallelization_factor if layer.positions(step.input_shape) > 1 else 1
    reuse = hardware.reuse_factor if hardware.strategy == "resource" else 1
    found = math.ceil(n_in * n_out / reuse) * factor
    if found <= SIDE_BY_SIDE:
        return
    possible = layer.reuse_factors(step.input_shape, hardware)
    enough = [valid for valid in possible if math.ceil(n_in * n_out / valid) * factor <= SIDE_BY_SIDE]
    cures = []
    if factor > 1:
        cures.append("a smaller parallelization_factor")
    if enough:
        listed = ", ".join(map(str, enough[:SHOWN])) + (", …" if len(enough) > SHOWN else "")
        cures.append(f"strategy: resource and a reuse_factor of {listed}")
    cure = " or ".join(cures)
    yield Limit(
        step.name,
        f"{found} products side by side, more than the {SIDE_BY_SIDE} that the tool unrolls. Give it {cure}: "
        f"hardware: {{layers: {{{step.name}: {{…}}}}}}",
        # latency: hls4ml splits an array of all products, n_in × n_out, into registers
        certain=hardware.backend == "vivado" and hardware.strategy == "latency" and n_in * n_out > SIDE_BY_SIDE,
    )
