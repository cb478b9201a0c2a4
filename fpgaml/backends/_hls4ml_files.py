"""What stands in the files of a project that hls4ml wrote: options, types and weights, read back as text.

hls4ml's own graph says what it meant to write; the files say what will be synthesized, also after someone edited them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture, Step
from fpgaml.builder import ModelWeights
from fpgaml.errors import AgreementError, OutputError
from fpgaml.fixed_point import FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer

PLAIN_MODES = "TRN,WRAP,0"
"""Of an ``ap_fixed`` that names no rounding and saturation."""


def read_layer_options(project: Path) -> dict[str, dict[str, set[str]]]:
    """Every constant of every layer in ``parameters.h``, by layer and name; a layer may have several structs."""
    options: dict[str, dict[str, set[str]]] = {}
    layer = ""
    for line in _read(project / "firmware" / "parameters.h").splitlines():
        if found := re.fullmatch(r"// (\w+)", line):
            layer = found[1]
        elif found := re.fullmatch(r"\s+static const \w+ (\w+) = ([\w:]+);", line):
            options.setdefault(layer, {}).setdefault(found[1], set()).add(found[2].removeprefix("nnet::"))
    return options


def read_types(project: Path) -> dict[str, str]:
    """The types of ``defines.h`` by name, such as ``fixed<8,3,TRN,WRAP,0>``, without the array around them."""
    text = _read(project / "firmware" / "defines.h")
    found = re.findall(r"^typedef (?:nnet::array<)?(ap_\w+<[^>]*>).* (\w+);$", text, flags=re.MULTILINE)
    return {name: plain_type(written) for written, name in found}


def plain_type(written: str) -> str:
    """A type as hls4ml itself names it, from its name or C++'s."""
    kind, _, inside = written.removesuffix(">").partition("<")
    arguments = [argument.strip().removeprefix("AP_") for argument in inside.split(",")]
    if "fixed" in kind and len(arguments) == 2:
        arguments += PLAIN_MODES.split(",")
    return f"{kind.removeprefix('ap_')}<{','.join(arguments)}>"


def fixed_point(written: str) -> FixedPoint:
    """The format of a type, by its plain name."""
    kind, _, inside = plain_type(written).removesuffix(">").partition("<")
    width, integer, rounding, saturation, *_ = inside.split(",")
    return FixedPoint(int(width), int(integer), kind == "fixed", rounding, saturation)


def read_prototype(project: Path, name: str) -> str:
    """The declaration of the top-level function."""
    _, _, after = _read(project / "firmware" / f"{name}.h").partition(f"void {name}(")
    arguments, _, _ = after.partition(");")
    return f"void {name}({arguments});"


def read_settings(project: Path) -> dict[str, str]:
    """The variables of ``project.tcl``, which ``build_prj.tcl`` uses."""
    return {
        name: value.strip('"')
        for name, value in re.findall(r"^set (\w+) (\S+)$", _read(project / "project.tcl"), flags=re.MULTILINE)
    }


def read_weights(path: Path) -> NDArray[np.float64]:
    """The numbers of ``w3.h``, which are synthesized, or of ``w3.txt``, which C simulations read.

    Raises
    ------
    OutputError
        The file is not there or holds something else.
    """
    text = _read(path)
    if path.suffix == ".h":
        _, _, text = text.partition("= {")
        text, _, _ = text.partition("}")
    try:
        return np.array([float(number) for number in text.replace("\n", " ").split(",") if number.strip()])
    except ValueError as error:
        raise OutputError(f"{path}: holds something else than numbers: {error}") from error


def check_files(
    project: Path,
    *,
    name: str,
    architecture: Architecture,
    weights: ModelWeights,
    hardware: Hardware,
    effective: Mapping[str, Any],
) -> None:
    """Compare a project's files with what was asked for and with what hls4ml said that it would write.

    Parameters
    ----------
    project : Path
    name : str
        The top-level function.
    architecture : Architecture
        Folded.
    weights : ModelWeights
        Quantized.
    hardware : Hardware
        What was asked for.
    effective : mapping
        What ``Hls4mlBackend.write`` returned.

    Raises
    ------
    AgreementError
        With every file and value that differs.
    OutputError
        A file is missing or cannot be read.
    """
    wrong = [
        *_wrong_settings(project, name, hardware),
        *_wrong_options(project, architecture, hardware),
        *_wrong_types(project, effective),
        *_wrong_weights(project, weights, effective),
    ]
    if wrong:
        raise AgreementError(
            f"{project}: holds something else than was asked for: {'; '.join(wrong)}. Has it been edited since its "
            "conversion? `fpgaml convert` writes it afresh once its directory is gone"
        )


def _wrong_settings(project: Path, name: str, hardware: Hardware) -> Iterator[str]:
    found = read_settings(project)
    asked = {"project_name": name, "backend": hardware.backend, "part": hardware.part}
    for key, value in asked.items():
        if found.get(key) != value:
            yield f"project.tcl: {key} is {found.get(key)}, not {value}"
    if float(found.get("clock_period", "nan")) != hardware.clock_period_ns:
        yield f"project.tcl: clock_period is {found.get('clock_period')}, not {hardware.clock_period_ns}"
    streams = "hls::stream<inputs_t>" in _read(project / "firmware" / f"{name}.h")
    if streams != (hardware.io_type == "io_stream"):
        yield f"firmware/{name}.h: its ports are not those of {hardware.io_type}"


def _wrong_options(project: Path, architecture: Architecture, hardware: Hardware) -> Iterator[str]:
    written = read_layer_options(project)
    for step in architecture.steps:
        if not isinstance(step.layer, ArithmeticLayer):
            continue
        found = written.get(step.name, {})
        for key, value in _asked(step, step.layer, hardware).items():
            if found.get(key) != {value}:
                text = " and ".join(sorted(found.get(key, {"missing"})))
                yield f"firmware/parameters.h: {key} of {step.name} is {text}, not {value}"


def _asked(step: Step, layer: ArithmeticLayer, hardware: Hardware) -> dict[str, str]:
    own = hardware.for_layer(step.name)
    asked = {"reuse_factor": str(own.reuse_factor), "strategy": own.strategy}
    positions = layer.positions(step.input_shape)
    if positions > 1:
        asked["n_partitions"] = str(positions // own.parallelization_factor)
    if layer.kind == "dense":
        asked["io_type"] = own.io_type
    return asked


def _wrong_types(project: Path, effective: Mapping[str, Any]) -> Iterator[str]:
    found = read_types(project)
    for layer, facts in effective.items():
        if "typedef" not in facts:
            continue  # converted by an fpgaml that did not write it down
        # A reshaped tensor has no type of its own.
        expected = {} if facts["class"] == "Reshape" else {facts["typedef"]: facts["type"]}
        if "accumulator" in facts:
            expected[f"{layer}_accum_t"] = facts["accumulator"]
        for name, text in expected.items():
            if found.get(name) != plain_type(text):
                yield f"firmware/defines.h: {name} is {found.get(name)}, not {plain_type(text)}"


def _wrong_weights(project: Path, weights: ModelWeights, effective: Mapping[str, Any]) -> Iterator[str]:
    types = read_types(project)
    for layer, facts in effective.items():
        for role, (file, expected_type) in facts.get("weights", {}).items():
            if types.get(f"{layer}_{role}_t") != plain_type(expected_type):
                yield f"firmware/defines.h: {layer}_{role}_t is {types.get(f'{layer}_{role}_t')}, not {expected_type}"
            header, text = (read_weights(project / "firmware" / "weights" / f"{file}{end}") for end in (".h", ".txt"))
            if not np.array_equal(header, text):
                yield f"firmware/weights/{file}.h and {file}.txt hold different numbers"
            model = weights[layer].get({"weight": "kernel", "bias": "bias"}[role], np.zeros(len(header)))
            # Sorted: hls4ml writes the matrix by rows or by columns, as the strategy reads it.
            if not np.array_equal(np.sort(header), np.sort(model, axis=None)):
                yield f"firmware/weights/{file}.h: its numbers are not the {role}s of the model's {layer}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read, and the project is not whole without it: {error}") from error
