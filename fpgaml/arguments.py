"""Arguments of the command line, from text to values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fpgaml.errors import StudyError

MAX_COUNT = 10**9


def count(text: str) -> int:
    """A positive number, as an argument."""
    number = int(text)
    if not 1 <= number <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"should be 1 to {MAX_COUNT}, found {text}")
    return number


def minutes(text: str) -> float:
    """A time, as an argument."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"should be more than 0 minutes, found {text}")
    return number


def picture(text: str) -> Path:
    """A file that a figure can be written to, as an argument."""
    from fpgaml.drawing import METADATA

    path = Path(text)
    if path.suffix not in METADATA:
        raise argparse.ArgumentTypeError(f"{text}: should end in {' or '.join(METADATA)}")
    return path


def sha256(text: str) -> str:
    """A SHA-256, as an argument."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"should be 64 digits, 0 to 9 and a to f; found {len(text)} characters")
    return text.lower()


def chosen_values(choices: Iterable[str]) -> dict[str, Any] | None:
    """The values given with ``--choose``, as NAME=VALUE; None if there are none.

    Raises
    ------
    StudyError
        No value, no YAML, or a name that has a value already.
    """
    from fpgaml.yaml_source import parse_value

    values: dict[str, Any] = {}
    for choice in choices:
        name, equals, text = choice.partition("=")
        if not equals:
            raise StudyError(f"--choose {choice}: should be NAME=VALUE, such as --choose 'bits=[8, 4]'")
        if name in values:
            raise StudyError(f"--choose {choice}: {name} has a value already")
        try:
            values[name] = parse_value(text)
        except StudyError as error:
            raise StudyError(f"--choose {choice}: {error}") from error
    return values or None
