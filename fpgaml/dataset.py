"""A data set in memory: inputs, labels, weights and splits, checked once and never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import DataError, did_you_mean

SPLITS = ("train", "validation", "test")
_OPTIONAL = ("weights", "training_weights", "groups")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Events with what training and evaluation need to know of them.

    Parameters
    ----------
    x : float32, shape (n_events, *input_shape)
        Network inputs, before quantization.
    y : int64, shape (n_events,)
        1 for signal, 0 for background.
    split : int8, shape (n_events,)
        Position in ``SPLITS``: 0 train, 1 validation, 2 test.
    weights : float64, shape (n_events,), optional
        Event weights, not negative. Where ``rate_khz`` is given, the background of every split has weights in kHz that
        sum to it, so that a trigger rate is the sum of the weights that pass. None: every event counts once.
    training_weights : float64, shape (n_events,), optional
        Weights in the loss; the task decides them. None: every event counts once.
    groups : int64, shape (n_events,) or (n_events, n_levels), optional
        Events that belong together, as those do that share a generated event, have the same number: they are not
        independent, and intervals respect that. Groups of groups have further columns: see
        ``fpgaml.dependence``.
    quantities : mapping of name to float64, shape (n_events,)
        What is known of an event beside its inputs, such as ``ht_gev`` for a turn-on curve.
    names : tuple of str
        Names of the inputs, where they are columns; empty otherwise.
    rate_khz : float, optional
        The rate of all background, in kHz.
    metadata : mapping
        How the data came to be; must be JSON.

    Raises
    ------
    DataError
        Shapes that do not match, values that are not finite, labels other than 0 and 1, negative weights.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    split: NDArray[np.int8]
    weights: NDArray[np.float64] | None = None
    training_weights: NDArray[np.float64] | None = None
    groups: NDArray[np.int64] | None = None
    quantities: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: MappingProxyType({}))
    names: tuple[str, ...] = ()
    rate_khz: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        n_events = len(self.x)
        for name, column in self.columns().items():
            if len(column) != n_events:
                raise DataError(f"data set: {name} has {len(column)} events, x has {n_events}")
            if column.dtype.kind == "f" and not np.isfinite(column).all():
                if name.startswith("quantities."):
                    continue  # a quantity that does not apply to an event is NaN
                bad = int(np.flatnonzero(~np.isfinite(column).reshape(n_events, -1).all(axis=1))[0])
                raise DataError(f"data set: {name} is not finite, first in event {bad}. Clean or drop such events.")
        if not np.isin(self.y, (0, 1)).all():
            raise DataError(
                f"data set: labels must be 0 (background) or 1 (signal), found {np.unique(self.y)[:8].tolist()}"
            )
        for name in ("weights", "training_weights"):
            column = getattr(self, name)
            if column is not None and (column < 0).any():
                raise DataError(f"data set: {name} must not be negative, found {column.min()}")

    def columns(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, those of ``quantities`` as "quantities.<name>"; what is None is left out."""
        optional = {name: getattr(self, name) for name in _OPTIONAL}
        return {
            "x": self.x,
            "y": self.y,
            "split": self.split,
            **{name: column for name, column in optional.items() if column is not None},
            **{f"quantities.{name}": column for name, column in self.quantities.items()},
        }

    def __len__(self) -> int:
        return len(self.x)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one event's inputs."""
        return self.x.shape[1:]

    @property
    def loss_weights(self) -> NDArray[np.float64]:
        """Training weights with mean 1, so that the loss does not depend on their unit; ones where there are none."""
        weights = np.ones(len(self)) if self.training_weights is None else self.training_weights
        normalized: NDArray[np.float64] = weights / weights.mean()
        return normalized

    def select(self, chosen: NDArray[np.bool_]) -> Dataset:
        """The events for which ``chosen``, shape (n_events,), is true."""
        optional = {name: getattr(self, name) for name in _OPTIONAL}
        chosen_optional: dict[str, Any] = {
            name: None if column is None else column[chosen] for name, column in optional.items()
        }
        return replace(
            self,
            x=self.x[chosen],
            y=self.y[chosen],
            split=self.split[chosen],
            **chosen_optional,
            quantities={name: column[chosen] for name, column in self.quantities.items()},
        )

    def part(self, split: str) -> Dataset:
        """The events of one split: "train", "validation" or "test".

        Raises
        ------
        DataError
            No such split, or no events in it.
        """
        if split not in SPLITS:
            raise DataError(f"unknown split {split!r}; {did_you_mean(split, SPLITS)}")
        chosen = self.split == SPLITS.index(split)
        if not chosen.any():
            raise DataError(f"data set: the {split} split has no events")
        return self.select(chosen)

    @property
    def sha256(self) -> str:
        """Hash of everything that the data set holds."""
        digest = hashlib.sha256(json.dumps([self.names, self.rate_khz, dict(self.metadata)], sort_keys=True).encode())
        for name, column in sorted(self.columns().items()):
            digest.update(f"{name} {column.dtype.str} {column.shape}".encode())
            digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()
