"""Runs, or winners of their searches, side by side: are they different, by how much, and what does each cost.

All are judged on the same test events, so that what they have in common cancels; the statistics are those of
``fpgaml.comparison``.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.comparison import Comparison, compare
from fpgaml.displays import html_table
from fpgaml.drawing import literal
from fpgaml.errors import DataError, OutputError, did_you_mean
from fpgaml.events import Events, Scores
from fpgaml.metrics import Estimate, Target
from fpgaml.runs import Run, load_run
from fpgaml.search_section import choices_text
from fpgaml.seed_trainings import read_scores
from fpgaml.tables import compatible_text, escape, estimate_text, plain, table, target_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHOD = """\
{trainings} Efficiencies are on test events, each training at the threshold that its own validation background sets for
{target}; intervals at {level:.0f} %. Differences are paired: same test events, same replicas of the validation
background{seeds}; intervals at {level_apart:.0f} %. {verdicts}
EBOPs: bits of the input × bits of the weight, summed over the products of the network. Choosing among networks
by these numbers would spoil the test events."""

OVER_SEEDS = "Every network was trained with the seeds {seeds}, and its number is the mean over them."
ONE_TRAINING = """\
There are no two seeds with which all were trained, so each stands for one training, the one that its run has come to:
no interval holds the spread between trainings, a difference may be luck of a seed, and there is no verdict."""
VERDICTS = """\
Two networks differ where the interval leaves out zero{corrected}; else they are statistically compatible, and a true
difference as large as the one named would have been seen in 80 % of such samples."""
CORRECTED = """\
, at a level corrected for {n} pairs by Holm's method, with a chance of any false verdict of at most {chance:.0f} %"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedRun:
    """A network of a comparison.

    Parameters
    ----------
    name : str
        As short as it can be without being another's.
    directory : Path
        The run's.
    trial : str
        The network's name there.
    study : str
        The study's.
    choices : mapping
        The value of every choice.
    cost : mapping of name to int
        Of the training that its run has come to.
    mismatches : int, optional
        Words in which C simulation and model differ; None where nothing has been simulated.
    """

    name: str
    directory: Path
    trial: str
    study: str
    choices: Mapping[str, Any]
    cost: Mapping[str, int]
    mismatches: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunComparison:
    """Networks of several runs, judged on the same test events.

    Parameters
    ----------
    target : Target
        The working point.
    sha256 : str
        Of the data set that all have used.
    seeds : tuple of int
        What every network was trained with; empty where each stands for one training.
    runs : tuple of ComparedRun
        In the order in which they were named.
    comparison : Comparison
        Their means, and the differences of all pairs, by name.
    """

    target: Target
    sha256: str
    seeds: tuple[int, ...]
    runs: tuple[ComparedRun, ...]
    comparison: Comparison

    def verdict(self, first: str, second: str) -> str:
        """What the difference of two networks means, in a sentence without its full stop; names as in ``runs``."""
        difference = self.comparison.differences[first, second]
        interval, costs = difference.signal_efficiency, {run.name: run.cost["ebops"] for run in self.runs}
        if not difference.told_apart:
            text, ebops = estimate_text(interval), _ebops_text(costs[first], costs[second])
            found = f"{first} − {second} is {text}; {first} has {ebops}"
            if difference.told_apart is None:
                return f"No verdict with one training each: {found}"
            return f"{first} and {second} are {compatible_text(difference.smallest_visible)}: {found}"
        better, worse = first, second
        if interval.value < 0:
            better, worse, interval = second, first, Estimate(-interval.value, -interval.high, -interval.low)
        ebops = _ebops_text(costs[better], costs[worse])
        return f"{better} is better than {worse} by {estimate_text(interval)}, with {ebops}"

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One for each pair."""
        return tuple(self.verdict(*pair) for pair in self.comparison.differences)

    @property
    def markdown(self) -> str:
        """Verdicts, numbers and how they came to be."""
        headers, rows = self._table()
        n, chance = len(self.comparison.differences), 100 * (1 - self.comparison.level_apart)
        verdicts = VERDICTS.format(corrected=CORRECTED.format(n=n, chance=chance) if n > 1 else "")
        method = METHOD.format(
            trainings=OVER_SEEDS.format(seeds=", ".join(map(str, self.seeds))) if self.seeds else ONE_TRAINING,
            target=target_text(self.target),
            level=100 * self.comparison.level,
            seeds=", same seeds" if self.seeds else "",
            level_apart=100 * self.comparison.level_apart,
            verdicts=verdicts if self.seeds else "",
        )
        verdicts = "\n".join(f"- **{escape(text, 1_000)}.**" for text in self.verdicts)
        *names, last = (escape(run.name) for run in self.runs)
        title = f"# {', '.join(names)} and {last} at {target_text(self.target)}"
        cells = [[escape(cell) for cell in row] for row in rows]
        return "\n\n".join([title, verdicts, table(headers, cells), textwrap.fill(method, 120)]) + "\n"

    def figure(self) -> Axes:
        """The differences of all pairs, with their intervals."""
        from fpgaml import figures

        return figures.differences(
            {
                f"{literal(first)}\n− {literal(second)}": found.signal_efficiency
                for (first, second), found in self.comparison.differences.items()
            },
            label=rf"Difference in signal efficiency $\varepsilon_s$ at {_math_text(self.target)}",
            told_apart=[found.told_apart for found in self.comparison.differences.values()],
            level=self.comparison.level_apart,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "target": {"kind": self.target.kind, "value": self.target.value},
            "dataset": {"sha256": self.sha256},
            "seeds": list(self.seeds),
            "level": self.comparison.level,
            "level_apart": self.comparison.level_apart,
            "replicas": self.comparison.replicas,
            "runs": [
                {
                    "name": run.name,
                    "directory": str(run.directory),
                    "trial": run.trial,
                    "study": run.study,
                    "choices": dict(run.choices),
                    "cost": dict(run.cost),
                    "mismatches": run.mismatches,
                    **self.comparison.means[run.name].to_json(),
                }
                for run in self.runs
            ],
            "differences": [
                {"first": first, "second": second, **found.to_json(), "verdict": self.verdict(first, second)}
                for (first, second), found in self.comparison.differences.items()
            ],
        }

    def _repr_html_(self) -> str:
        headers, rows = self._table()
        return html_table(". ".join(self.verdicts) + ".", rows, headers=headers)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Headers, and a row for each network."""
        rows = []
        for run in self.runs:
            mean = self.comparison.means[run.name]
            row = [run.name, run.study, choices_text(run.choices) or "none", estimate_text(mean.signal_efficiency)]
            if self.seeds:
                row.append(f"{mean.spread:.4f}")
            words = "not simulated" if run.mismatches is None else f"{run.mismatches:,} words differ"
            row += [plain(run.cost["ebops"]), plain(run.cost.get("parameters")), words]
            rows.append(row)
        spread = ["spread over seeds"] if self.seeds else []
        headers = ["", "study", "choices", f"signal efficiency at {target_text(self.target)}", *spread]
        return [*headers, "EBOPs", "parameters", "csim"], rows


def compare_runs(places: Sequence[Path], *, replicas: int = 500) -> RunComparison:
    """Compare networks of several runs, or of one, at the first working point that all were judged at.

    Where there are two seeds or more with which all were trained, as winners of searches are, networks are compared by
    their means over these seeds; else each by the one training that its run has come to.

    Parameters
    ----------
    places : sequence of Path
        Two or more, each the output directory of a run, which stands for the network that it has come to, or in it
        ``winners/<trial>``, one of the best of its search, or ``trials/<trial>``, any network that was trained whole.
    replicas : int
        Of the bootstrap of the validation background.

    Raises
    ------
    DataError
        Fewer than two, one named twice, other events in one than in another, or no working point in common.
    OutputError
        As ``load_run``, or no such winner.
    """
    paths = [Path(place).resolve() for place in places]
    if len(paths) < 2:
        raise DataError(f"a comparison needs two runs or more, found {len(paths)}")
    if doubles := [str(path) for path in dict.fromkeys(paths) if paths.count(path) > 1]:
        raise DataError(f"{doubles[0]}: is named twice, and does not differ from itself")
    entrants = [_entrant(path, name) for path, name in zip(paths, _names(paths), strict=True)]
    _check_same_events(entrants)
    target = _common_target(entrants)
    seeds = sorted(set.intersection(*(set(entrant.trainings) for entrant in entrants)))
    if len(seeds) < 2:
        seeds = []
    scores = {entrant.run.name: [entrant.trainings[seed] for seed in seeds] or [entrant.chosen] for entrant in entrants}
    compared = compare(entrants[0].events, scores, target, pairs=itertools.combinations(scores, 2), replicas=replicas)
    return RunComparison(
        target=target,
        sha256=entrants[0].sha256,
        seeds=tuple(seeds),
        runs=tuple(entrant.run for entrant in entrants),
        comparison=compared,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entrant:
    """A network, its trainings by seed, the one that its run has come to, and what they were judged on."""

    run: ComparedRun
    trainings: Mapping[int, Scores]
    chosen: Scores
    events: Events
    sha256: str
    targets: tuple[Target, ...]


def _entrant(path: Path, name: str) -> _Entrant:
    """What a place stands for."""
    if path.parent.name == "winners" and (path.parents[1] / "study.yaml").exists():
        return _winner(load_run(path.parents[1]), path.name, name)
    if path.parent.name == "trials" and (path.parents[1] / "study.yaml").exists():
        run = load_run(path.parents[1], trial=path.name)
    else:
        run = load_run(path)
    if run.winners is not None and run.trial == run.winners["winner"]["trial"]:
        return _winner(run, run.winners["winner"]["search_trial"], name)
    compared = ComparedRun(
        name=name,
        directory=run.directory,
        trial=run.trial,
        study=str(run.study["study"]),
        choices=run.architecture.get("choices", {}),
        cost=run.trained["cost"],
        mismatches=None if run.agreement is None else run.agreement["mismatches"],
    )
    return _judged(run, compared, {int(run.trained["seed"]): run.scores["qkeras"]}, run.scores["qkeras"])


def _winner(run: Run, trial: str, name: str) -> _Entrant:
    """One of the best of a search, with its trainings."""
    if run.winners is None:
        raise OutputError(f"{run.directory}: has no winners, only the network {run.trial}")
    candidates = {found["trial"]: found for found in run.winners["winners"]}
    if trial not in candidates:
        raise OutputError(f"{run.directory / 'winners'}: no winner {trial!r}; {did_you_mean(trial, candidates)}")
    found, won = candidates[trial], trial == run.winners["winner"]["search_trial"]
    if found["failed"]:
        raise OutputError(f"{run.directory / 'winners' / trial}: failed with seed {', '.join(found['failed'])}")
    trainings = {
        training["seed"]: read_scores(run.directory / "winners" / trial / f"seed_{training['seed']}")
        for training in found["trainings"]
    }
    best = max(found["trainings"], key=lambda training: (training["within_limits"], training["validation"]))["seed"]
    compared = ComparedRun(
        name=name,
        directory=run.directory,
        trial=trial,
        study=str(run.study["study"]),
        choices=found["choices"],
        cost=found["cost"],
        mismatches=run.agreement["mismatches"] if won and run.agreement is not None else None,
    )
    return _judged(run, compared, trainings, trainings[run.winners["winner"]["seed"] if won else best])


def _judged(run: Run, compared: ComparedRun, trainings: Mapping[int, Scores], chosen: Scores) -> _Entrant:
    sha256 = str(run.dataset["sha256"])
    return _Entrant(
        run=compared, trainings=trainings, chosen=chosen, events=run.events, sha256=sha256, targets=run.targets
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """As much of the end of each path as tells all apart."""
    longest = max(len(path.parts) for path in paths)
    tails = (["/".join(path.parts[-depth:]) for path in paths] for depth in range(1, longest + 1))
    return next(names for names in tails if len(set(names)) == len(paths))


def _check_same_events(entrants: Sequence[_Entrant]) -> None:
    first = entrants[0]
    for other in entrants[1:]:
        same = other.sha256 == first.sha256 and all(
            np.array_equal(getattr(other.events, name), getattr(first.events, name)) for name in ("y", "split")
        )
        if not same:
            raise DataError(
                f"{first.run.name} and {other.run.name} were judged on different events (data sets with sha256 "
                f"{first.sha256[:12]} and {other.sha256[:12]}): their difference would be one of data as well as of "
                "networks. Compare runs whose studies have the same `task` and `data`"
            )


def _common_target(entrants: Sequence[_Entrant]) -> Target:
    """The first working point of the first network that all have."""
    for target in entrants[0].targets:
        if all(target in entrant.targets for entrant in entrants):
            return target
    asked = "; ".join(f"{entrant.run.name} {', '.join(map(target_text, entrant.targets))}" for entrant in entrants)
    raise DataError(f"the runs have no working point in common: {asked}")


def _ebops_text(cost: int, other: int) -> str:
    """Cost against that of another."""
    if cost == other:
        return "as many EBOPs"
    return f"{cost / other:.3g} times the EBOPs" if other else f"{cost:,} EBOPs against none"


def _math_text(target: Target) -> str:
    return f"{target.value:g} kHz" if target.kind == "rate_khz" else rf"$\varepsilon_b$ = {target.value:g}"
