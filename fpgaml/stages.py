"""The stages of a run, in its output directory.

Every stage writes what it has made when it is whole, and does nothing where that is there already: after an
interruption the same command goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.convert import MANIFEST, HLSProject, convert
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import describe_environment, load_tensorflow
from fpgaml.errors import OutputError, StudyError, did_you_mean
from fpgaml.events import Events
from fpgaml.handover import Certified, hand_over, handed_over
from fpgaml.handover.signature import sign_certificate
from fpgaml.hls_limits import exceeded_limits
from fpgaml.journal import JOURNAL, Journal
from fpgaml.project_files import CERTIFICATE
from fpgaml.storage import atomic_path, read_arrays, read_json, write_json, write_text
from fpgaml.study import Point, Study
from fpgaml.train import FloatTwin, TrainedModel, train, train_float_twin
from fpgaml.trial import load_trial
from fpgaml.winners import WINNERS

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

STUDY = "study.yaml"
"""The first file of a run, and what tells its directory from others."""

SEARCH = "search.json"
"""What a search has found."""


class RunData:
    """The data of a run, which are loaded and checked when something first needs them.

    Parameters
    ----------
    study : Study
        Whose data they are.
    output : Path
        The run's.
    progress : rich.progress.Progress, optional
        Where to show how far the loading is.
    """

    def __init__(self, study: Study, output: Path, progress: Progress | None) -> None:
        self._study, self._output, self._progress = study, output, progress

    @cached_property
    def dataset(self) -> Dataset:
        """All events; ``OutputError`` if they are not those that the run was begun with."""
        _log.info("data")
        dataset = self._study.dataset(progress=self._progress)
        written = self._output / "dataset.json"
        if written.exists() and read_json(written)["sha256"] != dataset.sha256:
            raise OutputError(
                f"{self._output}: was begun with other data: the data set has changed since. Choose another --output, "
                "or remove that one"
            )
        return dataset


@dataclass(frozen=True)
class Network:
    """A network of a run, and where what belongs to it is kept.

    Parameters
    ----------
    name : str
        Of its directories: the hash of the architecture, or the id of a trial that is taken as the search trained it.
    point : Point
        What it is.
    output : Path
        The run's.
    epochs : int, optional
        For a trial of the search: how long it was trained there.
    """

    name: str
    point: Point
    output: Path
    epochs: int | None = None

    @property
    def trained(self) -> Path:
        """The directory of weights, histories and scores."""
        return self.output / "trials" / self.name

    @property
    def project(self) -> Path:
        """The directory of the HLS project."""
        return self.output / "hls_projects" / self.name

    @property
    def agreement(self) -> Path:
        """The file that says whether csim and model agree."""
        return self.output / "csim" / f"{self.name}.json"


def searches(study: Study, values: Mapping[str, Any] | None = None) -> bool:
    """Whether the network is found by searching: there are choices or several trials, and the user has not chosen."""
    return values is None and (len(study.trials) > 1 or bool(study.choices and not study.trials))


def chosen_network(study: Study, values: Mapping[str, Any] | None, output: Path) -> Network:
    """The one network of a study that searches nothing, or for which the user has chosen.

    Raises
    ------
    StudyError
        There are several.
    """
    if searches(study, values):
        what = f"{len(study.trials)} trials" if study.trials else f"choices ({', '.join(study.names)})"
        raise StudyError(
            f"{study.source.path}: has {what}, and this command trains one network. Give every choice a value with "
            "--choose NAME=VALUE, or let `fpgaml run` search"
        )
    point = first_point(study) if values is None else study.point(values)
    return Network(point.architecture.hash, point, output)


def first_point(study: Study) -> Point:
    """Any one of the study's points: hardware and seeds are rarely chosen."""
    return study.point(next(iter(study.grid())))


def opened(output: Path, trial: str | None = None) -> tuple[Study, Network]:
    """The study of a run, and the network that it has come to, or a trial of its search.

    Parameters
    ----------
    output : Path
        The run's.
    trial : str, optional
        The id of any trial that has finished.

    Raises
    ------
    OutputError
        There is no run, it has no winner yet, or no such trial.
    """
    if not (output / STUDY).exists():
        raise OutputError(f"{output}: holds no run. `fpgaml train STUDY --output {output}` begins one")
    study = Study.load(output / STUDY)
    if not searches(study):
        network = chosen_network(study, None, output)
        if trial not in (None, network.name):
            raise OutputError(f"{output}: no trial {trial!r}; {did_you_mean(trial, [network.name])}")
        return study, network
    won = won_network(study, output) if (output / WINNERS).exists() else None
    if won is not None and trial in (None, won.name):
        return study, won
    if trial is None:
        raise OutputError(
            f"{output}: has no winner yet. `fpgaml run STUDY --output {output}` goes on to it; --trial takes a trial "
            "as the search trained it"
        )
    return study, _searched_network(study, output, trial)


def won_network(study: Study, output: Path) -> Network:
    """The winner of a search, from ``winners.json``."""
    facts = read_json(output / WINNERS)
    return Network(facts["winner"]["trial"], study.point(facts["choices"]), output)


def _searched_network(study: Study, output: Path, trial: str) -> Network:
    """A trial as the search left it after the most epochs."""
    if not (output / SEARCH).exists():  # what is converted now might be trained on
        raise OutputError(
            f"{output}: its search has not ended. `fpgaml search STUDY --output {output}` goes on with it"
        )
    finished = [event for event in Journal(output / JOURNAL).read() if event["event"] == "finished"]
    found = [event for event in finished if event["trial"] == trial]
    if not found:
        near = difflib.get_close_matches(trial, {str(event["trial"]) for event in finished}, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise OutputError(
            f"{output}: no finished trial {trial!r}; {hint}`fpgaml log {output}` lists the best of "
            f"{len({event['trial'] for event in finished})}"
        )
    longest = max(found, key=lambda event: event["epochs"])
    return Network(trial, study.point(longest["choices"]), output, longest["epochs"])


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


def begin(
    study: Study, values: Mapping[str, Any] | None, output: Path, command: str, progress: Progress | None
) -> RunData:
    """Make ``output`` the directory of this study and its data, and write down what both are."""
    resolved = study.dump(
        None if searches(study, values) else chosen_network(study, values, output).point.architecture.choices
    )
    _check_owner(study, resolved, output)
    data = RunData(study, output, progress)
    if not all((output / name).exists() for name in ("environment.json", "events.npz", "dataset.json")):
        described = describe_dataset(study, data.dataset)
        if not (output / STUDY).exists():
            write_text(output / STUDY, resolved)
        seed = first_point(study).train.seed
        write_json(output / "environment.json", describe_environment(seed=seed, command=command))
        Events.of(data.dataset).save(output / "events.npz")
        write_json(output / "dataset.json", described)
    return data


def train_network(network: Network, data: RunData, progress: Progress | None) -> None:
    """Train a network and its float twin, and keep their scores."""
    trial, point = network.trained, network.point
    if FloatTwin.is_saved(trial) and TrainedModel.is_saved(trial) and (trial / "scores.npz").exists():
        return
    dataset = data.dataset
    _log.info("training")
    load_tensorflow()
    twin = FloatTwin.load(trial)
    if twin is None:
        twin = train_float_twin(point.architecture, dataset, point.train, progress=progress)
        twin.save(trial)
    if TrainedModel.is_saved(trial):
        trained = TrainedModel.load(trial)
    else:
        trained = train(point.architecture, dataset, point.train, progress=progress)
        trained.save(trial)
    _save_scores(trial, {"float": twin, "qkeras": trained}, dataset)


def restore_trial(network: Network, data: RunData) -> None:
    """Write a trial of the search as a trained network, with its scores, from the state that the search has left.

    Networks that were trained otherwise are left as they are.
    """
    saved = TrainedModel.is_saved(network.trained) and (network.trained / "scores.npz").exists()
    if network.epochs is None or saved:
        return
    load_tensorflow()
    trained = load_trial(network.point, network.output / "states" / network.name, network.epochs)
    trained.save(network.trained)
    _save_scores(network.trained, {"qkeras": trained}, data.dataset)


def convert_network(study: Study, network: Network, progress: Progress | None) -> HLSProject:
    """Write the HLS project of a trained network."""
    output, project = network.output, network.project
    if not (network.trained / "trained.json").exists():
        raise OutputError(f"{output}: nothing has been trained. `fpgaml train STUDY --output {output}` does")
    if (project / MANIFEST).exists():
        return HLSProject.load(project)
    with shown(progress, "HLS project"):
        load_tensorflow()
        for limit in exceeded_limits(network.point.architecture, network.point.hardware):
            _log.warning("beyond what HLS tools are known to take: %s", limit)
        trained = TrainedModel.load(network.trained)
        return convert(trained, network.point.hardware, project, name=top_function(study))


def top_function(study: Study) -> str:
    """The top-level function of the study's projects."""
    # A suffix, because the study may be called like a word of C++.
    return re.sub(r"\W", "_", f"{study.name}_network")


def simulate_network(network: Network, data: RunData, progress: Progress | None) -> Mapping[str, Any]:
    """Simulate the HLS project over all test events and compare it with the model; what ``csim/<name>.json`` holds."""
    output, agreement = network.output, network.agreement
    if not (network.project / MANIFEST).exists():
        trial = "" if network.epochs is None else f" --trial {network.name}"
        raise OutputError(f"{output}: nothing has been converted. `fpgaml convert {output}{trial}` does")
    project = HLSProject.load(network.project)
    digest = project_digest(project)
    if agreement.exists() and agreement.with_suffix(".npz").exists():
        found: Mapping[str, Any] = read_json(agreement)
        if found.get("project_sha256") == digest:
            return found
    tested = data.dataset.part("test").x
    _log.info("csim")
    load_tensorflow()
    compared = compare(project, TrainedModel.load(network.trained), tested, progress=progress)
    _log.info("csim: %s", compared)
    found = {**compared.to_json(), "project_sha256": digest}
    _save_arrays(agreement.with_suffix(".npz"), {"csim_test": compared.simulation.scores[:, 0]})
    write_json(agreement, found)
    return found


def hand_over_network(
    study: Study, network: Network, data: RunData, progress: Progress | None, *, key: Path | None = None
) -> None:
    """Complete the HLS project with vectors, a check and a certificate, once C simulation and model agree.

    With a ``key`` its certificate is signed, also where the project had been completed before.
    """
    project, found = HLSProject.load(network.project), read_json(network.agreement)
    hand_over_project(study, network, data, project, found, progress, key=key)


def hand_over_project(
    study: Study,
    network: Network,
    data: RunData,
    project: HLSProject,
    found: Mapping[str, Any],
    progress: Progress | None,
    *,
    key: Path | None = None,
) -> None:
    """Complete any project of a network, the study's own or one for another backend, where simulation and model agree.

    ``found`` is the agreement over all test events or more, with the hash of the project's sources.
    """
    if found["mismatches"] or found.get("interpreter_mismatches"):
        return
    if not handed_over(project, found):
        _complete(study, network, data, project, found, progress)
    if key is not None and (project.directory / CERTIFICATE).exists():
        sign_certificate(project.directory, key)


def _complete(
    study: Study,
    network: Network,
    data: RunData,
    project: HLSProject,
    found: Mapping[str, Any],
    progress: Progress | None,
) -> None:
    with shown(progress, "hand-over"):
        load_tensorflow()
        scores = read_arrays(network.trained / "scores.npz")
        certified = Certified(
            trained=TrainedModel.load(network.trained),
            dataset=data.dataset,
            validation_scores=scores["qkeras_validation"],
            test_scores=scores["qkeras_test"],
            targets=study.targets,
            agreement=found,
        )
        hand_over(project, certified)


@contextlib.contextmanager
def shown(progress: Progress | None, name: str) -> Iterator[None]:
    """Show a piece of work whose length is not known."""
    _log.info("%s", name)
    task = progress.add_task(name, total=None) if progress else None
    yield
    if progress and task is not None:
        progress.update(task, total=1, completed=1)


def _save_scores(directory: Path, models: Mapping[str, TrainedModel | FloatTwin], dataset: Dataset) -> None:
    parts = {split: dataset.part(split).x for split in ("validation", "test")}
    scores = {f"{name}_{split}": model.predict(x)[:, 0] for name, model in models.items() for split, x in parts.items()}
    _save_arrays(directory / "scores.npz", scores)


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
