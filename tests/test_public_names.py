"""What stands in ``fpgaml`` by name, and how values show themselves in a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_study import write_study

import fpgaml
from fpgaml import Agreement, SearchResult, Study
from fpgaml.csim import Difference, Simulation
from fpgaml.displays import html_table
from fpgaml.search_result import SHOWN, Evaluated

REPOSITORY = Path(__file__).parents[1]


class Cells(HTMLParser):
    """The rows of a table, and the text before it; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.title = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.rows:
            self.rows[-1][-1] += data
        else:
            self.title += data


def in_a_fresh_process(program: str) -> object:
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", fpgaml.__all__)
def test_every_name_is_there(name):
    value = getattr(fpgaml, name)
    assert value is getattr(fpgaml, name)
    assert name in dir(fpgaml)


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="studdy"):
        _ = fpgaml.studdy


def test_names_that_are_modules_stay_modules():
    program = """
import json, types
import fpgaml
first = fpgaml.search
fpgaml.run, fpgaml.SearchResult, fpgaml.TrainedModel, fpgaml.HLSProject
names = ("convert", "csim", "figures", "metrics", "search", "train", "word_use")
same = first is fpgaml.search
print(json.dumps([same, [isinstance(getattr(fpgaml, name), types.ModuleType) for name in names]]))
"""
    assert in_a_fresh_process(program) == [True, [True] * 7]


def test_all_names_load_without_tensorflow():
    program = """
import json, sys
import fpgaml
for name in fpgaml.__all__:
    getattr(fpgaml, name)
print(json.dumps(sorted({"tensorflow", "keras", "hls4ml", "matplotlib", "keras_tuner", "qkeras"} & set(sys.modules))))
"""
    assert in_a_fresh_process(program) == []


def test_a_table_is_escaped():
    found = Cells(html_table("a < b", [("x & y", "<script>")], headers=("<h>", "n")))
    assert found.title == "a < b"
    assert found.rows == [["<h>", "n"], ["x & y", "<script>"]]


def test_a_study_shows_what_was_asked_for(tmp_path):
    path = write_study(tmp_path)
    sections = yaml.safe_load(path.read_text())
    sections["choices"] = {"bits": [[4, 1], [8, 2]], "units": [3, 5, 7]}
    sections["layers"][0] |= {"units": "$units", "bits": "$bits"}
    path.write_text(yaml.safe_dump(sections))
    found = Cells(Study.load(path)._repr_html_())
    rows = dict(found.rows)
    assert found.title == "Study small: 6 combinations"
    assert rows["task"] == "file, judged at background efficiency 0.1, background efficiency 0.5"
    assert rows["layers"] == "dense → relu → dense"
    assert rows["$bits"] == "[4, 1], [8, 2]"
    assert "epochs: 2" in rows["train"]
    assert rows["hardware"] == "backend: vivado"


def test_a_study_of_one_network_shows_no_choices(tmp_path):
    found = Cells(Study.load(write_study(tmp_path))._repr_html_())
    assert found.title == "Study small"
    assert not [name for name, _ in found.rows if name.startswith("$")]


def test_a_search_shows_its_best_trials_and_its_front():
    costs = [900, 500, 800, 100, 700, 600, 50]
    trials = tuple(
        Evaluated(f"t{n}", {"bits": [n, 1], "layer": None}, 6, 0.9 - n / 10, {}, {"ebops": cost}, feasible=True)
        for n, cost in enumerate(costs)
    )
    result = SearchResult(trials, {"broken": "diverged"}, 42, 1.0)
    found = Cells(result._repr_html_())
    assert found.title == "Search: the best 5 of 7 trials, 1 failed, 42 epochs in all"
    assert found.rows[0] == ["trial", "bits", "layer", "epochs", "score", "EBOPs", "on the Pareto front"]
    assert len(found.rows) == 1 + SHOWN
    assert found.rows[1] == ["t0", "[0, 1]", "None", "6", "0.9000", "900", "yes"]
    front = {trial.trial for trial in result.front}
    assert {row[0] for row in found.rows[1:] if row[-1]} == front & {trial.trial for trial in trials[:SHOWN]}


def test_an_agreement_shows_its_verdict():
    simulation = Simulation(np.zeros((1200, 1)), 0.0, 0.5, 2)
    agreed = Cells(Agreement(1200, 0, None, simulation)._repr_html_())
    assert agreed.title == "C simulation and model agree"
    assert agreed.rows[0] == ["words that differ", "0 of 1,200"]
    assert agreed.rows[2] == ["speed", "2,400 events per second, 2 processes"]
    differing = Cells(Agreement(1200, 3, Difference("dense_2", 17, -2.0), simulation)._repr_html_())
    assert differing.title == "C simulation and model DISAGREE"
    assert differing.rows[-1] == ["first difference", "event 17, layer dense_2, -2 LSB"]
