"""What is saved comes back; every format that users bring is read the same way; every flaw has a message that helps."""

from __future__ import annotations

import decimal
import io
import os
import random
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from fpgaml import data_files, memory
from fpgaml.data_files import FORMATS, LARGEST, file_format, load_dataset, numbers, read_columns, save_dataset
from fpgaml.dataset import Dataset
from fpgaml.errors import DataError, FpgamlError, OutputError, ToolError

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
        quantities={
            "ht_gev": rng.uniform(size=N),
            "m4b_gev": np.where(rng.random(N) < 0.5, np.nan, 1.0),
            **{name: rng.uniform(size=N) for name in ("..", "a/b", "a.b", "a%2Fb", "n\0ul", "η [–]")},
        },
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


def npy(values, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(values), **options)
    return file.getvalue()


def npy_head(shape, descr="<f8"):
    """The head of an array without its content."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue()


def npz(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, options in arrays.items():
            file.create_dataset(name, **options)


def parquet(path, **columns):
    pa.parquet.write_table(pa.table(columns), path)


def ragged_root(path):
    import awkward as ak

    with uproot.recreate(path) as file:
        file.mktree("tree", {"x": "var * float64"})
        file["tree"].extend({"x": ak.Array([[1.0], [1.0, 2.0]])})


NEEDS = "needs [0-9,.e+]+ GB of memory, [0-9,.e+]+ GB are free"

HOSTILE = {
    "latin-1 header": ("t.csv", lambda path: path.write_bytes(b"x,\xe9\n1,2\n"), "first line is not UTF-8"),
    "latin-1 text": ("t.csv", lambda path: path.write_bytes(b"x,y\n\xe9,2\n"), "text in column 'x' is not UTF-8"),
    "UTF-16": ("t.csv", lambda path: path.write_bytes("x,y\n1,2\n".encode("utf-16")), "is UTF-16"),
    "gzip": ("t.csv", lambda path: path.write_bytes(b"\x1f\x8b\x08"), "compressed by gzip"),
    "an enormous field": ("t.csv", lambda path: path.write_bytes(b"x\n" + b"1" * 2**22), "longer than 1,048,576 bytes"),
    "an enormous head": (
        "t.csv",
        lambda path: path.write_bytes(b"x" * 2**22 + b"\n1\n"),
        "longer than 1,048,576 bytes",
    ),
    "no npy": ("t.npz", lambda path: npz(path, x=b"hello"), "'x' in it is no array of numpy's"),
    "an empty npy": ("t.npz", lambda path: npz(path, x=b""), "'x' in it is no array of numpy's"),
    "npy of another version": (
        "t.npz",
        lambda path: npz(path, x=b"\x93NUMPY\x03\x00" + npy([1.0])[8:]),
        "'x' in it is of version 3.0 of numpy's format; 1.0 and 2.0 are read",
    ),
    "a call in an npy": (
        "t.npz",
        lambda path: npz(path, x=npy([1.0]).replace(b"False", b"f()  ")),
        "'x' in it is no array of numpy's: malformed node or string on line 1$",
    ),
    "no tree": ("t.root", lambda path: uproot.recreate(path).close(), "holds no tree"),
    "objects": ("t.npz", lambda path: npz(path, x=npy([{}], allow_pickle=True)), "'x' holds Python objects"),
    "npz claim": (
        "t.npz",
        lambda path: npz(path, x=npy_head((10**12,))),
        "8,000,000,000,000 bytes.*has 0: it is damaged",
    ),
    "npz overflow": ("t.npz", lambda path: npz(path, x=npy_head((2**62, 2**62))), "has 0: it is damaged"),
    "npz negative": ("t.npz", lambda path: npz(path, x=npy_head((-2, -4)) + bytes(8)), "damaged"),
    "npz scalar": ("t.npz", lambda path: npz(path, x=npy(3.0)), "'x' is a single value"),
    "bytes": ("t.npz", lambda path: npz(path, x=npy(np.array([b"\xff"]))), "text in column 'x' is not UTF-8"),
    "HDF5 claim": (
        "t.h5",
        lambda path: hdf5(path, x={"shape": (10**12,), "chunks": (10**6,), "dtype": "f8"}),
        rf"'x', float64 of shape \(1000000000000,\), {NEEDS}",
    ),
    "HDF5 text": ("t.h5", lambda path: hdf5(path, x={"data": np.array([b"\xff"])}), "text in column 'x' is not UTF-8"),
    "HDF5 long text": (
        "t.h5",
        lambda path: hdf5(path, x={"data": [b"\xff"], "dtype": h5py.string_dtype()}),
        "text in column 'x' is not UTF-8",
    ),
    "HDF5 lists": ("t.h5", lambda path: hdf5(path, x={"shape": (3,), "dtype": h5py.vlen_dtype("f8")}), "not values"),
    "HDF5 elsewhere": (
        "t.h5",
        lambda path: hdf5(path, x={"shape": (3,), "dtype": "f8", "external": [("/dev/zero", 0, 24)]}),
        "lie in other files",
    ),
    "a column twice": (
        "t.parquet",
        lambda path: pa.parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"]), path),
        "'x' stands there 2 times",
    ),
    "parquet records": ("t.parquet", lambda path: parquet(path, x=[{"y": 1}]), r"'x' holds struct<y: int64>"),
    "parquet bytes": ("t.parquet", lambda path: parquet(path, x=[b"\xff"]), "text in column 'x' is not UTF-8"),
    "ragged ROOT": ("t.root", ragged_root, "'x' does not hold numbers"),
}


def is_decent(message, path):
    return str(path) in message and len(message) <= 500 and message.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name(name, tmp_path):
    file_name, make, message = HOSTILE[name]
    make(tmp_path / file_name)
    with pytest.raises(DataError, match=message) as error:
        read_columns(tmp_path / file_name, ["x"])
    assert is_decent(str(error.value), tmp_path / file_name)


def test_nothing_of_a_file_is_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    npz(tmp_path / "t.npz", x=npy(np.array([Harm()], object), allow_pickle=True), y=npy([1.0]))
    with pytest.raises(DataError, match="Python objects"):
        read_columns(tmp_path / "t.npz")
    assert read_columns(tmp_path / "t.npz", ["y"])["y"].tolist() == [1.0]
    name = f"__import__('os').mkdir('{tmp_path / 'harm'}')"
    with uproot.recreate(tmp_path / "t.root") as file:
        file.mktree("tree", {"y": np.float64})
        file["tree"].extend({"y": np.ones(2)})
    with pytest.raises(DataError, match="no column"):
        read_columns(tmp_path / "t.root", [name])
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_claimed_is_compared_with_memory_first(kind, tmp_path, monkeypatch):
    path = tmp_path / f"t.{suffix(kind)}"
    write(path, kind, {"x": np.zeros(100_000), "y": np.zeros(100_000)})
    assert len(read_columns(path, ["x"])["x"]) == 100_000
    monkeypatch.setattr(memory, "free_memory", lambda: 700_000)
    with pytest.raises(DataError, match=NEEDS) as error:
        read_columns(path, ["x"])
    assert is_decent(str(error.value), path)
    assert kind == "csv" or "'x'" in str(error.value)


def test_columns_of_a_csv_file_take_memory_however_short(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(",".join(f"c{number}" for number in range(300)) + "\n" + "1," * 299 + "1\n")
    assert read_columns(tmp_path / "t.csv", ["c7"])["c7"].tolist() == [1]
    monkeypatch.setattr(memory, "free_memory", lambda: 2_000_000)
    with pytest.raises(DataError, match=NEEDS):
        read_columns(tmp_path / "t.csv", ["c7"])


def test_columns_that_nobody_wants_may_be_anything(tmp_path):
    npz(tmp_path / "t.npz", x=npy([1.0]), y=b"junk", **{"../../z": npy([2.0])})
    assert read_columns(tmp_path / "t.npz", ["x"])["x"].tolist() == [1.0]
    columns = [pa.array([1.0]), pa.array([2]), pa.array([3]), pa.array([{"a": 1}])]
    pa.parquet.write_table(pa.Table.from_arrays(columns, ["x", "y", "y", "z"]), tmp_path / "t.parquet")
    assert read_columns(tmp_path / "t.parquet", ["x"])["x"].tolist() == [1.0]


def test_a_compressed_claim_beyond_the_limit_of_memory_is_refused(tmp_path):
    """With the process's real limit: 40 KiB that unpack to 40 MB, where 20 MB more are allowed."""
    npz(tmp_path / "t.npz", zipfile.ZIP_DEFLATED, x=npy(np.zeros(5_000_000)))
    program = """
import resource, sys
from pathlib import Path
import psutil
from fpgaml.data_files import read_columns
from fpgaml.errors import DataError
limit = psutil.Process().memory_info().vms + 20_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    read_columns(Path(sys.argv[1]), ["x"])
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "t.npz"], capture_output=True, text=True, check=True
    )
    assert f"{tmp_path / 't.npz'}: 'x', float64 of shape (5000000,), needs 0.04 GB" in done.stdout


def test_texts_of_varying_length(tmp_path, monkeypatch):
    path, texts = tmp_path / "t.h5", ["g", "é", "", "\x1b", "long" * 100]
    rows = np.array(list(enumerate(texts)), [("n", "f8"), ("text", h5py.string_dtype())])
    hdf5(path, text={"data": texts}, square={"data": [texts, texts]}, rows={"data": rows})
    found = read_columns(path, ["text"])["text"]
    assert found.tolist() == texts
    assert read_columns(path, ["square"])["square"].tolist() == [texts, texts]
    in_rows = read_columns(path, table="rows")
    assert in_rows["text"].tolist() == texts
    assert in_rows["n"].tolist() == [0, 1, 2, 3, 4]
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)  # an object without a size: HDF5 walks on the spot
    path.write_bytes(content)
    monkeypatch.setattr(data_files, "TEXT_SECONDS", 1)
    with pytest.raises(
        DataError, match="cannot be read as HDF5: the text in 'text' is damaged: reading it does not end"
    ):
        read_columns(path, ["text"])


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    expected = {
        "pipe.csv": "a pipe, a socket or a device",
        "zero.npz": "a pipe, a socket or a device",
        "loop.h5": "cannot be read: Too many levels",
        "x" * 300 + ".csv": "cannot be read: File name too long",
        "nul\0.csv": r"nul\\x00.csv: no file can have this name",
        "line\n\u202e.csv": r"line\\n\\u202e.csv: no such file",
    }
    for name, message in expected.items():
        with pytest.raises(DataError, match=message) as error:
            read_columns(tmp_path / name)
        assert len(str(error.value)) <= 500
        assert str(error.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n")
    path.chmod(0)
    with pytest.raises(DataError, match=r"t\.csv: cannot be read: Permission denied"):
        read_columns(path)


def test_decimals_bytes_and_dictionaries_of_parquet(tmp_path):
    parquet(
        tmp_path / "t.parquet",
        x=[decimal.Decimal("1.25"), None],
        y=[b"\xc3\xa9", None],
        z=pa.array(["g", None]).dictionary_encode(),
        n=pa.array([3, 4]).dictionary_encode(),
    )
    found = read_columns(tmp_path / "t.parquet")
    assert np.array_equal(found["x"], [1.25, np.nan], equal_nan=True)
    assert found["y"].tolist() == ["é", None]
    assert found["z"].tolist() == ["g", None]
    assert found["n"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.ones(3) * 1j, "they are complex. Give real and imaginary part"),
        (np.zeros(3, "M8[s]"), "they are dates"),
        (np.zeros(3, "m8[s]"), "they are time differences"),
        (np.zeros(3, [("a", "f8")]), "records of several values"),
        (np.array(["1", "2"]), "the numbers are stored as text"),
        (np.array([1.0, 1e308, 2.0]), r"'x' holds 1e\+308 in row 1 .*beyond ±3.4e\+38"),
        (np.array([[1.0, 2.0], [np.nan, -1e39]]), r"'x' holds -1e\+39 in row 1"),
        (np.array([np.longdouble("1e4000")]), "NaN, infinity"),
    ],
)
def test_what_is_no_usable_number(column, message):
    with pytest.raises(DataError, match=message):
        numbers({"x": column}, ["x"], where="t.npz", finite=column.ndim == 1)


def test_numbers_at_the_edge():
    column = np.array([LARGEST, -LARGEST, 5e-324, 0.0])
    assert np.array_equal(numbers({"x": column}, ["x"], where="t.npz")["x"], column)
    whole = np.array([2**53 + 1, 2**64 - 1], np.uint64)
    assert numbers({"x": whole}, ["x"], where="t.npz")["x"].tolist() == [2.0**53, 2.0**64]
    assert numbers({"x": np.array([True, False])}, ["x"], where="t.npz")["x"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_read_or_refused_by_name(kind, tmp_path):
    """Cut short, or with bits flipped: whatever the packages raise is an error for people."""
    path = tmp_path / f"t.{suffix(kind)}"
    write(path, kind, {name: column for name, column in TABLE.items() if kind != "root" or name != "kind"})
    whole, generator = path.read_bytes(), random.Random(7)
    outcomes = []
    for _ in range(30):
        content = bytearray(whole)
        if generator.random() < 0.4:
            content = content[: generator.randrange(1, len(content))]
        for _ in range(generator.choice([0, 1, 8])):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        told = None
        try:
            read_columns(path, ["pt", "n_hits"])
        except FpgamlError as error:
            told = str(error)
        outcomes.append(told)
    messages = list(filter(None, outcomes))
    assert messages
    assert all(is_decent(message, path) for message in messages)
