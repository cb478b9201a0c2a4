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
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
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
        The file is not there, is no YAML, has a key twice, or uses YAML's tags or merge keys.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is no text file") from error
    lines: dict[Place, int] = {}
    return YamlSource(path, _parse(text, str(path), lines), lines)


def parse_value(text: str) -> Any:
    """The value that a piece of YAML stands for, such as a list for ``[8, 4]``, by the rules for files.

    Raises
    ------
    StudyError
        It is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise StudyError(f"{text!r} is no YAML value") from error


def checked(
    model: type[Model], value: Any, source: YamlSource, place: Place, context: Mapping[str, Any] | None = None
) -> Model:
    """``value``, which stands at ``place``, as a ``model``.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        Its fields are the keys.
    value : Any
        A mapping, or something else that should be one.
    source, place
        Where it stands.
    context : mapping, optional
        pydantic's validation context.

    Raises
    ------
    StudyError
        With one line for each key that is wrong.
    """
    if not isinstance(value, dict):
        raise StudyError(f"{source.where(place)}: {path_text(place)}: should be a mapping, found {_found(value)}")
    try:
        return model.model_validate(value, context=dict(context or {}))
    except pydantic.ValidationError as error:
        told: dict[Place, list[str]] = {}
        for finding in error.errors():
            there, text = _told(model, value, finding)
            if text not in told.setdefault(there, []):
                told[there].append(text)
        lines = []
        for there, texts in told.items():
            found = _at(value, there)
            # A validator's own message says what it found; one about several keys has the whole mapping as its input.
            shown = "" if isinstance(found, dict) or repr(found) in texts[0] else f", found {_found(found)}"
            where, path = source.where((*place, *there)), path_text((*place, *there))
            lines.append(f"{where}: {path}: {', or '.join(texts)}{shown}")
        raise StudyError("\n".join(lines)) from error


def path_text(place: Place) -> str:
    """``layers[3].bits`` for a place."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _told(model: type[pydantic.BaseModel], value: Any, finding: Mapping[str, Any]) -> tuple[Place, str]:
    """Where in ``value`` one of pydantic's findings is, and what to say of it."""
    kind, location, details = finding["type"], finding["loc"], finding.get("ctx", {})
    if kind == "extra_forbidden":
        return location, f"unknown key; {did_you_mean(location[-1], _fields(model, location[:-1]))}"
    if kind == "missing":
        return location, "missing"
    # pydantic names the members of a union, and the items that a validator made, as if they stood in the file.
    depth = next(n for n in range(len(location), -1, -1) if _at(value, location[:n]) is not _NOWHERE)
    told = {
        "literal_error": lambda: did_you_mean(finding["input"], re.findall(r"'([^']*)'", details["expected"])),
        "tuple_type": lambda: "should be a list",
        "too_long": lambda: f"should have at most {details['max_length']} items",
        "too_short": lambda: f"should have at least {details['min_length']} items",
    }
    if kind == "literal_error":
        return location[:depth], f"unknown value {_found(finding['input'])}; {told[kind]()}"
    text = told[kind]() if kind in told else finding["msg"].removeprefix("Value error, ")
    return location[:depth], text.replace("Input should be", "should be")


_NOWHERE = object()


def _at(value: Any, place: Place) -> Any:
    """What stands at ``place`` in ``value``, ``_NOWHERE`` if nothing does."""
    for part in place:
        if isinstance(value, dict) or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value.get(part, _NOWHERE) if isinstance(value, dict) else value[part]
        else:
            return _NOWHERE
    return value


def _parse(text: str, origin: str, lines: dict[Place, int]) -> Any:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise StudyError(f"{origin}: is no YAML: it holds a control character") from error
    try:
        node = loader.get_single_node()
        return None if node is None else _construct(loader, node, (), lines, origin)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise StudyError(f"{where}: is no YAML: {getattr(error, 'problem', None) or error}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a date that no calendar has
        reason = "it holds itself" if isinstance(error, RecursionError) else error
        raise StudyError(f"{origin}: is no YAML: {reason}") from error
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: yaml.Node, place: Place, lines: dict[Place, int], origin: str) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if isinstance(node, yaml.CollectionNode) and node.tag not in (_Loader.DEFAULT_MAPPING_TAG, _Loader.DEFAULT_SEQUENCE_TAG):
        raise StudyError(f"{origin}:{line}: the tag {node.tag} is not supported: mappings, lists and scalars are")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise StudyError(f"{origin}:{line}: << is not supported: write the keys here, or an anchor for each value")
            key = str(loader.construct_object(key_node))
            if key in mapping:
                raise StudyError(f"{origin}:{line}: key {key!r} stands here a second time")
            lines[(*place, key)] = line
            mapping[key] = _construct(loader, value_node, (*place, key), lines, origin)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*place, number), lines, origin) for number, item in enumerate(node.value)]
    return loader.construct_object(node)
