"""Average pooling over windows of an image."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import WindowPooling2D


class AveragePooling2D(WindowPooling2D):
    """The mean of every window. Exact where a window has 2, 4, 8, … values."""

    kind: ClassVar[str] = "average_pooling2d"
    operation: ClassVar[Literal["Max", "Average"]] = "Average"
    example: ClassVar[Example] = Example((12, 8, 2), ({"pool_size": 2}, {"pool_size": (1, 4)}))
