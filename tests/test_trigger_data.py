"""Trigger data from pools: the algebra of rates, images of particles, mixing against a slow twin."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from fpgaml.errors import DataError
from fpgaml.trigger_data.crossings import Crossings, mix
from fpgaml.trigger_data.event_pool import ETA_MAX, FINE_SHAPE, EventPool
from fpgaml.trigger_data.images import (
    CollisionImages,
    coarse_cells,
    collision_images,
    histogram,
    orientations,
)
from fpgaml.trigger_data.pythia_events import fine_cells
from fpgaml.trigger_data.samples import Counts, Samples, count_parts, image_scale, mix_samples, split_slices
from fpgaml.trigger_data.strata import Occupancy, share_out, stratum_rates, truncated_poisson
from fpgaml.trigger_data.weighting import SCHEMES, TAIL_KHZ, training_weights

TOTAL_KHZ = 2760 * 40_000 / 3564
SHAPE = (20, 12)


def synthetic_pool(
    n_events: int,
    *,
    seed: int,
    pt_gev: float = 1.0,
    hard_scale_gev: float = 5.0,
    particles: float = 6.0,
    sigma_mb: float = 80.0,
) -> EventPool:
    """Collisions of a few random particles, about half of them tracked."""
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(particles, n_events)
    total = int(counts.sum())
    return EventPool(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        cell=rng.integers(0, FINE_SHAPE[0] * FINE_SHAPE[1], total).astype(np.uint16),
        pt_gev=(pt_gev * rng.exponential(size=total)).astype(np.float32),
        tracked=rng.random(total) < 0.5,
        hard_scale_gev=np.full(n_events, hard_scale_gev, dtype=np.float32),
        ht_gev=(10 * pt_gev * rng.random(n_events)).astype(np.float32),
        m4b_gev=np.full(n_events, np.nan, dtype=np.float32),
        sigma_mb=sigma_mb,
        n_tried=n_events,
    )


def images_of(
    pools: Sequence[EventPool], *, removal_efficiency: float = 0.0, soft_veto_gev: float = 20.0, seed: int = 1
) -> CollisionImages:
    firsts = np.cumsum([0, *(len(pool) for pool in pools)])[:-1].tolist()
    return collision_images(
        pools,
        first_groups=firsts,
        shape=SHAPE,
        removal_efficiency=removal_efficiency,
        soft_veto_gev=soft_veto_gev,
        seed=seed,
    )


def mixed(
    collisions: CollisionImages,
    occupancy: Occupancy,
    n_crossings: int,
    *,
    leading: int,
    seed: int = 1,
    n_parts: int = 1,
) -> Crossings:
    """All blocks of ``mix`` in one."""
    rng = np.random.default_rng(seed)
    blocks = list(mix(collisions, occupancy, n_crossings, leading=leading, rng=rng, n_parts=n_parts))
    names = ("images", "group", "pool_part", "hard_scale_gev", "ht_gev", "m4b_gev", "collisions")
    return Crossings(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


# Rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pile_up", [0.1, 20.0, 200.0])
def test_strata_share_the_rate_of_all_crossings(pile_up: float) -> None:
    """Their rates sum to 30,976 kHz exactly, and are what an independent enumeration of occupied bins gives."""
    occupancy = Occupancy.from_cross_sections(pile_up=pile_up, inelastic_mb=78.9, hard_mb=(0.6, 0.15, 0.03, 1e-4))
    assert occupancy.soft + sum(occupancy.hard) == pytest.approx(pile_up, rel=1e-12)
    rates = stratum_rates(occupancy, total_khz=TOTAL_KHZ)
    assert rates.sum() == pytest.approx(TOTAL_KHZ, rel=1e-14)
    assert int(rates.sum()) == 30976
    expected = np.zeros(5)
    for occupied in itertools.product((False, True), repeat=4):
        chance = np.prod([-np.expm1(-m) if o else np.exp(-m) for o, m in zip(occupied, occupancy.hard, strict=True)])
        expected[max((i + 1 for i, o in enumerate(occupied) if o), default=0)] += chance
    np.testing.assert_allclose(rates, TOTAL_KHZ * expected, rtol=1e-12)


def test_hard_cross_sections_cannot_exceed_the_inelastic_one() -> None:
    with pytest.raises(DataError, match="exceed the inelastic one"):
        Occupancy.from_cross_sections(pile_up=200, inelastic_mb=1.0, hard_mb=(0.9, 0.2))


@pytest.mark.parametrize("mean", [1e-6, 0.3, 1.5, 8.0])
def test_truncated_poisson_is_poisson_given_at_least_one(mean: float) -> None:
    drawn = truncated_poisson(mean, 50_000, np.random.default_rng(3))
    assert drawn.min() >= 1
    expected = mean / -np.expm1(-mean)
    spread = np.sqrt(max(expected * (1 + mean - expected), 1e-12) / len(drawn))
    assert abs(drawn.mean() - expected) < 5 * spread + 1e-4
    for number in (1, 2, 3):
        chance = stats.poisson.pmf(number, mean) / -np.expm1(-mean)
        seen = int((drawn == number).sum())
        assert stats.binomtest(seen, len(drawn), min(float(chance), 1.0)).pvalue > 1e-6


@pytest.mark.parametrize("n_events", [3, 4, 10, 999, 100_000])
def test_share_out_gives_every_event_away(n_events: int) -> None:
    counts = share_out(n_events, (5.0, 1.0, 0.01))
    assert counts.sum() == n_events
    assert counts.min() >= 1
    assert counts[0] >= counts[1] >= counts[2]


def test_share_out_refuses_too_few_events() -> None:
    with pytest.raises(DataError, match="2 events are too few for 3 strata"):
        share_out(2, (1.0, 1.0, 1.0))


# Images ------------------------------------------------------------------------------------------------------------


def test_fine_cells_agree_with_a_histogram() -> None:
    rng = np.random.default_rng(1)
    eta, phi = rng.uniform(-ETA_MAX, ETA_MAX, 20_000), rng.uniform(-np.pi, np.pi, 20_000)
    counted = np.bincount(fine_cells(eta, phi), minlength=FINE_SHAPE[0] * FINE_SHAPE[1])
    box = [[-ETA_MAX, ETA_MAX], [-np.pi, np.pi]]
    expected, _, _ = np.histogram2d(eta, phi, bins=FINE_SHAPE, range=box)
    np.testing.assert_array_equal(counted.reshape(FINE_SHAPE), expected)


def test_fine_cells_wrap_around_in_phi_and_end_in_eta() -> None:
    n_phi = FINE_SHAPE[1]
    turn = np.array([-np.pi, np.pi, 3 * np.pi, np.pi - 1e-9, -np.pi - 1e-9])
    assert (fine_cells(np.zeros(5), turn) % n_phi).tolist() == [0, 0, 0, n_phi - 1, n_phi - 1]
    edge = np.nextafter(ETA_MAX, 0)
    assert (fine_cells(np.array([-edge, edge]), np.zeros(2)) // n_phi).tolist() == [0, FINE_SHAPE[0] - 1]


@pytest.mark.parametrize("shape", [(20, 12), (120, 72), (60, 8), (1, 1)])
def test_images_are_sums_of_fine_cells(shape: tuple[int, int]) -> None:
    pool = synthetic_pool(30, seed=2)
    chosen = pool.pt_gev > 0.5
    images = histogram(pool, shape=shape, chosen=chosen)
    for event in range(len(pool)):
        fine = np.zeros(FINE_SHAPE)
        for particle in range(pool.offsets[event], pool.offsets[event + 1]):
            if chosen[particle]:
                fine[divmod(int(pool.cell[particle]), FINE_SHAPE[1])] += pool.pt_gev[particle]
        blocks = fine.reshape(shape[0], FINE_SHAPE[0] // shape[0], shape[1], FINE_SHAPE[1] // shape[1])
        np.testing.assert_allclose(images[event].reshape(shape), blocks.sum(axis=(1, 3)), rtol=1e-6)


def test_orientations_are_all_rotations_and_mirror_images() -> None:
    tables = orientations((4, 3))
    assert len({tuple(table) for table in tables.tolist()}) == 6
    image = np.arange(12.0).reshape(4, 3)
    seen = {tuple(image.ravel()[table]) for table in tables}
    expected = {tuple(np.roll(view, k, axis=1).ravel()) for view in (image, image[::-1]) for k in range(3)}
    assert seen == expected


def test_coarse_cells_of_the_fine_grid_are_itself() -> None:
    np.testing.assert_array_equal(coarse_cells(FINE_SHAPE), np.arange(FINE_SHAPE[0] * FINE_SHAPE[1]))


@pytest.mark.parametrize("efficiency", [0.0, 0.3, 0.95, 1.0])
def test_removal_takes_tracked_particles_with_its_efficiency(efficiency: float) -> None:
    pool = synthetic_pool(4000, seed=3)
    collisions = images_of([pool], removal_efficiency=efficiency)
    everything = histogram(pool, shape=SHAPE, chosen=np.ones(len(pool.cell), dtype=bool))
    np.testing.assert_allclose(collisions.pile_up + collisions.restored, everything, rtol=1e-5, atol=1e-5)
    tracked = float(pool.pt_gev[pool.tracked].sum())
    spread = 5 * np.sqrt(efficiency * (1 - efficiency) * float((pool.pt_gev[pool.tracked] ** 2).sum()))
    assert abs(float(collisions.restored.sum(dtype=np.float64)) - efficiency * tracked) <= spread + 1e-3 * tracked
    np.testing.assert_allclose(collisions.vertex_pt_gev.sum(), tracked, rtol=1e-4)


def test_soft_collisions_of_the_hard_bins_are_vetoed() -> None:
    """Those with a hard scale at or above the lowest edge, and only in the soft pool."""
    soft = EventPool.join([synthetic_pool(10, seed=1), synthetic_pool(5, seed=2, hard_scale_gev=20.0)])
    hard = synthetic_pool(7, seed=3, hard_scale_gev=25.0)
    assert images_of([soft, hard]).first == (0, 10, 17)
    assert images_of([soft, hard], soft_veto_gev=np.inf).first == (0, 15, 22)


# Mixing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parts", [1, 2])
def test_mixing_agrees_with_its_slow_twin(n_parts: int) -> None:
    """Drawing every collision in a loop gives the same moments of crossings as the fast mixing."""
    pools = [synthetic_pool(60, seed=1), synthetic_pool(40, seed=2, pt_gev=10), synthetic_pool(40, seed=3, pt_gev=40)]
    collisions = images_of(pools)
    occupancy = Occupancy(soft=20.0, hard=(1.2, 0.4))
    fast = mixed(collisions, occupancy, 6000, leading=2, n_parts=n_parts)
    rng = np.random.default_rng(7)
    slow = np.zeros((3000, SHAPE[0] * SHAPE[1]))
    counts = np.zeros(3000)
    for crossing in range(3000):
        leaders = 0
        while leaders == 0:
            leaders = rng.poisson(0.4)
        numbers = (rng.poisson(20.0), rng.poisson(1.2), leaders)
        counts[crossing] = sum(numbers)
        for kind, number in enumerate(numbers):
            for row in rng.integers(collisions.first[kind], collisions.first[kind + 1], number):
                image = collisions.pile_up[row].reshape(SHAPE)
                turned = np.roll(image[:: rng.choice((-1, 1))], rng.integers(SHAPE[1]), axis=1)
                slow[crossing] += turned.ravel()
    assert stats.ttest_ind(fast.collisions, counts, equal_var=False).pvalue > 1e-4
    for statistic in (np.sum, np.max, np.std):
        a, b = statistic(fast.images, axis=1), statistic(slow, axis=1)
        assert stats.ks_2samp(a, b).pvalue > 1e-4
    # Cells of a ring in eta look alike, and so do the two halves: nothing prefers a direction.
    images = fast.images.reshape(-1, *SHAPE)
    profile, error = images.mean(axis=0), images.std(axis=0) / np.sqrt(len(images))
    ring = (profile + profile[::-1]).mean(axis=1, keepdims=True) / 2
    assert (np.abs(profile - ring) < 5 * error).all()


def test_crossings_of_different_parts_share_no_soft_collision() -> None:
    """Particles whose pT is a power of two for each part: the image says where they came from."""
    pool = synthetic_pool(401, seed=4, particles=0.0)
    pool.pt_gev[np.diff(pool.offsets).cumsum() - 1] = 0.0
    first = pool.offsets[:-1]
    pool.pt_gev[:] = 0.0
    pool.pt_gev[first] = 4.0 ** np.minimum(np.arange(401) // 100, 3)
    crossings = mixed(images_of([pool]), Occupancy(soft=40.0, hard=()), 500, leading=0, n_parts=4)
    assert set(crossings.pool_part) == {0, 1, 2, 3}
    np.testing.assert_array_equal(crossings.images.sum(axis=1), crossings.collisions * 4.0**crossings.pool_part)


def test_no_soft_collision_comes_twice_unless_a_part_has_too_few() -> None:
    pool = synthetic_pool(64, seed=4, particles=0.0)
    pool.pt_gev[:] = 0.0
    pool.pt_gev[pool.offsets[:-1]] = 2.0 ** (np.arange(64) % 16)  # 16 in a part, each a bit of the sum
    collisions = images_of([pool])
    few = mixed(collisions, Occupancy(soft=6.0, hard=()), 400, leading=0, n_parts=4)
    bits = np.bitwise_count(few.images.sum(axis=1).astype(np.int64))
    np.testing.assert_array_equal(bits[few.collisions <= 16], few.collisions[few.collisions <= 16])
    many = mixed(collisions, Occupancy(soft=60.0, hard=()), 400, leading=0, n_parts=4)
    turns, left = np.divmod(many.collisions.astype(np.int64), 16)
    more = many.images.sum(axis=1).astype(np.int64) - turns * (2**16 - 1)
    np.testing.assert_array_equal(np.bitwise_count(more), left)


def test_without_mitigation_every_particle_arrives() -> None:
    """Particles of equal pT: the image's sum counts the particles of all collisions."""
    pool = synthetic_pool(50, seed=4, particles=0.0)
    pool.pt_gev[:] = 1.0
    crossings = mixed(images_of([pool]), Occupancy(soft=30.0, hard=()), 500, leading=0)
    np.testing.assert_array_equal(crossings.images.sum(axis=1), crossings.collisions)


def test_only_the_primary_collision_keeps_its_tracks() -> None:
    """With all particles tracked and removed, a crossing is its collision of largest pT, turned."""
    soft, hard = synthetic_pool(50, seed=5, pt_gev=1.0), synthetic_pool(20, seed=6, pt_gev=100.0)
    for pool in (soft, hard):
        pool.tracked[:] = True
    collisions = images_of([soft, hard], removal_efficiency=1.0)
    assert not collisions.pile_up.any()
    crossings = mixed(collisions, Occupancy(soft=10.0, hard=(0.5,)), 300, leading=1)
    sums = collisions.restored.sum(axis=1)
    np.testing.assert_allclose(
        np.min(np.abs(crossings.images.sum(axis=1)[:, None] - sums[None, 50:]), axis=1), 0.0, atol=1e-2
    )


def test_a_soft_collision_can_be_taken_for_the_primary_one() -> None:
    """The tracker does not know which collision is the signal."""
    soft, feeble = synthetic_pool(50, seed=5, pt_gev=100.0), synthetic_pool(20, seed=6, pt_gev=1e-3)
    for pool in (soft, feeble):
        pool.tracked[:] = True
    crossings = mixed(images_of([soft, feeble], removal_efficiency=1.0), Occupancy(soft=10.0, hard=()), 300, leading=1)
    assert (crossings.group >= 50).all()
    assert (crossings.images.sum(axis=1) > 1).mean() > 0.99


def test_the_hardest_collision_leads() -> None:
    pool = synthetic_pool(100, seed=8)
    pool.hard_scale_gev[:] = np.arange(100) + 30
    collisions = images_of([synthetic_pool(10, seed=1), pool])
    crossings = mixed(collisions, Occupancy(soft=1.0, hard=(4.0,)), 20_000, leading=1)
    np.testing.assert_array_equal(crossings.hard_scale_gev, pool.hard_scale_gev[crossings.group - 10])
    # The largest of n uniform numbers has mean n / (n + 1); n is a truncated Poisson number of mean 4.
    numbers = np.arange(1, 40)
    chance = stats.poisson.pmf(numbers, 4.0) / -np.expm1(-4.0)
    expected = 30 + (100 * (numbers / (numbers + 1) * chance).sum() - 0.5)
    assert abs(crossings.hard_scale_gev.mean() - expected) < 1.0


def test_strata_add_up_to_plain_minimum_bias() -> None:
    """Closure: weighted strata give the spectrum of crossings drawn from one pool in which hard collisions are rare."""
    parts = [synthetic_pool(4000, seed=1), synthetic_pool(1200, seed=2, pt_gev=5, hard_scale_gev=25.0)]
    parts.append(synthetic_pool(800, seed=3, pt_gev=20, hard_scale_gev=50.0))
    plain_pool = EventPool.join(parts)
    inelastic = float(len(plain_pool))
    occupancy = Occupancy.from_cross_sections(pile_up=6.0, inelastic_mb=inelastic, hard_mb=(1200.0, 800.0))
    rates = stratum_rates(occupancy, total_khz=TOTAL_KHZ)
    plain = mixed(images_of([plain_pool], soft_veto_gev=np.inf), Occupancy(soft=6.0, hard=()), 40_000, leading=0)
    collisions = images_of([plain_pool, *parts[1:]])
    strata = [mixed(collisions, occupancy, 20_000, leading=kind, seed=kind) for kind in range(3)]
    for threshold in (10.0, 50.0, 150.0, 300.0):
        passed = plain.images.sum(axis=1) > threshold
        expected, error = passed.mean() * TOTAL_KHZ, passed.std() / np.sqrt(len(passed)) * TOTAL_KHZ
        fractions = np.array([(part.images.sum(axis=1) > threshold).mean() for part in strata])
        variance = (rates**2 * fractions * (1 - fractions) / 20_000).sum()
        assert abs((rates * fractions).sum() - expected) < 4 * np.hypot(error, np.sqrt(variance))


# Samples -----------------------------------------------------------------------------------------------------------


def synthetic_samples(*, seed: int = 1, n_test: int = 400, removal_efficiency: float = 0.95) -> Samples:
    pools = [
        synthetic_pool(200, seed=1),
        synthetic_pool(100, seed=2, pt_gev=10, hard_scale_gev=25.0, sigma_mb=0.6),
        synthetic_pool(100, seed=3, pt_gev=30, hard_scale_gev=40.0, sigma_mb=0.01),
        synthetic_pool(50, seed=4, pt_gev=60, hard_scale_gev=100.0, sigma_mb=1e-9),
    ]
    counts = {"train": Counts(signal=300, background=900), "validation": Counts(signal=50, background=200)}
    counts["test"] = Counts(signal=100, background=n_test)
    return mix_samples(
        pools,
        counts,
        pile_up=200.0,
        total_khz=TOTAL_KHZ,
        removal_efficiency=removal_efficiency,
        lowest_edge_gev=20.0,
        shape=SHAPE,
        seed=seed,
    )


def test_samples_carry_rates_groups_and_scale() -> None:
    samples = synthetic_samples()
    assert samples.x.shape == (1950, *SHAPE, 1)
    assert samples.x.dtype == np.float32
    background = samples.y == 0
    for split in range(3):
        assert samples.weights[background & (samples.split == split)].sum() == pytest.approx(TOTAL_KHZ, rel=1e-12)
    signal_groups = samples.groups[~background]
    assert signal_groups.min() >= 400
    assert signal_groups.max() < 450
    soft = samples.stratum == 0
    assert (samples.groups[soft] < 0).all()
    assert len(np.unique(samples.groups[soft])) == soft.sum()
    assert np.isnan(samples.quantities["ht_gev"][soft]).all()
    assert np.isfinite(samples.quantities["ht_gev"][~soft]).all()
    np.testing.assert_array_equal(samples.quantities["hard_scale_gev"][samples.stratum == 2], 40.0)
    assert abs(samples.quantities["collisions"][background].mean() - 200) < 5
    of_split = [set(samples.groups[(samples.split == split) & (samples.groups >= 0)].tolist()) for split in range(3)]
    assert not of_split[0] & of_split[1]
    assert not of_split[0] & of_split[2]
    assert not of_split[1] & of_split[2]


def test_parts_of_the_pools_are_counted_where_intervals_are_made() -> None:
    samples = synthetic_samples()
    assert not samples.pool_parts.any()  # 200 soft collisions are too few for parts
    assert [count_parts((0, n, n + 200), soft=200.0) for n in (100, 3199, 3200, 8000)] == [1, 1, 8, 20]
    assert [count_parts((0, 8000, 8000 + n, 9000), soft=200.0) for n in (39, 40, 75)] == [1, 8, 15]


def test_splits_share_no_collision() -> None:
    parts = split_slices(1000)
    assert [(part.start, part.stop) for part in parts] == [(0, 350), (350, 600), (600, 1000)]
    with pytest.raises(DataError, match="cannot be split in three"):
        split_slices(1)


def fingerprint(samples: Samples, split: int) -> str:
    chosen = samples.split == split
    columns = (samples.x, samples.y, samples.weights, samples.groups, *samples.quantities.values())
    return hashlib.sha256(b"".join(column[chosen].tobytes() for column in columns)).hexdigest()


def test_same_seed_same_bytes() -> None:
    first, again, other = synthetic_samples(), synthetic_samples(), synthetic_samples(seed=2)
    assert [fingerprint(first, split) for split in range(3)] == [fingerprint(again, split) for split in range(3)]
    assert fingerprint(first, 0) != fingerprint(other, 0)


def test_a_larger_test_sample_leaves_training_alone() -> None:
    assert fingerprint(synthetic_samples(), 0) == fingerprint(synthetic_samples(n_test=500), 0)


def test_image_scale_is_the_weighted_percentile_of_the_cells() -> None:
    rng = np.random.default_rng(1)
    images = rng.exponential(size=(300, 240)).astype(np.float32)
    images[rng.random(images.shape) < 0.3] = 0.0
    images[200:] *= 100.0  # not background of the training split
    stratum = np.repeat([0, 1, -1], 100)
    weights = np.repeat([2.0, 1.0, 50.0], 100)
    cells = np.concatenate([np.repeat(images[:100].ravel(), 2), images[100:200].ravel()])
    expected = np.percentile(cells[cells > 0], 99.99, method="inverted_cdf")
    assert image_scale(images, weights, stratum) == pytest.approx(float(expected), rel=1e-6)


def test_image_scale_needs_particles() -> None:
    with pytest.raises(DataError, match="no training background crossing has a particle"):
        image_scale(np.zeros((3, 4), dtype=np.float32), np.ones(3), np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_training_weights_balance_signal_and_background(scheme: str) -> None:
    samples = synthetic_samples()
    weights = training_weights(samples, scheme=scheme)
    for split, label in itertools.product(range(3), (0, 1)):
        here = samples.split == split
        assert weights[here & (samples.y == label)].sum() == pytest.approx(here.sum() / 2)
    train = (samples.split == 0) & (samples.y == 0)
    of_stratum = np.bincount(samples.stratum[train], weights=weights[train])
    counts = np.bincount(samples.stratum[train])
    expected = {
        "balanced": counts,
        "sqrt_rate": np.sqrt(samples.rates_khz * counts),
        "rate": samples.rates_khz,
        "hard_tail": samples.rates_khz * [min(1, TAIL_KHZ / samples.rates_khz[k:].sum()) for k in range(3)],
    }[scheme]
    np.testing.assert_allclose(of_stratum / of_stratum.sum(), expected / expected.sum(), rtol=1e-9)


def test_training_weights_refuse_an_unknown_scheme() -> None:
    with pytest.raises(ValueError, match="scheme must be one of"):
        training_weights(synthetic_samples(), scheme="rates")
