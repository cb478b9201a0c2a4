"""One exception class per kind of mistake.

Every message is for people: where it is, what was found, what is allowed, and the nearest match where there is one. The
command line prints the message alone and leaves with the class's ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_MESSAGE = 500
"""Characters of a message."""

MAX_LIST = 300
"""Characters of a list in a message."""


class FpgamlError(Exception):
    """Base of all errors that a user can mend; ``exit_code`` 2 means that the input was wrong.

    Parameters
    ----------
    message : object
        For people. At most ``MAX_MESSAGE`` characters of it are kept, and what no terminal should get is escaped,
        whatever of a user's own text stands in it.
    """

    exit_code = 2
    layer: int | None = None
    """Position of the layer that is wrong, where a layer is."""
    section: str | None = None
    """The section of a study that is wrong, where it is not the one that is being read."""

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(printable(str(message), keep="\n")))


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


class AgreementError(FpgamlError):
    """Firmware and model, or what was asked for and what a tool wrote, disagree."""

    exit_code = 1


def printable(text: str, *, keep: str = "") -> str:
    r"""Text with everything escaped that has no shape of its own: control characters, overrides of direction.

    Parameters
    ----------
    text : str
        Anything.
    keep : str
        Characters that stay as they are.

    >>> printable("a\x00b\u202e")
    'a\\x00b\\u202e'
    """
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shortened(text: str, length: int = MAX_MESSAGE) -> str:
    """Text of at most ``length`` characters: the middle is left out, where and what to do stand at the ends.

    >>> shortened("0123456789", 8)
    '012 … 89'
    """
    if len(text) <= length:
        return text
    cut = " … "
    tail = (length - len(cut)) // 2
    return text[: length - len(cut) - tail] + cut + text[-tail:]


def listed(items: Iterable[object], *, length: int = MAX_LIST) -> str:
    """Items with commas between them: as many as fit ``length`` characters, one at least, and how many more there are.

    >>> listed(range(10, 20), length=20)
    '10, 11, 12, 13, 14 and 5 more'
    """
    texts = [printable(str(item)) for item in items]
    shown = 0
    while shown < len(texts) and (length := length - len(texts[shown]) - 2) > -2:
        shown += 1
    shown = max(shown, 1)
    more = len(texts) - shown
    return ", ".join(texts[:shown]) + (f" and {more} more" if more > 0 else "")


def did_you_mean(found: object, allowed: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest match, if any, and what is allowed.

    >>> did_you_mean("unitz", ["units", "bits"])
    "did you mean 'units'? Allowed: bits, units"
    """
    names, wanted = sorted(allowed), str(found)[:MAX_LIST]
    near = difflib.get_close_matches(wanted, names, n=1) or [name for name in names if name.startswith(wanted)]
    return (f"did you mean {near[0]!r}? " if near else "") + "Allowed: " + listed(names)
