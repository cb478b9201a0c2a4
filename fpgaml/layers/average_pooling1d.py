"""Average pooling over windows of a sequence."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import WindowPooling1D


class AveragePooling1D(WindowPooling1D):
    """The mean of every window. Exact where a window has 2, 4, 8, … values."""

    kind: ClassVar[str] = "average_pooling1d"
    operation: ClassVar[Literal["Max", "Average"]] = "Average"
    example: ClassVar[Example] = Example((16, 3), ({"pool_size": 4},))
