"""A trial is a function of its choices, its seed, its data and the epoch; of nothing else."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from networks import network

from fpgaml import metrics
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.errors import DivergedError, OutputError, StudyError, ToolError
from fpgaml.estimates import estimated_costs
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class
from fpgaml.metrics import Target
from fpgaml.ranking import score
from fpgaml.study import Point
from fpgaml.train import train as train_model
from fpgaml.train import train_float_twin
from fpgaml.train_options import TrainOptions
from fpgaml.trial import TrialTrainer, load_trial, trial_id
from fpgaml.trial_states import CURVES

HEADLINE = Target("rate_khz", 20.0)
TARGETS = (HEADLINE, Target("rate_khz", 500.0))


def layer(kind, **fields):
    return layer_class(kind)(**fields)


def point(name, *, bits=8, rounding="RND_CONV", **options):
    middle = {"dropout": layer("dropout", rate=0.3), "batchnorm": layer("batchnorm", momentum=0.8)}
    layers = [
        layer("dense", units=4096 if name == "wide" else 5, bits=(bits, 2)),
        *([middle[name]] if name == "batchnorm" else []),
        layer("relu", bits=(8, 3), rounding=rounding),
        *([middle[name]] if name == "dropout" else []),
        layer("dense", units=1, bits=(8, 2)),
    ]
    options = {"batch_size": 64, "learning_rate": 0.01, "seed": 3, **options}
    return Point(network((4,), layers), TrainOptions(**options), Hardware())


def clouds(n_events=500, *, shift=1.0):
    """Two overlapping clouds, weighted: the background of each split has a rate of 1000 kHz."""
    rng = np.random.default_rng(1)
    y = np.arange(n_events) % 2
    split = (np.arange(n_events) // 2 % 5 == 4).astype(np.int8)
    weights = rng.uniform(0.5, 1.5, n_events)
    for number in (0, 1):
        background = (y == 0) & (split == number)
        weights[background] *= 1000.0 / weights[background].sum()
    x = (rng.normal(size=(n_events, 4)) + shift * y[:, None]).astype(np.float32)
    loss_weights = rng.uniform(0.1, 2.0, n_events)
    return Dataset(x=x, y=y, split=split, weights=weights, training_weights=loss_weights, rate_khz=1000.0)


def train_trial(each, directory, *, epochs, dataset=None, targets=TARGETS):
    """With a trainer of its own, as fresh as in a process of its own."""
    return TrialTrainer(dataset or clouds(), targets).train(each, epochs=epochs, directory=Path(directory))


def train(name, directory, epochs, **options):
    return train_trial(point(name, **options), directory, epochs=epochs)


def states(directory):
    """Digest of every state, by name: a state holds all variables and curves."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(directory).iterdir()}


def in_process(script, *arguments):
    """Run a script that may import this module."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)


def test_id_names_network_training_and_hardware():
    other = dataclasses.replace(point("dropout"), hardware=Hardware(reuse_factor=2))  # trains alike, costs other
    ids = {trial_id(each) for each in (point("dropout"), point("batchnorm"), point("dropout", seed=4), other)}
    assert len(ids) == 4
    assert trial_id(point("dropout")) in ids
    assert all(found[:12] in {point(name).architecture.hash for name in ("dropout", "batchnorm")} for found in ids)
    assert {len(found) for found in ids} == {18}


@pytest.mark.parametrize(
    ("objective", "curve", "expected"),
    [
        ("signal_efficiency", [0.9, 0.9, 0.9, 0.9, 0.2, 0.4], 0.3),
        ("signal_efficiency", [0.9, 0.9, 0.9, 0.2, 0.4], 0.4),
        ("signal_efficiency", [0.9, 0.5], 0.5),
        ("accuracy", [0.1, 0.1, 0.7], 0.7),
        ("auc", [0.1, 0.6], 0.6),
        ("val_loss", [5.0, 4.0, 3.0, 3.0, 2.0, 1.0], -1.5),
    ],
)
def test_score_is_the_mean_over_the_last_third(objective, curve, expected):
    name = {"signal_efficiency": "signal_efficiency_smooth", "accuracy": "val_accuracy", "auc": "val_auc"}
    others = {other: [99.0] * len(curve) for other in CURVES}
    assert score({**others, name.get(objective, objective): curve}, objective) == pytest.approx(expected, rel=1e-12)


def test_a_slow_start_and_one_lucky_epoch_decide_nothing():
    steady = {"signal_efficiency_smooth": [0.1, 0.1, 0.1, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7]}
    lucky = {"signal_efficiency_smooth": [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.9, 0.5]}
    assert score(steady, "signal_efficiency") > score(lucky, "signal_efficiency")


def test_unknown_objective_is_refused():
    with pytest.raises(StudyError, match="did you mean 'accuracy'"):
        score({}, "acuracy")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "sgd"])
def test_every_optimizer_goes_on_where_it_stopped(optimizer, tmp_path):
    at_once = train("dropout", tmp_path / "at once", 3, optimizer=optimizer)
    train("dropout", tmp_path / "paused", 1, optimizer=optimizer)
    paused = train("dropout", tmp_path / "paused", 3, optimizer=optimizer)
    assert paused.curves == at_once.curves
    assert states(tmp_path / "paused")["epoch_00003.state"] == states(tmp_path / "at once")["epoch_00003.state"]


@pytest.mark.slow
def test_it_does_not_matter_where_training_paused_nor_in_which_process(tmp_path):
    script = "import sys, test_trial\nfor name in sys.argv[2:]: test_trial.train(name, f'{sys.argv[1]}/{name}', 5)"
    names = ("dropout", "batchnorm")
    at_once = {name: train(name, tmp_path / "at once" / name, 5) for name in names}
    for name in names:
        first = train(name, tmp_path / "here" / name, 2)
        assert first.curves == {curve: values[:2] for curve, values in at_once[name].curves.items()}
        later = train(name, tmp_path / "here" / name, 5)
        assert (later.from_epochs, later.epochs) == (2, 5)
        assert (later.curves, later.cost) == (at_once[name].curves, at_once[name].cost)
        train(name, tmp_path / "elsewhere" / name, 2)

    in_process(script, tmp_path / "elsewhere", *names)

    for name in names:
        expected = states(tmp_path / "at once" / name)
        for place in ("here", "elsewhere"):
            found = states(tmp_path / place / name)
            assert found.keys() == {"epoch_00002.state", "epoch_00005.state"}
            assert found["epoch_00005.state"] == expected["epoch_00005.state"]


@pytest.mark.slow
def test_a_state_is_never_beyond_what_is_asked_for(tmp_path):
    late = train("dropout", tmp_path, 3)
    assert train("dropout", tmp_path, 3).from_epochs == 3
    early = train("dropout", tmp_path, 2)
    assert (early.from_epochs, early.epochs) == (0, 2)
    assert early.curves == {name: curve[:2] for name, curve in late.curves.items()}


@pytest.mark.slow
def test_broken_states_are_told_and_trained_again(tmp_path, caplog):
    expected = train("dropout", tmp_path, 3).curves
    train("dropout", tmp_path, 1)
    train("dropout", tmp_path, 2)
    last, middle, first = (tmp_path / f"epoch_0000{epoch}.state" for epoch in (3, 2, 1))
    whole = middle.read_bytes()
    last.write_bytes(last.read_bytes()[:-100])
    middle.write_bytes(whole[:700] + bytes([whole[700] ^ 1]) + whole[701:])
    for broken, from_epochs in (([], 1), ([first], 0)):
        for path in broken:
            path.write_bytes(b"")
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="fpgaml"):
            found = train("dropout", tmp_path, 3)
        assert found.from_epochs == from_epochs
        assert found.curves == expected
        for path in [last, middle, *broken]:
            assert f"{path}: is broken" in caplog.text
        last.write_bytes(last.read_bytes()[:50])


@pytest.mark.slow
def test_a_state_of_another_trial_is_not_taken(tmp_path, caplog):
    train("dropout", tmp_path, 1)
    with caplog.at_level(logging.WARNING, logger="fpgaml"):
        found = train("dropout", tmp_path, 2, seed=4)
    assert found.from_epochs == 0
    assert "of another trial" in caplog.text


@pytest.mark.slow
def test_curves_and_cost_are_those_of_the_saved_network(tmp_path):
    """The last epoch, once more, with the firmware's network in float64: batch normalisation folded and quantized."""
    for name in ("dropout", "batchnorm"):
        each, validation = point(name), clouds().part("validation")
        found = train(name, tmp_path / name, 4)
        assert set(found.curves) == set(CURVES)
        assert {len(curve) for curve in found.curves.values()} == {4}
        assert all(math.isfinite(value) for curve in found.curves.values() for value in curve)
        assert found.curves["loss"][-1] < found.curves["loss"][0]

        trained = load_trial(each, tmp_path / name)
        assert trained.history["loss"] == found.curves["loss"]
        scores = trained.predict(validation.x)[:, 0]
        weighted = validation.training_weights / validation.training_weights.mean()
        losses = np.log1p(np.exp(-np.abs(scores))) + np.maximum(scores, 0.0) - validation.y * scores
        assert found.curves["val_loss"][-1] == pytest.approx((weighted * losses).mean(), rel=1e-5)
        assert found.curves["val_accuracy"][-1] == metrics.accuracy(scores, validation.y)
        auc = metrics.auc(scores, validation.y, weights=validation.weights)
        assert found.curves["val_auc"][-1] == pytest.approx(auc, rel=1e-6)
        smooth = [efficiency_at(rate, scores, validation) for rate in (10.0, 20.0, 40.0)]
        assert found.curves["signal_efficiency"][-1] == pytest.approx(smooth[1], rel=1e-9)
        assert found.curves["signal_efficiency_smooth"][-1] == pytest.approx(np.mean(smooth), rel=1e-9)

        assert found.signal_efficiency["value"] == pytest.approx(smooth[1], rel=1e-9)
        low, high = found.signal_efficiency["low"], found.signal_efficiency["high"]
        assert 0 <= low <= smooth[1] <= high <= 1
        assert low < high
        network = trained.firmware, trained.quantized_weights
        assert found.cost == {**cost(*network).to_json(), **estimated_costs(*network, point(name).hardware)}


@pytest.mark.slow
def test_only_states_that_are_there_are_loaded(tmp_path):
    train("dropout", tmp_path, 2)
    with pytest.raises(OutputError, match=r"no state after epoch 3 .* there are: 2"):
        load_trial(point("dropout"), tmp_path, 3)
    with pytest.raises(OutputError, match="of another trial"):
        load_trial(point("dropout", seed=4), tmp_path)
    with pytest.raises(OutputError, match="there are: none"):
        load_trial(point("dropout"), tmp_path / "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dropout", "batchnorm"])
def test_a_graph_that_other_widths_have_used_changes_nothing(name, tmp_path):
    """One trainer for all: widths, weights and the optimizer are as fresh as in a process of their own."""
    trainer = TrialTrainer(clouds(), TARGETS)
    for bits, epochs in ((8, 2), (3, 1), (12, 2), (3, 3)):
        trial = f"{bits} bits"
        found = trainer.train(point(name, bits=bits), epochs=epochs, directory=tmp_path / trial)
        alone = train(name, tmp_path / "alone" / trial, epochs, bits=bits)
        assert (found.curves, found.cost) == (alone.curves, alone.cost)
    assert len(trainer._graphs) == 1
    assert states(tmp_path / "3 bits") == states(tmp_path / "alone" / "3 bits")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dropout", "batchnorm"])
def test_networks_of_a_shape_begin_with_the_same_float_network(name, tmp_path):
    trainer = TrialTrainer(clouds(), TARGETS)
    found = {
        bits: trainer.train(point(name, bits=bits, float_epochs=2), epochs=1, directory=tmp_path / f"{bits}")
        for bits in (8, 4)
    }
    assert [found[bits].float_epochs for bits in (8, 4)] == [2, 0]
    (shared,) = [path for path in tmp_path.iterdir() if path.name.startswith("float_") and path.is_dir()]
    assert states(shared).keys() == {"epoch_00002.state"}
    again = train(name, tmp_path / "elsewhere" / "4", 3, bits=4, float_epochs=2)
    assert again.float_epochs == 2
    assert {curve: values[:1] for curve, values in again.curves.items()} == found[4].curves
    assert again.curves != train(name, tmp_path / "from scratch", 3, bits=4).curves


@pytest.mark.slow
def test_networks_that_round_differently_share_the_float_network_only(tmp_path):
    trainer = TrialTrainer(clouds(), TARGETS)
    found = {}
    for rounding in ("TRN", "RND_CONV"):
        options = {"bits": 4, "rounding": rounding, "float_epochs": 2}
        found[rounding] = trainer.train(point("plain", **options), epochs=2, directory=tmp_path / rounding)
        assert found[rounding].curves == train("plain", tmp_path / "alone" / rounding, 2, **options).curves
    assert [trial.float_epochs for trial in found.values()] == [2, 0]
    assert found["TRN"].curves != found["RND_CONV"].curves


def test_shapes_share_a_graph_and_nothing_else_does():
    shapes = {each: point(each).architecture.shape_hash for each in ("dropout", "batchnorm", "plain", "wide")}
    assert len(set(shapes.values())) == 4
    assert point("plain", bits=5).architecture.shape_hash == shapes["plain"]


def efficiency_at(rate, scores, validation):
    """Signal above the lowest score that lets at most ``rate`` kHz of background pass; one event at a time."""
    background = [(s, w) for s, y, w in zip(scores, validation.y, validation.weights, strict=True) if y == 0]
    allowed = [at for at, _ in background if sum(w for s, w in background if s >= at) <= rate]
    signal = [(s, w) for s, y, w in zip(scores, validation.y, validation.weights, strict=True) if y == 1]
    threshold = min(allowed, default=math.nextafter(max(s for s, _ in background), math.inf))
    return sum(w for s, w in signal if s >= threshold) / sum(w for _, w in signal)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "batchnorm"])
def test_the_loop_does_what_keras_fit_does(name, tmp_path):
    """One batch of all events, so that their order is the same; a score of 0 passes, which Keras sees otherwise.

    Keras validates the network with batch normalisation as such, the search what the firmware has.
    """
    import keras

    from fpgaml.builder import build_model

    each, dataset = point(name, batch_size=400, optimizer="sgd"), clouds()
    found = train_trial(each, tmp_path, epochs=3, dataset=dataset)
    training, validation = dataset.part("train"), dataset.part("validation")
    model = build_model(each.architecture, seed=each.train.seed)
    model.compile(
        keras.optimizers.SGD(0.01),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=-1e-6, name="accuracy")],
    )
    weights = [part.training_weights / part.training_weights.mean() for part in (training, validation)]
    fitted = model.fit(
        training.x,
        training.y[:, None],
        sample_weight=weights[0],
        validation_data=(validation.x, validation.y[:, None], weights[1]),
        validation_batch_size=100,
        batch_size=400,
        epochs=3,
        shuffle=False,
        verbose=0,
    )
    validated = name == "plain"
    for curve in ("loss", "val_loss")[: 1 + validated]:
        assert found.curves[curve] == pytest.approx(fitted.history[curve], rel=1e-5)
    for curve in ("accuracy", "val_accuracy")[: 1 + validated]:
        assert found.curves[curve] == pytest.approx(fitted.history[curve], abs=1e-6)


@pytest.mark.slow
def test_a_target_at_full_efficiency_and_an_incomplete_batch(tmp_path):
    """Twice 0.7 is more than all background: there, every background event passes."""
    each, place, validation = (
        point("dropout", batch_size=1000),
        tmp_path / "new" / "directory",
        clouds().part("validation"),
    )
    target = Target("background_efficiency", 0.7)
    found = train_trial(each, place, epochs=1, targets=(target,))
    scores, signal = load_trial(each, place).predict(validation.x)[:, 0], validation.y == 1
    passed = [
        metrics.choose_working_point(
            scores[~signal], kind=target.kind, target=allowed, weights=validation.weights[~signal]
        ).threshold
        for allowed in (0.35, 0.7, 1.0)
    ]
    efficiencies = [np.average(scores[signal] >= at, weights=validation.weights[signal]) for at in passed]
    assert scores[~signal].min() >= passed[2]
    assert found.curves["signal_efficiency_smooth"] == [pytest.approx(np.mean(efficiencies), rel=1e-9)]


@pytest.mark.slow
def test_divergence_names_the_epoch_and_leaves_no_state(tmp_path):
    """One step an epoch; the second one leaves the range of float32. Before, quantizers keep the loss finite."""
    with pytest.raises(ToolError, match=r"diverged: .* not finite in epoch 2\..*learning_rate"):
        train("batchnorm", tmp_path / "fast", 4, learning_rate=3e38, batch_size=400)
    assert not (tmp_path / "fast").exists()


@pytest.mark.slow
def test_divergence_with_ebops_in_the_loss_names_their_weight_and_what_they_made_of_it(tmp_path):
    lower = r"Lower ebops_weight \(0\.1\), with which EBOPs added (\S+) to it before, or learning_rate \(3e\+38\)$"
    options = {"learning_rate": 3e38, "batch_size": 400, "ebops_weight": 0.1}
    with pytest.raises(DivergedError, match=lower) as raised:
        train("batchnorm", tmp_path / "trial", 4, **options)
    assert float(re.search(lower, str(raised.value))[1]) > 1
    with pytest.raises(DivergedError, match=lower):
        train_model(point("batchnorm").architecture, clouds(), point("batchnorm", epochs=4, **options).train)
    with pytest.raises(DivergedError, match=r"float twin diverged: .* Lower learning_rate \(3e\+38\)$"):
        train_float_twin(point("batchnorm").architecture, clouds(), point("batchnorm", epochs=4, **options).train)


@pytest.mark.slow
def test_too_little_memory_is_a_tool_error(tmp_path):
    """The address space is limited in a process of its own; a batch needs more than is left."""
    script = """
import resource, sys
from pathlib import Path
import test_trial
from fpgaml.errors import ToolError
test_trial.train("dropout", sys.argv[1], 1)
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    wide = test_trial.point("wide", batch_size=10**6)
    test_trial.train_trial(wide, Path(sys.argv[1]) / "wide", epochs=1, dataset=test_trial.clouds(3 * 10**4))
except ToolError as error:
    print(error)
"""
    done = in_process(script, tmp_path)
    assert "needs more memory" in done.stdout
    assert not (tmp_path / "wide").exists()


@pytest.mark.slow
def test_a_disk_for_temporary_files_that_is_full_changes_nothing(tmp_path, monkeypatch):
    """TensorFlow's AutoGraph would write its translations there, and trace something else if it cannot."""
    expected = train_trial(point("dropout"), tmp_path / "roomy", epochs=2)

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    found = train_trial(point("dropout"), tmp_path / "full", epochs=2)
    assert found.curves == expected.curves
