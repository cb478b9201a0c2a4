// Runs the C simulation of a project over many events.
//
//   csim INPUTS OUTPUTS N_INPUTS N_OUTPUTS            one float64 score after the other
//   csim INPUTS OUTPUTS N_INPUTS 0 LAYER=SIZE ...     what each traced layer hands on for the first event:
//                                                     its name, a line feed, SIZE float64 values
//
// INPUTS holds N_INPUTS float64 values an event. TOP is hls4ml's bridge to the top-level function.

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

extern "C" {
void TOP(double *inputs, double *outputs);
void allocate_trace_storage(size_t element_size);
void free_trace_storage();
}

namespace nnet {
extern std::map<std::string, void *> *trace_outputs;
}

static int fail(const char *what, const char *path) {
    std::fprintf(stderr, "error: %s %s: %s\n", what, path, std::strerror(errno));
    return 3;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        errno = EINVAL;
        return fail("too few arguments for", argv[0]);
    }
    const size_t n_inputs = std::strtoul(argv[3], nullptr, 10);
    const size_t n_outputs = std::strtoul(argv[4], nullptr, 10);
    std::FILE *in = std::fopen(argv[1], "rb");
    if (!in)
        return fail("cannot read", argv[1]);
    std::FILE *out = std::fopen(argv[2], "wb");
    if (!out)
        return fail("cannot write", argv[2]);

    std::vector<double> inputs(n_inputs), outputs(n_outputs ? n_outputs : 1 << 16);
    const bool tracing = n_outputs == 0;
    if (tracing)
        allocate_trace_storage(sizeof(double));
    while (std::fread(inputs.data(), sizeof(double), n_inputs, in) == n_inputs) {
        TOP(inputs.data(), outputs.data());
        if (tracing)
            break;
        if (std::fwrite(outputs.data(), sizeof(double), n_outputs, out) != n_outputs)
            return fail("cannot write", argv[2]);
    }
    for (int i = 5; tracing && i < argc; i++) {
        const char *equals = std::strchr(argv[i], '=');
        const std::string layer(argv[i], equals - argv[i]);
        const auto found = nnet::trace_outputs->find(layer);
        if (found == nnet::trace_outputs->end())
            continue;
        std::fprintf(out, "%s\n", layer.c_str());
        std::fwrite(found->second, sizeof(double), std::strtoul(equals + 1, nullptr, 10), out);
    }
    if (tracing)
        free_trace_storage();
    std::fclose(in);
    return std::fclose(out) ? fail("cannot write", argv[2]) : 0;
}
