"""What an hls4ml project will cost, by published rules: no vendor tool has been run here, and nothing was fitted.

Sources, by the letters that the code has in its comments:

a. Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", arXiv:1804.06913, section 2:
   a layer's multipliers are its products over the reuse factor R; its latency is that of a product, plus R - 1 times
   the interval of a multiplier, plus that of the activation.
b. hls4ml 1.3, ``optimization/dsp_aware_pruning/objectives/vivado_objectives.py``: no DSP for weights of fewer than 9
   bits; else one for each product over R; flip-flops for weights and outputs; weights of the resource strategy in
   block RAM, 36 bits wide. hls4ml itself calls its count of flip-flops inaccurate.
c. Sun et al., "Gradient-based Automatic Mixed Precision Quantization for Neural Networks On-Chip", arXiv:2405.00645:
   LUT + 55 DSP is about the EBOPs of an unrolled network.
d. AMD, UltraScale Architecture DSP Slice User Guide, UG579: a slice multiplies 27 by 18 bits, with signs.
e. Aarrestad et al., "Fast convolutional neural networks on FPGAs with hls4ml", arXiv:2101.05108: with streams, one
   position comes after the other, R cycles each.
f. Coelho et al., "Automatic heterogeneous quantization of deep neural networks for low-latency inference on the edge
   for particle detectors", arXiv:2006.10159, table 2: four layers and a softmax at a clock of 5 ns take 9 to 14 cycles.
g. hls4ml 1.3, ``multiplier_limit`` in ``backends/vivado/passes/core_templates.py`` and ``convolution_templates.py``:
   the strategy latency may take products over R, rounded up, less zeros over R, rounded down; the strategy resource
   takes no account of zeros (``nnet_dense_resource.h``).

Which of them have been read, and where, stands in docs/costs.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fpgaml.architecture import Architecture, Step
from fpgaml.builder import ModelWeights
from fpgaml.cost import used_bits
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer, Weights
from fpgaml.synthesis import Resources

SMALLEST_DSP_WEIGHT = 9  # b
DSP_PORTS = 27, 18  # d
LUT_PER_DSP = 55  # c
BLOCK_RAM_BITS = 36  # b
SUM_NS = 10.0
"""A product and its sum, in ns: two cycles at the 5 ns of f, where that and a cycle for the activation make 11."""

ESTIMATES = ("bram_18k", "dsp", "ff", "interval_cycles", "latency_cycles", "latency_ns", "lut")
ORIGIN = "predicted by published rules for hls4ml, not fitted"


@dataclass(frozen=True)
class _Share:
    """What one layer adds; ``interval`` in cycles, the others as in ``Resources``."""

    lut: float
    ff: int
    dsp: int
    bram_18k: int
    latency: int
    interval: int


def estimate(architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Resources:
    """What a folded network with these quantized weights will cost through hls4ml; see the module's text.

    Not modelled: pooling, streams between layers, the wider accumulators of large sums, and everything that a vendor's
    tool does of its own accord.
    """
    shares = list(_shares(architecture, weights, hardware))
    activations = sum(step.layer.role in ("quantizer", "pooling") for step in architecture.steps)
    if hardware.io_type == "io_stream":  # e: layers work at the same time, and the slowest sets the pace
        latency = max(share.interval for share in shares) + sum(share.latency for share in shares) + activations
    else:
        latency = sum(share.latency + share.interval - 1 for share in shares) + activations
    return Resources(
        origin=ORIGIN,
        lut=round(sum(share.lut for share in shares)),
        ff=sum(share.ff for share in shares),
        dsp=sum(share.dsp for share in shares),
        bram_18k=sum(share.bram_18k for share in shares),
        latency_cycles=latency,
        interval_cycles=max(share.interval for share in shares),
        clock_period_ns=hardware.clock_period_ns,
    )


def _shares(architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Iterator[_Share]:
    for step in architecture.steps:
        if isinstance(step.layer, ArithmeticLayer):
            yield _share(step, step.layer, weights[step.name], hardware.for_layer(step.name))


def _share(step: Step, layer: ArithmeticLayer, weights: Weights, hardware: Hardware) -> _Share:
    positions, streamed = layer.positions(step.input_shape), hardware.io_type == "io_stream"
    copies = 1 if streamed else min(hardware.parallelization_factor, positions)
    reuse, resource = hardware.reuse_factor, hardware.strategy == "resource"
    kernel, width = weights["kernel"], layer.weight_format.width
    in_block_ram = resource and reuse > 1
    inputs, outputs = step.input_values.width, math.prod(step.output_shape) * step.output_values.width
    if reuse > 1:
        multipliers = math.ceil(kernel.size / reuse) - (0 if resource else int((kernel == 0).sum()) // reuse)  # g
        bits = multipliers * width
    else:  # Weights that do not change are part of the logic: zeros and powers of two take no multiplier.
        used = used_bits(layer.weight_format.words(kernel))
        multipliers, bits = int((used > 1).sum()), int(used.sum())
    dsp = (0 if width < SMALLEST_DSP_WEIGHT else multipliers) * _slices(inputs, width) * copies  # a, b
    bit_operations = float(inputs * bits * copies)
    return _Share(
        lut=max(0.0, bit_operations - LUT_PER_DSP * dsp),  # c
        ff=(0 if resource else kernel.size * width) + (0 if streamed else outputs),  # b
        dsp=dsp,
        bram_18k=2 * math.ceil(kernel.size * width / (reuse * BLOCK_RAM_BITS)) if in_block_ram else 0,  # b
        latency=math.ceil(SUM_NS / hardware.clock_period_ns),
        interval=math.ceil(positions / copies) * reuse,  # a, e
    )


def _slices(one: int, other: int) -> int:
    """DSP slices of one product: the better of the two ways to cut its operands."""
    wide, narrow = DSP_PORTS
    return min(math.ceil(first / wide) * math.ceil(second / narrow) for first, second in ((one, other), (other, one)))
