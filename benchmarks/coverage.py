"""Do the intervals of a report cover? Coverage of every printed quantity over toys with known truth, as Markdown.

    python benchmarks/coverage.py [--toys 400] [--processes 2] [--only TEXT] [--seed 1] [--output FILE]

A toy is one set of validation and test events with the scores of a float twin and a QKeras model, drawn from normal
distributions whose survival functions are known. Each toy is judged by ``evaluate`` and ``compare``, exactly as
a report judges a run, once at 68 and once at 95 %. Tables go to the standard output, or to FILE.

Other sources of events can stand beside ``Situation``: whatever has its attributes and methods, such as independent
mixtures of real collisions whose truth is the mean over all of them.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fpgaml.comparison import SeedDifference, compare, validation_efficiency
from fpgaml.curves import Curve
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.metrics import Estimate, Target
from fpgaml.tables import table

Floats = NDArray[np.float64]

LEVELS = (0.6827, 0.95)
SIGNAL_MEANS = {"float": 2.5, "qkeras": 2.4}
"""Of the signal's scores; those of the background have mean 0 and all have variance 1."""

SHARED = 0.9
"""Part of the variance of scores that two models, or two trainings, have in common."""

WITHIN_GROUP = 0.8
"""Part of the variance of scores that members of a group have in common."""

SEEDS_SPREAD = 0.1
"""Standard deviation over seeds of the signal's mean score."""


class Source(Protocol):
    """Where toys come from, and what is true of them."""

    name: str
    n_above: Sequence[float]
    """Background events above the threshold that are expected at each target."""

    @property
    def targets(self) -> Sequence[Target]:
        """The working points."""

    def draw(self, generator: np.random.Generator) -> tuple[Events, Mapping[str, Scores]]:
        """One toy: events and the scores of "float" and "qkeras"; those of the csim are the latter's."""

    def draw_seeds(
        self, generator: np.random.Generator, networks: Mapping[str, float], n_seeds: int
    ) -> tuple[Events, Mapping[str, Sequence[Scores]]]:
        """Events, and the scores of trainings of networks whose mean signal score is given."""

    def rate(self, threshold: float) -> float:
        """What the background would be above a threshold, for any model, in the unit of the targets."""

    def efficiency(self, threshold: float, mean: float, spread: float = 0.0) -> float:
        """Signal efficiency of a model above a threshold."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Normal scores, and background weights that are evenly spaced in their logarithm.

    Parameters
    ----------
    name : str
    n_signal, n_background : int
        In each split.
    n_above : tuple of float
        Background events expected above the threshold, one for each target.
    orders : float
        Orders of magnitude that background weights span; 0 for none, judged by background efficiency.
    fall : float
        How much lower the mean score is for each order that an event is heavier, as soft events score lower.
    members : int
        Events in a group, of signal and of background; those of a group have the same weight.
    """

    name: str
    n_signal: int = 300
    n_background: int = 3_000
    n_above: tuple[float, ...] = (50.0, 10.0, 3.0)
    orders: float = 0.0
    fall: float = 0.0
    members: int = 1

    @cached_property
    def weights(self) -> Floats:
        """Of background events, in kHz; they sum to 1000."""
        n_groups = self.n_background // self.members
        spaced = np.repeat(10.0 ** (self.orders * (np.arange(n_groups) + 0.5) / n_groups), self.members)
        return np.asarray(1_000 * spaced / spaced.sum())

    @cached_property
    def means(self) -> Floats:
        """Of background scores."""
        return np.asarray(-self.fall * np.log10(self.weights / self.weights.min()))

    @cached_property
    def thresholds(self) -> tuple[float, ...]:
        """Where each target is met exactly."""
        return tuple(
            optimize.brentq(lambda at, wanted=wanted: special.ndtr(self.means - at).sum() - wanted, -50.0, 50.0)
            for wanted in self.n_above
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """The working points."""
        kind = "rate_khz" if self.orders else "background_efficiency"
        return tuple(Target(kind, self.rate(at)) for at in self.thresholds)

    def rate(self, threshold: float) -> float:
        """True rate in kHz, or background efficiency without weights."""
        accepted = float((self.weights * special.ndtr(self.means - threshold)).sum())
        return accepted if self.orders else accepted / 1_000

    def efficiency(self, threshold: float, mean: float, spread: float = 0.0) -> float:
        """True signal efficiency."""
        return float(special.ndtr((mean - threshold) / math.hypot(1.0, spread)))

    def draw(self, generator: np.random.Generator) -> tuple[Events, Mapping[str, Scores]]:
        """One toy."""
        events, common = self.events(generator)
        return events, {name: self.scores(events, common, mean, generator) for name, mean in SIGNAL_MEANS.items()}

    def draw_seeds(
        self, generator: np.random.Generator, networks: Mapping[str, float], n_seeds: int
    ) -> tuple[Events, Mapping[str, Sequence[Scores]]]:
        """One toy of networks that were trained with several seeds."""
        events, common = self.events(generator)
        return events, {
            name: [self.scores(events, common, generator.normal(mean, SEEDS_SPREAD), generator) for _ in range(n_seeds)]
            for name, mean in networks.items()
        }

    def events(self, generator: np.random.Generator) -> tuple[Events, Floats]:
        """Events of one toy, and what the models' scores have in common."""
        y = np.tile(np.repeat([1, 0], [self.n_signal, self.n_background]), 2)
        groups = np.arange(len(y)) // self.members
        common = generator.normal(size=len(y))
        if self.members > 1:
            of_group = generator.normal(size=len(y) // self.members)[groups]
            common = math.sqrt(WITHIN_GROUP) * of_group + math.sqrt(1 - WITHIN_GROUP) * common
        weights = np.tile(np.concatenate([np.ones(self.n_signal), self.weights]), 2)
        events = Events(
            y=y,
            split=np.repeat(np.array([1, 2], np.int8), len(y) // 2),
            weights=weights if self.orders else None,
            groups=groups if self.members > 1 else None,
        )
        return events, common

    def scores(self, events: Events, common: Floats, mean: float, generator: np.random.Generator) -> Scores:
        """One model's."""
        centres = np.tile(np.concatenate([np.full(self.n_signal, mean), self.means]), 2)
        noise = generator.normal(size=len(common))
        found = centres + math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * noise
        return Scores(validation=found[events.split == 1], test=found[events.split == 2])


SITUATIONS: tuple[Source, ...] = (
    Situation(name="300 signal, 3,000 background"),
    Situation(name="the same in groups of five", members=5),
    Situation(name="weights over four orders", orders=4.0),
    Situation(name="weights over four orders, groups of five", orders=4.0, members=5),
    Situation(name="weights over four orders, heavy events lower", orders=4.0, fall=1.0),
    Situation(
        name="weights over four orders, heavy events a little lower", n_above=(100.0, 50.0, 10.0), orders=4.0, fall=0.5
    ),
    Situation(
        name="5,000 signal, 20,000 background, heavy events lower",
        n_signal=5_000,
        n_background=20_000,
        n_above=(3_000.0, 1_000.0, 300.0),
        orders=4.0,
        fall=1.0,
    ),
)


@dataclass(frozen=True)
class Found:
    """One quantity of one toy: what is true, and the intervals at both levels."""

    situation: str
    quantity: str
    n_above: float
    truth: float
    intervals: tuple[Estimate, Estimate]


def judge(source: Source, generator: np.random.Generator) -> Iterator[Found]:
    """Everything that a report says of one toy."""
    events, scores = source.draw(generator)
    targets = list(source.targets)
    judged = [evaluate(events, scores, targets, level=level, seed=int(generator.integers(2**31))) for level in LEVELS]
    total = source.rate(-math.inf)

    def found(quantity: str, number: int, truth: float, intervals: Iterable[Estimate]) -> Found:
        first, second = intervals
        return Found(source.name, quantity, source.n_above[number], truth, (first, second))

    for number, target in enumerate(targets):
        points = [one.performance("float", target) for one in judged]
        at, exact = points[0].threshold, _exact(source, target)
        true_rate, true_efficiency = source.rate(at), source.efficiency(exact, SIGNAL_MEANS["float"])
        yield found("efficiency at the requested rate", number, true_efficiency, [p.signal_efficiency for p in points])
        this = source.efficiency(at, SIGNAL_MEANS["float"])
        yield found("efficiency of this threshold", number, this, [p.signal_efficiency_test_only for p in points])
        yield found("achieved rate", number, true_rate, [p.achieved for p in points])
        yield found("rejection", number, total / true_rate, [p.background_rejection for p in points])
        # not an interval: how far the true rate is from what was requested
        bias = Estimate(true_rate / target.value, 1.0, 1.0)
        yield found("true rate / requested", number, 1.0, [bias, bias])
        differences = [one.differences[number].signal_efficiency for one in judged]
        truth = source.efficiency(exact, SIGNAL_MEANS["qkeras"]) - true_efficiency
        yield found("QKeras − float", number, truth, differences)
        curves = [one.curves["float"] for one in judged]
        yield found("curve: efficiency", number, true_efficiency, [_at_rate(curve, target) for curve in curves])
        yield found(
            "curve: rejection", number, total / source.rate(exact), [_rejection(curve, exact) for curve in curves]
        )


def judge_seeds(source: Source, generator: np.random.Generator, n_seeds: int) -> Iterator[Found]:
    """What a report says of networks that were trained with several seeds, at the middle target."""
    means = {"a": SIGNAL_MEANS["float"], "b": SIGNAL_MEANS["qkeras"]}
    events, scores = source.draw_seeds(generator, means, n_seeds)
    number = len(source.targets) // 2
    target, seed = source.targets[number], int(generator.integers(2**31))
    compared = [
        compare(events, scores, target, pairs=[("b", "a")], level=level, level_apart=level, replicas=300, seed=seed)
        for level in LEVELS
    ]
    exact = _exact(source, target)
    first, second = (source.efficiency(exact, means[name], SEEDS_SPREAD) for name in ("a", "b"))
    of_mean = tuple(one.means["a"].signal_efficiency for one in compared)
    of_difference = tuple(one.differences["b", "a"].signal_efficiency for one in compared)
    yield Found(source.name, f"mean of {n_seeds} seeds", source.n_above[number], first, of_mean)
    yield Found(
        source.name, f"difference of means, {n_seeds} seeds", source.n_above[number], second - first, of_difference
    )


def _exact(source: Source, target: Target) -> float:
    """The threshold at which the target is met."""
    return float(optimize.brentq(lambda at: source.rate(at) - target.value, -50.0, 50.0, xtol=1e-10))


def _at_rate(curve: Curve, target: Target) -> Estimate:
    """The curve and its band at a rate, between two points as it is drawn, on a logarithmic axis."""
    x = np.log(curve.background)
    if not x[0] <= math.log(target.value) <= x[-1]:
        return Estimate(math.nan, math.nan, math.nan)
    columns = (curve.signal_efficiency, curve.signal_low, curve.signal_high)
    return Estimate(*(float(np.interp(math.log(target.value), x, column)) for column in columns))


def _rejection(curve: Curve, threshold: float) -> Estimate:
    """The rejection of the curve at a threshold, between two points as it is drawn, on a logarithmic axis."""
    x = -curve.thresholds
    if not x[0] <= -threshold <= x[-1]:
        return Estimate(math.nan, math.nan, math.nan)
    columns = (curve.background_rejection, curve.rejection_low, curve.rejection_high)
    return Estimate(*(math.exp(np.interp(-threshold, x, np.log(column))) for column in columns))


def run_toy(number: int, seed: int, name: str) -> list[Found]:
    """Both judgements of one toy of the situation of a name."""
    source = next(found for found in SITUATIONS if found.name == name)
    generator = np.random.default_rng([seed, number])
    found = list(judge(source, generator))
    if found and source.n_above[0] < 100:
        found += [one for n_seeds in (2, 3) for one in judge_seeds(source, generator, n_seeds)]
    return found


def _run_toy(arguments: tuple[int, int, str]) -> list[Found]:
    """For a pool, which gives one argument."""
    return run_toy(*arguments)


@dataclass(frozen=True)
class Row:
    """What the toys of a situation say of one quantity."""

    situation: str
    quantity: str
    n_above: float
    n_toys: int
    n_without: int
    """Toys in which no value or no interval is printed."""
    covered: tuple[float, float]
    spread: float
    """Standard deviation of the estimates around the truth over the mean half-width of the 68 % interval."""
    bias: float
    """Mean of the estimate over the truth; of a difference, minus the truth."""


def summarize(found: Sequence[Found]) -> Iterator[Row]:
    """One row for every quantity and working point."""
    for key in dict.fromkeys((one.situation, one.quantity, one.n_above) for one in found):
        toys = [one for one in found if (one.situation, one.quantity, one.n_above) == key]
        values = np.array([[i.value, i.low, i.high] for one in toys for i in one.intervals]).reshape(-1, 2, 3)
        truth = np.array([one.truth for one in toys])
        printed = np.isfinite(values[:, :, 0]).all(axis=1) & ~np.isnan(values[:, :, 1]).any(axis=1)
        values, truth = values[printed], truth[printed]
        high = np.where(np.isnan(values[:, :, 2]), np.inf, values[:, :, 2])
        inside = (values[:, :, 1] <= truth[:, None]) & (truth[:, None] <= high)
        half = (high[:, 0] - values[:, 0, 1]) / 2
        finite = np.isfinite(half)
        deviation = values[:, 0, 0] - truth
        mean_half = half[finite].mean() if finite.any() else 0.0
        spread = math.sqrt(np.mean(deviation[finite] ** 2)) / mean_half if mean_half else math.nan
        bias = (
            np.array([math.nan]) if not len(truth) else deviation if _is_difference(key[1]) else values[:, 0, 0] / truth
        )
        covered = tuple(float(share) for share in inside.mean(axis=0)) if len(values) else (math.nan, math.nan)
        yield Row(
            *key,
            len(values),
            int((~printed).sum()),
            (covered[0], covered[1]),
            spread,
            float(bias.mean()) if len(bias) else math.nan,
        )


def _is_difference(quantity: str) -> bool:
    return "−" in quantity or quantity.startswith("difference")


COPIES = Situation(name="copies", n_signal=1_000, n_background=3_000, n_above=(100.0,))
"""Where verdicts are counted."""


def run_verdicts(number: int, seed: int, n_seeds: int, worse: float) -> tuple[bool, bool, bool, float]:
    """Verdicts on networks of one toy, with several seeds each.

    Returns
    -------
    false, any_false, seen : bool
        Whether two copies of one network differ; whether any of the six pairs of four copies does; whether a network
        differs from one whose true efficiency is lower by ``worse``.
    smallest : float
        What is said to be seen in 80 % of samples.
    """
    generator = np.random.default_rng([seed, number, n_seeds])
    (at,), (target,), mean = COPIES.thresholds, COPIES.targets, SIGNAL_MEANS["float"]
    wanted = COPIES.efficiency(at, mean, SEEDS_SPREAD) - worse
    lower = at + math.hypot(1.0, SEEDS_SPREAD) * float(special.ndtri(wanted))
    networks = {**dict.fromkeys("abcd", mean), "worse": lower}
    events, scores = COPIES.draw_seeds(generator, networks, n_seeds)

    def verdicts(*pairs: tuple[str, str]) -> list[SeedDifference]:
        names = {name: scores[name] for pair in pairs for name in pair}
        return list(compare(events, names, target, pairs=pairs, seed=number).differences.values())

    (null,), six = verdicts(("a", "b")), verdicts(*itertools.combinations("abcd", 2))
    (clear,) = verdicts(("worse", "a"))
    found = null.told_apart is True, any(one.told_apart for one in six), clear.told_apart is True
    return *found, null.smallest_visible or math.nan


def _run_verdicts(arguments: tuple[int, int, int, float]) -> tuple[bool, bool, bool, float]:
    """For a pool, which gives one argument."""
    return run_verdicts(*arguments)


def verdict_table(pool: Any, n_toys: int, seed: int) -> str:
    """How often verdicts are false, and how often they are given, by number of seeds."""
    rows = []
    for n_seeds in (2, 3, 5):
        # the size of a difference that is said to be visible, from toys of their own
        first = pool.map(_run_verdicts, [(number, seed + 1, n_seeds, 0.0) for number in range(n_toys)])
        worse = float(np.mean([toy[3] for toy in first]))
        toys = pool.map(_run_verdicts, [(number, seed, n_seeds, worse) for number in range(n_toys)])
        shares = np.array([toy[:3] for toy in toys], np.float64).mean(axis=0)
        rows.append([str(n_seeds), *(percent(share, n_toys) for share in shares[:2]), f"{worse:.3f}"])
        rows[-1].append(percent(shares[2], n_toys))
    headers = ["seeds", "two copies: false, %", "four copies: any false, %", "said to be visible", "of these seen, %"]
    return table(headers, rows)


def run_selection(number: int, seed: int, n_networks: int) -> tuple[float, float, float]:
    """The network that validation events prefer among equally good ones.

    Returns
    -------
    rate, bias, error : float
        True rate of its threshold over the requested one; its efficiency on test events minus the true one at what was
        requested; half the width of the interval of that.
    """
    generator = np.random.default_rng([seed, number, n_networks])
    (at,), (target,), mean = COPIES.thresholds, COPIES.targets, SIGNAL_MEANS["float"]
    events, common = COPIES.events(generator)
    networks = [COPIES.scores(events, common, mean, generator) for _ in range(n_networks)]
    best = max(networks, key=lambda scores: validation_efficiency(events, scores, target))
    point = evaluate(events, {"qkeras": best}, [target], seed=number).performance("qkeras")
    found = point.signal_efficiency
    return COPIES.rate(point.threshold) / target.value, found.value - COPIES.efficiency(at, mean), found.half_width


def _run_selection(arguments: tuple[int, int, int]) -> tuple[float, float, float]:
    """For a pool, which gives one argument."""
    return run_selection(*arguments)


def selection_table(pool: Any, n_toys: int, seed: int) -> str:
    """What choosing on the events that place thresholds does, by the number of networks to choose from."""
    rows = []
    for n_networks in (1, 20):
        toys = np.array(pool.map(_run_selection, [(number, seed, n_networks) for number in range(n_toys)]))
        (rate, bias, half), (rate_error, bias_error, _) = toys.mean(axis=0), toys.std(axis=0) / math.sqrt(n_toys)
        cells = [f"{rate:.3f} ± {rate_error:.3f}", f"{bias:+.4f} ± {bias_error:.4f}", f"{half:.4f}"]
        rows.append([str(n_networks), *cells])
    return table(["networks", "true rate / requested", "efficiency on test − true", "half its interval"], rows)


def percent(share: float, n_toys: int) -> str:
    """A share with its binomial error, half an event added to either kind: no error of zero."""
    if not n_toys:
        return "none printed"
    rough = (share * n_toys + 0.5) / (n_toys + 1)
    return f"{100 * share:.0f} ± {100 * math.sqrt(rough * (1 - rough) / n_toys):.1f}"


def text_of(rows: Sequence[Row]) -> str:
    """A Markdown table of coverages in per cent with their binomial errors."""
    cells = []
    for row in rows:
        interval = row.quantity != "true rate / requested"
        cells.append(
            [
                row.situation,
                row.quantity,
                f"{row.n_above:g}",
                percent(row.covered[0], row.n_toys) if interval else "",
                percent(row.covered[1], row.n_toys) if interval else "",
                f"{row.spread:.2f}" if interval else "",
                f"{row.bias:.3f}",
                f"{row.n_without}" if row.n_without else "",
            ]
        )
    headers = ["situation", "quantity", "events above", "68 %", "95 %", "true spread / quoted", "bias", "not printed"]
    return table(headers, cells)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toys", type=int, default=400, metavar="N", help="of each situation")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="situations whose name holds this, verdicts or selection"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--output", type=Path, metavar="FILE")
    options = parser.parse_args()
    texts = []
    with Pool(options.processes) as pool:
        for source in SITUATIONS:
            if options.only not in source.name:
                continue
            started = time.perf_counter()
            jobs = [(number, options.seed, source.name) for number in range(options.toys)]
            found = [one for toy in pool.imap_unordered(_run_toy, jobs, chunksize=4) for one in toy]
            texts.append(text_of(list(summarize(found))))
            print(f"{source.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        if options.only in "verdicts":
            texts.append(verdict_table(pool, options.toys, options.seed))
        if options.only in "selection":
            texts.append(selection_table(pool, options.toys, options.seed))
    text = "\n\n".join(texts) + "\n"
    if options.output is None:
        print(text)
    else:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
