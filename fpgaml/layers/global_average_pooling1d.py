"""Average pooling over all of a sequence."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import GlobalPooling


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of every channel. Exact where a channel has 2, 4, 8, … values."""

    kind: ClassVar[str] = "global_average_pooling1d"
    operation: ClassVar[Literal["Max", "Average"]] = "Average"
    rank: ClassVar[int] = 1
    example: ClassVar[Example] = Example((8, 3), ({},))
