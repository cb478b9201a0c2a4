"""Training an architecture and its float twin; what comes of it, as a value that can be saved."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights, build_model, fold, model_weights, quantized_weights, set_model_weights
from fpgaml.dataset import Dataset
from fpgaml.errors import OutputError, ToolError
from fpgaml.storage import atomic_path, read_json, write_json

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

History = dict[str, list[Any]]
"""One value per epoch and quantity: loss, val_loss, accuracy, val_accuracy, phase."""

PREDICT_BATCH = 4096


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
    seed : int
        For initial weights, dropout and the order of events.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    epochs: Annotated[int, pydantic.Field(ge=1)] = 20
    batch_size: Annotated[int, pydantic.Field(ge=1)] = 1024
    learning_rate: Annotated[float, pydantic.Field(gt=0)] = 0.001
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"] = "adam"
    patience: Annotated[int, pydantic.Field(ge=1)] = 10
    fine_tune_epochs: Annotated[int, pydantic.Field(ge=1)] = 5
    seed: Annotated[int, pydantic.Field(ge=0)] = 1


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network and its float twin.

    Parameters
    ----------
    architecture : Architecture
        As the study has it, with batch normalisation if there is any.
    weights : ModelWeights
        Of the folded network, before quantization.
    float_weights : ModelWeights, optional
        Of the float twin, with batch normalisation as such; None if it was not trained.
    history : mapping of "float" and "qkeras" to History
        The training curves.
    seed : int
        What initial weights and batches came from.
    wall_s : mapping
        Seconds that each training took.
    """

    architecture: Architecture
    weights: ModelWeights
    float_weights: ModelWeights | None = None
    history: Mapping[str, History] = field(default_factory=lambda: MappingProxyType({}))
    seed: int = 0
    wall_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

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
        """Scores of the quantized model, shape (n_events, n_outputs), exact: they are the words of the firmware."""
        return _predict(self.keras_model, x)

    def predict_float(self, x: ArrayLike) -> NDArray[np.float64]:
        """Scores of the float twin, shape (n_events, n_outputs).

        Raises
        ------
        OutputError
            It was not trained.
        """
        if self.float_weights is None:
            raise OutputError("this model has no float twin: it was trained with float_twin=False")
        model = build_model(self.architecture, quantized=False)
        set_model_weights(model, self.float_weights)
        return _predict(model, x)

    def layer_outputs(self, x: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """What every layer of the quantized model hands on, by layer name, shape (n_events, *shape)."""
        import keras

        model = self.keras_model
        model = keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers})
        outputs = model.predict(np.asarray(x), batch_size=PREDICT_BATCH, verbose=0)
        return {name: np.asarray(values, dtype=np.float64) for name, values in outputs.items()}

    def save(self, directory: Path) -> None:
        """Write architecture, weights and history into ``directory``, whole or not at all."""
        with atomic_path(directory) as fresh:
            fresh.mkdir()
            self.architecture.save(fresh / "architecture.json")
            _save_weights(fresh / "weights_qkeras.npz", self.weights)
            if self.float_weights is not None:
                _save_weights(fresh / "weights_float.npz", self.float_weights)
            for name, history in self.history.items():
                write_json(fresh / f"history_{name}.json", history)
            write_json(fresh / "trained.json", {"seed": self.seed, "wall_s": dict(self.wall_s)})

    @classmethod
    def load(cls, directory: Path) -> TrainedModel:
        """Read what ``save`` wrote.

        Raises
        ------
        OutputError
            Something is missing.
        """
        directory = Path(directory)
        facts = read_json(directory / "trained.json")
        with_float = (directory / "weights_float.npz").exists()
        return cls(
            Architecture.load(directory / "architecture.json"),
            _load_weights(directory / "weights_qkeras.npz"),
            _load_weights(directory / "weights_float.npz") if with_float else None,
            {path.stem.removeprefix("history_"): read_json(path) for path in sorted(directory.glob("history_*.json"))},
            facts["seed"],
            facts["wall_s"],
        )


def train(
    architecture: Architecture,
    dataset: Dataset,
    options: TrainOptions,
    *,
    float_twin: bool = True,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train the quantized network, and its float twin in the same way.

    Batch normalisation is trained as such, folded, and the folded and quantized network fine-tuned. The weights kept are those of
    the epoch with the lowest validation loss. The same seed on the same machine gives the same weights.

    Parameters
    ----------
    architecture : Architecture
        What to train.
    dataset : Dataset
        Its train and validation splits are used.
    options : TrainOptions
        How to train.
    float_twin : bool
        Whether to train it, too.
    progress : rich.progress.Progress, optional
        Where to show epochs.

    Raises
    ------
    ToolError
        The loss is no longer finite.
    """
    seed = options.seed
    histories: dict[str, History] = {}
    wall_s: dict[str, float] = {}
    float_weights = None
    if float_twin:
        started = time.perf_counter()
        model = build_seeded(architecture, seed, quantized=False)
        histories["float"] = _fit(model, dataset, options, options.epochs, "float", "train", progress)
        float_weights = model_weights(model)
        wall_s["float"] = time.perf_counter() - started
    started = time.perf_counter()
    model = build_seeded(architecture, seed)
    history = _fit(model, dataset, options, options.epochs, "qkeras", "train", progress)
    weights = model_weights(model)
    if architecture.batch_normalized:
        weights = fold(architecture, weights)
        model = build_seeded(architecture.folded(), seed)
        set_model_weights(model, weights)
        tuned = _fit(model, dataset, options, options.fine_tune_epochs, "qkeras", "fine_tune", progress)
        history = {name: history[name] + tuned[name] for name in history}
        weights = model_weights(model)
    histories["qkeras"] = history
    wall_s["qkeras"] = time.perf_counter() - started
    return TrainedModel(architecture, weights, float_weights, histories, seed, wall_s)


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

    shown = progress.add_task(f"training {name} ({phase.replace('_', '-')})", total=epochs) if progress else None

    def report(epoch: int, logs: Mapping[str, float]) -> None:
        _log.info("%s: epoch %d of %d, val_loss %.4f", name, epoch + 1, epochs, logs["val_loss"])
        if progress and shown is not None:
            progress.advance(shown)

    fitted = model.fit(
        training.x,
        training.y[:, None],
        sample_weight=_loss_weights(training),
        validation_data=(validation.x, validation.y[:, None], _loss_weights(validation)),
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
            f"training of the {name} model diverged: its loss is not finite in epoch {len(history['loss'])}. Lower "
            f"learning_rate ({options.learning_rate})"
        )
    return {**history, "phase": [phase] * len(history["loss"])}


def _loss_weights(dataset: Dataset) -> NDArray[np.float64]:
    """Training weights with mean 1, so that the loss does not depend on their unit."""
    if dataset.training_weights is None:
        return np.ones(len(dataset))
    return dataset.training_weights / dataset.training_weights.mean()


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
