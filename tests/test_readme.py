"""The first screen of README.md is true: its example runs and prints a number."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_first_example_prints_an_efficiency(tmp_path):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    assert example, "README.md has no block that starts with ```python"
    shutil.copytree(REPOSITORY / "search_spaces", tmp_path / "search_spaces")  # what it writes stays out of the tree

    run = subprocess.run([sys.executable, "-c", example[1]], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    numbers = [float(number) for number in re.findall(r"\b[01]\.\d+\b", run.stdout)]
    assert any(0 < number <= 1 for number in numbers), f"no efficiency in what it printed: {run.stdout!r}"
