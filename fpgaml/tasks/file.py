"""The user's own data set: a table or arrays in a file, with the study naming what is what."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from fpgaml.data_files import Columns, check_file, file_format, numbers, read_columns
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.errors import DataError, did_you_mean, listed, printable
from fpgaml.field_types import Seed
from fpgaml.memory import check_fits
from fpgaml.metrics import Target
from fpgaml.preparation import (
    GROUPS,
    REPEATS,
    as_float32,
    check_classes,
    check_groups,
    check_repeats,
    count_groups,
    count_repeats,
    draw_group_splits,
    draw_splits,
    few_groups_text,
    repeats_text,
    scale,
    scale_to_rate,
    training_weights,
)
from fpgaml.tasks import Task, TaskOptions

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

LONGEST_NAME = 255
"""Characters of a column's name."""

LARGEST_SHAPE = 2**24
"""Numbers of one event."""

BYTES_PER_INPUT = 24
"""What preparing takes at most for each input of an event that has been read."""


def _paths(value: Any, info: pydantic.ValidationInfo) -> Any:
    """One path or several, relative to the study file, as a tuple of Path."""
    if isinstance(value, (str, Path)):
        value = (value,)
    if not isinstance(value, tuple) or not value or not all(isinstance(item, (str, Path)) for item in value):
        raise ValueError("must be the path of a file, or a list of such paths")
    base = Path((info.context or {}).get("base", "."))
    try:
        return tuple((base / Path(item).expanduser()).absolute() for item in value)
    except RuntimeError as error:  # a home that nobody has
        raise ValueError(f"must be the path of a file: {error}") from error


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _name(value: str) -> str:
    if not 0 < len(value) <= LONGEST_NAME or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"must be the name of a column: text of 1 to {LONGEST_NAME} characters")
    return value


Paths = Annotated[tuple[Path, ...], pydantic.BeforeValidator(_paths)]
Name = Annotated[str, pydantic.AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], pydantic.BeforeValidator(_one_or_more)]
Fraction = Annotated[float, pydantic.Field(gt=0, lt=1)]
Rate = Annotated[float, pydantic.Field(ge=1e-12, le=1e12, allow_inf_nan=False)]


class Fractions(TaskOptions):
    """Shares of the three splits, drawn at random within each class or by groups; the same seed draws the same."""

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    seed: Seed = 1

    @pydantic.model_validator(mode="after")
    def _sum_to_one(self) -> Fractions:
        if abs(self.train + self.validation + self.test - 1.0) > 1e-9:
            total = self.train + self.validation + self.test
            raise ValueError(f"train, validation and test must sum to 1; they sum to {total:g}")
        return self


class FileOptions(TaskOptions):
    """What a study says under ``data:`` about the user's own file.

    Parameters
    ----------
    path : path or list of paths
        Files that are read one after another; each is named once, and a copy of it is an error too.
    validation_path, test_path : path or list of paths, optional
        Where the splits come in files of their own. Without ``validation_path``, validation is drawn from ``path``, in
        the ratio of ``split.train`` to ``split.validation``.
    format : str, optional
        csv, hdf5, npz, parquet or root; without it, the extension decides.
    header : list of str
        Names of all columns, for a csv file without a header line.
    table : str, optional
        The tree of a ROOT file; the group or compound array of an HDF5 file.
    inputs : str or list of str
        The columns that the network sees, in this order; or one array, whose ``shape`` must then be given.
    shape : list of int, optional
        Shape of one event's inputs. Without it: one number per input.
    label, signal : str, value
        The column of labels, and the label that is signal; every other label is background.
    weights : str, optional
        Column of event weights.
    rate_khz : float, optional
        Rate of all background together; the weights share it among the events.
    rate_weights : str, optional
        Column of rate weights in kHz, instead of ``weights`` and ``rate_khz``. It speaks of background: each signal
        event counts once.
    training_weights : "events" or "classes"
        In the loss, every event counts with its weight, on average 1 in either class ("events"); or the two classes are
        scaled to count the same in total ("classes").
    quantities : list of str
        Columns to keep for turn-on curves.
    split : Fractions
    split_column : str, optional
        Column with train, validation and test, or 0, 1 and 2, instead of ``split``.
    group : str, optional
        Column of whole numbers or text that says which events belong together, because they share a generated event, a
        run or a source. A group is never in two splits, and intervals count groups.
    scaling : str
        Of the inputs, with constants from training events: none; standardize (mean 0, standard deviation 1);
        minmax (to [-1, 1]); maxabs (to at most 1 in size, 0 stays 0). Columns are scaled one by one, an array as a
        whole.
    background_efficiencies, rates_khz : list of float
        Working points. The headline is the first rate if there are any, else the first background efficiency.
    """

    path: Paths
    validation_path: Paths | None = None
    test_path: Paths | None = None
    format: Literal["csv", "hdf5", "npz", "parquet", "root"] | None = None
    header: tuple[str, ...] = ()
    table: Name | None = None
    inputs: Names = pydantic.Field(min_length=1)
    shape: tuple[pydantic.PositiveInt, ...] | None = None
    label: Name
    signal: bool | int | Annotated[float, pydantic.Field(allow_inf_nan=False)] | str
    weights: Name | None = None
    rate_khz: Rate | None = None
    rate_weights: Name | None = None
    training_weights: Literal["events", "classes"] = "events"
    quantities: Names = ()
    split: Fractions = Fractions()
    split_column: Name | None = None
    group: Name | None = None
    scaling: Literal["none", "standardize", "minmax", "maxabs"] = "none"
    background_efficiencies: tuple[Fraction, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    rates_khz: tuple[Rate, ...] = ()

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> FileOptions:
        for name in ("inputs", "header", "quantities"):
            names = getattr(self, name)
            twice = [item for item, times in Counter(names).items() if times > 1]
            if twice:
                raise ValueError(f"{name} names {listed(twice)} more than once")
        wanted = (*self.inputs, self.label, self.weights, self.rate_weights, self.split_column, *self.quantities)
        if self.group in wanted and self.group is not None:
            raise ValueError(f"the group '{printable(self.group)}' says what belongs together, and can be nothing else")
        wanted = (*wanted, self.group)
        for name in filter(None, wanted):
            if self.header and name not in self.header:
                raise ValueError(f"header has no column '{printable(name)}'; {did_you_mean(name, self.header)}")
        if self.label in self.inputs:
            raise ValueError(
                f"the label '{printable(self.label)}' is among the inputs: the network would be told the answer"
            )
        if self.rate_weights and (self.weights or self.rate_khz):
            raise ValueError("rate_weights gives the rate and the weights already; leave out weights and rate_khz")
        if self.rates_khz and not (self.rate_weights or self.rate_khz):
            raise ValueError("rates_khz needs the rate of the background: rate_khz, or rate_weights")
        if not (self.rates_khz or self.background_efficiencies):
            raise ValueError("at least one working point is needed, in background_efficiencies or rates_khz")
        if self.split_column and (self.validation_path or self.test_path or self.split != Fractions()):
            raise ValueError("split_column says where every event goes; leave out split, validation_path and test_path")
        if self.validation_path and not self.test_path:
            raise ValueError("validation_path needs test_path too")
        if self.shape and math.prod(self.shape) > LARGEST_SHAPE:
            raise ValueError(f"the shape of an event must hold at most {LARGEST_SHAPE:,} numbers")
        if self.shape and len(self.inputs) > 1 and math.prod(self.shape) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs do not fill the shape {list(self.shape)}")
        return self


class FileTask(Task):
    """Classification of the events in the user's own file."""

    name: ClassVar[str] = "file"
    options: ClassVar[type[TaskOptions]] = FileOptions

    @staticmethod
    def input_shape(options: FileOptions) -> tuple[int, ...]:
        """Shape of one event's inputs: as given, or one number per input."""
        return options.shape or (len(options.inputs),)

    @staticmethod
    def targets(options: FileOptions) -> tuple[Target, ...]:
        """Rates first, then background efficiencies."""
        rates = tuple(Target("rate_khz", value) for value in options.rates_khz)
        return rates + tuple(Target("background_efficiency", value) for value in options.background_efficiencies)

    @staticmethod
    def load(options: FileOptions, *, progress: Progress | None = None) -> Dataset:
        """Read the files; inputs scaled, events in the order of the files.

        ``metadata["scaling"]`` holds ``offset`` and ``scale``, one number each per column or one for an array: the
        network's input is (what is in the file - offset) * scale, in float64, then rounded to float32.

        Raises
        ------
        DataError
            A file is missing, empty or damaged, a column is missing, holds no numbers, or holds NaN or infinity, a
            class is missing, or an input is constant and shall be scaled.
        ToolError
            The package that reads the format is not installed.
        """
        files = _files(options)
        where = listed([path.name for path, _ in files])
        _check_distinct(files)
        try:
            columns, source, identities = _read_all(options, progress)
            return _dataset(columns, source, identities, options, where)
        except MemoryError as error:
            raise DataError(f"{where}: not enough memory for all events: {printable(error, 120)}") from error


def _dataset(
    columns: Columns, source: NDArray[np.int8], identities: list[dict[str, str]], options: FileOptions, where: str
) -> Dataset:
    """The data set from the columns of all files, and for each event the split that its file is for."""
    y = _labels(columns[options.label], options, where)
    groups, group_names = _groups(columns, options, where)
    split = _splits(columns, source, y, groups, options, where)
    if groups is not None:
        check_groups(groups, split, group_names, where=where)
    given = options.rate_weights or options.weights
    check_classes(y, split, where=where, weights=_counted(columns[given], y, options) if given else None, groups=groups)
    names = options.inputs if len(options.inputs) > 1 or options.shape is None else ()
    scaled, scaling = scale(
        _inputs(columns, options, where), split == 0, kind=options.scaling, where=where, names=names
    )
    x = as_float32(scaled, where=where, names=names).reshape(len(scaled), *FileTask.input_shape(options))
    repeats = count_repeats(x, y, split)
    check_repeats(repeats, where=where)
    if told := repeats_text(repeats):
        _log.warning("%s: %s", where, told)
    weights, rate_khz = _weights(columns, y, split, options)
    grouped = {} if groups is None else {GROUPS: count_groups(groups, y, split)}
    if grouped and (told := few_groups_text(grouped[GROUPS])):
        _log.warning("%s: %s", where, told)
    return Dataset(
        x=x,
        y=y,
        split=split,
        weights=weights,
        training_weights=training_weights(weights, y, balance=options.training_weights),
        groups=groups,
        quantities={name: columns[name] for name in options.quantities},
        names=names,
        rate_khz=rate_khz,
        metadata={
            "task": "file",
            "files": identities,
            "inputs": list(options.inputs),
            "label": options.label,
            "signal": options.signal,
            "scaling": scaling,
            "split": options.split_column or options.split.model_dump(),
            "training_weights": options.training_weights,
            REPEATS: repeats,
            **({"group": options.group, **grouped} if grouped else {}),
        },
    )


def _files(options: FileOptions) -> list[tuple[Path, int]]:
    """Every file with the position in ``SPLITS`` that it is for; those for training may be divided further."""
    groups = (options.path, options.validation_path or (), options.test_path or ())
    return [(path, number) for number, paths in enumerate(groups) for path in paths]


def _check_distinct(files: list[tuple[Path, int]]) -> None:
    """Refuse a file that is named twice, by whatever path: its events would count twice, or be tested on."""
    seen: dict[tuple[int, int], tuple[Path, int]] = {}
    for path, number in files:
        check_file(path)
        place = path.stat().st_dev, path.stat().st_ino
        if place in seen:
            raise DataError(_same("is the same file as", (path, number), seen[place]))
        seen[place] = path, number


def _same(relation: str, one: tuple[Path, int], other: tuple[Path, int]) -> str:
    return (
        f"{printable(one[0], 150)} (for {SPLITS[one[1]]}) {relation} {printable(other[0], 150)} (for "
        f"{SPLITS[other[1]]}): its events would count twice, or be trained and tested on. Name it once."
    )


def _read_all(
    options: FileOptions, progress: Progress | None
) -> tuple[Columns, NDArray[np.int8], list[dict[str, str]]]:
    """The columns of all files, joined and checked; for each event the split that its file is for; name and hash."""
    files = _files(options)
    bar = progress.add_task("reading data", total=len(files)) if progress else None
    parts: list[Columns] = []
    seen: dict[str, tuple[Path, int]] = {}
    for path, number in files:
        before = path.stat()
        parts.append(_read(path, options))
        digest = _digest(path)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise DataError(f"{printable(path, 200)}: was changed while it was read. Try again when nobody writes it.")
        if digest in seen:
            raise DataError(_same("has the same content as", (path, number), seen[digest]))
        seen[digest] = path, number
        if progress and bar is not None:
            progress.advance(bar)
    for (path, _), part in zip(files, parts, strict=True):
        for name, column in part.items():
            first = parts[0][name].shape[1:]
            if column.shape[1:] != first:
                raise DataError(
                    f"{printable(path, 150)}: '{printable(name)}' has shape {list(column.shape[1:])} per event, "
                    f"{list(first)} in {printable(files[0][0].name, 100)}"
                )
    n_events = [len(part[options.label]) for part in parts]
    n_inputs = sum(math.prod(parts[0][name].shape[1:]) for name in options.inputs)
    where = f"{printable(files[0][0], 150)}{' and the other files' if files[1:] else ''}"
    check_fits(
        f"{where}: the data set, {sum(n_events):,} events of {n_inputs:,} inputs,",
        BYTES_PER_INPUT * sum(n_events) * n_inputs,
    )
    identities = [
        {"name": path.name, "for": SPLITS[number], "format": file_format(path, options.format), "sha256": digest}
        for digest, (path, number) in seen.items()
    ]
    source = np.repeat([number for _, number in files], n_events).astype(np.int8)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts[1:] else parts[0]
    return joined, source, identities


def _read(path: Path, options: FileOptions) -> Columns:
    """The columns of one file that the study names, checked; inputs, weights and quantities as float64."""
    weights = [name for name in (options.weights, options.rate_weights) if name]
    others = [options.label, *options.quantities, *filter(None, (options.split_column, options.group))]
    part = read_columns(
        path,
        [*options.inputs, *weights, *others],
        format=options.format,
        header=options.header,
        table=options.table,
    )
    where = printable(path, 200)
    checked = numbers(part, [*options.inputs, *weights], where=where)
    kept = numbers(part, options.quantities, where=where, finite=False)
    for name in (*weights, *others):
        if part[name].ndim != 1:
            size = list(part[name].shape[1:])
            raise DataError(f"{where}: '{printable(name)}' must hold one value per event, not {size}")
    for name in weights:
        negative = np.flatnonzero(checked[name] < 0)
        if len(negative):
            raise DataError(
                f"{where}: {len(negative)} weights in '{printable(name)}' are negative, the first in row {negative[0]}"
            )
    return {**part, **kept, **checked}


def _digest(path: Path) -> str:
    """Hash of what was read, wherever it lay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_values(column: NDArray[Any], name: str, where: str, *, what: str) -> None:
    """Refuse a column that holds something else than numbers, truth values or text, and the one that lacks some."""
    held = {type(value) for value in column} if column.dtype == object else {column.dtype.type}
    odd = [kind.__name__ for kind in held if not issubclass(kind, (str, bool, int, float, np.generic, type(None)))]
    if odd or column.dtype.kind in "cmMV":
        raise DataError(
            f"{where}: column '{printable(name)}' must hold whole numbers, truth values or text, one per event; found "
            f"{odd[0] if odd else column.dtype}"
        )
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    if column.dtype == object:
        missing = np.array([value is None or value == "" or value != value for value in column])  # noqa: PLR0124  NaN
    elif column.dtype.kind == "U":
        missing = column == ""
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise DataError(
            f"{where}: {missing.sum()} events have no {what} in '{printable(name)}', the first in row {first}"
        )


def _labels(column: NDArray[Any], options: FileOptions, where: str) -> NDArray[np.int64]:
    _check_values(column, options.label, where, what="label")
    values = list(dict.fromkeys(column.tolist()))
    if options.signal not in values:
        shown = listed([repr(value) for value in sorted(values[:1000], key=str)])
        raise DataError(
            f"{where}: no event has the label {printable(repr(options.signal))} that `signal` names; "
            f"'{printable(options.label)}' holds {shown}"
        )
    return np.asarray(column == options.signal).astype(np.int64)


def _groups(columns: Columns, options: FileOptions, where: str) -> tuple[NDArray[np.int64] | None, list[Any]]:
    """A number for the group of every event, from 0, and what the groups are called; None where there are none."""
    if options.group is None:
        return None, []
    column = columns[options.group]
    _check_values(column, options.group, where, what="group")
    if column.dtype.kind == "f" and (column != np.rint(column)).any():
        row = int(np.flatnonzero(column != np.rint(column))[0])
        raise DataError(
            f"{where}: the groups in '{printable(options.group)}' must be whole numbers or text; row {row} is "
            f"{column[row]:.6g}"
        )
    numbers_of: dict[Any, int] = {}
    found = np.array([numbers_of.setdefault(value, len(numbers_of)) for value in column.tolist()], np.int64)
    if len(numbers_of) < len(SPLITS):
        raise DataError(
            f"{where}: '{printable(options.group)}' holds {listed([repr(name) for name in numbers_of])} only: too few "
            f"groups for {len(SPLITS)} splits"
        )
    return found, list(numbers_of)


def _splits(
    columns: Columns,
    source: NDArray[np.int8],
    y: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    options: FileOptions,
    where: str,
) -> NDArray[np.int8]:
    """Position in ``SPLITS`` of every event."""
    if options.split_column:
        found = columns[options.split_column]
        _check_values(found, options.split_column, where, what="split")
        split = np.full(len(found), -1, np.int8)
        for number, part in enumerate(SPLITS):
            split[(found == part) | (found == number)] = number
        if (split < 0).any():
            wrong = printable(repr(found[split < 0].tolist()[0]))
            allowed = f"{', '.join(SPLITS)} or 0, 1, 2"
            raise DataError(f"{where}: column '{printable(options.split_column)}' must hold {allowed}; found {wrong}")
        return split
    if options.validation_path:
        return source
    shares = [options.split.train, options.split.validation, 0.0 if options.test_path else options.split.test]
    split = source.copy()
    divided = source == 0
    if groups is None:
        split[divided] = draw_splits(y[divided], fractions=shares, seed=options.split.seed)
    else:
        inside = np.unique(groups[divided], return_inverse=True)[1]
        split[divided] = draw_group_splits(y[divided], inside, fractions=shares, seed=options.split.seed)
    return split


def _inputs(columns: Columns, options: FileOptions, where: str) -> NDArray[np.float64]:
    """Columns side by side, (n_events, n_inputs), or the one array, (n_events, *shape in the file)."""
    found = {name: columns[name] for name in options.inputs}
    shape = FileTask.input_shape(options)
    if options.shape is not None and len(found) == 1:
        name, array = found.popitem()
        if array.shape[1:] != shape and array.shape[1:] != (int(np.prod(shape)),):
            raise DataError(
                f"{where}: '{printable(name)}' has shape {list(array.shape[1:])} per event, `shape` says {list(shape)}"
            )
        return array
    for name, column in found.items():
        if column.ndim != 1:
            size = list(column.shape[1:])
            raise DataError(
                f"{where}: '{printable(name)}' holds {size} numbers per event; give it alone, with `shape: {size}`"
            )
    return np.stack(list(found.values()), axis=1)


def _counted(weights: NDArray[np.float64], y: NDArray[np.int64], options: FileOptions) -> NDArray[np.float64]:
    """Weights as they count: those of rates speak of background only."""
    return np.where(y == 0, weights, 1.0) if options.rate_weights else weights


def _weights(
    columns: Columns, y: NDArray[np.int64], split: NDArray[np.int8], options: FileOptions
) -> tuple[NDArray[np.float64] | None, float | None]:
    """Event weights and the total background rate."""
    if options.rate_weights:
        rates = columns[options.rate_weights]
        total = float(rates[y == 0].sum())
        return scale_to_rate(_counted(rates, y, options), y, split, total), total
    weights = columns[options.weights] if options.weights else None
    if options.rate_khz is None:
        return weights, None
    return scale_to_rate(np.ones(len(y)) if weights is None else weights, y, split, options.rate_khz), options.rate_khz
