"""What synthesis says of a project: resources and latency, step by step, with the tool that said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from fpgaml.displays import html_table
from fpgaml.errors import OutputError

Status = Literal["done", "failed", "timed out", "not run", "tool not found"]
"""What has become of a step. "not run": nobody asked for it, or a step before it did not end well."""

CHECKS = ("cosim", "simulation")
"""Steps that compare: where one of them fails, something may be wrong with the network, not with a tool."""

FIGURES = {
    "lut": "LUT",
    "ff": "FF",
    "dsp": "DSP",
    "bram_18k": "BRAM (18 Kibit)",
    "uram": "URAM",
    "latency_cycles": "latency (cycles)",
    "latency_ns": "latency (ns)",
    "interval_cycles": "interval (cycles)",
    "clock_estimate_ns": "clock estimate (ns)",
}
"""What ``Resources`` tells, in the order in which people see it, with the name that they read."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a network takes of an FPGA, and how fast it is. None: this origin does not say.

    Parameters
    ----------
    origin : str
        Where the figures come from, for people: "Vivado HLS 2020.1, C synthesis", "Yosys 0.70, before place and
        route", "predicted". Figures of different origins are not the same quantity.
    lut, ff, dsp : int, optional
        Look-up tables, flip-flops and DSP slices.
    bram_18k : int, optional
        Block RAMs in halves of 18 Kibit; one RAMB36 counts as two.
    uram : int, optional
        UltraRAM blocks.
    latency_cycles : int, optional
        Clock cycles from the first input of an event to its last output, the largest where the origin gives a range.
    interval_cycles : int, optional
        Clock cycles from one event to the next, the largest where the origin gives a range.
    clock_period_ns : float, optional
        The clock period that was asked for.
    clock_estimate_ns : float, optional
        The shortest clock period that the origin thinks is possible.
    """

    origin: str
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram_18k: int | None = None
    uram: int | None = None
    latency_cycles: int | None = None
    interval_cycles: int | None = None
    clock_period_ns: float | None = None
    clock_estimate_ns: float | None = None

    @property
    def latency_ns(self) -> float | None:
        """Latency at the clock period that was asked for."""
        if self.latency_cycles is None or self.clock_period_ns is None:
            return None
        return self.latency_cycles * self.clock_period_ns

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values, with ``latency_ns``."""
        return {**asdict(self), "latency_ns": self.latency_ns}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Resources:
        """What ``to_json`` gave.

        Raises
        ------
        OutputError
            It is something else.
        """
        try:
            return cls(**{key: item for key, item in value.items() if key != "latency_ns"})
        except (TypeError, AttributeError) as error:
            raise OutputError(f"these are no resources of a synthesis: {error}") from error

    def rows(self) -> list[tuple[str, str]]:
        """What is known, as rows of (name with unit, value) for people."""
        named = ((name, getattr(self, key)) for key, name in FIGURES.items())
        return [
            (name, f"{value:,}" if isinstance(value, int) else f"{value:g}")
            for name, value in named
            if value is not None
        ]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.rows()) + f" ({self.origin})"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One step of a synthesis.

    Parameters
    ----------
    step : str
        "csynth", "cosim" or "logic"; for the backend rtl "verilog", "simulation" or "yosys".
    status : str
        See ``Status``.
    message : str
        For people: what was found, or what went wrong, where to look, and what to do. Empty for a step not run.
    wall_s : float, optional
        Seconds it took; None where it did not run.
    resources : Resources, optional
        What this step found.
    utilisation : mapping of resource to float
        Fraction of the part that is taken, by the names of ``Resources``, where the report tells how much the part has.
    """

    step: str
    status: Status
    message: str = ""
    wall_s: float | None = None
    resources: Resources | None = None
    utilisation: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise OutputError(f"status of {self.step} is {self.status!r}; allowed: {', '.join(get_args(Status))}")
        if unknown := set(self.utilisation) - {known.name for known in fields(Resources)}:
            raise OutputError(f"utilisation of {self.step} names {', '.join(sorted(unknown))}, which is no resource")

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "step": self.step,
            "status": self.status,
            "message": self.message,
            "wall_s": self.wall_s,
            "resources": None if self.resources is None else self.resources.to_json(),
            "utilisation": dict(self.utilisation),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StepReport:
        """What ``to_json`` gave; errors are those of ``Resources.from_json``."""
        try:
            found = value["resources"]
            return cls(**{**value, "resources": None if found is None else Resources.from_json(found)})
        except (KeyError, TypeError) as error:
            raise OutputError(f"this is no step of a synthesis: {error!r}") from error

    def __str__(self) -> str:
        took = "" if self.wall_s is None else f" in {self.wall_s:.0f} s"
        lines = [f"{self.step}: {self.status}{took}{f'. {self.message}' if self.message else ''}"]
        if self.resources is not None:
            lines.append(f"  {self.resources}")
        if self.utilisation:
            named = [known.name for known in fields(Resources) if known.name in self.utilisation]
            shares = ", ".join(f"{name.upper()} {self.utilisation[name]:.2%}" for name in named)
            lines.append(f"  of the part: {shares}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What a tool made of a project.

    Parameters
    ----------
    backend : str
        The backend whose project it is.
    tool : str
        The program, such as "vivado_hls".
    version : str, optional
        What the program says of itself; None where it is not there.
    part : str
        The FPGA part.
    clock_period_ns : float
        The clock period asked for.
    steps : tuple of StepReport
        Every step that the backend has, in order, those not run included.
    """

    backend: str
    tool: str
    version: str | None
    part: str
    clock_period_ns: float
    steps: tuple[StepReport, ...]

    @property
    def resources(self) -> Resources | None:
        """Each figure from the last step that gave it: the nearest to the finished firmware. None if there is none."""
        found = [step.resources for step in self.steps if step.status == "done" and step.resources is not None]
        figures: dict[str, Any] = {}
        origins: dict[str, None] = {}
        for resources in reversed(found):
            told = {key: item for key, item in asdict(resources).items() if item is not None and key != "origin"}
            if not told.keys() <= figures.keys():
                origins[resources.origin] = None
            figures = {**told, **figures}
        return Resources(origin="; ".join(origins), **figures) if found else None

    def step(self, name: str) -> StepReport:
        """The step of a name.

        Raises
        ------
        KeyError
            The backend has no such step.
        """
        return {step.step: step for step in self.steps}[name]

    def ended(self, status: Status) -> Sequence[StepReport]:
        """The steps of one status, in order."""
        return [step for step in self.steps if step.status == status]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "backend": self.backend,
            "tool": self.tool,
            "version": self.version,
            "part": self.part,
            "clock_period_ns": self.clock_period_ns,
            "steps": [step.to_json() for step in self.steps],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Synthesis:
        """What ``to_json`` gave.

        Raises
        ------
        OutputError
            It is something else.
        """
        try:
            return cls(**{**value, "steps": tuple(StepReport.from_json(step) for step in value["steps"])})
        except (KeyError, TypeError) as error:
            raise OutputError(f"this is no synthesis: {error!r}") from error

    def __str__(self) -> str:
        tool = f"{self.tool} {self.version}" if self.version else f"{self.tool} (not there)"
        head = f"{self.backend} project, {tool}, {self.part}, clock period {self.clock_period_ns:g} ns"
        return "\n".join([head, *map(str, self.steps)])

    def _repr_html_(self) -> str:
        rows: list[tuple[str, str]] = [(step.step, step.status) for step in self.steps]
        found = self.resources
        if found is not None:
            rows += [*found.rows(), ("figures from", found.origin)]
        return html_table(f"Synthesis of the {self.backend} project with {self.tool}, {self.part}", rows)
