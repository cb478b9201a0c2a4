"""What a run knows of the synthesis of one network: the words compared before, and what the tools reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpgaml.errors import AgreementError, OutputError, ToolError, printable
from fpgaml.storage import read_json
from fpgaml.synthesis import CHECKS, Synthesis

RTL = "rtl"
"""The backend, and the extra with its tools, that needs no vendor."""

NEXT_BEST = (
    f"Without AMD's tools `fpgaml synthesize RUN --backend {RTL}` gives figures; it needs pip install 'fpgaml[{RTL}]'. "
    "`fpgaml doctor` says which tools are here"
)


@dataclass(frozen=True, kw_only=True)
class NetworkSynthesis:
    """What is known of a network's project: that it computes what the model computes, and what its tools report.

    Parameters
    ----------
    network : str
        The name of its files in the run.
    backend : str
        The backend of the project.
    project : Path
        Where it lies.
    project_sha256 : str
        Of the files that are simulated and synthesized.
    agreement : mapping, optional
        As in ``csim/<network>.json``; "composition" says how many events are test events, other events of the data set
        and drawn ones. None where nothing has been compared.
    synthesis : Synthesis, optional
        None where no step has been asked for yet.
    """

    network: str
    backend: str
    project: Path
    project_sha256: str
    agreement: Mapping[str, Any] | None = None
    synthesis: Synthesis | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether no word differs, of the simulation or of the backend's interpreter; None if none was compared."""
        found = self.agreement
        return None if found is None else not (found["mismatches"] or found.get("interpreter_mismatches"))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values, with "resources": the last word on each figure."""
        found = self.synthesis and self.synthesis.resources
        return {
            "network": self.network,
            "backend": self.backend,
            "project": f"{self.project.parent.name}/{self.project.name}",  # in the run, which may be moved
            "project_sha256": self.project_sha256,
            "agreement": None if self.agreement is None else dict(self.agreement),
            "synthesis": None if self.synthesis is None else self.synthesis.to_json(),
            "resources": None if found is None else found.to_json(),
        }

    @classmethod
    def load(cls, path: Path) -> NetworkSynthesis:
        """Read what was stored.

        Raises
        ------
        OutputError
            The file is not there, or holds something else.
        """
        value = read_json(path)
        try:
            stored = value["synthesis"]
            return cls(
                network=value["network"],
                backend=value["backend"],
                project=Path(value["project"]),
                project_sha256=value["project_sha256"],
                agreement=value["agreement"],
                synthesis=None if stored is None else Synthesis.from_json(stored),
            )
        except (KeyError, TypeError, OutputError) as error:
            raise OutputError(f"{path}: holds no synthesis: {error}. Remove it, and synthesize again") from error

    def check(self, steps: Sequence[str] | None = None) -> None:
        """Raise what says that not all is well with the ``steps`` that were asked for; with all if not given.

        Raises
        ------
        AgreementError
            A word differs, or a step that compares has failed.
        ToolError
            Another of the ``steps`` has not been done.
        """
        if self.agreement is not None and not self.agrees:
            raise AgreementError(f"{self.project}: {_differences(self.agreement)}. It has not been synthesized")
        if self.synthesis is None:
            return
        wrong = [
            step for step in self.synthesis.steps if step.status != "done" and (steps is None or step.step in steps)
        ]
        if any(step.step in CHECKS and step.status == "failed" for step in wrong):
            raise AgreementError(f"{self.project}: a check has failed: {', '.join(s.step for s in wrong)}")
        if wrong:
            told = ", ".join(f"{step.step} ({step.status})" for step in wrong)
            message = f"{self.project}: not done: {told}. What was finished is kept"
            if self.backend != RTL and any(step.status == "tool not found" for step in wrong):
                message += f". {NEXT_BEST}"
            failed = next((step for step in wrong if step.status in ("failed", "not run") and step.message), None)
            if failed is not None:  # the whole of it is with the results; but a full disk, for one, is told here, too
                message += f". {failed.step}: {printable(failed.message.splitlines()[0], 300)}"
            raise ToolError(message)

    def __str__(self) -> str:
        lines = [str(self.project)]
        if self.agreement is not None:
            lines.append(
                f"{self.agreement['mismatches']} of {self.agreement['words']} words differ over {_events(self)}"
            )
        if self.synthesis is not None:
            lines.append(str(self.synthesis))
        return "\n".join(lines)


def _differences(agreement: Mapping[str, Any]) -> str:
    """Which words differ."""
    first, words = agreement["first_difference"], agreement["words"]
    if not agreement["mismatches"]:
        return f"model and interpreter differ in {agreement['interpreter_mismatches']} of {words} words"
    return (
        f"model and simulation differ in {agreement['mismatches']} of {words} words. The first is in event "
        f"{first['event']}, where layer {first['layer']} is the first that differs, by {first['lsb']:g} LSB"
    )


def _events(found: NetworkSynthesis) -> str:
    """How many events were compared, and where they are from."""
    assert found.agreement is not None
    names = {"test": "test events", "other": "others of the data set", "drawn": "drawn over the input's words"}
    composition = found.agreement["composition"]
    parts = [f"{composition[name]} {text}" for name, text in names.items() if composition[name]]
    return f"{found.agreement['events']} events: {', '.join(parts)}"
