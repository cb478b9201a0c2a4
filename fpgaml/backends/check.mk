# make check        that this folder is what was certified: all files, and the words of all vectors
# make check-words  the words alone, for a project that was edited on purpose
# make check-files  the files alone
# make clean        what these have built
#
# Needs make and g++ (or another compiler: make check CXX=clang++), and sha256sum for the files.

TOP := @TOP@
CXXFLAGS ?= -O2
BENCH := check/build/words
FILES := $(wildcard firmware/*.* firmware/*/*.* firmware/*/*/*.*) $(TOP)_bridge.cpp check/words.cpp

.PHONY: check check-words check-files clean

check:
	@status=0; \
	sh check/files.sh || status=1; \
	$(MAKE) --no-print-directory -s check-words || status=1; \
	if [ $$status = 0 ]; then echo "check: passed"; else echo "check: FAILED"; fi; \
	exit $$status

check-files:
	@sh check/files.sh

check-words: $(BENCH)
	@$(BENCH)

$(BENCH): $(FILES)
	@mkdir -p check/build
	@grep -h '^#include "nnet_utils/' firmware/parameters.h > check/build/nnet_utils.h
	$(CXX) $(CXXFLAGS) -std=c++17 -w -I. -Ifirmware -Ifirmware/ap_types -o $@ check/words.cpp

clean:
	rm -rf check/build
