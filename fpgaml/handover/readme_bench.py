"""The part of a ``README.md`` on a bench of one's own in C++: its text, its compilation, and its run in an HLS tool."""

from __future__ import annotations

from fpgaml.convert import HLSProject
from fpgaml.handover.interface import Interface

SECTION = """\
## A bench of your own

A whole one, which prints the output words of all vectors. Save it as `my_bench.cpp` beside this folder, not in it:
`make check` names files that it does not know.

```cpp
{bench}
```

With `g++`, in this folder; the last line is empty where all words are the expected ones:

```sh
g++ -std=c++17 -I. -Ifirmware/ap_types -DWEIGHTS_DIR='"firmware/weights"' -o ../my_bench \\
    ../my_bench.cpp firmware/{top}.cpp
../my_bench >../my_words.txt
grep -v '^#' vectors/outputs.txt | diff - ../my_words.txt
```

It reads the weights in `firmware/weights/*.txt` when it runs: in this folder, or with another `WEIGHTS_DIR`. The bench
and `firmware/{top}.cpp` are all that is compiled. With `-D__SYNTHESIS__`, by which HLS tools leave out what is for
simulation only, `g++` does not take hls4ml's sources.

In {tool}, save this as `my_bench.tcl` beside this folder, and run it in this folder, which shall have no blanks in its
path: {commands}. `csim_design` prints the words. It was not tried, for want of the tool.

```tcl
open_project -reset my_bench_prj
set_top {top}
add_files firmware/{top}.cpp -cflags "-std=c++0x"
add_files -tb ../my_bench.cpp -cflags "-std=c++0x -I[pwd]"
add_files -tb firmware/weights
add_files -tb vectors
open_solution -reset solution1
set_part {{{part}}}
create_clock -period {period:g}
csim_design
exit
```"""

BENCH = """\
#include "firmware/{top}.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

// hls4ml's sources ask for these where they are not synthesized: whether to keep what each layer hands on.
namespace nnet {{
bool trace_enabled = false;
std::map<std::string, void *> *trace_outputs = NULL;
size_t trace_type_size = sizeof(double);
}}

int main() {{
    std::ifstream file("vectors/inputs.txt");
    std::string title;
    std::getline(file, title);
    for (int event = 0; event < {n_vectors}; event++) {{
{event}
    }}
    return file ? 0 : 1;
}}"""

PARALLEL = """\
        inputs_t inputs[{n_inputs}];
        result_t outputs[{n_outputs}];
        for (int i = 0; i < {n_inputs}; i++) {{
            long word;
            file >> word;
            inputs[i] = std::ldexp(double(word), {down});
        }}
        {top}(inputs, outputs);
        for (int i = 0; i < {n_outputs}; i++)
            std::printf("%.0f%c", std::ldexp(outputs[i].to_double(), {up}), i + 1 < {n_outputs} ? ' ' : '\\n');"""

STREAM = """\
        hls::stream<inputs_t> inputs;
        hls::stream<result_t> outputs;
        for (int position = 0; position < {n_inputs} / int(inputs_t::size); position++) {{
            inputs_t channels;
            for (int i = 0; i < int(inputs_t::size); i++) {{
                long word;
                file >> word;
                channels[i] = std::ldexp(double(word), {down});
            }}
            inputs.write(channels);
        }}
        {top}(inputs, outputs);
        result_t scores = outputs.read();
        for (int i = 0; i < {n_outputs}; i++)
            std::printf("%.0f%c", std::ldexp(scores[i].to_double(), {up}), i + 1 < {n_outputs} ? ' ' : '\\n');"""

COMMANDS = {
    "vivado": ("Vivado HLS", "`vivado_hls -f ../my_bench.tcl`"),
    "vitis": (
        "Vitis HLS",
        "`vitis-run --mode hls --tcl ../my_bench.tcl`, or up to release 2023.2 `vitis_hls -f ../my_bench.tcl`",
    ),
}


def bench_section(project: HLSProject, interface: Interface, *, n_vectors: int) -> str:
    """The text, for a project of hls4ml."""
    values = {
        "top": interface.top,
        "n_inputs": interface.n_inputs,
        "n_outputs": interface.n_outputs,
        "down": -interface.input_format.fraction,
        "up": interface.output_format.fraction,
    }
    hardware = project.hardware
    event = (STREAM if hardware.io_type == "io_stream" else PARALLEL).format(**values)
    tool, commands = COMMANDS[hardware.backend]
    return SECTION.format(
        bench=BENCH.format(**values, n_vectors=n_vectors, event=event),
        tool=tool,
        commands=commands,
        part=hardware.part,
        period=hardware.clock_period_ns,
        top=interface.top,
    )
