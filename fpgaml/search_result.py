"""What a search has found: its trials, the best first, and the Pareto front of score and cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fpgaml.displays import html_table
from fpgaml.errors import StudyError, ToolError
from fpgaml.pareto import hypervolume, pareto_front
from fpgaml.ranking import feasible, known_of, missed_text, order
from fpgaml.search_options import SearchOptions
from fpgaml.tables import aim_text, cost_text, score_text

SHOWN = 5
"""Trials that a notebook shows of a result."""


@dataclass(frozen=True)
class Evaluated:
    """A trial after the most epochs that it was trained for.

    Parameters
    ----------
    trial : str
        Its id.
    choices : mapping
        The value of every choice.
    epochs : int
        How long it was trained.
    score : float
        The search's estimate, on validation data, of the objective, or where that is a cost of the metric that the
        first limit on one is about; higher is better.
    curves : mapping of name to list
        One value per epoch.
    cost : mapping of name to number
        What the network costs: counts, and what the backend predicts.
    feasible : bool
        Whether it keeps the limits.
    merit : float, optional
        What trials are ranked by, see ``fpgaml.ranking.merit``; None where that is the score.
    """

    trial: str
    choices: Mapping[str, Any]
    epochs: int
    score: float
    curves: Mapping[str, list[float]]
    cost: Mapping[str, float]
    feasible: bool
    merit: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Parameters
    ----------
    trials : tuple of Evaluated
        The best first; those that were trained longer come before those that were not, since scores after different
        numbers of epochs do not compare.
    failed : mapping of trial to reason
        Trials that have no score.
    epochs : int
        Epochs that were trained, over all trials and interruptions.
    wall_s : float
        Seconds that this call took.
    options : SearchOptions
        Objective, limits and the cost that the front is made of.
    """

    trials: tuple[Evaluated, ...]
    failed: Mapping[str, str]
    epochs: int
    wall_s: float
    options: SearchOptions = field(default_factory=SearchOptions)

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]], options: SearchOptions, *, wall_s: float) -> SearchResult:
        """What the events of a journal come to.

        Parameters
        ----------
        events : iterable of mapping
            In their order.
        options : SearchOptions
            Its limits decide who is feasible, its cost is that of the front.
        wall_s : float
            Seconds that the search took.

        Raises
        ------
        ToolError
            No trial has a score.
        """
        longest: dict[str, Mapping[str, Any]] = {}
        failed: dict[str, str] = {}
        trained: dict[str, int] = {}
        for event in events:
            trial = event.get("trial", "")
            if event["event"] == "failed":
                failed[trial] = event["reason"]
            elif event["event"] == "finished":
                failed.pop(trial, None)
                trained[trial] = max(trained.get(trial, 0), event["epochs"])
                if trial not in longest or event["epochs"] > longest[trial]["epochs"]:
                    longest[trial] = event
        found = [
            Evaluated(
                trial,
                event["choices"],
                event["epochs"],
                event["score"],
                event["curves"],
                event["cost"],
                feasible(event, options),
                event.get("merit"),
            )
            for trial, event in sorted(longest.items(), key=lambda found: order(found[1]))
        ]
        if not found:
            reasons = "; ".join(sorted(set(failed.values()))) or "the oracle proposed none"
            raise ToolError(f"search: no trial has a score: {reasons}")
        return cls(tuple(found), failed, sum(trained.values()), wall_s, options)

    @property
    def front_cost(self) -> str:
        """The name of the cost that the front is made of."""
        return self.options.cost

    @property
    def front(self) -> tuple[Evaluated, ...]:
        """The longest trained trials that no other of them beats in both score and cost; the cheapest first."""
        longest, scores, costs = self._longest()
        return tuple(longest[position] for position in pareto_front(scores, costs))

    @property
    def hypervolume(self) -> float:
        """Of the front, against the lowest score and the highest cost of the longest trained trials."""
        _, scores, costs = self._longest()
        return hypervolume(scores, costs, (min(scores), max(costs)))

    def _longest(self) -> tuple[list[Evaluated], list[float], list[float]]:
        """The trials whose scores compare, because they were trained for as many epochs; scores and costs of each."""
        longest = [trial for trial in self.trials if trial.epochs == self.trials[0].epochs]
        return longest, [trial.score for trial in longest], [trial.cost[self.front_cost] for trial in longest]

    def __str__(self) -> str:
        best = self.trials[0]
        chosen = ", ".join(f"{name}: {value}" for name, value in best.choices.items())
        return (
            f"{len(self.trials)} trials, {len(self.failed)} failed, {self.epochs} epochs; best: {best.trial} with "
            f"{self._told_of(best)} after {best.epochs} epochs ({chosen}){self._asked()}"
        )

    def _told_of(self, trial: Evaluated) -> str:
        options = self.options
        if not options.minimises_cost:
            return f"score {trial.score:.4f}"
        cost = f"{cost_text(options.objective)} {trial.cost[options.objective]:,}"
        return f"{cost}, {options.metric} {abs(trial.score):.4f}"

    def _asked(self) -> str:
        """What was asked for, and whether anyone can do it; nothing where the score alone ranks."""
        if not self.options.feasible_first:
            return ""
        kept = "" if self.trials[0].feasible else ", which no trial keeps"
        return f"; the search {aim_text(self.options.objective, self.options.limits)}{kept}"

    def _repr_html_(self) -> str:
        front = {trial.trial for trial in self.front}
        names = tuple(self.trials[0].choices)
        costs = tuple(dict.fromkeys([*([self.options.objective] * self.options.minimises_cost), self.front_cost]))
        kept = self.options.feasible_first
        rows = [
            (
                found.trial,
                *(found.choices[name] for name in names),
                found.epochs,
                f"{found.score:.4f}",
                *(f"{found.cost[name]:,}" for name in costs),
                "yes" if found.trial in front else "",
                *(["yes" if found.feasible else ""] if kept else []),
            )
            for found in self.trials[:SHOWN]
        ]
        n, failed = len(self.trials), f", {len(self.failed)} failed" if self.failed else ""
        title = f"Search: the best {len(rows)} of {n} trials{failed}, {self.epochs} epochs in all{self._asked()}"
        shown = score_text(self.options.objective, self.options.metric)
        headers = ("trial", *names, "epochs", shown, *map(cost_text, costs), "on the Pareto front")
        headers += ("keeps the limits",) if kept else ()
        return html_table(title, rows, headers=headers)

    def to_json(self) -> dict[str, Any]:
        """Everything but the curves."""
        return {
            "trials": [
                {
                    "trial": found.trial,
                    "choices": dict(found.choices),
                    "epochs": found.epochs,
                    "score": found.score,
                    "cost": dict(found.cost),
                    "feasible": found.feasible,
                    **({} if found.merit is None else {"merit": found.merit}),
                }
                for found in self.trials
            ],
            "pareto_front": [found.trial for found in self.front],
            "hypervolume": self.hypervolume,
            "failed": dict(self.failed),
            "epochs": self.epochs,
            "wall_s": self.wall_s,
        }

    def winners(self, number: int) -> tuple[Evaluated, ...]:
        """The best trials that keep the limits.

        Raises
        ------
        StudyError
            None does.
        """
        kept = tuple(trial for trial in self.trials if trial.feasible)
        if not kept:
            raise StudyError(f"search: no trial keeps the limits.{self._nearest()} {self._advice()}")
        return kept[:number]

    def _nearest(self) -> str:
        """How near the best trial came, where trials are ranked by that."""
        if not self.options.feasible_first:
            return ""
        best = self.trials[0]
        known = known_of(best.curves, best.cost, self.options)
        return f" Trial {best.trial} came nearest, after {best.epochs} epochs: {missed_text(known, self.options)}."

    def _advice(self) -> str:
        if not self.options.feasible_first:
            return "Loosen search.limits, or offer cheaper choices"
        return (
            "What was trained is kept, and `fpgaml convert DIR --trial ID` takes any of it on. Loosen search.limits, "
            "offer other choices, or train longer with search.max_epochs"
        )
