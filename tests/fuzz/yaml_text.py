"""Values as the text of a YAML file, in which any piece may be text that is no value at all."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

PLAIN = re.compile(r"[$A-Za-z_][\w$.-]*")
"""Strings that may stand without quotes; PyYAML's words for true, false and nothing are among those that may not."""

WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


@dataclass(frozen=True)
class Raw:
    """A piece of text that goes into the file as it is."""

    text: str


def yaml_text(sections: Any) -> str:
    """A file: every section, and every item of a list in it, begins a line."""
    if not isinstance(sections, dict):
        return inline(sections) + "\n"
    lines = []
    for key, value in sections.items():
        if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            lines += [f"{inline(key)}:", *(f"  - {inline(item)}" for item in value)]
        elif isinstance(value, dict) and value:
            lines += [f"{inline(key)}:", *(f"  {inline(name)}: {inline(item)}" for name, item in value.items())]
        else:
            lines.append(f"{inline(key)}: {inline(value)}")
    return "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(inline, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else json.dumps(value)
    return repr(value)
