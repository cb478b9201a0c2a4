"""The best trials of a search, trained afresh on all events with several seeds: which one wins, and by how much.

One training says little: another seed may change the order. The winner is the network whose mean over seeds is best on
validation events, and of its trainings the one that is best there goes on to firmware. Where a cost is minimised, it is
the network with the cheapest training that keeps the limits, and that training goes on. Test events are looked at only
when that is decided, and only to report.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.candidates import Candidate, Training, Winners
from fpgaml.comparison import compare, validation_efficiency
from fpgaml.dataset import Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import StudyError, ToolError
from fpgaml.estimates import estimated_costs
from fpgaml.events import Events, Scores
from fpgaml.hardware import Hardware
from fpgaml.ranking import LIMITED
from fpgaml.search_options import meets
from fpgaml.search_result import Evaluated
from fpgaml.seed_trainings import FLOAT, QKERAS, SeedTraining, SeedTrainings, read_scores
from fpgaml.storage import atomic_path, read_json
from fpgaml.study import Study
from fpgaml.train import FloatTwin, TrainedModel
from fpgaml.validation import Validated, cross_entropy
from fpgaml.workers import open_workers

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

WINNERS = "winners.json"
"""What came of them."""


def train_winners(
    study: Study,
    trials: Sequence[Evaluated],
    dataset: Dataset,
    output: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Winners:
    """Train trials with every seed of ``search.winner_seeds``, choose among them, and compare them.

    Each training is kept in ``<output>/winners/<trial>/seed_<n>``, the winner's float twins beside it in
    ``float_seed_<n>``; what is there is not trained again.

    Parameters
    ----------
    study : Study
        That was searched.
    trials : sequence of Evaluated
        The best of the search.
    dataset : Dataset
        All splits; all training events are used.
    output : Path
        The run's.
    workers, scheduler, progress
        As for ``search``.

    Raises
    ------
    ToolError
        None could be trained with all seeds.
    StudyError
        None keeps the limits when trained afresh.
    """
    events, target, seeds = Events.of(dataset), study.targets[0], study.search.winner_seeds
    places = {trial.trial: output / "winners" / trial.trial for trial in trials}
    with (
        open_workers(study, dataset, output, n=workers, scheduler=scheduler) as opened,
        SeedTrainings(dataset, output, opened, progress) as trainings,
    ):
        jobs = [SeedTraining(trial.choices, seed, places[trial.trial], QKERAS) for trial in trials for seed in seeds]
        failed = trainings.complete(jobs)
        candidates = _ranked(
            [_candidate(study, trial, places[trial.trial], events, dataset, failed) for trial in trials]
        )
        winner = candidates[0]
        twins = [SeedTraining(winner.choices, seed, places[winner.trial], FLOAT) for seed in seeds]
        twin_failed = {job.seed: reason for job, reason in trainings.complete(twins).items()}
    scores = {
        candidate.trial: [read_scores(training.directory) for training in candidate.trainings]
        for candidate in candidates
        if not candidate.failed
    }
    pairs = [(name, winner.trial) for name in scores if name != winner.trial]
    if twin_failed:
        _log.warning("no float twin: %s", "; ".join(f"seed {seed}: {why}" for seed, why in twin_failed.items()))
    else:
        scores[FLOAT] = [read_scores(job.directory) for job in twins]
        pairs.append((winner.trial, FLOAT))
    return Winners(target, seeds, candidates, compare(events, scores, target, pairs=pairs), twin_failed)


def place_winner(winners: Mapping[str, Any], output: Path) -> None:
    """Put the training that won, and its float twin, where what is converted and reported stands.

    Parameters
    ----------
    winners : mapping
        What ``winners.json`` holds.
    output : Path
        The run's.
    """
    winner = winners["winner"]
    trained = output / "winners" / winner["search_trial"] / f"seed_{winner['seed']}"
    place = output / "trials" / winner["trial"]
    if TrainedModel.is_saved(place) and (place / "scores.npz").exists():
        return
    load_tensorflow()
    kept = {"qkeras": read_scores(trained)}
    twin = FloatTwin.load(trained.with_name(f"float_{trained.name}"))
    if twin is not None:
        kept[FLOAT] = read_scores(trained.with_name(f"float_{trained.name}"))
        twin.save(place)
    TrainedModel.load(trained).save(place)
    columns = {
        f"{name}_{split}": getattr(found, split) for name, found in kept.items() for split in ("validation", "test")
    }
    with atomic_path(place / "scores.npz") as fresh:
        np.savez(fresh, **columns)


def _candidate(
    study: Study,
    trial: Evaluated,
    place: Path,
    events: Events,
    dataset: Dataset,
    failed: Mapping[SeedTraining, str],
) -> Candidate:
    trainings: list[Training] = []
    point = study.point(trial.choices)
    reasons = {job.seed: reason for job, reason in failed.items() if job.place == place}
    for seed in study.search.winner_seeds:
        if seed in reasons:
            continue
        directory = place / f"seed_{seed}"
        cost = read_json(directory / "trained.json")["cost"] | _estimated(directory, point.hardware)
        scores = read_scores(directory)
        efficiency = validation_efficiency(events, scores, study.targets[0])
        found = _metrics(study, scores, dataset)
        kept = meets(study.search.limits, cost | found)
        trainings.append(Training(seed, directory, efficiency, cost, kept, found))
    return Candidate(
        trial.trial, point.architecture.hash, trial.choices, trial.score, tuple(trainings), reasons, study.search
    )


def _metrics(study: Study, scores: Scores, dataset: Dataset) -> dict[str, float]:
    """The metrics that limits are about, on validation events, as a search has them after an epoch."""
    asked = {limit.name for limit in study.search.metric_limits}
    given = scores.validation
    if not asked or given is None:
        return {}
    validation = dataset.part("validation")
    judged = Validated(
        scores=given, y=validation.y, target=study.targets[0], weights=validation.weights, groups=validation.groups
    ).metrics()
    judged["val_loss"] = cross_entropy(given, validation.y, validation.loss_weights)
    return {name: judged[LIMITED[name]] for name in sorted(asked)}


def _estimated(directory: Path, hardware: Hardware) -> dict[str, float]:
    """What the backend predicts of a training that is kept."""
    trained = TrainedModel.load(directory)
    return estimated_costs(trained.firmware, trained.quantized_weights, hardware)


def _ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The best first, then those that cannot win; of equals, the one that the search preferred."""
    if all(candidate.failed for candidate in candidates):
        reasons = sorted({reason for candidate in candidates for reason in candidate.failed.values()})
        raise ToolError(f"winners: none of {len(candidates)} could be trained with all seeds: {'; '.join(reasons)}")
    eligible = [candidate for candidate in candidates if candidate.eligible]
    if not eligible:
        trained = [candidate for candidate in candidates if not candidate.failed]
        nearest = min(trained, key=lambda candidate: candidate.missed_by).nearest()
        raise StudyError(
            f"winners: trained afresh, none of {len(candidates)} keeps the limits, though in the search they did: "
            f"{nearest}. All trainings are kept in winners/. Loosen search.limits, or let more trials be trained with "
            "search.winners, in another directory; `fpgaml convert DIR --trial ID` takes any trial on as it is"
        )
    others = [candidate for candidate in candidates if not candidate.eligible]
    return (*sorted(eligible, key=lambda candidate: candidate.order), *others)
