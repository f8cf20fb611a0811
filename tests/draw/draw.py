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
from onnx import TensorProto as T, helper as h, numpy_helper as nh

F = ["float32"]
FLOATS = ["float32", "float64", "float16"]
SIGNED = ["int8", "int16", "int32", "int64"]
UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
NUMBERS = FLOATS + SIGNED + UNSIGNED
ANY = NUMBERS + ["bool"]
OPS = {}


class Skip(Exception):
    pass


class Draw:
    """Random choices, and the node that is being drawn."""

    def __init__(self, op, seed):
        self.r = np.random.default_rng([seed, *op.encode()])
        self.op, self.attrs, self.inputs, self.n_out, self.opset, self.body = op, {}, [], 1, 21, None
        self.domain = ""
        self.exact = True  # results may be compared between judges

    def int(self, lo, hi):
        return int(self.r.integers(lo, hi + 1))

    def chance(self, p):
        return self.r.random() < p

    def one(self, items):
        return items[self.int(0, len(items) - 1)]

    def shape(self, lo=0, hi=5, zero=0.06, big=7):
        return [0 if self.chance(zero) else self.int(1, big) for _ in range(self.int(lo, hi))]

    def data(self, dtype, shape, lo=-4.0, hi=4.0):
        t = np.dtype(dtype)
        if t == bool:
            return self.r.integers(0, 2, shape).astype(bool)
        if t.kind in "iu":
            return self.r.integers(max(int(lo), 0 if t.kind == "u" else -100), int(hi) + 1, shape).astype(t)
        return self.r.uniform(lo, hi, shape).astype(t)

    def axis(self, rank):
        return self.int(-rank, rank - 1)

    def take(self, value, const=False):
        """An input: an array, or None where it is left out."""
        self.inputs.append((value, const))
        return value

    def attr(self, p=0.7, **kw):
        for k, v in kw.items():
            if self.chance(p):
                self.attrs[k] = v() if callable(v) else v

    def since(self, *opsets):
        self.opset = self.one(opsets)
        return self.opset


def op(*names, domain=""):
    def wrap(f):
        for n in names:
            OPS[n] = f
        return f

    return wrap


def broadcast_of(d, s):
    """A shape that broadcasts with s."""
    t = [1 if d.chance(0.3) else v for v in s]
    return t[d.int(0, len(t)):] if d.chance(0.5) else t


# ---- Pointwise.
DOMAIN = {"Acos": (-1, 1), "Asin": (-1, 1), "Atanh": (-0.9, 0.9), "Acosh": (1, 5), "Log": (0.01, 5), "Sqrt": (0, 5)}


@op("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish",
    "Reciprocal", "Round", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh")
def unary(d):
    d.since(22, 21)
    if d.op in ("HardSwish", "Mish") or d.chance(0.5):
        d.opset = 22
    d.take(d.data(d.one(FLOATS), d.shape(), *DOMAIN.get(d.op, (-4, 4))))


@op("Abs", "Neg", "Sign", "Relu")
def unary_numbers(d):
    d.since(13, 14, 22)
    types = {"Abs": NUMBERS, "Sign": NUMBERS}.get(d.op, FLOATS + SIGNED)
    d.take(d.data(d.one(types if d.op != "Relu" or d.opset > 13 else FLOATS), d.shape()))


@op("Elu", "Selu", "Celu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Shrink", "Gelu", "Swish")
def activation(d):
    d.since(16, 20, 22)
    if d.op in ("Gelu", "Swish"):
        d.opset = 24
    x = d.take(d.data(d.one(FLOATS if d.op != "Celu" else F), d.shape()))
    if d.op == "Gelu":
        d.attr(approximate="tanh")
    elif d.op == "Shrink":
        d.attr(lambd=d.r.random(), bias=d.r.random())
    else:
        d.attr(alpha=float(d.r.uniform(0.1, 2)))
        if d.op == "Selu":
            d.attr(gamma=float(d.r.uniform(0.5, 2)))
        if d.op == "HardSigmoid":
            d.attr(beta=float(d.r.uniform(0, 1)))


@op("Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "And", "Or", "Xor",
    "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Max", "Min", "Sum", "Mean")
def binary(d):
    d.since(13, 14, 18, 21)
    types = NUMBERS
    if d.op.startswith("Bit"):
        types = SIGNED + UNSIGNED if d.op != "BitShift" else UNSIGNED
        d.opset = 18
    elif d.op in ("And", "Or", "Xor"):
        types = ["bool"]
    elif d.op in ("Sum", "Mean"):
        types = FLOATS
    elif d.op == "PRelu":
        types = FLOATS + ["int32", "int64", "uint32", "uint64"]
        d.opset = 16
    elif d.op == "Equal":
        types = ANY
    elif d.op == "Pow":
        types = FLOATS + ["int32", "int64"]
    elif d.opset < 14:
        types = FLOATS + ["int32", "int64", "uint32", "uint64"]
    t, s = d.one(types), d.shape()
    x = d.data(t, s)
    if d.op == "Pow":
        x = np.abs(x)
    if d.op == "BitShift":
        d.attrs["direction"] = d.one(["LEFT", "RIGHT"])
    if d.op == "Mod" and (np.dtype(t).kind == "f" or d.chance(0.4)):
        d.attrs["fmod"] = 1
    d.take(x)
    t2 = d.one(NUMBERS) if d.op == "Pow" else t
    for _ in range(d.int(0, 3) if d.op in ("Max", "Min", "Sum", "Mean") else 1):
        y = d.data(t2, broadcast_of(d, s), 0 if d.op == "Pow" or d.op == "BitShift" else -4)
        if d.op in ("Div", "Mod"):
            y = np.where(y == 0, np.array(3, y.dtype), y).astype(y.dtype)
        d.take(y)
    if d.chance(0.5) and len(d.inputs) == 2 and d.op not in ("PRelu", "Div", "Mod", "Pow"):
        d.inputs.reverse()


@op("Where")
def where(d):
    d.since(9, 16)
    s, t = d.shape(), d.one(NUMBERS)
    d.take(d.data("bool", broadcast_of(d, s)))
    d.take(d.data(t, s))
    d.take(d.data(t, broadcast_of(d, s)))


@op("Clip")
def clip(d):
    d.since(12, 13)
    t = d.one(NUMBERS)
    d.take(d.data(t, d.shape()))
    d.take(np.array(1, t) if d.chance(0.7) else None)
    if d.chance(0.7):
        d.take(np.array(d.one([0, 2]), t))


@op("Not", "BitwiseNot")
def negation(d):
    d.since(18)
    d.take(d.data("bool" if d.op == "Not" else d.one(SIGNED + UNSIGNED), d.shape()))


@op("IsNaN", "IsInf")
def is_special(d):
    d.since(13, 20)
    x = d.data(d.one(FLOATS[:2] if d.opset < 20 else FLOATS), d.shape()).copy()
    flat = x.reshape(-1)
    for i in range(flat.size):
        flat[i] = d.one([np.nan, np.inf, -np.inf, flat[i]])
    d.take(x)
    if d.op == "IsInf":
        d.attr(detect_negative=0)
        d.attr(0.3, detect_positive=0)


@op("Cast")
def cast(d):
    d.since(13, 19, 21, 24)
    x, to = d.data(d.one(ANY), d.shape(), 0, 100), d.one(ANY)
    d.take(x)
    d.attrs["to"] = h.np_dtype_to_tensor_dtype(np.dtype(to))


# ---- Reductions.
@op("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare")
def reduction(d):
    d.since(11, 13, 18, 20)
    if d.op == "ReduceMean" and d.opset == 20:
        d.opset = 18
    logs = "Log" in d.op
    types = FLOATS if logs or d.op in ("ReduceMean", "ReduceL2") else FLOATS + ["int32", "int64"]
    if d.op in ("ReduceMax", "ReduceMin"):
        types = types + ["int8", "uint8"] + (["bool"] if d.opset >= 20 else [])
        if d.opset < 12:
            types = FLOATS + ["int32", "int64"]
    s = d.shape(0 if d.opset >= 13 else 1)
    d.take(d.data(d.one(types), s, 0.1 if d.op == "ReduceLogSum" else -2, 2))
    d.attr(keepdims=d.int(0, 1))
    axes = sorted(d.r.permutation(len(s))[: d.int(0, len(s))].tolist())
    axes = [a - len(s) if d.chance(0.4) else a for a in axes]
    if d.opset >= (13 if d.op == "ReduceSum" else 18):
        if d.chance(0.8):
            d.take(np.array(axes, np.int64), d.chance(0.7))
        d.attr(0.3, noop_with_empty_axes=1)
    elif axes:
        d.attrs["axes"] = axes


@op("ArgMax", "ArgMin")
def arg(d):
    d.since(11, 12, 13)
    s = d.shape(1, zero=0)
    d.take(d.data(d.one(FLOATS + ["int32", "int8", "uint8", "int64"]), s, -2, 2))
    d.attr(axis=d.axis(len(s)), keepdims=0)
    if d.opset > 11:
        d.attr(select_last_index=1)


@op("CumSum", "CumProd")
def cumulative(d):
    d.since(11, 14)
    if d.op == "CumProd":
        d.opset = 26
    s = d.shape(1)
    d.take(d.data(d.one(["float32", "float64", "int32", "int64"]), s, -2, 2))
    d.take(np.array(d.axis(len(s)), d.one(["int32", "int64"])), d.chance(0.6))
    d.attr(exclusive=1)
    d.attr(reverse=1)


@op("Softmax", "LogSoftmax", "Hardmax")
def softmax(d):
    d.since(7, 11, 13)
    s = d.shape(1)
    d.take(d.data(d.one(FLOATS), s))
    if d.opset >= 11:
        d.attr(axis=d.axis(len(s)))
    else:
        d.attr(1, axis=d.int(0, len(s) - 1))


@op("TopK")
def topk(d):
    d.since(10, 11)
    s = d.shape(1, zero=0.03)
    a = d.axis(len(s)) if d.opset > 10 else d.int(0, len(s) - 1)
    t = d.one(FLOATS + ["int32", "int64", "uint8"]) if d.opset > 10 else d.one(FLOATS)
    d.take(d.r.permutation(int(np.prod(s))).reshape(s).astype(t) if np.prod(s) < 200 else d.data(t, s))
    d.take(np.array([d.int(0, s[a])], np.int64), d.chance(0.7))
    d.attrs["axis"] = a
    d.n_out = 2
    if d.opset > 10:
        d.attr(largest=0)


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
    d.take(np.array([clamp(edge(s[a])) for a in axes], t), const)
    d.take(np.array([clamp(edge(s[a])) for a in axes], t), const)
    d.take(np.array([a - (len(s) if d.chance(0.4) and d.opset > 10 else 0) for a in axes], t), const)
    if d.chance(0.7):
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
    s = d.shape(1, 3, zero=0.03, big=4)
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


# ---- Products.
@op("MatMul")
def matmul(d):
    d.since(9, 13)
    t = d.one(["float32", "float64", "int32", "int64", "uint32"])
    m, k, n = [d.int(0, 6) if d.chance(0.1) else d.int(1, 9) for _ in range(3)]
    batch = d.shape(0, 2, zero=0.02, big=3)
    a, b = batch + [m, k], broadcast_of(d, batch) + [k, n]
    if d.chance(0.15):
        a = [k]
    if d.chance(0.15):
        b = [k]
    d.take(d.data(t, a))
    d.take(d.data(t, b), d.chance(0.4))


@op("Gemm")
def gemm(d):
    d.since(7, 9, 11, 13)
    t = d.one(["float32", "float64"] + (["int32", "int64"] if d.opset >= 9 else []))
    m, k, n = [d.int(1, 9) for _ in range(3)]
    d.attr(transA=d.int(0, 1), transB=d.int(0, 1))
    if np.dtype(t).kind == "f":
        d.attr(alpha=float(d.r.uniform(0, 2)), beta=float(d.r.uniform(0, 2)))
    d.take(d.data(t, [k, m] if d.attrs.get("transA") else [m, k]))
    d.take(d.data(t, [n, k] if d.attrs.get("transB") else [k, n]), d.chance(0.4))
    if d.opset < 11 or d.chance(0.7):
        d.take(d.data(t, d.one([[n], [1, n], [m, 1], [m, n], [], [1, 1], [1]])))


@op("Einsum")
def einsum(d):
    d.since(12)
    size = {c: d.int(1, 4) for c in "abcde"}
    k = d.int(1, 3)
    terms = ["".join(d.r.permutation(list("abcde"))[: d.int(1, 3)]) for _ in range(k)]
    if d.chance(0.15):
        terms[0] += terms[0][0]
    used = sorted(set("".join(terms)))
    out = "".join(d.r.permutation(used)[: d.int(0, len(used))])
    dots = d.chance(0.3)
    for t in terms:
        d.take(d.data(d.one(F), ([2, 3] if dots else []) + [size[c] for c in t]))
    eq = ",".join(("..." if dots else "") + t for t in terms)
    d.attrs["equation"] = eq + ("->" + ("..." if dots else "") + out if d.chance(0.8) or dots else "")


@op("Det")
def det(d):
    n = d.int(1, 5)
    d.take(d.data(d.one(F), d.shape(0, 2, zero=0.05) + [n, n]))


# ---- Normalisation.
@op("BatchNormalization")
def batch_norm(d):
    d.since(9, 14, 15)
    s = d.shape(2, 5, zero=0.02)
    t = "float32"
    d.take(d.data(t, s))
    for i in range(4):
        d.take(d.data(t, [s[1]], 0.1, 2), d.chance(0.4))
    d.attr(epsilon=float(d.r.uniform(1e-4, 0.1)))


@op("InstanceNormalization", "GroupNormalization")
def instance_norm(d):
    d.since(6, 22) if d.op[0] == "I" else d.since(21)
    s = [d.int(1, 3), d.int(1, 6)] + d.shape(1, 3, zero=0)
    g = d.one([g for g in range(1, s[1] + 1) if s[1] % g == 0])
    d.take(d.data("float32", s))
    d.take(d.data("float32", [s[1]]))
    d.take(d.data("float32", [s[1]]))
    d.attr(epsilon=float(d.r.uniform(1e-4, 0.1)))
    if d.op[0] == "G":
        d.attrs["num_groups"] = g


@op("LayerNormalization", "RMSNormalization")
def layer_norm(d):
    d.since(17) if d.op[0] == "L" else d.since(23)
    s = d.shape(1, 4, zero=0)
    a = d.axis(len(s))
    t = d.one(["float32", "float64", "float16"])
    d.take(d.data(t, s))
    d.take(d.data(t, s[a:] if a < 0 else s[a:]))
    if d.op[0] == "L":
        if d.chance(0.6):
            d.take(d.data(t, s[a:]))
        d.n_out = d.int(1, 3)
    d.attrs["axis"] = a
    d.attr(epsilon=float(d.r.uniform(1e-4, 0.1)))


@op("LRN")
def lrn(d):
    d.since(13)
    d.take(d.data("float32", [d.int(1, 2), d.int(1, 7)] + d.shape(1, 2, zero=0)))
    d.attrs["size"] = d.int(1, 6)
    d.attr(alpha=float(d.r.uniform(0, 1)), beta=float(d.r.uniform(0.3, 1)), bias=float(d.r.uniform(0.5, 2)))


@op("LpNormalization", "MeanVarianceNormalization")
def lp_norm(d):
    d.since(13, 22)
    s = d.shape(1, 4, zero=0) if d.op[0] == "L" else d.shape(4, 4, zero=0)
    d.take(d.data(d.one(F), s))
    if d.op[0] == "L":
        d.attr(axis=d.axis(len(s)), p=d.int(1, 2))
    else:
        d.attr(axes=sorted(d.r.permutation(4)[: d.int(1, 4)].tolist()))


@op("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(d):
    d.since(13, 22)
    d.take(d.data(d.one(F), [d.int(1, 3), d.int(1, 4)] + d.shape(1, 3, zero=0)))
    if d.op == "GlobalLpPool":
        d.attr(p=d.int(1, 4))


# ---- Convolution and pooling, recurrent networks.
def window_attrs(d, sp, k, dilated=True):
    """strides, dilations and pads; SAME_* only where every judge agrees on it."""
    st, di = [[d.int(1, 3) for _ in sp] for _ in range(2)]
    if not dilated or d.chance(0.5):
        di = [1] * len(sp)
    else:
        d.attrs["dilations"] = di
    same = all(x == 1 for x in di) and all(a >= b for a, b in zip(k, st))
    auto = d.one(["NOTSET", "NOTSET", "VALID"] + (["SAME_UPPER", "SAME_LOWER"] if same else []))
    if auto != "NOTSET":
        d.attrs["auto_pad"] = auto
    pads = [d.int(0, v - 1) for v in k + k] if auto == "NOTSET" and d.chance(0.7) else [0] * (2 * len(sp))
    if any(pads):
        d.attrs["pads"] = pads
    d.attr(strides=st)
    if any(n + a + b < (v - 1) * e + 1 for n, v, e, a, b in zip(sp, k, di, pads, pads[len(sp):])):
        raise Skip


@op("Conv", "ConvTranspose")
def conv(d):
    d.since(11, 22)
    rank = d.int(1, 3)
    sp = [d.int(1, [20, 12, 7][rank - 1]) for _ in range(rank)]
    k = [d.int(1, 4) for _ in sp]
    g, c, m = d.one([1, 1, 2, 3]), d.one([1, 2, 3, 5, 16]), d.one([1, 2, 3, 5, 16])
    t = d.one(F)
    window_attrs(d, sp, k)
    if d.op == "ConvTranspose" and "auto_pad" in d.attrs:
        del d.attrs["auto_pad"]
    d.attr(0.5, kernel_shape=k)
    if g > 1 or d.chance(0.3):
        d.attrs["group"] = g
    d.take(d.data(t, [0 if d.chance(0.03) else d.int(1, 2), g * c] + sp))
    d.take(d.data(t, ([g * m, c] if d.op == "Conv" else [g * c, m]) + k), d.chance(0.6))
    if d.chance(0.5):
        d.take(d.data(t, [g * m]), d.chance(0.6))
    if d.op == "ConvTranspose" and d.chance(0.4):
        st, di = d.attrs.get("strides", [1] * rank), d.attrs.get("dilations", [1] * rank)
        d.attrs["output_padding"] = [d.int(0, max(a, b) - 1) for a, b in zip(st, di)]


@op("MaxPool", "AveragePool", "LpPool")
def pool(d):
    d.since(12, 19, 22)
    rank = d.int(1, 3)
    sp = [d.int(1, [20, 12, 7][rank - 1]) for _ in range(rank)]
    k = [d.int(1, 4) for _ in sp]
    window_attrs(d, sp, k, d.op == "MaxPool" or d.opset >= 19)
    d.attrs["kernel_shape"] = k
    t = d.one(F + (["float64", "int8", "uint8"] if d.op == "MaxPool" else []))
    d.take(d.data(t, [d.int(1, 2), d.int(1, 4)] + sp))
    if d.op != "LpPool" or d.opset >= 18:
        d.attr(0.5, ceil_mode=1)
    if d.op == "AveragePool":
        d.attr(0.5, count_include_pad=1)
    if d.op == "LpPool":
        d.attr(p=d.int(1, 4))
    if d.op == "MaxPool" and "auto_pad" not in d.attrs and "ceil_mode" not in d.attrs:
        d.attr(0.4, storage_order=1)
        d.n_out = d.int(1, 2)


@op("RNN", "LSTM", "GRU")
def recurrent(d):
    d.since(7, 14, 22)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[d.op]
    n, b, i, hid, dirs = d.int(1, 5), d.int(1, 4), d.int(1, 6), d.int(1, 7), d.int(1, 2)
    f = lambda *v: d.data("float32", v, -0.7, 0.7)
    d.attrs["hidden_size"] = hid
    d.attrs["direction"] = "bidirectional" if dirs == 2 else d.one(["forward", "reverse"])
    d.take(f(n, b, i))
    d.take(f(dirs, gates * hid, i), d.chance(0.6))
    d.take(f(dirs, gates * hid, hid), d.chance(0.6))
    d.take(f(dirs, 2 * gates * hid) if d.chance(0.7) else None, d.chance(0.6))
    d.take(d.r.integers(1, n + 1, b).astype(np.int32) if d.chance(0.4) else None)
    d.take(f(dirs, b, hid) if d.chance(0.5) else None)
    if d.op == "LSTM":
        d.take(f(dirs, b, hid) if d.chance(0.5) else None)
        d.take(f(dirs, 3 * hid) if d.chance(0.4) else None)
        d.attr(0.3, input_forget=1)
    if d.op == "GRU":
        d.attr(linear_before_reset=d.int(0, 1))
    d.attr(0.3, clip=float(d.r.uniform(0.3, 1)))
    if d.chance(0.4):
        d.attrs["activations"] = [d.one(["Tanh", "Sigmoid", "Relu", "Softsign"]) for _ in range({"RNN": 1, "GRU": 2, "LSTM": 3}[d.op] * dirs)]
    d.n_out = d.int(1, 3 if d.op == "LSTM" else 2)


# ---- Losses.
@op("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(d):
    d.since(12, 13)
    c, rest = d.int(1, 6), d.shape(0, 2, zero=0)
    n = d.int(1, 4)
    t = d.r.integers(0, c, [n] + rest).astype(d.one(["int32", "int64"]))
    ignore = d.one([None, 0, -1, 255])
    if ignore is not None:
        t = np.where(d.r.random(t.shape) < 0.3, np.array(ignore, t.dtype), t).astype(t.dtype)
        d.attrs["ignore_index"] = ignore
    d.take(d.data("float32", [n, c] + rest))
    d.take(t)
    if d.chance(0.6):
        d.take(d.data("float32", [c], 0.1, 2))
    d.attr(reduction=d.one(["none", "sum", "mean"]))
    if d.op[0] == "S":
        d.n_out = d.int(1, 2)


# ---- Images.
@op("Resize")
def resize(d):
    d.since(11, 13, 18, 19)
    s = [d.int(1, 2), d.int(1, 3)] + [d.int(1, 9) for _ in range(d.int(1, 2))]
    mode = d.one(["nearest", "linear", "cubic"])
    if mode == "cubic" and len(s) != 4:
        mode = "linear"
    d.attrs["mode"] = mode
    d.attrs["coordinate_transformation_mode"] = d.one(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] + (["half_pixel_symmetric"] if d.opset >= 19 else []))
    if mode == "nearest":
        d.attr(nearest_mode=d.one(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    if mode == "cubic":
        d.attr(cubic_coeff_a=float(d.one([-0.5, -0.75])), exclude_outside=d.int(0, 1))
    elif d.opset >= 18 and mode == "linear":
        d.attr(0.4, antialias=1)
    d.take(d.data(d.one(F), s))
    d.take(np.zeros(0, np.float32), True)
    if d.chance(0.5):
        d.take(np.array([1, 1] + [d.one([0.5, 0.6, 1, 1.5, 2, 3]) for _ in s[2:]], np.float32), d.chance(0.7))
    else:
        d.take(np.zeros(0, np.float32) if d.opset < 13 else None, True)
        d.take(np.array(s[:2] + [d.int(1, 12) for _ in s[2:]], np.int64), d.chance(0.7))


@op("GridSample")
def grid_sample(d):
    d.since(16, 20, 22)
    three = d.opset >= 20 and d.chance(0.3)
    n, sp = d.int(1, 2), [d.int(1, 6) for _ in range(3 if three else 2)]
    d.take(d.data("float32", [n, d.int(1, 3)] + sp))
    d.take(d.data("float32", [n] + [d.int(1, 5) for _ in sp] + [len(sp)], -1.3, 1.3))
    names = ["linear", "nearest", "cubic"] if d.opset >= 20 else ["bilinear", "nearest", "bicubic"]
    d.attr(mode=d.one(names[:2] if three else names), padding_mode=d.one(["zeros", "border", "reflection"]), align_corners=d.int(0, 1))


@op("Col2Im")
def col2im(d):
    d.since(18)
    sp = [d.int(3, 7), d.int(3, 7)]
    k, st, di = [[d.int(1, 3), d.int(1, 3)] for _ in range(3)]
    pads = [d.int(0, 1) for _ in range(4)]
    n = [(sp[i] + pads[i] + pads[i + 2] - di[i] * (k[i] - 1) - 1) // st[i] + 1 for i in range(2)]
    if min(n) < 1:
        raise Skip
    d.take(d.data("float32", [d.int(1, 2), d.int(1, 3) * k[0] * k[1], n[0] * n[1]]))
    d.take(np.array(sp, np.int64), True)
    d.take(np.array(k, np.int64), True)
    d.attrs.update(strides=st, dilations=di, pads=pads)


@op("RoiAlign", "MaxRoiPool")
def roi(d):
    d.since(16, 22) if d.op[0] == "R" else d.since(13)
    n, y, x, k = d.int(1, 2), d.int(4, 9), d.int(4, 9), d.int(1, 4)
    d.take(d.data("float32", [n, d.int(1, 3), y, x]))
    a = np.sort(d.r.uniform(0, 2 * x - 2, [k, 2]), 1)
    b = np.sort(d.r.uniform(0, 2 * y - 2, [k, 2]), 1)
    box = np.stack([a[:, 0], b[:, 0], a[:, 1], b[:, 1]], 1).astype("f")
    i = d.r.integers(0, n, k)
    if d.op[0] == "R":
        d.take(box)
        d.take(i)
        d.attr(mode=d.one(["avg", "max"]), output_height=d.int(1, 3), output_width=d.int(1, 3), sampling_ratio=d.int(0, 3), spatial_scale=0.5)
        d.attr(0.5, coordinate_transformation_mode=d.one(["half_pixel", "output_half_pixel"]))
    else:
        d.take(np.concatenate([i[:, None], box.round()], 1).astype("f"))
        d.attrs.update(pooled_shape=[d.int(1, 3), d.int(1, 3)], spatial_scale=0.5)


@op("NonMaxSuppression")
def nms(d):
    d.since(11)
    b, c, n = d.int(1, 2), d.int(1, 2), d.int(1, 9)
    d.take(d.r.random([b, n, 4]).astype("f"))
    d.take(d.r.random([b, c, n]).astype("f"))
    d.take(np.array([d.int(0, 5)], np.int64))
    d.take(np.array([d.r.random()], np.float32) if d.chance(0.7) else None)
    if d.chance(0.6):
        d.take(np.array([d.r.random() * 0.6], np.float32))
    d.attr(center_point_box=d.int(0, 1))


# ---- Transformers, signals.
@op("Attention")
def attention(d):
    d.since(23, 24)
    b, hq, l, m, e, v = d.int(1, 2), d.int(1, 4), d.int(1, 5), d.int(1, 6), d.int(1, 6), d.int(1, 5)
    hk = d.one([k for k in range(1, hq + 1) if hq % k == 0])
    flat = d.chance(0.4)
    past = d.int(1, 4) if d.chance(0.3) else 0
    f = lambda *s: d.data("float32", s, -1, 1)
    t = lambda heads, n, w: f(b, n, heads * w) if flat else f(b, heads, n, w)
    d.take(t(hq, l, e))
    d.take(t(hk, m, e))
    d.take(t(hk, m, v))
    mask = d.one([None, "bool", "float32"])
    if mask or past:
        s = d.one([[l, past + m], [b, 1, l, past + m], [b, hq, l, past + m], [1, 1, l, past + m]])
        k = d.data("bool", s) if mask == "bool" else f(*s)
        if mask == "bool":
            k[..., 0] = True
        d.take(k if mask else None)
    if past:
        d.take(f(b, hk, past, e))
        d.take(f(b, hk, past, v))
    d.attr(0.5, is_causal=1)
    d.attr(0.4, scale=float(d.r.uniform(0.1, 1)))
    d.attr(0.3, softcap=float(d.r.uniform(0.5, 3)))
    if flat:
        d.attrs.update(q_num_heads=hq, kv_num_heads=hk)
    d.n_out = 3 if past else 1


@op("RotaryEmbedding")
def rotary(d):
    d.since(23)
    b, n, l, e = d.int(1, 2), d.int(1, 3), d.int(1, 5), 2 * d.int(1, 4)
    rot = d.one([0, 2 * d.int(1, e // 2)])
    half = (rot or e) // 2
    flat = d.chance(0.4)
    d.take(d.data("float32", [b, l, n * e] if flat else [b, n, l, e]))
    ids = d.chance(0.6)
    for _ in range(2):
        d.take(d.data("float32", [9, half] if ids else [b, l, half], -1, 1))
    if ids:
        d.take(d.r.integers(0, 9, [b, l]))
    d.attr(interleaved=d.int(0, 1))
    if rot:
        d.attrs["rotary_embedding_dim"] = rot
    if flat or rot:
        d.attrs["num_heads"] = n


@op("DFT")
def dft(d):
    d.since(17, 20)
    s = d.shape(1, 2, zero=0) + [d.int(1, 9), d.one([1, 2])]
    one = d.chance(0.4)
    if one:
        s[-1] = 1
    a = d.int(1, len(s) - 2) if len(s) > 2 else 0
    d.take(d.data("float32", s))
    d.take(np.array(d.int(1, 10), np.int64) if d.chance(0.4) else None, True)
    if d.opset >= 20:
        d.take(np.array(a, np.int64), True)
    else:
        d.attrs["axis"] = a
    if one:
        d.attrs["onesided"] = 1
    else:
        d.attr(0.4, inverse=1)


@op("HannWindow", "HammingWindow", "BlackmanWindow")
def window(d):
    d.since(17)
    d.take(np.array(d.int(1, 12), d.one(["int32", "int64"])), d.chance(0.6))
    d.attr(periodic=d.int(0, 1))


@op("QuantizeLinear", "DequantizeLinear")
def quantize(d):
    d.since(10, 13, 19, 21)
    s = d.shape(1, 4, zero=0.03)
    a = d.axis(len(s))
    t = d.one(["uint8", "int8"] + (["uint16", "int16"] if d.opset >= 21 else []) + (["int32"] if d.op[0] == "D" else []))
    n = [] if d.opset < 13 or d.chance(0.5) else [s[a]]
    if d.opset >= 13:
        d.attrs["axis"] = a
    if d.opset >= 21 and n and d.chance(0.4):
        size = d.int(1, max(1, s[a]))
        d.attrs["block_size"] = size
        n = list(s)
        n[a] = -(-s[a] // size)
    if d.op[0] == "Q":
        d.take(d.data("float32", s, -300, 300))
    else:
        d.take(d.data(t, s, -100, 100))
    d.take(d.data("float32", n, 0.05, 2), d.chance(0.5))
    if t == "int32":
        d.take(np.zeros(n, t), True) if d.chance(0.5) else None
    elif d.op[0] == "D" or t != "uint8" or d.chance(0.6):
        d.take(d.data(t, n, 0, 20), d.chance(0.5))


@op("TensorScatter")
def tensor_scatter(d):
    d.since(24)
    b, m, e, n = d.int(1, 3), d.int(3, 7), d.int(1, 4), d.int(1, 3)
    d.take(d.data(d.one(["float32", "int64", "float16"]), [b, d.int(1, 2), m, e]))
    d.take(d.data(d.inputs[0][0].dtype, [b, d.inputs[0][0].shape[1], n, e]))
    mode = d.one(["linear", "circular"])
    if d.chance(0.7):
        d.take(d.r.integers(0, m - n + 1 if mode == "linear" else m, b))
    d.attrs["mode"] = mode
    d.attr(axis=-2)


@op("AffineGrid")
def affine_grid(d):
    d.since(20)
    three, n = d.chance(0.4), d.int(1, 3)
    d.take(d.data("float32", [n, 3, 4] if three else [n, 2, 3], -1, 1))
    d.take(np.array([n, d.int(1, 3)] + [d.int(1, 5) for _ in range(3 if three else 2)], np.int64), d.chance(0.6))
    d.attr(align_corners=d.int(0, 1))


@op("MaxUnpool")
def max_unpool(d):
    d.since(11)
    sp, k = [d.int(1, 5), d.int(1, 5)], [d.int(1, 3), d.int(1, 3)]
    out = [n * v for n, v in zip(sp, k)]
    s = [d.int(1, 2), d.int(1, 3)] + sp
    d.take(d.data("float32", s))
    n = int(np.prod(s[:2] + out))
    d.take(d.r.permutation(n)[: int(np.prod(s))].reshape(s))
    d.attrs.update(kernel_shape=k, strides=k)


@op("DeformConv")
def deform_conv(d):
    d.since(19)
    c, g, og, m = d.int(1, 2), d.int(1, 2), d.int(1, 2), d.int(1, 3)
    c = c * g * og
    sp, k = [d.int(3, 6), d.int(3, 6)], [d.int(1, 3), d.int(1, 3)]
    st, pads = [d.int(1, 2), d.int(1, 2)], [d.int(0, 1) for _ in range(4)]
    o = [(sp[i] + pads[i] + pads[i + 2] - k[i]) // st[i] + 1 for i in range(2)]
    f = lambda *v: d.data("float32", v, -1, 1)
    n = d.int(1, 2)
    d.take(f(n, c, *sp))
    d.take(f(g * m, c // g, *k))
    d.take(f(n, og * k[0] * k[1] * 2, *o))
    d.take(f(g * m) if d.chance(0.6) else None)
    if d.chance(0.6):
        d.take(f(n, og * k[0] * k[1], *o))
    d.attrs.update(group=g, offset_group=og, strides=st, pads=pads, kernel_shape=k)


@op("Identity", "CastLike")
def identity(d):
    d.take(d.data(d.one(ANY), d.shape(), 0, 50))
    if d.op == "CastLike":
        d.take(d.data(d.one(ANY), d.shape()))


@op("Dropout")
def dropout(d):
    d.since(7, 10, 12, 13)
    d.take(d.data("float32", d.shape()))
    if d.opset >= 12:
        if d.chance(0.5):
            d.take(np.array(0.3, np.float32))
    else:
        d.attr(ratio=0.3)
    d.n_out = d.int(1, 2)


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
    m = onnx.shape_inference.infer_shapes(m)
    for o in m.graph.output:  # types only: shapes are norn's to find
        if not o.type.tensor_type.elem_type:
            raise Skip
        o.type.tensor_type.ClearField("shape")
    return m, fed


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
