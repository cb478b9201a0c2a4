"""Do independent sets of trigger crossings differ as much as their intervals say? Deviation over the quoted one.

    python benchmarks/independent_sets.py [--sets 9] [--background 25000] [--signal 5000]

Every set is mixed from its own share of the default pools, which are generated where the cache does not hold them (413
s of processor time). It is judged by a cut on the summed transverse momentum of the hottest cells, which needs no
training and feels soft collisions more than a network does.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml.bootstrap import replicated_thresholds
from fpgaml.intervals import efficiency, rate
from fpgaml.metrics import Target, choose_working_point
from fpgaml.tables import table
from fpgaml.tasks.trigger import TriggerOptions, pool_sizes
from fpgaml.trigger_data.crossings import mix
from fpgaml.trigger_data.event_pool import EventPool
from fpgaml.trigger_data.generation import load_pools
from fpgaml.trigger_data.images import NO_GROUP, collision_images
from fpgaml.trigger_data.samples import CROSSING_SHARES, FEWEST_PARTS, count_parts
from fpgaml.trigger_data.strata import EDGES_GEV, Occupancy, share_out, stratum_rates

Floats = NDArray[np.float64]
REPLICAS = 200


@dataclass(frozen=True, eq=False)
class Sample:
    """Crossings of one set: logarithm of the hottest cells' sum, and what intervals need to know."""

    scores: Floats
    weights: Floats
    groups: NDArray[np.int64]
    signal: NDArray[np.bool_]


def hottest(images: NDArray[np.float32], shape: tuple[int, int]) -> Floats:
    """Logarithm of the sum of the twelve hottest squares of four cells with |eta| < 2.5."""
    central = images.reshape(-1, *shape)[:, shape[0] // 4 : -(shape[0] // 4)]
    pairs = central + np.roll(central, 1, axis=2)
    squares = (pairs[:, 1:] + pairs[:, :-1]).reshape(len(images), -1)
    return np.log(np.partition(squares, -12, axis=1)[:, -12:].sum(axis=1), dtype=np.float64)


def mixed(pools: list[EventPool], options: TriggerOptions, *, background: int, signal: int, seed: int) -> Sample:
    """One set."""
    firsts = np.cumsum([0, *(len(pool) for pool in pools)])[:-1].tolist()
    collisions = collision_images(
        pools,
        first_groups=firsts,
        shape=options.image_shape,
        removal_efficiency=options.removal_efficiency,
        soft_veto_gev=EDGES_GEV[0],
        seed=seed,
    )
    occupancy = Occupancy.from_cross_sections(
        pile_up=options.pile_up, inelastic_mb=pools[0].sigma_mb, hard_mb=[pool.sigma_mb for pool in pools[1:-1]]
    )
    rates = stratum_rates(occupancy, total_khz=options.total_khz)
    n_parts = count_parts(collisions.first, soft=occupancy.soft)
    if n_parts == 1:
        raise SystemExit(f"too few collisions for {FEWEST_PARTS} parts in each set: ask for fewer --sets")
    scores, weights, groups, led_by_signal = [], [], [], []
    for leading, size in enumerate([*share_out(background, CROSSING_SHARES[: len(rates)]).tolist(), signal]):
        rng = np.random.default_rng([seed, leading])
        for block in mix(collisions, occupancy, size, leading=leading, rng=rng, n_parts=n_parts):
            n = len(block.group)
            scores.append(hottest(block.images, options.image_shape))
            weights.append(np.full(n, rates[leading] / size if leading < len(rates) else 1.0))
            groups.append(np.stack([block.group, block.pool_part], axis=1))
            led_by_signal.append(np.full(n, leading == len(rates)))
    of_all = np.concatenate(groups)
    alone = of_all[:, 0] == NO_GROUP
    of_all[alone, 0] = -1 - np.arange(np.count_nonzero(alone))
    return Sample(np.concatenate(scores), np.concatenate(weights), of_all, np.concatenate(led_by_signal))


def deviations(samples: list[Sample], target: Target, *, levels: int) -> list[float]:
    """Standard deviation over sets over the mean quoted one: of rate, efficiency, and efficiency by the threshold."""
    signal_scores = np.concatenate([one.scores[one.signal] for one in samples])
    scores, weights = (
        np.concatenate([getattr(one, name)[~one.signal] for one in samples]) for name in ("scores", "weights")
    )
    threshold = choose_working_point(
        scores, kind=target.kind, target=target.value, weights=weights / len(samples)
    ).threshold
    found: list[list[tuple[float, float]]] = [[], [], []]
    for one in samples:
        here, groups = ~one.signal, one.groups[:, :levels]
        columns = {"weights": one.weights[here], "groups": groups[here]}
        accepted = rate(one.scores[here] >= threshold, **columns)
        passed = efficiency(one.scores[one.signal] >= threshold, groups=groups[one.signal])
        placed = choose_working_point(one.scores[here], kind=target.kind, target=target.value, **columns).threshold
        moved = replicated_thresholds({"": one.scores[here]}, [target], **columns, replicas=REPLICAS, seed=1)[""][0]
        found[0].append((accepted.value, accepted.half_width))
        found[1].append((passed.value, passed.half_width))
        efficiencies = [float((signal_scores >= at).mean()) for at in (placed, *moved)]
        found[2].append((efficiencies[0], float(np.std(efficiencies[1:]))))
    return [
        float(np.std(v, ddof=1) / np.sqrt(np.mean(np.square(q)))) for v, q in (zip(*one, strict=True) for one in found)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=9)
    parser.add_argument("--background", type=int, default=25_000, help="crossings in each set")
    parser.add_argument("--signal", type=int, default=5_000)
    arguments = parser.parse_args()
    options = TriggerOptions()
    pools = load_pools(pool_sizes(options), seed=options.seed)
    samples = []
    for number in range(arguments.sets):
        ends = [[round(len(pool) * (number + k) / arguments.sets) for k in (0, 1)] for pool in pools]
        own = [pool[slice(*end)] for pool, end in zip(pools, ends, strict=True)]
        samples.append(mixed(own, options, background=arguments.background, signal=arguments.signal, seed=number))
    rows = [
        [f"{khz:g} kHz{'' if levels == 2 else ', without parts'}"]
        + [f"{value:.2f}" for value in deviations(samples, Target("rate_khz", khz), levels=levels)]
        for levels in (1, 2)
        for khz in options.rates_khz
    ]
    print(table(["", "rate", "signal efficiency, test", "signal efficiency, threshold"], rows))
    print(f"\nEach number ± {1 / np.sqrt(2 * (arguments.sets - 1)):.0%} of itself: {arguments.sets} sets.")


if __name__ == "__main__":
    main()
