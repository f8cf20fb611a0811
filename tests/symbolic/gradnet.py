# SPDX-License-Identifier: Apache-2.0
"""Gradients of networks as ONNX, run by ONNX Runtime: gradnet.py NORN FIXTURES. Those of FIXTURES/gradnet against torch's,
those of FIXTURES/train against the recorded first gradients, and ten training steps against the recorded losses. Only
operators of ONNX's own domain may be in the files."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

norn, fixtures = sys.argv[1], sys.argv[2]
work = tempfile.mkdtemp()
failures = 0


def say(ok, name, text):
    global failures
    failures += not ok
    print("ok  " if ok else "FAIL", name, text, flush=True)


def norn_grad(*args):
    subprocess.run([norn, "grad", *args], check=True, stdout=subprocess.DEVNULL)


def session(path):
    model = onnx.load(path)
    foreign = {n.domain for n in model.graph.node} - {"", "ai.onnx"}
    if foreign:
        say(False, path, f"has operators of {foreign}")
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def load_pb(path):
    with open(path, "rb") as f:
        return numpy_helper.to_array(onnx.TensorProto.FromString(f.read()))


def compare(name, got, want, rtol, atol):
    worst = 0.0
    for key, w in want.items():
        if key not in got:
            say(False, name, f"no gradient of {key}")
            return
        g = got[key].astype(np.float64)
        if g.shape != w.shape:
            say(False, name, f"{key}: shape {g.shape} (wanted {w.shape})")
            return
        scale = atol * max(1.0, float(np.abs(w).max())) + rtol * np.abs(w)
        worst = max(worst, float((np.abs(g - w) / scale).max()) if w.size else 0.0)
    say(worst <= 1, name, f"{len(want)} gradients, largest difference {worst:.3g} of the tolerance")


def gradnet(folder):
    name = os.path.basename(folder)
    meta = json.load(open(folder + "/meta.json"))
    data = folder + "/test_data_set_0/"
    tolerance = meta.get("tolerance_grad", {"rtol": 1e-3, "atol": 1e-5})
    inputs = [i.name for i in onnx.load(folder + "/model.onnx", load_external_data=False).graph.input]
    init = {i.name for i in onnx.load(folder + "/model.onnx").graph.initializer}
    inputs = [i for i in inputs if i not in init]
    feeds = {n: load_pb(f"{data}input_{k}.pb") for k, n in enumerate(inputs)}
    out = f"{work}/{name}.onnx"
    batch = str(next(iter(feeds.values())).shape[0])
    norn_grad(folder + "/model.onnx", out, "--wrt", "weights", "--batch", batch)
    s = session(out)
    extra = [i.name for i in s.get_inputs() if i.name not in feeds]
    feeds[extra[0]] = load_pb(data + "grad_output_0.pb")
    names = [o.name for o in s.get_outputs() if o.name.startswith("grad:")]
    got = {n[5:]: v for n, v in zip(names, s.run(names, feeds))}
    want = {k: v.astype(np.float64) for k, v in np.load(folder + "/grads.npz").items()}
    compare("gradnet/" + name, got, want, tolerance["rtol"], tolerance["atol"])
    wanted = {n: f"{data}grad_input_{k}.pb" for k, n in enumerate(inputs)}
    wanted = {n: load_pb(p).astype(np.float64) for n, p in wanted.items() if os.path.exists(p)}
    if wanted:
        norn_grad(folder + "/model.onnx", out, "--wrt", "inputs", "--batch", batch)
        s = session(out)
        names = [o.name for o in s.get_outputs() if o.name.startswith("grad:")]
        got = {n[5:]: v for n, v in zip(names, s.run(names, feeds))}
        compare("gradnet/" + name + " inputs", got, wanted, tolerance["rtol"], tolerance["atol"])


def train(folder):
    name = os.path.basename(folder)
    meta = json.load(open(folder + "/meta.json"))
    batches = np.load(folder + "/batches.npz")
    batch = meta["batch"] if "batch" in meta else meta["batch_size"]
    x, y = batches["x"], batches["y"]
    out = f"{work}/{name}.onnx"
    norn_grad(folder + "/model.onnx", out, "--loss", "cross-entropy", "--batch", str(batch))
    s = session(out)
    feed = {s.get_inputs()[0].name: x[:batch], "labels": y[:batch].astype(np.int64)}
    names = [o.name for o in s.get_outputs() if o.name.startswith("grad:")]
    got = {n[5:]: v for n, v in zip(names, s.run(names, feed))}
    want = {k: v.astype(np.float64) for k, v in np.load(folder + "/grads0.npz").items() if k in got}
    compare("train/" + name, got, want, 1e-4, 1e-6)
    for which, of in meta["optimizers"].items():
        if which not in ("sgd", "adam"):
            continue
        norn_grad(folder + "/model.onnx", out, "--step", which, "--batch", str(batch))
        s = session(out)
        state = dict(np.load(out[:-5] + ".npz"))
        losses = np.load(f"{folder}/{which}.losses_f64.npy")
        lr = np.array(of["args"]["lr"], np.float32)
        worst = 0.0
        for k in range(10):
            feed = dict(state)
            feed[s.get_inputs()[0].name] = x[k * batch:(k + 1) * batch]
            feed["labels"] = y[k * batch:(k + 1) * batch].astype(np.int64)
            feed["lr"] = lr
            names = [o.name for o in s.get_outputs()]
            result = dict(zip(names, s.run(names, feed)))
            state = {n: result[n + "_next"] for n in state}
            worst = max(worst, abs(float(result["loss"]) - losses[k]) / (1e-4 + 1e-4 * abs(losses[k])))
        say(worst <= 1, f"train/{name} {which}", f"ten steps, largest difference {worst:.3g} of the tolerance")


def dropout():
    """A step with Dropout: the runtime draws what is kept, anew each time, and the network still learns."""
    h, r = onnx.helper, np.random.default_rng(0)
    init = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in (("w", r.normal(size=(4, 8))), ("b", np.zeros(8)),
                                                                         ("w2", r.normal(size=(8, 3))), ("ratio", np.array(0.5)))]
    nodes = [h.make_node("Gemm", ["x", "w", "b"], ["g"]), h.make_node("Relu", ["g"], ["a"]),
             h.make_node("Dropout", ["a", "ratio"], ["d"]), h.make_node("Gemm", ["d", "w2"], ["y"])]
    g = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", 1, ["N", 4])], [h.make_tensor_value_info("y", 1, ["N", 3])], init)
    path, out = work + "/dropout.onnx", work + "/dropout-step.onnx"
    onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    norn_grad(path, out, "--step", "sgd", "--batch", "256")
    s, state = session(out), dict(np.load(work + "/dropout-step.npz"))
    x = r.normal(size=(256, 4)).astype(np.float32)
    feed = {"x": x, "labels": (x.sum(1) > 0).astype(np.int64), "lr": np.array(0.5, np.float32)}
    names, losses = [o.name for o in s.get_outputs()], []
    again = [float(dict(zip(names, s.run(names, {**feed, **state})))["loss"]) for _ in range(3)]
    for _ in range(60):
        result = dict(zip(names, s.run(names, {**feed, **state})))
        state = {n: result[n + "_next"] for n in state}
        losses.append(float(result["loss"]))
    say(len(set(again)) == 3 and losses[-1] < losses[0] / 2, "step with Dropout",
        f"loss {losses[0]:.2f} to {losses[-1]:.2f}; three draws give {sorted(again)}")
    norn_grad(path, out, "--wrt", "weights")
    got = {o.name for o in session(out).get_outputs()}
    say(got == {"y", "grad:w", "grad:b", "grad:w2"}, "gradient with Dropout", str(sorted(got)))


try:
    dropout()
except Exception as e:
    say(False, "Dropout", repr(e)[:300])
for folder in sorted(glob.glob(fixtures + "/gradnet/*")):
    try:
        gradnet(folder)
    except Exception as e:
        say(False, folder, repr(e)[:300])
for folder in sorted(glob.glob(fixtures + "/train/*")):
    try:
        train(folder)
    except Exception as e:
        say(False, folder, repr(e)[:300])
sys.exit(failures != 0)
