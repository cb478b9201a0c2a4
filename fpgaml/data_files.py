"""Files that hold data: fpgaml's own, which give back exactly what was saved, and the tables that users bring.

A file may be damaged or made to harm. What it claims is compared with memory before anything is allocated, nothing in
it is executed, and whatever a reading package raises becomes an error that names the file.

ROOT files need uproot, which the extra ``root`` brings; all others need nothing but the base installation.
"""

from __future__ import annotations

import json
import math
import re
import signal
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import Dataset
from fpgaml.errors import DataError, FpgamlError, ToolError, did_you_mean, listed, printable
from fpgaml.memory import check_fits
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

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that data may hold: network inputs are float32, and sums of squares stay far from overflow."""


LONGEST_LINE = 2**20
"""Bytes of a line in a csv file."""

FOREIGN = {
    b"\x1f\x8b": "is compressed by gzip. Unpack it first",
    b"\xff\xfe": "is UTF-16. Write the file in UTF-8",
    b"\xfe\xff": "is UTF-16. Write the file in UTF-8",
}
"""First bytes that no csv file in UTF-8 has."""


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
            place = "/".join(quote(part, safe="").replace(".", "%2E") for part in name.split(".", 1))
            file.create_dataset(place, data=column, **compression)
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

    check_file(Path(path))
    where = printable(path, 200)
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DataError(f"not a {FORMAT!r}. Other HDF5 files are read by the task `file`.")
            expected = file.attrs["sha256"]
            described = json.loads(file["description"][()])
            quantities = {unquote(name): _hdf5_array(name, item) for name, item in file.get("quantities", {}).items()}
            kept = [name for name in file if name not in ("quantities", "description")]
            arrays: dict[str, Any] = {name: _hdf5_array(name, file[name]) for name in kept}
        described["names"] = tuple(described["names"])
        dataset = Dataset(**arrays, quantities=quantities, **described)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except Exception as error:  # h5py raises whatever a damaged file leads it to
        raise DataError(f"{where}: cannot be read as a data set of fpgaml: {printable(error, 200)}") from error
    if dataset.sha256 != expected:
        raise DataError(f"{where}: the content does not have the hash that was stored with it. Make or copy it again.")
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
            raise DataError(f"{printable(path, 200)}: unknown format {chosen!r}; {did_you_mean(chosen, FORMATS)}")
        return chosen
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise DataError(
            f"{printable(path, 200)}: the extension '{printable(Path(path).suffix)}' does not tell the format. "
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

    What a file claims to hold is compared with what is free in memory before it is allocated; nothing that a file holds
    is executed.

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
        The file is not there, empty, damaged, too large or of an unknown format, a column is not in it, or the lengths
        differ.
    ToolError
        The package that reads this format is not installed.
    """
    path = Path(path)
    kind, where = file_format(path, format), printable(path, 200)
    check_file(path)
    if header and kind != "csv":
        raise DataError(f"{where}: column names are for csv files without a header line; {kind} files hold their names")
    if table is not None and kind not in ("hdf5", "root"):
        raise DataError(f"{where}: a {kind} file holds one table, so `table` means nothing; found '{printable(table)}'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the reading package, with places inside it
            found = _READERS[kind](path, columns, tuple(header), table)
    except FpgamlError as error:
        raise type(error)(f"{where}: {error}") from error
    except MemoryError as error:
        wanted = "all columns" if columns is None else f"the columns {listed(columns)}"
        raise DataError(f"{where}: not enough memory for {wanted}: {printable(error, 120)}") from error
    except Exception as error:  # the packages raise whatever a damaged file leads them to
        told = printable(" ".join(str(error)[:1_000].split()), 160) or type(error).__name__
        hint = f". `header` names {len(header)} columns" if header else ""
        raise DataError(f"{where}: cannot be read as {NAMES[kind]}: {told}{hint}") from error
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        told = listed([f"{name}: {length}" for name, length in lengths.items()])
        raise DataError(f"{where}: arrays of different lengths cannot describe the same events: {told}")
    if not lengths or not next(iter(lengths.values())):
        raise DataError(f"{where}: holds no events")
    return found


def numbers(columns: Columns, names: Iterable[str], *, where: str, finite: bool = True) -> Columns:
    """Those columns as float64, shape (n_events, ...) each.

    Integers beyond 2^53 are rounded to the nearest float64.

    Raises
    ------
    DataError
        A column holds something else than numbers, or numbers beyond ``LARGEST``; or, where they must be ``finite``,
        NaN or infinity: how many rows, the first, and what to do.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if columns[name].dtype.kind not in "biuf":
            raise DataError(f"{where}: column '{printable(name)}' does not hold numbers: {_other_kind(columns[name])}")
    with np.errstate(over="ignore"):  # a long double may become infinite, and is told below
        found = {name: columns[name].astype(np.float64, copy=False) for name in names}
    flawed = {name: _rows(~np.isfinite(column)) for name, column in found.items()}
    guilty = [name for name, bad in flawed.items() if bad.any()]
    if finite and guilty:
        rows = np.logical_or.reduce([flawed[name] for name in guilty])
        shown = ", ".join(f"'{printable(name, 40)}'" for name in guilty[:5]) + (", ..." if len(guilty) > 5 else "")
        raise DataError(
            f"{where}: {rows.sum()} of {len(rows)} rows hold NaN, infinity or nothing in {shown}; the first is row "
            f"{rows.argmax()} (counted from 0, without a header). Remove these rows, fill them with a value that means "
            "something, or leave the column out."
        )
    for name, column in found.items():
        beyond = _rows(np.isfinite(column) & ((column > LARGEST) | (column < -LARGEST)))
        if beyond.any():
            row = int(beyond.argmax())
            value = column[row].flat[np.nanargmax(np.where(np.isfinite(column[row]), np.abs(column[row]), 0.0))]
            raise DataError(
                f"{where}: column '{printable(name)}' holds {value:.6g} in row {row} (counted from 0, without a "
                f"header), beyond ±{LARGEST:.3g}, the largest that float32 holds. Give it in another unit, or leave it "
                "out."
            )
    return found


def _rows(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows have a flag anywhere."""
    return np.asarray(flags.reshape(len(flags), -1).any(axis=1))


def _other_kind(column: NDArray[Any]) -> str:
    """What a column holds that is no number."""
    known = {
        "c": "they are complex. Give real and imaginary part as columns of their own",
        "M": "they are dates. Give the time since some date as a number",
        "m": "they are time differences. Give them as numbers of a unit",
        "V": "they are records of several values. Give each value as a column of its own",
    }
    if column.dtype.kind in known:
        return known[column.dtype.kind]
    for row, value in enumerate(column):
        try:
            float(value)
        except (TypeError, ValueError):
            shown = value if isinstance(value, (str, bytes)) else str(value)
            kind = "an array, as in a list whose length varies" if np.ndim(value) else f"'{printable(shown)}'"
            return f"row {row} (counted from 0, without a header) is {kind}"
    return "the numbers are stored as text"


def check_file(path: Path) -> None:
    """Refuse what is no file that can be read to its end.

    Raises
    ------
    DataError
        It is not there, is empty, a directory, a pipe or a device, or must not be read.
    """
    where = printable(path, 200)
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except FileNotFoundError as error:
        near = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f"; {did_you_mean(path.name, near)}" if 0 < len(near) <= 20 else ""
        raise DataError(f"{where}: no such file{hint}") from error
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise DataError(f"{where}: no file can have this name") from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{where}: a directory, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{where}: a pipe, a socket or a device; only files are read")
    if not found.st_size:
        raise DataError(f"{where}: the file is empty")


def _choose(columns: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    """The columns to read, each once; ``available`` has a name as often as the file has it."""
    wanted = list(dict.fromkeys(available if columns is None else columns))
    there: dict[str, int] = {}
    for name in available:
        there[name] = there.get(name, 0) + 1
    for name in wanted:
        if name not in there:
            raise DataError(f"no column '{printable(name)}'; {did_you_mean(name, available)}")
        if there[name] > 1:
            raise DataError(f"the column '{printable(name)}' stands there {there[name]} times; rename all but one")
    return wanted


def _arrow_column(name: str, column: Any) -> NDArray[Any]:
    """Numbers as numbers, a missing one as NaN; lists of one length as one array; anything else as objects."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        found = np.concatenate([_decoded(name, chunk) for chunk in column.chunks] or [np.empty(0, object)])
    elif _is_text(column.type):
        found = _arrow_text(name, column).to_numpy()
    else:
        found = column.cast(pa.float64()).to_numpy() if pa.types.is_decimal(column.type) else column.to_numpy()
    if _is_list(column.type) and len({np.shape(value) for value in found}) == 1 and np.ndim(found[0]):
        return np.array(found.tolist())
    return found


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_binary(kind))


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _arrow_text(name: str, values: Any) -> Any:
    """Arrow's texts, of which some may be bytes that say nothing of their encoding."""
    import pyarrow as pa

    try:
        return values.cast(pa.large_binary()).cast(pa.large_string()) if _is_binary(values.type) else values
    except pa.ArrowInvalid as error:
        raise _no_text(name) from error


def _decoded(name: str, chunk: Any) -> NDArray[Any]:
    """Texts from their numbers in a list of all that there are, so that each is in memory once."""
    texts = np.array([*_arrow_text(name, chunk.dictionary).to_pylist(), None], object)
    decoded: NDArray[Any] = texts[chunk.indices.fill_null(len(texts) - 1).to_numpy()]
    return decoded


def _text(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """Bytes as text, anything else as it is."""
    try:
        return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column
    except UnicodeDecodeError as error:
        raise _no_text(name) from error


def _no_text(name: str) -> DataError:
    return DataError(f"the text in column '{printable(name)}' is not UTF-8. Write the file in UTF-8")


CSV_COLUMN = 10_000
"""Bytes that pyarrow takes for each column of a table, however short; measured."""


def _read_csv(path: Path, columns: Sequence[str] | None, header: tuple[str, ...], _table: str | None) -> Columns:
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as file:
        start = file.readline(LONGEST_LINE)
    if start[:2] in FOREIGN:
        raise DataError(FOREIGN[start[:2]])
    # a digit and a comma become eight bytes, most numbers are longer
    check_fits("the file", 2 * path.stat().st_size + CSV_COLUMN * (1 + start.count(b",")))
    with pa.OSFile(str(path)) as file:  # by its name alone, pyarrow would unpack it
        options = csv.ReadOptions(column_names=list(header) or None, block_size=LONGEST_LINE)
        try:
            table = csv.read_csv(file, read_options=options)
        except pa.ArrowInvalid as error:
            # pyarrow reads in blocks, and calls one without a line's end empty, or says that something straddles two
            endless = "straddling object" in str(error) or "Empty CSV file or block" in str(error)
            if endless and path.stat().st_size > LONGEST_LINE:
                raise DataError(f"cannot be read as csv: a line is longer than {LONGEST_LINE:,} bytes") from error
            raise
    try:
        names: list[str] = table.column_names
    except UnicodeDecodeError as error:
        raise DataError("the first line is not UTF-8. Write the file in UTF-8 (`iconv` does that)") from error
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if not header and (repeated or (columns is not None and not set(columns) & set(names))):
        wrong = f"names {listed(repeated)} twice" if repeated else f"names none of {listed(columns or ())}"
        raise DataError(
            f"the first line, '{printable(','.join(names[:50]), 100)}', {wrong}. "
            "If that line is data already, give the names of all columns in `header`."
        )
    return {name: _arrow_column(name, table.column(names.index(name))) for name in _choose(columns, names)}


def _read_parquet(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], _table: str | None) -> Columns:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        chosen = _choose(columns, schema.names)
        for name in chosen:
            _check_parquet_column(name, schema.field(name).type, file.metadata)
    texts = [name for name in chosen if _is_text(schema.field(name).type)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=chosen)
    return {name: _arrow_column(name, table.column(name)) for name in chosen}


def _check_parquet_column(name: str, kind: Any, metadata: Any) -> None:
    """Refuse a column of a kind that no event has, or that claims more than memory holds."""
    import pyarrow as pa

    inner = kind
    while _is_list(inner):
        inner = inner.value_type
    if pa.types.is_nested(inner) or (inner is not kind and _is_text(inner)):
        raise DataError(
            f"column '{printable(name)}' holds {printable(kind, 60)}: neither numbers, nor text, nor lists of numbers"
        )
    schema = metadata.schema
    parts = [
        i for i in range(len(schema)) if schema.column(i).path == name or schema.column(i).path.startswith(f"{name}.")
    ]
    claimed = 0
    for part in parts:
        width = max(8, schema.column(part).length)
        for group in range(metadata.num_row_groups):
            chunk = metadata.row_group(group).column(part)
            claimed += max(width * chunk.num_values, chunk.total_uncompressed_size)
    check_fits(f"column '{printable(name)}'", claimed)


def _read_npz(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], _table: str | None) -> Columns:
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DataError("one array without a name; save it with numpy.savez(path, name=array)")
    found = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        for name in _choose(columns, names):
            member = members[names.index(name)]
            with archive.open(member) as stream:
                shape = _check_npy(name, stream, member.file_size)
            if shape:
                with archive.open(member) as stream:
                    found[name] = _text(name, np.lib.format.read_array(stream, allow_pickle=False))
            elif columns is not None:
                raise DataError(f"'{printable(name)}' is a single value, not one for each event")
    return found


def _check_npy(name: str, stream: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape of an array, whose head must claim what its member of the archive holds, and no more than fits."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            numbers = ".".join(map(str, version))
            raise DataError(
                f"'{printable(name)}' in it is of version {numbers} of numpy's format; 1.0 and 2.0 are read"
            )
        shape, _, dtype = readers[version](stream)
    except (ValueError, RecursionError) as error:
        told = re.sub(r": <.* at 0x[0-9a-f]+>$", "", str(error))
        raise DataError(f"'{printable(name)}' in it is no array of numpy's: {printable(told, 120)}") from error
    if dtype.hasobject:
        raise DataError(
            f"cannot be read as npz: '{printable(name)}' holds Python objects, which may run any program when read"
        )
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - stream.tell():
        raise DataError(
            f"'{printable(name)}' claims {dtype} of shape {printable(shape, 60)}, {claimed:,} bytes, and its member of "
            f"the archive has {size - stream.tell():,}: it is damaged"
        )
    check_fits(f"'{printable(name)}', {dtype} of shape {printable(shape, 60)},", claimed)
    return tuple(shape)


def _read_hdf5(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], table: str | None) -> Columns:
    import h5py

    with h5py.File(path, "r") as file:
        places: dict[str, Any] = {}
        file.visititems(places.__setitem__)
        inside = (table or "").strip("/")
        if table is not None and inside not in places:
            raise DataError(f"no group or array '{printable(table)}'; {did_you_mean(table, places)}")
        arrays = {name: item for name, item in places.items() if isinstance(item, h5py.Dataset) and item.shape}
        compound = next(iter(arrays)) if table is None and len(arrays) == 1 else inside
        if compound in arrays and (fields := arrays[compound].dtype.names):
            return {name: _hdf5_array(name, arrays[compound], field=name) for name in _choose(columns, fields)}
        if table is not None and compound in arrays:
            raise DataError(f"'{printable(table)}' is an array without named columns; name it in `inputs` instead")
        prefix = f"{inside}/" if inside else ""
        arrays = {name.removeprefix(prefix): item for name, item in arrays.items() if name.startswith(prefix)}
        return {name: _hdf5_array(name, arrays[name]) for name in _choose(columns, list(arrays))}


def _hdf5_array(name: str, item: Any, *, field: str | None = None) -> NDArray[Any]:
    """The values of an array, or of one field of its records, if it holds them itself and they fit into memory."""
    import h5py

    if item.external or item.is_virtual:
        raise DataError(f"the numbers of '{printable(name)}' lie in other files. Copy them into this one")
    dtype = item.dtype if field is None else item.dtype[field]
    text = h5py.check_string_dtype(dtype)
    if dtype.hasobject and not text:
        raise DataError(f"'{printable(name)}' holds references or lists whose length varies, not values")
    what = f"'{printable(name)}', {printable(dtype)} of shape {printable(item.shape, 60)},"
    check_fits(what, math.prod(item.shape) * dtype.itemsize)
    if text and text.length is None:
        return _hdf5_texts(name, item, field)
    return _text(name, np.asarray(item[()] if field is None else item.fields(field)[()]))


TEXT_SECONDS = 2
"""Of a processor, to read the texts of a small file."""

_READ_TEXTS = """
import json, os, resource, sys
import h5py
path, name, field, seconds = sys.argv[1:]
limit = int(sum(os.times()[:2])) + int(seconds)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
with h5py.File(path, "r") as file:
    item = file[name] if not field else file[name].fields(field)
    json.dump([text.decode("latin-1") for text in item[()].ravel()], sys.stdout)
"""


def _hdf5_texts(name: str, item: Any, field: str | None) -> NDArray[Any]:
    """Texts whose lengths vary, read by a process of its own: where they are damaged, HDF5 may never end.

    It gets ``TEXT_SECONDS`` of a processor, and one more for every megabyte of the file.
    """
    path = item.file.filename
    seconds = TEXT_SECONDS + Path(path).stat().st_size // 1_000_000
    command = [sys.executable, "-c", _READ_TEXTS, path, item.name, field or "", str(seconds)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        told = f"reading it does not end in {seconds} s" if done.returncode == -signal.SIGXCPU else printable(last, 120)
        raise DataError(f"cannot be read as HDF5: the text in '{printable(name)}' is damaged: {told}")
    try:
        texts = [text.encode("latin-1").decode("utf-8") for text in json.loads(done.stdout)]
    except UnicodeDecodeError as error:
        raise _no_text(name) from error
    return np.array(texts, object).reshape(item.shape)


def _read_root(path: Path, columns: Sequence[str] | None, _header: tuple[str, ...], table: str | None) -> Columns:
    try:
        import uproot
    except ModuleNotFoundError as error:
        raise ToolError(
            "reading ROOT files needs uproot, which is not installed: pip install 'fpgaml[root]'"
        ) from error
    with uproot.open(path) as file:
        kinds = file.classnames(cycle=False)
        trees = sorted(name for name, kind in kinds.items() if kind in ("TTree", "TNtuple", "ROOT::RNTuple"))
        if not trees:
            raise DataError("holds no tree")
        if table is None and len(trees) != 1:
            raise DataError(f"{len(trees)} trees; say which one in `table`: {listed(trees)}")
        if table is not None and table not in trees:
            raise DataError(f"no tree '{printable(table)}'; {did_you_mean(table, trees)}")
        tree = file[table or trees[0]]
        found = {}
        for name in _choose(columns, tree.keys()):
            branch = tree[name]
            _check_branch(name, branch, tree.num_entries)
            found[name] = branch.array(library="np")  # not tree.arrays, which takes a name for a formula
        return found


def _check_branch(name: str, branch: Any, n_events: int) -> None:
    """Refuse a branch that has no fixed number of values for each event, or claims more than memory holds."""
    import uproot

    width = 8
    interpretation = getattr(branch, "interpretation", None)  # a field of an RNTuple has none
    if isinstance(interpretation, uproot.AsDtype):
        width = interpretation.to_dtype.itemsize
    elif interpretation is not None and not isinstance(interpretation, uproot.AsStrings):
        raise DataError(
            f"column '{printable(name)}' does not hold numbers: it is {printable(interpretation)}, and each event "
            "needs one value, or an array of one shape"
        )
    check_fits(f"column '{printable(name)}'", n_events * max(8, width))


NAMES: Mapping[str, str] = {"csv": "csv", "parquet": "parquet", "npz": "npz", "hdf5": "HDF5", "root": "ROOT"}
"""Formats as messages call them."""

_READERS: dict[str, Callable[[Path, Sequence[str] | None, tuple[str, ...], str | None], Columns]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "npz": _read_npz,
    "hdf5": _read_hdf5,
    "root": _read_root,
}
