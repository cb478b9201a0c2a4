"""Max pooling over all of a sequence."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import GlobalPooling


class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of every channel."""

    kind: ClassVar[str] = "global_max_pooling1d"
    operation: ClassVar[Literal["Max", "Average"]] = "Max"
    rank: ClassVar[int] = 1
    example: ClassVar[Example] = Example((7, 3), ({},))
