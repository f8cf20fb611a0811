#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which initialisers `norn grad MODEL.onnx` and `norn train` take as weights: weights.py NORN. Networks as exporters write them
that fold no constants: gates of recurrent operators in another order, the norm of a weight, a class token, constants of a
normalisation and sizes of a Resize in nodes. The gradients must be those of central differences of ONNX Runtime's values."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper as h, numpy_helper as nh

norn = sys.argv[1]
work = tempfile.mkdtemp()
rng = np.random.default_rng(3)
failures = 0


def say(ok, name, text):
    global failures
    failures += not ok
    print("ok  " if ok else "FAIL", name, text, flush=True)


def real(*shape):
    return np.asarray(rng.standard_normal(shape) * 0.5, np.float32)


class Net:
    def __init__(self):
        self.nodes, self.init, self.count = [], {}, 0

    def __call__(self, op, *inputs, **attrs):
        self.count += 1
        self.nodes.append(h.make_node(op, list(inputs), [f"v{self.count}"], **attrs))
        return f"v{self.count}"

    def const(self, value, dtype=np.int64):
        return self("Constant", value=nh.from_array(np.array(value, dtype)))

    def weight(self, name, value):
        self.init[name] = value
        return name

    def save(self, name, x, y, shape):
        self.nodes.append(h.make_node("Identity", [y], ["y"]))
        g = h.make_graph(self.nodes, name, [h.make_tensor_value_info("x", 1, x)], [h.make_tensor_value_info("y", 1, shape)],
                         [nh.from_array(v, k) for k, v in self.init.items()])
        m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(m, full_check=True)
        onnx.save(m, f"{work}/{name}.onnx")
        return m


def recurrent():
    """GRU with gates in torch's order r, z, n, then an RNN whose biases are two; weight-normalised output."""
    n = Net()

    def reorder(name, w):
        n.weight(name, w)
        part = [n("Slice", name, n.const([3 * k]), n.const([3 * k + 3]), n.const([0])) for k in (1, 0, 2)]
        return n("Concat", *part, axis=0)

    bias = n("Concat", reorder("g.b_ih", real(9)), reorder("g.b_hh", real(9)), axis=0)
    w, r = reorder("g.w_ih", real(9, 2)), reorder("g.w_hh", real(9, 3))
    zero = n.const([0])
    h0 = n("Expand", n.const(np.zeros((1, 1, 3)), np.float32), n.const([1, 2, 3]))
    n.nodes.append(h.make_node("GRU", [n("Transpose", "x", perm=[1, 0, 2]), n("Unsqueeze", w, zero), n("Unsqueeze", r, zero), n("Unsqueeze", bias, zero), "", h0],
                               ["gru"], hidden_size=3, linear_before_reset=1))
    seq = n("Squeeze", "gru", n.const([1]))
    both = n("Concat", n.weight("r.b_ih", real(4)), n.weight("r.b_hh", real(4)), axis=0)
    n.nodes.append(h.make_node("RNN", [seq, n("Unsqueeze", n.weight("r.w_ih", real(4, 3)), zero),
                                       n("Unsqueeze", n.weight("r.w_hh", real(4, 4)), zero), n("Unsqueeze", both, zero)],
                               ["rnn"], hidden_size=4))
    last = n("Gather", n("Squeeze", "rnn", n.const([1])), n.const(2), axis=0)
    v = n.weight("f.v", real(5, 4))
    unit = n("Div", v, n("ReduceL2", v, axes=[1], keepdims=1))
    y = n("Gemm", last, n("Mul", n.weight("f.g", real(5, 1)), unit), n.weight("f.bias", real(5)), transB=1)
    n.save("recurrent", [2, 3, 2], y, [2, 5])
    return n, (2, 3, 2), list(n.init), [], 2


def picture():
    """Group normalisation as torch writes it, GELU, Resize by scales that a Concat makes, a class token."""
    n = Net()
    c = n("Conv", "x", n.weight("c.weight", real(4, 2, 3, 3)), n.weight("c.bias", real(4)), pads=[1, 1, 1, 1])
    norm = n("InstanceNormalization", n("Reshape", c, n.const([0, 2, -1])), n.const(np.ones(2), np.float32),
             n.const(np.zeros(2), np.float32))
    back = n("Reshape", norm, n("Shape", c))
    axes = n.const([1, 2])
    a = n("Add", n("Mul", back, n("Unsqueeze", n.weight("n.weight", 1 + real(4)), axes)),
          n("Unsqueeze", n.weight("n.bias", real(4)), axes))
    erf = n("Add", n("Erf", n("Div", a, n.const(np.sqrt(2), np.float32))), n.const(1, np.float32))
    gelu = n("Mul", n("Mul", a, erf), n.const(0.5, np.float32))
    scales = n("Concat", n.const([1, 1], np.float32), n.const([2, 1.5], np.float32), axis=0)
    big = n("Resize", gelu, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    big = n("Mul", big, n.weight("temperature", np.array(0.7, np.float32)))
    rows = n("Transpose", n("Flatten", n("AveragePool", big, kernel_shape=[2, 3], strides=[2, 3]), axis=2), perm=[0, 1])
    tokens = n("Reshape", rows, n.const([3, 4, -1]))
    token = n("Expand", n.weight("token", real(1, 1, 4)), n("Concat", n.const([3]), n.const([1]), n.const([1]), axis=0))
    joined = n("Concat", token, tokens, axis=1)
    first = n("Add", joined, n.weight("position", real(1, 5, 4)))
    y = n("MatMul", n("ReduceMean", first, axes=[1], keepdims=0), n("Transpose", n.weight("f.weight", real(4, 4)), perm=[1, 0]))
    n.save("picture", [3, 2, 4, 3], y, [3, 4])
    return n, (3, 2, 4, 3), [k for k in n.init if k != "temperature"], ["temperature"], 3


def in_nodes():
    """A file that has all weights in Constant nodes: those are taken, without scalars."""
    n = Net()
    w, b = n.const(real(3, 4), np.float32), n.const(real(4), np.float32)
    y = n("Mul", n("Tanh", n("Gemm", "x", w, b)), n.const(0.5, np.float32))
    n.save("in_nodes", [2, 3], y, [2, 4])
    return n, (2, 3), [w, b], [], 2


def run(*args):
    r = subprocess.run([norn, *args], capture_output=True, text=True)
    if r.returncode:
        say(False, args[1], r.stderr)
    return r


def value(model):
    o = ort.SessionOptions()
    o.log_severity_level = 3
    return ort.InferenceSession(model if isinstance(model, str) else model.SerializeToString(), o,
                                providers=["CPUExecutionProvider"])


def double(model):
    """The value with all weights as inputs: differences of it are taken."""
    m = onnx.load(model)
    for t in m.graph.initializer:
        m.graph.input.append(h.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
    del m.graph.initializer[:]
    return value(m)


def check(made):
    n, shape, want, others, batch = made
    name = n.name
    src, dst = f"{work}/{name}.onnx", f"{work}/{name}-out.onnx"
    scalars = set(others)  # initialisers that are scalars: asked for, but not trained
    x = real(*shape)
    run("grad", src, dst, "--wrt", "weights")
    s = value(dst)
    names = [o.name for o in s.get_outputs()]
    got = {k[5:] for k in names if k.startswith("grad:")}
    say(got == set(want) | scalars, name, f"--wrt weights: {sorted(got)}")
    up = next(i for i in s.get_inputs() if i.name != "x")
    feeds = {"x": x, up.name: real(*up.shape)}
    out = dict(zip(names, s.run(None, feeds)))
    if n.init:
        f, worst = double(src), 0.0
        for k in n.init:
            way, e = real(*n.init[k].shape), np.float32(2e-3)
            plus, minus = (float((f.run(None, {**n.init, "x": x, k: np.asarray(n.init[k] + d * way, np.float32)})[0].astype(np.float64) *
                                  feeds[up.name]).sum()) for d in (e, -e))
            slope = (plus - minus) / (2 * float(e))
            told = float((out["grad:" + k].astype(np.float64) * way).sum())
            worst = max(worst, abs(slope - told) / (0.02 + abs(slope)))
        say(worst < 0.02, name, f"differences: {worst:.3g}")
    for how in ("--step", "sgd"), ("--loss", "cross-entropy"), ("--loss", "mse"):
        r = run("grad", src, dst, *how, "--batch", str(batch))
        names = [o.name for o in value(dst).get_outputs()]
        got = {k[:-5] for k in names if k.endswith("_next")} | {k[5:] for k in names if k.startswith("grad:")}
        say(got == set(want), name, f"{how}: {sorted(got)}")
        say(f" in {len(want)} tensors are trained" in r.stderr, name, r.stderr.strip().split("\n")[0])
        for k in others:
            say(f"not trained: {k}" in r.stderr, name, f"says that {k} is not trained")
    np.savez(f"{work}/data.npz", x=np.concatenate([x, x]), y=np.arange(2 * batch) % 4)
    r = run("train", src, "--data", f"{work}/data.npz", "--epochs", "1", "--batch", str(batch), "--json", "--out",
            f"{work}/trained.onnx")
    trained = {p["name"] for p in json.loads(r.stdout)["parameters"] if p["trained"]}
    say(trained == set(want), name, f"norn train: {sorted(trained)}")


for make in recurrent, picture, in_nodes:
    made = make()
    made[0].name = make.__name__
    check(made)
sys.exit(failures > 0)
