#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Certificates of converted models: certificate.sh NORN MODEL SCRATCH
# What convert makes verifies; with any byte changed, in the file or in its external data, it does not.
set -u
norn=$1 model=$2 dir=$3
failures=0
fail() {
    echo "FAIL $*"
    failures=$((failures + 1))
}
# flip FILE OFFSET: changes one byte.
flip() {
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
bad() {
    "$norn" verify "$1" >"$dir/said" 2>&1 && fail "$2: verifies"
    grep -q "$3" "$dir/said" || fail "$2: $(cat "$dir/said")"
}

rm -rf "$dir" && mkdir -p "$dir" || exit 1
"$norn" verify "$model" >/dev/null 2>&1 && fail "a file without a certificate verifies"
"$norn" convert "$model" "$dir/a.onnx" --opset 18 --seed 5 >"$dir/said" || fail "convert"
grep -q '^certificate: outputs within .*seed 5' "$dir/said" || fail "no certificate: $(cat "$dir/said")"
"$norn" verify "$dir/a.onnx" >"$dir/said" || fail "verify: $(cat "$dir/said")"
grep -q '^ok a.onnx$' "$dir/said" || fail "verify says $(cat "$dir/said")"
bytes=$(wc -c <"$dir/a.onnx")
for i in 1 2 3 4 5 6 7 8 9; do
    cp "$dir/a.onnx" "$dir/b.onnx"
    flip "$dir/b.onnx" $((bytes * i / 10))
    bad "$dir/b.onnx" "byte $((bytes * i / 10)) changed" '^FAIL b.onnx'
done
# An opset of its own, and data beside the file.
"$norn" convert "$dir/a.onnx" "$dir/c.onnx" --external-data >/dev/null || fail "convert with external data"
"$norn" verify "$dir/c.onnx" >"$dir/said" || fail "verify with external data: $(cat "$dir/said")"
if [ -f "$dir/c.onnx.data" ]; then
    flip "$dir/c.onnx.data" 100
    bad "$dir/c.onnx" "external data changed" 'is not what was certified'
else
    fail "no external data"
fi
"$norn" convert "$model" "$dir/d.onnx" --no-certificate >/dev/null || fail "convert without"
bad "$dir/d.onnx" "no certificate" 'has no certificate'
# A model without a result where its named sizes are 1 is compared at sizes that it takes.
"$norn" convert "$(dirname "$model")/halves.onnx" "$dir/e.onnx" >"$dir/said" 2>&1 || fail "convert: $(cat "$dir/said")"
grep -q '^certificate: outputs within' "$dir/said" || fail "no certificate at other sizes: $(cat "$dir/said")"
"$norn" verify "$dir/e.onnx" >"$dir/said" 2>&1 || fail "verify at other sizes: $(cat "$dir/said")"
"$norn" show "$dir/e.onnx" --json | grep -q '\\nsize 8\\n' || fail "the certificate does not say the size"
echo "$failures failures"
[ $failures = 0 ]
