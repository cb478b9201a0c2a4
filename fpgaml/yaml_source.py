"""A YAML file as plain values, with the line that each value stands on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fpgaml.errors import StudyError

Place = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, except that 1e-3 is a number, as in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class YamlSource:
    """What a file says and where.

    Parameters
    ----------
    path : Path
        The file.
    value : Any
        Mappings, lists and scalars.
    lines : mapping of Place to int
        The line, from 1, of every key and every item.
    """

    path: Path
    value: Any
    lines: dict[Place, int]

    def where(self, place: Place) -> str:
        """``file:line`` of the value at ``place``, or of the nearest one around it."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return f"{self.path}:{self.lines[place[:length]]}"
        return str(self.path)


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML file.

    Raises
    ------
    StudyError
        The file is not there, is no YAML, or has a key twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is no text file") from error
    loader = _Loader(text)
    lines: dict[Place, int] = {}
    try:
        node = loader.get_single_node()
        value = None if node is None else _construct(loader, node, (), lines, path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise StudyError(f"{where}: is no YAML: {getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    return YamlSource(path, value, lines)


def _construct(loader: _Loader, node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise StudyError(f"{path}:{line}: key {key!r} stands here a second time")
            lines[(*place, key)] = line
            mapping[key] = _construct(loader, value_node, (*place, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*place, number), lines, path) for number, item in enumerate(node.value)]
    return loader.construct_object(node)
