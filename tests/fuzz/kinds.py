"""The kinds of cases. A kind is a function that makes the case of a seed in a workspace, and says what became of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.outcome import Outcome
from fuzz.workspace import Workspace


@dataclass(frozen=True)
class Kind:
    """One kind of cases.

    Parameters
    ----------
    check : str
        ``module:function``. The function takes a seed and a ``Workspace``, and returns an ``Outcome``; the same seed
        makes the same case.
    share : float
        The part of a run's time that is for this kind, beside the others'.
    limit_s : float
        Seconds of processor time that a case may take; those of a clock would count other programs too.
    limit_gb : float
        Memory that any process of a case may take, in 10^9 bytes.
    bounded : bool
        Whether more memory is not to be had; otherwise what was taken is looked at in the end. TensorFlow and others
        reserve much that they do not use, and cannot be bounded.
    trains : bool
        Whether TensorFlow is loaded before the case begins.
    patience : float
        Seconds that the clock may show for every second of ``limit_s``: a case that waits takes no processor time.
    """

    check: str
    share: float
    limit_s: float = 10.0
    limit_gb: float = 1.0
    bounded: bool = True
    trains: bool = False
    patience: float = 40.0

    def import_function(self) -> Callable[[int, Workspace], Outcome]:
        """The function that ``check`` names."""
        module, name = self.check.split(":")
        found: Callable[[int, Workspace], Outcome] = getattr(importlib.import_module(module), name)
        return found


KINDS = {
    "studies": Kind("fuzz.random_studies:check_study", share=4),
    "data": Kind("fuzz.random_data:check_data", share=2, limit_gb=2),
    "networks": Kind(
        "fuzz.exact_networks:check_exactness", share=4, limit_s=600, limit_gb=4, bounded=False, trains=True
    ),
    "runs": Kind("fuzz.random_runs:check_run", share=4, limit_s=240, limit_gb=4, bounded=False, trains=True),
    "kills": Kind("fuzz.interruptions:check_kill", share=2, limit_s=1000, limit_gb=4, bounded=False, patience=3),
}
