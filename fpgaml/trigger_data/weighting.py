"""Weights in the loss: how much each stratum of the background counts in training.

The network learns the ratio of signal to weighted background. With true rates the soft crossings, of which a trigger
at 10 kHz keeps none, make up almost all of the loss, and the hard tail that decides that rate is not learnt. Each
scheme turns rate weights ``w`` (kHz per crossing) into training weights; signal and background are balanced
afterwards, and the mean weight is 1.

- "rate": ``w``, the physical mixture;
- "sqrt_rate": ``sqrt(w)``;
- "balanced": 1, the mixture as it was sampled;
- "hard_tail": ``w`` above the hardness that ``TAIL_KHZ`` of crossings exceed, so that the mixture is physical there;
  below it, ``w`` times ``TAIL_KHZ`` over the rate of crossings that are at least as hard.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpgaml.trigger_data.samples import Samples

SCHEMES = ("balanced", "sqrt_rate", "rate", "hard_tail")
TAIL_KHZ = 300.0


def training_weights(samples: Samples, *, scheme: str) -> NDArray[np.float64]:
    """Weights in the loss, shape (n_events,): in every split, signal and background each sum to half of the events.

    Parameters
    ----------
    samples : Samples
    scheme : str
        One of ``SCHEMES``.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {SCHEMES}, not {scheme!r}")
    background = samples.y == 0
    weights = np.ones(len(samples.y))
    if scheme == "rate":
        weights[background] = samples.weights[background]
    elif scheme == "sqrt_rate":
        weights[background] = np.sqrt(samples.weights[background])
    elif scheme == "hard_tail":
        at_least_as_hard = np.cumsum(samples.rates_khz[::-1])[::-1]
        factor = np.minimum(1.0, TAIL_KHZ / at_least_as_hard)
        weights[background] = samples.weights[background] * factor[samples.stratum[background]]
    for split in np.unique(samples.split):
        here = samples.split == split
        for label in (0, 1):
            chosen = here & (samples.y == label)
            if chosen.any():
                weights[chosen] *= here.sum() / 2 / weights[chosen].sum()
    return weights
