"""A study: one YAML file that says which data, which networks, how they are trained and what hardware they are for.

Everything is checked before any work starts; an error names the file, the line and the key.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.dataset import Dataset
from fpgaml.displays import html_table
from fpgaml.errors import FpgamlError, StudyError, did_you_mean, listed
from fpgaml.hardware import Hardware
from fpgaml.hls_limits import check_limits
from fpgaml.layers import Layer, layer_class
from fpgaml.metrics import Target
from fpgaml.network_limits import check_inputs, check_network
from fpgaml.search_options import SearchOptions
from fpgaml.tasks import Task, TaskOptions, get_task
from fpgaml.train_options import TrainOptions
from fpgaml.yaml_source import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_LINES,
    TOO_DEEP,
    Place,
    YamlSource,
    checked,
    dump_yaml,
    found_text,
    parse_value,
    path_text,
    read_yaml,
)

if TYPE_CHECKING:
    from rich.progress import Progress

SECTIONS = ("study", "task", "data", "choices", "trials", "input", "layers", "train", "search", "hardware")
REQUIRED = ("study", "task", "input", "layers")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.-]{,63}")
"""What a study may be called: its HLS project is named after it."""

REFERENCE = re.compile(r"\$\w+")
CHOSEN = ("input", "layers", "train", "hardware")
"""Sections in which ``$name`` stands for a chosen value."""


PICKING = ("algorithm", "factor", "trials")
"""Search options that say which points are trained: nothing where trials are picked by hand."""

MAX_LAYERS = 128
MAX_CHOICES = 100
MAX_VALUES = 1000
"""Of all choices together, or trials: each is tried on the whole network before work starts."""


@dataclass(frozen=True)
class Point:
    """A study with every choice made.

    Parameters
    ----------
    architecture : Architecture
        The network.
    train : TrainOptions
        How it is trained.
    hardware : Hardware
        What it is for.
    """

    architecture: Architecture
    train: TrainOptions
    hardware: Hardware


@dataclass(frozen=True)
class Study:
    """A checked study.

    Parameters
    ----------
    name : str
        Its name.
    task : type of Task
        Where its data comes from, and what judges it.
    data : TaskOptions
        The task's options.
    choices : mapping of name to list
        The values to choose from; empty for a single architecture.
    trials : list of mappings
        Hand-picked values of all choices; empty where the choices are to be searched.
    search : SearchOptions
        How they are searched. Trials are all trained to ``max_epochs``, which is ``train.epochs`` for them (the most
        that any of them has) where the study does not say.
    source : YamlSource
        The file.
    """

    name: str
    task: type[Task]
    data: TaskOptions
    choices: Mapping[str, list[Any]]
    trials: tuple[Mapping[str, Any], ...]
    search: SearchOptions
    source: YamlSource

    @classmethod
    def load(cls, path: Path) -> Study:
        """Read and check a study file.

        Raises
        ------
        StudyError
            Something is wrong; the message says where and what is allowed.
        ExactnessError
            A network of the study cannot be exact.
        """
        source = read_yaml(path)
        if not isinstance(source.value, dict):
            raise StudyError(f"{path}: a study is a mapping with the keys {', '.join(SECTIONS)}")
        for key in source.value:
            if key not in SECTIONS:
                where = f"{source.where((key,))}: {path_text((key,))}"
                raise StudyError(f"{where}: unknown key; {did_you_mean(key, SECTIONS)}")
        for key in REQUIRED:
            if key not in source.value:
                raise StudyError(f"{path}: {key}: missing; a study needs {', '.join(REQUIRED)}")
        name = source.value["study"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            allowed = "a letter, then letters, digits, spaces, _ . or -; at most 64 characters"
            raise StudyError(
                f"{source.where(('study',))}: study: should be a name ({allowed}), found {found_text(name)}"
            )
        task, data = _task(source)
        choices, trials = _choices(source)
        search = checked(SearchOptions, _search_section(source, trials), source, ("search",))
        study = cls(name, task, data, choices, trials, search, source)
        probes = study._probes()
        points = [study.point(next(probes))]
        study._check_used()
        points += [study.point(values) for values in probes]
        if len(source.lines) > MAX_LINES // 2:
            study._check_dump()
        if trials and "max_epochs" not in search.model_fields_set:
            epochs = max(point.train.epochs for point in points)
            study = replace(study, search=search.model_copy(update={"max_epochs": epochs}))
        return study

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the choices."""
        return tuple(self.choices) or tuple(self.trials[0] if self.trials else ())

    @property
    def n_points(self) -> int:
        """How many points there are: trials, or combinations of the choices."""
        return len(self.trials) or math.prod(len(values) for values in self.choices.values())

    @property
    def targets(self) -> tuple[Target, ...]:
        """The working points that judge a network, the headline first."""
        return self.task.targets(self.data)

    def dataset(self, *, progress: Progress | None = None) -> Dataset:
        """Make the data, read it, or find it in the cache; errors are those of ``Task.load``."""
        return self.task.load(self.data, progress=progress)

    def point(self, values: Mapping[str, Any] | None = None) -> Point:
        """The network, training and hardware for one value of every choice.

        Raises
        ------
        StudyError
            A value is missing or unknown, or what comes out does not fit.
        ExactnessError
            The network cannot be exact.
        """
        values = dict(values or {})
        self._check_values(values)
        source, left = self.source, iter(range(MAX_LINES))
        resolved = {key: _resolve(source, (key,), source.value.get(key), values, left) for key in CHOSEN}
        try:
            return self._point(resolved, values)
        except FpgamlError as error:
            if not values:
                raise
            chosen = listed((f"{name}: {value}" for name, value in values.items()), 120)
            raise type(error)(f"{error} (with {chosen})") from error

    def _point(self, resolved: Mapping[str, Any], values: Mapping[str, Any]) -> Point:
        source = self.source
        train, hardware = ({} if resolved[key] is None else resolved[key] for key in ("train", "hardware"))
        train = checked(TrainOptions, train, source, ("train",))
        hardware = checked(Hardware, hardware, source, ("hardware",))
        inputs = checked(InputFormat, resolved["input"], source, ("input",))
        found = resolved["layers"]
        if not isinstance(found, list):
            told = f"should be a list of layers, found {found_text(found)}"
            raise StudyError(f"{source.where(('layers',))}: layers: {told}")
        if len(found) > MAX_LAYERS:
            told = f"should be at most {MAX_LAYERS}, found {len(found)}"
            raise StudyError(f"{source.where(('layers',))}: layers: {told}")
        kept = [(position, entry) for position, entry in enumerate(found) if entry is not None]
        layers = tuple(_layer(source, position, entry) for position, entry in kept)
        try:
            input_shape = self.task.input_shape(self.data)
            check_inputs(input_shape)
            architecture = Architecture(input_shape, inputs, layers, values)
            check_network(architecture, train.batch_size)
            self._check_hardware(architecture, hardware)
            if architecture.output_shape != (1,):
                raise StudyError(
                    f"layers: the last one gives {architecture.output_shape}, task {self.task.name} takes one score: "
                    "end in a dense layer with units: 1"
                )
        except FpgamlError as error:
            if error.layer is None:
                raise type(error)(f"{source.where((error.section or 'layers',))}: {error}") from error
            place: Place = ("layers", kept[error.layer][0])  # the architecture does not count those left out
            told = str(error).replace(f"layers[{error.layer}]", path_text(place), 1)
            raise type(error)(f"{source.where(place)}: {told}") from error
        return Point(architecture, train, hardware)

    def _check_hardware(self, architecture: Architecture, hardware: Hardware) -> None:
        """What cannot be exact, or certainly not be synthesized; errors without a layer are in ``hardware``."""
        try:
            architecture.check_hardware(hardware)
            check_limits(architecture, hardware)
        except FpgamlError as error:
            if error.layer is None:
                error.section = "hardware"
            raise

    def architecture(self, values: Mapping[str, Any] | None = None) -> Architecture:
        """The network for one value of every choice; errors are those of ``point``."""
        return self.point(values).architecture

    def dump(self, values: Mapping[str, Any] | None = None) -> str:
        """The study as YAML, with the options that were left to their defaults; with ``values``, as its only trial."""
        resolved = {**self.source.value, "data": self.data.model_dump(mode="json")}
        if self.names:
            picked = PICKING if self.trials or values else ()
            resolved["search"] = self.search.model_dump(mode="json", exclude=set(picked))
        for key, model in (("train", TrainOptions), ("hardware", Hardware)):
            given = resolved.get(key) or {}
            resolved[key] = {**model().model_dump(mode="json"), **given} if isinstance(given, dict) else given
        if values:
            resolved["trials"] = [dict(values)]
        ordered = {key: resolved[key] for key in SECTIONS if key in resolved}
        return dump_yaml(ordered)

    def _check_dump(self) -> None:
        """Refuse a study that is too long to be read again when the options left to their defaults are written out."""
        text = self.dump()
        try:
            parse_value(text)
            too_long = len(text.encode()) > MAX_BYTES
        except StudyError:
            too_long = True
        if too_long:
            raise StudyError(
                f"{self.source.path}: is too long, as the options that are left to their defaults count too; allowed: "
                f"{MAX_LINES:,} lines of values, and {MAX_BYTES // 1024:,} KiB with one value a line"
            )

    def _repr_html_(self) -> str:
        """What was asked for, as the file says it; a ``$name`` stands for a choice."""
        given = self.source.value
        layers = given["layers"] if isinstance(given["layers"], list) else [given["layers"]]
        rows = [
            ("task", f"{self.task.name}, judged at " + ", ".join(map(_target_text, self.targets))),
            ("input", f"{self.task.input_shape(self.data)}, {_pairs(given['input'])}"),
            ("layers", " → ".join(entry["kind"] if isinstance(entry, dict) else str(entry) for entry in layers)),
            *((f"${name}", ", ".join(map(str, values))) for name, values in self.choices.items()),
            *((key, _pairs(given[key])) for key in ("train", "search", "hardware") if given.get(key)),
        ]
        what = f"{len(self.trials)} trials" if self.trials else f"{self.n_points} combinations"
        return html_table(f"Study {self.name}" + (f": {what}" if self.names else ""), rows)

    def _check_values(self, values: Mapping[str, Any]) -> None:
        """Every choice has one of its values, and nothing else has one."""
        path = self.source.path
        for name in values:
            if name not in self.names:
                advice = did_you_mean(name, self.names) if self.names else "the study has no choices"
                raise StudyError(f"{path}: unknown choice {name!r}; {advice}")
        for name in self.names:
            allowed = self.choices.get(name)
            if name not in values:
                told = _values_text(allowed) if allowed else "any"
                raise StudyError(f"{path}: no value for the choice {name!r}; allowed: {told}")
            if allowed and values[name] not in allowed:
                value, told = found_text(values[name]), _values_text(allowed)
                raise StudyError(f"{path}: the choice {name!r} has no value {value}; allowed: {told}")

    def _check_used(self) -> None:
        """Every choice decides something."""
        sections = {key: self.source.value.get(key) for key in (*CHOSEN, "choices", "trials")}
        used = {name for _, name in _references(sections, ())}
        for name in self.names:
            if name not in used:
                place = ("choices", name) if self.choices else ("trials", 0, name)
                raise StudyError(
                    f"{self.source.where(place)}: {path_text(place)}: decides nothing: ${name} stands nowhere in "
                    f"{', '.join(CHOSEN)}"
                )

    def _probes(self) -> Iterator[Mapping[str, Any]]:
        """Points to check before work starts: all trials, or every value of each choice beside the others' first."""
        if self.trials:
            yield from self.trials
            return
        first = {name: values[0] for name, values in self.choices.items()}
        yield first
        for name, values in self.choices.items():
            others = {other: value for other, value in first.items() if other != name}
            yield from ({name: value, **others} for value in values[1:])  # a message names the first ones

    def grid(self) -> Iterator[Mapping[str, Any]]:
        """All points, one after the other: the trials, or every combination of the choices."""
        if self.trials:
            yield from self.trials
        else:
            for values in itertools.product(*self.choices.values()):
                yield dict(zip(self.choices, values, strict=True))


def _task(source: YamlSource) -> tuple[type[Task], TaskOptions]:
    try:
        task = get_task(source.value["task"])
    except StudyError as error:
        raise StudyError(f"{source.where(('task',))}: {error}") from error
    data = _section(source, "data", {})
    for place, name in _references(data, ("data",)):
        where = f"{source.where(place)}: {path_text(place)}"
        raise StudyError(f"{where}: ${name}: no choice can stand here: all trials have the same data")
    return task, checked(task.options, data, source, ("data",), {"base": source.path.parent})


def _section(source: YamlSource, key: str, default: Any) -> Any:
    """What a file says under a key; ``default`` where it says nothing."""
    value = source.value.get(key)
    return default if value is None else value


def _choices(source: YamlSource) -> tuple[Mapping[str, list[Any]], tuple[Mapping[str, Any], ...]]:
    choices, trials = _section(source, "choices", {}), _section(source, "trials", [])
    if not isinstance(choices, dict):
        raise StudyError(f"{source.where(('choices',))}: choices: should be a mapping of a name to a list of values")
    if not isinstance(trials, list) or not all(isinstance(trial, dict) for trial in trials):
        raise StudyError(f"{source.where(('trials',))}: trials: should be a list of mappings of a choice to its value")
    for name, values in choices.items():
        if not isinstance(values, list) or not values:
            where, found = source.where(("choices", name)), found_text(values)
            raise StudyError(f"{where}: {path_text(('choices', name))}: should be a list of values, found {found}")
    _check_counts(source, choices, trials)
    for name, values in choices.items():
        if twice := _first_twice(values):
            raise StudyError(
                f"{source.where(('choices', name, twice[1]))}: {path_text(('choices', name))}: the value "
                f"{found_text(values[twice[1]])} stands here a second time. Leave one out"
            )
    names = choices or (trials[0] if trials else {})
    allowed = {name: set(map(_hashable, values)) for name, values in choices.items()}
    for number, trial in enumerate(trials):
        where = source.where(("trials", number))
        for name in trial:
            if name not in names:
                raise StudyError(f"{where}: trials[{number}]: unknown choice {name!r}; {did_you_mean(name, names)}")
        for name in names:
            if name not in trial:
                raise StudyError(f"{where}: trials[{number}]: no value for the choice {name!r}")
            if choices and _hashable(trial[name]) not in allowed[name]:
                found, told = found_text(trial[name]), _values_text(choices[name])
                raise StudyError(f"{where}: trials[{number}].{name}: should be one of {told}, found {found}")
    if twice := _first_twice(trials):
        where = source.where(("trials", twice[1]))
        raise StudyError(f"{where}: trials[{twice[1]}]: is trials[{twice[0]}] once more. Leave one out")
    return choices, tuple(trials)


def _check_counts(source: YamlSource, choices: Mapping[str, list[Any]], trials: list[Any]) -> None:
    """Refuse more choices, values or trials than can be tried before work starts."""
    n_values = sum(map(len, choices.values()))
    n_names = max([len(choices), *map(len, trials)])
    for key, what, found, most in (
        ("choices" if choices else "trials", "choices", n_names, MAX_CHOICES),
        ("choices", "values of all choices together", n_values, MAX_VALUES),
        ("trials", "trials", len(trials), MAX_VALUES),
    ):
        if found > most:
            raise StudyError(f"{source.where((key,))}: {key}: should be at most {most} {what}, found {found}")


def _first_twice(values: list[Any]) -> tuple[int, int] | None:
    """Positions of the first value that stands there twice; None if none does."""
    seen: dict[Any, int] = {}
    for number, value in enumerate(values):
        before = seen.setdefault(_hashable(value), number)
        if before != number:
            return before, number
    return None


def _hashable(value: Any) -> Any:
    """Something that is equal, and has a hash, for values of YAML."""
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _values_text(values: list[Any]) -> str:
    """The values of a choice, for a message."""
    return f"[{listed(map(found_text, values))}]"


def _search_section(source: YamlSource, trials: tuple[Mapping[str, Any], ...]) -> Any:
    section = _section(source, "search", {})
    for key in PICKING:
        if trials and isinstance(section, dict) and key in section:
            raise StudyError(
                f"{source.where(('search', key))}: search.{key}: decides nothing: the study has trials, and trains all "
                "of them. Leave it out, or the trials"
            )
    return section


def _target_text(target: Target) -> str:
    return f"{target.value:g} kHz" if target.kind == "rate_khz" else f"background efficiency {target.value:g}"


def _pairs(section: Any) -> str:
    """A section on one line."""
    return ", ".join(f"{key}: {value}" for key, value in section.items()) if isinstance(section, dict) else str(section)


def _references(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Every ``$name`` in ``value``, with its place."""
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        yield place, value[1:]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from _references(item, (*place, key))


def _resolve(
    source: YamlSource,
    place: Place,
    value: Any,
    values: Mapping[str, Any],
    left: Iterator[int],
    around: tuple[str, ...] = (),
) -> Any:
    """``value`` with every ``$name`` replaced by the chosen value, in which other names than ``around`` may stand.

    ``left`` has an item for every value that may still be written out: names in names can make any number of them.
    """
    if next(left, None) is None or len(place) > MAX_DEPTH:
        too_much = TOO_DEEP if len(place) > MAX_DEPTH else f"there are more than {MAX_LINES:,} values"
        raise StudyError(f"{source.where(place)}: {path_text(place[:2])}: with names written out, {too_much}")
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        name = value[1:]
        if name not in values or name in around:
            others = [other for other in values if other not in around]
            advice = did_you_mean(name, others) if others else "the study has no choices"
            raise StudyError(f"{source.where(place)}: {path_text(place)}: {value} is no choice; {advice}")
        return _resolve(source, place, values[name], values, left, (*around, name))
    if isinstance(value, dict):
        return {key: _resolve(source, (*place, key), item, values, left, around) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(source, (*place, number), item, values, left, around) for number, item in enumerate(value)]
    return value


def _layer(source: YamlSource, position: int, entry: Any) -> Layer:
    place: Place = ("layers", position)
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        told = f"should be a mapping with a kind, found {found_text(entry)}"
        raise StudyError(f"{source.where(place)}: {path_text(place)}: {told}")
    try:
        kind = layer_class(entry["kind"])
    except StudyError as error:
        raise StudyError(f"{source.where(place)}: {path_text(place)}: {error}") from error
    return checked(kind, {key: value for key, value in entry.items() if key != "kind"}, source, place)
