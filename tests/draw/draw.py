#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operators with attributes, shapes and types drawn by a seed, norn against onnxruntime and ONNX's reference evaluator.

    draw.py NORN FOLDER SEED N [--device D] [--all] [OPERATOR]...

N draws of each operator, as folders of FOLDER that "norn verify" runs in one go. Where judges have different answers, any of
them may be right. Of 16-bit floats there is a third: onnxruntime in 32 bits, rounded once, since the others may round each
sum on the way. A draw that norn fails is printed with its attributes and makes the exit code 1; one that it
says it does not support is counted, and listed with --all, like what one of several judges finds wrong."""
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


def ort_run(m, fed):
    import onnxruntime as ort

    so = ort.SessionOptions()
    so.log_severity_level = 4
    so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    so.intra_op_num_threads = 1
    return ort.InferenceSession(m.SerializeToString(), so, providers=["CPUExecutionProvider"]).run(None, fed)


F16, F32 = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def widened(g):
    """The graph in place, float32 wherever it says float16."""
    for t in g.initializer:
        if t.data_type == F16:
            t.CopyFrom(nh.from_array(nh.to_array(t).astype(np.float32), t.name))
    for v in [*g.input, *g.output, *g.value_info]:
        if v.type.tensor_type.elem_type == F16:
            v.type.tensor_type.elem_type = F32
    for a in (a for n in g.node for a in n.attribute):
        if a.type == onnx.AttributeProto.TENSOR and a.t.data_type == F16:
            a.t.CopyFrom(nh.from_array(nh.to_array(a.t).astype(np.float32), a.t.name))
        elif a.type == onnx.AttributeProto.GRAPH:
            widened(a.g)
        elif a.name in ("to", "dtype", "output_dtype", "output_datatype") and a.i == F16:
            a.i = F32


def rounded_once(m, fed):
    """What onnxruntime has in 32 bits; results that are of 16 bits in the model are rounded then."""
    wide = onnx.ModelProto()
    wide.CopyFrom(m)
    widened(wide.graph)
    outs = ort_run(wide, {n: v.astype(np.float32) if v.dtype == np.float16 else v for n, v in fed.items()})
    half = [o.type.tensor_type.elem_type == F16 for o in m.graph.output]
    with np.errstate(over="ignore"):
        return [v.astype(np.float16) if narrow else v for v, narrow in zip(outs, half)]


def judges(m, fed):
    import warnings
    from onnx.reference import ReferenceEvaluator

    warnings.simplefilter("ignore")
    try:
        yield "ort", ort_run(m, fed)
    except Exception:
        pass
    if any(o.type.tensor_type.elem_type == F16 for o in m.graph.output):
        try:
            yield "f32", rounded_once(m, fed)
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
            found = []
            for j, outs in judges(m, fed):
                if not any(same(outs, other) for _, other in found):
                    found.append((j, outs))
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
          f"{len(bad) - len(wrong)} by one of several, {len(refused)} unsupported")
    if run.returncode not in (0, 1) or not count:
        print(run.stderr[-500:])
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
