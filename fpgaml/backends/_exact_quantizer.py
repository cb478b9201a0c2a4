"""A quantizer node for hls4ml's graph that keeps the values at which it saturates. Importing this module loads hls4ml.

hls4ml 1.3 narrows the type of a saturating quantizer to the fractional bits that its input has. The largest value of
the narrower type is smaller, so whatever saturates comes out lower than in the model: ``ap_ufixed<12,1>`` fed with
five fractional bits becomes ``ap_ufixed<6,1>``, and saturates at 2 - 2^-5 in place of 2 - 2^-11. Here the type is
narrowed only where the input's range shows that nothing can saturate.

Where the range shows that everything is rounded to zero, because trained weights came out small or zero, hls4ml is left
with a type of no bits, and gives it another that holds something else; or ``ap_fixed`` wants to look at the bit that
decides the rounding, which its argument is too short to have. Such a node gets one bit and rounds down: it is zero
without a look at that bit.
"""

from __future__ import annotations

import numpy as np
from hls4ml.model.layers import register_layer
from hls4ml.model.optimizer.passes.bit_exact import _produce_kif, get_input_layers, produce_kif
from hls4ml.model.optimizer.passes.hgq_proxy_model import FixedPointQuantizer
from numpy.typing import NDArray

from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import QUANTIZER_CLASS


class ExactQuantizer(FixedPointQuantizer):  # type: ignore[misc]
    """One fixed-point format for all values of a tensor; hls4ml fuses it into the node before it."""


register_layer(QUANTIZER_CLASS, ExactQuantizer)


@_produce_kif.register  # type: ignore[untyped-decorator]  # hls4ml's own table of how many bits each class of node produces
def _(node: ExactQuantizer) -> tuple[NDArray[np.int16], ...]:
    # hls4ml asks more than once; the attributes still say what was asked for.
    sign, width, integer = (int(value.item()) for value in node.attributes["mask_kbi"])
    own = FixedPoint(width, integer, bool(sign), node.attributes["RND"], node.SAT)
    whole, fraction = integer - sign, own.fraction
    before = [np.asarray(bits) for bits in produce_kif(get_input_layers(node)[0])]
    sign_before, whole_before, fraction_before = (int(bits.max()) for bits in before)
    shape = before[0].shape
    smallest_before, largest_before = -sign_before * 2.0**whole_before, 2.0**whole_before - 2.0**-fraction_before
    if not own.quantize([smallest_before, largest_before]).any():
        node.RND = "TRN"
        sign, whole, width = 0, 1 - fraction, 1
    elif own.minimum <= smallest_before and largest_before <= own.maximum:
        # Rounding up may need one more bit; rounding down takes the smallest negative value to a whole step below zero.
        if fraction_before > fraction:
            needed = max(whole_before, -fraction) if own.rounding == "TRN" else whole_before + 1
        else:
            needed = whole_before
        whole, fraction = min(whole, needed), min(fraction, fraction_before)
        sign, width = sign_before, sign_before + whole + fraction
    node.mask_kbi = tuple(np.array([value], dtype=np.int16) for value in (sign, width, sign + whole))
    return tuple(np.full(shape, value, dtype=np.int16) for value in (sign, whole, fraction))
