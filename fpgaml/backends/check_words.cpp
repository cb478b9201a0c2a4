// Runs the network on the vectors of this folder and compares every output word with the expected one.
//
// Built by `make check` or `make check-words`, with g++ alone. The weights are those of firmware/weights/*.h, which are
// what is synthesized; a vendor's C simulation reads firmware/weights/*.txt in their place.

#include "firmware/@TOP@.h"

// What the network needs of hls4ml, before the weights: it shall be compiled for g++.
#include "nnet_utils_of_the_network.h"

#define __SYNTHESIS__
#include "firmware/@TOP@.cpp"
#undef __SYNTHESIS__

#include "@TOP@_bridge.cpp"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

static const int N_INPUTS = @N_INPUTS@, INPUT_FRACTION = @INPUT_FRACTION@;
static const int N_OUTPUTS = @N_OUTPUTS@, OUTPUT_FRACTION = @OUTPUT_FRACTION@;
static const int N_EVENTS = @N_EVENTS@;
static const long SHOWN = 10;

// The next line that is no comment, as exactly `n` integers; false at the end of the file.
static bool read_words(std::ifstream &file, const char *name, int &line_number, size_t n, std::vector<long long> &words) {
    std::string line;
    do {
        line_number++;
        if (!std::getline(file, line))
            return false;
    } while (line.empty() || line[0] == '#');
    std::istringstream stream(line);
    words.clear();
    for (long long word; stream >> word;)
        words.push_back(word);
    if (!stream.eof() || words.size() != n) {
        std::printf("%s, line %d: should hold %zu integers\n", name, line_number, n);
        std::exit(2);
    }
    return true;
}

int main() {
    const char *names[] = {"vectors/inputs.txt", "vectors/outputs.txt", "vectors/events.txt"};
    std::ifstream inputs(names[0]), outputs(names[1]), events(names[2]);
    if (!inputs || !outputs || !events) {
        std::printf("%s, %s or %s: cannot be read\n", names[0], names[1], names[2]);
        return 2;
    }
    std::vector<long long> in, expected, event;
    std::vector<double> x(N_INPUTS), y(N_OUTPUTS);
    long n_events = 0, n_words = 0, n_different = 0;
    int lines[3] = {0, 0, 0};
    while (read_words(inputs, names[0], lines[0], N_INPUTS, in)) {
        if (!read_words(outputs, names[1], lines[1], N_OUTPUTS, expected) || !read_words(events, names[2], lines[2], 2, event))
            break;
        for (int i = 0; i < N_INPUTS; i++)
            x[i] = std::ldexp(double(in[i]), -INPUT_FRACTION);
        @TOP@_double(x.data(), y.data());
        for (int i = 0; i < N_OUTPUTS; i++, n_words++) {
            const double found = std::ldexp(y[i], OUTPUT_FRACTION);
            if (found == double(expected[i]))
                continue;
            if (++n_different <= SHOWN)
                std::printf("vector %ld (test event %lld), output %d: expected word %lld, found %.17g\n", n_events, event[0], i,
                            expected[i], found);
        }
        n_events++;
    }
    if (n_events != N_EVENTS) {
        std::printf("vectors: %ld whole events of %d\n", n_events, N_EVENTS);
        return 2;
    }
    std::printf("words: %ld of %ld differ\n", n_different, n_words);
    return n_different ? 1 : 0;
}
