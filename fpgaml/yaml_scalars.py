"""What a scalar of YAML means where it stands without quotes.

Readers of YAML do not agree on ``yes``, ``017``, ``1:30`` or ``2024-01-01``: YAML 1.1 takes them for true, 15, 90 and a
date, YAML 1.2 for texts and 17. Such a scalar is refused here, with how to write what is meant. What is left means the
same to both, except that underscores may stand between the digits of a decimal number.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from fpgaml.errors import printable

MAX_INTEGER = 2**63 - 1

_DIGITS = r"[0-9]+(_[0-9]+)*"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(rf"[-+]?({_DIGITS}(\.({_DIGITS})?)?|\.{_DIGITS})([eE][-+]?[0-9]+)?")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BOOLEANS = {
    variant: value
    for word, value in (("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false"))
    for variant in (word, word.capitalize(), word.upper())
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OTHER_BASE = re.compile(r"[-+]?0([bB][01_]+|[oO][0-7_]+|[xX][0-9a-fA-F_]+)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([Tt]|[ \t]+)[0-9]{1,2}:.*)?")


def plain_value(text: str) -> Any:
    """The number, boolean, None or text that a scalar without quotes stands for.

    Raises
    ------
    ValueError
        Readers of YAML take it for different things, or it is no number that can be held; with how to write it.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    if _HEXADECIMAL.fullmatch(text):
        return _integer(text, 16)
    if advice := _advice(text):
        raise ValueError(f"readers of YAML take {printable(text, 40)} for different things: write {advice}")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"found {text}: a number here is finite. Write one, such as 1e6, or leave the key out")
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def is_text(text: str) -> bool:
    """Whether a text is read back as itself where it stands without quotes."""
    try:
        return bool(plain_value(text) == text)
    except ValueError:
        return False


class Dumper(yaml.SafeDumper):
    """Writes what is read back as it was: texts that would be something else have quotes."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text(text) else "'")


Dumper.add_representer(str, _represent_text)


def _integer(text: str, base: int) -> int:
    digits = text.replace("_", "")
    number = int(digits, base) if len(digits) <= len(str(MAX_INTEGER)) + 1 else None
    if number is None or abs(number) > MAX_INTEGER:
        raise ValueError(f"found {printable(text, 40)}: whole numbers go from -2^63 + 1 to 2^63 - 1 here")
    return number


def _float(text: str) -> float:
    number = float(text.replace("_", ""))
    if math.isinf(number):
        raise ValueError(f"found {printable(text, 40)}: numbers go up to 1.797e308 here")
    return number


def _advice(text: str) -> str | None:
    """How to write what YAML 1.1 and 1.2, or the readers of either, take for different things; None for others."""
    quoted = f"'{printable(text, 40)}' in quotes for a text"
    if text in _BOOLEANS:
        return f"{_BOOLEANS[text]}, or {quoted}"
    if _LEADING_ZERO.fullmatch(text):
        return f"it without the leading 0, or {quoted}"
    if _OTHER_BASE.fullmatch(text) or _BASE_60.fullmatch(text):
        meant = _decimal(text)
        return f"{meant}, or {quoted}" if meant else quoted
    return quoted if _DATE.fullmatch(text) else None


def _decimal(text: str) -> str | None:
    """A number to base 2, 8, 16 or 60 to base 10; None where it is too long for a message, or has no digits."""
    written = text.replace("_", "")
    if len(written) > 20:
        return None
    if ":" not in written:
        return str(int(written, 0)) if written[-1] not in "bBoOxX" else None
    total = 0.0
    for part in written.lstrip("+-").split(":"):
        total = 60 * total + float(part)
    return f"{'-' if written[0] == '-' else ''}{total:.15g}"
