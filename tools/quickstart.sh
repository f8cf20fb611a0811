#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a clone to a trained network: installs the packages that are missing, builds norn, trains a small network on the
# handwritten digits in examples/digits, saves it as ONNX, loads that file again and reads one picture with it.
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
say() { printf '\n== %s\n' "$*"; }

say "Packages"
need $BUILD_PACKAGES
echo "All there."

say "Build"
mkdir -p build
cmake -S . -B build -G Ninja -DNORN_TESTS=OFF >build/cmake.log || { cat build/cmake.log; exit 1; }
ninja -C build -j "$JOBS" --quiet
./build/norn version

say "OpenCL devices"
./build/norn devices

say "Training LeNet on 1437 handwritten digits"
./build/norn train lenet --data examples/digits/digits.npz:train --val examples/digits/digits.npz:test \
    --epochs 40 --lr 0.001 --out digits.onnx

say "Reading a picture with the saved network"
./build/norn run digits.onnx --input x=examples/digits/png/7.png

cat <<'EOT'

== What to try next
  ./build/norn show digits.onnx                                what is in the file
  ./build/norn run digits.onnx --input x=examples/digits/png/3.png
  ./build/norn bench model digits.onnx                         how fast it is here, checked against the host reference
  ./build/norn train YOUR.onnx --data YOUR.npz --out OUT.onnx  train on: any ONNX file, your own data
  ./build/norn --help                                          the other verbs
EOT
