#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs norn into a folder of its own, builds the examples against what was installed (find_package, then pkg-config),
# runs them and looks at what they print. Usage: installed.sh SOURCE BUILD WORK
set -eu
source=$1 build=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
cmake -S "$source/examples/c" -B "$work/examples" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" >"$work/cmake.log"
cmake --build "$work/examples" >"$work/build.log"
cd "$work"
mv prefix moved
moved/bin/norn version >version.txt # finds its library, wherever it is
mv moved prefix

says() { # FILE TEXT
    grep -qF -- "$2" "$1" || {
        echo "$1 lacks '$2':"
        cat "$1"
        exit 1
    }
}
for level in 1_devices 2_tensors 3_operators 4_gradient 5_modules 6_training 7_formulas 8_operators; do
    "examples/$level" >"$level.txt" || {
        echo "$level failed"
        exit 1
    }
    lines=$(wc -l <"$source/examples/c/$level.c")
    [ "$lines" -le 60 ] || {
        echo "$level.c has $lines lines (wanted at most 60)"
        exit 1
    }
done
says 1_devices.txt "1024 bytes there and back: equal"
says 2_tensors.txt "turned     float[3,2] {1, 0, 2, 0, 3, 0}"
says 3_operators.txt "leaky relu     = 0.5 -0.2 / 1.5 -0.4"
says 3_operators.txt "refused: Add(float[2,2], float[3])"
says 4_gradient.txt "df  (2) = 1.9726"
says 5_modules.txt "Softmax"
says 6_training.txt "step 300: mean squared error 0.00"
says 7_formulas.txt "d(x**2)/dx = 2*x"
says 7_formulas.txt "at 4: 8"
says 7_formulas.txt "its gradient: sigmoid(x)*(1 - sigmoid(x)) + "
says 8_operators.txt "value 6.0000, gradient 0.2500 -1.0000 2.2500 0.0000 0.0000 0.0000"
test -s modules.onnx

# The library finds the program that compiles for it, wherever it is, where the device wants one.
case $(prefix/bin/norn devices) in
*PoCL*)
    mv prefix moved
    worker=$(find "$work/moved" -name norn-worker)
    mv "$worker" "$worker.real"
    printf '#!/bin/sh\necho started >>"%s/workers.txt"\nexec "%s" "$@"\n' "$work" "$worker.real" >"$worker"
    chmod +x "$worker"
    NORN_DEVICE=pocl NORN_CACHE=1 NORN_CACHE_DIR=$work/cache moved/bin/norn run modules.onnx >run.txt
    says workers.txt started
    mv "$worker.real" "$worker"
    mv moved prefix
    ;;
esac

# pkg-config, and the header in C++.
PKG_CONFIG_PATH=$(dirname "$(find prefix -name norn.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir norn)
# shellcheck disable=SC2046
cc -std=c11 "$source/examples/c/4_gradient.c" -o by_pkg_config $(pkg-config --cflags --libs norn) -lm -Wl,-rpath,"$libdir"
./by_pkg_config 2 >pkg.txt
cmp pkg.txt 4_gradient.txt
if command -v c++ >/dev/null 2>&1; then
    printf '#include <norn.h>\nint main() { return norn_version()[0] == 0; }\n' >header.cpp
    # shellcheck disable=SC2046
    c++ -Wall -Werror header.cpp -o header $(pkg-config --cflags --libs norn) -Wl,-rpath,"$libdir"
    ./header
fi
