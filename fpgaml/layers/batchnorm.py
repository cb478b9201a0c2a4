"""Batch normalisation: trained as such, then folded into the layer before it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pydantic

from fpgaml.layers import Example, Layer, Role, Shape


class BatchNorm(Layer):
    """Normalisation of each channel; the firmware has the folded and quantized weights only.

    Parameters
    ----------
    momentum : float
        Of the moving mean and variance.
    epsilon : float
        Added to the variance.
    """

    kind: ClassVar[str] = "batchnorm"
    role: ClassVar[Role] = "normalization"
    example: ClassVar[Example] = Example((10,), ({}, {"momentum": 0.9, "epsilon": 0.01}))

    momentum: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.99
    epsilon: Annotated[float, pydantic.Field(ge=1e-8, le=1000)] = 0.001

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' BatchNormalization over the last axis."""
        import keras

        return keras.layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon, name=name, dtype=dtype)
