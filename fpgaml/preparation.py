"""What every data set goes through between its file and the network: splits, scaling, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import SPLITS
from fpgaml.errors import DataError, listed, printable

LEAST_WEIGHT = float(np.finfo(np.float32).tiny)
"""Where all weights of a class are below it, their squares may vanish in float64, and so may intervals."""

FILLED = 4.0
"""What it is worth that a split has a class at all: more than any nearness of shares."""

GROUPS = "groups"
"""What the metadata of a data set call ``count_groups``."""

FEW_GROUPS = 10
"""Below it, the variance of groups is known too badly for an interval."""

REPEATS = "repeated_inputs"
"""What the metadata of a data set call ``count_repeats``."""

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


def draw_group_splits(
    y: NDArray[np.int64], groups: NDArray[np.int64], *, fractions: Sequence[float], seed: int
) -> NDArray[np.int8]:
    """Divide whole groups of events at random into the splits.

    Groups come in random order, and each goes to the split that most lacks what it holds: first a class that is not
    there yet, then the nearest shares of both classes. Groups of any size have the same chances.

    Parameters
    ----------
    y : int64, shape (n_events,)
        0 or 1.
    groups : int64, shape (n_events,)
        From 0 to n_groups - 1.
    fractions, seed
        As ``draw_splits`` takes them.

    Returns
    -------
    int8, shape (n_events,)
        Position in ``SPLITS``, the same for all events of a group. Shares are off by about the size of a group.
    """
    sizes = np.stack([np.bincount(groups, y == label, minlength=int(groups.max()) + 1) for label in (0, 1)], axis=1)
    shares = (sizes / np.maximum(sizes.sum(axis=0), 1)).tolist()  # of all events of either class
    wanted = np.asarray(fractions) / np.sum(fractions)
    usable = np.flatnonzero(wanted > 0).tolist()
    lacking = np.stack([wanted, wanted]).tolist()  # the shares of background and of signal that splits still lack
    placed = np.empty(len(shares), np.int8)
    for group in np.random.default_rng(seed).permutation(len(shares)).tolist():
        best, most = -1, -np.inf
        for split in usable:
            gain = 0.0
            for share, lack in zip(shares[group], (lacking[0][split], lacking[1][split]), strict=True):
                if share:  # how much nearer the square of what is lacking comes to zero
                    gain += share * (2 * lack - share) + (FILLED if lack == wanted[split] else 0.0)
            if gain > most:
                best, most = split, gain
        for label, share in enumerate(shares[group]):
            lacking[label][best] -= share
        placed[group] = best
    return placed[groups]


def check_groups(groups: NDArray[np.int64], split: NDArray[np.int8], names: Sequence[object], *, where: str) -> None:
    """Refuse groups that stand in two splits.

    Parameters
    ----------
    groups : int64, shape (n_events,)
        From 0 to n_groups - 1.
    split : int8, shape (n_events,)
    names : sequence, length n_groups
        What the groups are called.
    where : str
        What a message begins with.

    Raises
    ------
    DataError
        Naming one of them, its splits, and how many there are.
    """
    events = np.stack([np.bincount(groups[split == number], minlength=len(names)) for number in range(len(SPLITS))])
    torn = np.flatnonzero((events > 0).sum(axis=0) > 1)
    if len(torn):
        parts = ", ".join(
            f"{part} ({count:,} events)" for part, count in zip(SPLITS, events[:, torn[0]], strict=True) if count
        )
        more = f"; so do {len(torn) - 1:,} others" if len(torn) > 1 else ""
        raise DataError(
            f"{where}: the group {printable(repr(names[torn[0]]))} stands in {parts}{more}. What belongs together must "
            "be in one split, or testing tells too much"
        )


def count_groups(groups: NDArray[np.int64], y: NDArray[np.int64], split: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """Number of groups with signal and with background events in every split."""
    return {
        part: {
            name: len(np.unique(groups[(split == number) & (y == label)]))
            for name, label in (("signal", 1), ("background", 0))
        }
        for number, part in enumerate(SPLITS)
    }


def few_groups_text(found: Mapping[str, Mapping[str, int]]) -> str:
    """Which intervals rest on few groups, in a sentence; empty where none does."""
    few = [
        f"{count} groups of {part} {name}"
        for part in SPLITS[1:]
        for name, count in found[part].items()
        if count < FEW_GROUPS
    ]
    if not few:
        return ""
    return f"there are only {', '.join(few)}: intervals from fewer than {FEW_GROUPS} groups are uncertain themselves"


def check_classes(
    y: NDArray[np.int64],
    split: NDArray[np.int8],
    *,
    where: str,
    weights: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
) -> None:
    """Refuse data without signal or background, or without weights for it, in one of the splits.

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
            chosen = here & (split == number)
            if not chosen.any():
                together = "" if groups is None else f", in {len(np.unique(groups[here])):,} groups that stay whole"
                raise DataError(
                    f"{where}: no {name} in the {part} split; {int(here.sum())} {name} events in all{together}"
                )
            if weights is not None and weights[chosen].max() < LEAST_WEIGHT:
                raise DataError(
                    f"{where}: the weights of all {name} in the {part} split are zero, or below {LEAST_WEIGHT:.2g}"
                )


def count_repeats(x: NDArray[np.float32], y: NDArray[np.int64], split: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """How many events have exactly the inputs of another: what training has seen, testing does not test.

    Parameters
    ----------
    x : float32, shape (n_events, *input_shape)
    y : int64, shape (n_events,)
    split : int8, shape (n_events,)

    Returns
    -------
    mapping of split to mapping
        ``events`` in the split; ``repeated``: of validation events those that have the inputs of a training event, of
        test events those that have the inputs of a training or validation event; ``other_label``: how many of these
        have the inputs of one of the other class. Of training events, for comparison, those that have the inputs of
        another training event.
    """
    hashes = _hash_rows(x)
    found = {}
    for number, part in enumerate(SPLITS):
        here, earlier = split == number, split < number
        if number == 0:
            _, place, counts = np.unique(hashes[here], return_inverse=True, return_counts=True)
            found[part] = {"events": int(here.sum()), "repeated": int((counts[place] > 1).sum())}
            continue
        crossed = sum(
            int(np.isin(hashes[here & (y == label)], hashes[earlier & (y == 1 - label)]).sum()) for label in (0, 1)
        )
        repeated = int(np.isin(hashes[here], hashes[earlier]).sum())
        found[part] = {"events": int(here.sum()), "repeated": repeated, "other_label": crossed}
    return found


def _hash_rows(x: NDArray[np.float32], step: int = 65_536) -> NDArray[np.int64]:
    """A number for each row, shape (n_events,), the same for equal rows of this process and else hardly ever."""
    rows = x.reshape(len(x), -1)
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), step):
        part = np.ascontiguousarray(rows[start : start + step] + np.float32(0.0))  # -0.0 is 0.0
        found[start : start + step] = [hash(row.tobytes()) for row in part]
    return found


def check_repeats(found: Mapping[str, Mapping[str, int]], *, where: str) -> None:
    """Refuse test or validation events that are all copies of earlier ones, where the data do not repeat by nature.

    They do where half of the training events have inputs that another training event has, as a few coarse inputs make
    it.

    Raises
    ------
    DataError
        Naming the split.
    """
    if 2 * found["train"]["repeated"] >= found["train"]["events"]:
        return
    for part in SPLITS[1:]:
        if found[part]["repeated"] == found[part]["events"]:
            raise DataError(
                f"{where}: every one of the {found[part]['events']:,} {part} events has exactly the inputs of an event "
                f"in {_EARLIER[part]}: they test nothing. Has a file been copied?"
            )


NO_REPEATS = "No validation or test event has exactly the inputs of an event in an earlier split."

_EARLIER = {"validation": "training", "test": "training or validation"}


def repeats_text(found: Mapping[str, Mapping[str, int]]) -> str:
    """What ``count_repeats`` has found, in a sentence; empty where validation and test repeat nothing."""
    told = [
        f"{_share(found[part])} {part} events have exactly the inputs of an event in {earlier} "
        f"({found[part]['other_label']:,} of them of one of the other class)"
        for part, earlier in _EARLIER.items()
        if found[part]["repeated"]
    ]
    if not told:
        return ""
    return f"{'; '.join(told)}. Within training, it is {_share(found['train'])} events."


def _share(found: Mapping[str, int]) -> str:
    return f"{found['repeated']:,} of {found['events']:,} ({100 * found['repeated'] / found['events']:.3g} %)"


_SCALINGS: dict[str, Callable[[Floats], tuple[Floats, Floats]]] = {
    # values of shape (n, n_columns) -> offset and width of every column
    "standardize": lambda x: (x.mean(axis=0), x.std(axis=0)),
    "minmax": lambda x: ((x.max(axis=0) + x.min(axis=0)) / 2, (x.max(axis=0) - x.min(axis=0)) / 2),
    "maxabs": lambda x: (np.zeros(x.shape[1]), np.abs(x).max(axis=0)),
}


def scale(
    x: Floats, training: NDArray[np.bool_], *, kind: str, where: str = "data", names: Sequence[str] = ()
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
    where : str
        What a message begins with.
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
    values = x[training] if names else x[training].reshape(-1, 1)
    offset, width = _SCALINGS[kind](values)
    with np.errstate(all="ignore"):
        factor = 1.0 / width
        scaled = x - offset
        scaled *= factor
    # the width of equal values may be a rounding error, and that of hardly different ones beyond what can be inverted
    constant = (values.max(axis=0) == values.min(axis=0)) | ~np.isfinite(factor)
    if constant.any():
        shown = listed([name for name, same in zip(names, constant, strict=True) if same]) if names else "all of it"
        raise DataError(f"{where}: inputs constant in training: {shown}. Leave it out, or give `scaling: none`.")
    return scaled, {"kind": kind, "offset": offset.tolist(), "scale": factor.tolist()}


def as_float32(x: Floats, *, where: str, names: Sequence[str] = ()) -> NDArray[np.float32]:
    """Inputs as the network sees them, shape of x.

    Raises
    ------
    DataError
        A number is beyond what float32 holds; it names row and input.
    """
    with np.errstate(over="ignore"):
        found = x.astype(np.float32)
    beyond = ~np.isfinite(found.reshape(len(found), -1))
    if beyond.any():
        row, column = (int(place) for place in np.argwhere(beyond)[0])
        which = f"'{printable(names[column])}'" if names else f"number {column}"
        value = x.reshape(len(x), -1)[row, column]
        raise DataError(
            f"{where}: input {which} of row {row} (counted from 0) is {value:.6g} after scaling, beyond what float32 "
            "holds: training events are far smaller. Remove the row, or give `scaling: none`."
        )
    return found


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
