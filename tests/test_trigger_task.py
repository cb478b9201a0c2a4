"""The task ``trigger``: its options, and a data set made with Pythia from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from fpgaml.errors import DataError
from fpgaml.metrics import Target
from fpgaml.tasks import get_task, task_names
from fpgaml.tasks.trigger import Trigger, TriggerOptions, pool_sizes
from fpgaml.trigger_data.samples import CROSSING_SHARES
from fpgaml.trigger_data.strata import EDGES_GEV

TINY: dict[str, Any] = {
    "n_signal": 200,
    "n_background": 400,
    "n_validation_signal": 50,
    "n_validation_background": 100,
    "n_test_signal": 50,
    "n_test_background": 100,
    "n_soft_collisions": 60,
    "n_hard_collisions": 200,
    "n_signal_collisions": 20,
    "pile_up": 20,
}


def test_the_task_is_found_without_its_generator() -> None:
    assert "trigger" in task_names()
    assert get_task("trigger") is Trigger
    program = "import sys, fpgaml.tasks as t; t.get_task('trigger'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pythia8mc", "awkward", "tensorflow", "scipy", "pandas"} & set(loaded)


def test_defaults_are_those_of_the_accelerator() -> None:
    options = TriggerOptions()
    assert int(options.total_khz) == 30976
    assert Trigger.input_shape(options) == (20, 12, 1)
    assert Trigger.targets(options) == tuple(Target(kind="rate_khz", value=rate) for rate in (10.0, 50.0, 100.0, 750.0))
    assert options.removal_efficiency == options.mitigation_efficiency
    assert TriggerOptions(mitigation="none").removal_efficiency == 0.0


def test_options_are_read_as_yaml_gives_them() -> None:
    options = TriggerOptions.model_validate({"image_shape": [120, 72], "rates_khz": [20, 7.5], "pile_up": 140})
    assert Trigger.input_shape(options) == (120, 72, 1)
    assert [target.value for target in Trigger.targets(options)] == [20.0, 7.5]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_signals", 5, "Extra inputs are not permitted"),
        ("n_signal", 0, "greater than or equal to 1"),
        ("n_signal", 10.5, "valid integer"),
        ("n_signal", "100", "valid integer"),
        ("pile_up", -1, "greater than 0"),
        ("pile_up", float("nan"), "greater than 0|finite"),
        ("mitigation", "puppi", "'charged' or 'none'"),
        ("mitigation_efficiency", 1.2, "less than or equal to 1"),
        ("image_shape", [20, 13], "must divide 120 cells in eta and 72 in phi"),
        ("image_shape", [0, 12], "must divide 120 cells"),
        ("training_weights", "sqrt", "'sqrt_rate'"),
        ("rates_khz", [], "at least 1 item"),
        ("rates_khz", [10, -5], "greater than 0"),
        ("rates_khz", [10, 1e308], "less than or equal to 1000000000"),
        ("rates_khz", [10, 50_000], "50000 kHz is more than the rate of all crossings.*: 30976.4 kHz"),
        ("rates_khz", [10] * 200, "at most 100 items"),
        ("n_signal", 10**400, "less than or equal to 10000000000"),
        ("n_soft_collisions", 10**9, "less than or equal to 1000000"),
        ("seed", 2**32, "less than or equal to 4294967295"),
        ("bunches", 2**31, "less than or equal to 100000"),
        ("pile_up", "200", "valid number"),
    ],
)
def test_wrong_options_are_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        TriggerOptions.model_validate({key: value})


def test_pools_cover_all_hard_scales() -> None:
    sizes = pool_sizes(TriggerOptions())
    names = [process.name for process, _ in sizes]
    assert names == ["soft", *(f"hard_{edge:g}" for edge in EDGES_GEV[:-1]), "signal"]
    assert len(CROSSING_SHARES) == len(EDGES_GEV)
    assert sum(size for _, size in sizes[1:-1]) == TriggerOptions().n_hard_collisions
    assert sizes[-2][0].settings[-1] == "PhaseSpace:pTHatMax = -1"


def test_images_larger_than_the_memory_are_refused() -> None:
    options = TriggerOptions(image_shape=(120, 72), n_background=2_000_000_000)
    with pytest.raises(DataError, match=r"images of 120×72 cells.*GB; this machine has"):
        Trigger.load(options, progress=None)


@pytest.mark.slow
def test_a_data_set_from_pythia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete, the same again from the cache, and remixed without new events when only the mixing changes."""
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(tmp_path))
    dataset = Trigger.load(TriggerOptions(**TINY), progress=None)
    assert dataset.x.shape == (900, 20, 12, 1)
    assert dataset.rate_khz is not None
    for name in ("train", "validation", "test"):
        part = dataset.part(name)
        assert part.weights is not None
        assert part.weights[part.y == 0].sum() == pytest.approx(dataset.rate_khz, rel=1e-12)
    assert dataset.metadata["pythia8mc"]
    assert 0.001 < np.quantile(dataset.x[dataset.x > 0], 0.9) < 1.0
    signal = dataset.y == 1
    assert np.nanmean(dataset.quantities["ht_gev"][signal]) > 150
    chunks = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert Trigger.load(TriggerOptions(**TINY), progress=None).sha256 == dataset.sha256
    rougher = {**TINY, "image_shape": (10, 6), "mitigation": "none", "pile_up": 40, "training_weights": "rate"}
    unmitigated = Trigger.load(TriggerOptions(**rougher), progress=None)
    assert unmitigated.x.shape == (900, 10, 6, 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == chunks
