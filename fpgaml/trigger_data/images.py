"""Particles to images: η-φ histograms of transverse momentum, with or without the charged particles of pile-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml.trigger_data.event_pool import FINE_SHAPE, EventPool

NO_GROUP = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class CollisionImages:
    """Collisions of all kinds that one split may use, as rows of images.

    Rows come by kind: soft, then the bins of the hard scale in ascending order, then signal; kind ``k`` is
    ``first[k]:first[k + 1]``.

    Parameters
    ----------
    shape : (eta cells, phi cells)
    first : tuple of int, length n_kinds + 1
    pile_up : float32, shape (n, cells)
        pT in GeV that a collision adds to a crossing as pile-up: without its removed charged particles.
    restored : float32, shape (n, cells)
        What is added to that for the collision that the tracker takes for the primary one.
    vertex_pt_gev : float32, shape (n,)
        Summed pT of its tracked particles, by which the primary collision is found.
    group : int64, shape (n,)
        A number that no other collision has; ``NO_GROUP`` for soft ones.
    hard_scale_gev, ht_gev, m4b_gev : float32, shape (n,)
    """

    shape: tuple[int, int]
    first: tuple[int, ...]
    pile_up: NDArray[np.float32]
    restored: NDArray[np.float32]
    vertex_pt_gev: NDArray[np.float32]
    group: NDArray[np.int64]
    hard_scale_gev: NDArray[np.float32]
    ht_gev: NDArray[np.float32]
    m4b_gev: NDArray[np.float32]

    @property
    def n_cells(self) -> int:
        """Cells of an image."""
        return self.shape[0] * self.shape[1]


def coarse_cells(shape: tuple[int, int]) -> NDArray[np.int64]:
    """The cell of an image of this shape for every cell of the fine grid; the shape must divide 120×72."""
    eta, phi = np.indices(FINE_SHAPE)
    coarse = (eta // (FINE_SHAPE[0] // shape[0])) * shape[1] + phi // (FINE_SHAPE[1] // shape[1])
    return np.asarray(coarse.ravel(), dtype=np.int64)


def histogram(pool: EventPool, *, shape: tuple[int, int], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Images of the chosen particles, shape (n_events, cells), GeV."""
    n_cells = shape[0] * shape[1]
    event = np.repeat(np.arange(len(pool)), np.diff(pool.offsets))[chosen]
    index = event * n_cells + coarse_cells(shape)[pool.cell[chosen]]
    summed = np.bincount(index, weights=pool.pt_gev[chosen], minlength=len(pool) * n_cells)
    return summed.astype(np.float32).reshape(len(pool), n_cells)


def without_hard_collisions(pool: EventPool, *, above_gev: float) -> NDArray[np.bool_]:
    """Collisions of minimum bias that the bins of the hard scale do not supply, shape (n_events,)."""
    return pool.hard_scale_gev < above_gev


def collision_images(
    pools: Sequence[EventPool],
    *,
    first_groups: Sequence[int],
    shape: tuple[int, int],
    removal_efficiency: float,
    soft_veto_gev: float,
    seed: int,
) -> CollisionImages:
    """Images of the collisions of one split.

    Parameters
    ----------
    pools : soft, hard bins in ascending order, signal
    first_groups : sequence of int
        The group number of every pool's first collision.
    removal_efficiency : float
        Probability that a tracked particle of pile-up is removed; 0 is no mitigation.
    soft_veto_gev : float
        Soft collisions with a hard scale of this or more are left out; infinite: none are.
    seed : int
        Fixes which particles are removed.
    """
    parts: list[tuple[NDArray[np.float32], ...]] = []
    groups: list[NDArray[np.int64]] = []
    for kind, (pool, first_group) in enumerate(zip(pools, first_groups, strict=True)):
        random = np.random.default_rng([seed, kind]).random(len(pool.cell), dtype=np.float32)
        removed = pool.tracked & (random < removal_efficiency)
        event = np.repeat(np.arange(len(pool)), np.diff(pool.offsets))
        vertex_pt = np.bincount(event, weights=pool.pt_gev * pool.tracked, minlength=len(pool)).astype(np.float32)
        chosen = without_hard_collisions(pool, above_gev=soft_veto_gev) if kind == 0 else np.ones(len(pool), dtype=bool)
        columns = (
            histogram(pool, shape=shape, chosen=~removed),
            histogram(pool, shape=shape, chosen=removed),
            vertex_pt,
            pool.hard_scale_gev,
            pool.ht_gev,
            pool.m4b_gev,
        )
        parts.append(tuple(column[chosen] for column in columns))
        groups.append(np.full(len(pool), NO_GROUP) if kind == 0 else first_group + np.arange(len(pool)))
        groups[-1] = groups[-1][chosen]
    pile_up, restored, vertex_pt, hard_scale, ht, m4b = (np.concatenate(column) for column in zip(*parts, strict=True))
    return CollisionImages(
        shape=shape,
        first=tuple(np.cumsum([0, *(len(group) for group in groups)]).tolist()),
        pile_up=pile_up,
        restored=restored,
        vertex_pt_gev=vertex_pt,
        group=np.concatenate(groups),
        hard_scale_gev=hard_scale,
        ht_gev=ht,
        m4b_gev=m4b,
    )


def orientations(shape: tuple[int, int]) -> NDArray[np.int64]:
    """All rotations in phi and their mirror images in eta, shape (2 * phi cells, cells): where to take each cell from.

    Collisions of protons with protons look the same under both, on average.
    """
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    turned = [np.roll(index, shift, axis=1) for shift in range(shape[1])]
    return np.stack([table.ravel() for view in turned for table in (view, view[::-1])])
