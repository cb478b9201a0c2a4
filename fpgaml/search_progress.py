"""What a search tells while it runs: on a terminal one line that changes, and a line in the log for each trial."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fpgaml.proposals import Proposal, Schedule
from fpgaml.ranking import feasible, order
from fpgaml.search_options import SearchOptions
from fpgaml.tables import cost_text

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)


class SearchProgress:
    """Counts the trials of a search.

    Parameters
    ----------
    planned : Schedule
        What the search will do.
    progress : rich.progress.Progress, optional
        Where to show it.
    options : SearchOptions, optional
        What is minimised, and under which limits; a metric without limits if not given.
    """

    def __init__(self, planned: Schedule, progress: Progress | None, *, options: SearchOptions | None = None) -> None:
        self._planned, self._progress, self._options = planned, progress, options or SearchOptions()
        self._started = time.monotonic()
        self._told: Counter[tuple[int, int]] = Counter()  # by bracket and round
        self._epochs = 0
        self._epochs_here = 0  # trained since this object was made
        self._failed = 0
        self._best: Mapping[str, Any] | None = None
        self._shown = progress.add_task("search", total=planned.epochs) if progress else None

    def ended(self, proposal: Proposal, event: Mapping[str, Any], *, known: bool) -> None:
        """A trial has ended, or was ``known`` from the journal."""
        epochs = proposal.epochs - proposal.from_epochs
        self._told[proposal.bracket, proposal.round] += 1
        self._epochs += epochs
        self._epochs_here += 0 if known else epochs
        if event["event"] == "failed":
            self._failed += 1
        # Scores after different numbers of epochs do not compare.
        elif self._best is None or order(event)[:-1] < order(self._best)[:-1]:
            self._best = event
        if not known:
            outcome = event["reason"] if event["event"] == "failed" else self._told_of(event)
            _log.info("trial %s, epoch %d: %s; %s", event["trial"], proposal.epochs, outcome, self)

    def show(self, running: int) -> None:
        """Show how far the search is, now that so many trials are running."""
        if self._progress and self._shown is not None:
            self._progress.update(self._shown, completed=self._epochs, description=f"search: {running} running, {self}")

    @property
    def stopped(self) -> int:
        """Trials that were not promoted, in the rounds that have ended."""
        return sum(
            part.trials - following.trials
            for bracket in self._planned.brackets
            for number, (part, following) in enumerate(zip(bracket.rounds, bracket.rounds[1:], strict=False))
            if self._told[bracket.number, number] >= part.trials
        )

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, if epochs go on to take as long as they have taken in this call."""
        if not self._epochs_here:
            return None
        left = max(0, self._planned.epochs - self._epochs)
        return (time.monotonic() - self._started) / self._epochs_here * left

    def _told_of(self, event: Mapping[str, Any]) -> str:
        """The score of a trial; beside what is minimised, where that is a cost, and whether it keeps the limits."""
        options = self._options
        text = f"score {event['score']:.4f}"
        if options.minimises_cost:
            cost = event["cost"][options.objective]
            text = f"{cost_text(options.objective)} {cost:,.10g}, {options.metric} {abs(event['score']):.4f}"
        if options.feasible_first and not feasible(event, options):
            text += " (limits not kept)"
        return text

    def __str__(self) -> str:
        parts = [f"{self._told.total()} of {self._planned.trials} finished", f"{self.stopped} stopped"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._best is not None:
            told = self._told_of(self._best).removeprefix("score ")
            parts.append(f"best {told} after {self._best['epochs']} epochs")
        if self.left_s is not None:
            parts.append(f"{timedelta(seconds=round(self.left_s))} left")
        return ", ".join(parts)
