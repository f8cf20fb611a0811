#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a fuzzer begins with: seeds.sh SOURCE FUZZER FOLDER. Models and tensors for those that read files; for the text form the
# one-line instances of the operators' tests.
set -eu
source=$1 fuzzer=$2 folder=$3
mkdir -p "$folder"
case $fuzzer in
fuzz_text)
    grep -oh '"[A-Z][A-Za-z.]*[<(][^"]*"' "$source"/ops/*.c | tr -d '"' | sort -u | head -n 2000 |
        split -l 1 -a 4 - "$folder/case-"
    ;;
fuzz_tensor) cp "$source"/tests/data/onnx/*.pb "$folder" ;;
*) cp "$source"/tests/data/onnx/*.onnx "$source"/tests/fuzz/*.onnx "$folder" ;;
esac
