"""Training an architecture and its float twin; what comes of it, as a value that can be saved."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights, build_model, fold, model_weights, quantized_weights, set_model_weights
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.errors import OutputError, ToolError
from fpgaml.storage import atomic_path, read_json, write_json
from fpgaml.train_options import TrainOptions

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

History = dict[str, list[Any]]
"""One value per epoch and quantity: loss, val_loss, accuracy, val_accuracy, phase."""

PREDICT_BATCH = 4096


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
    def load(cls, directory: Path) -> FloatTwin | None:
        """Read what ``save`` wrote; None if it was not saved or not finished.

        Raises
        ------
        OutputError
            A file is broken.
        """
        if not (directory / "float.json").exists():
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
        import keras

        model = self.keras_model
        model = keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers})
        outputs = model.predict(np.asarray(x), batch_size=PREDICT_BATCH, verbose=0)
        return {name: np.asarray(values, dtype=np.float64) for name, values in outputs.items()}

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

    Batch normalisation is trained as such, folded, and the folded and quantized network fine-tuned. The weights kept
    are those of the epoch with the lowest validation loss. The same seed on the same machine gives the same weights.

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
    model = build_seeded(architecture, options.seed)
    history = _fit(model, dataset, options, options.epochs, "QKeras", "train", progress)
    weights = model_weights(model)
    if architecture.batch_normalized:
        weights = fold(architecture, weights)
        model = build_seeded(architecture.folded(), options.seed)
        set_model_weights(model, weights)
        tuned = _fit(model, dataset, options, options.fine_tune_epochs, "QKeras", "fine_tune", progress)
        history = {name: history[name] + tuned[name] for name in history}
        weights = model_weights(model)
    return TrainedModel(architecture, weights, history, options.seed, time.perf_counter() - started)


def train_float_twin(
    architecture: Architecture, dataset: Dataset, options: TrainOptions, *, progress: Progress | None = None
) -> FloatTwin:
    """Train the network without quantizers; parameters and errors are those of ``train``."""
    started = time.perf_counter()
    model = build_seeded(architecture, options.seed, quantized=False)
    history = _fit(model, dataset, options, options.epochs, "float twin", "train", progress)
    return FloatTwin(architecture, model_weights(model), history, options.seed, time.perf_counter() - started)


def build_seeded(architecture: Architecture, seed: int, *, quantized: bool = True) -> Any:
    """``build_model`` with every source of randomness in Keras, TensorFlow, numpy and Python set to ``seed``."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return build_model(architecture, quantized=quantized)


def _fit(
    model: Any, dataset: Dataset, options: TrainOptions, epochs: int, name: str, phase: str, progress: Progress | None
) -> History:
    """Fit ``model``; it has the best epoch's weights afterwards."""
    import keras

    training, validation = dataset.part("train"), dataset.part("validation")
    rate: Any = options.learning_rate
    if options.schedule == "cosine":
        steps = epochs * -(-len(training) // options.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    optimizer = keras.optimizers.get({"class_name": options.optimizer, "config": {"learning_rate": rate}})
    model.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
        steps_per_execution=16,
    )

    shown = progress.add_task(f"{name}, {phase.replace('_', '-')}", total=epochs) if progress else None

    def report(epoch: int, logs: Mapping[str, float]) -> None:
        _log.info("%s: epoch %d of %d, val_loss %.4f", name, epoch + 1, epochs, logs["val_loss"])
        if progress and shown is not None:
            progress.advance(shown)

    fitted = model.fit(
        training.x,
        training.y[:, None],
        sample_weight=loss_weights(training),
        validation_data=(validation.x, validation.y[:, None], loss_weights(validation)),
        validation_batch_size=PREDICT_BATCH,
        batch_size=options.batch_size,
        epochs=epochs,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.EarlyStopping("val_loss", patience=options.patience, restore_best_weights=True),
            keras.callbacks.LambdaCallback(on_epoch_end=report),
        ],
        verbose=0,
    )
    if progress and shown is not None:
        progress.update(shown, completed=epochs)
    history: History = {key: [float(value) for value in values] for key, values in fitted.history.items()}
    if not np.isfinite(history["loss"] + history.get("val_loss", [np.nan])).all():
        raise ToolError(
            f"training of the {name} diverged: its loss is not finite in epoch {len(history['loss'])}. Lower "
            f"learning_rate ({options.learning_rate})"
        )
    return {**history, "phase": [phase] * len(history["loss"])}


def loss_weights(dataset: Dataset) -> NDArray[np.float64]:
    """Training weights with mean 1, so that the loss does not depend on their unit."""
    weights = np.ones(len(dataset)) if dataset.training_weights is None else dataset.training_weights
    normalized: NDArray[np.float64] = weights / weights.mean()
    return normalized


def _predict(model: Any, x: ArrayLike) -> NDArray[np.float64]:
    scores = model.predict(np.asarray(x), batch_size=PREDICT_BATCH, verbose=0)
    return np.asarray(scores, dtype=np.float64)


def _save_weights(path: Path, weights: ModelWeights) -> None:
    flat = {f"{layer}/{name}": array for layer, by_name in weights.items() for name, array in by_name.items()}
    with atomic_path(path) as fresh:
        np.savez(fresh, **flat)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays


def _load_weights(path: Path) -> ModelWeights:
    weights: ModelWeights = {}
    try:
        with np.load(path, allow_pickle=False) as flat:
            for key in flat.files:
                layer, name = key.split("/")
                weights.setdefault(layer, {})[name] = flat[key]
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: holds no weights: {error}") from error
    return weights
