"""Max pooling over all of an image."""

from __future__ import annotations

from typing import ClassVar, Literal

from fpgaml.layers import Example
from fpgaml.layers._pooling import GlobalPooling


class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of every channel."""

    kind: ClassVar[str] = "global_max_pooling2d"
    operation: ClassVar[Literal["Max", "Average"]] = "Max"
    rank: ClassVar[int] = 2
    example: ClassVar[Example] = Example((4, 5, 3), ({},))
