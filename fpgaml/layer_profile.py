"""What every layer of a trained network does with its bits, and what it costs, as a value that can be kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.cost import layer_ebops
from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import ArithmeticLayer
from fpgaml.train import TrainedModel
from fpgaml.word_use import WordUse, network_word_use, word_use

MAX_EVENTS = 2_000
"""Events that activations are looked at on: enough for what is typical, and seconds of work."""

MAX_BINS = 48
"""Of a histogram of weights."""


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What one layer adds to the cost of the network; counts as in ``fpgaml.cost.Cost``."""

    layer: str
    parameters: int
    multiply_accumulates: int
    ebops: int


@dataclass(frozen=True, kw_only=True)
class WeightHistogram:
    """The weights of a layer after rounding.

    Parameters
    ----------
    layer : str
    width : int
        Bits of a weight.
    minimum, maximum : float
        What the format can hold.
    edges, counts : list
        Of bins that are a whole number of steps wide, with edges between the words.
    zeros : float
        Share of weights that are zero.
    """

    layer: str
    width: int
    minimum: float
    maximum: float
    edges: list[float]
    counts: list[int]
    zeros: float


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """All number formats of a network with the values that occur in them, its weights, and what its layers cost.

    Parameters
    ----------
    events : int
        Events that inputs and activations were looked at on; 0 if there were none, and only weights are listed.
    uses : tuple of WordUse
        From the inputs to the output.
    weights : tuple of WeightHistogram
    costs : tuple of LayerCost
        Of the layers that have products.
    """

    events: int
    uses: tuple[WordUse, ...]
    weights: tuple[WeightHistogram, ...]
    costs: tuple[LayerCost, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LayerProfile:
        """The profile that ``to_json`` gave."""
        uses = (
            {**entry, "fixed": FixedPoint(**entry["fixed"]), "typical": tuple(entry["typical"])}
            for entry in value["uses"]
        )
        return cls(
            events=value["events"],
            uses=tuple(WordUse(**entry) for entry in uses),
            weights=tuple(WeightHistogram(**entry) for entry in value["weights"]),
            costs=tuple(LayerCost(**entry) for entry in value["costs"]),
        )


def profile_layers(trained: TrainedModel, inputs: ArrayLike | None = None) -> LayerProfile:
    """Look at the values in every layer of a trained network.

    Parameters
    ----------
    trained : TrainedModel
        The network; batch normalisation is folded, as in the firmware.
    inputs : shape (n_events, *input_shape), optional
        Events to look at activations on, before quantization; of many, 2,000 are taken at even distances. Without them
        only weights are looked at.
    """
    sample = None if inputs is None else _sample(np.asarray(inputs))
    return LayerProfile(
        events=0 if sample is None else len(sample),
        uses=tuple(_weight_uses(trained)) if sample is None else network_word_use(trained, sample),
        weights=tuple(_histograms(trained)),
        costs=tuple(_costs(trained)),
    )


def kernels(trained: TrainedModel) -> dict[str, NDArray[np.float64]]:
    """The weights of every layer that has some, after rounding, without biases."""
    return {name: trained.quantized_weights[name]["kernel"] for name, _ in _arithmetic(trained)}


def _sample(inputs: NDArray[Any]) -> NDArray[Any]:
    """At most ``MAX_EVENTS`` events from all over, because signal and background may come one after the other."""
    if len(inputs) <= MAX_EVENTS:
        return inputs
    return np.asarray(inputs[np.linspace(0, len(inputs) - 1, MAX_EVENTS).astype(int)])


def _weight_uses(trained: TrainedModel) -> Iterator[WordUse]:
    for name, layer in _arithmetic(trained):
        for variable, kind, fixed in (
            ("kernel", "weights", layer.weight_format),
            ("bias", "biases", layer.bias_format),
        ):
            if variable in trained.weights[name]:
                yield word_use(f"{name} {kind}", fixed, trained.weights[name][variable])


def _histograms(trained: TrainedModel) -> Iterator[WeightHistogram]:
    for name, layer in _arithmetic(trained):
        fixed = layer.weight_format
        words = fixed.words(trained.weights[name]["kernel"]).ravel()
        low, high = int(words.min()), int(words.max())
        step = -(-(high - low + 1) // MAX_BINS)  # a whole number of words: no comb that is not in the weights
        counts = np.bincount((words - low) // step)
        edges = (low - 0.5 + step * np.arange(len(counts) + 1)) * fixed.step
        yield WeightHistogram(
            layer=name,
            width=fixed.width,
            minimum=fixed.minimum,
            maximum=fixed.maximum,
            edges=edges.tolist(),
            counts=counts.tolist(),
            zeros=float((words == 0).mean()),
        )


def _costs(trained: TrainedModel) -> Iterator[LayerCost]:
    """The terms of the sums in ``fpgaml.cost.cost``."""
    for step in trained.firmware.steps:
        if isinstance(step.layer, ArithmeticLayer):
            kernel = trained.quantized_weights[step.name]["kernel"]
            yield LayerCost(
                layer=step.name,
                parameters=step.layer.parameters(step.input_shape),
                multiply_accumulates=step.layer.multiply_accumulates(step.input_shape),
                ebops=layer_ebops(step, kernel),
            )


def _arithmetic(trained: TrainedModel) -> Iterator[tuple[str, ArithmeticLayer]]:
    for step in trained.firmware.steps:
        if isinstance(step.layer, ArithmeticLayer):
            yield step.name, step.layer
