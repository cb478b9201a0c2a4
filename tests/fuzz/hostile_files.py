"""Files of data that are made to harm: that claim sizes, hold code, lead elsewhere, or hold what is no number.

Each function writes ``events.…`` to a folder and gives what the study says about it beside ``BASE``.
"""

from __future__ import annotations

import gzip
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_EVENTS = 120
BASE = {"inputs": ["a", "b"], "label": "y", "signal": 1}
"""What the study says of all these files: two inputs and a label."""

Options = dict[str, Any]


def plain_columns() -> dict[str, NDArray[Any]]:
    """Columns that would do."""
    draws = np.random.default_rng(1)
    y = np.arange(N_EVENTS) % 2
    return {"a": draws.normal(size=N_EVENTS) + y, "b": draws.normal(size=N_EVENTS), "y": y}


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """What a pickle of this runs."""
        return os.mkdir, ("MARKER",)


def odd_arrays(rng: random.Random) -> NDArray[Any]:
    """A column that is no ordinary one."""
    n = N_EVENTS
    floats = np.linspace(-1, 1, n)
    special = floats.copy()
    special[rng.randrange(n)] = rng.choice((np.nan, np.inf, -np.inf, 1e308, -1e308, 1e39, 5e-324, 1e-310))
    dates = np.datetime64("2024-01-01", "ns") + np.arange(n).astype("m8[D]")
    return rng.choice(
        (
            *(special, special, np.full(n, 1e308), np.full(n, np.nan), np.zeros(n), np.full(n, 5e-324), floats * 1e308),
            *(floats.astype(kind) for kind in ("f2", ">f8", "g", "c8", "c16", "i1", "u1", "?", "S5", "U5", "S0", "O")),
            *(np.arange(n).astype(kind) + 2**62 for kind in ("u8", "i8")),
            np.full(n, 2**64 - 1, "u8"),
            *(
                dates,
                np.arange(n).astype("m8[s]"),
                np.full(n, "NaT", "M8[s]"),
                np.full(n, "1e5"),
                np.full(n, "é\x00\u202e"),
            ),
            *(floats.reshape(shape) for shape in ((n, 1), (n, 1, 1), (n // 2, 2), (1, n), (2, n // 2))),
            *(np.zeros((n, 0)), np.zeros(0), np.array(1.0), floats[:-1], np.zeros(n, "V8"), np.zeros(n, [("a", "f8")])),
            *(np.full(n, 1 + 1j), np.array([1, "a", None, 2.5] * (n // 4), object), np.array([Payload()] * n, object)),
            *(np.array([[1.0] * (row % 3) for row in range(n)], object),),
        )
    )


def _deflated_zeros(megabytes: int) -> bytes:
    """A raw deflate stream of zeros: one compressed piece, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * megabytes + packer.flush()


def _npy_header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    encoded = text.encode("latin-1", "replace") + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", min(len(encoded), 65_535 if version[0] == 1 else 2**32 - 1))
    return b"\x93NUMPY" + bytes(version) + length + encoded


def _zip_claim(path: Path, members: dict[str, tuple[bytes, int, int]]) -> None:
    """A zip file of (stored bytes, size that is claimed, method), whatever they are."""
    content, directory = b"", b""
    for name, (packed, size, method) in members.items():
        crc, offset, encoded = 0, len(content), name.encode()
        facts = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, crc, len(packed), min(size, 2**32 - 1), len(encoded), 0)
        content += b"PK\x03\x04" + facts + encoded + packed
        directory += b"PK\x01\x02\x14\x00" + facts + struct.pack("<HHHII", 0, 0, 0, 0, offset) + encoded
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(content), 0)
    path.write_bytes(content + directory + b"PK\x05\x06" + end)


def npz_of_odd_arrays(folder: Path, rng: random.Random) -> Options:
    """Arrays of other types, lengths and shapes; objects are pickles that would make a directory."""
    columns = {**plain_columns(), rng.choice(("a", "b", "y", "unused")): odd_arrays(rng)}
    np.savez(folder / "events.npz", allow_pickle=True, **columns)
    return {"path": "events.npz"}


def npz_of_claims(folder: Path, rng: random.Random) -> Options:
    """Members whose headers claim what is not there, or what no memory holds, or are no headers."""
    n = rng.choice((10**6, 10**9, 10**12, 2**63, -1, 10**400))
    kind = rng.choice(
        ("<f8", "|O", "<U1000000", "|V0", "|S0", "<f16", "<c16", "<M8[D]", "x", "<f9", "|i99", "<f8\\x00")
    )
    headers = (
        f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({n},), }}",
        f"{{'descr': '<f8', 'fortran_order': True, 'shape': ({n}, {n}), }}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 7, }",
        "{'descr': [('a', '<f8', (1000000000,))], 'fortran_order': False, 'shape': (9,), }",
        "{'descr': '<f8'}",
        "(" * 5000,
        "-" * 5000 + "1",
        "[" * 90 + "]" * 90,
        "__import__('os').mkdir('MARKER')",
        "9" * 10_000,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 40 + "), }",
        "",
    )
    header = _npy_header(rng.choice(headers), rng.choice(((1, 0), (2, 0), (3, 0), (9, 9))))
    body = rng.choice((b"", bytes(8 * N_EVENTS), bytes(10**6)))
    with zipfile.ZipFile(folder / "events.npz", "w") as file:
        for name in ("a", "b", "y"):
            file.writestr(f"{name}.npy", header + body if name == "a" else _npy_bytes(plain_columns()[name]))
    return {"path": "events.npz"}


def npz_bomb(folder: Path, rng: random.Random) -> Options:
    """Some megabytes of zeros' zeros: an array of gigabytes, with its size told or hidden."""
    megabytes = rng.choice((500, 6000))
    n = megabytes * 10**6 // 8
    header = _npy_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n},), }}")
    start = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = start.compress(header) + start.flush(zlib.Z_FULL_FLUSH) + _deflated_zeros(megabytes)
    size = rng.choice((len(header) + 8 * n, 100))
    _zip_claim(folder / "events.npz", {f"{name}.npy": (packed, size, zipfile.ZIP_DEFLATED) for name in ("a", "b", "y")})
    return {"path": "events.npz"}


def npz_that_is_another_zip(folder: Path, rng: random.Random) -> Options:
    """Members that are no arrays, twice, in folders, encrypted, or packed in other ways."""
    path = folder / "events.npz"
    arrays = {name: _npy_bytes(column) for name, column in plain_columns().items()}
    odd = rng.randrange(7)
    method = zipfile.ZIP_LZMA if odd == 0 else zipfile.ZIP_BZIP2 if odd == 1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in arrays.items():
            member = f"../../{name}.npy" if odd == 2 else name if odd == 3 else f"{name}.npy"
            file.writestr(member, b"no array" if odd == 4 else pickle.dumps(Payload()) if odd == 5 else content)
    if odd == 6:
        _zip_claim(
            path, {f"{name}.npy": (content, len(content), rng.choice((1, 9, 99))) for name, content in arrays.items()}
        )
    return {"path": path.name}


def _npy_bytes(array: NDArray[Any]) -> bytes:
    import io

    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def npy_or_pickle(folder: Path, rng: random.Random) -> Options:
    """One array, or a pickle, with the name of another format."""
    path = folder / f"events{rng.choice(('.npz', '.h5', '.parquet', '.csv', '.root'))}"
    path.write_bytes(rng.choice((_npy_bytes(np.zeros(9)), pickle.dumps(Payload()), pickle.dumps({"a": [1]}, 0))))
    return {"path": path.name}


def csv_of_odd_text(folder: Path, rng: random.Random) -> Options:
    """Encodings, quotes, separators and numbers as others write them; rows that are too long or too short."""
    rows = [f"{0.1 * number},{number % 7},{number % 2}" for number in range(N_EVENTS)]
    odd = rng.choice(
        (
            *(
                "1,2",
                "1,2,3,4",
                '"1,2,1',
                "1;2;1",
                "1\t2\t1",
                "nan,1,1",
                "inf,1,0",
                "-inf,1,0",
                "1e999,1,0",
                "1e308,1,1",
            ),
            *(
                "0x1F,1,0",
                "1_000,1,1",
                "1.234,5,6,1",
                "٣,1,1",
                "true,1,0",
                ",,",
                "",
                "#,1,1",
                "NA,1,1",
                "1,1,",
                "1,1,nan",
            ),
            *(
                "99999999999999999999999,1,1",
                "1" * 400 + ",1,1",
                "5e-324,1,1",
                "2024-01-01,1,1",
                "a\x00b,1,1",
                "12:30:00,1,1",
            ),
            *(
                "=cmd|' /C calc'!A0,1,1",
                "<script>,1,1",
                "\u202e1,1,1",
                '"a\nb",1,1',
                "1,1," + "y" * 10**5,
                "x" * 10**6 + ",1,1",
            ),
        )
    )
    for _ in range(rng.choice((1, 1, N_EVENTS))):
        rows.insert(rng.randrange(len(rows)), odd)
    headers = (
        "a,b,y",
        "a,b,y",
        "a,b,y",
        "a,b,y",
        "a,b,y,y",
        "a,a,y",
        ",b,y",
        "a,b",
        "é,b,y",
        " a,b,y",
        '"a",b,y',
        "a;b;y",
        "",
    )
    text = "\n".join([rng.choice(headers), *rows, ""])
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "latin-1", "utf-16", "utf-8-sig", "utf-32"))
    (folder / "events.csv").write_bytes(text.encode(encoding, "replace"))
    return {"path": "events.csv"}


def csv_without_end(folder: Path, rng: random.Random) -> Options:
    """Very many columns, or a small packed file with rows for gigabytes."""
    if rng.random() < 0.5:
        n = rng.choice((1000, 100_000))
        names = ",".join(f"c{number}" for number in range(n))
        (folder / "events.csv").write_text(f"a,b,y,{names}\n" + "1,2,1," + ",".join(["0"] * n) + "\n", encoding="utf-8")
        return {"path": "events.csv"}
    piece = gzip.compress(b"0.5,0.25,1\n" * 1_000_000, 1)
    (folder / "events.csv.gz").write_bytes(gzip.compress(b"a,b,y\n") + piece * rng.choice((1, 300)))
    return {"path": "events.csv.gz", "format": "csv"}


def parquet_of_odd_types(folder: Path, rng: random.Random) -> Options:
    """Every type of Arrow that is no plain number, nothing among values, and a column twice."""
    import decimal

    import pyarrow as pa
    from pyarrow import parquet

    n = N_EVENTS
    floats = [0.5 * row for row in range(n)]
    columns = {name: pa.array(column) for name, column in plain_columns().items()}
    odd = rng.choice(
        (
            *(pa.array([decimal.Decimal(row) / 4 for row in range(n)]), pa.array(floats).dictionary_encode()),
            *(pa.array([[value] for value in floats]), pa.array([[1.0] * (row % 3) for row in range(n)])),
            *(pa.array([[value] for value in floats], pa.list_(pa.float64(), 1)), pa.array([{"x": 1.0}] * n)),
            *(pa.nulls(n), pa.nulls(n, pa.float64())),
            *(
                pa.array([None, *floats[1:]]),
                pa.array([b"\xff\xfe"] * n),
                pa.array(["é"] * n),
                pa.array([True, False] * (n // 2)),
            ),
            *(pa.array(list(range(n)), pa.timestamp("ns")), pa.array(list(range(n)), pa.date32())),
            *(pa.array(list(range(n)), pa.time64("us")), pa.array(list(range(n)), pa.duration("s"))),
            *(
                pa.array(np.arange(n, dtype="f2")),
                pa.array([2**64 - 1] * n, pa.uint64()),
                pa.array([[("k", 1.0)]] * n, pa.map_(pa.string(), pa.float64())),
            ),
            *(pa.array([float("nan"), *floats[1:]]), pa.array([1e308] * n), pa.array([[[value]] for value in floats])),
        )
    )
    columns[rng.choice(("a", "b", "y", "unused"))] = odd
    rows = rng.choice((n, n, n, 0, 1))
    names, arrays = list(columns), [array[:rows] for array in columns.values()]
    if rng.random() < 0.15:
        names, arrays = [*names, rng.choice(names)], [*arrays, arrays[0]]
    table = pa.Table.from_arrays(arrays, names=names)
    with parquet.ParquetWriter(folder / "events.parquet", table.schema) as writer:
        writer.write_table(table)
    return {"path": "events.parquet"}


def parquet_bomb(folder: Path, rng: random.Random) -> Options:
    """The same value some million times, in a few kilobytes."""
    import pyarrow as pa
    from pyarrow import parquet

    column = pa.array(np.zeros(1_000_000)).dictionary_encode()
    table = pa.table(dict.fromkeys(("a", "b", "y"), column))
    with parquet.ParquetWriter(folder / "events.parquet", table.schema, compression="zstd") as writer:
        for _ in range(rng.choice((3, 12))):
            writer.write_table(table, row_group_size=10**6)
    return {"path": "events.parquet"}


def hdf5_of_odd_arrays(folder: Path, rng: random.Random) -> Options:
    """Types, texts and structures that are no numbers; what leads elsewhere, or to itself."""
    import h5py

    n, path = N_EVENTS, folder / "events.h5"
    columns = plain_columns()
    name = rng.choice(("a", "b", "y"))
    normal = columns.pop(name)
    with h5py.File(path, "w") as file:
        for other, column in columns.items():
            file[other] = column
        what = rng.randrange(17)
        if what == 0:
            file.create_dataset(name, data=[b"\xff\xfe"] * n, dtype=h5py.string_dtype())
        elif what == 1:
            file.create_dataset(name, data=np.array([b"\xff\xfe"] * n))
        elif what == 2:
            file.create_dataset(name, (n,), h5py.vlen_dtype(np.float64))
        elif what == 3:
            file.create_dataset(name, (n,), h5py.ref_dtype)
        elif what == 4:
            file.create_dataset(name, data=normal.astype("i1") % 2, dtype=h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
        elif what == 5:
            file.create_dataset(name, (n,), np.dtype("V7"))
        elif what == 6:
            file[name] = h5py.Empty("f8")
        elif what == 7:
            file[name] = h5py.ExternalLink(
                rng.choice(("missing.h5", "/etc/passwd", "/dev/zero", path.name)), f"/{name}"
            )
        elif what == 8:
            file[name] = h5py.SoftLink(rng.choice((f"/{name}", "/nothing", "/")))
        elif what == 9:
            storage = rng.choice(("/etc/hostname", "/dev/zero", "missing", str(path), "MARKER"))
            file.create_dataset(name, (n,), "f8", external=[(storage, 0, 8 * n)])
        elif what == 10:
            layout = h5py.VirtualLayout((n,), "f8")
            layout[:] = h5py.VirtualSource(rng.choice((".", "missing.h5", path.name)), name, (n,))
            file.create_virtual_dataset(name, layout)
        elif what == 11:
            file.create_dataset(name, (rng.choice((10**8, 10**10, 10**13)),), "f8", chunks=(1000,))
        elif what == 12:
            file.create_dataset(name, data=normal, scaleoffset=2, fletcher32=True)
        elif what == 13:
            file.create_dataset(name, (n,), np.dtype([("x", "f8", (3,)), ("y", [("z", "i4")])]))
        elif what == 14:
            file[name + "/" * rng.choice((1, 2)) + "deep/" * rng.choice((1, 900)) + "x"] = normal
        elif what == 15:
            file.create_dataset(b"\xff\xfe", data=normal)
        else:
            array = odd_arrays(rng)
            if array.dtype.kind not in "OUMm" and array.dtype != np.dtype("S0"):
                file[name] = array
    return {"path": path.name}


def hdf5_of_compounds(folder: Path, rng: random.Random) -> Options:
    """A compound array, a group, or what is neither, named as the table."""
    import h5py

    columns = plain_columns()
    rows = np.empty(N_EVENTS, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    with h5py.File(folder / "events.h5", "w") as file:
        file["group/rows"] = rng.choice((rows, rows.reshape(2, -1), rows[:0], np.array(rows[0])))
        file["group/other"] = np.arange(3)
    return {
        "path": "events.h5",
        "table": rng.choice(("group/rows", "group", "/", "", "nothing", "group/other", "../x", "group/rows/a", ".")),
    }


def root_of_odd_branches(folder: Path, rng: random.Random) -> Options:
    """Branches of lists and texts, several trees, a histogram in place of a tree, no events."""
    import awkward as ak
    import uproot

    columns: dict[str, Any] = dict(plain_columns())
    odd = rng.choice(
        (
            *(ak.Array([[1.0] * (row % 3) for row in range(N_EVENTS)]), np.full(N_EVENTS, np.nan)),
            *(
                np.arange(N_EVENTS) % 2 == 0,
                np.zeros((N_EVENTS, 3)),
                np.full(N_EVENTS, 1e308),
                np.arange(N_EVENTS).astype("u8"),
            ),
        )
    )
    columns[rng.choice(("a", "b", "y", "unused"))] = odd
    with uproot.recreate(folder / "events.root") as file:
        what = rng.randrange(5)
        if what == 0:
            file["histogram"] = np.histogram(np.arange(9.0))
        elif what == 1:
            file["folder/tree"] = columns
        elif what == 2:
            file["tree"] = {name: column[:0] for name, column in columns.items()}
        else:
            file["tree"] = columns
        if rng.random() < 0.2:
            file["tree2"] = {"x": np.arange(3)}
    return {
        "path": "events.root",
        **rng.choice(({}, {}, {"table": "tree"}, {"table": "nothing"}, {"table": "folder/tree"})),
    }


def no_file(folder: Path, rng: random.Random) -> Options:
    """A path that leads to no file, to one without end, or around in circles."""
    path = folder / "events.csv"
    what = rng.randrange(8)
    if what == 0:
        path.mkdir()
    elif what == 1:
        os.mkfifo(path)
    elif what == 2:
        path.symlink_to(path)
    elif what == 3:
        path.symlink_to("/dev/zero")
    elif what == 4:
        path.touch(mode=0o000)
    kinds = ("csv", "npz", "hdf5", "parquet", "root")
    if what > 4:
        names = (
            "/dev/zero",
            "/dev/stdin",
            "/proc/self/mem",
            "/dev/full",
            "/dev/null",
            "/proc/self/environ",
            "a/b",
            "~/x",
        )
        return {"path": rng.choice(names), "format": rng.choice(kinds)}
    return {"path": path.name, "format": rng.choice(kinds)}


def the_same_twice(folder: Path, rng: random.Random) -> Options:
    """One file for training and testing, or twice, by other names."""
    rows = "\n".join(
        ",".join(map(repr, row)) for row in zip(*(c.tolist() for c in plain_columns().values()), strict=True)
    )
    (folder / "events.csv").write_text(f"a,b,y\n{rows}\n", encoding="utf-8")
    (folder / "link.csv").symlink_to("events.csv")
    (folder / "copy.csv").write_bytes((folder / "events.csv").read_bytes())
    other = rng.choice(("events.csv", "link.csv", "copy.csv", "../case/events.csv", "./events.csv"))
    return rng.choice(({"path": ["events.csv", other]}, {"path": "events.csv", "test_path": other}))


HOSTILE_FILES: tuple[Callable[[Path, random.Random], Options], ...] = (
    *(npz_of_odd_arrays, npz_of_claims, npz_bomb, npz_that_is_another_zip, npy_or_pickle),
    *(csv_of_odd_text, csv_of_odd_text, csv_without_end, parquet_of_odd_types, parquet_of_odd_types, parquet_bomb),
    *(hdf5_of_odd_arrays, hdf5_of_odd_arrays, hdf5_of_compounds, root_of_odd_branches, no_file, the_same_twice),
)
