"""What Vivado HLS, Vitis HLS and Vivado report, as typed values.

hls4ml has a parser of the same files (``hls4ml.report``). It prints what it cannot find, hands on text, calls a RAMB36
a ``BRAM_18K``, and takes whatever stands third in a line that mentions Verilog; so the files are read here.

The forms are those that hls4ml's parser and public examples show: ``<top>_csynth.xml`` of Vivado HLS 2018 to Vitis HLS
2024, ``<top>_cosim.rpt`` with and without the column of the total time, and ``report_utilization`` of 7-series
("Slice LUTs") and UltraScale+ parts ("CLB LUTs").
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fpgaml.errors import OutputError
from fpgaml.synthesis import Resources

HLS_NAMES = {
    "LUT": "lut",
    "FF": "ff",
    "DSP": "dsp",  # Vitis HLS
    "DSP48E": "dsp",  # Vivado HLS
    "BRAM_18K": "bram_18k",
    "URAM": "uram",
}
UTILIZATION_NAMES = {
    "CLB LUTs": "lut",
    "Slice LUTs": "lut",
    "CLB Registers": "ff",
    "Slice Registers": "ff",
    "DSPs": "dsp",
    "DSP Slices": "dsp",
    "Block RAM Tile": "bram_18k",
    "URAM": "uram",
}
BLOCK_RAM_TILE = 2
"""A tile is a RAMB36 or two RAMB18."""


@dataclass(frozen=True)
class Report:
    """Figures of one report, and the fraction of the part that they are, where the report tells."""

    resources: Resources
    utilisation: Mapping[str, float]


def read_csynth(path: Path, *, tool: str) -> Report:
    """C synthesis: ``<top>_csynth.xml``. Latency and interval are None where loops without fixed ends leave them open.

    Raises
    ------
    OutputError
        The file is not there or is no such report.
    """
    try:
        root = ET.parse(path).getroot()
        version = root.findtext("ReportVersion/Version")
        used, available = _areas(root, "Resources"), _areas(root, "AvailableResources")
        clock = root.findtext("UserAssignments/TargetClockPeriod")
        estimate = root.findtext("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
        if not used or clock is None or estimate is None:
            raise ValueError("it has no AreaEstimates, TargetClockPeriod or EstimatedClockPeriod")
        overall = "PerformanceEstimates/SummaryOfOverallLatency/"
        found = Resources(
            origin=" ".join(filter(None, [tool, version and f"{version},", "C synthesis"])),
            **used,
            latency_cycles=_cycles(root.findtext(f"{overall}Worst-caseLatency")),
            interval_cycles=_cycles(root.findtext(f"{overall}Interval-max")),
            clock_period_ns=float(clock),
            clock_estimate_ns=float(estimate),
        )
    except (OSError, ET.ParseError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read as a report of C synthesis: {error}") from error
    return Report(found, {name: used[name] / number for name, number in available.items() if number and name in used})


def read_cosim(path: Path, *, tool: str, clock_period_ns: float) -> tuple[bool, Resources]:
    """Co-simulation: ``<top>_cosim.rpt``. Whether it passed, and the latency and interval that it has seen.

    The interval is None where only one event was simulated.

    Raises
    ------
    OutputError
        The file is not there or is no such report.
    """
    for cells in _rows(path):
        # RTL, status, latency min, avg, max, interval min, avg, max
        if len(cells) >= 8 and cells[0] in ("Verilog", "VHDL") and cells[1] != "NA":
            found = Resources(
                origin=f"{tool}, co-simulation",
                latency_cycles=_cycles(cells[4]),
                interval_cycles=_cycles(cells[7]),
                clock_period_ns=clock_period_ns,
            )
            return cells[1] == "Pass", found
    raise OutputError(f"{path}: cannot be read as a report of co-simulation: it has no line of Verilog or VHDL")


def read_utilization(path: Path, *, tool: str, clock_period_ns: float) -> Report:
    """Logic synthesis: what Vivado's ``report_utilization`` wrote.

    Raises
    ------
    OutputError
        The file is not there or is no such report.
    """
    columns: list[str] = []
    used: dict[str, int] = {}
    utilisation: dict[str, float] = {}
    for cells in _rows(path):
        if cells[0] == "Site Type":
            columns = cells
            continue
        name = UTILIZATION_NAMES.get(cells[0].rstrip("*").rstrip())
        if name is None or name in used or len(cells) != len(columns):
            continue
        row = dict(zip(columns, cells, strict=True))
        # Half a tile is one RAMB18.
        tiles = BLOCK_RAM_TILE if name == "bram_18k" else 1
        try:
            used[name] = round(float(row["Used"]) * tiles)
            if row.get("Available"):
                utilisation[name] = used[name] / (float(row["Available"]) * tiles)
        except (KeyError, ValueError, ZeroDivisionError):
            continue
    if not {"lut", "ff"} <= set(used):
        raise OutputError(f"{path}: cannot be read as a utilization report: it has no row of LUTs and of registers")
    return Report(Resources(origin=f"{tool}, logic synthesis", clock_period_ns=clock_period_ns, **used), utilisation)


def _areas(root: ET.Element, kind: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for child in root.iterfind(f"AreaEstimates/{kind}/*"):
        if child.tag in HLS_NAMES:
            found[HLS_NAMES[child.tag]] = int(child.text or "")
    return found


def _cycles(text: str | None) -> int | None:
    """A number of cycles; None for "undef", "?", "NA" and the like."""
    return int(text) if text is not None and text.strip().isdecimal() else None


def _rows(path: Path) -> list[list[str]]:
    """The cells of every line of a table that is drawn with bars."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    barred = [line.strip() for line in lines if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in barred]
