"""A YAML file as plain values, with the line that each value stands on, and their check against pydantic models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
import yaml

from fpgaml.errors import StudyError, did_you_mean

Model = TypeVar("Model", bound=pydantic.BaseModel)

Place = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""


MAPPING, SEQUENCE, MERGE = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "merge"))


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
    return YamlSource(path, _parse(text, path, lines), lines)


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
    """``value``, which stands at ``place`` of a file, as a ``model``, whose fields are the keys.

    ``context`` is pydantic's validation context.

    Raises
    ------
    StudyError
        With one line for each key that is wrong.
    """
    if not isinstance(value, dict):
        raise StudyError(f"{source.where(place)}: {path_text(place)}: should be a mapping, found {found_text(value)}")
    try:
        return model.model_validate(value, context=dict(context or {}))
    except pydantic.ValidationError as error:
        told: dict[Place, dict[str, str]] = {}  # a union tells one thing for each of its members
        # An unknown key is often the reason why another is missing.
        for finding in sorted(error.errors(), key=lambda finding: finding["type"] != "extra_forbidden"):
            place_inside, text, found = _told(model, value, finding)
            told.setdefault((*place, *place_inside), {})[text] = found
        lines = [
            f"{source.where(there)}: {path_text(there)}: {', or '.join(texts)}{next(iter(texts.values()))}"
            for there, texts in told.items()
        ]
        raise StudyError("\n".join(lines)) from error


def path_text(place: Place) -> str:
    """``layers[3].bits`` for a place."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def found_text(value: Any) -> str:
    """What was found, for a message: at most a line of it."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_NOWHERE = object()


def _at(value: Any, place: Place) -> Any:
    """What stands at ``place`` in ``value``, ``_NOWHERE`` if nothing does."""
    for part in place:
        if isinstance(value, dict):
            value = value.get(part, _NOWHERE)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return _NOWHERE
    return value


def _told(model: type[pydantic.BaseModel], value: Any, finding: Mapping[str, Any]) -> tuple[Place, str, str]:
    """Where in ``value`` one of pydantic's findings is, what is wrong there, and what was found if not said yet."""
    kind, place, details = finding["type"], finding["loc"], finding.get("ctx", {})
    if kind == "missing":
        return place, "missing", ""
    if kind == "extra_forbidden":
        return place, f"unknown key; {did_you_mean(place[-1], _fields(model, place[:-1]))}", ""
    # pydantic counts the members of a union, and the items that a validator made, as if they stood in the file.
    while _at(value, place) is _NOWHERE:
        place = place[:-1]
    found = _at(value, place)
    text: str = finding["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", details["expected"])
        return place, f"unknown value {found_text(found)}; {did_you_mean(found, allowed)}", ""
    if kind == "tuple_type":
        text = "should be a list"
    elif kind == "too_long":
        text = f"should have at most {details['max_length']} items"
    elif kind == "value_error" and (isinstance(found, dict) or repr(found) in text):
        return place, text, ""
    return place, text, f", found {found_text(found)}"


def _fields(model: type[pydantic.BaseModel], place: Place) -> list[str]:
    """The keys of the model at ``place`` inside ``model``."""
    for part in place:
        if str(part) not in model.model_fields:
            continue  # a name in a mapping of models, whose model is found already
        annotation = model.model_fields[str(part)].annotation
        nested = [item for item in (annotation, *get_args(annotation)) if isinstance(item, type)]
        model = next(item for item in nested if issubclass(item, pydantic.BaseModel))
    return list(model.model_fields)


def _parse(text: str, path: Path, lines: dict[Place, int]) -> Any:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: is no YAML: it holds a control character") from error
    try:
        node = loader.get_single_node()
        return None if node is None else _construct(loader, node, (), lines, path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise StudyError(f"{where}: is no YAML: {getattr(error, 'problem', None) or error}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a date that no calendar has
        reason = "it holds itself" if isinstance(error, RecursionError) else error
        raise StudyError(f"{path}: is no YAML: {reason}") from error
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if isinstance(node, yaml.CollectionNode) and node.tag not in (MAPPING, SEQUENCE):
        raise StudyError(f"{path}:{line}: the tag {node.tag} is not supported: mappings, lists and scalars are")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE:
                raise StudyError(f"{path}:{line}: << is not supported: write the keys here")
            key = str(loader.construct_object(key_node))
            if key in mapping:
                raise StudyError(f"{path}:{line}: key {key!r} stands here a second time")
            lines[(*place, key)] = line
            mapping[key] = _construct(loader, value_node, (*place, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*place, number), lines, path) for number, item in enumerate(node.value)]
    return loader.construct_object(node)
