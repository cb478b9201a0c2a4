"""What holds for the package as a whole: it loads fast, names its version once, and knows no particular machine."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
HEAVY = (
    "awkward",
    "da4ml",
    "h5py",
    "hls4ml",
    "keras",
    "keras_tuner",
    "matplotlib",
    "mplhep",
    "numba",
    "pandas",
    "pyarrow",
    "pythia8mc",
    "qkeras",
    "scipy",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tf_keras",
    "uproot",
)

# These define subclasses of Keras' classes. Others import them inside functions only.
KERAS_SUBCLASSES = {"fpgaml.quantizers", "fpgaml.backends._exact_quantizer"}


def in_a_fresh_process(program: str) -> object:
    """Run ``program`` in a new interpreter; what it prints is JSON, and comes back."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_import_is_fast_and_light():
    program = """
import json, sys, time
start = time.perf_counter()
import fpgaml
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""
    runs = [in_a_fresh_process(program) for _ in range(3)]
    loaded = set(runs[0][1])
    assert "fpgaml" in loaded
    assert not loaded & set(HEAVY)
    assert min(seconds for seconds, _ in runs) < 0.5


def test_every_module_loads_where_nothing_heavy_is_installed():
    program = f"""
import importlib, json, pkgutil, sys
sys.modules.update(dict.fromkeys({HEAVY!r}))  # None: import raises ImportError
import fpgaml
names = [module.name for module in pkgutil.walk_packages(fpgaml.__path__, "fpgaml.")]
failed = {{}}
for name in names:
    if name != "fpgaml.__main__":
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)
print(json.dumps([names, failed]))
"""
    names, failed = in_a_fresh_process(program)
    assert "fpgaml.errors" in names
    assert set(failed) == KERAS_SUBCLASSES, failed


def test_version_is_that_of_the_metadata():
    import fpgaml

    assert fpgaml.__version__ == importlib.metadata.version("fpgaml")


def test_constraints_allow_what_the_metadata_ask_for():
    from packaging.requirements import Requirement

    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    fixed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([specifier.operator for specifier in requirement.specifier] == ["=="] for requirement in fixed)
    versions = {normalized(requirement.name): next(iter(requirement.specifier)).version for requirement in fixed}
    for line in importlib.metadata.requires("fpgaml"):
        wanted = Requirement(line)
        if wanted.name != "fpgaml":
            assert wanted.specifier.contains(versions[normalized(wanted.name)]), line


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


FORBIDDEN = {  # written so that this file passes its own test
    "a package registry": r"pypi[.]org|pythonhosted[.]org|anaconda[.]org|--(extra-)?index[-]url|--find[-]links",
    "a path of one machine": r"(?<![\w.~-])/(root|home|Users|work|mnt|tmp)/\w",
}


def kept_files() -> list[Path]:
    """What git tracks, or would with the next `git add`."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    return [REPOSITORY / name for name in names if name and (REPOSITORY / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_knows_a_particular_machine(what):
    pattern = re.compile(FORBIDDEN[what])
    files = kept_files()
    assert Path(__file__) in files
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:120]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []
