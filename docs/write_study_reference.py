"""Write docs/study_reference.md from the models that check a study: ``python docs/write_study_reference.py``.

Keys, types, defaults and limits come from pydantic's JSON schema, meanings from the classes' docstrings. A test
compares the file with what this module gives, so that the reference says what the program does.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from fpgaml.architecture import InputFormat
from fpgaml.cost import Cost
from fpgaml.hardware import Hardware, backend_names
from fpgaml.layers import Example, Layer, layer_class, layer_kinds
from fpgaml.network_limits import MAX_BATCH_VALUES, MAX_PRODUCTS, MAX_WEIGHTS
from fpgaml.network_limits import MAX_VALUES as MAX_EVENT_VALUES
from fpgaml.search_options import COSTS, ESTIMATES, OPERATORS, SearchOptions
from fpgaml.study import CHOSEN, MAX_CHOICES, MAX_LAYERS, MAX_VALUES, REQUIRED, SECTIONS
from fpgaml.synthesis import Resources
from fpgaml.tables import table
from fpgaml.tasks import get_task, task_names
from fpgaml.train_options import TrainOptions
from fpgaml.yaml_source import MAX_BYTES, MAX_LINES

PLACE = Path(__file__).with_name("study_reference.md")

TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
ROLES = {
    "arithmetic": "Sums of products; an activation after it quantizes them.",
    "normalization": "Directly after a dense or convolution layer, into whose weights it is folded.",
    "quantizer": "An activation: it gives the sums before it their number format.",
    "pooling": "Its inputs have a number format: it stands after an activation.",
    "reshape": "Changes the shape only.",
    "dropout": "At work in training only; the firmware has nothing in its place.",
}
SECTION_TEXTS = {
    "study": "The name of the HLS project, too: up to 64 letters, digits, spaces, `_`, `.` and `-`, a letter first.",
    "task": "Where the data come from: one of {tasks}.",
    "data": "The task's options, below. No choice can stand here: all trials have the same data.",
    "choices": "A mapping of a name to the list of its values. `$name` stands for the chosen value in {chosen}.",
    "trials": "A list of hand-picked points, each with a value for every choice; instead of a search of `choices`.",
    "input": "The number format of the inputs, below.",
    "layers": "A list of layers, each with its `kind`; kinds and their keys are below. `null` leaves a layer out.",
    "train": "How networks are trained, below.",
    "search": "How choices are searched, below; see [search.md](search.md).",
    "hardware": "What the firmware is for, below.",
}


TOP = """\
<!-- Written by docs/write_study_reference.py from the code. To change it, change the docstrings there. -->

# Study reference

A study is one YAML file. Unknown keys, values of the wrong type and values out of range are errors, told with file,
line and what is allowed, before any work starts. Paths are relative to the study file. [tutorial.md](tutorial.md)
builds a study step by step.

Keys are texts as they are written. Of other values without quotes, `true`, `false`, `null`, decimal numbers (with `_`
between digits if you like, and with an exponent) and hexadecimal ones mean what they look like. What readers of YAML
take for different things is refused with how to write it: `yes`, `off`, `017`, `0o17`, `1:30` (90 to base 60),
`2024-01-01`. Tags (`!!int`), merge keys (`<<`), infinity and NaN are not supported."""

SIZES = f"""\
A file has at most {MAX_BYTES // 1024:,} KiB and, with aliases written out, {MAX_LINES:,} lines of values; a study at
most {MAX_LAYERS} layers, {MAX_CHOICES} choices with {MAX_VALUES:,} values together, {MAX_VALUES:,} trials. Before
anything is allocated for a network, its size is checked: at most {MAX_WEIGHTS:,} weights and biases, and for an event
{MAX_PRODUCTS:,} products and {MAX_EVENT_VALUES:,} inputs and outputs of layers, which times `batch_size` are at most
{MAX_BATCH_VALUES:,}."""

WIDTHS = """\
Widths are written as QKeras counts them, `[bits, integer]`: `bits` is the whole word with its sign, `integer` the bits
above the point without it. With a sign, `[8, 2]` holds −4 to 4 − 1/32 in steps of 1/32; without, 0 to 4 − 1/64 in steps
of 1/64."""

LAYERS = """\
## `layers`

From input to output; the last layer gives the score, one number, before any sigmoid. Every sum is quantized once, by
the activation after it, or is the score. [exactness.md](exactness.md) says why, and which kind was tested on which
hardware."""

COST_TEXT = (
    "A limit is a cost, one of {operators}, and a number, such as `ebops <= 20000`. Costs are counts for one event:"
)
ESTIMATE_TEXT = (
    "Or it is about what the study's backend predicts before anything is synthesized, as in `dsp == 0` or "
    "`latency_ns <= 100`. How, how well, and with what margin a limit is applied: [costs.md](costs.md). A limit on "
    "what the backend does not predict is refused before the search starts."
)


def reference() -> str:
    """All of the file."""
    costs, estimates = _meanings(Cost), _meanings(Resources)
    estimates["latency_ns"] = ("number", "`latency_cycles` times the clock period, in ns.")
    parts = [
        TOP,
        table(["section", "required", "what it holds"], _sections()),
        SIZES,
        WIDTHS,
        *_model("`input`", InputFormat),
        LAYERS,
        *(part for kind in layer_kinds() for part in _kind(layer_class(kind))),
        *_model("`train`", TrainOptions),
        *_model("`search`", SearchOptions),
        COST_TEXT.format(operators=_listed(OPERATORS)),
        table(["cost", "meaning"], ([f"`{name}`", costs[name][1]] for name in COSTS)),
        ESTIMATE_TEXT,
        table(["prediction", "meaning"], ([f"`{name}`", estimates[name][1]] for name in ESTIMATES)),
        *_model("`hardware`", Hardware),
        table(["backend", "what it writes"], ([f"`{name}`", _backend_text(name)] for name in backend_names())),
        *(part for name in task_names() for part in _task(name)),
    ]
    return "\n\n".join(parts) + "\n"


def _sections() -> Iterator[list[str]]:
    known = {"tasks": _listed(task_names()), "chosen": _listed(CHOSEN)}
    for name in SECTIONS:
        yield [f"`{name}`", "yes" if name in REQUIRED else "", SECTION_TEXTS[name].format_map(known)]


def _task(name: str) -> list[str]:
    task = get_task(name)
    return _model(f"`data` of the task `{name}`", task.options, [_prose(task)])


def _kind(kind: type[Layer]) -> list[str]:
    shapes = " → ".join(f"`{shape}`" for shape in _shapes(kind))
    example = yaml.safe_dump(
        {"kind": kind.kind, **_plain(kind.example.fields[0])}, default_flow_style=True, sort_keys=False, width=200
    ).strip()
    return _model(
        f"`{kind.kind}`",
        kind,
        [f"{_prose(kind)} {ROLES[kind.role]}", f"`- {example}` takes one event's shape {shapes}."],
        level=3,
    )


def _shapes(kind: type[Layer]) -> tuple[Any, Any]:
    example: Example = kind.example
    return example.input_shape, kind(**example.fields[0]).output_shape(example.input_shape)


def _model(title: str, model: type[pydantic.BaseModel], prose: list[str] | None = None, *, level: int = 2) -> list[str]:
    """Heading, prose and a table of the fields; then the models that stand in a field."""
    schema = model.model_json_schema()
    parts = [f"{'#' * level} {title}", *(prose or [])]
    parts += _table(schema, _meanings(model))
    for name, field in schema.get("properties", {}).items():
        if "$ref" in field:
            inner = schema["$defs"][_inner(field)]
            text = inner.get("description", "").split("\n\n")[0]
            parts += [f"{'#' * (level + 1)} `{name}`", text, *_table(inner, {})]
        elif "$ref" in field.get("additionalProperties", {}):  # named things that have some of the same keys
            inner = schema["$defs"][_inner(field["additionalProperties"])]
            text = inner.get("description", "").split("\n\n")[0]
            parts += [f"{'#' * (level + 1)} `{name}`", text, *_table(inner, _meanings(model))]
    return parts


def _table(schema: Mapping[str, Any], meanings: Mapping[str, tuple[str, str]]) -> list[str]:
    if not schema.get("properties"):
        return ["No keys of its own."]
    rows = []
    for name, field in schema["properties"].items():
        kind, meaning = meanings.get(name, ("", ""))
        default = "required" if name in schema.get("required", ()) else _value(field.get("default"))
        rows.append([f"`{name}`", _type(field, single=" or " in kind), default, meaning])
    return [table(["key", "type", "default", "meaning"], rows)]


def _type(field: Mapping[str, Any], *, single: bool = False) -> str:
    """A type of JSON schema in words; ``single``: one item may stand without its list."""
    if "$ref" in field:
        return "mapping, below"
    if "additionalProperties" in field:
        return "mapping of names to options, below"
    if "anyOf" in field:
        return " or ".join(
            dict.fromkeys(_type(item, single=single) for item in field["anyOf"] if item != {"type": "null"})
        )
    if "enum" in field:
        return _listed(field["enum"], last=" or ")
    if field.get("type") == "array":
        if "prefixItems" in field:
            items = [_type(item) for item in field["prefixItems"]]
            text, first = f"[{', '.join(items)}]", items[0]
        else:
            first = _type(field["items"])
            text = f"list of {first}"
        return f"{first}, or {text}" if single else text
    if field.get("format") == "path":
        return "path"
    return f"{TYPES[field['type']]} {_limits(field)}".strip()


def _limits(field: Mapping[str, Any]) -> str:
    """What a number of JSON schema may be."""
    limits = {
        key: f"{field[key]:,}" if isinstance(field[key], int) else f"{field[key]:g}" for key in LIMITS if key in field
    }
    if set(limits) == {"minimum", "maximum"}:
        return f"{limits['minimum']} to {limits['maximum']}"
    return ", ".join(f"{LIMITS[key]} {limit}" for key, limit in limits.items())


def _meanings(model: type) -> dict[str, tuple[str, str]]:
    """For every field its documented type and meaning, from the docstrings of a class and its bases."""
    found: dict[str, tuple[str, str]] = {}
    for cls in reversed(model.__mro__):
        _, marked, section = (inspect.cleandoc(cls.__dict__.get("__doc__") or "")).partition("Parameters\n----------\n")
        if not marked:
            continue
        section = re.split(r"\n\n\w+\n-+\n", section)[0]
        for entry in re.split(r"\n(?=\S)", section):
            head, _, text = entry.partition("\n")
            names, _, kind = head.partition(" : ")
            meaning = re.sub(r"``(.+?)``", r"`\1`", " ".join(inspect.cleandoc(text).split()))
            found |= {name.strip(): (kind.removesuffix(", optional"), meaning) for name in names.split(",")}
    return found


def _prose(cls: type) -> str:
    """A docstring up to its first section, in Markdown."""
    text = re.split(r"\n\nParameters\n-+\n", inspect.cleandoc(cls.__doc__ or ""))[0]
    return re.sub(r"``(.+?)``", r"`\1`", text.replace("\n", " "))


def _backend_text(name: str) -> str:
    module = importlib.import_module(f"fpgaml.backends.{name}")
    return (module.__doc__ or "").split("\n")[0]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    shown = yaml.safe_dump(_plain(value), default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return f"`{shown}`"


def _plain(value: Any) -> Any:
    """Tuples as lists, as YAML has them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _inner(field: Mapping[str, Any]) -> str:
    """The name of the model that a field holds."""
    return str(field["$ref"]).rsplit("/", 1)[-1]


def _listed(names: Iterable[str], *, last: str = ", ") -> str:
    *first, final = (f"`{name}`" for name in names)
    return last.join([", ".join(first), final]) if first else final


if __name__ == "__main__":
    PLACE.write_text(reference(), encoding="utf-8")
