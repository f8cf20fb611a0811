# SPDX-License-Identifier: Apache-2.0
"""Operators that move, choose and count elements."""
import numpy as np
from onnx import TensorProto as T, numpy_helper as nh

from choices import *

# ---- Movement.
@op("Transpose")
def transpose(d):
    d.since(13, 21)
    s = d.shape()
    d.take(d.data(d.one(ANY), s))
    d.attr(perm=d.r.permutation(len(s)).tolist())
    if not s:
        d.attrs = {}


@op("Reshape")
def reshape(d):
    d.since(5, 13, 14, 21)
    s = d.shape(0, 4)
    flat, out = [v for v in s if v != 0], []
    d.take(d.data(d.one(ANY), s))
    n = int(np.prod(s))
    if n == 0:
        out = list(s)
        if d.opset >= 14 and d.chance(0.5):
            d.attrs["allowzero"] = 1
            out = d.r.permutation(s).tolist()
    else:
        for _ in range(d.int(0, 3)):
            k = d.one([k for k in range(1, n + 1) if n % k == 0])
            out.append(k)
            n //= k
        out.append(n)
        out = d.r.permutation(out).tolist()
        if d.chance(0.5):
            out[d.int(0, len(out) - 1)] = -1
        for i in range(min(len(out), len(s))):
            if out[i] == s[i] and d.chance(0.5):
                out[i] = 0
    d.take(np.array(out, np.int64), d.chance(0.7))


@op("Flatten")
def flatten(d):
    d.since(11, 13, 21)
    s = d.shape(0)
    d.take(d.data(d.one(ANY), s))
    d.attrs["axis"] = d.int(-len(s), len(s))


@op("Squeeze", "Unsqueeze")
def squeeze(d):
    d.since(11, 13, 21)
    s = d.shape(0, 4, big=3)
    if d.op == "Squeeze":
        ones = [i - (len(s) if d.chance(0.4) else 0) for i, v in enumerate(s) if v == 1]
        axes = d.r.permutation(ones)[: d.int(0, len(ones))].tolist() if ones else []
        if not axes and d.chance(0.5):
            axes = None
    else:
        n = len(s) + d.int(1, 3)
        axes = [a - (n if d.chance(0.4) else 0) for a in d.r.permutation(n)[: n - len(s)].tolist()]
    d.take(d.data(d.one(ANY), s))
    if axes is None:
        return
    if d.opset >= 13:
        d.take(np.array(axes, np.int64), d.chance(0.7))
    elif axes:
        d.attrs["axes"] = [int(a) for a in axes]


@op("Concat")
def concat(d):
    d.since(11, 13)
    s, t = d.shape(1), d.one(ANY)
    a = d.axis(len(s))
    for _ in range(d.int(1, 5)):
        v = list(s)
        v[a] = d.int(0, 4)
        d.take(d.data(t, v))
    d.attrs["axis"] = a


@op("Split")
def split(d):
    d.since(11, 13, 18)
    s = d.shape(1, zero=0)
    a = d.axis(len(s))
    d.n_out = d.int(1, 3)
    if d.chance(0.5):
        parts = [d.int(0, 3) for _ in range(d.n_out)]
        s[a] = sum(parts)
    else:
        parts = None
        s[a] = d.n_out * d.int(1, 3)
        if d.opset >= 18:
            d.attrs["num_outputs"] = d.n_out
            if d.n_out > 1 and d.chance(0.5):
                s[a] -= d.int(0, s[a] // d.n_out - 1) if s[a] // d.n_out > 1 else 0
    d.take(d.data(d.one(ANY), s))
    d.attrs["axis"] = a
    if parts is not None:
        if d.opset >= 13:
            d.take(np.array(parts, np.int64), d.chance(0.7))
        else:
            d.attrs["split"] = parts


@op("Slice")
def slices(d):
    d.since(10, 11, 13)
    s = d.shape(1)
    axes = d.r.permutation(len(s))[: d.int(1, len(s))].tolist()
    edge = lambda n: d.one([d.int(-n - 2, n + 2), d.int(0, max(n, 1)), 2**31 - 1, -(2**31) + 1, 2**63 - 1, -(2**63) + 1])
    t = d.one(["int32", "int64"])
    clamp = lambda v: max(min(v, np.iinfo(t).max), np.iinfo(t).min + 1)
    steps = [d.one([1, 1, 2, 3, -1, -2, 100]) for _ in axes]
    d.take(d.data(d.one(ANY), s))
    const = d.chance(0.7)
    strided = d.chance(0.7)
    ends = [edge(s[a]) for a in axes]
    if strided:  # backwards ONNX Runtime reads the largest numbers as the beginning
        ends = [min(e, s[a] + 2) if step < 0 else e for e, a, step in zip(ends, axes, steps)]
    d.take(np.array([clamp(edge(s[a])) for a in axes], t), const)
    d.take(np.array([clamp(e) for e in ends], t), const)
    d.take(np.array([a - (len(s) if d.chance(0.4) and d.opset > 10 else 0) for a in axes], t), const)
    if strided:
        d.take(np.array(steps, t), const)


@op("Gather")
def gather(d):
    d.since(11, 13)
    s = d.shape(1, 4, zero=0.03)
    a = d.axis(len(s))
    q = d.shape(0, 3, zero=0.1, big=4) if s[a] else [0]
    d.take(d.data(d.one(ANY), s))
    d.take(d.r.integers(-s[a], max(s[a], 1), q).astype(d.one(["int32", "int64"])), d.chance(0.3))
    d.attrs["axis"] = a


@op("GatherElements")
def gather_elements(d):
    d.since(11, 13)
    s = d.shape(1, 4, zero=0)
    a = d.axis(len(s))
    q = [d.int(0, v) if i != a % len(s) else d.int(0, 6) for i, v in enumerate(s)]
    d.take(d.data(d.one(ANY), s))
    d.take(d.r.integers(-s[a], s[a], q).astype(d.one(["int32", "int64"])))
    d.attrs["axis"] = a


def tuples(d, s, b, k, batch):
    q = s[:b] + d.shape(0, 2, zero=0.05, big=4) if batch else d.shape(0, 2, zero=0.05, big=4)
    i = np.stack([d.r.integers(-n, n, q) for n in s[b : b + k]], -1) if k else np.zeros(q + [0])
    return i.astype(np.int64)


@op("GatherND")
def gather_nd(d):
    d.since(11, 12, 13)
    s = d.shape(1, 4, zero=0)
    b = d.int(0, len(s) - 1) if d.opset > 11 else 0
    d.take(d.data(d.one(ANY), s))
    d.take(tuples(d, s, b, d.int(1, len(s) - b), True))
    if b:
        d.attrs["batch_dims"] = b


@op("ScatterND")
def scatter_nd(d):
    d.since(11, 13, 16, 18)
    s, t = d.shape(1, 4, zero=0), d.one(FLOATS[:2] + ["int32", "int64"])
    k = d.int(1, len(s))
    i = tuples(d, s, 0, k, False)
    if d.opset >= 16:
        d.attr(reduction=d.one(["none", "add", "mul"] + (["max", "min"] if d.opset >= 18 else [])))
    if d.attrs.get("reduction", "none") == "none":
        u = np.unique(i.reshape(-1, k) % np.array(s[:k]), axis=0)
        i = d.r.permutation(u)
    d.take(d.data(t, s))
    d.take(i)
    d.take(d.data(t, list(i.shape[:-1]) + s[k:], -2, 2))


@op("ScatterElements")
def scatter_elements(d):
    d.since(11, 13, 16, 18)
    s, t = d.shape(1, 4, zero=0), d.one(FLOATS[:2] + ["int32", "int64"])
    a = d.axis(len(s))
    if d.opset >= 16:
        d.attr(reduction=d.one(["none", "add", "mul"] + (["max", "min"] if d.opset >= 18 else [])))
    q = [d.int(0, v) for v in s]
    if d.attrs.get("reduction", "none") == "none":
        i = np.argsort(d.r.random([s[a] if j == a % len(s) else v for j, v in enumerate(q)]), axis=a)
        i = np.take(i, range(q[a]), axis=a)
    else:
        i = d.r.integers(-s[a], s[a], q)
    d.take(d.data(t, s))
    d.take(i.astype(d.one(["int32", "int64"])))
    d.take(d.data(t, q, -2, 2))
    d.attrs["axis"] = a


@op("Tile", "Expand")
def tile(d):
    d.since(13)
    s = d.shape(0 if d.op == "Expand" else 1, 4)
    if d.op == "Tile":
        v = [d.int(0, 3) if d.chance(0.2) else d.int(1, 3) for _ in s]
    else:
        v = [d.int(1, 4) if n == 1 else d.one([1, n]) for n in s]
        v = v[d.int(0, len(v)):] if d.chance(0.3) else [d.int(1, 3) for _ in range(d.int(0, 2))] + v
    d.take(d.data(d.one(ANY), s))
    d.take(np.array(v, np.int64), d.chance(0.7))


@op("Pad")
def pad(d):
    d.since(11, 13, 18, 19, 21)
    s = d.shape(1, 4, zero=0)
    mode = d.one(["constant", "reflect", "edge"] + (["wrap"] if d.opset >= 19 else []))
    axes = sorted(d.r.permutation(len(s))[: d.int(1, len(s))].tolist()) if d.opset >= 18 and d.chance(0.6) else list(range(len(s)))
    lim = lambda n: (n - 1 if mode == "reflect" else n if mode == "wrap" else 4)
    lo = [d.int(0, min(3, lim(s[a]))) for a in axes]
    hi = [d.int(0, min(3, lim(s[a]))) for a in axes]
    if mode == "constant" and d.chance(0.3):
        lo = [d.int(-1, 2) if s[a] > 2 else v for a, v in zip(axes, lo)]
    t = d.one(["float32", "float64", "int32", "int64", "uint8", "int8"] + (["bool"] if d.opset >= 13 else []))
    d.take(d.data(t, s))
    d.take(np.array(lo + hi, np.int64), d.chance(0.7))
    if mode == "constant" and d.chance(0.6):
        d.take(np.array(1, t), d.chance(0.5))
    elif len(axes) < len(s) or d.chance(0.3):
        d.take(None)
    if d.opset >= 18 and len(d.inputs) == 3:
        d.take(np.array(axes, d.one(["int32", "int64"])), True)
    elif len(axes) < len(s):
        raise Skip
    d.attrs["mode"] = mode


@op("DepthToSpace", "SpaceToDepth")
def blocks(d):
    d.since(11, 13)
    b, c, y, x = d.int(1, 3), d.int(1, 3), d.int(1, 4), d.int(1, 4)
    s = [d.int(1, 2), c * b * b, y, x] if d.op == "DepthToSpace" else [d.int(1, 2), c, y * b, x * b]
    d.take(d.data(d.one(F + ["float64", "uint8"]), s))
    d.attrs["blocksize"] = b
    if d.op == "DepthToSpace":
        d.attr(mode=d.one(["DCR", "CRD"]))


@op("ReverseSequence")
def reverse_sequence(d):
    d.since(10)
    s = d.shape(2, 4, zero=0)
    b = d.int(0, 1)
    d.attrs.update(batch_axis=b, time_axis=1 - b)
    d.take(d.data(d.one(ANY), s))
    d.take(d.r.integers(1, s[1 - b] + 1, s[b]).astype(np.int64))


@op("Trilu")
def trilu(d):
    d.since(14)
    s = d.shape(2, 4)
    d.take(d.data(d.one(["float32", "float64", "int64", "int32", "bool"]), s))
    if d.chance(0.7):
        d.take(np.array(d.int(-5, 5), np.int64), d.chance(0.5))
    d.attr(upper=0)


@op("OneHot")
def one_hot(d):
    d.since(9, 11)
    n, s = d.int(1, 6), d.shape(0, 3, zero=0.03)
    d.take(d.r.integers(-n, n, s).astype(d.one(["int64", "int32", "float32"])))
    d.take(np.array(n, d.one(["int64", "float32", "int32"])) if d.chance(0.5) else np.array([n], np.int64), True)
    t = d.one(["float32", "int64", "int32"])
    d.take(np.array([2, 5], t))
    d.attr(axis=d.int(-len(s) - 1, len(s)))


@op("EyeLike")
def eye(d):
    d.since(9, 22)
    d.take(d.data(d.one(["float32", "int32", "int64", "float64"]), d.shape(2, 2)))
    d.attr(k=d.int(-3, 3))
    d.attr(0.4, dtype=d.one([T.FLOAT, T.DOUBLE, T.INT64]))


@op("Range")
def ranges(d):
    d.since(11)
    t = d.one(["float32", "float64", "int16", "int32", "int64"])
    step = d.one([1, 2, -1, 3, -2])
    for v in (d.int(-5, 5), d.int(-9, 9), step):
        d.take(np.array(v, t), d.chance(0.5))


@op("Shape")
def shape_of(d):
    d.since(13, 15, 21)
    s = d.shape()
    d.take(d.data(d.one(ANY), s))
    if d.opset >= 15:
        d.attr(start=d.int(-len(s) - 1, len(s) + 1), end=d.int(-len(s) - 1, len(s) + 1))


@op("Size")
def size_of(d):
    d.take(d.data(d.one(ANY), d.shape()))


@op("ConstantOfShape")
def constant_of_shape(d):
    d.since(9, 20)
    d.take(np.array(d.shape(), np.int64), d.chance(0.5))
    d.attr(value=nh.from_array(np.array([1], d.one(ANY))))


@op("NonZero")
def non_zero(d):
    d.since(13)
    d.take(d.data(d.one(["float32", "int32", "int64", "uint8", "bool"]), d.shape(1, 3), 0, 2))


@op("Compress")
def compress(d):
    d.since(11)
    s = d.shape(1, 3, zero=0)
    n = int(np.prod(s))
    if d.chance(0.7):
        d.attrs["axis"] = d.axis(len(s))
        n = s[d.attrs["axis"]]
    d.take(d.data(d.one(ANY), s))
    d.take(d.data("bool", [d.int(0, n)]))


@op("Unique")
def unique(d):
    d.since(11)
    s = d.shape(1, 3, zero=0, big=4)  # ONNX Runtime ends the process where there is nothing to count
    d.take(d.data(d.one(["float32", "int64", "int8", "float64"]), s, -1, 1).round())
    d.attr(sorted=d.int(0, 1))
    d.attr(0.5, axis=d.axis(len(s)))
    d.n_out = d.int(1, 4)


@op("CenterCropPad")
def crop_pad(d):
    d.since(18)
    s = d.shape(1, 4, zero=0)
    axes = d.r.permutation(len(s))[: d.int(1, len(s))].tolist() if d.chance(0.6) else None
    d.take(d.data(d.one(["float32", "int64", "float64"]), s))
    d.take(np.array([d.int(1, 9) for _ in (axes or s)], np.int64), d.chance(0.7))
    if axes:
        d.attrs["axes"] = axes
