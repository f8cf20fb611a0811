#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the commands of a transcript again and compares what they print:
#
#     golden.sh NORN SOURCE FILE           shows the difference, if there is one
#     golden.sh NORN SOURCE FILE --update  writes what they print now into FILE
#
# A line "$ COMMAND" is a command for sh; what follows, up to the next one, is its output (both streams) and its exit code.
# Commands run in an empty folder, with data -> tests/data, digits -> examples/digits, devices -> tests/devices in it. They
# see no OpenCL device but the host reference, so that the output is the same everywhere.
set -eu
norn=$1 source=$(cd "$2" && pwd) file=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/cwd"
ln -s "$norn" "$work/bin/norn"
cd "$work/cwd"
ln -s "$source/tests/data" data
ln -s "$source/examples/digits" digits
ln -s "$source/tests/devices" devices
PATH=$work/bin:$PATH OCL_ICD_VENDORS=$work/none NORN_DEVICE=host
export PATH OCL_ICD_VENDORS NORN_DEVICE
grep '^\$ ' "$file" | cut -c3- | while IFS= read -r command; do
    printf '$ %s\n' "$command"
    code=0
    sh -c "$command" >../out 2>&1 </dev/null || code=$?
    cat ../out
    [ "$code" = 0 ] || printf '[exit %s]\n' "$code"
    echo
done >../all
if [ "${4:-}" = --update ]; then
    cp ../all "$file"
else
    diff -u "$file" ../all
fi
