"""Training an architecture and its float twin; what comes of it, as a value that can be saved."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights, build_model, fold, quantized_weights, set_model_weights
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import OutputError
from fpgaml.metrics import accuracy
from fpgaml.storage import atomic_path, read_arrays, read_json, write_json
from fpgaml.train_options import TrainOptions
from fpgaml.training_graph import TrainingEvents, TrainingGraph, check_finite, epoch_order, predict_batch

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

History = dict[str, list[Any]]
"""One value per epoch and quantity: loss, val_loss, accuracy, val_accuracy, phase."""


@dataclass(frozen=True, eq=False)
class FloatTwin:
    """The same network without quantizers, trained in the same way: what quantization has to be measured against.

    Parameters
    ----------
    architecture : Architecture
        With batch normalisation, if there is any, as such.
    weights : ModelWeights
        Trained.
    history : History
        Its training curves.
    seed : int
        What initial weights and batches came from.
    wall_s : float
        Seconds that the training took.
    """

    FILES: ClassVar = ("weights_float.npz", "history_float.json", "float.json")
    architecture: Architecture
    weights: ModelWeights
    history: History
    seed: int
    wall_s: float

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Scores, shape (n_events, n_outputs), computed in float32."""
        model = build_model(self.architecture, quantized=False)
        set_model_weights(model, self.weights)
        return _predict(model, x)

    def save(self, directory: Path) -> None:
        """Write weights and history into ``directory``; ``float.json`` comes last, when the others are whole."""
        _save_weights(directory / "weights_float.npz", self.weights)
        write_json(directory / "history_float.json", self.history)
        facts = {"architecture": self.architecture.to_json(), "seed": self.seed, "wall_s": self.wall_s}
        write_json(directory / "float.json", facts)

    @classmethod
    def is_saved(cls, directory: Path) -> bool:
        """Whether all that ``save`` writes is in ``directory``."""
        return all((directory / name).exists() for name in cls.FILES)

    @classmethod
    def load(cls, directory: Path) -> FloatTwin | None:
        """Read what ``save`` wrote; None if it was not saved or not finished.

        Raises
        ------
        OutputError
            A file is broken.
        """
        if not cls.is_saved(directory):
            return None
        facts, history = read_json(directory / "float.json"), read_json(directory / "history_float.json")
        architecture, weights = (
            Architecture.from_json(facts["architecture"]),
            _load_weights(directory / "weights_float.npz"),
        )
        return cls(architecture, weights, history, facts["seed"], facts["wall_s"])


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained quantized network.

    Parameters
    ----------
    architecture : Architecture
        As the study has it, with batch normalisation if there is any.
    weights : ModelWeights
        Of the folded network, before quantization.
    history : History
        Its training curves.
    seed : int
        What initial weights and batches came from.
    wall_s : float
        Seconds that the training took.
    """

    FILES: ClassVar = ("architecture.json", "weights_qkeras.npz", "history_qkeras.json", "trained.json")
    architecture: Architecture
    weights: ModelWeights
    history: History = field(default_factory=dict)
    seed: int = 0
    wall_s: float = 0.0

    @cached_property
    def firmware(self) -> Architecture:
        """The architecture without batch normalisation: what is converted, and whose figures are reported."""
        return self.architecture.folded() if self.architecture.batch_normalized else self.architecture

    @cached_property
    def quantized_weights(self) -> ModelWeights:
        """The words that the firmware has as weights, as float64."""
        return quantized_weights(self.firmware, self.weights)

    @cached_property
    def keras_model(self) -> Any:
        """The quantized Keras model in float64, which holds every product and sum exactly."""
        model = build_model(self.firmware, dtype="float64")
        set_model_weights(model, self.weights)
        return model

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Scores, shape (n_events, n_outputs), exact: they are the words of the firmware."""
        return _predict(self.keras_model, x)

    def layer_outputs(self, x: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """What every layer hands on, by layer name, shape (n_events, *shape)."""
        load_tensorflow()
        import keras

        model = self.keras_model
        return _outputs(keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers}), x)

    def save(self, directory: Path) -> None:
        """Write architecture, weights, history and cost into ``directory``; ``trained.json`` comes last."""
        self.architecture.save(directory / "architecture.json")
        _save_weights(directory / "weights_qkeras.npz", self.weights)
        write_json(directory / "history_qkeras.json", self.history)
        facts = {
            "trial": directory.name,
            "seed": self.seed,
            "cost": cost(self.firmware, self.quantized_weights).to_json(),
            "epochs": {"qkeras": len(self.history.get("loss", []))},
            "wall_s": {"qkeras": self.wall_s},
        }
        write_json(directory / "trained.json", facts)

    @classmethod
    def is_saved(cls, directory: Path) -> bool:
        """Whether all that ``save`` writes is in ``directory``."""
        return all((directory / name).exists() for name in cls.FILES)

    @classmethod
    def load(cls, directory: Path) -> TrainedModel:
        """Read what ``save`` wrote.

        Raises
        ------
        OutputError
            Something is missing or broken.
        """
        directory = Path(directory)
        facts, history = read_json(directory / "trained.json"), read_json(directory / "history_qkeras.json")
        architecture = Architecture.load(directory / "architecture.json")
        weights = _load_weights(directory / "weights_qkeras.npz")
        return cls(architecture, weights, history, facts["seed"], facts["wall_s"]["qkeras"])


def train(
    architecture: Architecture, dataset: Dataset, options: TrainOptions, *, progress: Progress | None = None
) -> TrainedModel:
    """Train the quantized network.

    Batch normalisation is trained as such, folded, and the folded and quantized network fine-tuned. Of each phase the
    weights kept are those of the epoch with the lowest validation loss, EBOPs included where they are in the loss. The
    same seed on the same machine gives the same weights.

    Parameters
    ----------
    architecture : Architecture
        What to train.
    dataset : Dataset
        Its train and validation splits are used.
    options : TrainOptions
        How to train.
    progress : rich.progress.Progress, optional
        Where to show epochs.

    Raises
    ------
    ToolError
        The loss is no longer finite.
    """
    started = time.perf_counter()
    events = TrainingEvents.of(dataset)
    parts: list[History] = []
    weights: ModelWeights | None = None
    if options.float_epochs:
        graph = TrainingGraph(architecture, options, events, quantized=False)
        graph.start(architecture, options)
        weights, history = _fit(graph, options, options.float_epochs, "QKeras", "float", progress)
        parts.append(history)
    graph = TrainingGraph(architecture, options, events)
    graph.start(architecture, options, weights)
    weights, history = _fit(graph, options, options.epochs, "QKeras", "train", progress)
    parts.append(history)
    if architecture.batch_normalized:
        folded = architecture.folded()
        graph = TrainingGraph(folded, options, events)
        graph.start(folded, options, fold(architecture, weights))
        weights, history = _fit(graph, options, options.fine_tune_epochs, "QKeras", "fine_tune", progress)
        parts.append(history)
    joined = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    return TrainedModel(architecture, weights, joined, options.seed, time.perf_counter() - started)


def train_float_twin(
    architecture: Architecture, dataset: Dataset, options: TrainOptions, *, progress: Progress | None = None
) -> FloatTwin:
    """Train the network without quantizers; parameters and errors are those of ``train``."""
    started = time.perf_counter()
    graph = TrainingGraph(architecture, options, TrainingEvents.of(dataset), quantized=False)
    graph.start(architecture, options)
    epochs = options.float_epochs + options.epochs  # as many as the quantized network has
    weights, history = _fit(graph, options, epochs, "float twin", "train", progress)
    return FloatTwin(architecture, weights, history, options.seed, time.perf_counter() - started)


def _fit(
    graph: TrainingGraph, options: TrainOptions, epochs: int, name: str, phase: str, progress: Progress | None
) -> tuple[ModelWeights, History]:
    """Train what ``graph`` has begun with; the best epoch's weights, and the curves."""
    shown = progress.add_task(f"{name}, {phase.replace('_', '-')}", total=epochs) if progress else None
    history: History = {key: [] for key in ("loss", "accuracy", "val_loss", "val_accuracy")}
    best: tuple[float, int, ModelWeights] = (math.inf, 0, {})
    y, n_events, ebops = graph.events.validation.y, len(graph.events), graph.ebops_term()
    for epoch in range(1, epochs + 1):
        rates = _learning_rates(options, epoch, epochs, graph.n_steps)
        found = graph.epoch(epoch_order(options.seed, epoch, n_events), rates)
        found["val_loss"], scores = graph.validate()
        before, ebops = ebops, graph.ebops_term()
        loss = found["loss"] + found["val_loss"] + ebops
        check_finite(loss, name=f"training of the {name}", epoch=epoch, options=options, ebops=before)
        found["val_accuracy"] = accuracy(scores, y)
        for key, values in history.items():
            values.append(found[key])
        _log.info("%s: epoch %d of %d, val_loss %.4f", name, epoch, epochs, found["val_loss"])
        if progress and shown is not None:
            progress.advance(shown)
        minimised = found["val_loss"] + ebops
        if minimised < best[0]:
            best = minimised, epoch, graph.weights()
        elif epoch - best[1] >= options.patience:
            break
    if progress and shown is not None:
        progress.update(shown, completed=epochs)
    return best[2], {**history, "phase": [phase] * len(history["loss"])}


def _learning_rates(options: TrainOptions, epoch: int, epochs: int, steps: int) -> NDArray[np.float64]:
    """Of the steps of an epoch, counted from 1: constant, or along half a period of a cosine over all epochs."""
    step = np.arange((epoch - 1) * steps, epoch * steps)
    shape = 0.5 * (1 + np.cos(np.pi * step / (epochs * steps))) if options.schedule == "cosine" else np.ones(steps)
    rates: NDArray[np.float64] = options.learning_rate * shape
    return rates


def _predict(model: Any, x: ArrayLike) -> NDArray[np.float64]:
    import keras

    scores = _outputs(keras.Model(model.inputs, {"scores": model.output}), x)["scores"]
    return scores.reshape(len(scores), math.prod(scores.shape[1:]))


def _outputs(model: Any, x: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """All outputs of a model by name, batch by batch; Keras' ``predict`` warns when many models are asked."""
    import tensorflow as tf

    (inputs,) = model.inputs
    graph = tf.function(lambda batch: model(batch, training=False), autograph=False)  # which would write files
    traced = graph.get_concrete_function(tf.TensorSpec(inputs.shape, inputs.dtype))
    events = np.asarray(x)
    n = predict_batch(model)
    batches = [traced(tf.constant(events[first : first + n], inputs.dtype)) for first in range(0, len(events), n)]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]).astype(np.float64) for name in batches[0]}


def _save_weights(path: Path, weights: ModelWeights) -> None:
    flat = {f"{layer}/{name}": array for layer, by_name in weights.items() for name, array in by_name.items()}
    with atomic_path(path) as fresh:
        np.savez(fresh, **flat)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays


def _load_weights(path: Path) -> ModelWeights:
    weights: ModelWeights = {}
    for key, array in read_arrays(path).items():
        layer, separator, name = key.partition("/")
        if not separator:
            raise OutputError(f"{path}: holds no weights: {key!r} is no LAYER/NAME")
        weights.setdefault(layer, {})[name] = array
    return weights
