# shellcheck shell=sh disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts beside it. need PACKAGE...: installs those of Debian's packages that are missing; says what it
# installs, and that it uses root or sudo, before it does. Ubuntu's names are the same (untried).
need() {
    missing=""
    for p in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed$' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "norn needs these packages (Debian's names):$missing" >&2
        exit 1
    fi
    as=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "norn needs these packages; install them as root:$missing" >&2
            exit 1
        fi
        as="sudo"
        echo "Installing with sudo:$missing"
    else
        echo "Installing as root:$missing"
    fi
    $as env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install $missing \
        >/dev/null 2>&1 || {
        $as apt-get -qq update
        $as env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install $missing \
            >/dev/null
    }
}

# What building the library and the command line takes, with PoCL as a device that every machine has.
BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config ocl-icd-opencl-dev opencl-c-headers libclblast-dev
    libprotobuf-c-dev protobuf-c-compiler libpng-dev libzip-dev zlib1g-dev libcjson-dev pocl-opencl-icd"
TEST_PACKAGES="libcmocka-dev python3 python3-venv"

# Processors to use.
JOBS=$(nproc 2>/dev/null || echo 2)
