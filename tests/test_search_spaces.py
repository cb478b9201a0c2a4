"""The studies that come with fpgaml load, and those of the trigger log say what the log says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fpgaml.fixed_point import MAX_WIDTH
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
    assert (point.train.epochs, point.train.batch_size) == (reference.train.epochs, reference.train.batch_size)
    assert [layer.kernel_size for layer in layers(point.architecture, "conv2d")] == [(3, 3), (3, 3)]
    assert [layer.units for layer in layers(point.architecture, "dense")] == [64, 1]
    assert point.train.schedule == "constant"


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


def test_every_width_is_free_and_the_regularizer_chosen():
    study = load("trigger_regularizer")
    widths = {name: values for name, values in study.choices.items() if name.endswith("_bits")}
    first = {name: values[0] for name, values in study.choices.items()}
    plain = study.architecture(first).layers
    assert len(widths) == sum(hasattr(layer, "bits") for layer in plain) == 7
    for name, values in widths.items():  # each decides one layer, and only that
        changed = study.architecture({**first, name: values[1]}).layers
        assert sum(a != b for a, b in zip(plain, changed, strict=True)) == 1

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


@pytest.mark.parametrize("name", FROM_THE_LOG)
def test_the_widest_networks_fit_float64(name):
    """Loading tries one choice after the other; here all widths are the largest at once."""
    study = load(name)
    widest = {key: max(values) if key.endswith("bits") else values[-1] for key, values in study.choices.items()}
    architectures = [study.architecture(values) for values in (study.trials or [widest])]
    assert max(step.output_values.width for found in architectures for step in found.steps) <= MAX_WIDTH
