"""A YAML file as plain values, with the line that each value stands on, and their check against pydantic models.

How large a file may be is checked while it is read: before aliases are written out, and before memory is filled. Keys
are texts as they are written; what other scalars mean is in ``yaml_scalars``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
import yaml

from fpgaml.errors import MESSAGE_LIMIT, StudyError, did_you_mean, printable
from fpgaml.yaml_scalars import Dumper, plain_value

Model = TypeVar("Model", bound=pydantic.BaseModel)

Place = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""

MAX_BYTES = 2**20
"""Of a file."""
MAX_LINES = 10_000
"""Of the values with aliases written out, one a line, and of a text as many lines as it has ``LINE`` characters."""
MAX_DEPTH = 16
"""Of lists and mappings inside each other."""
MAX_TEXT = 4096
"""Characters of one text, such as a path."""
LINE = 40
SHOWN = 80
"""Characters of what was found, in a message."""

MAPPING, SEQUENCE, TEXT = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str"))
PLAIN = "plain"
"""Tag of a scalar that has neither quotes nor a tag, and may stand for a number."""

TOO_DEEP = f"lists and mappings stand more than {MAX_DEPTH} deep in each other"
TOO_LONG = f"with aliases written out, there are more than {MAX_LINES:,} lines of values"

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, halves of characters, and what makes a text look like another."""


class _Loader(yaml.BaseLoader):
    """From text to PyYAML's nodes: all scalars are texts, and nothing is constructed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a node that has none."""
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else TEXT
        return SEQUENCE if kind is yaml.SequenceNode else MAPPING

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Stop before a file fills the memory, or the stack."""
        self._depth, self._nodes = self._depth + 1, self._nodes + 1
        if self._depth > MAX_DEPTH + 1 or self._nodes > 2 * MAX_LINES:  # keys are nodes
            problem = TOO_DEEP if self._depth > MAX_DEPTH + 1 else TOO_LONG
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.get_mark())
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


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
        The file is not there, is no YAML or too large, has a key twice, uses YAML's tags or merge keys, or a scalar
        that readers of YAML take for different things.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise StudyError(f"{path}: cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise StudyError(f"{path}: is too large for a study: more than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudyError(f"{path}: is no text file: line {line} is not UTF-8") from error
    values = _Values(path)
    return YamlSource(path, values.parse(text), values.lines)


def parse_value(text: str) -> Any:
    """The value that a piece of YAML stands for, such as a list for ``[8, 4]``, by the rules for files.

    Raises
    ------
    StudyError
        It is no YAML, or what a file could not hold.
    """
    return _Values(None).parse(text)


def dump_yaml(value: Any) -> str:
    """YAML that ``read_yaml`` reads as ``value``."""
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True)


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
        for finding in sorted(_first_causes(error), key=lambda finding: finding["type"] != "extra_forbidden"):
            place_inside, text, found = _told(model, value, finding)
            told.setdefault((*place, *place_inside), {})[text] = found
        lines = [
            f"{source.where(there)}: {path_text(there)}: {', or '.join(texts)}{next(iter(texts.values()))}"
            for there, texts in told.items()
        ]
        raise StudyError(_joined(lines)) from error


def path_text(place: Place) -> str:
    """``layers[3].bits`` for a place."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{printable(part, 60)}" for part in place)
    return "".join(parts).removeprefix(".")


def found_text(value: Any) -> str:
    """What was found, for a message: at most a line of it."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _joined(lines: list[str]) -> str:
    """As many lines as fit a message, one at least, and how many more there are."""
    shown, length = 1, len(lines[0])
    while shown < len(lines) and (length := length + len(lines[shown]) + 1) <= MESSAGE_LIMIT - len("\nand 20000 more"):
        shown += 1
    more = len(lines) - shown
    return "\n".join(lines[:shown]) + (f"\nand {more} more" if more else "")


_NOWHERE = object()

COMPARISONS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
"""pydantic's findings about limits, and what it calls each limit."""


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


def _first_causes(error: pydantic.ValidationError) -> list[Mapping[str, Any]]:
    """What pydantic finds, but for lists that it calls too short after it has dropped items that are wrong."""
    found = error.errors()
    around = {finding["loc"][:-1] for finding in found}
    return [finding for finding in found if finding["type"] != "too_short" or finding["loc"] not in around]


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
    if kind in COMPARISONS and isinstance(details[COMPARISONS[kind]], float):  # which pydantic writes out
        text = f"{text.rpartition(' ')[0]} {details[COMPARISONS[kind]]:g}"
    elif kind == "tuple_type":
        text = "should be a list"
    elif kind == "too_short":
        text = f"should have at least {details['min_length']} item{'s' if details['min_length'] > 1 else ''}"
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


@dataclass
class _Values:
    """The values of one text, as they are read.

    Parameters
    ----------
    path : Path, optional
        The file, for messages; they quote the text if not given.
    lines : mapping of Place to int
        The line of every key and every item so far.
    """

    path: Path | None
    lines: dict[Place, int] = field(default_factory=dict)
    _text: str = ""
    _count: int = 0
    _around: list[yaml.Node] = field(default_factory=list)
    """The lists and mappings that the present value stands in."""

    def parse(self, text: str) -> Any:
        """All of it; StudyError where it is wrong."""
        self._text = text
        try:
            loader = _Loader(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._not_yaml(line, f"it holds the control character {chr(error.character)!r}") from error
        try:
            node = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = (error.problem_mark or loader.get_mark()).line + 1
            told = ", ".join(filter(None, (error.context, error.problem)))
            raise self._not_yaml(line, told.removesuffix("; first occurrence, second occurrence")) from error
        except (ValueError, OverflowError) as error:  # of chr(), for an escape in quotes
            line = loader.get_mark().line + 1
            raise self._not_yaml(line, "an escape names a character that Unicode does not have") from error
        finally:
            loader.dispose()
        return None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_LINES:
            raise self._error(place[:1], TOO_LONG)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag not in (MAPPING, SEQUENCE):
            raise self._error(place, f"the tag {_tag_text(node)} is not supported: mappings, lists and scalars are")
        if any(node is outer for outer in self._around):
            raise self._error(place, "is no YAML: it holds itself")
        if len(place) >= MAX_DEPTH:
            raise self._error(place, TOO_DEEP)
        self._around.append(node)
        value = self._mapping(node, place) if isinstance(node, yaml.MappingNode) else self._sequence(node, place)
        self._around.pop()
        return value

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in (PLAIN, TEXT):
                raise self._error(place, "a key should be a text, without a tag", line)
            key = key_node.value
            if key == "<<" and key_node.tag == PLAIN:
                raise self._error(place, "<< is not supported: write the keys here", line)
            self._check_text(key, place, line)
            if key in mapping:
                raise self._error(place, f"key {found_text(key)} stands here a second time", line)
            self.lines[(*place, key)] = line
            mapping[key] = self._value(value_node, (*place, key))
        return mapping

    def _sequence(self, node: yaml.Node, place: Place) -> list[Any]:
        return [self._value(item, (*place, number)) for number, item in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        self._check_text(node.value, place)
        if node.tag == TEXT:
            return node.value
        if node.tag != PLAIN:
            raise self._error(place, f"the tag {_tag_text(node)} is not supported: leave it out")
        try:
            return plain_value(node.value)
        except ValueError as error:
            raise self._error(place, str(error)) from error

    def _check_text(self, text: str, place: Place, line: int | None = None) -> None:
        """Refuse what no name, path or number can be."""
        self._count += len(text) // LINE
        if len(text) > MAX_TEXT:
            raise self._error(place, f"{found_text(text)} has {len(text)} characters; allowed: {MAX_TEXT}", line)
        if wrong := FORBIDDEN.search(text):
            raise self._error(place, f"{found_text(text)} holds {wrong[0]!r}, which no text may: leave it out", line)

    def _not_yaml(self, line: int, reason: str) -> StudyError:
        if self.path is None:
            return StudyError(f"{found_text(self._text)} is no YAML value: {reason}")
        return StudyError(f"{self.path}:{line}: is no YAML: {reason}")

    def _error(self, place: Place, reason: str, line: int | None = None) -> StudyError:
        where = f"{self.path}:{self.lines[place] if line is None else line}" if self.path else found_text(self._text)
        return StudyError(": ".join(filter(None, (where, path_text(place), reason))))


def _tag_text(node: yaml.Node) -> str:
    """A tag as people write it."""
    return str(node.tag).replace("tag:yaml.org,2002:", "!!", 1)
