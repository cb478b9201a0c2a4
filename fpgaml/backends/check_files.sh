#!/bin/sh
# Compares the files of this folder with the hashes in certificate.json, and names those that differ.
LC_ALL=C
export LC_ALL

if [ ! -r certificate.json ]; then
    echo "certificate.json: not found; this hand-over is not complete"
    exit 1
fi
if ! command -v sha256sum >/dev/null; then
    echo "sha256sum: not found. It comes with GNU coreutils; make check-words does without"
    exit 1
fi

# Written one file to a line, so that sed can read it: "firmware/weights/w2.h": "<64 digits>"
listed=$(sed -n '/^  "files": {$/,/^  }/s/^    "\([^"]*\)": "\([0-9a-f]\{64\}\)",\{0,1\}$/\2  \1/p' certificate.json)
n_files=$(sed -n 's/^  "n_files": \([0-9]*\),$/\1/p' certificate.json)
checked=$(printf '%s\n' "$listed" | sha256sum --check 2>/dev/null)

status=0
different=$(printf '%s\n' "$checked" | sed -n \
    -e 's/: FAILED open or read$/ is in the certificate, and cannot be read/p' \
    -e 's/: FAILED$/ differs from the certificate/p')
if [ -n "$different" ]; then
    printf '%s\n' "$different"
    status=1
fi
if [ "$(printf '%s\n' "$checked" | grep -c ': ')" != "$n_files" ]; then
    echo "certificate.json: has been edited: it does not name all of its $n_files files with their hashes"
    status=1
fi
folders=
for folder in firmware src model vectors check; do
    [ -d $folder ] && folders="$folders $folder"
done
for file in $(find $folders -type f ! -name '*.so'); do
    if ! printf '%s\n' "$listed" | grep -qF "  $file"; then
        echo "$file is not in the certificate"
        status=1
    fi
done
[ $status = 0 ] && echo "files: all $n_files are those of the certificate"
exit $status
