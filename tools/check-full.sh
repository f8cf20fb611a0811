#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# More than tools/check.sh: other compilers, sanitizers, other OpenCL implementations, fuzzing. Takes hours on 2 cores.
#
#     sh tools/check-full.sh [PART]...        without PART: all of them
#
#   clang     builds with clang, warnings as errors, and runs all tests
#   asan      the same with AddressSanitizer and UndefinedBehaviorSanitizer
#   oclgrind  operators, solvers and small cases on Oclgrind, which sees races and accesses out of bounds
#   intel     operators and cases on Intel's OpenCL runtime for CPUs (from PyPI)
#   rusticl   operators on Mesa's rusticl with llvmpipe: reported, never a failure
#   fuzz      each fuzzer for 60 s (FUZZ_SECONDS)
#   damage    damaged models against the command line, with sanitizers, for 5 minutes (DAMAGE_SECONDS)
#   convert   every model of ../shared/fixtures to opset 7, 13, 28, its own, and simplified, judged by ONNX Runtime
#   draw      four draws of every operator, by a seed of the day, against ONNX Runtime and ONNX's evaluator
#   memory    ResNet-50, DenseNet-121 and U-Net: what they take, counted from outside
#   style     clang-format on the C sources, shellcheck on the scripts
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
. tools/judges.sh

failed=""
say() { printf '\n== %s\n' "$*"; }
# run NAME COMMAND...: a step whose failure is remembered.
run() {
    step=$1
    shift
    "$@" || {
        failed="$failed $step"
        echo "FAILED: $step"
    }
}
# build FOLDER CMAKE-OPTION...
build() {
    folder=$1
    shift
    mkdir -p "$folder"
    cmake -S . -B "$folder" -G Ninja -DNORN_WERROR=ON -DNORN_PYTHON="$JUDGES" "$@" >"$folder/cmake.log" ||
        { cat "$folder/cmake.log"; return 1; }
    ninja -C "$folder" -j "$JOBS" --quiet
}
# only FOLDER NAME LIBRARY: prints the folder to be OCL_ICD_VENDORS, in which no other implementation is registered.
only() {
    mkdir -p "$1/vendors-$2"
    echo "$3" >"$1/vendors-$2/$2.icd"
    echo "$PWD/$1/vendors-$2"
}
pocl() { only "$1" pocl "$(cat /etc/OpenCL/vendors/pocl.icd)"; }
tests() { OCL_ICD_VENDORS=$(pocl "$1") ctest --test-dir "$1" -j "$JOBS" --output-on-failure; }

part_clang() {
    need clang
    build build-clang -DCMAKE_C_COMPILER=clang && tests build-clang
}

part_asan() {
    need clang
    build build-asan -DCMAKE_C_COMPILER=clang -DNORN_SANITIZE=address,undefined && tests build-asan
}

part_oclgrind() {
    need oclgrind
    build build-full || return 1
    log=build-full/oclgrind.log
    rm -f "$log"
    bad=0
    # --uninitialized is left out: its checker stops at LLVM's `freeze`. NORN_POISON finds what it would.
    # Not optimised: what LLVM makes of comparisons of vectors (zext of i1) Oclgrind computes as 255 or -1 instead of 1.
    for command in "tests/op_test --small" "norn verify tests/data/verify/simple tests/data/verify/pytorch-operator" \
        "norn verify tests/data/verify/node"; do
        # shellcheck disable=SC2086
        NORN_CACHE=0 oclgrind --build-options -cl-opt-disable --data-races --log "$log" build-full/$command >build-full/oclgrind.out || bad=1
        tail -n 1 build-full/oclgrind.out
        grep -E '^FAIL' build-full/oclgrind.out || true
    done
    # The kernels made for GPUs, with the parameters of some.
    for device in nvidia-rtx3060 mali-g78; do
        for op in MatMul Gemm Conv ConvTranspose ConvGradW Softmax ReduceSum BatchNormTrain; do
            NORN_CACHE=0 NORN_PLAN_AS=tests/devices/$device.txt oclgrind --build-options -cl-opt-disable --data-races \
                --log "$log" build-full/tests/op_test --small --op $op >build-full/oclgrind.out || bad=1
            echo "$device $op: $(tail -n 1 build-full/oclgrind.out)"
        done
    done
    # The solvers: a formula, and quadratic programs as CPUs and, with barriers in work-groups, as GPUs take them.
    "$JUDGES" - build-full <<'EOF' || bad=1
import sys
import numpy as np
r, n = np.random.default_rng(1), 70
f = r.normal(size=(12, 12))
np.savez(sys.argv[1] + "/dense.npz", P=f @ f.T, q=r.normal(size=12), A=r.normal(size=(5, 12)), l=-np.ones(5), u=np.ones(5))
np.savez(sys.argv[1] + "/banded.npz", P=2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1), q=r.normal(size=n), A=np.eye(n),
         l=np.full(n, -0.3), u=np.full(n, 0.3))
EOF
    solve() {
        NORN_CACHE=0 oclgrind --build-options -cl-opt-disable --data-races --log "$log" build-full/norn solve "$@" \
            >build-full/oclgrind.out || bad=1
        echo "solve: $(tail -n 1 build-full/oclgrind.out)"
    }
    solve '(1 - x)**2 + 100*(y - x**2)**2' --start x=-1.2,y=1 --method newton-cg
    solve --qp build-full/dense.npz
    solve --qp build-full/banded.npz
    export NORN_PLAN_AS=tests/devices/nvidia-rtx3060.txt
    solve --qp build-full/dense.npz
    unset NORN_PLAN_AS
    if [ -s "$log" ]; then
        echo "Oclgrind's complaints:"
        grep -A 6 -E '^(Invalid|Read-write|Write-write|OCLGRIND)' "$log" | head -n 60
        bad=1
    fi
    [ "$bad" = 0 ]
}

part_intel() {
    venv=build-full/intel
    need python3-venv
    build build-full || return 1
    if ! [ -e "$venv/lib/libintelocl.so" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0
    fi
    vendors=$(only build-full intel "$PWD/$venv/lib/libintelocl.so")
    bad=0
    NORN_CACHE=0 OCL_ICD_VENDORS=$vendors build-full/tests/op_test || bad=1
    for folder in tests/data/verify ../shared/fixtures/net ../shared/fixtures/gradnet; do
        if [ -d "$folder" ]; then
            NORN_CACHE=0 OCL_ICD_VENDORS=$vendors build-full/tests/verify/verify_check build-full/norn \
                tests/verify/expected.txt "$folder" || bad=1
        fi
    done
    [ "$bad" = 0 ]
}

part_rusticl() {
    need mesa-opencl-icd
    build build-full || return 1
    library=$(cat /etc/OpenCL/vendors/rusticl.icd 2>/dev/null || echo libRusticlOpenCL.so.1)
    vendors=$(only build-full rusticl "$library")
    echo "rusticl is reported only:"
    RUSTICL_ENABLE=llvmpipe OCL_ICD_VENDORS=$vendors build-full/norn devices || true
    RUSTICL_ENABLE=llvmpipe NORN_CACHE=0 OCL_ICD_VENDORS=$vendors timeout 1800 build-full/tests/op_test --small \
        >build-full/rusticl.out 2>&1 || echo "rusticl: exit code $?"
    grep -c '^FAIL' build-full/rusticl.out || true
    tail -n 3 build-full/rusticl.out
}

part_fuzz() {
    need clang
    build build-fuzz -DCMAKE_C_COMPILER=clang -DNORN_SANITIZE=address,undefined -DNORN_FUZZ=ON || return 1
    bad=0
    for fuzzer in build-fuzz/tests/fuzz/*; do
        if ! [ -f "$fuzzer" ] || ! [ -x "$fuzzer" ]; then
            continue
        fi
        name=$(basename "$fuzzer")
        mkdir -p "build-fuzz/corpus/$name"
        sh tests/fuzz/seeds.sh . "$name" "build-fuzz/seeds/$name"
        ASAN_OPTIONS=allocator_may_return_null=1 "$fuzzer" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=3000 \
            -timeout=10 -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" "build-fuzz/seeds/$name" \
            >"build-fuzz/$name.log" 2>&1 || {
            bad=1
            tail -n 40 "build-fuzz/$name.log"
        }
        echo "$name: $(grep -o 'DONE.*\|ERROR.*' "build-fuzz/$name.log" | tail -n 1)"
    done
    [ "$bad" = 0 ]
}

part_damage() {
    need clang
    build build-asan -DCMAKE_C_COMPILER=clang -DNORN_SANITIZE=address,undefined || return 1
    rm -rf build-asan/damaged
    NORN_DEVICE=host OCL_ICD_VENDORS=none ASAN_OPTIONS=allocator_may_return_null=1 "$JUDGES" tests/hostile/mutate.py \
        build-asan/norn build-asan/damaged tests/data/onnx tests/data/verify --sanitized --seed "$(date +%s)" \
        --seconds "${DAMAGE_SECONDS:-300}"
}

part_convert() {
    build build-full || return 1
    bad=0
    for folder in net zoo node node_old simple pytorch-converted pytorch-operator dtype external quant grad grad2 gradnet \
        train weights ops_onnx2c; do
        if [ -d "../shared/fixtures/$folder" ]; then
            echo "$folder:"
            NORN_CACHE_DIR=build-full/cache "$JUDGES" tests/onnx/convert.py build-full/norn "../shared/fixtures/$folder" \
                --certificate || bad=1
        fi
    done
    [ "$bad" = 0 ]
}

part_memory() {
    build build-full || return 1
    NORN_CACHE_DIR=build-full/cache "$JUDGES" tests/memory/outside.py build-full/norn \
        "$PWD/build-full/tests/memory/libmemory_count.so" build-full/nets --large
}

part_draw() {
    build build-full || return 1
    seed=$(date +%s)
    echo "seed $seed"
    NORN_CACHE_DIR=build-full/cache "$JUDGES" tests/draw/draw.py build-full/norn build-full/draw "$seed" 4
}

part_style() {
    need clang-format shellcheck
    bad=0
    changed=$(git ls-files '*.c' '*.h' | xargs clang-format --dry-run 2>&1 | sed -n 's/^\([^ :]*\):[0-9].*warning.*/\1/p' |
        sort | uniq -c)
    if [ -n "$changed" ]; then
        printf 'clang-format would change lines in\n%s\n' "$changed"
        bad=1
    fi
    git ls-files '*.sh' | xargs shellcheck -x -S warning || bad=1
    [ "$bad" = 0 ]
}

[ $# -gt 0 ] || set -- style clang asan oclgrind intel rusticl fuzz damage convert draw memory
for part in "$@"; do
    case $part in
    clang | asan | oclgrind | intel | rusticl | fuzz | damage | convert | draw | memory | style) ;;
    *)
        echo "check-full.sh: what is '$part'? (parts: clang asan oclgrind intel rusticl fuzz damage convert draw memory style)" >&2
        exit 2
        ;;
    esac
done
need $BUILD_PACKAGES $TEST_PACKAGES
judges
for part in "$@"; do
    say "$part"
    run "$part" "part_$part"
done
if [ -n "$failed" ]; then
    say "failed:$failed"
    exit 1
fi
say "all passed: $*"
