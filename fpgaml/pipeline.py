"""The whole way from a study to a report, in one output directory: what the commands call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpgaml.backends import get_backend
from fpgaml.convert import HLSProject
from fpgaml.errors import AgreementError, OutputError, StudyError
from fpgaml.estimates import check_predicted
from fpgaml.handover.signature import check_key
from fpgaml.journal import JOURNAL, Journal
from fpgaml.logbook import Format, logbook
from fpgaml.report import Report, write_report
from fpgaml.run_directory import working_in
from fpgaml.search import search
from fpgaml.search_plan import Schedule, plan
from fpgaml.search_result import SearchResult
from fpgaml.stages import (
    SEARCH,
    STUDY,
    Network,
    RunData,
    begin,
    chosen_network,
    convert_network,
    describe_dataset,
    first_point,
    hand_over_network,
    opened,
    restore_trial,
    searches,
    shown,
    simulate_network,
    train_network,
    won_network,
)
from fpgaml.storage import read_json, write_json
from fpgaml.study import Study
from fpgaml.tables import target_text
from fpgaml.winners import WINNERS, place_winner, train_winners

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from rich.progress import Progress

__all__ = [
    "check_agreement",
    "convert_stage",
    "csim_stage",
    "describe_dataset",
    "journal_events",
    "plan_search",
    "read_log",
    "report_stage",
    "run",
    "search_stage",
    "train_stage",
]


def run(
    study: Study,
    output: Path,
    *,
    values: Mapping[str, Any] | None = None,
    command: str = "",
    workers: int | None = None,
    scheduler: str | None = None,
    sign: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Data, search and winners if there is something to choose, training, conversion, C simulation and report.

    Parameters
    ----------
    study : Study
        What to do.
    output : Path
        Holds everything that the run knows; may hold an earlier, interrupted run of the same study.
    values : mapping, optional
        A value for each choice of the study, where it has choices and shall not search.
    command : str
        The command that does the same, for the report.
    workers : int, optional
        Processes that train side by side in a search; what the machine allows if not given.
    scheduler : str, optional
        The address of a Dask scheduler whose workers train instead.
    sign : Path, optional
        A key of OpenSSH that signs the certificate of the project; whether it can is tried before anything else.
    progress : rich.progress.Progress, optional
        Where to show how far the work is.

    Raises
    ------
    FpgamlError
        As the stages raise it. ``AgreementError``, after the report is written, if a word of the C simulation differs.
    """
    first = first_point(study)
    get_backend(first.hardware.backend).simulation_version()  # no compiler: say so now, not after hours of training
    if sign is not None:
        check_key(sign)
    if searches(study, values):
        check_predicted(study)
    with working_in(output, make=True):
        data = begin(study, values, output, command, progress)
        if searches(study, values):
            network = _winner(study, data, output, workers, scheduler, progress)
        else:
            network = chosen_network(study, values, output)
            train_network(network, data, progress)
        convert_network(study, network, progress)
        found = simulate_network(network, data, progress)
        refused = None
        try:
            hand_over_network(
                study, network, data, progress, key=sign
            )  # before the report, which tells of the certificate
        except AgreementError as error:
            refused = error
        with shown(progress, "report"):
            report = write_report(output, inputs=lambda: data.dataset.part("validation").x)
        check_agreement(found, output)
        if refused is not None:
            raise refused
    return report


def plan_search(study: Study, *, workers: int | None = None) -> Schedule:
    """How many trials a search will train, for how many epochs, and roughly for how long.

    Parameters
    ----------
    study : Study
        With choices, or several trials.
    workers : int, optional
        Processes that train side by side; one for each core if not given.

    Raises
    ------
    StudyError
        The study has nothing to choose.
    """
    _check_searches(study)
    return plan(study, workers=workers)


def search_stage(
    study: Study,
    output: Path,
    *,
    command: str = "",
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Make or read the data and search; parameters and errors are those of ``run``.

    Raises
    ------
    StudyError
        The study has nothing to choose.
    """
    _check_searches(study)
    with working_in(output, make=True):
        data = begin(study, None, output, command, progress)
        return _search(study, data, output, workers, scheduler, progress)


def train_stage(
    study: Study,
    output: Path,
    *,
    values: Mapping[str, Any] | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Make or read the data, train the float twin and the quantized network, keep their scores, and report on them.

    Parameters and errors are those of ``run``.
    """
    network = chosen_network(study, values, output)
    with working_in(output, make=True):
        data = begin(study, values, output, command, progress)
        train_network(network, data, progress)
        with shown(progress, "report"):
            return write_report(output, inputs=lambda: data.dataset.part("validation").x)


def read_log(output: Path, *, style: Format, n: int) -> str:
    """The logbook of a search, finished or not, with its ``n`` best trials; errors are those of ``journal_events``."""
    events = journal_events(output)
    study = Study.load(output / STUDY)
    target = target_text(study.targets[0])
    return logbook(
        events, format=style, n=n, title=study.name, target=target, trials=study.trials, options=study.search
    )


def journal_events(output: Path) -> list[Mapping[str, Any]]:
    """What the journal of a search holds, finished or not.

    Raises
    ------
    OutputError
        There is none.
    """
    path = output / JOURNAL
    if not path.exists():
        raise OutputError(f"{path}: not found. `fpgaml search STUDY --output {output}` writes it")
    return list(Journal(path).read())


def convert_stage(output: Path, *, trial: str | None = None, progress: Progress | None = None) -> HLSProject:
    """Write the HLS project of the trained network, or of a trial as the search trained it.

    Parameters
    ----------
    output : Path
        The run's.
    trial : str, optional
        The id of a finished trial; what the run has come to if not given.
    progress : rich.progress.Progress, optional
        Where to show how far the work is.

    Raises
    ------
    OutputError
        Nothing has been trained, or no such trial.
    """
    study, network = opened(output, trial)
    with working_in(output):
        restore_trial(network, RunData(study, output, progress))
        return convert_network(study, network, progress)


def csim_stage(
    output: Path, *, trial: str | None = None, sign: Path | None = None, progress: Progress | None = None
) -> Mapping[str, Any]:
    """Simulate the HLS project over all test events and compare it with the model, word for word.

    Returns what ``csim/<trial>.json`` holds; ``sign`` is that of ``run``, the others are those of ``convert_stage``.

    Raises
    ------
    OutputError
        Nothing has been converted, or no such trial.
    """
    study, network = opened(output, trial)
    get_backend(network.point.hardware.backend).simulation_version()
    if sign is not None:
        check_key(sign)
    with working_in(output):
        data = RunData(study, output, progress)
        found = simulate_network(network, data, progress)
        hand_over_network(study, network, data, progress, key=sign)
        return found


def report_stage(output: Path, *, trial: str | None = None, progress: Progress | None = None) -> Report:
    """Write the report of what the run has come to, or of a trial as the search trained it, into ``reports/<trial>``.

    Parameters are those of ``convert_stage``, errors those of ``write_report``.
    """

    def inputs() -> ArrayLike:
        """What the layers are looked at on, if nobody has yet; the data are loaded only then."""
        return RunData(Study.load(output / STUDY), output, progress).dataset.part("validation").x

    if trial is None:
        return write_report(output, inputs=inputs)
    study, network = opened(output, trial)
    with working_in(output):
        restore_trial(network, RunData(study, output, progress))
        return write_report(output, trial=None if network.epochs is None else trial, inputs=inputs)


def check_agreement(found: Mapping[str, Any], output: Path) -> None:
    """Raise AgreementError, with the place of the first difference, unless csim and model agree on every word."""
    if found["mismatches"]:
        first = found["first_difference"]
        raise AgreementError(
            f"{output}: C simulation and model differ in {found['mismatches']} of {found['words']} words. The first is "
            f"in test event {first['event']}, where layer {first['layer']} is the first that differs, by "
            f"{first['lsb']:g} LSB. Has the project been changed since its conversion?"
        )
    if found.get("interpreter_mismatches"):
        raise AgreementError(
            f"{output}: the RTL simulation and the model agree, but the interpreter of the circuit differs in "
            f"{found['interpreter_mismatches']} of {found['words']} words. Has model/ in the project been changed?"
        )


def _check_searches(study: Study) -> None:
    if not searches(study):
        raise StudyError(f"{study.source.path}: there is nothing to search: it has no choices, and at most one trial")
    check_predicted(study)


def _winner(
    study: Study,
    data: RunData,
    output: Path,
    workers: int | None,
    scheduler: str | None,
    progress: Progress | None,
) -> Network:
    """The network that a search comes to."""
    if not (output / WINNERS).exists():
        best = _search(study, data, output, workers, scheduler, progress).winners(study.search.winners)
        found = train_winners(
            study, best, data.dataset, output, workers=workers, scheduler=scheduler, progress=progress
        )
        write_json(output / WINNERS, found.to_json())
    place_winner(read_json(output / WINNERS), output)
    return won_network(study, output)


def _search(
    study: Study,
    data: RunData,
    output: Path,
    workers: int | None,
    scheduler: str | None,
    progress: Progress | None,
) -> SearchResult:
    with shown(progress, "search"):
        found = search(study, data.dataset, output, workers=workers, scheduler=scheduler, progress=progress)
    if not (output / SEARCH).exists():  # a later call finds all trials in the journal, and takes no time
        write_json(output / SEARCH, _facts(study, found))
    return found


def _facts(study: Study, found: SearchResult) -> dict[str, Any]:
    """What ``search.json`` holds."""
    compared = [trial for trial in found.trials if trial.epochs == found.trials[0].epochs]
    return {
        "best": found.trials[0].trial,
        "objective": study.search.objective,
        "metric": study.search.metric,
        "limits": list(study.search.limits),
        "front_cost": found.front_cost,
        "trials": len({trial.trial for trial in found.trials} | set(found.failed)),
        "failed": len(found.failed),
        "epochs": found.epochs,
        "wall_s": found.wall_s,
        "pareto_front": [
            {
                "trial": trial.trial,
                "choices": dict(trial.choices),
                "score": trial.score,
                "cost": dict(trial.cost),
            }
            for trial in found.front
        ],
        "hypervolume": {
            "value": found.hypervolume,
            "score": min(trial.score for trial in compared),
            found.front_cost: max(trial.cost[found.front_cost] for trial in compared),
        },
        "compared": {
            "epochs": found.trials[0].epochs,
            "trials": [trial.trial for trial in compared],
            "scores": [trial.score for trial in compared],
            "feasible": [trial.feasible for trial in compared],
            **{name: [trial.cost[name] for trial in compared] for name in dict.fromkeys(["ebops", found.front_cost])},
        },
    }
