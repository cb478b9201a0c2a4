"""What holds for every test: few threads, a cache of its own, reproducible random examples."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Before anything imports TensorFlow. Two processes with one thread each are faster than one with two.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_variable, "1")

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

_own_cache = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep away from the user's cache: one for this run, shared by its workers, or ``FPGAML_TEST_CACHE_DIR``.

    The latter stays when the tests end, so that slow tests find the events and builds of the run before.
    """
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist has the environment of the process that started it
    config.pluginmanager.register(ConformanceTable())
    kept = os.environ.get("FPGAML_TEST_CACHE_DIR")
    if not kept:
        kept = config.stash[_own_cache] = tempfile.mkdtemp(prefix="fpgaml-tests-")
    os.environ["FPGAML_CACHE_DIR"] = kept
    os.environ.pop("PYTHONUNBUFFERED", None)  # which users do not have, and which hides what is written at the end


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache of this run."""
    own = config.stash.get(_own_cache, None)
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)


TABLE = Path(__file__).parent.parent / "docs" / "exactness.md"
N_TARGETS = 9


class ConformanceTable:
    """Writes the table of tested combinations in the documentation, once every cell of it has been tested."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect a cell; with pytest-xdist reports come from the workers."""
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == "conformance":
                    kind, target, verdict, detail = value
                    self.cells[kind, target] = verdict, detail

    def pytest_sessionfinish(self) -> None:
        """Write the table, if it is complete."""
        from fpgaml.layers import layer_kinds

        targets = list(dict.fromkeys(target for _, target in sorted(self.cells)))
        complete = {(kind, target) for kind in layer_kinds() for target in targets}
        if len(targets) != N_TARGETS or set(self.cells) != complete:
            return
        reasons: list[str] = []
        lines = ["| layer | " + " | ".join(target.replace(" ", "<br>") for target in targets) + " |"]
        lines.append("|---" * (N_TARGETS + 1) + "|")
        for kind in layer_kinds():
            row = []
            for target in targets:
                verdict, detail = self.cells[kind, target]
                if verdict == "refused" and detail not in reasons:
                    reasons.append(detail)
                row.append(detail if verdict == "exact" else f"refused ({reasons.index(detail) + 1})")
            lines.append(f"| `{kind}` | " + " | ".join(row) + " |")
        lines += ["", *(f"({number}) {reason}." for number, reason in enumerate(reasons, start=1))]
        text = TABLE.read_text(encoding="utf-8")
        start = text.index("-->", text.index("<!-- conformance table")) + len("-->")
        end = text.index("<!-- end of conformance table -->")
        TABLE.write_text(text[:start] + "\n" + "\n".join(lines).rstrip() + "\n" + text[end:], encoding="utf-8")
