"""Generated proton-proton collisions: their visible particles in cells, and what is known of each collision."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import DataError

ETA_MAX = 5.0
"""Visible particles are kept at pseudorapidity |eta| < ETA_MAX."""
TRACKER_ETA_MAX = 2.4
"""The tracker's acceptance: only charged particles inside it can be told apart by their vertex."""
FINE_SHAPE = (120, 72)
"""Cells in (eta, phi) in which particles are kept; every image is rebinned from these."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventPool:
    """Collisions of one process; the particles of collision ``i`` are ``offsets[i]:offsets[i + 1]``.

    Parameters
    ----------
    offsets : int64, shape (n_events + 1,)
    cell : uint16, shape (n_particles,)
        ``eta_index * 72 + phi_index`` in the fine grid of 120×72 cells.
    pt_gev : float32, shape (n_particles,)
        Transverse momentum, GeV.
    tracked : bool, shape (n_particles,)
        Charged and inside the tracker's acceptance.
    hard_scale_gev : float32, shape (n_events,)
        Largest transverse momentum of a 2→2 parton scattering in the collision, multiparton interactions included; 0
        without any.
    ht_gev : float32, shape (n_events,)
        Scalar sum of pT over anti-kt jets of R = 0.4 with pT > 30 GeV and |y| < 2.4.
    m4b_gev : float32, shape (n_events,)
        Mass of the four jets that belong to the four b quarks; NaN where there are not four such jets.
    sigma_mb : float
        The process's cross-section, as estimated while these events were generated.
    n_tried : int
        Tries behind that estimate; weights the mean of several.
    """

    offsets: NDArray[np.int64]
    cell: NDArray[np.uint16]
    pt_gev: NDArray[np.float32]
    tracked: NDArray[np.bool_]
    hard_scale_gev: NDArray[np.float32]
    ht_gev: NDArray[np.float32]
    m4b_gev: NDArray[np.float32]
    sigma_mb: float
    n_tried: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, part: slice) -> EventPool:
        """The collisions of a contiguous slice."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"a pool is sliced with step 1, not {step}")
        particles = slice(int(self.offsets[start]), int(self.offsets[max(start, stop)]))
        return EventPool(
            offsets=self.offsets[start : max(start, stop) + 1] - self.offsets[start],
            cell=self.cell[particles],
            pt_gev=self.pt_gev[particles],
            tracked=self.tracked[particles],
            hard_scale_gev=self.hard_scale_gev[start:stop],
            ht_gev=self.ht_gev[start:stop],
            m4b_gev=self.m4b_gev[start:stop],
            sigma_mb=self.sigma_mb,
            n_tried=self.n_tried,
        )

    def save(self, path: Path) -> None:
        """Write an npz file; the same events give the same bytes."""
        columns = {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)

    @classmethod
    def load(cls, path: Path, *, n_events: int) -> EventPool:
        """Read what ``save`` wrote.

        Raises
        ------
        FileNotFoundError
            No such file.
        DataError
            The file is broken (its checksums do not fit, say) or does not hold ``n_events`` collisions.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                columns = {item.name: content[item.name] for item in fields(cls)}
        except FileNotFoundError:
            raise
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise DataError(f"{path}: not a readable chunk of events: {error}") from error
        columns["sigma_mb"], columns["n_tried"] = float(columns["sigma_mb"]), int(columns["n_tried"])
        pool = cls(**columns)
        if len(pool) != n_events or pool.offsets[-1] != len(pool.cell):
            raise DataError(f"{path}: holds {len(pool)} events, expected {n_events}")
        return pool

    @classmethod
    def join(cls, pools: Sequence[EventPool]) -> EventPool:
        """One pool of several; cross-sections are averaged over tries."""
        starts = np.cumsum([0, *(pool.offsets[-1] for pool in pools)])
        tried = np.array([pool.n_tried for pool in pools], dtype=np.float64)
        sigmas = np.array([pool.sigma_mb for pool in pools])
        return cls(
            offsets=np.concatenate(
                [[0], *(pool.offsets[1:] + start for pool, start in zip(pools, starts, strict=False))]
            ),
            cell=np.concatenate([pool.cell for pool in pools]),
            pt_gev=np.concatenate([pool.pt_gev for pool in pools]),
            tracked=np.concatenate([pool.tracked for pool in pools]),
            hard_scale_gev=np.concatenate([pool.hard_scale_gev for pool in pools]),
            ht_gev=np.concatenate([pool.ht_gev for pool in pools]),
            m4b_gev=np.concatenate([pool.m4b_gev for pool in pools]),
            sigma_mb=float((sigmas * tried).sum() / tried.sum()),
            n_tried=int(tried.sum()),
        )
