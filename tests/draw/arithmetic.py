# SPDX-License-Identifier: Apache-2.0
"""Pointwise operators, reductions, running sums, softmax and the like."""
import numpy as np
from onnx import helper as h

from choices import *

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
