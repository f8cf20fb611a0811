#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the commands of a page and compares what they print with what the page says. A command is a line "    $ COMMAND"; its
# output is the indented lines that follow. Usage: tutorial.sh NORN PAGE [--show]
set -eu
norn=$1 page=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/cwd"
ln -s "$norn" "$work/bin/norn"
ln -s "$(dirname "$page")/../examples/digits" "$work/cwd/digits"
PATH=$work/bin:$PATH OCL_ICD_VENDORS=$work/none NORN_DEVICE=host
export PATH OCL_ICD_VENDORS NORN_DEVICE
cd "$work/cwd"
# Blocks: from a command to the first line that is not indented; empty lines at their ends do not count.
awk '/^    \$ / { on = 1 } /^[^ ]/ { on = 0 } on { print substr($0, 5) }' "$page" |
    awk '/^$/ { held = held "\n"; next } { printf "%s%s\n", (/^\$ / ? "" : held), $0; held = "" }' >../want
grep '^\$ ' ../want | cut -c3- | while IFS= read -r command; do
    printf '$ %s\n' "$command"
    sh -c "$command" 2>&1 </dev/null || printf '[exit %s]\n' "$?"
done >../got
[ "${3:-}" != --show ] || { cat ../got; exit; }
[ -s ../got ] && diff -u ../want ../got
