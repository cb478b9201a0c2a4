"""``README.md`` of a project: for the engineer who gets the folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fpgaml.convert import HLSProject
from fpgaml.fixed_point import FixedPoint
from fpgaml.handover.interface import Interface, Threshold
from fpgaml.hls_limits import Limit
from fpgaml.synthesis import Resources
from fpgaml.tables import table, target_text

SHOWN_NAMES = 40

CHECK = """\
## Check it

`make check` needs `make`, `g++` and `sha256sum`, and no vendor's tool. It says which files are no longer those of
`certificate.json`, builds a test bench with the `ap_types` headers that are in `firmware/`, runs the network on the
vectors and names every word that differs. One flipped bit in a weight, in a vector or in a type makes it fail.

`make check-words` does the second half only: after an edit on purpose it says whether the network still computes the
same words. Its weights are those of `firmware/weights/*.h`, which are synthesized; a vendor's C simulation reads
`firmware/weights/*.txt`, so whoever edits one edits both.

`vectors/inputs.txt` and `vectors/outputs.txt` hold {n_vectors} events, one a line, as integer words.
`vectors/events.txt` says which test event each is, and why it was taken:

{reasons}

`tb_data/` holds the same vectors as numbers, for hls4ml's own test bench, which the vendor's C simulation and
co-simulation use.
"""


FUSED = """\
Batch normalisation is folded into the weights, activations are fused into the layer before them. Accumulators hold
every sum exactly."""

VIVADO = """\
```sh
vivado_hls -f build_prj.tcl "reset=1 csim=1 synth=1 cosim=1 validation=1 export=0 vsynth=0"
```

`vsynth=1` adds logic synthesis, with Vivado, `export=1` the IP core."""

VITIS = """\
```sh
vitis_hls -f build_prj.tcl                  # up to release 2023.2
vitis-run --mode hls --tcl build_prj.tcl    # since
```

`build_opt.tcl` says which steps are taken: `vsynth` is logic synthesis, with Vivado, `export` the IP core. The
certificate leaves this file out."""

NOT_RUN = """\
No vendor's tool was run by those who wrote fpgaml. Vivado HLS and Vitis HLS want projects of their own: `backend:
vivado` or `backend: vitis` in the study."""

TOOLS = {"vivado": ("Vivado HLS", VIVADO), "vitis": ("Vitis HLS", VITIS)}


def readme(
    project: HLSProject,
    interface: Interface,
    *,
    prototype: str,
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
        Of the top-level function, in C++.
    predicted : Resources
        As far as they can be said before synthesis.
    agreement : mapping
        What the C simulation found: events, words, mismatches.
    n_vectors : int
        Events in ``vectors``.
    reasons : sequence of str
        Why events were taken.
    limits : sequence of Limit
        Of the HLS tool, that the network exceeds.
    edited : sequence of str
        Files that someone has edited since the conversion.
    """
    parts = [
        f"# {project.name}",
        _certified(agreement),
        *_edited(edited),
        *_limits(limits),
        "## Interface",
        f"```cpp\n{prototype}\n```",
        *_inputs(interface, project.hardware.io_type),
        *_outputs(interface),
        "## Latency and resources",
        _predicted(predicted),
        CHECK.format(
            n_vectors=n_vectors, reasons="\n".join(f"- {number}: {reason}" for number, reason in enumerate(reasons))
        ).rstrip(),
        *_build(project),
        "## What each layer has",
        _layers(project),
        FUSED,
    ]
    return "\n\n".join(parts) + "\n"


def _certified(agreement: Mapping[str, Any]) -> str:
    return (
        f"Written by fpgaml. Its C simulation gave the words of the quantized model on {agreement['events']:,} test "
        f"events: {agreement['mismatches']} of {agreement['words']:,} words differ. `certificate.json` has the hashes "
        "of all files, of the model and of the data, and the versions of the tools."
    )


def _inputs(interface: Interface, io_type: str) -> Iterator[str]:
    fixed, shape = interface.input_format, interface.input_shape
    yield (
        f"**Inputs**: {interface.n_inputs} words of `{fixed.ap_type}` for one event: a word w stands for "
        f"w × 2^{-fixed.fraction}, from {fixed.minimum:g} to {fixed.maximum:g}. " + _order(interface, io_type)
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
            yield "Order: " + ", ".join(f"`{name}`" for name in interface.names[:SHOWN_NAMES]) + "."
        return
    names = interface.names or tuple(str(number) for number in range(interface.n_inputs))
    rows = (
        [str(number), f"`{name}`", repr(zero), repr(factor), f"{fixed.step / factor:.6g}"]
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


def _outputs(interface: Interface) -> Iterator[str]:
    fixed = interface.output_format
    yield (
        f"**Output**: {interface.n_outputs} word of `{_ap_type(fixed)}`: w × 2^{-fixed.fraction}. It is the score "
        "before any sigmoid; larger is more like signal."
    )
    yield "An event passes if its output word is at least the threshold:"
    yield table(
        ["working point", "threshold (word)", "score", "reached on validation events"],
        ([target_text(t.target), _word(t, fixed), repr(t.score), f"{t.achieved:.6g}"] for t in interface.thresholds),
    )


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


def _build(project: HLSProject) -> Iterator[str]:
    name, commands = TOOLS[project.hardware.backend]
    yield "## Build it"
    yield (
        f"For {name}: part `{project.hardware.part}`, clock period {project.hardware.clock_period_ns:g} ns. In this "
        "folder:"
    )
    yield commands
    yield NOT_RUN


def _layers(project: HLSProject) -> str:
    rows = []
    for name, facts in project.effective.items():
        others = [str(facts.get(key, "")) for key in ("strategy", "reuse_factor", "parallelization_factor")]
        rows.append([f"`{name}`", facts["class"], f"`{facts['type']}`", f"`{facts.get('accumulator', '')}`".strip("`")])
        rows[-1] += others
    headers = ["layer", "class", "output", "accumulator", "strategy", "reuse factor", "parallelization factor"]
    return table(headers, rows)


def _limits(limits: Sequence[Limit]) -> Iterator[str]:
    if limits:
        yield "**The HLS tool may fail on this network or take very long.** It is beyond limits that others have met:"
        yield "\n".join(f"- {limit}" for limit in limits)


def _edited(edited: Sequence[str]) -> Iterator[str]:
    if edited:
        yield (
            "**Edited since the conversion**, and simulated as it is now: "
            + ", ".join(f"`{name}`" for name in edited)
            + "."
        )
