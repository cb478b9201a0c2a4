"""The studies that come with fpgaml load, and those of the trigger log say what the log says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fpgaml.fixed_point import MAX_WIDTH
from fpgaml.search_plan import plan
from fpgaml.study import Study

FOLDER = Path(__file__).parents[1] / "search_spaces"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PRODUCTS = ("conv2d", "dense")
REGULARIZERS = ("batchnorm", "dropout")
FROM_THE_LOG = ("trigger_manual", "trigger_batchnorm", "trigger_dropout", "trigger_regularizer")

# The log's tables and entries once more, in its own words: weights, activations, then what differs.
TIED_BITS = {"bits": [[8, 4], [10, 4], [12, 4], [14, 4], [16, 4]], "act_bits": [[12, 4], [16, 6], [24, 8]]}
BATCHNORM = {**TIED_BITS, "filters_1": [2, 4, 8], "filters_2": [4, 8, 16]}
DROPOUT = {**TIED_BITS, "filters_1": [4, 8], "filters_2": [8, 16], "dropout": [0.2, 0.5]}
BATCHNORM_WINNERS = [  # bits, act_bits, filters
    ((16, 4), (24, 8), 8, 16), ((14, 4), (16, 6), 8, 16), ((16, 4), (24, 8), 8, 16), ((14, 4), (12, 4), 8, 16),
    ((10, 4), (12, 4), 8, 4),
]  # fmt: skip
DROPOUT_WINNERS = [
    ((14, 4), (16, 6), 8, 16), ((14, 4), (16, 6), 8, 8), ((14, 4), (12, 4), 8, 8), ((14, 4), (12, 4), 8, 16),
    ((16, 4), (16, 6), 8, 16),
]  # fmt: skip
MANUAL = [  # conv, dense, act, batchnorm, on the output too, dropout, learning rate, filters
    ((16, 6), (8, 4), (16, 6), False, False, 0.0, 0.001, 4, 8),
    ((16, 6), (8, 4), (16, 6), True, True, 0.0, 0.001, 4, 8),
    ((8, 4), (8, 4), (16, 6), False, False, 0.0, 0.001, 4, 8),
    ((16, 4), (8, 4), (16, 6), True, False, 0.0, 0.001, 4, 8),
    ((16, 4), (8, 4), (16, 6), False, False, 0.2, 0.001, 4, 8),
    ((16, 4), (8, 4), (16, 6), False, False, 0.2, 0.002, 4, 8),
    ((8, 4), (8, 4), (16, 6), True, False, 0.0, 0.001, 4, 8),
    ((12, 2), (12, 2), (16, 6), True, False, 0.0, 0.001, 4, 8),
    ((12, 2), (12, 2), (12, 2), True, False, 0.0, 0.001, 4, 8),
    ((12, 2), (12, 2), (12, 2), True, False, 0.0, 0.001, 8, 16),
    ((8, 2), (8, 2), (16, 6), False, False, 0.2, 0.001, 8, 16),
    ((6, 1), (6, 1), (12, 4), False, False, 0.2, 0.001, 8, 16),
    ((16, 2), (16, 2), (16, 6), False, False, 0.0, 0.001, 4, 8),  # the float baseline's shape
]


def load(name):
    return Study.load(FOLDER / f"{name}.yaml")


def layers(architecture, kind):
    return [layer for layer in architecture.layers if layer.kind == kind]


def described(point):
    """What the log says of a run, from the network that comes out; widths that should be tied are one."""
    architecture = point.architecture
    (conv,) = {layer.bits for layer in layers(architecture, "conv2d")}
    (dense,) = {layer.bits for layer in layers(architecture, "dense")}
    (act,) = {layer.bits for layer in layers(architecture, "relu")}
    kinds = [layer.kind for layer in architecture.layers]
    hidden = kinds[: -1 - (kinds[-1] == "batchnorm")]
    normalized = {following == "batchnorm" for kind, following in itertools.pairwise(hidden) if kind in PRODUCTS}
    (batchnorm,) = normalized
    (dropout,) = [layer.rate for layer in layers(architecture, "dropout")] or [0.0]
    filters = [layer.filters for layer in layers(architecture, "conv2d")]
    output = kinds[-1] == "batchnorm"
    return (conv, dense, act, batchnorm, output, dropout, point.train.learning_rate, *filters)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_loads(name):
    study = load(name)
    assert study.name == name
    assert study.point(next(study.grid())).architecture.output_shape == (1,)


@pytest.mark.parametrize("name", FROM_THE_LOG)
def test_the_networks_of_the_log_are_comparable(name):
    study, other = load(name), load("trigger_manual")
    point, reference = (each.point(next(each.grid())) for each in (study, other))
    assert study.data == other.data  # the same events for all, generated once
    assert point.architecture.input_format == reference.architecture.input_format
    assert point.hardware == reference.hardware
    assert point.train == reference.train.model_copy(update={"learning_rate": 0.001})
    assert [layer.kernel_size for layer in layers(point.architecture, "conv2d")] == [(3, 3), (3, 3)]
    assert [layer.units for layer in layers(point.architecture, "dense")] == [64, 1]


def test_the_runs_by_hand():
    study = load("trigger_manual")
    assert [described(study.point(trial)) for trial in study.grid()] == MANUAL


@pytest.mark.parametrize(
    ("name", "table", "batchnorm", "rates", "winners"),
    [
        ("trigger_batchnorm", BATCHNORM, True, [0.0], BATCHNORM_WINNERS),
        ("trigger_dropout", DROPOUT, False, [0.2, 0.5], DROPOUT_WINNERS),
    ],
)
def test_the_tables(name, table, batchnorm, rates, winners):
    study = load(name)
    assert study.choices == table
    assert study.trials == ()
    networks = [described(study.point(values)) for values in study.grid()]
    expected = itertools.product(
        *(map(tuple, table[key]) for key in ("bits", "act_bits")), table["filters_1"], table["filters_2"], rates
    )
    assert sorted(networks) == sorted(
        (bits, bits, act, batchnorm, False, rate, 0.001, first, second) for bits, act, first, second, rate in expected
    )
    found = {(conv, act, *filters) for conv, _, act, _, _, _, _, *filters in networks}
    assert found >= set(winners)


@pytest.mark.parametrize(("name", "n_widths"), [("trigger_regularizer", 7), ("magic_mlp", 5)])
def test_every_width_is_free(name, n_widths):
    study = load(name)
    widths = {name: values for name, values in study.choices.items() if name.endswith("_bits")}
    first = {name: values[0] for name, values in study.choices.items()}
    plain = study.architecture(first).layers
    assert len(widths) == sum(hasattr(layer, "bits") for layer in plain) == n_widths
    for choice, values in widths.items():  # each decides one layer, and only that
        changed = study.architecture({**first, choice: values[1]}).layers
        assert sum(a != b for a, b in zip(plain, changed, strict=True)) == 1


def test_every_number_of_units_is_free():
    study = load("magic_mlp")
    values = {name: offered[-1] for name, offered in study.choices.items()}
    assert [layer.units for layer in layers(study.architecture(values), "dense")] == [64, 32, 1]
    assert {name for name in study.choices if name.startswith("units")} == {"units_1", "units_2"}


def test_the_regularizer_is_chosen():
    study = load("trigger_regularizer")
    first = {name: values[0] for name, values in study.choices.items()}
    regularizers = {
        tuple(layer.kind for layer in study.architecture({**first, **chosen}).layers if layer.kind in REGULARIZERS)
        for chosen in (
            {"regularizer": regularizer, "conv_batchnorm": conv_batchnorm}
            for regularizer in study.choices["regularizer"]
            for conv_batchnorm in study.choices["conv_batchnorm"]
        )
    }
    assert regularizers == {
        ("batchnorm",), ("dropout",), ("batchnorm", "batchnorm", "batchnorm"), ("batchnorm", "batchnorm", "dropout"),
    }  # fmt: skip


def test_the_demo_is_a_search():
    """At least 20 different networks, the same choice for all weights, and few integer bits, as the log advises."""
    study = load("trigger_demo")
    assert plan(study).points >= 20
    assert {tuple(bits) for bits in study.choices["bits"]} == {(6, 1), (8, 2), (10, 2), (12, 2)}
    first = {name: values[0] for name, values in study.choices.items()}
    for bits in study.choices["bits"]:
        architecture = study.architecture({**first, "bits": bits})
        assert {layer.bits for kind in PRODUCTS for layer in layers(architecture, kind)} == {tuple(bits)}
    assert study.data == load("trigger_dropout").data  # whoever has run the demo has the events of the others


@pytest.mark.parametrize("name", FROM_THE_LOG)
def test_winners_are_trained_afresh_as_the_log_did(name):
    study = load(name)
    search = study.search
    assert search.winners == (3 if name == "trigger_regularizer" else 5)
    assert (search.winner_seeds, search.training_fraction) == ((1, 2, 3), 0.25)
    assert search.objective == "signal_efficiency"
    assert search.max_epochs == (10 if name == "trigger_manual" else 27)
    planned = plan(study, workers=2)
    assert planned.estimate is not None
    # The tables are to be reproduced within 40 minutes on 2 cores, of which data and simulation take some.
    assert planned.estimate.search_s + planned.estimate.winners_s < 32 * 60


def test_the_runs_by_hand_are_all_trained():
    assert str(plan(load("trigger_manual"))).splitlines()[0] == "trials: 13 trials to epoch 10"


@pytest.mark.parametrize("name", [*FROM_THE_LOG, "trigger_demo", "magic_mlp"])
def test_the_widest_networks_fit_float64(name):
    """Loading tries one choice after the other; here all widths are the largest at once."""
    study = load(name)
    widest = {key: max(values) if key.endswith("bits") else values[-1] for key, values in study.choices.items()}
    architectures = [study.architecture(values) for values in (study.trials or [widest])]
    assert max(step.output_values.width for found in architectures for step in found.steps) <= MAX_WIDTH
