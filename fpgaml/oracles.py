"""Keras-Tuner's oracles, mended: the only module that knows Keras-Tuner.

What is taken from it are the draws and the promotions; it trains nothing, writes nothing and prints nothing. What its
oracles do badly is mended here and in ``fpgaml.proposals``:

- in a small space they give up when their draws collide, Hyperband before anything was trained for longer than the
  first round; here, draws go on until every point is tried, and Hyperband's rounds are cut to the points there are;
- Bayesian search proposes points again that it knows; here, the best one that it does not know;
- grid search waits for results that it does not need; here, any number of points can be open;
- the draws of seed 2 are those of seed 1, but for the first; here, seeds have nothing in common.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fpgaml.errors import ToolError
from fpgaml.pareto import front_order
from fpgaml.search_options import SearchOptions

CANDIDATES = 1000
"""Points among which Bayesian search looks for the best untried one."""

Rounds = Mapping[tuple[int, int], int]
"""Trials of each of Hyperband's rounds, by the numbers of bracket and round."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings about how Keras-Tuner calls Python, and how its regression converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", module=r"sklearn\.")
        yield


def make_oracle(options: SearchOptions, sizes: Mapping[str, int], rounds: Rounds) -> Any:
    """Keras-Tuner's oracle of an algorithm, mended; it chooses among positions, because values may be of any type.

    Parameters
    ----------
    options : SearchOptions
        How to search.
    sizes : mapping of name to int
        How many values each choice has.
    rounds : mapping of (bracket, round) to int
        How many trials each of Hyperband's rounds has.

    Raises
    ------
    ToolError
        A package that the algorithm needs is missing.
    """
    import keras_tuner

    parameters = keras_tuner.HyperParameters()
    for name, size in sizes.items():
        parameters.Choice(name, list(range(size)))
    common = {
        "objective": keras_tuner.Objective("merit", "max"),
        "hyperparameters": parameters,
        "allow_new_entries": False,
        "seed": _seed(options.seed),
        "max_consecutive_failed_trials": sys.maxsize,
    }
    counts = tuple(sizes.values())
    oracles = keras_tuner.oracles
    oracle: Any
    if options.algorithm == "hyperband":
        hyperband = _hyperband_for_fronts if options.promote == "front" else _hyperband
        oracle = hyperband(oracles.HyperbandOracle, counts, rounds)(
            max_epochs=options.max_epochs, factor=options.factor, **common
        )
    elif options.algorithm == "grid":
        oracle = _grid(oracles.GridSearchOracle, counts)(**common)
    elif options.algorithm == "random":
        oracle = _in_memory(oracles.RandomSearchOracle, counts)(max_trials=options.trials, **common)
    else:
        try:
            oracle = _bayesian(oracles.BayesianOptimizationOracle, counts)(max_trials=options.trials, **common)
        except ImportError as error:
            raise ToolError(
                f"search: bayesian search needs a package that is missing: {error}. Install scikit-learn and scipy, or "
                "use another algorithm"
            ) from error
    oracle.verbose = 0
    return oracle


def _seed(seed: int) -> int:
    """A seed for Keras-Tuner, which takes 0 for none and draws with seed, seed + 1, ...; in numpy's 32 bits."""
    return 1 + int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]) % (2**32 - 1)


def _in_memory(base: Any, sizes: tuple[int, ...]) -> Any:
    """A subclass of a class of oracles that keeps no files, and draws until every point has been drawn.

    ``sizes`` says how many values each choice has.
    """

    class InMemory(base):  # type: ignore[misc]
        def save(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

        def _random_values(self) -> dict[str, int] | None:
            values: dict[str, int] | None = super()._random_values()
            return values or next(iter(self.untried(1)), None)

        def untried(self, number: int) -> list[dict[str, int]]:
            """At most so many points of which none has been proposed, drawn at random."""
            names = [parameter.name for parameter in self.hyperparameters.space]
            tried = {tuple(trial.hyperparameters.values[name] for name in names) for trial in self.trials.values()}
            generator = random.Random(self._seed_state)
            self._seed_state += 1
            if math.prod(sizes) <= 2 * (len(tried) + number):
                left = [point for point in itertools.product(*map(range, sizes)) if point not in tried]
                drawn = generator.sample(left, min(number, len(left)))
            else:
                drawn = []
                while len(drawn) < number:  # at least half of all draws are new
                    point = tuple(generator.randrange(size) for size in sizes)
                    if point not in tried:
                        tried.add(point)
                        drawn.append(point)
            return [dict(zip(names, point, strict=True)) for point in drawn]

    return InMemory


def _hyperband(base: Any, sizes: tuple[int, ...], rounds: Rounds) -> Any:
    """Hyperband, whose rounds are of the planned sizes."""

    class Hyperband(_in_memory(base, sizes)):  # type: ignore[misc]
        def _get_size(self, bracket_num: int, round_num: int) -> int:
            return rounds.get((bracket_num, round_num), 0)

    return Hyperband


def _hyperband_for_fronts(base: Any, sizes: tuple[int, ...], rounds: Rounds) -> Any:
    """Hyperband that promotes the trials that serve the front of score and cost, which it finds among the metrics."""

    class HyperbandForFronts(_hyperband(base, sizes, rounds)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            for bracket in self._brackets:
                for started in bracket["rounds"]:
                    self._rank([self.trials[trial["id"]] for trial in started])
            return super().populate_space(trial_id)

        def _rank(self, trials: list[Any]) -> None:
            """Give the finished trials of a round scores in the order of their promotion."""
            ended = [trial for trial in trials if trial.status == "COMPLETED" and math.isfinite(trial.score)]
            values, costs = ([trial.metrics.get_last_value(name) for trial in ended] for name in ("score", "cost"))
            for position, place in enumerate(front_order(values, costs)):
                ended[place].score = -position

    return HyperbandForFronts


def _grid(base: Any, sizes: tuple[int, ...]) -> Any:
    """Grid search that goes on from a point before its result is known: the space does not depend on results."""

    class Grid(_in_memory(base, sizes)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            response = super().populate_space(trial_id)
            if response["values"] is not None and trial_id not in self._populate_next:
                self._populate_next.append(trial_id)
            return response

    return Grid


def _bayesian(base: Any, sizes: tuple[int, ...]) -> Any:
    """Bayesian search that, where it would propose a known point, proposes the most promising unknown one."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    regressor = _unchecked()

    class Bayesian(_in_memory(base, sizes)):  # type: ignore[misc]
        def _make_gpr(self) -> Any:
            return regressor(**super()._make_gpr().get_params(deep=False))

        def populate_space(self, trial_id: str) -> Any:
            # Threads that share out tiny matrices only wait for each other, long where workers need the cores.
            with threadpool_limits(1):
                response = super().populate_space(trial_id)
                if response["values"] is not None and self._duplicate(response["values"]):
                    values = self._best(self.untried(CANDIDATES))
                    return {"status": "RUNNING" if values else "STOPPED", "values": values}
            return response

        def _best(self, points: list[dict[str, int]]) -> dict[str, int] | None:
            """The point with the lowest bound on what is minimised, as in the original."""
            if not points:
                return None
            space = self.hyperparameters.space
            places = [[parameter.value_to_prob(point[parameter.name]) for parameter in space] for point in points]
            mean, deviation = self.gpr.predict(places, return_std=True)
            return points[int((mean - self.beta * deviation).argmin())]

    return Bayesian


def _unchecked() -> Any:
    """Scikit-learn's regression, without checks of what it predicts for: they took 70 % of a proposal.

    The oracle looks for the best point by some 10,000 predictions, one after the other. What comes out is the same to
    the last bit.
    """
    from scipy.linalg import solve_triangular
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]

    class Unchecked(GaussianProcessRegressor):  # type: ignore[misc]
        def predict(self, X: Any, **wanted: bool) -> Any:  # noqa: N803  as scikit-learn calls it
            if wanted != {"return_std": True} or not hasattr(self, "X_train_"):
                return super().predict(X, **wanted)
            points = np.asarray(X, dtype=np.float64)
            covariance = self.kernel_(points, self.X_train_)
            mean = self._y_train_std * (covariance @ self.alpha_) + self._y_train_mean
            explained = solve_triangular(self.L_, covariance.T, lower=True, check_finite=False)
            variance = self.kernel_.diag(points) - np.einsum("ij,ji->i", explained.T, explained)
            return mean, np.sqrt(np.maximum(variance, 0.0) * self._y_train_std**2)

    return Unchecked
