#!/bin/sh
# Compares the files of this folder with the hashes in certificate.json, that with its own hash in README.md, and with its
# signature where there is one; names what differs. Run by `make check` and `make check-files`, or: sh check/files.sh
LC_ALL=C
export LC_ALL
SHOWN=40

if [ ! -f certificate.json ] || [ ! -r certificate.json ]; then
    echo "certificate.json: not found; this hand-over is not complete"
    exit 1
fi
if ! command -v sha256sum >/dev/null; then
    echo "sha256sum: not found. It comes with GNU coreutils; make check-words does without"
    exit 1
fi

different=0
complain() {
    different=$((different + 1))
    [ $different -gt $SHOWN ] || printf '%s\n' "$1" | tr -c '[:print:]\n' '?'
}

# Of two files, what the certificate covers: the README without its line on the certificate, and the steps that Vitis HLS
# may take without whether it takes them.
LINE='SHA-256 of `certificate\.json`: `\([0-9a-f]\{64\}\)`'
covered() {
    case $1 in
    README.md) sed "/^$LINE\$/d" README.md ;;
    *) sed 's/ [01]$/ -/' "$1" ;;
    esac
}

digest=$(sha256sum <certificate.json)
digest=${digest%% *}
[ ! -L certificate.json ] || complain "certificate.json should be a file, and is a symbolic link"
if [ "$(sed -n "s/^$LINE\$/\1/p" README.md 2>/dev/null)" != "$digest" ]; then
    complain "certificate.json is not the one that README.md names: its SHA-256 is $digest"
fi

# Written one file to a line, so that sed can read it: "firmware/weights/w2.h": "<64 digits>"
listed=$(sed -n '/^  "files": {$/,/^  }/s/^    "\([^"]*\)": "\([0-9a-f]\{64\}\)",\{0,1\}$/\2 \1/p' certificate.json)
left_out=$(sed -n '/^  "left_out": \[$/,/^  ]/s/^    "\([^"]*\)",\{0,1\}$/\1/p' certificate.json)
n_files=$(sed -n 's/^  "n_files": \([0-9]*\),$/\1/p' certificate.json)
if [ "$(printf '%s\n' "$listed" | grep -c .)" != "$n_files" ]; then
    complain "certificate.json: has been edited: it does not name all of its $n_files files with their hashes"
fi

BREAK='
'
plain=
while read -r hash name; do
    if [ -z "$name" ]; then
        continue
    elif [ -L "$name" ]; then
        complain "$name should be a file, and is a symbolic link"
    elif [ -e "$name" ] && [ ! -f "$name" ]; then
        complain "$name should be a file, and is something else"
    elif [ ! -r "$name" ]; then
        complain "$name is in the certificate, and cannot be read"
    elif [ "$name" != README.md ] && [ "$name" != build_opt.tcl ]; then
        plain="$plain$hash  $name$BREAK"
    elif [ "$(covered "$name" | sha256sum)" != "$hash  -" ]; then
        complain "$name differs from the certificate"
    fi
done <<END
$listed
END
checked=$(printf '%s' "$plain" | sha256sum -c 2>/dev/null | sed -n 's/: FAILED$//p')
while IFS= read -r name; do
    [ -z "$name" ] || complain "$name differs from the certificate"
done <<END
$checked
END

# What is here and not listed: but for folders, and for what tools write, of which the certificate has the names.
odd=$(find . -name "*$BREAK*" -prune -print | sed '1s,^\./,,' | tr '\n' '?' | sed 's/?$//')
[ -z "$odd" ] || complain "$odd is not in the certificate"
unlisted=$({
    printf '%s\n' "$listed" | sed 's/^[^ ]* /L/'
    printf '%s\n' "$left_out" | sed 's/^/O/'
    find . -name "*$BREAK*" -prune -o ! -type d -print | sed 's,^\./,F,' | sort
} | awk '
    { kind = substr($0, 1, 1); name = substr($0, 2) }
    kind == "L" || name == "certificate.json" || name == "certificate.json.sig" { listed[name] }
    kind == "O" && name != "" {
        pattern = name
        gsub(/\./, "[.]", pattern)
        gsub(/\*/, "[^/]*", pattern)
        patterns[++n] = "^" pattern (name ~ /\/$/ ? "" : "$")
        names[n] = name
    }
    kind == "F" && !(name in listed) {
        for (i = 1; i <= n; i++)
            if (name ~ patterns[i]) {
                if (!told[i]++) print "O" names[i]
                next
            }
        print "F" name
    }')
while IFS= read -r line; do
    case $line in F*) complain "${line#F} is not in the certificate" ;; esac
done <<END
$unlisted
END

if [ $different -gt $SHOWN ]; then
    echo "and $((different - SHOWN)) more"
elif [ $different = 0 ]; then
    echo "files: all $n_files are those of certificate.json, whose SHA-256 is $digest"
fi
outputs=$(printf '%s\n' "$unlisted" | sed -n 's/^O//p' | tr '\n' ' ')
[ -z "$outputs" ] || echo "files: not compared, because tools write them: ${outputs% }"
sh check/signature.sh || different=1
[ $different = 0 ]
