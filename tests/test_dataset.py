"""A data set is checked once, and what it gives out fits together."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from fpgaml.dataset import SPLITS, Dataset
from fpgaml.errors import DataError

N = 30


@pytest.fixture
def dataset() -> Dataset:
    rng = np.random.default_rng(2)
    return Dataset(
        x=rng.normal(size=(N, 3, 2)).astype(np.float32),
        y=np.arange(N) % 2,
        split=(np.arange(N) % 3).astype(np.int8),
        weights=rng.uniform(size=N),
        groups=np.arange(N) // 2,
        quantities={"ht_gev": np.arange(N, dtype=float)},
        names=("a",),
        metadata={"seed": 1},
    )


def test_parts_are_the_whole(dataset):
    assert len(dataset) == N
    assert dataset.input_shape == (3, 2)
    parts = [dataset.part(name) for name in SPLITS]
    assert sum(len(part) for part in parts) == N
    for number, part in enumerate(parts):
        assert (part.split == number).all()
        events = part.quantities["ht_gev"].astype(int)
        assert np.array_equal(part.x, dataset.x[events])
        assert np.array_equal(part.weights, dataset.weights[events])
        assert np.array_equal(part.groups, dataset.groups[events])
        assert part.training_weights is None
        assert part.metadata == dataset.metadata


def test_a_part_that_is_not_there(dataset):
    with pytest.raises(DataError, match="did you mean 'validation'"):
        dataset.part("validate")
    with pytest.raises(DataError, match="the test split has no events"):
        dataset.select(dataset.split < 2).part("test")


def test_frozen(dataset):
    with pytest.raises(FrozenInstanceError):
        dataset.y = dataset.y


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros(N - 1, int)}, f"y has {N - 1} events, x has {N}"),
        ({"y": np.arange(N)}, "labels must be 0"),
        ({"x": np.full((N, 2), np.nan, np.float32)}, "x is not finite, first in event 0"),
        ({"weights": np.where(np.arange(N) == 7, np.inf, 1.0)}, "weights is not finite, first in event 7"),
        ({"weights": np.linspace(-1.0, 1.0, N)}, "weights must not be negative"),
        ({"training_weights": np.linspace(-1.0, 1.0, N)}, "training_weights must not be negative"),
        ({"quantities": {"ht_gev": np.zeros(3)}}, "quantities.ht_gev has 3 events"),
    ],
)
def test_flaws(dataset, changes, message):
    with pytest.raises(DataError, match=message):
        replace(dataset, **changes)


def test_a_quantity_may_not_apply(dataset):
    found = replace(dataset, quantities={"m4b_gev": np.full(N, np.nan)})
    assert np.isnan(found.part("test").quantities["m4b_gev"]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"x": np.zeros((N, 3, 2), np.float32)},
        {"x": np.zeros((N, 6), np.float32)},
        {"y": 1 - np.arange(N) % 2},
        {"split": np.zeros(N, np.int8)},
        {"weights": None},
        {"training_weights": np.ones(N)},
        {"groups": np.zeros(N, np.int64)},
        {"quantities": {}},
        {"names": ("b",)},
        {"rate_khz": 1.0},
        {"metadata": {"seed": 2}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_hash_covers_everything(dataset, changes):
    assert replace(dataset).sha256 == dataset.sha256
    assert replace(dataset, **changes).sha256 != dataset.sha256


def test_the_hash_does_not_depend_on_memory_layout(dataset):
    assert replace(dataset, x=np.asfortranarray(dataset.x)).sha256 == dataset.sha256
