"""The user's own data set: a table or arrays in a file, with the study naming what is what."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from fpgaml.data_files import Columns, file_format, numbers, read_columns
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.errors import DataError, did_you_mean
from fpgaml.field_types import Seed
from fpgaml.metrics import Target
from fpgaml.preparation import check_classes, draw_splits, scale, scale_to_rate, training_weights
from fpgaml.tasks import Task, TaskOptions

if TYPE_CHECKING:
    from rich.progress import Progress


def _paths(value: Any, info: pydantic.ValidationInfo) -> Any:
    """One path or several, relative to the study file, as a tuple of Path."""
    if isinstance(value, (str, Path)):
        value = (value,)
    if not isinstance(value, tuple) or not value or not all(isinstance(item, (str, Path)) for item in value):
        raise ValueError("must be the path of a file, or a list of such paths")
    base = Path((info.context or {}).get("base", "."))
    return tuple((base / Path(item).expanduser()).absolute() for item in value)


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Paths = Annotated[tuple[Path, ...], pydantic.BeforeValidator(_paths)]
Names = Annotated[tuple[str, ...], pydantic.BeforeValidator(_one_or_more)]
Fraction = Annotated[float, pydantic.Field(gt=0, lt=1)]
Rate = Annotated[float, pydantic.Field(gt=0, le=1e9)]


class Fractions(TaskOptions):
    """Shares of the three splits, drawn at random within each class; the same seed draws the same events."""

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
        Files that are read one after another.
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
    table: str | None = None
    inputs: Names = pydantic.Field(min_length=1)
    shape: tuple[pydantic.PositiveInt, ...] | None = None
    label: str
    signal: bool | int | float | str
    weights: str | None = None
    rate_khz: Rate | None = None
    rate_weights: str | None = None
    training_weights: Literal["events", "classes"] = "events"
    quantities: Names = ()
    split: Fractions = Fractions()
    split_column: str | None = None
    scaling: Literal["none", "standardize", "minmax", "maxabs"] = "none"
    background_efficiencies: tuple[Fraction, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    rates_khz: tuple[Rate, ...] = ()

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> FileOptions:
        for name in ("inputs", "header", "quantities"):
            names = getattr(self, name)
            twice = sorted(item for item, count in Counter(names).items() if count > 1)
            if twice:
                raise ValueError(f"{name} names {', '.join(twice)} more than once")
        wanted = (*self.inputs, self.label, self.weights, self.rate_weights, self.split_column, *self.quantities)
        for name in filter(None, wanted):
            if self.header and name not in self.header:
                raise ValueError(f"header has no column {name!r}; {did_you_mean(name, self.header)}")
        if self.label in self.inputs:
            raise ValueError(f"the label {self.label!r} is among the inputs: the network would be told the answer")
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
        if self.shape and len(self.inputs) > 1 and int(np.prod(self.shape)) != len(self.inputs):
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
        where = ", ".join(path.name for path, _ in _files(options))
        columns, source = _read_all(options, progress)
        y = _labels(columns[options.label], options, where)
        split = _splits(columns, source, y, options, where)
        check_classes(y, split, where=where)
        names = options.inputs if len(options.inputs) > 1 or options.shape is None else ()
        x, scaling = scale(_inputs(columns, options, where), split == 0, kind=options.scaling, names=names)
        weights, rate_khz = _weights(columns, y, split, options)
        return Dataset(
            x=x.reshape(len(x), *FileTask.input_shape(options)).astype(np.float32),
            y=y,
            split=split,
            weights=weights,
            training_weights=training_weights(weights, y, balance=options.training_weights),
            quantities={name: columns[name] for name in options.quantities},
            names=names,
            rate_khz=rate_khz,
            metadata={
                "task": "file",
                "files": _identities(options),
                "inputs": list(options.inputs),
                "label": options.label,
                "signal": options.signal,
                "scaling": scaling,
                "split": options.split_column or options.split.model_dump(),
                "training_weights": options.training_weights,
            },
        )


def _files(options: FileOptions) -> list[tuple[Path, int]]:
    """Every file with the position in ``SPLITS`` that it is for; those for training may be divided further."""
    groups = (options.path, options.validation_path or (), options.test_path or ())
    return [(path, number) for number, paths in enumerate(groups) for path in paths]


def _read_all(options: FileOptions, progress: Progress | None) -> tuple[Columns, NDArray[np.int8]]:
    """The columns of all files, joined and checked, and for each event the split that its file is for."""
    weights = [name for name in (options.weights, options.rate_weights) if name]
    others = [options.label, *options.quantities, *([options.split_column] if options.split_column else [])]
    files = _files(options)
    bar = progress.add_task("reading data", total=len(files)) if progress else None
    parts: list[Columns] = []
    for path, _ in files:
        part = read_columns(
            path,
            [*options.inputs, *weights, *others],
            format=options.format,
            header=options.header,
            table=options.table,
        )
        checked = numbers(part, [*options.inputs, *weights], where=str(path))
        kept = numbers(part, options.quantities, where=str(path), finite=False)
        _check_columns(part, [*weights, *others], checked, weights, path)
        parts.append({**part, **kept, **checked})
        if progress and bar is not None:
            progress.advance(bar)
    for (path, _), part in zip(files, parts, strict=True):
        for name, column in part.items():
            first = parts[0][name].shape[1:]
            if column.shape[1:] != first:
                raise DataError(f"{path}: {name!r} has shape {column.shape[1:]} per event, {first} in {files[0][0]}")
    source = np.repeat([number for _, number in files], [len(part[options.label]) for part in parts])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, source.astype(np.int8)


def _check_columns(part: Columns, single: list[str], checked: Columns, weights: list[str], path: Path) -> None:
    for name in single:
        if part[name].ndim != 1:
            raise DataError(f"{path}: {name!r} must hold one value per event, not {list(part[name].shape[1:])}")
    for name in weights:
        negative = np.flatnonzero(checked[name] < 0)
        if len(negative):
            raise DataError(f"{path}: {len(negative)} weights in {name!r} are negative, the first in row {negative[0]}")


def _identities(options: FileOptions) -> list[dict[str, str]]:
    """Name and hash of every file: what was read, wherever it lay."""
    found = []
    for path, number in _files(options):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kind = file_format(path, options.format)
        found.append({"name": path.name, "for": SPLITS[number], "format": kind, "sha256": digest})
    return found


def _labels(column: NDArray[Any], options: FileOptions, where: str) -> NDArray[np.int64]:
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    if column.dtype == object:
        missing = np.equal(column, np.array(None)).astype(bool)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise DataError(f"{where}: {missing.sum()} events have no label in {options.label!r}, the first in row {first}")
    values = list(dict.fromkeys(column.tolist()))
    if options.signal not in values:
        shown = ", ".join(repr(value) for value in sorted(values, key=str)[:10]) + (", ..." if len(values) > 10 else "")
        raise DataError(
            f"{where}: no event has the label {options.signal!r} that `signal` names; {options.label!r} holds {shown}"
        )
    return np.asarray(column == options.signal).astype(np.int64)


def _splits(
    columns: Columns, source: NDArray[np.int8], y: NDArray[np.int64], options: FileOptions, where: str
) -> NDArray[np.int8]:
    """Position in ``SPLITS`` of every event."""
    if options.split_column:
        found = columns[options.split_column]
        split = np.full(len(found), -1, np.int8)
        for number, part in enumerate(SPLITS):
            split[(found == part) | (found == number)] = number
        if (split < 0).any():
            wrong = found[split < 0].tolist()[0]
            allowed = f"{', '.join(SPLITS)} or 0, 1, 2"
            raise DataError(f"{where}: column {options.split_column!r} must hold {allowed}; found {wrong!r}")
        return split
    if options.validation_path:
        return source
    shares = [options.split.train, options.split.validation, 0.0 if options.test_path else options.split.test]
    split = source.copy()
    divided = source == 0
    split[divided] = draw_splits(y[divided], fractions=shares, seed=options.split.seed)
    return split


def _inputs(columns: Columns, options: FileOptions, where: str) -> NDArray[np.float64]:
    """Columns side by side, (n_events, n_inputs), or the one array, (n_events, *shape in the file)."""
    found = {name: columns[name] for name in options.inputs}
    shape = FileTask.input_shape(options)
    if options.shape is not None and len(found) == 1:
        name, array = found.popitem()
        if array.shape[1:] != shape and array.shape[1:] != (int(np.prod(shape)),):
            raise DataError(
                f"{where}: {name!r} has shape {list(array.shape[1:])} per event, `shape` says {list(shape)}"
            )
        return array
    for name, column in found.items():
        if column.ndim != 1:
            size = list(column.shape[1:])
            raise DataError(f"{where}: {name!r} holds {size} numbers per event; give it alone, with `shape: {size}`")
    return np.stack(list(found.values()), axis=1)


def _weights(
    columns: Columns, y: NDArray[np.int64], split: NDArray[np.int8], options: FileOptions
) -> tuple[NDArray[np.float64] | None, float | None]:
    """Event weights and the total background rate."""
    if options.rate_weights:
        rates = columns[options.rate_weights]
        total = float(rates[y == 0].sum())
        return scale_to_rate(np.where(y == 0, rates, 1.0), y, split, total), total
    weights = columns[options.weights] if options.weights else None
    if options.rate_khz is None:
        return weights, None
    return scale_to_rate(np.ones(len(y)) if weights is None else weights, y, split, options.rate_khz), options.rate_khz
