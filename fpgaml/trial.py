"""A trial of a search: one network, trained epoch after epoch in such a way that it does not matter where it paused.

What comes after epoch e depends on the architecture, the training options, the data and e alone. The order of events
comes from seed and epoch; everything else that an epoch changes is in the state: weights, moving statistics, the seeds
of dropout and the optimizer's variables. So a state that is read again, in another process too, goes on as if
training had never stopped. (With another number of threads TensorFlow adds in another order, and last digits differ.)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights, build_model, fold, model_weights, quantized_weights
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.errors import OutputError, ToolError
from fpgaml.estimates import estimated_costs
from fpgaml.events import Floats
from fpgaml.hardware import Hardware
from fpgaml.metrics import Target
from fpgaml.study import Point
from fpgaml.temporary_paths import unwritable
from fpgaml.train import History, TrainedModel
from fpgaml.train_options import TrainOptions
from fpgaml.training_graph import TrainingEvents, TrainingGraph, check_finite, epoch_order
from fpgaml.trial_states import CURVES, Curves, read_state, restore, save_state, states
from fpgaml.validation import Validated

_log = logging.getLogger(__name__)

GRAPHS = 16
"""Traced graphs that a trainer keeps."""


@dataclass(frozen=True)
class TrialResult:
    """What is known of a trial after an epoch.

    Parameters
    ----------
    trial : str
        Its id.
    epochs, from_epochs : int
        Where it stands, and from where it went on.
    float_epochs : int
        For how many epochs this call trained the float network that trials of this shape begin with.
    curves : mapping of name to list
        ``loss`` and ``accuracy`` in training; on validation events ``val_loss``, ``val_accuracy``, ``val_auc``,
        ``signal_efficiency`` at the headline target and ``signal_efficiency_smooth``, its mean over
        ``fpgaml.validation.SMOOTHING`` times that target. One number per epoch since epoch 1.
    signal_efficiency : mapping
        At the headline target on validation events, after the last epoch: ``value``, ``low`` and ``high``. The interval
        holds the signal's statistics and, by bootstrap, those of the background that sets the threshold.
    cost : mapping of name to number
        See ``fpgaml.cost.Cost`` and ``fpgaml.estimates``; of the folded network with its quantized weights.
    wall_s : float
        Seconds that this call took.
    spent_s : mapping of name to float
        Where they went, as far as it is counted: ``tracing``, ``training`` and ``validation``, those of the float
        network included, ``waiting`` for another worker that trains it, and ``estimating`` what hardware it takes.
    """

    trial: str
    epochs: int
    from_epochs: int
    float_epochs: int
    curves: Curves
    signal_efficiency: Mapping[str, float | None]
    cost: Mapping[str, float]
    wall_s: float
    spent_s: Mapping[str, float]


def trial_id(point: Point) -> str:
    """The network's hash and six digits for how it is trained and what it is for, whatever choices led to them."""
    return _options_id(point.architecture.hash, point.train, point.hardware)


def _options_id(network: str, *options: TrainOptions | Hardware) -> str:
    content = json.dumps([chosen.model_dump(mode="json") for chosen in options], sort_keys=True)
    return f"{network}{hashlib.sha256(content.encode()).hexdigest()[:6]}"


class TrialTrainer:
    """Trains the trials of a search, one after the other, with one copy of the data and one graph for each shape.

    Parameters
    ----------
    dataset : Dataset
        Its train and validation splits are used.
    targets : sequence of Target
        The working points that judge the networks, the headline first.
    """

    def __init__(self, dataset: Dataset, targets: Sequence[Target]) -> None:
        self.events, self.headline = TrainingEvents.of(dataset), targets[0]
        self._graphs: OrderedDict[tuple[Any, ...], TrainingGraph] = OrderedDict()
        self._spent: defaultdict[str, float] = defaultdict(float)

    def train(self, point: Point, *, epochs: int, directory: Path) -> TrialResult:
        """Train to epoch ``epochs``, from the latest state in ``directory`` not beyond it, or from the beginning.

        The state at the end is saved. Of the training options only ``batch_size``, ``learning_rate``, which stays
        constant, ``optimizer``, ``float_epochs`` and ``seed`` count: a schedule and early stopping would make an epoch
        depend on the epochs to come. With ``float_epochs`` all trials of a shape begin with the weights of the same
        float network; whoever comes first trains it, and leaves it beside ``directory``.

        Parameters
        ----------
        point : Point
            What to train, and how.
        epochs : int
            Counted from the beginning, at least 1; those of the float network do not count.
        directory : Path
            Of this trial alone; made if need be.

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
        self._spent.clear()
        trial, options = trial_id(point), point.train
        try:
            graph = self._graph(point.architecture, options, quantized=True)
            graph.start(point.architecture, options)
            from_epochs, curves = restore(graph.variables, directory, trial, epochs)
            float_epochs = 0
            if options.float_epochs and not from_epochs:
                weights, float_epochs = self._float_start(point, directory.parent)
                graph.set_weights(weights)
            judged = self._advance(graph, options, trial, epochs, directory, curves)
            if judged is None:  # its state was there
                judged = self._judged(graph.validate()[1])
        except tf.errors.ResourceExhaustedError as error:
            raise ToolError(
                f"trial {trial} needs more memory than there is. Use fewer workers or a smaller batch_size "
                f"({options.batch_size})"
            ) from error
        return TrialResult(
            trial=trial,
            epochs=epochs,
            from_epochs=from_epochs,
            float_epochs=float_epochs,
            curves=curves,
            signal_efficiency=judged.estimate().to_json(),
            cost=self._cost(point, graph.weights()),
            wall_s=time.perf_counter() - started,
            spent_s=dict(self._spent),
        )

    def _float_start(self, point: Point, directory: Path) -> tuple[ModelWeights, int]:
        """Weights to begin with, and for how many epochs they had to be trained."""
        architecture, options = point.architecture, point.train
        bits_free = options.model_copy(update={"ebops_weight": 0.0})  # which the float epochs know nothing of
        trial = f"float_{_options_id(architecture.float_hash, bits_free)}"
        graph = self._graph(architecture, options, quantized=False)
        with contextlib.ExitStack() as held:
            with self._spending("waiting"):
                held.enter_context(_alone(directory, trial))
            graph.start(architecture, options)
            from_epochs, curves = restore(graph.variables, directory / trial, trial, options.float_epochs)
            self._advance(graph, options, trial, options.float_epochs, directory / trial, curves)
        return graph.weights(), options.float_epochs - from_epochs

    def _advance(
        self, graph: TrainingGraph, options: TrainOptions, trial: str, epochs: int, directory: Path, curves: Curves
    ) -> Validated | None:
        """Train on to ``epochs``, with the curves so far, which grow; the last epoch's scores, if there was one."""
        rates, n_events = graph.constant_rates(options.learning_rate), len(self.events)
        judged, ebops = None, graph.ebops_term()
        for epoch in range(len(curves["loss"]) + 1, epochs + 1):
            with self._spending("training"):
                found = graph.epoch(epoch_order(options.seed, epoch, n_events), rates)
            before, ebops = ebops, graph.ebops_term()
            check_finite(found["loss"] + ebops, name=f"trial {trial}", epoch=epoch, options=options, ebops=before)
            with self._spending("validation"):
                found["val_loss"], scores = graph.validate()
                check_finite(found["val_loss"], name=f"trial {trial}", epoch=epoch, options=options, ebops=before)
                judged = self._judged(scores)
                found |= judged.metrics()
            for name in CURVES:
                curves[name].append(found[name])
            _log.debug("trial %s: epoch %d of %d: %s", trial, epoch, epochs, found)
        if judged is not None:
            save_state(directory, epochs, graph.variables, trial, curves)
        return judged

    def _cost(self, point: Point, weights: ModelWeights) -> dict[str, float]:
        architecture = point.architecture
        if architecture.batch_normalized:
            weights, architecture = fold(architecture, weights), architecture.folded()
        words = quantized_weights(architecture, weights)
        with self._spending("estimating"):
            estimated = estimated_costs(architecture, words, point.hardware)
        return {**cost(architecture, words).to_json(), **estimated}

    def _judged(self, scores: Floats) -> Validated:
        events = self.events.validation
        return Validated(scores=scores, y=events.y, target=self.headline, weights=events.weights, groups=events.groups)

    def _graph(self, architecture: Architecture, options: TrainOptions, *, quantized: bool) -> TrainingGraph:
        key = TrainingGraph.key(architecture, options, quantized=quantized)
        if key not in self._graphs:
            with self._spending("tracing"):
                self._graphs[key] = TrainingGraph(architecture, options, self.events, quantized=quantized)
        self._graphs.move_to_end(key)
        if len(self._graphs) > GRAPHS:
            self._graphs.popitem(last=False)
        return self._graphs[key]

    @contextlib.contextmanager
    def _spending(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._spent[name] += time.perf_counter() - started


def load_trial(point: Point, directory: Path, epochs: int | None = None) -> TrainedModel:
    """The network of a saved state, batch normalisation folded.

    Parameters
    ----------
    point : Point
        The trial.
    directory : Path
        Where its states are.
    epochs : int, optional
        After so many; the latest state if not given.

    Raises
    ------
    OutputError
        There is no such state, or it is broken.
    """
    trial = trial_id(point)
    found = states(directory)
    wanted = max(found, default=0) if epochs is None else epochs
    if wanted not in found:
        there = ", ".join(map(str, sorted(found))) or "none"
        raise OutputError(f"{directory}: no state after epoch {wanted or 1} of trial {trial}; there are: {there}")
    model = build_model(point.architecture)
    arrays, curves = read_state(found[wanted], trial, wanted)
    for variable, array in zip(model.variables, arrays, strict=False):  # the optimizer's come after the model's
        variable.assign(array)
    weights = model_weights(model)
    if point.architecture.batch_normalized:
        weights = fold(point.architecture, weights)
    history: History = {**curves, "phase": ["search"] * wanted}
    return TrainedModel(point.architecture, weights, history, point.train.seed, 0.0)


@contextlib.contextmanager
def _alone(directory: Path, name: str) -> Iterator[None]:
    """Wait while another worker on this machine is at the same piece of work."""
    path = directory / f"{name}.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise unwritable(path, error) from error
    with lock:
        with contextlib.suppress(OSError):  # not all file systems can: then both do it, with the same result
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
