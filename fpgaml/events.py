"""Events without their inputs, and the scores that models give them: what a judgement of a model needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import SPLITS, Dataset
from fpgaml.errors import OutputError
from fpgaml.storage import atomic_path, read_arrays

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_COLUMNS = ("y", "split", "weights", "groups")


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Validation and test events without their inputs: what a score has to be judged with.

    Parameters
    ----------
    y : int64, shape (n_events,)
        1 for signal, 0 for background.
    split : int8, shape (n_events,)
        Position in ``fpgaml.dataset.SPLITS``.
    weights : float64, shape (n_events,), optional
        Event weights; in kHz for background where there is a rate.
    groups : int64, shape (n_events,) or (n_events, n_levels), optional
        Events that are not independent have the same number, as in ``Dataset``.
    quantities : mapping of name to float64, shape (n_events,), optional
        What else is known of the events.
    """

    y: NDArray[np.int64]
    split: NDArray[np.int8]
    weights: Floats | None = None
    groups: NDArray[np.int64] | None = None
    quantities: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, dataset: Dataset) -> Events:
        """The validation and test events of a data set, in its order."""
        kept = dataset.select(dataset.split != SPLITS.index("train"))
        return cls(**{name: getattr(kept, name) for name in _COLUMNS}, quantities=kept.quantities)

    @classmethod
    def load(cls, path: Path) -> Events:
        """Read ``events.npz``.

        Raises
        ------
        OutputError
            The file is not there, or is not what ``save`` writes.
        """
        if not path.exists():
            raise OutputError(
                f"{path}: not found. `fpgaml train` writes it (and `fpgaml run`, which does every stage)."
            )
        columns = read_arrays(path)
        if missing := {"y", "split"} - set(columns):
            raise OutputError(f"{path}: has no column {min(missing)!r}; found {', '.join(sorted(columns))}")
        quantities = {
            unquote(name.removeprefix("quantities.")): column
            for name, column in columns.items()
            if name.startswith("quantities.")
        }
        return cls(**{name: columns.get(name) for name in _COLUMNS}, quantities=quantities)  # type: ignore[arg-type]

    def save(self, path: Path) -> None:
        """Write ``events.npz``, whole or not at all."""
        columns = {name: getattr(self, name) for name in _COLUMNS if getattr(self, name) is not None}
        columns |= {f"quantities.{quote(name, safe='')}": column for name, column in self.quantities.items()}
        with atomic_path(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns)

    def chosen(self, split: str, *, signal: bool | None = None) -> Bools:
        """Mask of the events of one split; only signal or only background where ``signal`` is given."""
        mask = np.asarray(self.split == SPLITS.index(split))
        return mask if signal is None else mask & (self.y == int(signal))

    def count(self, split: str, *, signal: bool) -> int:
        """Number of signal or background events in a split."""
        return int(self.chosen(split, signal=signal).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Logits of one model, in the order of the validation and of the test events.

    Parameters
    ----------
    validation : float64, shape (n_validation,), optional
        Not needed for the csim, which takes over the QKeras model's thresholds: they are what the firmware carries.
    test : float64, shape (n_test,)
        Logits of the test events.
    """

    validation: Floats | None = None
    test: Floats


def at(column: NDArray[Any] | None, chosen: Bools) -> NDArray[Any] | None:
    """The chosen events of a column that there may not be; then None."""
    return None if column is None else column[chosen]
