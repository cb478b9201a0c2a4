"""The study reference says what the program checks: it is written from the same models, and has not drifted."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fpgaml.hardware import backend_names
from fpgaml.layers import layer_class, layer_kinds
from fpgaml.study import SECTIONS
from fpgaml.tasks import get_task, task_names

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_study_reference", DOCS / "write_study_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def text() -> str:
    return (DOCS / "study_reference.md").read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.index(" ")
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"no heading {heading}"
    return found[1]


def test_the_file_is_what_the_code_gives(writer, text):
    assert text == writer.reference(), "docs/study_reference.md has drifted: run `python docs/write_study_reference.py`"


@pytest.mark.parametrize("kind", layer_kinds())
def test_every_key_of_every_layer_has_a_type_a_default_and_a_meaning(text, kind):
    rows = {row.split(" | ")[0].strip("| `"): row for row in part(text, f"### `{kind}`").split("\n") if "|" in row}
    for name, field in layer_class(kind).model_fields.items():
        _, kind_of_value, default, meaning = rows[name].strip("| ").split(" | ")
        assert kind_of_value
        assert (default == "required") == field.is_required()
        assert len(meaning) > 3


@pytest.mark.parametrize("name", task_names())
def test_every_key_of_every_task_is_there(text, name):
    found = part(text, f"## `data` of the task `{name}`")
    for field in get_task(name).options.model_fields:
        assert f"\n| `{field}` |" in found


def test_sections_and_backends_are_there(text):
    for name in SECTIONS:
        assert f"\n| `{name}` |" in text
    for name in backend_names():
        assert f"\n| `{name}` |" in part(text, "## `hardware`")


def test_limits_and_allowed_values_are_told(text):
    train = part(text, "## `train`")
    assert "| `learning_rate` | number 1e-08 to 3e+38 | `0.001` |" in train
    assert "| `schedule` | `constant` or `cosine` | `constant` |" in train
    assert "whole number 1 to 65,536, or [whole number 1 to 65,536, whole number 1 to 65,536]" in part(
        text, "### `conv2d`"
    )
