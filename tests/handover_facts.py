"""What a hand-over is made from, after a simulation of a project over all test events."""

from __future__ import annotations

from collections.abc import Sequence

from fpgaml.convert import HLSProject
from fpgaml.csim import compare, project_digest
from fpgaml.dataset import Dataset
from fpgaml.handover import Certified
from fpgaml.metrics import Target
from fpgaml.train import TrainedModel


def certified(project: HLSProject, *, trained: TrainedModel, dataset: Dataset, targets: Sequence[Target]) -> Certified:
    compared = compare(project, trained, dataset.part("test").x, processes=1)
    return Certified(
        trained=trained,
        dataset=dataset,
        validation_scores=trained.predict(dataset.part("validation").x)[:, 0],
        test_scores=trained.predict(dataset.part("test").x)[:, 0],
        targets=targets,
        agreement={**compared.to_json(), "project_sha256": project_digest(project)},
    )
