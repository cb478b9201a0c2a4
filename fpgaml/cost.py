"""What a network costs, from its architecture and its trained weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.architecture import Architecture, Step
from fpgaml.builder import ModelWeights
from fpgaml.layers import ArithmeticLayer


@dataclass(frozen=True)
class Cost:
    """Counts for one event.

    Parameters
    ----------
    parameters : int
        Weights and biases in the firmware.
    multiply_accumulates : int
        Products.
    bops : int
        Bit operations: width of the input times width of the weight format, summed over products.
    ebops : int
        Effective bit operations: width of the input times the bits that the trained weight really uses, summed over
        products; see ``layer_ebops``.
    weight_bits : int
        Memory for weights and biases, in bits.
    activation_bits : int
        The largest memory for the inputs and outputs of one layer, in bits.
    """

    parameters: int
    multiply_accumulates: int
    bops: int
    ebops: int
    weight_bits: int
    activation_bits: int

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def used_bits(words: ArrayLike) -> NDArray[np.int64]:
    """Bits between the highest and the lowest set bit of each word's magnitude, both included; 0 for zero.

    This is what a constant costs as one operand of a product: shifts and the sign are free (Sun et al., "Gradient-based
    Automatic Mixed Precision Quantization for Neural Networks On-Chip", arXiv:2405.00645, section on EBOPs).

    >>> used_bits([0, 1, 8, 12, -5])
    array([0, 1, 1, 2, 3])
    """
    magnitude = np.abs(np.asarray(words, dtype=np.int64))
    lowest = magnitude & -magnitude
    ratio = np.where(magnitude > 0, magnitude, 1) // np.where(lowest > 0, lowest, 1)
    return np.where(magnitude > 0, np.floor(np.log2(ratio)).astype(np.int64) + 1, 0)


def layer_ebops(step: Step, kernel: NDArray[np.float64]) -> int:
    """Effective bit operations of one layer with this quantized kernel: the sum of b_i b_j over its products.

    The definition is that of Sun et al., arXiv:2405.00645: b_i are the bits of the input, b_j those of the weight, a
    constant, from its highest to its lowest set bit. Only products count, not the sums behind them. Products with a
    zero of padding are none, as in the authors' library HGQ2 (``hgq/layers/conv.py``, where they have 0 bits). HGQ2
    adds the bits of every bias; the definition does not, and neither does this. An input's sign is one of its bits, as
    HGQ2 has it where values saturate.
    """
    layer = step.layer
    if not isinstance(layer, ArithmeticLayer):
        return 0
    bits = used_bits(layer.weight_format.words(kernel))
    return step.input_values.width * int((layer.uses(step.input_shape) * bits).sum())


def cost(architecture: Architecture, quantized_weights: ModelWeights) -> Cost:
    """Count what a folded architecture with these quantized weights costs.

    A convolution's weight counts once for every window position, since each is a product of its own in unrolled
    hardware; those with zeros of padding are among the products, but have no effective bit operations.
    """
    parameters = products = bops = ebops = weight_bits = 0
    for step in architecture.steps:
        layer = step.layer
        if not isinstance(layer, ArithmeticLayer):
            continue
        n_parameters, n_products = layer.parameters(step.input_shape), layer.multiply_accumulates(step.input_shape)
        kernel = quantized_weights[step.name]["kernel"]
        input_width = step.input_values.width
        parameters += n_parameters
        products += n_products
        bops += n_products * input_width * layer.weight_format.width
        ebops += layer_ebops(step, kernel)
        n_biases = n_parameters - kernel.size
        weight_bits += kernel.size * layer.weight_format.width + n_biases * layer.bias_format.width
    activation_bits = max(
        math.prod(step.input_shape) * step.input_values.width + math.prod(step.output_shape) * step.output_values.width
        for step in architecture.steps
    )
    return Cost(parameters, products, bops, ebops, weight_bits, activation_bits)
