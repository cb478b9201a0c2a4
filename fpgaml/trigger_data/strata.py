"""Rates: how often a bunch crossing has its hardest collision in which range of hardness.

With a mean of mu collisions a crossing, collisions of each kind k come independently, Poisson-distributed with mean
``lambda_k = mu * sigma_k / sigma_inelastic``. The kinds are the bins of the hard scale (the transverse momentum of the
hardest parton scattering) and "soft": everything below the lowest edge, whose mean is what remains of mu. A crossing
belongs to the stratum of its highest occupied bin, so

    P(stratum i) = (1 - exp(-lambda_i)) * prod_{j > i} exp(-lambda_j)
    P(no hard collision) = prod_j exp(-lambda_j)

and these sum to 1. Inside stratum i, bin i holds a Poisson number of collisions that is at least 1, bins below i and
the soft kind hold Poisson numbers, and bins above are empty: several hard collisions in one crossing, likely at the
low edges (about 1.9 above 20 GeV with 200 collisions), are neither forgotten nor counted twice. A stratum's rate is
its probability times the rate of all crossings; its sampled crossings share it.

The soft kind is minimum bias without the collisions that have a hard scale above the lowest edge, since the bins
supply those (sigma_i from HardQCD counts scatterings; a second one above 20 GeV inside one collision makes the
difference of about 1 % to counting collisions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import DataError

EDGES_GEV = (20.0, 30.0, 45.0, 52.0, 60.0, 70.0, 80.0, 92.0, 105.0, 125.0, 150.0, 190.0, 260.0, 400.0, np.inf)
"""Edges of the bins of the hard scale."""


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """Mean numbers of collisions in a crossing.

    Parameters
    ----------
    soft : float
        Without a scattering above the lowest edge.
    hard : tuple of float
        Per bin of the hard scale, in ascending order.
    """

    soft: float
    hard: tuple[float, ...]

    @classmethod
    def from_cross_sections(cls, *, pile_up: float, inelastic_mb: float, hard_mb: Sequence[float]) -> Occupancy:
        """Means for ``pile_up`` inelastic collisions a crossing.

        Raises
        ------
        DataError
            The hard cross-sections exceed the inelastic one: the lowest edge is too low.
        """
        hard = tuple(float(pile_up * sigma / inelastic_mb) for sigma in hard_mb)
        if sum(hard) > pile_up:
            raise DataError(
                f"trigger data: hard cross-sections of {sum(hard_mb):.3g} mb exceed the inelastic one "
                f"of {inelastic_mb:.3g} mb"
            )
        return cls(soft=float(pile_up - sum(hard)), hard=hard)


def stratum_rates(occupancy: Occupancy, *, total_khz: float) -> NDArray[np.float64]:
    """Rates in kHz, shape (1 + n_bins,): crossings without a hard collision first, then by the bin of the hardest one.

    The first takes what the others leave, so that the sum is the total.
    """
    means = np.array(occupancy.hard)
    above = np.concatenate([np.cumsum(means[::-1])[::-1][1:], [0.0]])
    hard = total_khz * -np.expm1(-means) * np.exp(-above)
    return np.concatenate([[total_khz - hard.sum()], hard])


def share_out(n_events: int, shares: Sequence[float]) -> NDArray[np.int64]:
    """Whole numbers in proportion to ``shares``, at least 1 each, whose sum is ``n_events``.

    Raises
    ------
    DataError
        There are fewer events than shares.
    """
    if n_events < len(shares):
        raise DataError(
            f"trigger data: {n_events} events are too few for {len(shares)} strata; ask for at least {len(shares)}"
        )
    wanted = (n_events - len(shares)) * np.asarray(shares, dtype=np.float64) / np.sum(shares)
    counts: NDArray[np.int64] = np.floor(wanted).astype(np.int64)
    order = np.argsort(counts - wanted, kind="stable")
    counts[order[: n_events - len(shares) - counts.sum()]] += 1
    return np.asarray(counts + 1)


def truncated_poisson(mean: float, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Poisson numbers that are at least 1.

    The first arrival of a Poisson process of rate ``mean`` within unit time, given that there is one, is a truncated
    exponential; arrivals after it are Poisson again.
    """
    first = -np.log1p(rng.random(size) * np.expm1(-mean)) / mean
    return np.asarray(1 + rng.poisson(np.clip(mean * (1 - first), 0, None)))
