"""Bunch crossings: collisions drawn from pools, turned and mirrored at random, added up to images.

Everything works on blocks of crossings without a Python loop over events. Soft collisions are summed as the product of
a sparse matrix (which collision is in which crossing) and the images of the pool. Each collision should come in a
random orientation; for the soft ones a block draws a few orientations, splits the Poisson number of collisions into
one independent Poisson number for each, and turns the sums.

Pools are small beside what crossings take from them: each soft collision stands in many crossings, and what these have
in common is an uncertainty that no count of crossings shows. So pools may be divided into parts, and a crossing takes
all of its collisions from one part, soft ones never twice. Crossings of different parts then share nothing, and how
much parts differ tells that uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml.trigger_data.images import NO_GROUP, CollisionImages, orientations
from fpgaml.trigger_data.strata import Occupancy, truncated_poisson

BLOCK = 2048
SOFT_ORIENTATIONS = 8  # of a block; every further one costs a pass over its images


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossings:
    """A block of crossings.

    Parameters
    ----------
    images : float32, shape (n, cells)
        pT in GeV.
    group : int64, shape (n,)
        The group of the leading collision, the signal or the hardest; ``NO_GROUP`` without any.
    pool_part : int64, shape (n,)
        The part of the pools, from 0.
    hard_scale_gev, ht_gev, m4b_gev : float64, shape (n,)
        Of the leading collision; NaN without any.
    collisions : float64, shape (n,)
        How many, the leading one included.
    """

    images: NDArray[np.float32]
    group: NDArray[np.int64]
    pool_part: NDArray[np.int64]
    hard_scale_gev: NDArray[np.float64]
    ht_gev: NDArray[np.float64]
    m4b_gev: NDArray[np.float64]
    collisions: NDArray[np.float64]


def mix(
    collisions: CollisionImages,
    occupancy: Occupancy,
    n_crossings: int,
    *,
    leading: int,
    rng: np.random.Generator,
    n_parts: int = 1,
) -> Iterator[Crossings]:
    """Mix crossings, block after block.

    Parameters
    ----------
    collisions : CollisionImages
        Where collisions are drawn from.
    occupancy : Occupancy
        Mean numbers of collisions by kind, pile-up included.
    n_crossings : int
    leading : int
        The kind that leads: 0 for no hard collision, ``i`` for the hardest collision in bin ``i - 1``,
        ``len(occupancy.hard) + 1`` for signal on top of ordinary crossings.
    rng : numpy.random.Generator
    n_parts : int
        Parts of the pools; with 1, collisions come from all of them, and soft ones may come twice.
    """
    tables = orientations(collisions.shape)
    done = 0
    while done < n_crossings:
        size = min(BLOCK, n_crossings - done)
        yield _Block(collisions, occupancy, size, tables=tables, leading=leading, rng=rng, n_parts=n_parts).mixed()
        done += size


class _Block:
    """The crossings of one block while they are put together."""

    def __init__(
        self,
        collisions: CollisionImages,
        occupancy: Occupancy,
        size: int,
        *,
        tables: NDArray[np.int64],
        leading: int,
        rng: np.random.Generator,
        n_parts: int,
    ) -> None:
        self.source = collisions
        self.occupancy = occupancy
        self.size = size
        self.leading = leading
        self.rng = rng
        self.n_parts = n_parts
        self.part = rng.integers(0, n_parts, size) if n_parts > 1 else np.zeros(size, dtype=np.int64)
        self.tables = tables
        self.images = np.zeros((size, collisions.n_cells), dtype=np.float32)
        self.collisions = np.zeros(size, dtype=np.int64)
        # The collision that the tracker takes for the primary one: the largest summed pT of tracks so far.
        self.vertex_pt = np.full(size, -1.0, dtype=np.float32)
        self.vertex_row = np.zeros(size, dtype=np.int64)
        self.vertex_table = np.zeros(size, dtype=np.int64)
        self.leading_row = np.full(size, -1, dtype=np.int64)

    def mixed(self) -> Crossings:
        self._add_soft()
        n_bins = len(self.occupancy.hard)
        for kind in range(1, n_bins + 1):
            mean = self.occupancy.hard[kind - 1]
            if kind < self.leading:
                self._add_hard(kind, self.rng.poisson(mean, self.size))
            elif kind == self.leading:
                self._add_hard(kind, truncated_poisson(mean, self.size, self.rng))
        if self.leading == n_bins + 1:
            self._add_hard(self.leading, np.ones(self.size, dtype=np.int64))
        self._restore_vertex()
        row, led = self.leading_row, self.leading_row >= 0
        return Crossings(
            images=self.images,
            group=np.where(led, self.source.group[row], NO_GROUP),
            pool_part=self.part,
            hard_scale_gev=np.where(led, self.source.hard_scale_gev[row], np.nan),
            ht_gev=np.where(led, self.source.ht_gev[row], np.nan),
            m4b_gev=np.where(led, self.source.m4b_gev[row], np.nan),
            collisions=self.collisions.astype(np.float64),
        )

    def _add_soft(self) -> None:
        from scipy.sparse import csr_array

        first, last = self.source.first[:2]
        pool = self.source.pile_up[first:last]
        drawn = None if self.n_parts == 1 else _Shuffled(last - first, self.part, self.n_parts, self.rng)
        for table in self.rng.choice(len(self.tables), SOFT_ORIENTATIONS):
            counts = self.rng.poisson(self.occupancy.soft / SOFT_ORIENTATIONS, self.size)
            starts = np.concatenate([[0], np.cumsum(counts)])
            rows = self.rng.integers(first, last, starts[-1]) if drawn is None else first + drawn.next(counts, starts)
            ones = np.ones(len(rows), dtype=np.float32)
            summed = csr_array((ones, rows - first, starts), shape=(self.size, len(pool))) @ pool
            self.images += np.take(summed, self.tables[table], axis=1)
            self.collisions += counts
            self._offer_vertex(counts, rows, np.full(len(rows), table))

    def _add_hard(self, kind: int, counts: NDArray[np.int64]) -> None:
        from scipy.sparse import csr_array

        first, last = self.source.first[kind : kind + 2]
        starts = np.concatenate([[0], np.cumsum(counts)])
        size = (last - first) // self.n_parts  # what is left over is in no part
        rows = first + np.repeat(self.part, counts) * size + self.rng.integers(0, size, starts[-1])
        tables = self.rng.integers(0, len(self.tables), len(rows))
        which = csr_array(
            (np.ones(len(rows), dtype=np.float32), np.arange(len(rows)), starts), shape=(self.size, len(rows))
        )
        self.images += which @ self._turned(self.source.pile_up, rows, tables)
        self.collisions += counts
        self._offer_vertex(counts, rows, tables)
        if kind == self.leading:
            crossing, best = _largest(self.source.hard_scale_gev[rows], counts)
            self.leading_row[crossing] = rows[best]

    def _turned(
        self, images: NDArray[np.float32], rows: NDArray[np.int64], tables: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return np.take(images.reshape(-1), rows[:, None] * self.source.n_cells + self.tables[tables])

    def _offer_vertex(self, counts: NDArray[np.int64], rows: NDArray[np.int64], tables: NDArray[np.int64]) -> None:
        track_pt = self.source.vertex_pt_gev[rows]
        crossing, best = _largest(track_pt, counts)
        better = track_pt[best] > self.vertex_pt[crossing]
        crossing, best = crossing[better], best[better]
        self.vertex_pt[crossing] = track_pt[best]
        self.vertex_row[crossing] = rows[best]
        self.vertex_table[crossing] = tables[best]

    def _restore_vertex(self) -> None:
        found = np.flatnonzero(self.vertex_pt >= 0)
        self.images[found] += self._turned(self.source.restored, self.vertex_row[found], self.vertex_table[found])


class _Shuffled:
    """For every crossing of a block the collisions of its part of a pool, in an order of its own."""

    def __init__(self, n_collisions: int, part: NDArray[np.int64], n_parts: int, rng: np.random.Generator) -> None:
        self._size = n_collisions // n_parts  # what is left over is in no part
        self._first = part * self._size
        inside = np.arange(self._size, dtype=np.int32)
        self._order = rng.permuted(np.broadcast_to(inside, (len(part), self._size)), axis=1)
        self._taken = np.zeros(len(part), dtype=np.int64)

    def next(self, counts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next collisions of every crossing; where all of the part are taken, they come again.

        Parameters
        ----------
        counts : shape (n_crossings,)
        starts : shape (n_crossings + 1,)
            Their sums up to each crossing.
        """
        crossing = np.repeat(np.arange(len(counts)), counts)
        position = np.arange(starts[-1]) + np.repeat(self._taken - starts[:-1], counts)
        self._taken = self._taken + counts
        return np.asarray(self._first[crossing] + self._order[crossing, position % self._size])


def _largest(values: NDArray[np.float32], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of consecutive runs of ``values``, where each has its largest.

    ``counts`` are the runs' lengths. Returns the numbers of the runs that are not empty, and the positions in
    ``values`` (the first, of equal ones).
    """
    filled = np.flatnonzero(counts)
    if len(filled) == 0:
        return filled, filled
    lengths = counts[filled]
    starts = np.cumsum(lengths) - lengths
    largest = np.maximum.reduceat(values, starts)
    hits = np.flatnonzero(values == np.repeat(largest, lengths))
    run = np.repeat(np.arange(len(filled)), lengths)[hits]
    _, first_hit = np.unique(run, return_index=True)
    return filled, hits[first_hit]
