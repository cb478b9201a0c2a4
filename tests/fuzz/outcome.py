"""What became of one generated case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["accepted", "refused", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one generated case.

    Parameters
    ----------
    verdict : {"accepted", "refused", "failed"}
        Done and right; told to be wrong, as a user should be told; or a fault of fpgaml.
    reason : str
        The message of a refusal, or what is wrong with fpgaml, in a line.
    detail : str
        Whatever helps to understand a failure: output, traceback, the case itself.
    counts : mapping of str to int
        What the summary adds up, such as the words that were compared.
    """

    verdict: Verdict
    reason: str = ""
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @property
    def reason_class(self) -> str:
        """The reason without what differs from case to case: numbers, quoted texts, what stands in brackets."""
        text = re.sub(r"(?<!\w)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", "'…'", self.reason)
        before = ""
        while text != before:  # brackets in brackets
            before, text = text, re.sub(r"\[[^][]*\]|\([^()]*\)|\{[^{}]*\}", "…", text)
        return re.sub(r"[-+]?\d[\d_.,]*(?:e[-+]?\d+)?", "#", text)
