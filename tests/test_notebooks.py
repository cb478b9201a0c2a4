"""The notebooks run from a fresh clone, hold no outputs, and need nothing that is not public."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

import fpgaml

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAGIC = FOLDER.parents[1] / "shared" / "data" / "magic_gamma" / "magic.dat"
OWN_DATA = "03_your_own_data"
CELL_S = 900


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_there_are_four():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), "run nbstripout, or clear all outputs"
        assert cell["metadata"] == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_public_names_only(path):
    source = "\n".join("".join(cell["source"]).replace("%matplotlib", "# %matplotlib") for cell in cells(path, "code"))
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "fpgaml":
            assert node.module == "fpgaml"
            imported |= {name.name for name in node.names}
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
    assert imported
    assert imported <= set(fpgaml.__all__)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The notebooks alone, so that what they write stays out of the tree."""
    monkeypatch.delenv("FPGAML_MAGIC", raising=False)
    shutil.copytree(FOLDER, tmp_path / "notebooks")
    return tmp_path / "notebooks"


def executed(path: Path):
    """The notebook with its outputs; an error in a cell is one here."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=CELL_S, kernel_name="python3", resources=resources).execute()
    return notebook


def shown(notebook, mime: str) -> list[str]:
    """All outputs of a type, in order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["data"][mime] for output in outputs if mime in output.get("data", ())]


def printed(notebook) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


@pytest.mark.slow
def test_search_efficiency_and_handover_run(clone):
    first, second, fourth = (executed(path) for path in sorted(clone.glob("*.ipynb")) if path.stem != OWN_DATA)

    assert "0 of 20,000 words differ" in printed(first)
    html = shown(first, "text/html")
    assert "Study first_search: 12 combinations" in html[0]
    assert "Search: the best 5 of 8 trials" in html[1]
    assert len(shown(first, "image/png")) == 2
    assert len(shown(second, "image/png")) == 5
    assert len(shown(fourth, "image/png")) == 2
    agreed, differs = shown(fourth, "text/html")
    assert "model agree" in agreed
    assert "DISAGREE" in differs
    assert "dense_2" in differs


@pytest.mark.slow
def test_own_data_run_with_made_up_showers(clone):
    notebook = executed(clone / f"{OWN_DATA}.ipynb")
    assert "did you mean 'units'" in printed(notebook)
    assert len(shown(notebook, "image/png")) == 2


@pytest.mark.slow
@pytest.mark.skipif(not MAGIC.exists(), reason="the MAGIC gamma telescope data are not at ../shared/data/magic_gamma")
def test_own_data_run_with_magic(clone, monkeypatch):
    monkeypatch.setenv("FPGAML_MAGIC", str(MAGIC))
    notebook = executed(clone / f"{OWN_DATA}.ipynb")
    assert "28.7967,16.0021" in printed(notebook)
    assert len(shown(notebook, "image/png")) == 2
