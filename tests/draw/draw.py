#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operators with attributes, shapes and types drawn by a seed, norn against onnxruntime and ONNX's reference evaluator.

    draw.py NORN FOLDER SEED N [--device D] [--all] [OPERATOR]...

N draws of each operator, as folders of FOLDER that "norn verify" runs in one go. Where both judges have an answer and they
differ, either may be right. A draw that norn fails is printed with its attributes and makes the exit code 1; one that it
says it does not support is counted, and listed with --all, like what one of two judges finds wrong."""
import os, shutil, subprocess, sys
import numpy as np
import onnx
from onnx import helper as h, numpy_helper as nh

import arithmetic, layers, microsoft, movement, others  # each registers its operators
from choices import OPS, Draw, Skip


# ---- Cases.
def model_of(d):
    names = [f"x{i}" if v is not None else "" for i, (v, _) in enumerate(d.inputs)]
    while names and not names[-1]:
        names.pop()
    fed = {n: v for n, (v, const) in zip(names, d.inputs) if n and not const}
    outs = [f"y{i}" for i in range(d.n_out)]
    node = h.make_node(d.op, names, outs, domain=d.domain, **d.attrs)
    kind = lambda v: h.np_dtype_to_tensor_dtype(v.dtype)
    g = h.make_graph([node], "g", [h.make_tensor_value_info(n, kind(v), v.shape) for n, v in fed.items()],
                     [onnx.ValueInfoProto(name=o) for o in outs],
                     [nh.from_array(v, n) for n, (v, const) in zip(names, d.inputs) if n and const])
    m = h.make_model(g, opset_imports=[h.make_opsetid(d.domain, d.opset)], ir_version=10)
    if d.domain == "com.microsoft":  # onnx knows no types there; `save` takes those of the results
        m.opset_import.append(h.make_opsetid("", 21))
        return m, fed
    m = onnx.shape_inference.infer_shapes(m)
    for o in m.graph.output:  # types only: shapes are norn's to find
        if not o.type.tensor_type.elem_type:
            raise Skip
        o.type.tensor_type.ClearField("shape")
    return m, fed


def misread(m):
    """What the reference evaluator has wrong: LRN beyond the first N channels; opset 12 and older with one axis of softmax."""
    op, opset = m.graph.node[0].op_type, m.opset_import[0].version
    return m.graph.node[0].domain == "com.microsoft" or op == "LRN" or (op in ("Softmax", "LogSoftmax", "Hardmax") and opset < 13)


def judges(m, fed):
    import warnings
    import onnxruntime as ort
    from onnx.reference import ReferenceEvaluator

    warnings.simplefilter("ignore")
    so = ort.SessionOptions()
    so.log_severity_level = 4
    so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    so.intra_op_num_threads = 1
    try:
        yield "ort", ort.InferenceSession(m.SerializeToString(), so, providers=["CPUExecutionProvider"]).run(None, fed)
    except Exception:
        pass
    if misread(m):
        return
    try:
        with np.errstate(all="ignore"):
            yield "ref", ReferenceEvaluator(m).run(None, fed)
    except Exception:
        pass


def same(a, b):
    return all(x.shape == y.shape and x.dtype == y.dtype and
               np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=1e-3, atol=1e-4, equal_nan=True)
               for x, y in zip(map(np.asarray, a), map(np.asarray, b)))


def save(folder, m, fed, outs):
    data = folder + "/test_data_set_0"
    os.makedirs(data)
    for o, v in zip(m.graph.output, outs):
        if not o.type.tensor_type.elem_type:
            o.type.tensor_type.elem_type = h.np_dtype_to_tensor_dtype(np.asarray(v).dtype)
    onnx.save(m, folder + "/model.onnx")
    if any(np.asarray(v).dtype == np.float16 for v in outs):  # the judges add in 16 bits themselves
        with open(folder + "/meta.json", "w") as f:
            f.write('{"tolerance": {"rtol": 0.004, "atol": 0.0005}}')
    for kind, arrays in (("input", list(fed.values())), ("output", outs)):
        for i, v in enumerate(arrays):
            with open(f"{data}/{kind}_{i}.pb", "wb") as f:
                f.write(nh.from_array(np.asarray(v)).SerializeToString())


def main():
    args = sys.argv[1:]
    device, listed = [], "--all" in args
    if listed:
        args.remove("--all")
    if "--device" in args:
        i = args.index("--device")
        device, args = args[i : i + 2], args[:i] + args[i + 2 :]
    norn, root, seed, n = args[0], args[1], int(args[2]), int(args[3])
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    said, judged = {}, {}
    for name in args[4:] or sorted(OPS):
        for k in range(n):
            d = Draw(name, seed * 100003 + k)
            try:
                OPS[name](d)
                m, fed = model_of(d)
            except Skip:
                continue
            found = list(judges(m, fed))
            if len(found) == 2 and same(found[0][1], found[1][1]):
                found = found[:1]
            case = f"{name}_{k}"
            said[case] = f"opset {d.opset} {d.attrs} " + ", ".join(
                "-" if v is None else f"{v.dtype}{list(v.shape)}" + (str(v.tolist())[:60] if v.size < 9 and v.dtype.kind == "i" else "") + ("c" if c else "") for v, c in d.inputs)
            judged[case] = [j for j, _ in found]
            for j, outs in found:
                save(f"{root}/{case}@{j}", m, fed, outs)
    run = subprocess.run([norn, "verify", *device, root], capture_output=True, text=True)
    bad, refused, count = {}, {}, 0
    for line in run.stdout.splitlines():
        word = line.split(" ", 2)
        if word[0] in ("ok", "FAIL", "unsupported") and "@" in word[1]:
            case, judge = word[1].rstrip(":").split("/")[-1].split("@")
            count += 1
            if word[0] == "FAIL":
                bad.setdefault(case, {})[judge] = word[2]
            if word[0] == "unsupported":
                refused[case] = word[2]
    wrong = [c for c in bad if len(bad[c]) == len(judged[c])]
    for c in wrong:
        print(f"FAIL {c}: {said[c]}")
        for j, text in bad[c].items():
            print(f"    {j}: {text[:300]}")
    if listed:
        for c, text in refused.items():
            print(f"unsupported {c}: {said[c]}\n    {text[:250]}")
        for c in bad:
            if c not in wrong:
                print(f"not as {' '.join(bad[c])} {c}: {said[c]}\n    {' '.join(bad[c].values())[:250]}")
    print(f"{len(judged)} draws, {sum(not j for j in judged.values())} without a judge, {count} cases, {len(wrong)} wrong by every judge, "
          f"{len(bad) - len(wrong)} by one of two, {len(refused)} unsupported")
    if run.returncode not in (0, 1) or not count:
        print(run.stderr[-500:])
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
