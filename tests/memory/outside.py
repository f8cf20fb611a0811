#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The memory that networks take, counted from outside (count.c), against what "norn plan" says and what they need.

    outside.py NORN COUNT.so FOLDER [--large]

Residual, dense and U-shaped networks with random weights are run and trained. Buffers: within 1.15 of what the plan says
(some platforms give memory back a little later than they say); work memory within 1.15 of the largest sum of tensors that
live at once; the process: no more than the buffers, the bare OpenCL platform and 60 MiB (training: twice that, and twice the
weights, which are read and written as files). --large: sizes as published."""
import json, os, re, subprocess, sys
import numpy as np
import onnx
from onnx import helper as h, numpy_helper as nh

MIB = 1 << 20


class Net:
    def __init__(self, size):
        self.nodes, self.weights, self.n, self.r = [], [], 0, np.random.default_rng(7)
        self.size = size

    def op(self, kind, *inputs, **attributes):
        self.n += 1
        self.nodes.append(h.make_node(kind, inputs, [f"v{self.n}"], name=f"n{self.n}", **attributes))
        return f"v{self.n}"

    def weight(self, *shape, scale=None):
        v = self.r.standard_normal(shape).astype("f") * (scale or np.sqrt(2 / np.prod(shape[1:])))
        self.weights.append(nh.from_array(v.astype("f"), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def norm(self, x, c):
        v = [np.ones(c), np.zeros(c), np.zeros(c), np.ones(c)]
        names = []
        for a in v:
            self.weights.append(nh.from_array(a.astype("f"), f"w{len(self.weights)}"))
            names.append(self.weights[-1].name)
        return self.op("BatchNormalization", x, *names)

    def conv(self, x, c, n, k=3, stride=1, relu=True):
        x = self.op("Conv", x, self.weight(n, c, k, k), kernel_shape=[k, k], strides=[stride, stride], pads=[k // 2] * 4)
        x = self.norm(x, n)
        return self.op("Relu", x) if relu else x

    def finish(self, x, c, classes=10):
        x = self.op("Flatten", self.op("GlobalAveragePool", x))
        w, b = self.weight(classes, c), self.weight(classes, scale=0.01)
        return self.op("Gemm", x, w, b, transB=1)

    def save(self, path, y, shape):
        ins = [h.make_tensor_value_info("x", 1, ["N", 3, self.size, self.size])]
        g = h.make_graph(self.nodes, "net", ins, [h.make_tensor_value_info(y, 1, shape)], self.weights)
        onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


def residual(size, w, depth, path):  # w 64, depth (3, 4, 6, 3): ResNet-50
    t = Net(size)
    x = t.conv("x", 3, w, 7, 2)
    x = t.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c = w
    for stage, n in enumerate(depth):
        for i in range(n):
            k, stride = w << stage, 2 if stage and not i else 1
            y = t.conv(t.conv(t.conv(x, c, k, 1), k, k, 3, stride), k, 4 * k, 1, relu=False)
            x = x if i else t.conv(x, c, 4 * k, 1, stride, relu=False)
            x, c = t.op("Relu", t.op("Add", y, x)), 4 * k
    t.save(path, t.finish(x, c), ["N", 10])


def dense(size, growth, depth, path):  # growth 32, depth (6, 12, 24, 16): DenseNet-121
    t = Net(size)
    c = 2 * growth
    x = t.op("MaxPool", t.conv("x", 3, c, 7, 2), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage, n in enumerate(depth):
        for _ in range(n):
            y = t.op("Relu", t.norm(x, c))
            y = t.conv(y, c, 4 * growth, 1)
            y = t.op("Conv", y, t.weight(growth, 4 * growth, 3, 3), kernel_shape=[3, 3], pads=[1] * 4)
            x, c = t.op("Concat", x, y, axis=1), c + growth
        if stage < len(depth) - 1:
            x = t.conv(t.op("Relu", t.norm(x, c)), c, c // 2, 1)
            x, c = t.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), c // 2
    t.save(path, t.finish(x, c), ["N", 10])


def u_shaped(size, w, depth, path):  # w 64, depth 4: U-Net
    t = Net(size)
    x, c, kept = "x", 3, []
    for i in range(depth):
        x = t.conv(t.conv(x, c, w << i), w << i, w << i)
        c = w << i
        kept.append((x, c))
        x = t.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x, c = t.conv(t.conv(x, c, 2 * c), 2 * c, 2 * c), 2 * c
    for y, n in reversed(kept):
        x = t.op("ConvTranspose", x, t.weight(c, n, 2, 2), kernel_shape=[2, 2], strides=[2, 2])
        x = t.conv(t.conv(t.op("Concat", y, x, axis=1), 2 * n, n), n, n)
        c = n
    t.save(path, t.op("Conv", x, t.weight(4, c, 1, 1)), ["N", 4, size, size])


def run(*command, **env):
    p = subprocess.run(command, capture_output=True, text=True, env=os.environ | env)
    if p.returncode:
        sys.exit(f"{' '.join(command)}: exit code {p.returncode}\n{p.stderr}")
    return p.stdout


def counted(count, folder, *command):
    path = folder + "/count.txt"
    for _ in range(2):  # the first time kernels are compiled, by the driver and in its memory
        run(*command, LD_PRELOAD=count, NORN_TEST_COUNT=path)
    return [int(v) for v in open(path).read().split()]


def main():
    norn, count, folder = sys.argv[1:4]
    large = "--large" in sys.argv
    os.makedirs(folder, exist_ok=True)
    _, bare = counted(count, folder, norn, "devices")
    nets = {
        "residual": (residual, (224, 64, (3, 4, 6, 3)) if large else (64, 16, (2, 2, 2, 2))),
        "dense": (dense, (224, 32, (6, 12, 24, 16)) if large else (64, 16, (3, 4, 4, 3))),
        "u_shaped": (u_shaped, (256, 64, 4) if large else (64, 16, 3)),
    }
    bad = 0
    for name, (make, sizes) in nets.items():
        model, n, size = f"{folder}/{name}.onnx", 2, sizes[0]
        make(*sizes, model)
        file = os.path.getsize(model)
        x = np.random.default_rng(1).random((n, 3, size, size), dtype="f")
        np.save(folder + "/x.npy", x)
        kinds = ["run"] if name == "u_shaped" else ["run", "train"]
        if "train" in kinds:
            np.savez(folder + "/set.npz", x=x, y=np.arange(n) % 10)
        for kind in kinds:
            train = kind == "train"
            plan = json.loads(run(norn, "plan", model, "--json", *(["--train", "--batch", str(n)] if train else ["--dim", f"N={n}"])))
            bound = ""
            if not train:
                bound = re.search(r"work (\d+) bytes \(lower bound (\d+)\)", run(norn, "show", "--stage", "plan", model, "--dim", f"N={n}"))
                ratio = int(bound[1]) / int(bound[2])
                bound = f", work memory {ratio:.3f} of the lower bound"
                bad += ratio > 1.15
            command = [norn, "train", model, "--data", folder + "/set.npz", "--batch", str(n), "--epochs", "1", "--out",
                       folder + "/out.onnx"] if train else [norn, "run", model, "--input", f"x={folder}/x.npy"]
            buffers, process = counted(count, folder, *command)
            rest = process - bare - buffers - (2 * file if train else 0)
            wrong = not plan["constant_bytes"] < buffers <= 1.15 * plan["peak_bytes"] + MIB or rest > (120 if train else 60) * MIB
            bad += wrong
            print(f"{'FAIL' if wrong else 'ok'} {name} {kind}: buffers {buffers / MIB:.1f} MiB, planned {plan['peak_bytes'] / MIB:.1f} MiB{bound}; "
                  f"process {process / MIB:.0f} MiB, of that {rest / MIB:.0f} MiB neither buffers nor platform ({bare / MIB:.0f} MiB); file {file / MIB:.0f} MiB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
