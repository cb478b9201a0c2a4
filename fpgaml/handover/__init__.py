"""Complete a project for those who build firmware from it: vectors, thresholds, a check of its own, a certificate."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.backends import Backend, get_backend
from fpgaml.convert import HLSProject
from fpgaml.dataset import Dataset
from fpgaml.errors import AgreementError, OutputError
from fpgaml.events import Floats
from fpgaml.handover.certificate import Certificate, versions, weights_hash
from fpgaml.handover.interface import Interface, find_thresholds, input_scaling, words_of
from fpgaml.handover.listed_files import CHECK, certified_files, edited_files
from fpgaml.handover.readme import NO_DIGEST, readme
from fpgaml.handover.vectors import FOLDER as VECTORS
from fpgaml.handover.vectors import REASONS, Vectors, choose_events
from fpgaml.hls_limits import Limit, exceeded_limits
from fpgaml.metrics import Target
from fpgaml.project_files import CERTIFICATE, README, SIGNATURE, file_hashes
from fpgaml.storage import write_text
from fpgaml.train import TrainedModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Certified:
    """What a hand-over is made from.

    Parameters
    ----------
    trained : TrainedModel
        The model.
    dataset : Dataset
        Its validation events place the thresholds, its test events are the vectors.
    validation_scores, test_scores : float64, shape (n_events,)
        Of the model.
    targets : sequence of Target
        The working points, the headline first.
    agreement : mapping
        What the simulation found over all test events or more, with the hash of the project's sources; where there
        are others than test events, ``composition`` says how many.
    """

    trained: TrainedModel
    dataset: Dataset
    validation_scores: Floats
    test_scores: Floats
    targets: Sequence[Target]
    agreement: Mapping[str, Any]


def handed_over(project: HLSProject, agreement: Mapping[str, Any]) -> bool:
    """Whether the project has been handed over as it is now, after this C simulation; true where nothing can be."""
    if not get_backend(project.hardware.backend).bench_files():
        return True
    try:
        certificate = Certificate.load(project.directory)
    except OutputError:
        return False
    compared = certificate.content.get("csim") == _compared(agreement)
    return compared and not certificate.changes(project.directory)


def hand_over(project: HLSProject, certified: Certified) -> None:
    """Write vectors, test bench, ``README.md`` and ``certificate.json`` into a project.

    The certificate comes last: without it a hand-over is not complete. Files that someone has edited since the
    conversion are named in both, if they still hold the options, types and weights that were asked for.

    Parameters
    ----------
    project : HLSProject
        On whose test events simulation and model agree.
    certified : Certified

    Raises
    ------
    AgreementError
        Simulation and model differ, or the project's files hold other options, types or weights than were asked for.
    OutputError
        The project cannot be written to, or a file of it cannot be read.
    """
    if certified.agreement["mismatches"] or certified.agreement.get("interpreter_mismatches"):
        raise AgreementError(f"{project.directory}: simulation and model differ; there is nothing to certify")
    backend = get_backend(project.hardware.backend)
    trained, directory = certified.trained, project.directory
    backend.check_files(
        directory,
        name=project.name,
        architecture=trained.firmware,
        weights=trained.quantized_weights,
        hardware=project.hardware,
        effective=project.effective,
    )
    edited = edited_files(project, backend)
    if edited:
        _log.warning("%s: edited since its conversion, and certified as it is now: %s", directory, ", ".join(edited))
    interface = _interface(project, backend, certified)
    vectors = _vectors(interface, certified)
    limits = exceeded_limits(trained.firmware, project.hardware)
    for name in (CERTIFICATE, SIGNATURE):
        (directory / name).unlink(missing_ok=True)
    for folder in (CHECK, VECTORS):
        shutil.rmtree(directory / folder, ignore_errors=True)
    vectors.write(
        directory,
        number_files=backend.number_files,
        input_fraction=interface.input_format.fraction,
        output_fraction=interface.output_format.fraction,
    )
    _write_bench(directory, backend, interface, len(vectors.events))
    text = readme(
        project,
        interface,
        prototype=backend.prototype(directory, project.name),
        port_notes=backend.port_notes(directory),
        predicted=backend.estimate(trained.firmware, trained.quantized_weights, project.hardware),
        agreement=certified.agreement,
        n_vectors=len(vectors.events),
        reasons=REASONS,
        limits=limits,
        edited=edited,
    )
    # The certificate covers the README but for its line on the certificate, which cannot be known before.
    write_text(directory / README, text)
    facts = _facts(project, certified, interface, vectors, limits, edited)
    files = file_hashes(directory, certified_files(project, backend))
    certificate = Certificate.of(
        {**facts, "left_out": list(backend.tool_outputs), "n_files": len(files), "files": files}
    )
    write_text(directory / README, text.replace(NO_DIGEST, certificate.sha256, 1))
    write_text(directory / CERTIFICATE, certificate.text)


def _interface(project: HLSProject, backend: Backend, certified: Certified) -> Interface:
    architecture, dataset = certified.trained.firmware, certified.dataset
    output_format = backend.output_format(project.directory, project.effective)
    offsets, scales, unit = input_scaling(dataset.metadata)
    return Interface(
        top=backend.bench_values(project.directory).get("TOP", project.name),
        input_shape=architecture.input_shape,
        input_format=architecture.input_format.format,
        output_format=output_format,
        n_outputs=int(np.prod(architecture.output_shape)),
        names=dataset.names,
        offsets=offsets,
        scales=scales,
        unit=unit,
        thresholds=find_thresholds(
            dataset.part("validation"), certified.validation_scores, certified.targets, output_format
        ),
    )


def _vectors(interface: Interface, certified: Certified) -> Vectors:
    x = certified.dataset.part("test").x
    inputs = interface.input_format.words(x.reshape(len(x), -1))
    scores = words_of(certified.test_scores.reshape(len(x), -1), interface.output_format)
    events, reasons = choose_events(inputs, scores, [threshold.word for threshold in interface.thresholds])
    expected = words_of(certified.trained.predict(x[events]), interface.output_format)
    return Vectors(events, reasons, inputs[events], expected)


def _write_bench(directory: Path, backend: Backend, interface: Interface, n_events: int) -> None:
    """The files of the bench, with the network's numbers in their places."""
    numbers = {
        "TOP": interface.top,
        "N_INPUTS": interface.n_inputs,
        "INPUT_FRACTION": interface.input_format.fraction,
        "N_OUTPUTS": interface.n_outputs,
        "OUTPUT_FRACTION": interface.output_format.fraction,
        "N_EVENTS": n_events,
        "N_WORDS": n_events * interface.n_outputs,
        **backend.bench_values(directory),
    }
    for name, template in backend.bench_files().items():
        text = template.read_text(encoding="utf-8")
        for key, value in numbers.items():
            text = text.replace(f"@{key}@", str(value))
        write_text(directory / name, text)


def _compared(agreement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: agreement[key] for key in ("events", "words", "mismatches", "project_sha256")}


def _facts(
    project: HLSProject,
    certified: Certified,
    interface: Interface,
    vectors: Vectors,
    limits: Sequence[Limit],
    edited: Sequence[str],
) -> dict[str, Any]:
    """What the certificate says, but for the files."""
    trained, dataset = certified.trained, certified.dataset
    backend = get_backend(project.hardware.backend)
    return {
        "project": project.name,
        "model": {
            "architecture": trained.firmware.hash,
            "weights_sha256": weights_hash(trained.quantized_weights),
            "seed": trained.seed,
        },
        "data": {"task": dataset.metadata.get("task"), "sha256": dataset.sha256, "split": "test"},
        "csim": _compared(certified.agreement),
        "vectors": {"events": len(vectors.events), "words": int(vectors.outputs.size)},
        "working_points": [threshold.to_json() for threshold in interface.thresholds],
        "hardware": project.hardware.model_dump(mode="json"),
        "beyond_limits": [str(limit) for limit in limits],
        "edited_since_conversion": list(edited),
        "versions": {
            **versions(backend.packages),
            "compiler": backend.simulation_version().split("\n")[0],
        },
    }
