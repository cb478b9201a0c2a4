# make check        that this folder is what was certified: all files, and the words of all vectors
# make check-files  the files alone
# make check-words  the words alone, for a project that was edited on purpose
#
# The scripts in check/ do all of it, in this folder also without make, and write nothing into it.

# CXX and CXXFLAGS of a make that calls this one are for its own programs; make hands them down all the same.
ifeq ($(MAKELEVEL),0)
ifneq ($(filter command,$(origin CXX) $(origin CXXFLAGS)),)
$(error The check calls them CHECK_CXX and CHECK_CXXFLAGS: make check CHECK_CXX=clang++)
endif
endif

# The same is printed whoever calls, without "Entering directory". Before release 4.4, GNU make heeds --no-print-directory
# from here only for lines that begin with + and only where it synchronises the output of several jobs.
ifneq ($(filter output-sync,$(.FEATURES)),)
JOBS := $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2)
override MAKEFLAGS += -Otarget --no-print-directory $(JOBS)
endif
# Such lines run under `make -n`, too: with a colon before them they are printed alone.
SH := $(if $(findstring n,$(firstword -$(MAKEFLAGS))),: sh,@sh)

.NOTPARALLEL:
.PHONY: check check-files check-words

check:
	+$(SH) check/check.sh

check-files:
	+$(SH) check/files.sh

check-words:
	+$(SH) check/words.sh
