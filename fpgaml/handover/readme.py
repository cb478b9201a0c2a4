"""``README.md`` of a project: for the engineer who gets the folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fpgaml.convert import HLSProject
from fpgaml.fixed_point import FixedPoint
from fpgaml.handover.interface import Interface, Threshold
from fpgaml.handover.readme_bench import bench_section
from fpgaml.handover.readme_tools import arithmetic_note, build_section, check_section
from fpgaml.hardware import Hardware
from fpgaml.hls_limits import Limit
from fpgaml.synthesis import Resources
from fpgaml.tables import code, escape, table, target_text

SHOWN_NAMES = 40
NO_DIGEST = "0" * 64
"""In the place of the SHA-256 of the certificate, which is known only once it has the README's."""
SOURCES = {
    "test": "test events",
    "other": "other events of the data set",
    "drawn": "events drawn over the words of the inputs",
}


def readme(
    project: HLSProject,
    interface: Interface,
    *,
    prototype: str,
    port_notes: Sequence[str],
    predicted: Resources,
    agreement: Mapping[str, Any],
    n_vectors: int,
    reasons: Sequence[str],
    limits: Sequence[Limit],
    edited: Sequence[str],
) -> str:
    """The text.

    Parameters
    ----------
    project : HLSProject
    interface : Interface
    prototype : str
        Of the top-level function in C++, or of the top module in Verilog.
    port_notes : sequence of str
        Paragraphs on where the bits are and when; none for hls4ml's projects.
    predicted : Resources
        As far as they can be said before synthesis.
    agreement : mapping
        What the simulation found: events, words, mismatches, and where events come from if not all from the test set.
    n_vectors : int
        Events in ``vectors``.
    reasons : sequence of str
        Why events were taken.
    limits : sequence of Limit
        Of the HLS tool, that the network exceeds.
    edited : sequence of str
        Files that someone has edited since the conversion.
    """
    language = "cpp" if project.hardware.through_hls4ml else "verilog"
    parts = [
        f"# {escape(project.name)}",
        _certified(project, agreement),
        *_edited(edited),
        *_limits(limits),
        "## Interface",
        f"```{language}\n{prototype}\n```",
        *port_notes,
        *_inputs(interface, project.hardware),
        *_outputs(interface, project.hardware),
        "## Latency and resources",
        _predicted(predicted),
        check_section(
            project,
            n_vectors=str(n_vectors),
            reasons="\n".join(f"- {number}: {reason}" for number, reason in enumerate(reasons)),
        ),
        *([bench_section(project, interface, n_vectors=n_vectors)] if project.hardware.through_hls4ml else []),
        *build_section(project, interface),
        "## What each layer has",
        _layers(project),
        arithmetic_note(project),
    ]
    return "\n\n".join(parts) + "\n"


def _certified(project: HLSProject, agreement: Mapping[str, Any]) -> str:
    simulation = "C simulation" if project.hardware.through_hls4ml else "RTL simulation, with Verilator,"
    sources = agreement.get("composition", {"test": agreement["events"]})
    events = ", ".join(f"{count:,} {SOURCES[source]}" for source, count in sources.items() if count)
    return (
        f"Written by fpgaml. Its {simulation} gave the words of the quantized model on {events}: "
        f"{agreement['mismatches']} of {agreement['words']:,} words differ. `certificate.json` has the hashes "
        "of all files, of the model and of the data, and the versions of the tools.\n\n"
        f"SHA-256 of `certificate.json`: `{NO_DIGEST}`"
    )


def _inputs(interface: Interface, hardware: Hardware) -> Iterator[str]:
    fixed, shape = interface.input_format, interface.input_shape
    yield (
        f"**Inputs**: {interface.n_inputs} words of {_type(fixed, hardware, fixed.ap_type)} for one event: a "
        f"word w stands for w × 2^{-fixed.fraction}, from {fixed.minimum:g} to {fixed.maximum:g}. "
        + _order(interface, hardware.io_type)
    )
    unit = f" {interface.unit}" if interface.unit else ""
    offset, scale = interface.offsets, interface.scales
    rounding = "rounded to the nearest, ties to even, and clipped to the range of the type"
    yield (
        "From the data to words: word = (value − offset) × scale × "
        f"2^{fixed.fraction}, {rounding}. fpgaml keeps scaled values as float32 before that rounding."
    )
    if len(offset) == 1 and len(scale) == 1:
        yield (
            f"For all inputs: offset {offset[0]!r}{unit}, scale {scale[0]!r}{f' per{unit}' if unit else ''}; one step "
            f"of a word is {fixed.step / scale[0]:.6g}{unit}."
        )
        if interface.names:
            yield "Order: " + ", ".join(map(code, interface.names[:SHOWN_NAMES])) + "."
        return
    names = interface.names or tuple(str(number) for number in range(interface.n_inputs))
    rows = (
        [str(number), code(name), repr(zero), repr(factor), f"{fixed.step / factor:.6g}"]
        for number, (name, zero, factor) in enumerate(zip(names, offset, scale, strict=True))
    )
    yield table(["input", "name", "offset", "scale", "one step of its word"], rows)
    if len(shape) > 1:
        yield f"They are the values of an array of shape {shape}, row by row."


def _order(interface: Interface, io_type: str) -> str:
    shape = interface.input_shape
    if len(shape) == 1:
        stream = " as one element of the stream" if io_type == "io_stream" else ""
        return f"They come in the order of the data{stream}."
    stream = f" An element of the stream has the {shape[-1]} of one position." if io_type == "io_stream" else ""
    return f"They are an array of shape {shape}, the last index running fastest.{stream}"


def _outputs(interface: Interface, hardware: Hardware) -> Iterator[str]:
    fixed = interface.output_format
    yield (
        f"**Output**: {interface.n_outputs} word of {_type(fixed, hardware, _ap_type(fixed))}: "
        f"w × 2^{-fixed.fraction}. It is the score before any sigmoid; larger is more like signal."
    )
    yield "An event passes if its output word is at least the threshold:"
    yield table(
        ["working point", "threshold (word)", "score", "reached on validation events"],
        ([target_text(t.target), _word(t, fixed), repr(t.score), f"{t.achieved:.6g}"] for t in interface.thresholds),
    )


def _type(fixed: FixedPoint, hardware: Hardware, ap_type: str) -> str:
    """For C++ its own name, for Verilog in words."""
    if hardware.through_hls4ml:
        return f"`{ap_type}`"
    sign = "two's complement" if fixed.signed else "without a sign"
    return f"{fixed.width} bits, {sign}, {fixed.fraction} of them right of the binary point"


def _ap_type(fixed: FixedPoint) -> str:
    """C++'s name; modes of a type that holds every sum never act."""
    return f"ap_{'' if fixed.signed else 'u'}fixed<{fixed.width},{fixed.integer}>"


def _word(threshold: Threshold, fixed: FixedPoint) -> str:
    if threshold.word > fixed.word_range[1]:
        return "none: no word passes"
    return str(threshold.word)


def _predicted(predicted: Resources) -> str:
    latency = "" if predicted.latency_ns is None else f" ({predicted.latency_ns:g} ns)"
    rows = [
        ("latency in cycles", predicted.latency_cycles, latency),
        ("cycles from one event to the next", predicted.interval_cycles, ""),
        ("LUT", predicted.lut, ""),
        ("FF", predicted.ff, ""),
        ("DSP", predicted.dsp, ""),
        ("BRAM of 18 Kibit", predicted.bram_18k, ""),
    ]
    shown = ([name, f"{value:,}{more}"] for name, value, more in rows if value is not None)
    return f"Not synthesized; {predicted.origin}:\n\n" + table(["quantity", "value"], shown)


COLUMNS = {
    "class": "class",
    "type": "output",
    "accumulator": "accumulator",
    "strategy": "strategy",
    "reuse_factor": "reuse factor",
    "parallelization_factor": "parallelization factor",
}
"""Headers by what the tool's effective configuration calls it."""


def _layers(project: HLSProject) -> str:
    """A row for each layer, with those columns that any of them has."""
    layers = project.effective.values()
    keys = [key for key in COLUMNS if any(key in facts for facts in layers)]
    rows = [
        [code(name), *(_cell(key, facts.get(key, "")) for key in keys)] for name, facts in project.effective.items()
    ]
    return table(["layer", *(COLUMNS[key] for key in keys)], rows)


def _cell(key: str, value: Any) -> str:
    return code(value) if value and key in ("type", "accumulator") and "<" in value else escape(value)


def _limits(limits: Sequence[Limit]) -> Iterator[str]:
    if limits:
        yield "**The HLS tool may fail on this network or take very long.** It is beyond limits that others have met:"
        yield "\n".join(f"- {limit}" for limit in limits)


def _edited(edited: Sequence[str]) -> Iterator[str]:
    if edited:
        yield ("**Edited since the conversion**, and simulated as it is now: " + ", ".join(map(code, edited)) + ".")
