"""Files that hold data: fpgaml's own, which give back exactly what was saved, and the tables that users bring.

ROOT files need uproot, which the extra ``root`` brings; all others need nothing but the base installation.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import Dataset
from fpgaml.errors import DataError, ToolError, did_you_mean
from fpgaml.storage import atomic_path

FORMAT = "fpgaml data set 1"
SUFFIXES = {
    ".csv": "csv",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".root": "root",
}
FORMATS = tuple(sorted(set(SUFFIXES.values())))
Columns = dict[str, NDArray[Any]]


def save_dataset(dataset: Dataset, path: Path) -> None:
    """Write a data set to an HDF5 file, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import h5py

    with atomic_path(Path(path)) as fresh, h5py.File(fresh, "w") as file:
        for name, column in dataset.columns().items():
            compression = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if column.size else {}
            file.create_dataset(name.replace(".", "/", 1), data=column, **compression)
        described = {"names": dataset.names, "rate_khz": dataset.rate_khz, "metadata": dict(dataset.metadata)}
        file.attrs["format"] = FORMAT
        file.attrs["sha256"] = dataset.sha256
        # not an attribute: HDF5 limits those to 64 kB
        file.create_dataset("description", data=json.dumps(described))


def load_dataset(path: Path) -> Dataset:
    """Read what ``save_dataset`` wrote; the result has the same ``sha256``.

    Raises
    ------
    DataError
        The file is not there, is no data set of fpgaml, or was changed or damaged since it was written.
    """
    import h5py

    _check_file(Path(path))
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DataError(f"{path}: not a {FORMAT!r}. Other HDF5 files are read by the task `file`.")
            expected = file.attrs["sha256"]
            described = json.loads(file["description"][()])
            quantities = {name: item[()] for name, item in file.get("quantities", {}).items()}
            arrays = {name: item[()] for name, item in file.items() if name not in ("quantities", "description")}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a data set of fpgaml: {error}") from error
    described["names"] = tuple(described["names"])
    dataset = Dataset(**arrays, quantities=quantities, **described)
    if dataset.sha256 != expected:
        raise DataError(f"{path}: the content does not have the hash that was stored with it. Make or copy it again.")
    return dataset


def file_format(path: Path, chosen: str | None = None) -> str:
    """The format of a file: the chosen one, or by its extension.

    Raises
    ------
    DataError
        The format or the extension is unknown.
    """
    if chosen is not None:
        if chosen not in FORMATS:
            raise DataError(f"{path}: unknown format {chosen!r}; {did_you_mean(chosen, FORMATS)}")
        return chosen
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise DataError(
            f"{path}: the extension {Path(path).suffix!r} does not tell the format. "
            f"Known: {', '.join(sorted(SUFFIXES))}. For another, give `format`: {', '.join(FORMATS)}."
        )
    return found


def read_columns(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    format: str | None = None,  # noqa: A002  the name of the key in a study
    header: Sequence[str] = (),
    table: str | None = None,
) -> Columns:
    """Named columns of a table, or named arrays of a file.

    Parameters
    ----------
    path : Path
    columns : sequence of str, optional
        What to read. None: everything.
    format : str, optional
        One of ``FORMATS``. None: by the extension.
    header : sequence of str
        Names of all columns of a csv file whose first line is data already.
    table : str, optional
        The tree of a ROOT file, or the group or compound array of an HDF5 file. None: the only one, or the top.

    Returns
    -------
    dict of name to array
        All with the same number of events on the first axis, at least one.

    Raises
    ------
    DataError
        The file is not there, empty, damaged or of an unknown format, a column is not in it, or the lengths differ.
    ToolError
        The package that reads this format is not installed.
    """
    path = Path(path)
    kind = file_format(path, format)
    _check_file(path)
    if header and kind != "csv":
        raise DataError(f"{path}: column names are for csv files without a header line; {kind} files hold their names")
    if table is not None and kind not in ("hdf5", "root"):
        raise DataError(f"{path}: a {kind} file holds one table, so `table` means nothing; found {table!r}")
    found = _READERS[kind](path, columns, tuple(header), table)
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: arrays of different lengths cannot describe the same events: {lengths}")
    if not lengths or not next(iter(lengths.values())):
        raise DataError(f"{path}: holds no events")
    return found


def numbers(columns: Columns, names: Iterable[str], *, where: str, finite: bool = True) -> Columns:
    """Those columns as float64, shape (n_events, ...) each.

    Raises
    ------
    DataError
        A column holds something else than numbers; or, where they must be ``finite``, NaN or infinity: how many rows,
        the first, and what to do.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if columns[name].dtype.kind not in "biuf":
            raise DataError(f"{where}: column {name!r} does not hold numbers: {_first_text(columns[name])}")
    found = {name: columns[name].astype(np.float64) for name in names}
    flawed = {name: ~np.isfinite(column).reshape(len(column), -1).all(axis=1) for name, column in found.items()}
    guilty = [name for name, bad in flawed.items() if bad.any()]
    if finite and guilty:
        rows = np.logical_or.reduce([flawed[name] for name in guilty])
        shown = ", ".join(repr(name) for name in guilty[:5]) + (", ..." if len(guilty) > 5 else "")
        raise DataError(
            f"{where}: {rows.sum()} of {len(rows)} rows hold NaN, infinity or nothing in {shown}; the first is row "
            f"{rows.argmax()} (counted from 0, without a header). Remove these rows, fill them with a value that means "
            "something, or leave the column out."
        )
    return found


def _first_text(column: NDArray[Any]) -> str:
    for row, value in enumerate(column):
        try:
            float(value)
        except (TypeError, ValueError):
            kind = "an array, as in a list whose length varies" if np.ndim(value) else repr(value)
            return f"row {row} (counted from 0, without a header) is {kind}"
    return "the numbers are stored as text"


def _check_file(path: Path) -> None:
    if not path.exists():
        near = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f"; {did_you_mean(path.name, near)}" if 0 < len(near) <= 20 else ""
        raise DataError(f"{path}: no such file{hint}")
    if path.is_dir():
        raise DataError(f"{path}: a directory, not a file")
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty")


def _choose(path: Path, columns: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    if columns is None:
        return list(available)
    for name in columns:
        if name not in available:
            raise DataError(f"{path}: no column {name!r}; {did_you_mean(name, available)}")
    return list(dict.fromkeys(columns))


def _arrow_column(column: Any) -> NDArray[Any]:
    """Numbers as numbers, a missing one as NaN; lists of one length as one array; anything else as objects."""
    found: NDArray[Any] = column.to_numpy()
    if found.dtype == object and len({np.shape(value) for value in found}) == 1 and np.ndim(found[0]):
        return np.array(found.tolist())
    return found


def _text(column: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column


def _read_csv(path: Path, columns: Sequence[str] | None, header: tuple[str, ...], _table: str | None) -> Columns:
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(path, read_options=csv.ReadOptions(column_names=list(header) or None))
    except (pa.ArrowException, OSError) as error:
        hint = f" `header` names {len(header)} columns." if header else ""
        raise DataError(f"{path}: cannot be read as csv: {error}.{hint}") from error
    names: list[str] = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not header and (repeated or (columns is not None and not set(columns) & set(names))):
        wrong = f"names {', '.join(repeated)} twice" if repeated else f"names none of {', '.join(columns or ())}"
        raise DataError(
            f"{path}: the first line, {','.join(names)!r}, {wrong}. "
            "If that line is data already, give the names of all columns in `header`."
        )
    return {name: _arrow_column(table.column(name)) for name in _choose(path, columns, names)}


def _read_parquet(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], _table: str | None) -> Columns:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            table = file.read(columns=_choose(path, columns, file.schema_arrow.names))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error
    return {name: _arrow_column(table.column(name)) for name in table.column_names}


def _read_npz(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], _table: str | None) -> Columns:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise DataError(f"{path}: one array without a name; save it with numpy.savez(path, name=array)")
        with file:
            found = {name: _text(file[name]) for name in _choose(path, columns, file.files)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as npz: {error}") from error
    return {name: column for name, column in found.items() if column.ndim}


def _read_hdf5(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], table: str | None) -> Columns:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            places: dict[str, Any] = {}
            file.visititems(places.__setitem__)
            if table is not None and table.strip("/") not in places:
                raise DataError(f"{path}: no group or array {table!r}; {did_you_mean(table, places)}")
            arrays = {name: item for name, item in places.items() if isinstance(item, h5py.Dataset) and item.shape}
            compound = next(iter(arrays)) if table is None and len(arrays) == 1 else (table or "").strip("/")
            if compound in arrays and arrays[compound].dtype.names:
                rows = arrays[compound][()]
                return {name: _text(rows[name]) for name in _choose(path, columns, rows.dtype.names)}
            if table is not None and compound in arrays:
                raise DataError(f"{path}: {table!r} is an array without named columns; name it in `inputs` instead")
            prefix = f"{table.strip('/')}/" if table else ""
            arrays = {name.removeprefix(prefix): item for name, item in arrays.items() if name.startswith(prefix)}
            return {
                name: arrays[name].asstr()[()] if h5py.check_string_dtype(arrays[name].dtype) else arrays[name][()]
                for name in _choose(path, columns, list(arrays))
            }
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as HDF5: {error}") from error


def _read_root(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], table: str | None) -> Columns:
    try:
        import uproot
    except ModuleNotFoundError as error:
        raise ToolError(
            f"{path}: reading ROOT files needs uproot, which is not installed: pip install 'fpgaml[root]'"
        ) from error
    try:
        with uproot.open(path) as file:
            kinds = file.classnames(cycle=False)
            trees = sorted(name for name, kind in kinds.items() if kind in ("TTree", "TNtuple", "ROOT::RNTuple"))
            if table is None and len(trees) != 1:
                raise DataError(f"{path}: {len(trees)} trees; say which one in `table`: {', '.join(trees)}")
            if table is not None and table not in trees:
                raise DataError(f"{path}: no tree {table!r}; {did_you_mean(table, trees)}")
            tree = file[table or trees[0]]
            found = tree.arrays(_choose(path, columns, tree.keys()), library="np")
            return {str(name): column for name, column in found.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as ROOT: {error}") from error


_READERS: dict[str, Callable[[Path, Sequence[str] | None, tuple[str, ...], str | None], Columns]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "npz": _read_npz,
    "hdf5": _read_hdf5,
    "root": _read_root,
}
