# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by check.sh and check-full.sh. judges: makes a virtual environment with the independent judges of ONNX files and derivatives;
# JUDGES is its Python, and NORN_JUDGES makes tests fail, not pass, that miss one. Only tests use them, norn itself needs no Python.
JUDGES=$PWD/build-judges/bin/python
export NORN_JUDGES=all
judges() {
    "$JUDGES" -c 'import onnx, onnxruntime, sympy, scipy, osqp' >/dev/null 2>&1 && return
    echo "Fetching onnx, onnxruntime, sympy, scipy and osqp from PyPI for the tests"
    python3 -m venv build-judges
    "$JUDGES" -m pip install -q --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 sympy==1.14.0 scipy==1.17.1 osqp==1.1.3
}
