"""Dropout: only in training."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pydantic

from fpgaml.layers import Example, Layer, Role, Shape


class Dropout(Layer):
    """Each value is zero with probability ``rate`` in training; nothing happens in the firmware.

    Parameters
    ----------
    rate : float
        Probability.
    """

    kind: ClassVar[str] = "dropout"
    role: ClassVar[Role] = "dropout"
    example: ClassVar[Example] = Example((10,), ({"rate": 0.2},))

    rate: Annotated[float, pydantic.Field(ge=0, le=0.999)]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' Dropout."""
        import keras

        return keras.layers.Dropout(self.rate, seed=seed, name=name, dtype=dtype)
