"""The task ``trigger``: gg → HH → 4b against minimum bias at the Level-1 trigger of the high-luminosity LHC.

A bunch crossing is an image: the transverse momentum of all visible particles in |eta| < 5, in cells of (eta, phi).
Signal crossings hold one signal collision on top of ordinary ones; background crossings are all crossings, with
weights in kHz that sum to the rate of crossings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, field_validator, model_validator

from fpgaml.dataset import Dataset
from fpgaml.errors import DataError
from fpgaml.field_types import Seed
from fpgaml.metrics import Target
from fpgaml.tasks import Task, TaskOptions
from fpgaml.trigger_data.event_pool import FINE_SHAPE
from fpgaml.trigger_data.generation import load_pools
from fpgaml.trigger_data.processes import Process, hard_process, pythia_version, signal_process, soft_process
from fpgaml.trigger_data.samples import Counts, Samples, mix_samples
from fpgaml.trigger_data.strata import EDGES_GEV, share_out
from fpgaml.trigger_data.weighting import training_weights

if TYPE_CHECKING:
    from rich.progress import Progress

POOL_SHARES = (2.0, 3.0, 3.0, 3.0, 4.5, 5.0, 5.5, 5.5, 6.0, 5.0, 4.5, 3.5, 2.0, 1.0)
"""How hard collisions are shared out over the bins of the hard scale."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=1, le=10**10)]
Rate = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
MOST_COLLISIONS = 1_000_000


class TriggerOptions(TaskOptions):
    """What can be chosen under ``data:`` for this task.

    Parameters
    ----------
    n_signal, n_background : int
        Training crossings.
    n_validation_signal, n_validation_background, n_test_signal, n_test_background : int
    seed : int
        Fixes every event and every crossing.
    pile_up : float
        Mean number of inelastic collisions in a crossing.
    mitigation : str
        "charged": charged particles of pile-up in the tracker's acceptance, |eta| < 2.4, are removed; "none": nothing
        is. Pile-up is what does not come from the primary collision, the one with the largest summed pT of tracks; it
        need not be the signal.
    mitigation_efficiency : float
        Probability that such a particle is removed.
    image_shape : (int, int)
        Cells in (eta, phi); must divide 120×72.
    energy_tev : float
        Centre-of-mass energy.
    signal_mass_gev : float
        Mass of the narrow resonance that decays to two Higgs bosons.
    bunches : int
        Colliding bunch pairs.
    revolution_khz : float
        Revolutions of a bunch.
    n_soft_collisions, n_hard_collisions, n_signal_collisions : int
        Generated collisions, of which 35 % are for training, 25 % for validation and 40 % for testing.
    training_weights : str
        How the loss weighs background: see ``fpgaml.trigger_data.weighting``.
    rates_khz : tuple of float
        Trigger rates at which models are judged, the headline first.
    """

    n_signal: Size = 100_000
    n_background: Size = 300_000
    n_validation_signal: Size = 20_000
    n_validation_background: Size = 100_000
    n_test_signal: Size = 25_000
    n_test_background: Size = 100_000
    seed: Seed = 1
    pile_up: Annotated[float, Field(gt=0, le=2000, allow_inf_nan=False)] = 200.0
    mitigation: Literal["charged", "none"] = "charged"
    mitigation_efficiency: Fraction = 0.95
    image_shape: tuple[int, int] = (20, 12)
    energy_tev: Annotated[float, Field(ge=1, le=100)] = 14.0
    signal_mass_gev: Annotated[float, Field(gt=270, le=5000)] = 400.0
    bunches: Annotated[int, Field(ge=1, le=100_000)] = 2760
    revolution_khz: Annotated[float, Field(ge=0.001, le=1000)] = 40_000 / 3564
    n_soft_collisions: Annotated[int, Field(ge=10, le=MOST_COLLISIONS)] = 32_000
    n_hard_collisions: Annotated[int, Field(ge=200, le=MOST_COLLISIONS)] = 47_000
    n_signal_collisions: Annotated[int, Field(ge=10, le=MOST_COLLISIONS)] = 12_500
    training_weights: Literal["balanced", "sqrt_rate", "rate", "hard_tail"] = "hard_tail"
    rates_khz: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=100)] = (10.0, 50.0, 100.0, 750.0)

    @field_validator("image_shape")
    @classmethod
    def _shape_divides_the_fine_grid(cls, shape: tuple[int, int]) -> tuple[int, int]:
        if any(cells < 1 or fine % cells for cells, fine in zip(shape, FINE_SHAPE, strict=True)):
            raise ValueError(
                f"image_shape must divide {FINE_SHAPE[0]} cells in eta and {FINE_SHAPE[1]} in phi, such as [20, 12]; "
                f"found {list(shape)}"
            )
        return shape

    @model_validator(mode="after")
    def _rates_below_all(self) -> TriggerOptions:
        too_high = [rate for rate in self.rates_khz if rate > self.total_khz]
        if too_high:
            raise ValueError(
                f"rates_khz: {too_high[0]:g} kHz is more than the rate of all crossings, bunches times revolution_khz: "
                f"{self.total_khz:g} kHz"
            )
        return self

    @property
    def total_khz(self) -> float:
        """Rate of all crossings."""
        return self.bunches * self.revolution_khz

    @property
    def removal_efficiency(self) -> float:
        """Probability that a tracked particle of pile-up is removed; 0 without mitigation."""
        return self.mitigation_efficiency if self.mitigation == "charged" else 0.0


class Trigger(Task):
    """gg → HH → 4b against minimum bias."""

    name = "trigger"
    options: ClassVar[type[TaskOptions]] = TriggerOptions

    @staticmethod
    def input_shape(options: TriggerOptions) -> tuple[int, ...]:
        """Cells in eta, cells in phi, and one channel."""
        return (*options.image_shape, 1)

    @staticmethod
    def targets(options: TriggerOptions) -> tuple[Target, ...]:
        """Trigger rates in kHz, the headline first."""
        return tuple(Target(kind="rate_khz", value=rate) for rate in options.rates_khz)

    @staticmethod
    def n_training(options: TriggerOptions) -> int:
        """Signal and background crossings."""
        return options.n_signal + options.n_background

    @staticmethod
    def load(options: TriggerOptions, *, progress: Progress | None = None) -> Dataset:
        """Generate collisions, or find them in the cache, and mix crossings.

        Raises
        ------
        ToolError
            pythia8mc is not installed, or fails.
        OutputError
            The cache directory cannot be written.
        DataError
            The samples do not fit the pools or the memory.
        """
        sizes = pool_sizes(options)
        counts = {
            "train": Counts(signal=options.n_signal, background=options.n_background),
            "validation": Counts(signal=options.n_validation_signal, background=options.n_validation_background),
            "test": Counts(signal=options.n_test_signal, background=options.n_test_background),
        }
        _check_memory(counts, options.image_shape)
        pools = load_pools(sizes, seed=options.seed, progress=progress)
        samples = mix_samples(
            pools,
            counts,
            pile_up=options.pile_up,
            total_khz=options.total_khz,
            removal_efficiency=options.removal_efficiency,
            lowest_edge_gev=EDGES_GEV[0],
            shape=options.image_shape,
            seed=options.seed,
            progress=progress,
        )
        sigmas = {process.name: pool.sigma_mb for (process, _), pool in zip(sizes, pools, strict=True)}
        return Dataset(
            x=samples.x,
            y=samples.y,
            split=samples.split,
            weights=samples.weights,
            training_weights=training_weights(samples, scheme=options.training_weights),
            groups=np.stack([samples.groups, samples.pool_parts], axis=1),
            quantities=samples.quantities,
            rate_khz=options.total_khz,
            metadata=_metadata(options, samples, sigmas),
        )


def pool_sizes(options: TriggerOptions) -> list[tuple[Process, int]]:
    """The collisions to generate: soft, hard bins in ascending order, signal."""
    energy = options.energy_tev
    shares = share_out(options.n_hard_collisions, POOL_SHARES).tolist()
    hard = [
        (hard_process(low, high, energy_tev=energy), size)
        for low, high, size in zip(EDGES_GEV[:-1], EDGES_GEV[1:], shares, strict=True)
    ]
    signal = signal_process(mass_gev=options.signal_mass_gev, energy_tev=energy)
    return [(soft_process(energy_tev=energy), options.n_soft_collisions), *hard, (signal, options.n_signal_collisions)]


def _check_memory(counts: Mapping[str, Counts], shape: tuple[int, int]) -> None:
    """Refuse samples whose images alone do not fit into this machine's memory."""
    import psutil

    needed = 4 * shape[0] * shape[1] * sum(count.signal + count.background for count in counts.values())
    there = psutil.virtual_memory().total
    if needed > there:
        raise DataError(
            f"task trigger: images of {shape[0]}×{shape[1]} cells for all crossings need {needed / 1e9:.1f} GB; "
            f"this machine has {there / 1e9:.1f} GB. Ask for fewer crossings or coarser images."
        )


def _metadata(options: TriggerOptions, samples: Samples, sigmas: Mapping[str, float]) -> dict[str, object]:
    background = samples.stratum >= 0
    names = ("no hard collision", *(f"hardest collision from {low:g} GeV" for low in EDGES_GEV[:-1]))
    strata = [
        {
            "name": name,
            "rate_khz": float(samples.rates_khz[number]),
            "training_crossings": int(((samples.stratum == number) & background & (samples.split == 0)).sum()),
        }
        for number, name in enumerate(names)
    ]
    return {
        "task": "trigger",
        "options": cast("dict[str, object]", options.model_dump(mode="json")),
        "pythia8mc": pythia_version(),
        "cross_sections_mb": dict(sigmas),
        "strata": strata,
        "scale_gev": samples.scale_gev,
    }
