"""How a network is trained."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from fpgaml.field_types import Epochs, Seed


class TrainOptions(pydantic.BaseModel):
    """The ``train:`` section of a study.

    Parameters
    ----------
    epochs : int
        At most so many; early stopping may end before.
    batch_size : int
        Events in a batch.
    learning_rate : float
        At the start.
    schedule : {"constant", "cosine"}
        Whether the learning rate stays, or falls to zero along a cosine over all epochs.
    optimizer : str
        One of Keras' optimizers, by name.
    patience : int
        Epochs without a lower validation loss after which training stops.
    fine_tune_epochs : int
        At most so many for the folded and quantized model, where there is batch normalisation.
    float_epochs : int
        Before all others, so many epochs as a float network; the quantized one begins with its weights. A search does
        this once for all networks that differ in widths only.
    ebops_weight : float
        How much an effective bit operation adds to the loss of quantized epochs, such as 1e-5: the larger, the more
        weights become zero. See ``fpgaml.ebops_loss``.
    seed : int
        For initial weights, dropout and the order of events.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    epochs: Epochs = 20
    batch_size: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] = 1024
    learning_rate: Annotated[float, pydantic.Field(ge=1e-8, le=3e38)] = 0.001
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"] = "adam"
    patience: Epochs = 10
    fine_tune_epochs: Epochs = 5
    float_epochs: Annotated[int, pydantic.Field(ge=0, le=100_000)] = 0
    ebops_weight: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    seed: Seed = 1
