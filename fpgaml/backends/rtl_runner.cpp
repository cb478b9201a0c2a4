// Runs events through a verilated, pipelined circuit: one new event at every clock edge.
//
// usage: simulation INPUTS OUTPUTS
// Both files hold one signed 64-bit word for every number of every event, as in the study's number formats; ports.h,
// written beside the circuit, says where the bits of each number are.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "Vcircuit.h"
#include "ports.h"

double sc_time_stamp() { return 0; }

// Place the low bits of a word.
static void put(std::vector<uint32_t> &bits, const Port &port, int64_t word) {
    for (int i = 0; i < port.width; i++) {
        const size_t place = port.low + i;
        const uint32_t mask = 1u << (place % 32);
        if ((word >> i) & 1) {
            bits[place / 32] |= mask;
        } else {
            bits[place / 32] &= ~mask;
        }
    }
}

// Read a word back, with its sign.
static int64_t take(const std::vector<uint32_t> &bits, const Port &port) {
    uint64_t word = 0;
    for (int i = 0; i < port.width; i++) {
        const size_t place = port.low + i;
        word |= uint64_t((bits[place / 32] >> (place % 32)) & 1) << i;
    }
    if (port.is_signed && port.width && (word >> (port.width - 1)) & 1) {
        word |= ~uint64_t(0) << port.width;
    }
    return int64_t(word);
}

int main(int argc, char **argv) {
    std::FILE *in = argc == 3 ? std::fopen(argv[1], "rb") : nullptr;
    std::FILE *out = argc == 3 ? std::fopen(argv[2], "wb") : nullptr;
    if (!in || !out) {
        std::perror("error: cannot open the files of inputs and outputs");
        return 2;
    }
    VerilatedContext context;
    auto circuit = std::make_unique<Vcircuit>(&context);
    std::vector<uint32_t> inputs((sizeof(circuit->model_inp) + 3) / 4), outputs((sizeof(circuit->model_out) + 3) / 4);
    std::vector<int64_t> words(N_INPUTS), scores(N_OUTPUTS);
    bool more = true;
    // After the last event the pipeline is emptied.
    for (size_t edge = 0, last = SIZE_MAX; last == SIZE_MAX || edge < last; edge++) {
        if (more && std::fread(words.data(), 8, N_INPUTS, in) != N_INPUTS) {
            more = false;
            last = edge + LATENCY;
            if (edge == 0) {
                break;
            }
        }
        if (more) {
            for (size_t i = 0; i < N_INPUTS; i++) {
                put(inputs, INPUTS[i], words[i]);
            }
            std::memcpy(&circuit->model_inp, inputs.data(), sizeof(circuit->model_inp));
        } else if (edge >= last) {
            break;
        }
        circuit->clk = 0;
        circuit->eval();
        circuit->clk = 1;
        circuit->eval();
        if (edge >= LATENCY) {
            std::memcpy(outputs.data(), &circuit->model_out, sizeof(circuit->model_out));
            for (size_t i = 0; i < N_OUTPUTS; i++) {
                scores[i] = take(outputs, OUTPUTS[i]);
            }
            if (std::fwrite(scores.data(), 8, N_OUTPUTS, out) != N_OUTPUTS) {
                std::perror("error: the outputs cannot be written");
                return 3;
            }
        }
    }
    circuit->final();
    if (std::fclose(out) != 0) {
        std::perror("error: the outputs cannot be written");
        return 3;
    }
    return 0;
}
