"""One exception class per kind of mistake.

Every message is for people: where it is, what was found, what is allowed, and the nearest match where there is one. The
command line prints the message alone and leaves with the class's ``exit_code``.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

MESSAGE_LIMIT = 500
"""Characters of a message."""

NAMES_LIMIT = 200
"""Characters of a list of names in a message."""


class FpgamlError(Exception):
    """Base of all errors that a user can mend; ``exit_code`` 2 means that the input was wrong.

    Parameters
    ----------
    message : object
        For people; see ``message_text`` for what is kept of it.
    """

    exit_code = 2
    layer: int | None = None
    """Position of the layer that is wrong, where a layer is."""
    section: str | None = None
    """The section of a study that is wrong, where it is not the one that is being read."""

    def __init__(self, message: object = "") -> None:
        super().__init__(message_text(message))


class StudyError(FpgamlError):
    """A study file, or a value that would stand in one, is wrong."""


class ExactnessError(FpgamlError):
    """What was asked for cannot be the same in the model and in the firmware, bit for bit."""


class DataError(FpgamlError):
    """A data set, or a file that holds one, is wrong."""


class ToolError(FpgamlError):
    """A program or package outside fpgaml is missing or failed."""


class ToolMissingError(ToolError):
    """A program or package is not installed."""


class ToolTimeoutError(ToolError):
    """A program took longer than it was given."""


class DivergedError(ToolError):
    """Training has left the range of numbers: its loss is not finite, and would not be so the next time either."""


class OutputError(FpgamlError):
    """Something cannot be written, or the place to write it to is taken by something else."""


class SigningError(FpgamlError):
    """A key cannot sign."""


class AgreementError(FpgamlError):
    """Firmware and model, or what was asked for and what a tool wrote, disagree."""

    exit_code = 1


def escaped(text: str) -> str:
    r"""``text`` without any character but line breaks that a terminal would act on, or that makes it look different.

    >>> print(escaped("a\u202eb"))
    a\u202eb
    """
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


def message_text(message: object) -> str:
    """A message for people: escaped, and where it is too long without its middle; its ends say where and what to do."""
    text = escaped(str(message))
    if len(text) <= MESSAGE_LIMIT:
        return text
    tail = MESSAGE_LIMIT // 2
    return f"{text[: MESSAGE_LIMIT - tail - 3]} … {text[-tail:]}"


def printable(text: object, limit: int = 80) -> str:
    r"""``text`` on one line, cut after ``limit`` characters, without any that a terminal would act on.

    >>> print(printable("a\nb\u202ec"))
    a\nb\u202ec
    """
    shown = escaped(str(text)[: limit + 1]).replace("\n", r"\n")
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def listed(names: Iterable[object], limit: int = NAMES_LIMIT) -> str:
    """Names in a row, as many as a message can hold; where some are left out, how many there are.

    >>> listed(["bits", "units"])
    'bits, units'
    """
    texts = list(names)
    shown = [printable(name, 60) for name in texts[:limit]]
    ends = itertools.accumulate(len(name) + 2 for name in shown)
    kept = [name for name, end in zip(shown, ends, strict=True) if end <= limit]
    return ", ".join(kept) + (f", … ({len(texts):,} in all)" if len(kept) < len(texts) else "")


def did_you_mean(found: object, allowed: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest match, if any, and what is allowed.

    >>> did_you_mean("unitz", ["units", "bits"])
    "did you mean 'units'? Allowed: bits, units"
    """
    names, wrong = sorted({printable(name, 60) for name in allowed}), printable(found, 60)
    near = difflib.get_close_matches(wrong, names, n=1) or [name for name in names if name.startswith(wrong)]
    shown = listed([name or "''" for name in names]) if names else "nothing, there is none"
    return (f"did you mean '{near[0]}'? " if near else "") + "Allowed: " + shown
