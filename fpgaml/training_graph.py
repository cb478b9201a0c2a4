"""Training, one graph an epoch; one graph for all networks that differ in widths only.

Tracing a network takes TensorFlow about a second, an epoch of a search often less. So the graph reads widths, learning
rates and the order of events when it runs, and another network of the same shape is a matter of new values.

Keras' ``fit`` hands events over batch by batch; with the trigger demo's network that took 1.2 to 1.6 times as long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import (
    ModelWeights,
    build_model,
    fold,
    model_quantizers,
    model_weights,
    set_model_weights,
)
from fpgaml.dataset import Dataset
from fpgaml.ebops_loss import EbopsLoss
from fpgaml.errors import DivergedError
from fpgaml.train_options import TrainOptions
from fpgaml.validation import cross_entropy

PREDICT_BATCH = 4096
PREDICT_VALUES = 2**28
"""Outputs of all layers for the events of a batch, where no gradients are needed: 2 GiB as float64."""


@dataclass(frozen=True, eq=False)
class TrainingEvents:
    """Training and validation events as tensors, made once however many networks are trained.

    Parameters
    ----------
    x, y, weights : tensors
        Training events, shapes (n_events, *input_shape), (n_events,) and (n_events,); the weights have mean 1.
    validation : Dataset
        Validation events.
    batches : tuple of tensors
        Their inputs.
    validation_weights : float64, shape (n_validation,)
        Their weights in the loss, with mean 1.
    """

    x: Any
    y: Any
    weights: Any
    validation: Dataset
    batches: tuple[Any, ...]
    validation_weights: NDArray[np.float64]

    @classmethod
    def of(cls, dataset: Dataset) -> TrainingEvents:
        """The train and validation splits of a data set."""
        import tensorflow as tf

        training, validation = dataset.part("train"), dataset.part("validation")
        batches = tuple(
            tf.constant(validation.x[first : first + PREDICT_BATCH])
            for first in range(0, len(validation), PREDICT_BATCH)
        )
        return cls(
            tf.constant(training.x),
            tf.constant(training.y, tf.float32),
            tf.constant(training.loss_weights, tf.float32),
            validation,
            batches,
            validation.loss_weights,
        )

    def __len__(self) -> int:
        return int(self.x.shape[0])


class TrainingGraph:
    """Trains networks of one shape, one after the other.

    Parameters
    ----------
    architecture : Architecture
        Any network of the shape.
    options : TrainOptions
        Optimizer, batch size, and whether EBOPs are in the loss.
    events : TrainingEvents
        What it is trained with.
    quantized : bool
        Or the float twin.
    """

    def __init__(
        self, architecture: Architecture, options: TrainOptions, events: TrainingEvents, *, quantized: bool = True
    ) -> None:
        import keras
        import tensorflow as tf

        self.architecture, self.events, self.quantized = architecture, events, quantized
        self.batch_size = options.batch_size
        tf.config.experimental.enable_op_determinism()
        self.model = build_model(architecture, quantized=quantized)
        # Batch normalisation is judged as the firmware has it: folded, and the folded weights quantized.
        folds = quantized and architecture.batch_normalized
        self.firmware = build_model(architecture.folded()) if folds else self.model
        if quantized:
            for quantizer in {*model_quantizers(self.model), *model_quantizers(self.firmware)}:
                quantizer.let_vary()
        self.optimizer = keras.optimizers.get(
            {"class_name": options.optimizer, "config": {"learning_rate": options.learning_rate}}
        )
        self.optimizer.build(self.model.trainable_variables)
        self._fresh = [np.array(variable) for variable in self.optimizer.variables]
        self._ebops = EbopsLoss(architecture, self.model) if quantized and options.ebops_weight else None
        self._train, self._score = self._trace_training(), self._trace_scores()

    @staticmethod
    def key(architecture: Architecture, options: TrainOptions, *, quantized: bool = True) -> tuple[Any, ...]:
        """What networks must have in common to share a graph."""
        return (
            architecture.shape_hash if quantized else architecture.float_hash,
            options.optimizer,
            options.batch_size,
            quantized and bool(options.ebops_weight),
            quantized,
        )

    @property
    def variables(self) -> list[Any]:
        """Everything that an epoch changes: weights, moving statistics, seeds of dropout, the optimizer's variables."""
        return [*self.model.variables, *self.optimizer.variables]

    def start(self, architecture: Architecture, options: TrainOptions, weights: ModelWeights | None = None) -> None:
        """Begin with a network: its widths, its initial weights, or ``weights``, and a fresh optimizer.

        Of the options, the seed counts, and the weight of EBOPs in the loss.
        """
        self.architecture = architecture
        self._prices = EbopsLoss.prices(architecture, options.ebops_weight)
        if self.quantized:
            self._assign_widths(self.model, architecture)
            if self.firmware is not self.model:
                self._assign_widths(self.firmware, architecture.folded())
        initial = build_model(architecture, quantized=self.quantized, seed=options.seed)
        for variable, value in zip(self.model.variables, initial.variables, strict=True):
            variable.assign(value)
        for variable, fresh in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(fresh)
        if weights is not None:
            self.set_weights(weights)

    def set_weights(self, weights: ModelWeights) -> None:
        """Go on with these weights; all else stays."""
        set_model_weights(self.model, weights)

    def epoch(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> dict[str, float]:
        """Train once with all events.

        Parameters
        ----------
        order : shape (n_events,)
            Of the training events.
        learning_rates : shape (n_batches,)
            One for each step.

        Returns
        -------
        dict
            ``loss`` and ``accuracy`` over the training events, as each batch found them; EBOPs are not in this loss.
        """
        import tensorflow as tf

        events = self.events
        rates = tf.constant(learning_rates, tf.float32)
        prices = tf.constant(self._prices, tf.float32)
        loss, accuracy = self._train(events.x, events.y, events.weights, tf.constant(order), rates, prices)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def validate(self) -> tuple[float, NDArray[np.float64]]:
        """Loss and scores, shape (n_events,), of the validation events; NaN and no scores if one is not finite."""
        if self.firmware is not self.model:
            set_model_weights(self.firmware, fold(self.architecture, model_weights(self.model)))
        n = predict_batch(self.firmware)
        batches = (batch[first : first + n] for batch in self.events.batches for first in range(0, batch.shape[0], n))
        scores = np.concatenate([self._score(batch).numpy() for batch in batches]).astype(np.float64)
        if not np.isfinite(scores).all():
            return math.nan, scores[:0]
        return cross_entropy(scores, self.events.validation.y, self.events.validation_weights), scores

    def ebops_term(self) -> float:
        """What EBOPs add to the loss at the present weights; 0 where they have no weight in it."""
        import tensorflow as tf

        return float(self._ebops(tf.constant(self._prices, tf.float32))) if self._ebops else 0.0

    def weights(self) -> ModelWeights:
        """Copies of the network's weights, batch normalisation as such."""
        return model_weights(self.model)

    @property
    def n_steps(self) -> int:
        """Steps of an epoch: batches of training events, of which the last may be incomplete."""
        return -(-len(self.events) // self.batch_size)

    def constant_rates(self, learning_rate: float) -> NDArray[np.float64]:
        """The same learning rate for every step of an epoch."""
        return np.full(self.n_steps, learning_rate)

    def _assign_widths(self, model: Any, architecture: Architecture) -> None:
        for quantizer, fixed in zip(model_quantizers(model), architecture.formats, strict=True):
            quantizer.assign(fixed.qkeras_quantizer())

    def _trace_training(self) -> Any:
        import tensorflow as tf

        model, optimizer, batch_size = self.model, self.optimizer, self.batch_size
        n_events, n_steps, trainable = len(self.events), self.n_steps, model.trainable_variables
        ebops = self._ebops

        def run(x: Any, y: Any, weights: Any, order: Any, rates: Any, prices: Any) -> tuple[Any, Any]:
            def train_step(step: Any, loss: Any, right: Any) -> tuple[Any, Any, Any]:
                batch = order[step * batch_size : (step + 1) * batch_size]
                labels = tf.gather(y, batch)
                with tf.GradientTape() as tape:
                    scores = model(tf.gather(x, batch), training=True)[:, 0]
                    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=scores)
                    losses *= tf.gather(weights, batch)
                    total = tf.reduce_mean(losses)
                    if ebops:
                        total += ebops(prices)
                optimizer.learning_rate.assign(rates[step])
                optimizer.apply(tape.gradient(total, trainable), trainable)
                right += tf.reduce_sum(tf.cast((scores >= 0) == (labels > 0), tf.float32))
                return step + 1, loss + tf.reduce_sum(losses), right

            begin = tf.constant(0), tf.zeros(()), tf.zeros(())
            _, loss, right = tf.while_loop(
                lambda step, *_: step < n_steps, train_step, begin, maximum_iterations=n_steps
            )
            return loss / n_events, right / n_events

        # Without AutoGraph, which writes temporary files, and traces something else where it cannot.
        # The events are arguments: TensorFlow keeps traced graphs and all that they hold for as long as the process
        # lives. The graph is traced for these shapes: a function that is traced when called is warned of.
        columns = (self.events.x, self.events.y, self.events.weights)
        specs = [tf.TensorSpec(column.shape, column.dtype) for column in columns]
        order, rates = tf.TensorSpec((n_events,), tf.int64), tf.TensorSpec((None,), tf.float32)
        prices = tf.TensorSpec((None,), tf.float32)
        return tf.function(run, autograph=False).get_concrete_function(*specs, order, rates, prices)

    def _trace_scores(self) -> Any:
        import tensorflow as tf

        shape = tf.TensorSpec((None, *self.architecture.input_shape), tf.float32)
        scores = tf.function(lambda x: self.firmware(x, training=False)[:, 0], autograph=False)
        return scores.get_concrete_function(shape)


def predict_batch(model: Any) -> int:
    """Events whose outputs of all layers fit ``PREDICT_VALUES``; at most ``PREDICT_BATCH``, and at least 1."""
    values: int = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    return max(1, min(PREDICT_BATCH, PREDICT_VALUES // values))


def epoch_order(seed: int, epoch: int, n_events: int) -> NDArray[np.int64]:
    """The order of training events in an epoch, counted from 1: the same however training got there."""
    order: NDArray[np.int64] = np.random.default_rng([seed, epoch]).permutation(n_events)
    return order


def check_finite(loss: float, *, name: str, epoch: int, options: TrainOptions, ebops: float = 0.0) -> None:
    """Raise unless ``loss`` is finite.

    Parameters
    ----------
    loss : float
        Of training or validation events, or what EBOPs add to it, or a sum of those.
    name : str
        What is trained, for people.
    epoch : int
        Counted from 1.
    options : TrainOptions
        How it is trained.
    ebops : float
        What EBOPs added to the loss before the epoch; 0 where they have no weight in it.

    Raises
    ------
    DivergedError
        It is not, with what to lower.
    """
    if math.isfinite(loss):
        return
    lower = f"learning_rate ({options.learning_rate:g})"
    if ebops:
        lower = f"ebops_weight ({options.ebops_weight:g}), with which EBOPs added {ebops:.3g} to it before, or {lower}"
    raise DivergedError(f"{name} diverged: its loss is not finite in epoch {epoch}. Lower {lower}")
