#!/bin/sh
# Says who has signed certificate.json, by OpenSSH's ssh-keygen and a file that says whose keys may sign, one key a line:
# NAME namespaces="fpgaml" ssh-ed25519 AAAA...   Run by `make check SIGNERS=FILE`; silent where there is nothing to say.
LC_ALL=C
export LC_ALL
signature=certificate.json.sig
signers=${SIGNERS-}

say() {
    printf '%s\n' "$1" | tr -c '[:print:]\n' '?'
}

if [ ! -f $signature ] || [ -L $signature ]; then
    if [ -e $signature ] || [ -L $signature ]; then
        say "$signature should be a file, and is something else"
    elif [ -n "$signers" ]; then
        say "$signature is missing: nobody has signed this folder"
    else
        exit 0
    fi
    exit 1
fi
# That finds the name of a key since release 8.2, and its usage says so.
if ! ssh-keygen -Y 2>&1 | grep -q find-principals; then
    say "signature: there, and not verified, for want of ssh-keygen of OpenSSH 8.2 or later"
    [ -z "$signers" ]
    exit
fi
if ! fits=$(ssh-keygen -Y check-novalidate -n fpgaml -s $signature <certificate.json 2>&1); then
    say "$signature does not fit certificate.json"
    exit 1
fi
key=${fits##* with }
if [ -z "$signers" ]; then
    say "signature: with $key, and not verified: whose that is, make check SIGNERS=FILE tells"
    exit 0
fi
if [ ! -f "$signers" ] || [ ! -r "$signers" ]; then
    say "SIGNERS=$signers: cannot be read"
    exit 1
fi
# The name may be a list.
name=$(ssh-keygen -Y find-principals -f "$signers" -s $signature 2>/dev/null | sed 's/,.*//;q')
if [ -z "$name" ]; then
    say "$signature was made with $key, which $signers does not have"
    exit 1
fi
if ! ssh-keygen -Y verify -f "$signers" -I "$name" -n fpgaml -s $signature <certificate.json >/dev/null 2>&1; then
    say "$signature was made with $key, with which $name may not sign for fpgaml, by $signers"
    exit 1
fi
say "signature: by $name, with $key"
