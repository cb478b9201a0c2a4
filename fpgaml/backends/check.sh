#!/bin/sh
# Checks that this folder is what was certified: all files, and the words of all vectors. Run by `make check`.

status=0
sh check/files.sh || status=1
sh check/words.sh || status=1
if [ $status = 0 ]; then echo "check: passed"; else echo "check: FAILED"; fi
exit $status
