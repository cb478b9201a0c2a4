"""The user's own file: what the study names is what the network gets, and every flaw of a file has its message."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pydantic
import pytest
import yaml
from rich.console import Console
from rich.progress import Progress

from fpgaml import memory
from fpgaml.comparison import compare
from fpgaml.dataset import SPLITS
from fpgaml.errors import DataError, StudyError
from fpgaml.events import Events, Scores
from fpgaml.metrics import Target, auc
from fpgaml.preparation import draw_group_splits
from fpgaml.tasks import Task, TaskOptions, get_task, task_names
from fpgaml.tasks import file as file_module

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "search_spaces" / "magic_mlp.yaml"
MAGIC = ROOT.parent / "shared" / "data" / "magic_gamma" / "magic.dat"
N = 500


@pytest.fixture
def file_task():
    return get_task("file")


@pytest.fixture
def load(tmp_path, file_task):
    """Load ``data`` as a study beside the test's files would."""

    def load(**data):
        return file_task.load(file_task.options.model_validate(data, context={"base": tmp_path}), progress=None)

    return load


@pytest.fixture
def table(tmp_path) -> dict[str, np.ndarray]:
    """A csv file of two classes, 30 % gamma."""
    rng = np.random.default_rng(6)
    gamma = rng.random(N) < 0.3
    columns = {
        "length": rng.normal(100.0, 20.0, N) + 30.0 * gamma,
        "width": rng.exponential(3.0, N),
        "weight": rng.uniform(0.5, 2.0, N),
        "khz": rng.uniform(1.0, 9.0, N) * ~gamma,
        "ht": np.where(rng.random(N) < 0.2, np.nan, rng.uniform(0, 500, N)),
        "use": np.array(SPLITS)[np.arange(N) % 3],
        "class": np.where(gamma, "g", "h"),
    }
    write_csv(tmp_path / "t.csv", columns)
    return columns


def write_csv(path, columns):
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")


BASIC = {"path": "t.csv", "inputs": ["length", "width"], "label": "class", "signal": "g"}


def test_registry():
    assert "file" in task_names()
    for name in task_names():
        task = get_task(name)
        assert issubclass(task, Task)
        assert task.name == name
        assert issubclass(task.options, TaskOptions)
        assert task.options.model_config["extra"] == "forbid"
        assert task.options.model_config["frozen"]
    with pytest.raises(StudyError, match="unknown task 'fiel'; did you mean 'file'"):
        get_task("fiel")


def test_importing_the_tasks_loads_nothing_heavy():
    program = (
        "import sys; from fpgaml.tasks import get_task, task_names; [get_task(name) for name in task_names()]\n"
        "print({'tensorflow', 'keras', 'pandas', 'pyarrow', 'uproot', 'h5py', 'scipy', 'pythia8mc'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_columns_arrive_in_order(load, table, file_task):
    found = load(**BASIC)
    assert found.names == ("length", "width")
    assert found.x.dtype == np.float32
    assert np.array_equal(found.x, np.stack([table["length"], table["width"]], axis=1).astype(np.float32))
    assert np.array_equal(found.y, table["class"] == "g")
    assert (found.weights, found.training_weights, found.rate_khz) == (None, None, None)
    options = file_task.options.model_validate(BASIC)
    assert file_task.input_shape(options) == found.input_shape == (2,)
    assert file_task.targets(options)[0] == Target("background_efficiency", 0.01)
    assert [target.value for target in file_task.targets(options)] == [0.01, 0.02, 0.05, 0.1, 0.2]


def test_split_is_stratified_and_repeatable(load, table):
    found = load(**BASIC, split={"train": 0.5, "validation": 0.2, "test": 0.3, "seed": 3})
    for label in (0, 1):
        counts = np.bincount(found.split[found.y == label])
        assert np.abs(counts - np.array([0.5, 0.2, 0.3]) * (found.y == label).sum()).max() <= 1
    again = load(**BASIC, split={"train": 0.5, "validation": 0.2, "test": 0.3, "seed": 3})
    assert again.sha256 == found.sha256
    other = load(**BASIC, split={"train": 0.5, "validation": 0.2, "test": 0.3, "seed": 4})
    assert not np.array_equal(other.split, found.split)


@pytest.mark.parametrize("numbered", [False, True])
def test_split_column(load, table, tmp_path, numbered):
    if numbered:
        write_csv(tmp_path / "t.csv", {**table, "use": np.arange(N) % 3})
    assert np.array_equal(load(**BASIC, split_column="use").split, np.arange(N) % 3)
    write_csv(tmp_path / "t.csv", {**table, "use": np.arange(N) % 4})
    with pytest.raises(DataError, match="must hold train, validation, test or 0, 1, 2; found 3"):
        load(**BASIC, split_column="use")


def test_separate_files(load, table, tmp_path):
    for number, name in enumerate(SPLITS):
        write_csv(tmp_path / f"{name}.csv", {key: column[number::3] for key, column in table.items()})
    data = {**BASIC, "path": "train.csv", "test_path": ["test.csv"]}
    found = load(**data, validation_path="validation.csv")
    for number, name in enumerate(SPLITS):
        assert np.array_equal(found.part(name).x[:, 0], table["length"][number::3].astype(np.float32))
    assert [item["for"] for item in found.metadata["files"]] == list(SPLITS)
    drawn = load(**data)
    train = len(table["length"][0::3])
    assert np.array_equal(drawn.part("test").x, found.part("test").x)
    assert len(drawn.part("validation")) == pytest.approx(train / 4, abs=1)  # 0.2 of 0.6 + 0.2


def test_several_files_are_joined(load, table, tmp_path):
    for name, part in (("a", slice(0, 200)), ("b", slice(200, N))):
        write_csv(tmp_path / f"{name}.csv", {key: column[part] for key, column in table.items()})
    found = load(**{**BASIC, "path": ["a.csv", "b.csv"]})
    assert np.array_equal(found.x, load(**BASIC).x)
    write_csv(tmp_path / "b.csv", {"length": table["length"], "class": table["class"]})
    with pytest.raises(DataError, match=r"b\.csv: no column 'width'"):
        load(**{**BASIC, "path": ["a.csv", "b.csv"]})


@pytest.mark.parametrize("kind", ["standardize", "minmax", "maxabs"])
def test_scaling_comes_from_training_events_and_can_be_repeated(load, table, kind):
    found, raw = load(**BASIC, scaling=kind), load(**BASIC)
    train = found.part("train").x.astype(np.float64)
    if kind == "standardize":
        assert np.allclose(train.mean(0), 0, atol=1e-6)
        assert np.allclose(train.std(0), 1, atol=1e-6)
    elif kind == "minmax":
        assert np.allclose((train.min(0), train.max(0)), [[-1, -1], [1, 1]])
    else:
        assert np.allclose(np.abs(train).max(0), 1)
        assert found.metadata["scaling"]["offset"] == [0, 0]
    columns = np.stack([table["length"], table["width"]], axis=1)
    constants = found.metadata["scaling"]
    repeated = (columns - np.array(constants["offset"])) * np.array(constants["scale"])
    assert np.array_equal(found.x, repeated.astype(np.float32))
    assert raw.metadata["scaling"] == {"kind": "none"}


def test_test_events_do_not_change_the_scaling(load, table, tmp_path):
    before = load(**BASIC, scaling="minmax", split_column="use").metadata["scaling"]
    write_csv(tmp_path / "t.csv", {**table, "length": np.where(table["use"] == "test", 1e6, table["length"])})
    assert load(**BASIC, scaling="minmax", split_column="use").metadata["scaling"] == before


def test_constant_input_cannot_be_scaled(load, table, tmp_path):
    write_csv(tmp_path / "t.csv", {**table, "width": np.full(N, 3.5)})
    with pytest.raises(DataError, match="constant in training: width"):
        load(**BASIC, scaling="standardize")
    assert (load(**BASIC).x[:, 1] == 3.5).all()


def test_images(load, table, tmp_path, file_task):
    images = np.random.default_rng(1).exponential(size=(N, 4, 3))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["image"], file["y"] = images, np.arange(N) % 2 == 1
        file["flat"] = images.reshape(N, 12)
    data = {"path": "t.h5", "inputs": "image", "shape": [4, 3, 1], "label": "y", "signal": True}
    with pytest.raises(DataError, match=r"'image' has shape \[4, 3\] per event, `shape` says \[4, 3, 1\]"):
        load(**data)
    flat = load(**{**data, "inputs": ["flat"]})
    assert flat.input_shape == (4, 3, 1) == file_task.input_shape(file_task.options.model_validate(data))
    assert np.array_equal(flat.x, images[..., None].astype(np.float32))
    assert flat.names == ()
    scaled = load(**{**data, "shape": [4, 3]}, scaling="maxabs")
    assert len(scaled.metadata["scaling"]["scale"]) == 1
    assert scaled.part("train").x.max() == 1.0
    with pytest.raises(DataError, match=r"give it alone, with `shape: \[4, 3\]`"):
        load(path="t.h5", inputs=["image"], label="y", signal=True)


def test_columns_can_fill_a_shape(load, table):
    found = load(**{**BASIC, "inputs": ["length", "width"], "shape": [1, 2]})
    assert found.input_shape == (1, 2)
    assert found.x[3].tolist() == [[np.float32(table["length"][3]), np.float32(table["width"][3])]]


def test_weights_and_quantities(load, table):
    found = load(**BASIC, weights="weight", quantities=["ht"])
    assert np.array_equal(found.weights, table["weight"])
    assert np.array_equal(found.quantities["ht"], table["ht"], equal_nan=True)  # where it does not apply, NaN
    assert found.rate_khz is None
    for label in (0, 1):
        assert found.training_weights[found.y == label].mean() == pytest.approx(1.0)
    balanced = load(**BASIC, training_weights="classes").training_weights
    assert balanced[found.y == 1].sum() == pytest.approx(balanced[found.y == 0].sum())
    assert balanced.mean() == pytest.approx(1.0)


def test_total_rate_is_shared_in_every_split(load, table, file_task):
    for extra in ({}, {"weights": "weight"}):
        found = load(**BASIC, rate_khz=1000.0, rates_khz=[10, 50], **extra)
        for name in SPLITS:
            part = found.part(name)
            assert part.weights[part.y == 0].sum() == pytest.approx(1000.0)
        signal = found.y == 1
        assert np.array_equal(found.weights[signal], table["weight"][signal] if extra else np.ones(signal.sum()))
    options = file_task.options.model_validate({**BASIC, "rate_khz": 1000, "rates_khz": [10, 50]})
    assert file_task.targets(options)[:3] == (
        Target("rate_khz", 10.0),
        Target("rate_khz", 50.0),
        Target("background_efficiency", 0.01),
    )


def test_rate_column(load, table):
    found = load(**BASIC, rate_weights="khz")
    assert found.rate_khz == pytest.approx(table["khz"].sum())
    assert (found.weights[found.y == 1] == 1.0).all()
    part = found.part("test")
    assert part.weights[part.y == 0].sum() == pytest.approx(found.rate_khz)
    ratio = part.weights[part.y == 0] / table["khz"][(found.split == 2) & (found.y == 0)]
    assert np.allclose(ratio, ratio[0])


@pytest.mark.parametrize("signal", [1, 1.0, True])
def test_numeric_labels(load, table, tmp_path, signal):
    write_csv(tmp_path / "t.csv", {**table, "class": np.arange(N) % 3})
    assert np.array_equal(load(**{**BASIC, "signal": signal}).y, np.arange(N) % 3 == 1)


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({"label": "klass"}, {}, r"t\.csv: no column 'klass'; did you mean 'class'\? Allowed: class"),
        ({"inputs": ["lenght"]}, {}, "did you mean 'length'"),
        ({"signal": "gamma"}, {}, "no event has the label 'gamma' that `signal` names; 'class' holds 'g', 'h'"),
        ({"signal": 1}, {}, "no event has the label 1 "),
        ({"inputs": ["length", "ht"]}, {}, r"rows hold NaN, infinity or nothing in 'ht'; the first is row \d+"),
        ({"inputs": ["length", "use"]}, {}, "'use' does not hold numbers: row 0 .* is 'train'"),
        ({}, {"class": np.full(N, "g")}, "only one class: there is no background"),
        ({}, {"class": np.where(np.arange(N) < 2, "g", "h")}, "no signal in the test split; 2 signal events"),
        ({}, {"class": np.where(np.arange(N) == 5, np.nan, np.arange(N) % 2)}, "1 events have no label .* row 5"),
        ({"weights": "weight"}, {"weight": np.linspace(-1, 9, N)}, r"\d+ weights in 'weight' are negative.* row 0"),
        ({"rate_weights": "khz"}, {"khz": np.zeros(N)}, "background in the train split are zero"),
        ({"path": "none.csv"}, {}, "no such file"),
        ({"path": "t.csv", "format": "parquet"}, {}, "cannot be read as parquet"),
    ],
)
def test_flaws_of_a_file(load, table, tmp_path, changes, columns, message):
    write_csv(tmp_path / "t.csv", {**table, **columns})
    with pytest.raises(DataError, match=message):
        load(**{**BASIC, **changes})


def changed(column, row, value):
    return np.where(np.arange(N) == row, value, column)


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({}, {"width": changed(np.ones(N), 7, 1e308)}, r"'width' holds 1e\+308 in row 7"),
        ({"weights": "weight"}, {"weight": np.full(N, 1e308)}, r"'weight' holds 1e\+308 in row 0"),
        (
            {"weights": "weight"},
            {"weight": np.full(N, 1e-300)},
            "weights of all signal in the train split are zero, or",
        ),
        ({"rate_weights": "khz"}, {"khz": np.full(N, 1e300)}, r"'khz' holds 1e\+300 in row 0"),
        ({"quantities": ["ht"]}, {"ht": changed(np.ones(N), 3, -1e200)}, r"'ht' holds -1e\+200 in row 3"),
        ({"scaling": "minmax"}, {"width": np.linspace(1, 2, N) * 1e-310}, "inputs constant in training: width"),
        ({"scaling": "standardize"}, {"width": np.full(N, 0.1)}, "inputs constant in training: width"),
        (
            {"scaling": "standardize", "split_column": "use"},
            {"width": np.where(np.arange(N) % 3 == 0, np.arange(N) * 1e-30, 3e38)},
            r"input 'width' of row 1 .* after scaling, beyond what float32 holds",
        ),
        ({"label": "use", "signal": "2024-01-01"}, {"use": np.full(N, "2024-01-01")}, "must hold whole numbers"),
    ],
)
def test_numbers_that_overflow(load, table, tmp_path, changes, columns, message, recwarn):
    write_csv(tmp_path / "t.csv", {**table, **columns})
    with pytest.raises(DataError, match=message) as error:
        load(**{**BASIC, **changes})
    assert "t.csv" in str(error.value)
    assert len(str(error.value)) <= 500
    assert not recwarn.list


@pytest.mark.parametrize("scaling", ["none", "standardize", "minmax", "maxabs"])
def test_numbers_at_the_edge_stay_finite(load, table, tmp_path, scaling):
    write_csv(tmp_path / "t.csv", {**table, "width": changed(table["width"], 7, 3.4e38)})
    found = load(**BASIC, scaling=scaling)
    assert np.isfinite(found.x).all()
    assert found.x[7, 1] == found.x[:, 1].max() > 0


def test_memory_is_checked_before_columns_are_joined(load, table, monkeypatch):
    free = iter([10**9, 1000])  # enough to read, not to prepare
    monkeypatch.setattr(memory, "free_memory", lambda: next(free))
    with pytest.raises(DataError, match=r"t\.csv: the data set, 500 events of 2 inputs, needs"):
        load(**BASIC)


@pytest.mark.parametrize("how", ["path", "twice", "relative", "symlink", "hard link", "copy"])
def test_a_file_counts_once(load, table, tmp_path, how):
    path, other = tmp_path / "t.csv", tmp_path / "other.csv"
    if how == "symlink":
        other.symlink_to(path)
    elif how == "hard link":
        other.hardlink_to(path)
    elif how == "copy":
        other.write_bytes(path.read_bytes())
    named = {"path": "t.csv", "twice": "t.csv", "relative": f"../{tmp_path.name}/t.csv"}.get(how, "other.csv")
    data = {"path": ["t.csv", named]} if how == "twice" else {"test_path": named}
    relation = "has the same content as" if how == "copy" else "is the same file as"
    with pytest.raises(DataError, match=rf"{relation} .*t\.csv \(for train\): its events would count twice"):
        load(**{**BASIC, **data})


def test_a_file_that_changes_while_it_is_read(load, table, tmp_path, monkeypatch):
    def read(path, *arguments, **options):
        found = reading(path, *arguments, **options)
        with path.open("a") as file:
            file.write("1,2,1,1,1,test,g\n")
        return found

    reading = file_module.read_columns
    monkeypatch.setattr(file_module, "read_columns", read)
    with pytest.raises(DataError, match=r"t\.csv: was changed while it was read"):
        load(**BASIC)


def test_inputs_that_stand_in_two_splits_are_counted_and_told(load, table, tmp_path, caplog):
    assert load(**BASIC).metadata["repeated_inputs"] == {
        "train": {"events": 300, "repeated": 0},
        "validation": {"events": 100, "repeated": 0, "other_label": 0},
        "test": {"events": 100, "repeated": 0, "other_label": 0},
    }
    assert not caplog.records
    use = np.repeat(SPLITS, [300, 100, 100])
    copied = {name: np.copy(column) for name, column in table.items()} | {"use": use}
    for name in ("length", "width"):
        copied[name][310:314] = copied[name][0:4]  # validation, of training
        copied[name][400:403] = copied[name][4:7]  # test, of training
        copied[name][403] = copied[name][303]  # test, of validation
        copied[name][8] = copied[name][9]  # within training
    copied["width"][20], copied["width"][450] = 0.0, -0.0
    copied["length"][450] = copied["length"][20]
    copied["class"][[0, 1, 2, 3, 4, 5, 6, 20, 303]] = "g"
    copied["class"][[310, 311, 312, 313, 400, 401, 402, 403, 450]] = list("gghhghhgh")
    write_csv(tmp_path / "t.csv", copied)
    assert load(**BASIC, split_column="use").metadata["repeated_inputs"] == {
        "train": {"events": 300, "repeated": 2},
        "validation": {"events": 100, "repeated": 4, "other_label": 2},
        "test": {"events": 100, "repeated": 5, "other_label": 3},
    }
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert (
        "t.csv: 4 of 100 (4 %) validation events have exactly the inputs of an event in training (2 of" in caplog.text
    )
    assert "5 of 100 (5 %) test events have exactly the inputs of an event in training or validation" in caplog.text
    assert "Within training, it is 2 of 300 (0.667 %) events." in caplog.text


def test_a_test_file_that_is_the_training_file_in_another_order(load, table, tmp_path):
    write_csv(tmp_path / "again.csv", {name: column[::-1] for name, column in table.items()})
    with pytest.raises(DataError, match="every one of the 500 test events has exactly the inputs of an event in train"):
        load(**BASIC, test_path="again.csv")
    coarse = {name: np.arange(N) // number % 2 for number, name in ((1, "length"), (2, "width"))}
    write_csv(tmp_path / "t.csv", {**table, **coarse})  # there are four events only: they repeat by nature
    assert load(**BASIC).metadata["repeated_inputs"]["test"]["repeated"] == 100


@pytest.mark.parametrize("kind", ["number", "text", "float"])
def test_groups_stay_whole_and_keep_the_shares_of_classes(load, table, tmp_path, kind):
    run = np.random.default_rng(8).permutation(N) // 5
    named = {"number": 2**53 + run, "text": np.char.add("run ", run.astype(str)), "float": run.astype(float)}[kind]
    write_csv(tmp_path / "t.csv", {**table, "run": named})
    found = load(**BASIC, group="run")
    assert np.array_equal(found.groups[:, None] == found.groups, run[:, None] == run)  # not one group was merged
    for group in range(N // 5):
        assert len(set(found.split[run == group])) == 1
    for label in (0, 1):
        shares = np.bincount(found.split[found.y == label]) / (found.y == label).sum()
        assert np.abs(shares - [0.6, 0.2, 0.2]).max() <= 5 / (found.y == label).sum()
    counts = {name: len(set(run[(found.split == 1) & (found.y == label)])) for label, name in enumerate(CLASSES)}
    assert found.metadata["groups"]["validation"] == counts
    assert found.metadata["group"] == "run"
    assert load(**BASIC, group="run").sha256 == found.sha256
    other = load(**BASIC, group="run", split={"seed": 2})
    assert not np.array_equal(other.split, found.split)
    assert np.array_equal(Events.of(found).groups, found.groups[found.split > 0])
    with_test = {name: column[run >= 80] for name, column in {**table, "run": named}.items()}
    write_csv(tmp_path / "test.csv", with_test)
    write_csv(tmp_path / "t.csv", {name: column[run < 80] for name, column in {**table, "run": named}.items()})
    drawn = load(**BASIC, group="run", test_path="test.csv")
    assert drawn.part("test").x.shape[0] == (run >= 80).sum()
    assert not set(drawn.part("validation").groups) & set(drawn.part("train").groups)
    assert len(drawn.part("validation")) == pytest.approx((run < 80).sum() / 4, abs=5)


CLASSES = ("background", "signal")


def test_groups_of_any_size_and_class_have_the_same_chances():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), rng.integers(1, 60, 40))
    y = rng.integers(0, 2, len(groups))
    drawn = np.array([draw_group_splits(y, groups, fractions=(3, 1, 1), seed=seed) for seed in range(200)])
    sizes = np.bincount(groups)
    for group in (sizes.argmin(), sizes.argmax()):
        chances = np.bincount(drawn[:, groups == group][:, 0], minlength=3) / 200
        assert np.abs(chances - [0.6, 0.2, 0.2]).max() < 0.12  # three standard deviations
    shares = np.array([np.bincount(split[y == 1], minlength=3) for split in drawn]) / y.sum()
    assert np.abs(shares - [0.6, 0.2, 0.2]).max() < 60 / y.sum()
    few = np.repeat(np.arange(9), 10)  # three groups of signal, six of background: all splits get some of each
    for seed in range(50):
        split = draw_group_splits((few < 3).astype(int), few, fractions=(0.9, 0.05, 0.05), seed=seed)
        assert all(
            ((split == number) & (few < 3)).any() and ((split == number) & (few >= 3)).any() for number in (0, 1, 2)
        )


def runs(n, *, missing=None, value=np.nan):
    found = (np.arange(N) * n // N).astype(object)
    if missing is not None:
        found[missing] = value
    return found


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({}, {"run": runs(50, missing=7, value="")}, "1 events have no group in 'run', the first in row 7"),
        (
            {},
            {"run": [f"r{n}" if n != 7 else "" for n in range(N)]},
            "1 events have no group in 'run', the first in row 7",
        ),
        ({}, {"run": runs(50) + 0.5}, "groups in 'run' must be whole numbers or text; row 0 is 0.5"),
        ({}, {"run": runs(1)}, "'run' holds 0 only: too few groups for 3 splits"),
        ({}, {"run": runs(2)}, "'run' holds 0, 1 only: too few groups for 3 splits"),
        (
            {},
            {"run": runs(50), "class": np.where(np.arange(N) < 15, "g", "h")},
            r"no signal in the \w+ split; 15 signal events in all, in 2 groups that stay whole",
        ),
        (
            {"split_column": "use"},
            {"run": runs(50)},
            r"the group 0 stands in train \(4 events\), validation \(3 events\), test \(3 events\); so do 49 others",
        ),
        ({"test_path": "test.csv"}, {"run": runs(50)}, r"the group 0 stands in .*test \(1 events\)"),
        ({"group": "length"}, {}, "can be nothing else"),
        ({"group": "class"}, {}, "can be nothing else"),
        ({"group": "rum"}, {"run": runs(50)}, "no column 'rum'; did you mean 'run'"),
    ],
)
def test_flaws_of_groups(load, table, tmp_path, changes, columns, message):
    write_csv(tmp_path / "t.csv", {**table, **{name: np.asarray(column) for name, column in columns.items()}})
    write_csv(tmp_path / "test.csv", {name: column[:1] for name, column in {**table, "run": runs(50)}.items()})
    data = {**BASIC, "group": "run", **changes}
    with pytest.raises((DataError, pydantic.ValidationError), match=message):
        load(**data)


def test_few_groups_are_told(load, table, tmp_path, caplog):
    write_csv(tmp_path / "t.csv", {**table, "run": runs(60)})
    load(**BASIC, group="run")
    assert not caplog.records
    write_csv(tmp_path / "t.csv", {**table, "run": runs(20)})
    load(**BASIC, group="run")
    assert "there are only 4 groups of validation signal, 4 groups of validation background, 4 groups of" in caplog.text


def write_toy(path, seed, *, reused):
    """Signal that is used ``reused`` times with hardly any change, and background that is not."""
    rng = np.random.default_rng(seed)
    n_signal, n_background = 300, 2_000
    signal = np.repeat(rng.normal(1.5, 1.0, n_signal), reused) + rng.normal(0, 0.05, n_signal * reused)
    score = np.concatenate([signal, rng.normal(0.0, 1.0, n_background)])
    source = np.concatenate([np.repeat(np.arange(n_signal), reused), n_signal + np.arange(n_background)])
    np.savez(path, score=score, source=source, y=np.arange(len(score)) < len(signal))


def test_intervals_widen_as_reused_signal_makes_them(load, tmp_path, caplog):
    """Over 150 toys, from the file on: the efficiency spreads as its interval says, which it does with groups only."""
    data = {"path": "toy.npz", "inputs": "score", "label": "y", "signal": True, "group": "source"}
    caplog.set_level("ERROR")
    widths: dict[str, list[float]] = {"groups": [], "no groups": []}
    values = []
    for seed in range(150):
        write_toy(tmp_path / "toy.npz", seed, reused=8)
        dataset = load(**data, split={"train": 0.02, "validation": 0.49, "test": 0.49})
        scores = Scores(**{name: dataset.part(name).x[:, 0].astype(float) for name in ("validation", "test")})
        for name, events in (("groups", Events.of(dataset)), ("no groups", replace(Events.of(dataset), groups=None))):
            judged = compare(events, {"": [scores]}, Target("background_efficiency", 0.2), replicas=40).means[""]
            widths[name].append((judged.signal_efficiency.high - judged.signal_efficiency.low) / 2)
        values.append(judged.signal_efficiency.value)
    spread = np.std(values, ddof=1)  # known to 6 %; the interval of Clopper and Pearson is 5 % too wide here
    assert 0.9 < np.mean(widths["groups"]) / spread < 1.3
    assert np.mean(widths["no groups"]) / spread < 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lable": "class"}, "lable"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["a", "a"]}, "inputs names a more than once"),
        ({"inputs": ["class", "length"]}, "told the answer"),
        ({"header": ["length", "widht", "class"]}, "header has no column 'width'; did you mean 'widht'"),
        ({"path": 3}, "must be the path of a file"),
        ({"path": []}, "must be the path of a file"),
        ({"shape": [3, 3]}, r"2 inputs do not fill the shape \[3, 3\]"),
        ({"shape": [0, 2]}, "greater than 0"),
        ({"split": {"train": 0.9}}, "must sum to 1; they sum to 1.3"),
        ({"split": {"seed": "1"}}, "integer"),
        ({"split_column": "use", "split": {"seed": 2}}, "leave out split"),
        ({"validation_path": "v.csv"}, "needs test_path"),
        ({"rates_khz": [10]}, "needs the rate of the background"),
        ({"rate_weights": "khz", "rate_khz": 10.0}, "leave out weights and rate_khz"),
        ({"background_efficiencies": []}, "at least one working point"),
        ({"background_efficiencies": [1.5]}, "less than 1"),
        ({"rate_khz": float("inf")}, "finite"),
        ({"rate_khz": 1e308}, "less than or equal to 1000000000000"),
        ({"rate_weights": "khz", "rates_khz": [1e-300]}, "greater than or equal to"),
        ({"signal": float("inf")}, "finite"),
        ({"split": {"seed": -1}}, "greater than or equal to 0"),
        ({"inputs": "a", "shape": [10**9, 10**9]}, "must hold at most 16,777,216 numbers"),
        ({"quantities": ["x" * 300]}, "text of 1 to 255 characters"),
        ({"quantities": ["\ud800"]}, "text of 1 to 255 characters"),
        ({"label": ""}, "text of 1 to 255 characters"),
        ({"scaling": "minmaks"}, "'none', 'standardize', 'minmax' or 'maxabs'"),
        ({"format": "xlsx"}, "'csv', 'hdf5', 'npz', 'parquet' or 'root'"),
    ],
)
def test_flaws_of_a_study(file_task, changes, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        file_task.options.model_validate({**BASIC, **changes})


def test_paths_start_at_the_study(file_task, tmp_path):
    options = file_task.options.model_validate(BASIC, context={"base": tmp_path})
    assert options.path == (tmp_path / "t.csv",)
    absolute = file_task.options.model_validate({**BASIC, "path": ["/data/t.csv"]}, context={"base": tmp_path})
    assert absolute.path == (Path("/data/t.csv"),)


@pytest.mark.parametrize("extra", [{}, {"split_column": "use"}, {"rate_khz": 5.0, "rates_khz": [1]}, {"shape": [2, 1]}])
def test_written_options_read_back(file_task, tmp_path, extra):
    options = file_task.options.model_validate({**BASIC, **extra}, context={"base": tmp_path})
    written = json.loads(json.dumps(options.model_dump(mode="json")))
    assert file_task.options.model_validate(written, context={"base": tmp_path / "elsewhere"}) == options


def test_the_data_set_does_not_depend_on_where_the_file_lies(load, table, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "t.csv").write_bytes((tmp_path / "t.csv").read_bytes())
    assert load(**{**BASIC, "path": "other/t.csv"}).sha256 == load(**BASIC).sha256


def test_progress(table, tmp_path, file_task):
    options = file_task.options.model_validate(BASIC, context={"base": tmp_path})
    with Progress(console=Console(file=io.StringIO())) as progress:
        file_task.load(options, progress=progress)
        assert progress.finished


def magic_data():
    return yaml.safe_load(STUDY.read_text(encoding="utf-8"))


def test_magic_study_on_a_file_of_the_same_form(load, tmp_path, file_task):
    study = magic_data()
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(400, 10)) * [40, 20, 0.5, 0.2, 0.1, 60, 50, 20, 26, 75]
    text = [",".join(f"{value:.4f}" for value in row) + ("," + "gh"[number % 2]) for number, row in enumerate(rows)]
    (tmp_path / study["data"]["path"]).write_text("\n".join(text) + "\n")
    assert study["task"] == "file"
    found = load(**study["data"])
    assert (len(found), found.input_shape) == (400, (10,))
    assert found.y.sum() == 200


@pytest.mark.skipif(not MAGIC.exists(), reason="the MAGIC gamma telescope data are not at ../shared/data/magic_gamma")
def test_magic(load, file_task):
    found = load(**{**magic_data()["data"], "path": str(MAGIC)})
    assert (len(found), int(found.y.sum())) == (19_020, 12_332)  # as the repository that hosts it says
    assert found.input_shape == (10,)
    assert [len(found.part(name)) for name in SPLITS] == [11_412, 3_804, 3_804]
    assert np.abs(found.x).max() < 16  # the range of the study's input quantizer
    alpha = found.part("test").x[:, found.names.index("fAlpha")]
    assert auc(-alpha, found.part("test").y) > 0.7  # the image of a gamma points to its source
