#!/bin/sh
# Builds the network in C++ and its bench, with g++ or what CHECK_CXX names, and runs the vectors through it.
# Run by `make check` and `make check-words`. Always built afresh, in a temporary folder: no older build can be run.
LC_ALL=C
export LC_ALL

compiler=${CHECK_CXX:-g++}
if ! command -v ${compiler%% *} >/dev/null; then
    echo "$compiler: not found. Install a C++ compiler (Debian: apt install g++), or name one: make check CHECK_CXX=clang++"
    exit 1
fi
build=$(mktemp -d "${TMPDIR:-/tmp}/check.XXXXXX") || exit 1
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

grep -h '^#include "nnet_utils/' firmware/parameters.h >"$build/nnet_utils_of_the_network.h"
# Both are options of several words.
if ! $compiler ${CHECK_CXXFLAGS--O2} -std=c++17 -w -I. -Ifirmware -Ifirmware/ap_types -I"$build" -o "$build/words" \
    check/words.cpp; then
    echo "words: not compared, because $compiler does not compile check/words.cpp with @TOP@.cpp"
    exit 1
fi
"$build/words"
status=$?
[ $status = 126 ] && echo "words: $build allows no programs to run. Another place: TMPDIR=/path make check"
exit $status
