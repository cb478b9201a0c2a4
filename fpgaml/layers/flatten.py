"""All values of an event in one row."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fpgaml.layers import Arithmetic, Example, HlsNode, Layer, Role, Shape, Weights


class Flatten(Layer):
    """The same values in one dimension."""

    kind: ClassVar[str] = "flatten"
    role: ClassVar[Role] = "reshape"
    example: ClassVar[Example] = Example((4, 3, 2), ({},))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Any shape to (n_values,)."""
        return (math.prod(input_shape),)

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' Flatten."""
        import keras

        return keras.layers.Flatten(name=name, dtype=dtype)

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's Reshape, or nothing where the input is flat already."""
        if len(input_shape) == 1:
            return []
        return [{"class_name": "Reshape", "target_shape": list(self.output_shape(input_shape))}]

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """The same values in one dimension."""
        return values.reshape(-1)
