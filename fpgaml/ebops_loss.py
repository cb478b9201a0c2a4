"""EBOPs as a term of the loss, so that training takes away the bits that a network can do without.

EBOPs count bits, and a count has no gradient. What is added to the loss counts, in place of the bits of a weight,
log2(1 + |w| / step), where w is the weight before it is rounded and step that of its format: 1 for a word of 1, 2 for
one of 3, 3 for one of 7. A word of many bits has nearly as much as it has bits up to the highest; bits that are zero
below the lowest one, which EBOPs leave out, count here. It rises most steeply at zero: small weights are driven there
and cost nothing then, while large ones hardly feel it, as in the reweighted sums of Candès, Wakin and Boyd, J. Fourier
Anal. Appl. 14 (2008) 877. That EBOPs times a weight are added to the loss is the idea of Sun et al., arXiv:2405.00645,
where the widths are trained with them; here they stay, and weights vanish.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.layers import ArithmeticLayer


@dataclass(frozen=True, eq=False)
class _Kernel:
    """A layer's weights, their quantizer, and how often each meets an input."""

    variable: Any
    quantizer: Any
    uses: Any


class EbopsLoss:
    """The term of one model, for all networks of its shape.

    Parameters
    ----------
    architecture : Architecture
        Any network of the shape.
    model : Keras model
        Quantized.
    """

    def __init__(self, architecture: Architecture, model: Any) -> None:
        import tensorflow as tf

        self._kernels: list[_Kernel] = []
        for step in architecture.steps:
            if isinstance(step.layer, ArithmeticLayer):
                layer = model.get_layer(step.name)
                (variable,) = (found for found in layer.weights if found.name.endswith("kernel"))
                uses = tf.constant(step.layer.uses(step.input_shape), tf.float32)
                self._kernels.append(_Kernel(variable, layer.quantizers[0], uses))

    @staticmethod
    def prices(architecture: Architecture, weight: float) -> NDArray[np.float64]:
        """What a bit of a weight costs in each arithmetic layer: the width of its inputs times ``weight``."""
        steps = [step for step in architecture.steps if isinstance(step.layer, ArithmeticLayer)]
        return weight * np.array([step.input_values.width for step in steps], dtype=np.float64)

    def __call__(self, prices: Any) -> Any:
        """The term at the model's present weights, from a tensor of ``prices``; a scalar."""
        import tensorflow as tf

        terms = []
        for number, kernel in enumerate(self._kernels):
            step, _ = kernel.quantizer.format(kernel.variable)
            bits = tf.math.log1p(tf.abs(kernel.variable) / step) / math.log(2)
            terms.append(prices[number] * tf.reduce_sum(kernel.uses * bits))
        return tf.add_n(terms)
