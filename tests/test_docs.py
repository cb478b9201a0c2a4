"""What the documents tell people to write, type and open is there and works."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from fpgaml import tasks
from fpgaml.cli import _parser
from fpgaml.errors import StudyError
from fpgaml.pipeline import plan_search
from fpgaml.study import Study

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
EXTENDING = REPOSITORY / "docs" / "extending.md"


def blocks(path: Path, language: str = "") -> list[str]:
    """The code blocks of a page that are marked with a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [text for marked, text in fenced if marked == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_commands(page):
    lines = [line for block in blocks(page) for line in block.split("\n") if re.match(r"fpgaml [a-z]", line)]
    if page == TUTORIAL:
        assert len(lines) >= 5
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True)[1:])


def test_the_schedule_of_the_tutorial_is_that_of_its_study():
    planned = str(plan_search(Study.load(REPOSITORY / "notebooks" / "first_search.yaml"), workers=2))
    told = next(block for block in blocks(TUTORIAL) if block.startswith("hyperband:"))
    assert told.split("\n")[:3] == planned.split("\n")[:3]


def test_the_study_for_own_data_loads(tmp_path):
    (text,) = (block for block in blocks(TUTORIAL, "yaml") if block.startswith("study:"))
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    study = Study.load(tmp_path / "mine.yaml")
    assert study.point().architecture.input_shape == (3,)


def test_the_mistake_is_told_as_the_tutorial_says(tmp_path):
    told = next(block for block in blocks(TUTORIAL) if "unitz" in block).removeprefix("fpgaml: search_spaces/").strip()
    text = (REPOSITORY / "search_spaces" / "trigger_quick.yaml").read_text(encoding="utf-8")
    (tmp_path / "trigger_quick.yaml").write_text(text.replace("units: 16", "unitz: 16"), encoding="utf-8")
    with pytest.raises(StudyError, match="unitz") as error:
        Study.load(tmp_path / "trigger_quick.yaml")
    assert str(error.value).split("\n")[0] == f"{tmp_path}/{told}"


def test_the_layer_that_is_shown_is_the_one_in_the_package():
    shown = next(block for block in blocks(EXTENDING, "python") if block.startswith("class ReLU"))
    source = Path(REPOSITORY / "fpgaml" / "layers" / "relu.py").read_text(encoding="utf-8")
    assert shown in source


def test_the_task_that_is_shown_works(tmp_path, monkeypatch):
    shown = next(block for block in blocks(EXTENDING, "python") if "class TwoClouds" in block)
    (tmp_path / "two_clouds.py").write_text(shown, encoding="utf-8")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    sections = {
        "study": "clouds",
        "task": "two_clouds",
        "data": {"n_events": 1000},
        "input": {"bits": [8, 2]},
        "layers": [{"kind": "dense", "units": 1, "bits": [8, 1]}],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    study = Study.load(tmp_path / "study.yaml")
    monkeypatch.delitem(sys.modules, "fpgaml.tasks.two_clouds")
    dataset = study.dataset()
    assert len(dataset) == 1000
    assert dataset.input_shape == study.point().architecture.input_shape
    assert dataset.sha256 == study.dataset().sha256
    assert all(len(dataset.part(split)) for split in ("train", "validation", "test"))
