"""Synthesis of a run's network: for the study's backend, or converted for another one, compared and then synthesized.

Each step is stored in ``synthesis/<network>-<backend>.json`` when it has ended, and not repeated while the project's
files stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.backends import Backend, get_backend
from fpgaml.convert import MANIFEST, HLSProject, convert
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import AgreementError, OutputError, StudyError, ToolMissingError, ToolTimeoutError, did_you_mean
from fpgaml.fixed_point import FixedPoint
from fpgaml.handover.certificate import Certificate
from fpgaml.handover.signature import check_key, sign_certificate
from fpgaml.hardware import Hardware
from fpgaml.network_synthesis import NEXT_BEST, NetworkSynthesis
from fpgaml.project_files import CERTIFICATE, changed_files
from fpgaml.run_directory import working_in
from fpgaml.stages import Network, RunData, hand_over_project, opened, restore_trial, shown, top_function
from fpgaml.storage import read_json, write_json
from fpgaml.train import TrainedModel

if TYPE_CHECKING:
    from rich.progress import Progress

    from fpgaml.study import Study

_log = logging.getLogger(__name__)

EVENTS = 100_000
"""Events compared at least, where the comparison is a step of the backend's own."""
SEED = 1
"""Of the events that are drawn."""
FLOAT32_WIDTH = 24
"""Words of so many bits are exact in float32."""


def synthesize(
    output: Path,
    *,
    trial: str | None = None,
    backend: str | None = None,
    steps: Sequence[str] | None = None,
    timeout_s: float | None = None,
    events: int | None = None,
    sign: Path | None = None,
    progress: Progress | None = None,
) -> NetworkSynthesis:
    """Synthesize the network that a run has come to, or a trial as the search trained it.

    Parameters
    ----------
    output : Path
        The run's.
    trial : str, optional
        The id of a finished trial; what the run has come to if not given.
    backend : str, optional
        Another backend than the study's: the network is converted for it into ``<backend>_projects/<network>`` and
        compared with the model first.
    steps : sequence of str, optional
        Some of the backend's ``synthesis_steps``; all if not given.
    timeout_s : float, optional
        Seconds for each step, and for compiling and simulating before them; no limit if not given.
    events : int, optional
        How many events to compare: test events first, then the rest of the data set, then inputs whose words are drawn
        uniformly. If not given: test events, and for the backend ``rtl`` at least ``EVENTS``; for the study's own
        backend what the C simulation has compared already.
    sign : Path, optional
        A key of OpenSSH that signs the certificate of the project that is synthesized.
    progress : rich.progress.Progress, optional
        Where to show how far the work is.

    Returns
    -------
    NetworkSynthesis
        Also where steps have failed or tools are missing; its ``check`` raises then.

    Raises
    ------
    StudyError
        No such backend or step, or a part that does not exist.
    AgreementError
        The project was changed since it was compared with the model.
    OutputError
        Nothing has been trained, converted or simulated, or something cannot be written.
    ToolError
        A tool that writes or simulates the project is missing or failed; with another backend than the study's, no step
        asked for has its tool, which is told before anything is converted.
    ToolTimeoutError
        The comparison took longer than ``timeout_s``. The project and a finished compilation are kept.
    """
    study, network = opened(output, trial)
    hardware = network.point.hardware
    if backend is not None and backend != hardware.backend:
        get_backend(backend)
        hardware = hardware.for_backend(backend)
    chosen = _chosen_steps(get_backend(hardware.backend), hardware.backend, steps)
    if sign is not None:
        check_key(sign)
    with working_in(output):
        place = _Place(study, network, hardware, RunData(study, output, progress), progress)
        found = place.begun(chosen)
        found = place.compared(found, chosen, events, timeout_s)
        if found.agrees is not False:
            place.hand_over(found, sign)
            for step in chosen:
                found = place.stepped(found, step, timeout_s)
    return found


def events_to_compare(
    dataset: Dataset, fixed: FixedPoint, n: int | None, *, seed: int = SEED
) -> tuple[NDArray[Any], dict[str, int]]:
    """Inputs of ``n`` events, and how many of them come from where.

    Parameters
    ----------
    dataset : Dataset
        Its test events come first, then its others.
    fixed : FixedPoint
        Of the inputs: what is still missing is drawn uniformly over its words.
    n : int, optional
        All test events and no others if not given.
    seed : int
        Of the draws.
    """
    test = dataset.part("test").x
    if n is None:
        return test, {"test": len(test), "other": 0, "drawn": 0}
    test = test[:n]
    other = np.concatenate([dataset.part(split).x for split in ("validation", "train")])[: n - len(test)]
    n_drawn = n - len(test) - len(other)
    low, high = fixed.word_range
    words = np.random.default_rng(seed).integers(low, high, size=(n_drawn, *dataset.input_shape), endpoint=True)
    drawn = (words * fixed.step).astype(np.float32 if fixed.width <= FLOAT32_WIDTH else np.float64)
    return np.concatenate([test, other, drawn]), {"test": len(test), "other": len(other), "drawn": n_drawn}


@dataclass(frozen=True)
class _Place:
    """A network's project for one backend, and where its synthesis is stored."""

    study: Study
    network: Network
    hardware: Hardware
    data: RunData
    progress: Progress | None

    @property
    def own(self) -> bool:
        """Whether the study itself asks for this backend."""
        return self.hardware.backend == self.network.point.hardware.backend

    @property
    def project(self) -> Path:
        if self.own:
            return self.network.project
        return self.network.output / f"{self.hardware.backend}_projects" / self.network.name

    @property
    def stored(self) -> Path:
        return self.network.output / "synthesis" / f"{self.network.name}-{self.hardware.backend}.json"

    def without_tools(self, steps: Sequence[str], before: NetworkSynthesis | None) -> str:
        """What is missing where none of the steps still to do can run; empty if one can, or if all are done."""
        done = before and before.synthesis and {step.step for step in before.synthesis.ended("done")}
        pending = [step for step in steps if step not in (done or ())]
        missing = get_backend(self.hardware.backend).missing_tools(pending)
        return "; ".join(dict.fromkeys(missing.values())) if len(missing) == len(pending) else ""

    def begun(self, steps: Sequence[str]) -> NetworkSynthesis:
        """What is known of the project as it is now; a project for another backend is written if it is not there."""
        if self.own:
            project, agreement = self._simulated()
        else:
            before = NetworkSynthesis.load(self.stored) if self.stored.exists() else None
            if missing := self.without_tools(steps, before):
                raise ToolMissingError(
                    f"{self.project}: no step asked for can run, so nothing has been begun: {missing}. {NEXT_BEST}"
                )
            project, agreement = self._converted(), None
        digest = project_digest(project)
        found = NetworkSynthesis(
            network=self.network.name,
            backend=self.hardware.backend,
            project=self.project,
            project_sha256=digest,
            agreement=agreement,
        )
        if not self.stored.exists():
            return found
        before = NetworkSynthesis.load(self.stored)
        if before.project_sha256 == digest:
            return replace(before, project=self.project, agreement=before.agreement or agreement)
        if not self.own:
            raise AgreementError(
                f"{self.project}: was changed since it was compared with the model. Remove that folder, and the same "
                f"command writes it again; or remove {self.stored}, and the project is compared as it is"
            )
        return found  # simulated again since, after a change that was wanted

    def compared(
        self, found: NetworkSynthesis, steps: Sequence[str], events: int | None, timeout_s: float | None
    ) -> NetworkSynthesis:
        """With the words of model and project compared, on at least the events asked for."""
        is_step = "simulation" in get_backend(self.hardware.backend).synthesis_steps
        if is_step and "simulation" not in steps:
            return found
        if found.agreement is not None and found.agreement["events"] >= (events or (EVENTS if is_step else 0)):
            return found
        if self.without_tools(steps, found):  # each step will say so
            return found
        dataset = self.data.dataset
        if is_step and events is None:
            events = max(EVENTS, len(dataset.part("test")))
        x, composition = events_to_compare(dataset, self.network.point.architecture.input_format.format, events)
        with shown(self.progress, f"comparison of {len(x)} events"):
            load_tensorflow()
            trained, project = TrainedModel.load(self.network.trained), HLSProject.load(self.project)
            # Not all that is synthesized is simulated: hls4ml's C simulation reads copies of the weights.
            get_backend(self.hardware.backend).check_files(
                self.project,
                name=project.name,
                architecture=trained.firmware,
                weights=trained.quantized_weights,
                hardware=self.hardware,
                effective=project.effective,
            )
            try:
                compared = compare(project, trained, x, timeout_s=timeout_s, progress=self.progress)
            except ToolTimeoutError as error:
                raise ToolTimeoutError(
                    f"{self.project}: timed out in the comparison with the model, before the first step: {error}. "
                    "No step has begun; project and finished compilation are kept. --timeout gives it more, --events "
                    "takes fewer events"
                ) from error
        _log.info("%s: %s", self.project, compared)
        found = replace(found, agreement={**compared.to_json(), "composition": composition, "seed": SEED})
        write_json(self.stored, found.to_json())
        return found

    def hand_over(self, found: NetworkSynthesis, key: Path | None) -> None:
        """Complete and sign a project for another backend once it was compared; the study's own is only signed."""
        if self.own and key is not None and (self.project / CERTIFICATE).exists():
            sign_certificate(self.project, key)
        if self.own or found.agreement is None:
            return
        agreement = {**found.agreement, "project_sha256": found.project_sha256}
        project = HLSProject.load(self.project)
        hand_over_project(self.study, self.network, self.data, project, agreement, self.progress, key=key)

    def stepped(self, found: NetworkSynthesis, step: str, timeout_s: float | None) -> NetworkSynthesis:
        """With one step more, unless it has been done; stored."""
        before = found.synthesis
        if before is not None and before.step(step).status == "done":
            _log.info("%s: has been done", step)
            return found
        made = get_backend(self.hardware.backend).synthesize(
            self.project,
            name=top_function(self.study),
            hardware=self.hardware,
            steps=[step],
            timeout_s=timeout_s,
            progress=self.progress,
        )
        if before is not None:
            made = replace(made, steps=tuple(new if new.step == step else before.step(new.step) for new in made.steps))
        found = replace(found, synthesis=made)
        write_json(self.stored, found.to_json())
        return found

    def _simulated(self) -> tuple[HLSProject, Mapping[str, Any]]:
        """The project of the study's own backend, and its agreement, which must be that of its files as they are."""
        output = self.network.output
        trial = "" if self.network.epochs is None else f" --trial {self.network.name}"
        if not (self.project / MANIFEST).exists():
            raise OutputError(f"{output}: nothing has been converted. `fpgaml convert {output}{trial}` does")
        if not self.network.agreement.exists():
            raise OutputError(
                f"{output}: its project has not been compared with the model. `fpgaml csim {output}{trial}` does"
            )
        project, agreement = HLSProject.load(self.project), read_json(self.network.agreement)
        edited = changed_files(self.project, _certified_files(self.project))
        if edited or agreement["project_sha256"] != project_digest(project):
            what = f" ({', '.join(edited)})" if edited else ""
            raise AgreementError(
                f"{self.project}: was changed since `fpgaml csim` compared it with the model{what}. If that was wanted,"
                f" `fpgaml csim {output}{trial}` compares it again; if not, remove that folder and "
                f"`fpgaml convert {output}{trial}` writes it again"
            )
        return project, {**agreement, "composition": {"test": agreement["events"], "other": 0, "drawn": 0}}

    def _converted(self) -> HLSProject:
        """The project for another backend than the study's."""
        if (self.project / MANIFEST).exists():
            return HLSProject.load(self.project)
        restore_trial(self.network, self.data)
        if not (self.network.trained / "trained.json").exists():
            output = self.network.output
            raise OutputError(f"{output}: nothing has been trained. `fpgaml train STUDY --output {output}` does")
        with shown(self.progress, f"{self.hardware.backend} project"):
            load_tensorflow()
            trained = TrainedModel.load(self.network.trained)
            return convert(trained, self.hardware, self.project, name=top_function(self.study))


def _certified_files(project: Path) -> Mapping[str, str]:
    """SHA-256 of every file that the hand-over has certified; nothing where there was none."""
    return Certificate.load(project).files if (project / CERTIFICATE).exists() else {}


def _chosen_steps(backend: Backend, name: str, steps: Sequence[str] | None) -> tuple[str, ...]:
    """The steps asked for, in the backend's order."""
    for step in steps or ():
        if step not in backend.synthesis_steps:
            raise StudyError(f"backend {name} has no step {step!r}; {did_you_mean(step, backend.synthesis_steps)}")
    return tuple(step for step in backend.synthesis_steps if steps is None or step in steps)
