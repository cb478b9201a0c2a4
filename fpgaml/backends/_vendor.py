"""C synthesis, co-simulation and logic synthesis of hls4ml's projects with AMD's tools, where they are installed.

No such tool was at hand when this was written: see ``docs/synthesis.md`` for what that means.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fpgaml.backends._hls4ml_files import read_settings
from fpgaml.backends._limited_process import Ended, run_limited
from fpgaml.backends._vendor_reports import read_cosim, read_csynth, read_utilization
from fpgaml.doctor import tool_version
from fpgaml.errors import AgreementError, OutputError
from fpgaml.hardware import Hardware
from fpgaml.storage import write_text
from fpgaml.synthesis import StepReport, Synthesis

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

OPTIONS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
"""Of hls4ml's ``build_prj.tcl``, in the order of hls4ml: its pattern for "synth=" would fit a "vsynth=" before it."""

OUTPUTS = (
    "*_prj/",
    "synthesis_*.log",
    "vivado_synth.rpt",
    "tb_data/csim_results.log",
    "tb_data/rtl_cosim_results.log",
    ".Xil/",
    "logs/",
    "vitis*.log",
    "vivado*.log",
    "vivado*.jou",
)
"""Paths of what the tools write into a project; see ``Backend.tool_outputs``."""

STEPS = {
    "csynth": {"reset", "synth"},
    # The log of csim is what that of co-simulation is compared with.
    "cosim": {"csim", "cosim", "validation"},
    "logic": {"vsynth"},
}
NO_SUCH_PART = ("is not installed", "Specified part could not be found", "No parts matched")


@dataclass(frozen=True)
class Tool:
    """One of AMD's programs that build an hls4ml project.

    Parameters
    ----------
    name : str
        What it is called on the PATH.
    shown : str
        What people call it.
    arguments : tuple of str
        With which it runs ``build_prj.tcl``.
    version_flag : str
    options_in_file : bool
        Options go to ``build_opt.tcl``; else they are an argument.
    """

    name: str
    shown: str
    arguments: tuple[str, ...]
    version_flag: str
    options_in_file: bool


TOOLS = {
    "vivado": (Tool("vivado_hls", "Vivado HLS", ("-f", "build_prj.tcl"), "-version", options_in_file=False),),
    "vitis": (
        Tool("vitis-run", "Vitis HLS", ("--mode", "hls", "--tcl", "build_prj.tcl"), "--version", options_in_file=True),
        # Before release 2023.2, in which vitis-run came.
        Tool("vitis_hls", "Vitis HLS", ("-f", "build_prj.tcl"), "-version", options_in_file=True),
    ),
}


def synthesize(
    project: Path,
    *,
    backend: str,
    name: str,
    hardware: Hardware,
    steps: Sequence[str],
    timeout_s: float | None,
    progress: Progress | None = None,
) -> Synthesis:
    """Run AMD's tools on a project of ``backend``, "vivado" or "vitis"; see ``Backend.synthesize``."""
    tool = next((tool for tool in TOOLS[backend] if shutil.which(tool.name)), None)
    version = None
    if tool is not None:
        version = tool_version(str(shutil.which(tool.name)), tool.version_flag)
    reports: list[StepReport] = []
    for step in STEPS:
        missing = _missing(step, backend, tool)
        if step not in steps:
            reports.append(StepReport(step=step, status="not run"))
        elif missing:
            reports.append(StepReport(step=step, status="tool not found", message=missing))
        else:
            assert tool is not None
            run = _Run(project, name, hardware, tool, f"{tool.shown} {version}", timeout_s)
            with _shown(progress, step) as watch:
                reports.append(run.step(step, watch))
    return Synthesis(
        backend=backend,
        tool=(tool or TOOLS[backend][0]).name,
        version=version,
        part=hardware.part,
        clock_period_ns=hardware.clock_period_ns,
        steps=tuple(reports),
    )


def missing_tools(backend: str, steps: Sequence[str]) -> dict[str, str]:
    """By step of ``steps``, what is not on the PATH, and what to do."""
    tool = next((tool for tool in TOOLS[backend] if shutil.which(tool.name)), None)
    return {step: missing for step in steps if (missing := _missing(step, backend, tool))}


def _missing(step: str, backend: str, tool: Tool | None) -> str:
    """What is not on the PATH for a step, and what to do; empty if nothing is missing."""
    needed = [] if tool is not None else [" or ".join(tool.name for tool in TOOLS[backend])]
    if step == "logic" and not shutil.which("vivado"):
        needed.append("vivado")
    if not needed:
        return ""
    return f"{' and '.join(needed)}: not on the PATH. Source AMD's settings64.sh, where it is installed"


@dataclass(frozen=True)
class _Run:
    """Steps of one project with one tool."""

    project: Path
    name: str
    hardware: Hardware
    tool: Tool
    shown: str
    timeout_s: float | None

    @property
    def solution(self) -> Path:
        return self.project / f"{self.name}_prj" / "solution1"

    def report_path(self, step: str) -> Path:
        return {
            "csynth": self.solution / "syn" / "report" / f"{self.name}_csynth.xml",
            "cosim": self.solution / "sim" / "report" / f"{self.name}_cosim.rpt",
            "logic": self.project / "vivado_synth.rpt",
        }[step]

    def step(self, step: str, watch: Watch) -> StepReport:
        """Run one step and read its report."""
        if step != "csynth" and not self.report_path("csynth").exists():
            told = f"It needs csynth, of which there is no report in {self.project}: ask for csynth too"
            return StepReport(step=step, status="failed", message=told)
        self.check_settings()
        path = self.report_path(step)
        path.unlink(missing_ok=True)  # an old report would speak for a tool that fails
        ended = self.run(step, watch)
        report = self.read(step, ended)
        _log.info("%s", report)
        return replace(report, wall_s=ended.wall_s)

    def check_settings(self) -> None:
        """Raise unless the project's scripts are there and build for the part and clock that were asked for."""
        if not (self.project / "build_prj.tcl").exists():
            raise OutputError(f"{self.project}: holds no build_prj.tcl; the project is not complete. Convert again")
        settings = read_settings(self.project)
        found = {"part": settings.get("part"), "clock_period": settings.get("clock_period")}
        asked = {"part": self.hardware.part, "clock_period": str(self.hardware.clock_period_ns)}
        if found != asked:
            raise AgreementError(f"{self.project / 'project.tcl'}: builds for {found}, and {asked} was asked for")

    def run(self, step: str, watch: Watch) -> Ended:
        options = {option: int(option in STEPS[step]) for option in OPTIONS}
        command = [self.tool.name, *self.tool.arguments]
        if self.tool.options_in_file:
            lines = [f"    {option:10} {value}" for option, value in options.items()]
            write_text(self.project / "build_opt.tcl", "\n".join(["array set opt {", *lines, "}", ""]))
        else:
            command.append(" ".join(f"{option}={value}" for option, value in options.items()))
        log = self.project / f"synthesis_{step}.log"
        _log.info("%s: %s in %s", step, " ".join(command), self.project)
        return run_limited(command, cwd=self.project, log=log, timeout_s=self.timeout_s, watch=watch)

    def read(self, step: str, ended: Ended) -> StepReport:
        """The report that a step has left, or why there is none."""
        if ended.returncode is None:
            told = f"{self.tool.name} {ended.how}. --timeout gives it more; its log is {ended.log}"
            return StepReport(step=step, status="timed out", message=told)
        path = self.report_path(step)
        # Validation ends with an exit code where words differ, and the report tells more.
        if not path.exists() or (ended.returncode and step != "cosim"):
            return StepReport(step=step, status="failed", message=self.complaint(ended, path))
        try:
            if step == "csynth":
                csynth = read_csynth(path, tool=self.tool.shown)
                return StepReport(step=step, status="done", resources=csynth.resources, utilisation=csynth.utilisation)
            if step == "logic":
                logic = read_utilization(path, tool="Vivado", clock_period_ns=self.hardware.clock_period_ns)
                return StepReport(step=step, status="done", resources=logic.resources, utilisation=logic.utilisation)
            passed, found = read_cosim(path, tool=self.shown, clock_period_ns=self.hardware.clock_period_ns)
        except OutputError as error:
            return StepReport(step=step, status="failed", message=str(error))
        if not passed or ended.returncode:
            told = (
                f"{self.complaint(ended, path)}\nC simulation and RTL differ, or one of them stopped: see tb_data/*.log"
            )
            return StepReport(step=step, status="failed", message=told, resources=found)
        return StepReport(step=step, status="done", message=self.simulated(), resources=found)

    def simulated(self) -> str:
        """On what the test bench of the project runs."""
        if (self.project / "tb_data" / "tb_input_features.dat").exists():
            return ""
        return "The project holds no events (tb_data/tb_input_features.dat): its test bench fed zeros only"

    def complaint(self, ended: Ended, path: Path) -> str:
        """For people: how a tool has failed."""
        told = ended.errors()
        lines = [f"{self.tool.name} {ended.how}" + ("" if path.exists() else f" and wrote no {path.name}"), told]
        if any(sign in told for sign in NO_SUCH_PART):
            lines.append(
                f"Set hardware.part to a part that this installation has, or install {self.hardware.part!r}: "
                "`get_parts` in Vivado's Tcl console lists them"
            )
        if "No space left" in told:
            lines.append(f"The disk is full: make room for {self.project}")
        return "\n".join([*filter(None, lines), f"Its log is {ended.log}"])


class Watch:
    """Shows the last line of a tool's log behind the name of the step."""

    def __init__(self, progress: Progress | None, step: str) -> None:
        self._progress, self._step = progress, step
        self._task = progress.add_task(step, total=None) if progress else None

    def __call__(self, line: str) -> None:
        """Show a line."""
        if self._progress and self._task is not None:
            from rich.markup import escape

            self._progress.update(self._task, description=escape(f"{self._step}: {line[:60]}"))

    def done(self) -> None:
        """The step has ended."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, description=self._step, total=1, completed=1)


@contextlib.contextmanager
def _shown(progress: Progress | None, step: str) -> Iterator[Watch]:
    watch = Watch(progress, step)
    yield watch
    watch.done()
