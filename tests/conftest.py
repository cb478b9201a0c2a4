"""What holds for every test: few threads, a cache of its own, reproducible random examples."""

from __future__ import annotations

import os
import shutil
import tempfile

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
    kept = os.environ.get("FPGAML_TEST_CACHE_DIR")
    if not kept:
        kept = config.stash[_own_cache] = tempfile.mkdtemp(prefix="fpgaml-tests-")
    os.environ["FPGAML_CACHE_DIR"] = kept


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache of this run."""
    own = config.stash.get(_own_cache, None)
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)
