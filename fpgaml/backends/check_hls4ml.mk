# check-words: the network in C++ and its bench, with g++ alone (or another compiler: make check CXX=clang++).

CXXFLAGS ?= -O2
FILES := $(wildcard firmware/*.* firmware/*/*.* firmware/*/*/*.*) $(TOP)_bridge.cpp check/words.cpp

check-words: $(BENCH)
	@$(BENCH)

$(BENCH): $(FILES)
	@mkdir -p check/build
	@grep -h '^#include "nnet_utils/' firmware/parameters.h > check/build/nnet_utils.h
	$(CXX) $(CXXFLAGS) -std=c++17 -w -I. -Ifirmware -Ifirmware/ap_types -o $@ check/words.cpp
