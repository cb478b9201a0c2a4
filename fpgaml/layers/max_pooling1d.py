"""Max pooling over windows of a sequence."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import WindowPooling1D


class MaxPooling1D(WindowPooling1D):
    """The largest value of every window."""

    kind: ClassVar[str] = "max_pooling1d"
    operation: ClassVar[Literal["Max", "Average"]] = "Max"
    example: ClassVar[Example] = Example((16, 3), ({"pool_size": 2}, {"pool_size": 3, "strides": 1}))
