"""The whole way from a study to a report, stage by stage, in one output directory.

Every stage writes what it has made when it is whole, and does nothing where that is there already: after an interruption the same
command goes on where it stopped.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.convert import MANIFEST, HLSProject, convert
from fpgaml.csim import compare
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import describe_environment
from fpgaml.errors import AgreementError, OutputError, StudyError
from fpgaml.events import Events
from fpgaml.report import Report, write_report
from fpgaml.storage import atomic_path, read_json, write_json, write_text
from fpgaml.study import Point, Study
from fpgaml.train import FloatTwin, TrainedModel, train, train_float_twin

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)


def run(
    study: Study,
    output: Path,
    *,
    values: Mapping[str, Any] | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Data, training, conversion, C simulation and report.

    Parameters
    ----------
    study : Study
        What to do.
    output : Path
        Holds everything that the run knows; may hold an earlier, interrupted run of the same study.
    values : mapping, optional
        A value for each choice of the study, where it has choices.
    command : str
        The command that does the same, for the report.
    progress : rich.progress.Progress, optional
        Where to show how far the work is.

    Raises
    ------
    FpgamlError
        As the stages raise it. ``AgreementError``, after the report is written, if a word of the C simulation differs.
    """
    train_stage(study, output, values=values, command=command, progress=progress)
    convert_stage(output)
    agrees = csim_stage(output, progress=progress)
    report = write_report(output)
    if not agrees:
        raise AgreementError(f"C simulation and model disagree: see {output}/report.md")
    return report


def train_stage(
    study: Study,
    output: Path,
    *,
    values: Mapping[str, Any] | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> None:
    """Make or read the data, train the float twin and the quantized network, and keep the scores of both.

    Raises
    ------
    OutputError
        ``output`` cannot be written, or holds something else.
    """
    point = _point(study, values)
    _open_output(study, output)
    dataset = study.task.load(study.data, progress=progress)
    _describe_run(study, point, dataset, output, command)
    trial = output / "trials" / point.architecture.hash
    twin = FloatTwin.load(trial)
    if twin is None:
        twin = train_float_twin(point.architecture, dataset, point.train, progress=progress)
        twin.save(trial)
    if not (trial / "trained.json").exists():
        train(point.architecture, dataset, point.train, progress=progress).save(trial)
    if not (trial / "scores.npz").exists():
        trained = TrainedModel.load(trial)
        parts = {split: dataset.part(split).x for split in ("validation", "test")}
        scores = {f"float_{split}": twin.predict(x)[:, 0] for split, x in parts.items()}
        scores |= {f"qkeras_{split}": trained.predict(x)[:, 0] for split, x in parts.items()}
        with atomic_path(trial / "scores.npz") as fresh:
            np.savez(fresh, **scores)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays


def convert_stage(output: Path) -> HLSProject:
    """Write the HLS project of the trained network.

    Raises
    ------
    OutputError
        Nothing has been trained.
    """
    study, trial = _opened(output)
    project = output / "hls_projects" / trial.name
    if (project / MANIFEST).exists():
        return HLSProject.load(project)
    trained = TrainedModel.load(trial)
    hardware = study.point(trained.architecture.choices).hardware
    return convert(trained, hardware, project, name=re.sub(r"\W", "_", study.name))


def csim_stage(output: Path, *, progress: Progress | None = None) -> bool:
    """Simulate the HLS project over all test events and compare it with the model; true if every word agrees.

    Raises
    ------
    OutputError
        Nothing has been converted.
    """
    study, trial = _opened(output)
    project = HLSProject.load(output / "hls_projects" / trial.name)
    scores, agreement = output / "csim" / f"{trial.name}.npz", output / "csim" / f"{trial.name}.json"
    if not agreement.exists():
        test = study.task.load(study.data, progress=progress).part("test")
        found = compare(project, TrainedModel.load(trial), test.x, progress=progress)
        _log.info("csim: %s", found)
        with atomic_path(scores) as fresh:
            np.savez(fresh, csim_test=found.simulation.scores[:, 0])
        write_json(agreement, found.to_json())
    return bool(read_json(agreement)["mismatches"] == 0)


def _point(study: Study, values: Mapping[str, Any] | None) -> Point:
    """The one network to train."""
    if values is None and len(study.trials) == 1:
        values = study.trials[0]
    if study.names and values is None:
        raise StudyError(
            f"{study.source.path}: has choices ({', '.join(study.names)}), and this version trains one network at a time. "
            "Give every choice a value with --choose name=value"
        )
    return study.point(values)


def _open_output(study: Study, output: Path) -> None:
    """Make ``output`` the directory of this study, unless it is already, or is that of another."""
    written, resolved = output / "study.yaml", study.dump()
    if written.exists():
        if written.read_text(encoding="utf-8") != resolved:
            raise OutputError(
                f"{output}: holds the run of another study, or of another version of {study.name!r}: study.yaml in it differs. "
                "Choose another --output, or remove that one"
            )
        return
    if output.is_dir() and any(output.iterdir()):
        raise OutputError(f"{output}: is not empty, and no study has been run in it. Choose another --output")
    write_text(written, resolved)


def _opened(output: Path) -> tuple[Study, Path]:
    """The study of a run and the directory of its trained network."""
    if not (output / "study.yaml").exists():
        raise OutputError(f"{output}: holds no run. `fpgaml train STUDY --output {output}` begins one")
    trained = sorted(output.glob("trials/*/trained.json"))
    if not trained:
        raise OutputError(f"{output}: nothing has been trained. `fpgaml train STUDY --output {output}` does")
    return Study.load(output / "study.yaml"), trained[0].parent


def _describe_run(study: Study, point: Point, dataset: Dataset, output: Path, command: str) -> None:
    """Write what the report needs to know of the data and the machine."""
    if (output / "dataset.json").exists():
        return
    write_json(output / "environment.json", describe_environment(seed=point.train.seed, command=command))
    Events.of(dataset).save(output / "events.npz")
    write_json(output / "dataset.json", describe_dataset(study, dataset))


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
        "targets": [{"kind": target.kind, "value": target.value} for target in study.task.targets(study.data)],
        "metadata": dict(dataset.metadata),
    }
