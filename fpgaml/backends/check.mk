# make check        that this folder is what was certified: all files, and the words of all vectors
# make check-words  the words alone, for a project that was edited on purpose
# make check-files  the files alone
# make clean        what these have built
#
# Needs make and g++, sha256sum for the files, and what check/build.mk says.

TOP := @TOP@
BENCH := check/build/words

.PHONY: check check-words check-files clean

check:
	@status=0; \
	sh check/files.sh || status=1; \
	$(MAKE) --no-print-directory -s check-words || status=1; \
	if [ $$status = 0 ]; then echo "check: passed"; else echo "check: FAILED"; fi; \
	exit $$status

check-files:
	@sh check/files.sh

clean:
	rm -rf check/build

include check/build.mk
