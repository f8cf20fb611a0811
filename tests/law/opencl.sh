#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# OpenCL is called in backend/ only. Usage: opencl.sh ROOT
cd "$1" || exit 2
found=$(grep -rnE --include='*.[ch]' '\b(cl|CLBlast)[A-Z][A-Za-z]+ *\(|^#include <(CL/|clblast)' \
    base ops graph symbolic export train bench tools 2>/dev/null)
if [ -n "$found" ]; then
    echo "$found"
    echo "These lines call OpenCL outside backend/."
    exit 1
fi
