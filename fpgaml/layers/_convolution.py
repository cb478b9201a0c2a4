"""What convolutions and pooling have in common: how windows lie on an image."""

from __future__ import annotations

import math
from typing import Any, Literal

from fpgaml.errors import StudyError
from fpgaml.layers import Layer, Shape, require_rank

Padding = Literal["valid", "same"]
LAYOUT = {2: "(width, channels)", 3: "(height, width, channels)"}


def window_shape(
    layer: Layer, input_shape: Shape, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding
) -> Shape:
    """Number of window positions along each axis of an image, without channels.

    Raises
    ------
    StudyError
        The window is larger than the image.
    """
    rank = len(window) + 1
    require_rank(layer, input_shape, rank, LAYOUT[rank])
    image = input_shape[:-1]
    if padding == "same":
        return tuple(math.ceil(n / stride) for n, stride in zip(image, strides, strict=True))
    if any(size > n for size, n in zip(window, image, strict=True)):
        raise StudyError(f"{layer.kind} window {window} is larger than its input {image}; allowed: at most {image}")
    return tuple((n - size) // stride + 1 for n, size, stride in zip(image, window, strides, strict=True))


def hls_window(
    name: str,
    input_shape: Shape,
    output_shape: Shape,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> dict[str, Any]:
    """hls4ml's own description of the windows."""
    from hls4ml.converters.keras_v3.conv import gen_conv_config

    geometry: dict[str, Any] = gen_conv_config(
        input_shape, output_shape, window, strides, padding, "channels_last", name
    )
    return {"data_format": "channels_last", **geometry}
