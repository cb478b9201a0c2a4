"""Max pooling over windows of an image."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import WindowPooling2D


class MaxPooling2D(WindowPooling2D):
    """The largest value of every window."""

    kind: ClassVar[str] = "max_pooling2d"
    operation: ClassVar[Literal["Max", "Average"]] = "Max"
    example: ClassVar[Example] = Example((12, 8, 2), ({"pool_size": 2}, {"pool_size": (2, 1)}))
