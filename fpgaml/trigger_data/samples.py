"""Training, validation and test samples, mixed from pools that no two splits share."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import SPLITS
from fpgaml.errors import DataError
from fpgaml.trigger_data.crossings import Crossings, mix
from fpgaml.trigger_data.event_pool import EventPool
from fpgaml.trigger_data.images import NO_GROUP, collision_images
from fpgaml.trigger_data.strata import Occupancy, share_out, stratum_rates

if TYPE_CHECKING:
    from rich.progress import Progress

POOL_FRACTIONS = (0.35, 0.25, 0.4)
"""Parts of every pool that training, validation and test draw from."""
CROSSING_SHARES = (2.0, 2.0, 4.0, 8.0, 12.0, 15.0, 14.0, 11.0, 9.0, 8.0, 6.0, 4.5, 3.0, 1.5, 1.0)
"""How background crossings are shared out: without a hard collision first, then by the bin of the hardest. Most go
where a trigger of 10 kHz cuts."""
PART = 2.0
"""Soft collisions in a part of the pools, for each one that a crossing takes: few parts would tell little of how much
they differ, and of small ones crossings would share nearly all."""
FEWEST_PARTS = 8
FEWEST_IN_PART = 5
"""Hard or signal collisions of each kind."""
SCALE_PERCENTILE = 99.99
SCALE_CROSSINGS = 4000  # per stratum, from which the percentile is taken


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of crossings in one split."""

    signal: int
    background: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Crossings of all splits.

    The columns are those of ``Dataset``; ``stratum`` counts from 0 (no hard collision), and is -1 for signal. Parts of
    each split's pools count from 0; training draws from all of its pools.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    split: NDArray[np.int8]
    weights: NDArray[np.float64]
    groups: NDArray[np.int64]
    pool_parts: NDArray[np.int64]
    stratum: NDArray[np.int64]
    quantities: Mapping[str, NDArray[np.float64]]
    rates_khz: NDArray[np.float64]
    scale_gev: float


def split_slices(n_events: int) -> tuple[slice, slice, slice]:
    """The parts of a pool that training, validation and test draw from: contiguous and disjoint.

    Raises
    ------
    DataError
        The pool is too small for every split to have a collision.
    """
    ends = [0, *(round(n_events * fraction) for fraction in np.cumsum(POOL_FRACTIONS))]
    parts = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
    if any(part.stop <= part.start for part in parts):
        raise DataError(f"trigger data: a pool of {n_events} collisions cannot be split in three; ask for at least 10")
    return parts[0], parts[1], parts[2]


def count_parts(first: Sequence[int], *, soft: float) -> int:
    """Into how many parts to divide a split's pools.

    One where there are too few collisions for parts: how much crossings depend on them cannot be told then.

    Parameters
    ----------
    first : sequence of int
        As in ``CollisionImages``.
    soft : float
        Mean number of soft collisions in a crossing.
    """
    n_soft, *others = np.diff(first).tolist()
    found = int(min(n_soft / (PART * soft), min(others) / FEWEST_IN_PART))
    return found if found >= FEWEST_PARTS else 1


def mix_samples(
    pools: Sequence[EventPool],
    counts: Mapping[str, Counts],
    *,
    pile_up: float,
    total_khz: float,
    removal_efficiency: float,
    lowest_edge_gev: float,
    shape: tuple[int, int],
    seed: int,
    progress: Progress | None = None,
) -> Samples:
    """Mix the crossings of all splits.

    Parameters
    ----------
    pools : soft, hard bins in ascending order, signal
    counts : mapping of split to Counts
    pile_up : float
        Mean number of inelastic collisions in a crossing.
    total_khz : float
        Rate of all crossings.
    removal_efficiency : float
        Probability that a charged pile-up particle in the tracker's acceptance is removed.
    lowest_edge_gev : float
        Hard scale from which on the hard bins supply collisions.
    shape : (eta cells, phi cells)
    seed : int
    progress : rich.progress.Progress, optional

    Returns
    -------
    Samples
        With ``x`` of shape (n, *shape, 1), in units of ``scale_gev``; the events of a split are in random order.
    """
    occupancy = Occupancy.from_cross_sections(
        pile_up=pile_up, inelastic_mb=pools[0].sigma_mb, hard_mb=[pool.sigma_mb for pool in pools[1:-1]]
    )
    rates = stratum_rates(occupancy, total_khz=total_khz)
    total = sum(count.signal + count.background for count in counts.values())
    task = None if progress is None else progress.add_task("mixing crossings", total=total)
    columns = _Columns(total, shape)
    first_groups = np.cumsum([0, *(len(pool) for pool in pools)])[:-1].tolist()
    for number, split in enumerate(SPLITS):
        parts = [split_slices(len(pool))[number] for pool in pools]
        collisions = collision_images(
            [pool[part] for pool, part in zip(pools, parts, strict=True)],
            first_groups=[first + part.start for first, part in zip(first_groups, parts, strict=True)],
            shape=shape,
            removal_efficiency=removal_efficiency,
            soft_veto_gev=lowest_edge_gev,
            seed=_seed(seed, f"removed particles, {split}"),
        )
        n_parts = 1 if split == "train" else count_parts(collisions.first, soft=occupancy.soft)
        sizes = [*share_out(counts[split].background, CROSSING_SHARES[: len(rates)]).tolist(), counts[split].signal]
        order = np.random.default_rng(_seed(seed, f"order, {split}")).permutation(sum(sizes)) + columns.used
        for leading, size in enumerate(sizes):
            at, order = order[:size], order[size:]
            is_signal = leading == len(rates)
            columns.split[at] = number
            columns.y[at] = is_signal
            columns.weights[at] = 1.0 if is_signal else rates[leading] / size
            columns.stratum[at] = -1 if is_signal else leading
            rng = np.random.default_rng(_seed(seed, f"crossings, {split}, {leading}"))
            columns.fill(at, mix(collisions, occupancy, size, leading=leading, rng=rng, n_parts=n_parts))
            if progress is not None and task is not None:
                progress.advance(task, size)
    alone = columns.groups == NO_GROUP
    columns.groups[alone] = -1 - np.arange(np.count_nonzero(alone))
    scale = image_scale(columns.x, columns.weights, np.where(columns.split == 0, columns.stratum, -1))
    columns.x /= np.float32(scale)
    if progress is not None and task is not None:
        progress.remove_task(task)
    return Samples(
        x=columns.x.reshape(-1, *shape, 1),
        y=columns.y,
        split=columns.split,
        weights=columns.weights,
        groups=columns.groups,
        pool_parts=columns.pool_parts,
        stratum=columns.stratum,
        quantities=columns.quantities,
        rates_khz=rates,
        scale_gev=scale,
    )


def image_scale(images: NDArray[np.float32], weights: NDArray[np.float64], stratum: NDArray[np.int64]) -> float:
    """The 99.99th percentile, in GeV, of the non-zero cells of crossings with ``stratum >= 0``.

    Every crossing counts with its weight. The first crossings of each stratum are enough; they take the weight of all.

    Raises
    ------
    DataError
        No such crossing has a particle.
    """
    values, importance = [], []
    for number in np.unique(stratum[stratum >= 0]):
        chosen = np.flatnonzero(stratum == number)[:SCALE_CROSSINGS]
        cells = images[chosen].ravel()
        values.append(cells[cells > 0])
        importance.append(np.full(len(values[-1]), weights[stratum == number].sum() / len(chosen)))
    cells, weight = np.concatenate(values), np.concatenate(importance)
    if len(cells) == 0:
        raise DataError(
            "trigger data: no training background crossing has a particle; there is nothing to scale images by"
        )
    order = np.argsort(cells, kind="stable")
    reached = np.cumsum(weight[order])
    return float(cells[order][np.searchsorted(reached, SCALE_PERCENTILE / 100 * reached[-1])])


class _Columns:
    """Columns of the samples while they are filled."""

    def __init__(self, total: int, shape: tuple[int, int]) -> None:
        self.used = 0
        self.x = np.empty((total, shape[0] * shape[1]), dtype=np.float32)
        self.y = np.zeros(total, dtype=np.int64)
        self.split = np.zeros(total, dtype=np.int8)
        self.weights = np.zeros(total)
        self.groups = np.zeros(total, dtype=np.int64)
        self.pool_parts = np.zeros(total, dtype=np.int64)
        self.stratum = np.zeros(total, dtype=np.int64)
        names = ("ht_gev", "m4b_gev", "hard_scale_gev", "collisions")
        self.quantities = {name: np.full(total, np.nan) for name in names}

    def fill(self, at: NDArray[np.int64], blocks: Iterable[Crossings]) -> None:
        """Put crossings where ``at`` says."""
        self.used += len(at)
        for block in blocks:
            here, at = at[: len(block.group)], at[len(block.group) :]
            self.x[here] = block.images
            self.groups[here] = block.group
            self.pool_parts[here] = block.pool_part
            for name, column in self.quantities.items():
                column[here] = getattr(block, name)


def _seed(seed: int, purpose: str) -> int:
    """A seed of its own for every purpose, so that one sample's size does not change another's events."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
