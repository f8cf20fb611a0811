#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# plan, bench and --profile on a network that is trained for a few steps: verbs.sh NORN DIGITS.npz FOLDER
set -eu
norn=$1 digits=$2 out=$3
rm -rf "$out"
mkdir -p "$out"
cd "$out"
has() { # FILE PATTERN: a line of the file matches
    grep -q -- "$2" "$1" || { echo "$1: no line matches: $2"; cat "$1"; exit 1; }
}

"$norn" train mlp --data "$digits:train" --out net.onnx --steps 15 --profile --trace train.json >train.txt
has train.txt '^Gemm.*gemm'
has train.txt '^operator  *kernel'
has train.json '"ph":"X"'
"$norn" run net.onnx --profile --trace run.json --json >run.txt 2>/dev/null
has run.txt '"profile"'
has run.txt '"share"'
has run.json '"traceEvents"'
if "$norn" run net.onnx --trace run.json >/dev/null 2>err.txt; then echo "--trace without --profile passed"; exit 1; fi
has err.txt 'only with --profile'

"$norn" plan net.onnx --guess >plan.txt
has plan.txt '^Gemm.*native'
has plan.txt 'largest batch that fits: [1-9]'
has plan.txt 'most of it bound by'
"$norn" plan net.onnx --guess --train --batch 64 --json >plan.json
has plan.json '"training":.*true'
has plan.json '"batch":.*64'
has plan.json '"peak_bytes":'

# The best that was measured of the device is kept: plan and bench go by it, and bench peak says what it is now.
kept() {
    NORN_CACHE='' NORN_CACHE_DIR=$PWD/peaks "$norn" "$@" --json 2>/dev/null >kept.json
}
kept plan net.onnx
has peaks/peaks.txt '^device '
sed 's/^fp32_gflops .*/fp32_gflops 123456789/' peaks/peaks.txt >better.txt
mv better.txt peaks/peaks.txt
kept plan net.onnx
has kept.json '"fp32_gflops":.*123456789'
kept bench gemm bert-scores --repeat 3 --no-check
has kept.json '"fp32_gflops":.*123456789'
kept bench peak --quick --csv peaks.csv
test "$(cut -d, -f1,5 peaks.csv | head -n 1)" = device,fp32_gflops
test "$(wc -l <peaks.csv)" -eq 2
if grep -q '"fp32_gflops":.*123456789' kept.json; then echo "bench peak says what is kept"; exit 1; fi
has peaks/peaks.txt '^fp32_gflops 123456789$'

"$norn" bench gemm bert-scores --repeat 3 --out g.json --csv g.csv >gemm.txt
has gemm.txt 'correct: largest relative difference'
has gemm.txt 'of the arithmetic peak'
has gemm.txt '^  implementation: '
has g.json '"date":'
has g.json '"driver":'
has g.json '"fp32_gflops":'
has g.csv '^name,kind,shape,device'
test "$(wc -l <g.csv)" -eq 2
"$norn" bench conv mobilenetv2-depthwise --device 0,host --repeat 1 --no-check >conv.txt
has conv.txt 'rank'
has conv.txt '^mobilenetv2-depthwise  *[12] '
if "$norn" bench conv nosuch 2>err.txt; then echo "an unknown shape passed"; exit 1; fi
has err.txt "there is no shape 'nosuch'"
