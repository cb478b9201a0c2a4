"""What a run left on disk, read back and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.errors import OutputError, StudyError, did_you_mean
from fpgaml.events import Events, Floats, Scores
from fpgaml.metrics import Target
from fpgaml.storage import read_arrays, read_json
from fpgaml.yaml_source import read_yaml


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """An output directory, as far as its stages have come.

    Parameters
    ----------
    directory : Path
    study, environment, dataset, architecture, trained : mapping
        ``study.yaml`` and the JSON files of the same names.
    targets : tuple of Target
        The headline first.
    events : Events
        Validation and test events.
    trial : str
        The trial that is reported.
    histories : mapping of "float" or "qkeras" to a history
        The float twin's is missing where none was trained.
    scores : mapping of "float", "qkeras" or "csim" to Scores
        What is there.
    agreement : mapping, optional
        ``csim/<trial>.json``; None where no csim has run.
    hls_project : Path, optional
        None where nothing has been converted.
    search : mapping, optional
        ``search.json``; None where nothing was searched.
    winners : mapping, optional
        ``winners.json``; None where no winner of a search has been trained.
    syntheses : tuple of mapping
        ``synthesis/<trial>-<backend>.json``, one for each backend that it was synthesized with.
    """

    directory: Path
    study: Mapping[str, Any]
    environment: Mapping[str, Any]
    dataset: Mapping[str, Any]
    targets: tuple[Target, ...]
    events: Events
    trial: str
    architecture: Mapping[str, Any]
    trained: Mapping[str, Any]
    histories: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Scores]
    agreement: Mapping[str, Any] | None
    hls_project: Path | None
    search: Mapping[str, Any] | None
    winners: Mapping[str, Any] | None
    syntheses: tuple[Mapping[str, Any], ...]


def load_run(directory: Path, *, trial: str | None = None) -> Run:
    """Read an output directory.

    Parameters
    ----------
    directory : Path
        What was given as ``--output``.
    trial : str, optional
        Needed only where there are several; the winner of a search if not given.

    Raises
    ------
    OutputError
        A stage that the report needs has not run (the message names it and the command that does it), a file cannot be
        read, or two files do not belong together.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise OutputError(f"{directory}: no such directory. `fpgaml run STUDY --output {directory}` makes it.")
    study = _study(_written(directory / "study.yaml", "train"))
    environment, dataset = (_read(directory / name, "train") for name in ("environment.json", "dataset.json"))
    events = Events.load(_written(directory / "events.npz", "train"))
    search, winners = (
        _read(directory / name, "run") if (directory / name).exists() else None
        for name in ("search.json", "winners.json")
    )
    if search is not None and winners is None and trial is None:
        raise OutputError(
            f"{directory}: was searched, and has no winner yet. `fpgaml run STUDY --output {directory}` goes on to it; "
            "--trial takes a trial as the search trained it"
        )
    chosen = _trial(directory, winners["winner"]["trial"] if winners and trial is None else trial)
    folder = directory / "trials" / chosen
    scores = _scores(folder / "scores.npz", events)
    simulated, agreement = _csim(directory / "csim", chosen, events)
    if simulated is not None:
        scores["csim"] = simulated
    project = directory / "hls_projects" / chosen
    return Run(
        directory=directory,
        study=study,
        environment=environment,
        dataset=dataset,
        targets=_targets(directory / "dataset.json", dataset),
        events=events,
        trial=chosen,
        architecture=_read(folder / "architecture.json", "train"),
        trained=_trained(folder),
        histories={
            name: read_json(folder / f"history_{name}.json")
            for name in ("float", "qkeras")
            if (folder / f"history_{name}.json").exists()
        },
        scores=scores,
        agreement=agreement,
        hls_project=project if project.is_dir() else None,
        search=search,
        winners=winners,
        syntheses=tuple(_read(path, "synthesize") for path in sorted(directory.glob(f"synthesis/{chosen}-*.json"))),
    )


def _trained(folder: Path) -> Mapping[str, Any]:
    """``trained.json``, with what the float twin took."""
    trained = _read(folder / "trained.json", "train")
    if not (folder / "float.json").exists():
        return trained
    twin, history = read_json(folder / "float.json"), read_json(folder / "history_float.json")
    return {
        **trained,
        "epochs": {"float": len(history["loss"]), **trained.get("epochs", {})},
        "wall_s": {"float": twin["wall_s"], **trained.get("wall_s", {})},
    }


def _written(path: Path, command: str) -> Path:
    if not path.exists():
        raise OutputError(
            f"{path}: not found. `fpgaml {command}` writes it, and so does `fpgaml run`, which does every stage."
        )
    return path


def _read(path: Path, command: str) -> Mapping[str, Any]:
    value = read_json(_written(path, command))
    if not isinstance(value, dict):
        raise OutputError(f"{path}: must hold a JSON object, found {type(value).__name__}")
    return value


def _study(path: Path) -> Mapping[str, Any]:
    try:
        value = read_yaml(path).value
    except StudyError as error:
        raise OutputError(str(error)) from error
    if not isinstance(value, dict):
        raise OutputError(f"{path}: must hold a mapping, found {type(value).__name__}")
    return value


def _targets(path: Path, dataset: Mapping[str, Any]) -> tuple[Target, ...]:
    try:
        targets = tuple(Target(item["kind"], float(item["value"])) for item in dataset["targets"])
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{path}: `targets` must be a list of {{kind, value}}: {error}") from error
    if not targets:
        raise OutputError(f"{path}: `targets` is empty; a report needs at least one working point")
    return targets


def _trial(directory: Path, wanted: str | None) -> str:
    found = sorted(path.parent.name for path in directory.glob("trials/*/trained.json"))
    if not found:
        raise OutputError(
            f"{directory / 'trials'}: no trained trial. `fpgaml train` writes one, and so does `fpgaml run`."
        )
    if wanted is not None and wanted not in found:
        raise OutputError(f"{directory / 'trials'}: no trained trial {wanted!r}; {did_you_mean(wanted, found)}")
    if wanted is None and len(found) > 1:
        raise OutputError(f"{directory / 'trials'}: {len(found)} trained trials, name one: {', '.join(found)}")
    return wanted or found[0]


def _arrays(path: Path) -> dict[str, Floats]:
    return {name: np.asarray(column, np.float64) for name, column in read_arrays(path).items()}


def _scores(path: Path, events: Events) -> dict[str, Scores]:
    columns = _arrays(_written(path, "train"))
    scores = {}
    for name in ("float", "qkeras"):
        there = [f"{name}_{split}" for split in ("validation", "test") if f"{name}_{split}" in columns]
        if len(there) == 1 or (name == "qkeras" and not there):
            raise OutputError(f"{path}: needs {name}_validation and {name}_test, found {', '.join(sorted(columns))}")
        for column in there:
            expected = int(events.chosen(column.removeprefix(f"{name}_")).sum())
            if columns[column].shape != (expected,):
                raise OutputError(
                    f"{path}: {column} has shape {columns[column].shape}, events.npz {expected} such events"
                )
        if there:
            scores[name] = Scores(validation=columns[there[0]], test=columns[there[1]])
    return scores


def _csim(folder: Path, trial: str, events: Events) -> tuple[Scores | None, Mapping[str, Any] | None]:
    arrays, agreement = folder / f"{trial}.npz", folder / f"{trial}.json"
    if not arrays.exists() and not agreement.exists():
        return None, None
    columns, expected = _arrays(_written(arrays, "csim")), int(events.chosen("test").sum())
    if "csim_test" not in columns or columns["csim_test"].shape != (expected,):
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items()) or "nothing"
        raise OutputError(f"{arrays}: needs csim_test of shape ({expected},), found {shapes}. Run `fpgaml csim` again.")
    values = _read(agreement, "csim")
    if missing := {"events", "words", "mismatches"} - set(values):
        raise OutputError(f"{agreement}: {min(missing)} is missing. Run `fpgaml csim` again.")
    return Scores(test=columns["csim_test"]), values
