"""How small and how large a network may be: checked before anything is allocated for it."""

from __future__ import annotations

import math

from fpgaml.architecture import Architecture
from fpgaml.errors import StudyError
from fpgaml.layers import Shape

MAX_RANK = 8
"""Dimensions of one event's inputs."""
MAX_VALUES = 2**20
"""Inputs and outputs of all layers, for one event."""
MAX_WEIGHTS = 2**24
MAX_PRODUCTS = 2**28
"""Of one event."""
MAX_BATCH_VALUES = 2**29
"""Inputs and outputs of all layers for a batch: 2 GiB as float32, of which training needs a few."""


def check_inputs(input_shape: Shape) -> None:
    """Refuse inputs that are too large, or have too many dimensions.

    Raises
    ------
    StudyError
        With what is allowed.
    """
    if len(input_shape) > MAX_RANK:
        raise _error("data", f"data: inputs have {len(input_shape)} dimensions; allowed: {MAX_RANK}")
    if math.prod(input_shape) > MAX_VALUES:
        raise _error("data", f"data: an event has {math.prod(input_shape):,} inputs; allowed: {MAX_VALUES:,}")


def check_network(architecture: Architecture, batch_size: int) -> None:
    """Refuse networks, and batches, that are too large for any hardware this is for, and perhaps for the memory.

    Raises
    ------
    StudyError
        With what is allowed, and the layer at which it is too much. Or there is nothing that could be trained.
    """
    values, weights, products = math.prod(architecture.input_shape), 0, 0
    for position, step in enumerate(architecture.steps):
        values += math.prod(step.output_shape)
        weights += step.layer.parameters(step.input_shape)
        products += step.layer.multiply_accumulates(step.input_shape)
        for found, most, what in (
            (weights, MAX_WEIGHTS, "weights and biases"),
            (products, MAX_PRODUCTS, "products for an event"),
            (values, MAX_VALUES, "inputs and outputs of layers for an event"),
        ):
            if found > most:
                error = StudyError(
                    f"layers[{position}] ({step.layer.kind}): up to here the network has {found:,} {what}; allowed: "
                    f"{most:,}. Use fewer filters or units, or strides or pooling before it"
                )
                error.layer = position
                raise error
    if not weights:
        raise StudyError("layers: none of them has weights that could be trained. Add a dense or convolution layer")
    if batch_size * values > MAX_BATCH_VALUES:
        raise _error(
            "train",
            f"train.batch_size: should be at most {MAX_BATCH_VALUES // values:,}, as layers have {values:,} inputs and "
            f"outputs for an event, found {batch_size:,}",
        )


def _error(section: str, message: str) -> StudyError:
    error = StudyError(message)
    error.section = section
    return error
