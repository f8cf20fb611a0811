#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds with gcc and warnings as errors, runs all tests on the first OpenCL device (PoCL,
# where there is no other). tools/check-full.sh runs them with more compilers and on more devices.
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
need $BUILD_PACKAGES $TEST_PACKAGES

# Independent judges of ONNX files: only tests use them, norn itself needs no Python.
venv=build-check/venv
if ! "$venv/bin/python" -c 'import onnx, onnxruntime' >/dev/null 2>&1; then
    echo "Fetching onnx and onnxruntime from PyPI for the tests"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0
fi

mkdir -p build-check
cmake -S . -B build-check -G Ninja -DCMAKE_C_COMPILER=gcc -DNORN_WERROR=ON -DNORN_PYTHON="$PWD/$venv/bin/python" >build-check/cmake.log ||
    { cat build-check/cmake.log; exit 1; }
ninja -C build-check -j "$JOBS" --quiet
ctest --test-dir build-check -j "$JOBS" --output-on-failure "$@"
