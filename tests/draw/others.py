# SPDX-License-Identifier: Apache-2.0
"""Losses, images, attention, signals, quantisation."""
import numpy as np

from choices import *

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
