"""What a trial will cost in hardware, as its study's backend predicts it, beside the counts of ``fpgaml.cost``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fpgaml.architecture import Architecture
from fpgaml.backends import get_backend
from fpgaml.builder import ModelWeights
from fpgaml.errors import StudyError
from fpgaml.hardware import Hardware
from fpgaml.search_options import AT_MOST, ESTIMATES
from fpgaml.study import Study


def estimated_costs(architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> dict[str, float]:
    """What the backend predicts of a network, by the names that limits have.

    Parameters
    ----------
    architecture : Architecture
        Folded.
    weights : ModelWeights
        Quantized.
    hardware : Hardware
        What it is for.

    Returns
    -------
    dict of name to number
        Those of ``ESTIMATES`` that the backend tells. Where its figure has a margin, ``<name>_at_most`` too.

    Raises
    ------
    ToolError
        A package that the estimate needs is missing.
    """
    backend = get_backend(hardware.backend)
    resources = backend.estimate(architecture, weights, hardware).to_json()
    found: dict[str, float] = {name: resources[name] for name in ESTIMATES if resources[name] is not None}
    margins = {name: margin for name, margin in backend.estimate_margins.items() if name in found}
    return found | {name + AT_MOST: math.ceil(found[name] * margin) for name, margin in margins.items()}


def check_predicted(study: Study) -> None:
    """Refuse limits and a front that need what the study's backend does not predict.

    Raises
    ------
    StudyError
        With the name, and what the backend does predict.
    """
    for name in _backends(study):
        told = get_backend(name).estimates if study.search.predicted else ()
        for wanted in study.search.predicted:
            if wanted not in told:
                raise StudyError(
                    f"{study.source.where(('search',))}: search: {wanted} is known after synthesis only: the backend "
                    f"{name} does not predict it. It predicts {', '.join(told) or 'nothing'}; use one of these, or a "
                    "count such as ebops"
                )


def _backends(study: Study) -> set[str]:
    """Every backend that the study's trials may be for."""
    hardware: Mapping[str, object] = study.source.value.get("hardware") or {}
    chosen = str(hardware.get("backend", Hardware().backend))
    if not chosen.startswith("$"):
        return {chosen}
    return {str(values[chosen[1:]]) for values in study.trials} or set(map(str, study.choices[chosen[1:]]))
