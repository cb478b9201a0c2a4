"""What every data set goes through between its file and the network: splits, scaling, weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import SPLITS
from fpgaml.errors import DataError

Floats = NDArray[np.float64]


def draw_splits(y: NDArray[np.int64], *, fractions: Sequence[float], seed: int) -> NDArray[np.int8]:
    """Divide events at random into the splits, each class by itself.

    Parameters
    ----------
    y : int64, shape (n_events,)
        0 or 1.
    fractions : three numbers, not negative
        Shares of ``SPLITS``; only their ratios count.
    seed : int
        The same seed gives the same splits.

    Returns
    -------
    int8, shape (n_events,)
        Position in ``SPLITS``; in either class, each split has its share to within one event.
    """
    ends = np.cumsum(fractions) / np.sum(fractions)
    split = np.empty(len(y), np.int8)
    random = np.random.default_rng(seed)
    for label in (0, 1):
        events = random.permutation(np.flatnonzero(y == label))
        for number, part in enumerate(np.split(events, np.rint(ends[:-1] * len(events)).astype(int))):
            split[part] = number
    return split


def check_classes(y: NDArray[np.int64], split: NDArray[np.int8], *, where: str) -> None:
    """Refuse data without signal or background in one of the splits.

    Raises
    ------
    DataError
        Naming the class and the split.
    """
    for label, name in ((1, "signal"), (0, "background")):
        here = y == label
        if not here.any():
            raise DataError(f"{where}: only one class: there is no {name} among {len(y)} events. Is `signal` right?")
        for number, part in enumerate(SPLITS):
            if not (here & (split == number)).any():
                raise DataError(f"{where}: no {name} in the {part} split; {int(here.sum())} {name} events in all")


_SCALINGS: dict[str, Callable[[Floats], tuple[Floats, Floats]]] = {
    # values of shape (n, n_columns) -> offset and width of every column
    "standardize": lambda x: (x.mean(axis=0), x.std(axis=0)),
    "minmax": lambda x: ((x.max(axis=0) + x.min(axis=0)) / 2, (x.max(axis=0) - x.min(axis=0)) / 2),
    "maxabs": lambda x: (np.zeros(x.shape[1]), np.abs(x).max(axis=0)),
}


def scale(
    x: Floats, training: NDArray[np.bool_], *, kind: str, names: Sequence[str] = ()
) -> tuple[Floats, dict[str, Any]]:
    """Scale inputs with constants from training events: (x - offset) * scale.

    Parameters
    ----------
    x : float64, shape (n_events, *shape)
    training : bool, shape (n_events,)
        Events that the constants come from.
    kind : str
        "none"; "standardize": mean 0, standard deviation 1; "minmax": to [-1, 1]; "maxabs": at most 1 in size, and 0
        stays 0. Events outside training may fall outside these ranges.
    names : sequence of str
        Of the columns, which are then scaled one by one. Without names, the array is scaled as a whole.

    Returns
    -------
    scaled : float64, shape of x
    constants : dict
        ``kind``, ``offset`` and ``scale``, lists of one number per column or of one for all: what firmware needs to do
        the same.

    Raises
    ------
    DataError
        An input is constant in training.
    """
    if kind == "none":
        return x, {"kind": "none"}
    offset, width = _SCALINGS[kind](x[training] if names else x[training].reshape(-1, 1))
    if (width == 0).any():
        constant = [name for name, zero in zip(names, width == 0, strict=True) if zero] if names else ["all of it"]
        raise DataError(f"inputs: constant in training: {', '.join(constant)}. Leave it out, or give `scaling: none`.")
    return (x - offset) * (1.0 / width), {"kind": kind, "offset": offset.tolist(), "scale": (1.0 / width).tolist()}


def scale_to_rate(weights: Floats, y: NDArray[np.int64], split: NDArray[np.int8], rate_khz: float) -> Floats:
    """Scale the background weights of every split, shape (n_events,), to sum to the rate in kHz; signal is left alone.

    Raises
    ------
    DataError
        The background of a split has no weight.
    """
    scaled = weights.copy()
    for number, part in enumerate(SPLITS):
        here = (split == number) & (y == 0)
        if not weights[here].any():
            raise DataError(f"weights: all of the background in the {part} split are zero, and cannot share a rate")
        scaled[here] *= rate_khz / weights[here].sum()
    return scaled


def training_weights(weights: Floats | None, y: NDArray[np.int64], *, balance: str) -> Floats | None:
    """Weights for the loss, shape (n_events,), which average to 1; None where every event counts once.

    Parameters
    ----------
    weights : float64, shape (n_events,), optional
        Event weights of any scale.
    y : int64, shape (n_events,)
    balance : str
        "events": the average is 1 in either class, so a class counts by its number of events. "classes": either class
        counts for half.

    Raises
    ------
    DataError
        All weights of a class are zero.
    """
    if weights is None and balance == "events":
        return None
    found = np.ones(len(y)) if weights is None else weights.copy()
    for label, name in ((1, "signal"), (0, "background")):
        here = y == label
        if not found[here].any():
            raise DataError(f"weights: all of {name} are zero")
        found[here] *= (here.sum() if balance == "events" else len(y) / 2) / found[here].sum()
    return found
