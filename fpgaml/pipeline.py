"""The whole way from a study to a report, stage by stage, in one output directory.

Every stage writes what it has made when it is whole, and does nothing where that is there already: after an
interruption the same command goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.backends import get_backend
from fpgaml.convert import MANIFEST, HLSProject, convert
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import describe_environment, load_tensorflow
from fpgaml.errors import AgreementError, OutputError, StudyError
from fpgaml.events import Events
from fpgaml.journal import Journal
from fpgaml.logbook import Format, logbook
from fpgaml.markdown import target_text
from fpgaml.proposals import Schedule, schedule
from fpgaml.report import Report, write_report
from fpgaml.run_directory import working_in
from fpgaml.search import JOURNAL, SearchResult, search
from fpgaml.storage import atomic_path, read_json, write_json, write_text
from fpgaml.study import Point, Study
from fpgaml.train import FloatTwin, TrainedModel, train, train_float_twin

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

STUDY = "study.yaml"
"""The first file of a run, and what tells its directory from others."""

SEARCH = "search.json"
"""What a search has found."""


def run(
    study: Study,
    output: Path,
    *,
    values: Mapping[str, Any] | None = None,
    command: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Data, search if there is something to choose, training, conversion, C simulation and report.

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
    progress : rich.progress.Progress, optional
        Where to show how far the work is.

    Raises
    ------
    FpgamlError
        As the stages raise it. ``AgreementError``, after the report is written, if a word of the C simulation differs.
    """
    first = _first(study)
    get_backend(first.hardware.backend).simulation_version()  # no compiler: say so now, not after hours of training
    with working_in(output, make=True):
        dataset = _begin(study, values, output, command, progress)
        if _searches(study, values):
            values = _search(study, dataset, output, workers, progress).winners(1)[0].choices
        point = _point(study, values)
        _train(point, dataset, output, progress)
        _convert(study, point, output, progress)
        found = _csim(study, point, output, dataset, progress)
        with _shown(progress, "report"):
            report = write_report(output)
    check_agreement(found, output)
    return report


def plan_search(study: Study) -> Schedule:
    """How many trials a search will train, and for how long.

    Raises
    ------
    StudyError
        The study has nothing to choose.
    """
    if not _searches(study, None):
        raise StudyError(f"{study.source.path}: there is nothing to search: it has no choices, or trials instead")
    return schedule(study.search, study.n_points)


def search_stage(
    study: Study,
    output: Path,
    *,
    command: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Make or read the data and search; parameters and errors are those of ``run``.

    Raises
    ------
    StudyError
        The study has nothing to choose.
    """
    plan_search(study)
    with working_in(output, make=True):
        dataset = _begin(study, None, output, command, progress)
        return _search(study, dataset, output, workers, progress)


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
    point = _point(study, values)
    with working_in(output, make=True):
        dataset = _begin(study, values, output, command, progress)
        _train(point, dataset, output, progress)
        with _shown(progress, "report"):
            return write_report(output)


def read_log(output: Path, *, style: Format, n: int) -> str:
    """The logbook of a search, finished or not, with its ``n`` best trials; errors are those of ``journal_events``."""
    events = journal_events(output)
    study = Study.load(output / STUDY)
    return logbook(events, format=style, n=n, title=study.name, target=target_text(study.targets[0]))


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


def convert_stage(output: Path, *, progress: Progress | None = None) -> HLSProject:
    """Write the HLS project of the trained network.

    Raises
    ------
    OutputError
        Nothing has been trained.
    """
    study, point = _opened(output)
    with working_in(output):
        return _convert(study, point, output, progress)


def csim_stage(output: Path, *, progress: Progress | None = None) -> Mapping[str, Any]:
    """Simulate the HLS project over all test events and compare it with the model, word for word.

    Returns what ``csim/<trial>.json`` holds.

    Raises
    ------
    OutputError
        Nothing has been converted.
    """
    study, point = _opened(output)
    get_backend(point.hardware.backend).simulation_version()
    with working_in(output):
        return _csim(study, point, output, None, progress)


def check_agreement(found: Mapping[str, Any], output: Path) -> None:
    """Raise AgreementError, with the place of the first difference, unless csim and model agree on every word."""
    if found["mismatches"]:
        first = found["first_difference"]
        raise AgreementError(
            f"{output}: C simulation and model differ in {found['mismatches']} of {found['words']} words. The first is "
            f"in test event {first['event']}, where layer {first['layer']} is the first that differs, by "
            f"{first['lsb']:g} LSB. Has the project been changed since its conversion?"
        )


def describe_dataset(study: Study, dataset: Dataset) -> dict[str, Any]:
    """What is in a data set, as JSON values."""
    counts = {
        split: {
            name: int(((dataset.split == position) & (dataset.y == label)).sum())
            for name, label in (("signal", 1), ("background", 0))
        }
        for position, split in enumerate(SPLITS)
    }
    return {
        "task": study.task.name,
        "sha256": dataset.sha256,
        "rate_khz": dataset.rate_khz,
        "input_shape": list(dataset.input_shape),
        "events": counts,
        "targets": [{"kind": target.kind, "value": target.value} for target in study.targets],
        "metadata": dict(dataset.metadata),
    }


def _begin(
    study: Study, values: Mapping[str, Any] | None, output: Path, command: str, progress: Progress | None
) -> Dataset:
    """Make ``output`` the directory of this study, load its data, and write down what both are."""
    resolved = study.dump(None if _searches(study, values) else _point(study, values).architecture.choices)
    _check_owner(study, resolved, output)
    _log.info("data")
    dataset = study.dataset(progress=progress)
    described = describe_dataset(study, dataset)
    _check_dataset(described, output)
    if not (output / STUDY).exists():
        write_text(output / STUDY, resolved)
    if not (output / "dataset.json").exists():
        seed = _first(study).train.seed
        write_json(output / "environment.json", describe_environment(seed=seed, command=command))
        Events.of(dataset).save(output / "events.npz")
        write_json(output / "dataset.json", described)
    return dataset


def _search(
    study: Study, dataset: Dataset, output: Path, workers: int | None, progress: Progress | None
) -> SearchResult:
    _log.info("search")
    found = search(study, study.search, dataset, output, workers=workers, progress=progress)
    winner = found.winners(1)[0]
    facts = {
        "winner": {
            "search_trial": winner.trial,
            "trial": study.architecture(winner.choices).hash,
            "score": winner.score,
        },
        "choices": dict(winner.choices),
        "pareto_front": [trial.trial for trial in found.front],
        "trials": len(found.trials) + len(found.failed),
        "failed": len(found.failed),
        "epochs": found.epochs,
        "wall_s": found.wall_s,
    }
    if not (output / SEARCH).exists():  # a later call finds all trials in the journal, and takes no time
        write_json(output / SEARCH, facts)
    return found


def _train(point: Point, dataset: Dataset, output: Path, progress: Progress | None) -> None:
    trial = _trial(point, output)
    if all((trial / name).exists() for name in ("float.json", "trained.json", "scores.npz")):
        return
    _log.info("training")
    load_tensorflow()
    twin = FloatTwin.load(trial)
    if twin is None:
        twin = train_float_twin(point.architecture, dataset, point.train, progress=progress)
        twin.save(trial)
    if (trial / "trained.json").exists():
        trained = TrainedModel.load(trial)
    else:
        trained = train(point.architecture, dataset, point.train, progress=progress)
        trained.save(trial)
    parts = {split: dataset.part(split).x for split in ("validation", "test")}
    scores = {f"float_{split}": twin.predict(x)[:, 0] for split, x in parts.items()}
    scores |= {f"qkeras_{split}": trained.predict(x)[:, 0] for split, x in parts.items()}
    _save_arrays(trial / "scores.npz", scores)


def _convert(study: Study, point: Point, output: Path, progress: Progress | None) -> HLSProject:
    trial, project = _trial(point, output), _project(point, output)
    if not (trial / "trained.json").exists():
        raise OutputError(f"{output}: nothing has been trained. `fpgaml train STUDY --output {output}` does")
    if (project / MANIFEST).exists():
        return HLSProject.load(project)
    with _shown(progress, "HLS project"):
        load_tensorflow()
        # A suffix, because the study may be called like a word of C++.
        name = re.sub(r"\W", "_", f"{study.name}_network")
        return convert(TrainedModel.load(trial), point.hardware, project, name=name)


def _csim(
    study: Study, point: Point, output: Path, dataset: Dataset | None, progress: Progress | None
) -> Mapping[str, Any]:
    trial, directory = _trial(point, output), _project(point, output)
    if not (directory / MANIFEST).exists():
        raise OutputError(f"{output}: nothing has been converted. `fpgaml convert {output}` does")
    project = HLSProject.load(directory)
    agreement, digest = output / "csim" / f"{trial.name}.json", project_digest(project)
    if agreement.exists():
        found: Mapping[str, Any] = read_json(agreement)
        if found.get("project_sha256") == digest:
            return found
    if dataset is None:
        dataset = study.dataset(progress=progress)
        _check_dataset(describe_dataset(study, dataset), output)
    _log.info("csim")
    load_tensorflow()
    compared = compare(project, TrainedModel.load(trial), dataset.part("test").x, progress=progress)
    _log.info("csim: %s", compared)
    found = {**compared.to_json(), "project_sha256": digest}
    _save_arrays(agreement.with_suffix(".npz"), {"csim_test": compared.simulation.scores[:, 0]})
    write_json(agreement, found)
    return found


def _first(study: Study) -> Point:
    """Any one of the study's points: hardware and seeds are rarely chosen."""
    return study.point(next(iter(study.grid())))


def _searches(study: Study, values: Mapping[str, Any] | None) -> bool:
    """Whether a study's point is found by searching: there are choices, and neither trials nor the user made them."""
    return values is None and bool(study.choices) and not study.trials


def _point(study: Study, values: Mapping[str, Any] | None) -> Point:
    """The one network to train."""
    if values is None and len(study.trials) > 1:
        raise StudyError(
            f"{study.source.path}: has {len(study.trials)} trials, and this command trains one network. Give every "
            "choice a value with --choose NAME=VALUE"
        )
    if values is None and _searches(study, values):
        raise StudyError(
            f"{study.source.path}: has choices ({', '.join(study.names)}), and this command trains one network. Give "
            "every choice a value with --choose NAME=VALUE, or let `fpgaml run` search"
        )
    return _first(study) if values is None else study.point(values)


def _trial(point: Point, output: Path) -> Path:
    return output / "trials" / point.architecture.hash


def _project(point: Point, output: Path) -> Path:
    return output / "hls_projects" / point.architecture.hash


def _save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic_path(path) as fresh:
        np.savez(fresh, **arrays)


def _check_owner(study: Study, resolved: str, output: Path) -> None:
    """``output`` is empty, or is the directory of the study that is written as ``resolved``."""
    written = output / STUDY
    if not written.exists():
        if any(output.iterdir()):
            raise OutputError(f"{output}: is not empty, and no study has been run in it. Choose another --output")
    elif written.read_text(encoding="utf-8") != resolved:
        raise OutputError(
            f"{output}: holds the run of another study, or of {study.name!r} with other options or choices: its "
            f"{STUDY} differs. Choose another --output, or remove that one"
        )


def _check_dataset(described: Mapping[str, Any], output: Path) -> None:
    """The data of a run do not change while it runs."""
    written = output / "dataset.json"
    if written.exists() and read_json(written)["sha256"] != described["sha256"]:
        raise OutputError(
            f"{output}: was begun with other data: the data set has changed since. Choose another --output, or remove "
            "that one"
        )


def _opened(output: Path) -> tuple[Study, Point]:
    """The study of a run and the network that it has."""
    if not (output / STUDY).exists():
        raise OutputError(f"{output}: holds no run. `fpgaml train STUDY --output {output}` begins one")
    study = Study.load(output / STUDY)
    if not _searches(study, None):
        return study, _point(study, None)
    if not (output / SEARCH).exists():
        raise OutputError(f"{output}: its search has not ended. `fpgaml run STUDY --output {output}` goes on with it")
    return study, study.point(read_json(output / SEARCH)["choices"])


@contextlib.contextmanager
def _shown(progress: Progress | None, name: str) -> Iterator[None]:
    """Show a piece of work whose length is not known."""
    _log.info("%s", name)
    shown = progress.add_task(name, total=None) if progress else None
    yield
    if progress and shown is not None:
        progress.update(shown, total=1, completed=1)
