#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gradients of loops whose number of iterations is an input or follows from what they compute: loops.py NORN. First and second
derivatives that `norn grad` writes must be those of central differences, in ONNX Runtime and in `norn run`."""
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
rng = np.random.default_rng(1)
failures = 0
NAMES = ["x", "w", "v0", "u0"]


def vector(name):
    return h.make_tensor_value_info(name, 1, [3])


def model(stops):
    """v <- g tanh(v w + x), u <- (u + i) v, scanned v' v; M iterations, or (stops) fewer: while the sum of v is below 1.2."""
    body = [h.make_node("Mul", ["v", "w"], ["a"]), h.make_node("Add", ["a", "x"], ["b"]),
            h.make_node("Tanh", ["b"], ["t"]), h.make_node("Mul", ["t", "g"], ["vo"]),
            h.make_node("Mul", ["vo", "v"], ["s"]), h.make_node("Cast", ["i"], ["fi"], to=1),
            h.make_node("Add", ["u", "fi"], ["u1"]), h.make_node("Mul", ["u1", "v"], ["uo"])]
    if stops:
        body += [h.make_node("ReduceSum", ["vo"], ["q"], keepdims=0), h.make_node("Less", ["q", "limit"], ["co"])]
    else:
        body += [h.make_node("Identity", ["ci"], ["co"])]
    scalar = [h.make_tensor_value_info("i", 7, []), h.make_tensor_value_info("ci", 9, [])]
    sub = h.make_graph(body, "body", scalar + [vector("v"), vector("u")],
                       [h.make_tensor_value_info("co", 9, []), vector("vo"), vector("uo"), vector("s")])
    nodes = [h.make_node("Loop", ["M", "c", "v0", "u0"], ["vf", "uf", "ss"], body=sub),
             h.make_node("Mul", ["ss", "ss"], ["s2"]), h.make_node("ReduceSum", ["s2"], ["sa"], keepdims=0),
             h.make_node("ReduceSum", ["vf"], ["sb"], keepdims=0), h.make_node("ReduceSum", ["uf"], ["sc"], keepdims=0),
             h.make_node("Sum", ["sa", "sb", "sc"], ["loss"])]
    g = h.make_graph(nodes, "g", [h.make_tensor_value_info("M", 7, [])] + [vector(n) for n in NAMES],
                     [h.make_tensor_value_info("loss", 1, [])],
                     [nh.from_array(np.array(True), "c"), nh.from_array(np.float32(1.3), "g"),
                      nh.from_array(np.float32(1.2), "limit")])
    return h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def grad(m, name):
    src, dst = f"{work}/{name}.onnx", f"{work}/{name}-grad.onnx"
    onnx.checker.check_model(m, full_check=True)
    onnx.save(m, src)
    subprocess.run([norn, "grad", src, dst, "--wrt", ",".join(NAMES)], check=True, capture_output=True)
    made = onnx.load(dst)
    onnx.checker.check_model(made, full_check=True)
    return made, dst


def outputs(m):
    so = ort.SessionOptions()
    so.intra_op_num_threads = 1
    s = ort.InferenceSession(m.SerializeToString(), so, providers=["CPUExecutionProvider"])
    return lambda f: dict(zip([o.name for o in m.graph.output],
                              s.run(None, {i.name: f[i.name] for i in m.graph.input})))


def by_norn(path, m, fed):
    for i in m.graph.input:
        np.save(f"{work}/{i.name}.npy", fed[i.name])
    feeds = [a for i in m.graph.input for a in ("--input", f"{i.name}={work}/{i.name}.npy")]
    subprocess.run([norn, "run", path, "--output-dir", work + "/out", *feeds], check=True, capture_output=True)
    return {o.name: np.load(f"{work}/out/{o.name}.npy") for o in m.graph.output}


def check(what, m, path, f, fed):
    global failures
    got = {"ONNX Runtime": outputs(m)(fed), "norn": by_norn(path, m, fed)}
    for n in NAMES:
        want, e = np.zeros(3), 4e-3
        for k in range(3):
            up, down = ({**fed, n: fed[n] + s * e * np.eye(3, dtype=np.float32)[k]} for s in (1, -1))
            want[k] = (float(f(up)) - float(f(down))) / (2 * e)
        for who, y in got.items():
            if not np.allclose(y["grad:" + n], want, rtol=5e-3, atol=3e-3):
                failures += 1
                print("FAIL", what, n, who, y["grad:" + n], "wanted", want)


def iterations(fed, stops):
    v = fed["v0"]
    for k in range(int(fed["M"])):
        v = 1.3 * np.tanh(v * fed["w"] + fed["x"])
        if stops and v.sum() >= 1.2:
            return k + 1
    return int(fed["M"])


EARLY = {"x": (0.1, 0.2), "w": (0.8, 1), "v0": (0, 0.1)}  # the sum of v is some 0.7, then 1.4
for stops in (False, True):
    m = model(stops)
    made, path = grad(m, f"loop{stops:d}")
    loss = outputs(m)
    for count in (0, 1, 4):
        fed = {n: rng.uniform(*(EARLY.get(n, (-1, 1)) if stops else (-1, 1)), 3).astype(np.float32) for n in NAMES}
        fed["M"] = np.array(count, np.int64)
        ran = iterations(fed, stops)
        if ran != (2 if stops and count == 4 else count):
            sys.exit(f"stops={stops} M={count}: {ran} iterations: this does not test what it should")
        check(f"stops={stops} M={count}", made, path, lambda f: loss(f)["loss"], fed)

# The gradient of the product of two gradients.
m = onnx.ModelProto.FromString(grad(model(False), "first")[0].SerializeToString())
m.graph.node.extend([h.make_node("Mul", ["grad:w", "grad:x"], ["both"]), h.make_node("ReduceSum", ["both"], ["loss2"], keepdims=0)])
del m.graph.output[:]
m.graph.output.append(h.make_tensor_value_info("loss2", 1, []))
made, path = grad(m, "second")
loss2 = outputs(m)
fed = {n: rng.uniform(-0.6, 0.6, 3).astype(np.float32) for n in NAMES}
fed["M"] = np.array(3, np.int64)
check("second derivative", made, path, lambda f: loss2(f)["loss2"], fed)
print("ok" if not failures else f"{failures} failures")
sys.exit(failures > 0)
