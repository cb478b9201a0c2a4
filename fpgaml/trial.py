"""A trial of a search: one network, trained epoch after epoch in such a way that it does not matter where it paused.

What comes after epoch e depends on the architecture, the training options, the data and e alone. The order of events
comes from seed and epoch; everything else that an epoch changes is in the state: weights, moving statistics, the seeds
of dropout and the optimizer's variables. So a state that is read again, in another process too, goes on as if
training had never stopped. (With another number of threads TensorFlow adds in another order, and last digits differ.)
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml import metrics
from fpgaml.architecture import Architecture
from fpgaml.builder import fold, model_weights, quantized_weights
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.errors import OutputError, StudyError, ToolError, did_you_mean
from fpgaml.metrics import Target
from fpgaml.storage import atomic_path
from fpgaml.study import Point
from fpgaml.train import PREDICT_BATCH, build_seeded, loss_weights
from fpgaml.train_options import TrainOptions

_log = logging.getLogger(__name__)

Curves = dict[str, list[float]]
"""One number per epoch, since epoch 1, for each of ``CURVES``."""

CURVES = (
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_auc",
    "signal_efficiency",
    "signal_efficiency_smooth",
)

OBJECTIVES = {
    "signal_efficiency": ("signal_efficiency_smooth", 1.0),
    "accuracy": ("val_accuracy", 1.0),
    "auc": ("val_auc", 1.0),
    "val_loss": ("val_loss", -1.0),
}
"""The curve that an objective is scored by, and its sign."""

SMOOTHING = (0.5, 1.0, 2.0)
"""Multiples of the headline target over which ``signal_efficiency_smooth`` is the mean."""

_STATE = re.compile(r"epoch_(\d+)\.state")


@dataclass(frozen=True)
class TrialResult:
    """What is known of a trial after an epoch.

    Parameters
    ----------
    trial : str
        Its id.
    epochs, from_epochs : int
        Where it stands, and from where it went on.
    curves : mapping of name to list
        ``loss`` and ``accuracy`` in training; on validation events ``val_loss``, ``val_accuracy``, ``val_auc``,
        ``signal_efficiency`` at the headline target and ``signal_efficiency_smooth``, its mean over ``SMOOTHING``
        times that target. One number per epoch since epoch 1.
    cost : mapping of name to int
        See ``fpgaml.cost.Cost``; of the folded network with its quantized weights.
    wall_s : float
        Seconds that this call took.
    """

    trial: str
    epochs: int
    from_epochs: int
    curves: Curves
    cost: Mapping[str, int]
    wall_s: float


def trial_id(point: Point) -> str:
    """The network's hash and six digits for how it is trained, whatever choices led to both."""
    content = json.dumps(point.train.model_dump(mode="json"), sort_keys=True)
    return f"{point.architecture.hash}{hashlib.sha256(content.encode()).hexdigest()[:6]}"


def train_trial(
    point: Point, dataset: Dataset, *, epochs: int, directory: Path, targets: Sequence[Target]
) -> TrialResult:
    """Train to epoch ``epochs``, from the latest state in ``directory`` that is not beyond it, or from the beginning.

    The state at the end is saved. Of the training options only ``batch_size``, ``learning_rate``, which stays constant,
    ``optimizer`` and ``seed`` count: a schedule and early stopping would make an epoch depend on the epochs to come.

    Parameters
    ----------
    point : Point
        What to train, and how.
    dataset : Dataset
        Its train and validation splits are used.
    epochs : int
        Counted from the beginning, at least 1.
    directory : Path
        Of this trial alone; made if need be.
    targets : sequence of Target
        The working points that judge the network, the headline first.

    Raises
    ------
    ToolError
        The loss is no longer finite, or there is not enough memory.
    OutputError
        The state cannot be saved.
    DataError
        The validation split cannot be judged: a class is missing, or a rate without weights.
    """
    import tensorflow as tf

    if epochs < 1:
        raise ValueError(f"a trial has at least one epoch, not {epochs}")
    started = time.perf_counter()
    trial = trial_id(point)
    try:
        model, optimizer = _build(point)
        variables = [*model.variables, *optimizer.variables]
        from_epochs, curves = _restore(variables, directory, trial, epochs)
        if from_epochs < epochs:
            train_epoch = _training(model, optimizer, dataset.part("train"), point.train)
            judge = _judging(model, dataset.part("validation"), targets[0])
            for epoch in range(from_epochs + 1, epochs + 1):
                found = train_epoch(epoch)
                _check_finite(found["loss"], trial, epoch, point.train)
                found |= judge()
                _check_finite(found["val_loss"], trial, epoch, point.train)
                for name in CURVES:
                    curves[name].append(found[name])
                _log.debug("trial %s: epoch %d of %d: %s", trial, epoch, epochs, found)
            _save_state(directory / f"epoch_{epochs:05d}.state", variables, trial, curves)
    except tf.errors.ResourceExhaustedError as error:
        raise ToolError(
            f"trial {trial} needs more memory than there is. Use fewer workers or a smaller batch_size "
            f"({point.train.batch_size})"
        ) from error
    costs = _cost(point.architecture, model)
    return TrialResult(trial, epochs, from_epochs, curves, costs, time.perf_counter() - started)


def score(curves: Mapping[str, Sequence[float]], objective: str) -> float:
    """What a search ranks trials by: higher is better.

    The mean of the objective's curve over the last third of the epochs (rounded down, at least one), so that one lucky
    epoch does not choose the winner. The curve of "signal_efficiency" is ``signal_efficiency_smooth``; "accuracy" and
    "auc" are those of validation; "val_loss" is negated.

    Raises
    ------
    StudyError
        No such objective.

    >>> score({"val_loss": [5.0, 4.0, 3.0, 3.0, 2.0, 1.0]}, "val_loss")
    -1.5
    """
    if objective not in OBJECTIVES:
        raise StudyError(f"search.objective: unknown objective {objective!r}; {did_you_mean(objective, OBJECTIVES)}")
    name, sign = OBJECTIVES[objective]
    curve = curves[name]
    return sign * float(np.mean(curve[-max(1, len(curve) // 3) :]))


def _build(point: Point) -> tuple[Any, Any]:
    """Model and optimizer before the first epoch."""
    import keras

    options = point.train
    model = build_seeded(point.architecture, options.seed)
    optimizer = keras.optimizers.get(
        {"class_name": options.optimizer, "config": {"learning_rate": options.learning_rate}}
    )
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _training(
    model: Any, optimizer: Any, training: Dataset, options: TrainOptions
) -> Callable[[int], dict[str, float]]:
    """A function that trains one epoch and gives its loss and accuracy.

    The epoch is one graph: Keras' ``fit`` feeds events batch by batch, which took 1.2 to 1.6 times as long in
    measurements with the network of the trigger demo.
    """
    import tensorflow as tf

    trainable = model.trainable_variables
    n_events = len(training)

    def run(x: Any, y: Any, weights: Any, order: Any) -> tuple[Any, Any]:
        loss, right = tf.zeros(()), tf.zeros(())
        for first in tf.range(0, n_events, options.batch_size):
            batch = order[first : first + options.batch_size]
            labels = tf.gather(y, batch)
            with tf.GradientTape() as tape:
                scores = model(tf.gather(x, batch), training=True)[:, 0]
                losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=scores)
                losses *= tf.gather(weights, batch)
                mean = tf.reduce_mean(losses)
            optimizer.apply(tape.gradient(mean, trainable), trainable)
            loss += tf.reduce_sum(losses)
            right += tf.reduce_sum(tf.cast((scores >= 0) == (labels > 0), tf.float32))
        return loss / n_events, right / n_events

    # The events are arguments: TensorFlow keeps traced graphs and all that they hold for as long as the process lives.
    # The graph is traced for these shapes: a function that is traced when called is warned of, trial after trial.
    events = (
        tf.constant(training.x),
        tf.constant(training.y, tf.float32),
        tf.constant(loss_weights(training), tf.float32),
    )
    specs = [tf.TensorSpec(column.shape, column.dtype) for column in events]
    graph = tf.function(run).get_concrete_function(*specs, tf.TensorSpec((n_events,), tf.int64))

    def train_epoch(epoch: int) -> dict[str, float]:
        order = np.random.default_rng([options.seed, epoch]).permutation(n_events)
        loss, accuracy = graph(*events, tf.constant(order))
        return {"loss": float(loss), "accuracy": float(accuracy)}

    return train_epoch


def _judging(model: Any, validation: Dataset, headline: Target) -> Callable[[], dict[str, float]]:
    """A function that gives the validation metrics of the model as it is."""
    import tensorflow as tf

    shape = tf.TensorSpec((None, *validation.input_shape), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)[:, 0]).get_concrete_function(shape)
    batches = [
        tf.constant(validation.x[first : first + PREDICT_BATCH]) for first in range(0, len(validation), PREDICT_BATCH)
    ]
    weights = loss_weights(validation)

    def judge() -> dict[str, float]:
        scores = np.concatenate([graph(batch).numpy() for batch in batches]).astype(np.float64)
        if not np.isfinite(scores).all():
            return {"val_loss": math.nan}
        losses = np.logaddexp(0.0, scores) - validation.y * scores  # log(1 + exp(s)) - y s: cross-entropy of a logit
        loss = float(np.mean(weights * losses))
        return {"val_loss": loss, **_validation_metrics(scores, validation, headline)}

    return judge


def _validation_metrics(scores: NDArray[np.float64], validation: Dataset, headline: Target) -> dict[str, float]:
    """Metrics of validation scores, shape (n_events,); thresholds are chosen on the same events' background."""
    signal, weights = validation.y == 1, validation.weights
    background_weights = None if weights is None else weights[~signal]
    signal_weights = None if weights is None else weights[signal]
    efficiencies = []
    for multiple in SMOOTHING:
        value = multiple * headline.value
        point = metrics.choose_working_point(
            scores[~signal],
            kind=headline.kind,
            target=value if headline.kind == "rate_khz" else min(value, 1.0),
            weights=background_weights,
        )
        efficiencies.append(float(np.average(scores[signal] >= point.threshold, weights=signal_weights)))
    return {
        "val_accuracy": metrics.accuracy(scores, validation.y),
        "val_auc": metrics.auc(scores, validation.y, weights=weights),
        "signal_efficiency": efficiencies[SMOOTHING.index(1.0)],
        "signal_efficiency_smooth": float(np.mean(efficiencies)),
    }


def _check_finite(loss: float, trial: str, epoch: int, options: TrainOptions) -> None:
    if not math.isfinite(loss):
        raise ToolError(
            f"trial {trial} diverged: its loss is not finite in epoch {epoch}. Lower learning_rate "
            f"({options.learning_rate})"
        )


def _cost(architecture: Architecture, model: Any) -> dict[str, int]:
    weights, firmware = model_weights(model), architecture
    if architecture.batch_normalized:
        weights, firmware = fold(architecture, weights), architecture.folded()
    return cost(firmware, quantized_weights(firmware, weights)).to_json()


def _save_state(path: Path, variables: Sequence[Any], trial: str, curves: Curves) -> None:
    """Write variables in their order, because the names of some depend on what else the process has built.

    A digest in front tells a file that was torn, or changed in any bit.
    """
    buffer = io.BytesIO()
    header = np.frombuffer(json.dumps({"trial": trial, "curves": curves}).encode(), np.uint8)
    arrays = {f"variable_{number}": np.array(variable) for number, variable in enumerate(variables)}
    np.savez(buffer, header=header, **arrays)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays
    content = buffer.getvalue()
    with atomic_path(path) as fresh:
        fresh.write_bytes(hashlib.sha256(content).digest() + content)


def _restore(variables: Sequence[Any], directory: Path, trial: str, epochs: int) -> tuple[int, Curves]:
    """Give ``variables`` their values after the latest epoch that was saved and is not beyond ``epochs``."""
    found = {int(match[1]): path for path in directory.glob("*") if (match := _STATE.fullmatch(path.name))}
    for epoch in sorted((epoch for epoch in found if epoch <= epochs), reverse=True):
        try:
            arrays, curves = _read_state(found[epoch], variables, trial, epoch)
        except OutputError as error:
            _log.warning("%s. It is ignored, and its epochs are trained again", error)
            continue
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return epoch, curves
    return 0, {name: [] for name in CURVES}


def _read_state(path: Path, variables: Sequence[Any], trial: str, epoch: int) -> tuple[list[NDArray[Any]], Curves]:
    """What ``_save_state`` wrote; ``OutputError`` if it is not that, or not of this trial and epoch."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        raise OutputError(f"{path}: is broken: its digest is another")
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        header = json.loads(saved["header"].tobytes())
        arrays = [saved[name] for name in saved.files if name != "header"]
    lengths = {len(header["curves"].get(name, [])) for name in CURVES}
    shapes = [(array.shape, array.dtype.name) for array in arrays]
    expected = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
    if header["trial"] != trial or lengths != {epoch} or shapes != expected:
        raise OutputError(f"{path}: is a state of another trial, epoch or version")
    return arrays, {name: header["curves"][name] for name in CURVES}
