"""What is saved comes back; every format that users bring is read the same way; every flaw has a message that helps."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from fpgaml.data_files import FORMATS, file_format, load_dataset, numbers, read_columns, save_dataset
from fpgaml.dataset import Dataset
from fpgaml.errors import DataError, OutputError, ToolError

N = 40


def full_dataset() -> Dataset:
    rng = np.random.default_rng(4)
    return Dataset(
        x=rng.normal(size=(N, 4, 3, 1)).astype(np.float32),
        y=rng.integers(0, 2, N),
        split=rng.integers(0, 3, N).astype(np.int8),
        weights=rng.uniform(size=N),
        training_weights=rng.uniform(size=N),
        groups=rng.integers(0, 9, N),
        quantities={"ht_gev": rng.uniform(size=N), "m4b_gev": np.where(rng.random(N) < 0.5, np.nan, 1.0)},
        names=("a", "η"),
        rate_khz=30_976.0,
        metadata={"seed": 1, "nested": {"list": [1, 2.5, None, "x"], "long": "y" * 100_000}},
    )


@pytest.mark.parametrize(
    "dataset",
    [full_dataset(), Dataset(x=np.zeros((1, 2), np.float32), y=np.zeros(1, np.int64), split=np.zeros(1, np.int8))],
    ids=["everything", "bare minimum"],
)
def test_round_trip(dataset, tmp_path):
    save_dataset(dataset, tmp_path / "new" / "data.h5")
    found = load_dataset(tmp_path / "new" / "data.h5")
    assert found.sha256 == dataset.sha256
    assert found.columns().keys() == dataset.columns().keys()
    for name, column in dataset.columns().items():
        assert found.columns()[name].dtype == column.dtype
        assert np.array_equal(found.columns()[name], column, equal_nan=column.dtype.kind == "f")
    assert (found.names, found.rate_khz) == (dataset.names, dataset.rate_khz)
    assert dict(found.metadata) == dict(dataset.metadata)


def test_same_data_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        save_dataset(full_dataset(), tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_changed_content_is_noticed(tmp_path):
    path = tmp_path / "data.h5"
    save_dataset(full_dataset(), path)
    with h5py.File(path, "r+") as file:
        file["weights"][3] += 1e-9
    with pytest.raises(DataError, match="hash"):
        load_dataset(path)


def test_what_is_no_dataset(tmp_path):
    path = tmp_path / "data.h5"
    with pytest.raises(DataError, match="no such file"):
        load_dataset(path)
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(DataError, match="task `file`"):
        load_dataset(path)
    save_dataset(full_dataset(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(path)


def test_saving_where_nothing_can_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        save_dataset(full_dataset(), tmp_path / "file" / "data.h5")


TABLE = {
    "pt": np.linspace(1.0, 9.0, N),
    "n_hits": np.arange(N) % 7,
    "kind": np.array(["gamma", "hadron"])[np.arange(N) % 2],
}


def write(path, kind, table):
    """One table as a user might have written it."""
    if kind == "csv":
        lines = [",".join(table)] + [",".join(str(value) for value in row) for row in zip(*table.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n")
    elif kind == "parquet":
        pa.parquet.write_table(pa.table({name: list(column) for name, column in table.items()}), path)
    elif kind == "npz":
        np.savez(path, **table)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, column in table.items():
                file[name] = column.astype("S") if column.dtype.kind == "U" else column
            file["made_by"] = "a scalar that is no column"
    else:
        with uproot.recreate(path) as file:
            numeric = {name: column for name, column in table.items() if column.dtype.kind != "U"}
            file.mktree("events", {name: (column.dtype, column.shape[1:]) for name, column in numeric.items()})
            file["events"].extend(numeric)


def suffix(kind):
    return {"hdf5": "h5"}.get(kind, kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_columns(kind, tmp_path):
    path = tmp_path / f"table.{suffix(kind)}"
    table = {name: column for name, column in TABLE.items() if kind != "root" or name != "kind"}
    write(path, kind, table)
    found = read_columns(path)
    assert found.keys() == table.keys()
    for name, column in table.items():
        assert np.array_equal(found[name].astype(column.dtype), column)
    assert list(read_columns(path, ["n_hits", "pt", "n_hits"])) == ["n_hits", "pt"]
    other = tmp_path / "table.dat"
    path.rename(other)
    assert np.array_equal(read_columns(other, ["pt"], format=kind)["pt"], TABLE["pt"])


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "csv"])
def test_arrays_with_a_shape(kind, tmp_path):
    path = tmp_path / f"table.{suffix(kind)}"
    image = np.arange(N * 6, dtype=np.float32).reshape(N, 6)
    write(path, kind, {"image": image, "pt": TABLE["pt"]})
    assert np.array_equal(read_columns(path, ["image"])["image"], image)


@pytest.mark.parametrize("kind", FORMATS)
def test_flaws_that_every_format_can_have(kind, tmp_path):
    path = tmp_path / f"table.{suffix(kind)}"
    with pytest.raises(DataError, match="no such file"):
        read_columns(path)
    path.touch()
    with pytest.raises(DataError, match="is empty"):
        read_columns(path)
    path.write_bytes(b'"\xff\x00 neither this nor that\n1,2,3\n4')
    with pytest.raises(DataError, match="cannot be read as"):
        read_columns(path)
    write(path, kind, TABLE)
    with pytest.raises(DataError, match="did you mean 'n_hits'") as error:
        read_columns(path, ["pt", "n_hit"])
    assert "Allowed: " in str(error.value)
    write(path, kind, {name: column[:0] for name, column in TABLE.items() if name != "kind"})
    with pytest.raises(DataError, match="no events"):
        read_columns(path)
    with pytest.raises(DataError, match="a directory"):
        read_columns(tmp_path, format=kind)


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "table.root"
    write(path, "root", TABLE)
    monkeypatch.setitem(sys.modules, "uproot", None)  # import raises ModuleNotFoundError
    with pytest.raises(ToolError, match=r"uproot.*pip install 'fpgaml\[root\]'"):
        read_columns(path)


def test_nearest_file_is_suggested(tmp_path):
    write(tmp_path / "magic.csv", "csv", TABLE)
    with pytest.raises(DataError, match=r"did you mean 'magic\.csv'"):
        read_columns(tmp_path / "magik.csv")


def test_unknown_extension_and_format(tmp_path):
    assert file_format(tmp_path / "DATA.H5") == "hdf5"
    with pytest.raises(DataError, match=r"'\.dat' does not tell.*give `format`"):
        file_format(tmp_path / "magic.dat")
    with pytest.raises(DataError, match="did you mean 'parquet'"):
        file_format(tmp_path / "magic.dat", "parket")


def test_csv_without_a_header_line(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("1.5,g\n2.5,h\n")
    found = read_columns(path, ["size", "class"], header=("size", "class"))
    assert found["size"].tolist() == [1.5, 2.5]
    assert found["class"].tolist() == ["g", "h"]
    with pytest.raises(DataError, match=r"first line, '1\.5,g'.*`header`"):
        read_columns(path, ["size"])
    with pytest.raises(DataError, match="`header` names 3 columns"):
        read_columns(path, ["size"], header=("size", "width", "class"))
    path.write_text("1,1\n2,3\n")
    with pytest.raises(DataError, match="names 1 twice"):
        read_columns(path)


def test_options_for_other_formats(tmp_path):
    for kind in ("npz", "hdf5"):
        write(tmp_path / f"t.{suffix(kind)}", kind, TABLE)
    with pytest.raises(DataError, match="csv files without a header"):
        read_columns(tmp_path / "t.npz", header=("a",))
    with pytest.raises(DataError, match="`table` means nothing"):
        read_columns(tmp_path / "t.npz", table="events")
    with pytest.raises(DataError, match="no group or array 'event'"):
        read_columns(tmp_path / "t.h5", table="event")
    with pytest.raises(DataError, match="without named columns"):
        read_columns(tmp_path / "t.h5", table="pt")


def test_hdf5_groups_and_compound_arrays(tmp_path):
    path = tmp_path / "t.h5"
    rows = np.array([(1.0, b"g"), (2.0, b"h")], dtype=[("pt", "f8"), ("class", "S1")])
    with h5py.File(path, "w") as file:
        file["jets"] = rows
    only = read_columns(path, ["class", "pt"])  # the only array: no need to name it
    assert only["class"].tolist() == ["g", "h"]
    with h5py.File(path, "a") as file:
        file["deep/er/pt"] = [5.0, 6.0, 7.0]
    assert read_columns(path, table="/jets")["pt"].tolist() == [1.0, 2.0]
    assert read_columns(path, ["er/pt"], table="deep")["er/pt"].tolist() == [5.0, 6.0, 7.0]
    assert read_columns(path, ["deep/er/pt"])["deep/er/pt"].tolist() == [5.0, 6.0, 7.0]
    with pytest.raises(DataError, match="different lengths"):
        read_columns(path)


def test_root_trees(tmp_path):
    path = tmp_path / "t.root"
    with uproot.recreate(path) as file:
        for name in ("signal", "background"):
            file.mktree(name, {"pt": np.float64})
            file[name].extend({"pt": np.array([1.0, 2.0])})
    assert read_columns(path, table="signal")["pt"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="2 trees; say which one in `table`: background, signal"):
        read_columns(path)
    with pytest.raises(DataError, match="did you mean 'signal'"):
        read_columns(path, table="signl")


def test_npz_that_would_need_pickle(tmp_path):
    np.savez(tmp_path / "t.npz", kind=np.array(["a", None], object))
    with pytest.raises(DataError, match="cannot be read as npz"):
        read_columns(tmp_path / "t.npz")
    np.save(tmp_path / "t.npy", np.zeros(3))
    with pytest.raises(DataError, match="without a name"):
        read_columns(tmp_path / "t.npy", format="npz")


def test_numbers():
    columns = {
        "whole": np.arange(4),
        "flag": np.array([True, False, True, False]),
        "holes": np.array([0.0, np.nan, np.inf, 1.0]),
        "more": np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, -np.inf]]),
        "text": np.array([1.0, 2.0, "?", 4.0], object),
        "digits": np.array(["1", "2", "3", "4"]),
        "jagged": np.array([np.zeros(2), np.zeros(3), None, None], object),
    }
    found = numbers(columns, ["whole", "flag"], where="t.csv")
    assert [column.dtype for column in found.values()] == [np.float64, np.float64]
    assert found["flag"].tolist() == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(DataError, match=r"t\.csv: 3 of 4 rows hold NaN.*'holes', 'more'; the first is row 1.*Remove"):
        numbers(columns, ["whole", "holes", "more"], where="t.csv")
    assert np.isnan(numbers(columns, ["holes"], where="t.csv", finite=False)["holes"][1])
    with pytest.raises(DataError, match=r"'text' does not hold numbers: row 2 .* is '\?'"):
        numbers(columns, ["text"], where="t.csv")
    with pytest.raises(DataError, match="stored as text"):
        numbers(columns, ["digits"], where="t.csv")
    with pytest.raises(DataError, match="whose length varies"):
        numbers(columns, ["jagged"], where="t.csv")


def test_holes_in_csv_become_nan(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n,3\n5,nan\n")
    with pytest.raises(DataError, match="2 of 3 rows hold NaN, infinity or nothing in 'a', 'b'; the first is row 1"):
        numbers(read_columns(path), ["a", "b"], where="t.csv")
