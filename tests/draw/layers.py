# SPDX-License-Identifier: Apache-2.0
"""Products, normalisation, convolution, pooling, recurrent networks."""
import numpy as np

from choices import *

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
