"""Valid tables of events, what a study says about them, and the files that hold them."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
ODD_NAMES = (
    "x/../../../../MARKER",
    "a/b",
    "<script>alert(1)</script>",
    "|a|",
    "a b",
    "é",
    "日本",
    "a\tb",
    "'",
    '"',
    "$a",
    "a,b",
    "=1+1",
    "..",
    "%s",
    "{0}",
    "\\n",
    "a" * 200,
    "\u202eabc",
    "\x1b[31m",
    "#a",
    "-a",
    "",
)
SUFFIXES = {
    "csv": (".csv",),
    "hdf5": (".h5", ".hdf5"),
    "npz": (".npz",),
    "parquet": (".parquet", ".pq"),
    "root": (".root",),
}


@dataclass(frozen=True)
class Table:
    """Columns of events and what a study says about them.

    Parameters
    ----------
    columns : mapping of str to array
        All of the same length.
    options : mapping
        The keys under ``data:``, without those that the file's format decides.
    """

    columns: Mapping[str, NDArray[Any]]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return len(next(iter(self.columns.values())))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one event's inputs."""
        return tuple(self.options.get("shape") or (len(self.options["inputs"]),))


def random_table(rng: random.Random, *, arrays: bool, odd_names: float = 0.0) -> Table:
    """Events of two classes, at least 20 of each, and what a study says about them.

    Parameters
    ----------
    rng : random.Random
    arrays : bool
        Whether the inputs may be one column of arrays.
    odd_names : float
        Probability of each column to have a name that is nothing for files, pages and programs.
    """
    draws = np.random.default_rng(rng.randrange(2**32))
    n_events = rng.randint(80, 250)
    signal = draws.permutation(np.arange(n_events) % rng.choice((2, 3)) == 0)
    columns: dict[str, NDArray[Any]] = {}
    options: dict[str, Any] = {}
    names = iter(_names(rng, odd_names))
    if arrays and rng.random() < 0.4:
        shape = tuple(rng.randint(1, 6) for _ in range(rng.randint(1, 3)))
        options |= {"inputs": next(names), "shape": list(shape)}
        columns[options["inputs"]] = (
            draws.normal(size=(n_events, *shape)) + signal.reshape(-1, *[1] * len(shape))
        ).astype(np.float32)
    else:
        options["inputs"] = [next(names) for _ in range(rng.randint(1, 4))]
        for name in options["inputs"]:
            columns[name] = draws.normal(size=n_events) + signal
        n_inputs = len(options["inputs"])
        if n_inputs > 1 and rng.random() < 0.3:
            options["shape"] = rng.choice(
                ([n_inputs], [n_inputs, 1], [1, n_inputs], [n_inputs, 1, 1], [1, 1, n_inputs])
            )
    options["label"] = next(names)
    columns[options["label"]], options["signal"] = _labels(signal, rng)
    if rng.random() < 0.4:
        _add_weights(columns, options, next(names), draws, rng)
    if rng.random() < 0.4:
        options["quantities"] = [next(names) for _ in range(rng.randint(1, 2))]
        columns |= {name: draws.exponential(30, n_events).round(2) for name in options["quantities"]}
    _add_splits(columns, options, next(names), signal, rng)
    if rng.random() < 0.5:
        options["scaling"] = rng.choice(("none", "standardize", "minmax", "maxabs"))
    if rng.random() < 0.5:
        options["background_efficiencies"] = rng.choice(([0.1], [0.5, 0.1], [0.01, 0.999], [1e-9]))
    return Table(columns, options)


def _names(rng: random.Random, odd: float) -> list[str]:
    names = [rng.choice(ODD_NAMES) if rng.random() < odd else name for name in NAMES]
    rng.shuffle(names)
    return [*dict.fromkeys(names), *(f"column_{number}" for number in range(8))]


def _labels(signal: NDArray[np.bool_], rng: random.Random) -> tuple[NDArray[Any], Any]:
    """The column of labels, and the one that is signal."""
    kind = rng.choice(("int", "int", "text", "float", "several"))
    if kind == "text":
        return np.where(signal, "sig", "bkg"), "sig"
    if kind == "float":
        return np.where(signal, 1.5, -2.0), 1.5
    if kind == "several":
        return np.where(signal, 3, np.arange(len(signal)) % 3), 3
    return signal.astype(np.int64), 1


def _add_weights(
    columns: dict[str, Any], options: dict[str, Any], name: str, draws: np.random.Generator, rng: random.Random
) -> None:
    columns[name] = draws.uniform(0.1, 2, len(columns[options["label"]]))
    if rng.random() < 0.4:
        options |= {"rate_weights": name, "rates_khz": [rng.choice((0.5, 5.0, 20.0))]}
        return
    options["weights"] = name
    if rng.random() < 0.5:
        options |= {"rate_khz": rng.choice((1.0, 750.0, 30_000.0)), "rates_khz": [0.1]}
    if rng.random() < 0.5:
        options["training_weights"] = rng.choice(("events", "classes"))


def _add_splits(
    columns: dict[str, Any], options: dict[str, Any], name: str, signal: NDArray[np.bool_], rng: random.Random
) -> None:
    draw = rng.random()
    if draw < 0.2:
        options["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25, "seed": rng.randint(0, 9)}
    elif draw < 0.4:
        numbers = np.empty(len(signal), np.int64)
        for label in (False, True):  # every class in every split
            numbers[signal == label] = np.arange((signal == label).sum()) % 3
        options["split_column"] = name
        columns[name] = numbers if rng.random() < 0.5 else np.array(["train", "validation", "test"])[numbers]


def write_table(table: Table, folder: Path, kind: str, rng: random.Random) -> dict[str, Any]:
    """Write a table to a file of a format; all that a study says under ``data:`` about it."""
    name = f"events{rng.choice(SUFFIXES[kind])}"
    return {"path": name, **WRITERS[kind](table, folder / name, rng), **table.options}


def _write_csv(table: Table, path: Path, rng: random.Random) -> dict[str, Any]:
    has_header = rng.random() < 0.8
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(
            file,
            lineterminator=rng.choice(("\n", "\r\n")),
            quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC)),
        )
        if has_header:
            writer.writerow(table.columns)
        writer.writerows(zip(*(column.tolist() for column in table.columns.values()), strict=True))
    return {} if has_header else {"header": list(table.columns)}


def _write_npz(table: Table, path: Path, rng: random.Random) -> dict[str, Any]:
    import zipfile

    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
        for name, column in table.columns.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(column))
    return {}


def _write_parquet(table: Table, path: Path, rng: random.Random) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {}
    for name, column in table.columns.items():
        array = pa.array(column.tolist())
        columns[name] = array.dictionary_encode() if column.dtype.kind == "U" and rng.random() < 0.3 else array
    parquet.write_table(pa.table(columns), path, compression=rng.choice(("snappy", "zstd", "none")))
    return {}


def _write_hdf5(table: Table, path: Path, rng: random.Random) -> dict[str, Any]:
    import h5py

    group = rng.choice(("", "", "events", "some/where"))
    texts = {
        name: column.astype(bytes) if column.dtype.kind == "U" else column for name, column in table.columns.items()
    }
    with h5py.File(path, "w") as file:
        place = file.require_group(group) if group else file
        if not any("/" in name for name in texts) and rng.random() < 0.3:
            rows = np.empty(
                table.n_events, [(name or " ", column.dtype, column.shape[1:]) for name, column in texts.items()]
            )
            for name, column in texts.items():
                rows[name or " "] = column
            place.create_dataset("rows", data=rows)
            return {"table": f"{group}/rows".strip("/")}
        for name, column in texts.items():
            place.create_dataset(name, data=column, chunks=True if rng.random() < 0.5 else None)
    return {"table": group} if group else {}


def _write_root(table: Table, path: Path, rng: random.Random) -> dict[str, Any]:
    import uproot

    with uproot.recreate(path) as file:
        file["events"] = dict(table.columns)
        several = rng.random() < 0.3
        if several:
            file["others"] = {"x": np.arange(3)}
    return {"table": "events"} if several else {}


WRITERS = {"csv": _write_csv, "npz": _write_npz, "parquet": _write_parquet, "hdf5": _write_hdf5, "root": _write_root}
