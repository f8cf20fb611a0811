#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds with gcc and warnings as errors, runs all tests on PoCL. Arguments go to ctest:
# "sh tools/check.sh -R unit". tools/check-full.sh tests with more compilers and on more OpenCL implementations.
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
. tools/judges.sh
need $BUILD_PACKAGES $TEST_PACKAGES
judges

mkdir -p build-check/vendors
cp /etc/OpenCL/vendors/pocl.icd build-check/vendors # the only OpenCL implementation that the tests see
cmake -S . -B build-check -G Ninja -DCMAKE_C_COMPILER=gcc -DNORN_WERROR=ON -DNORN_PYTHON="$JUDGES" >build-check/cmake.log ||
    { cat build-check/cmake.log; exit 1; }
ninja -C build-check -j "$JOBS" --quiet
OCL_ICD_VENDORS=$PWD/build-check/vendors ctest --test-dir build-check -j "$JOBS" --output-on-failure "$@"
