# SPDX-License-Identifier: Apache-2.0
"""How operators of ONNX Runtime's own domain are drawn; it alone can judge them."""
import numpy as np

from choices import op


def ms(name):
    def wrap(f):
        def draw(d):
            d.op, d.domain, d.opset = name, "com.microsoft", 1
            f(d)

        op("com.microsoft." + name)(draw)
        return f

    return wrap


def f32(d, *s):
    return d.data("float32", list(s), -2, 2)


def mask(d, b, s, t):
    """None; numbers of keys; which keys, for all queries or for each."""
    kind = d.int(0, 3)
    if kind == 1:
        return d.r.integers(1, t + 1, b).astype(np.int32)
    if kind == 0:
        return None
    keep = d.r.integers(0, 2, (b, t) if kind == 2 else (b, s, t)).astype(np.int32)
    if "unidirectional" in d.attrs or not keep.any(-1).all():
        # Who sees no key has all scores near the filter: of -10000, whose last bit is 0.001, that is noise.
        d.attrs["mask_filter_value"] = -5.0
    return keep


@ms("Attention")
def attention(d):
    b, s, i, heads, size = d.int(1, 3), d.int(1, 5), d.int(1, 6), d.int(1, 3), d.int(1, 5)
    h, past = heads * size, d.int(1, 3) if d.chance(0.4) else 0
    d.attrs["num_heads"] = heads
    d.attr(0.3, unidirectional=1)
    d.attr(0.3, scale=0.4)
    d.attr(0.3, mask_filter_value=-5.0)
    v = h if past or d.chance(0.6) else heads * d.int(1, 5)
    if v != h:
        d.attrs["qkv_hidden_sizes"] = [h, h, v]
    d.take(f32(d, b, s, i))
    d.take(f32(d, i, 2 * h + v), d.chance(0.5))
    d.take(f32(d, 2 * h + v) if d.chance(0.8) else None)
    d.take(mask(d, b, s, s + past))
    if past:
        d.take(f32(d, 2, b, heads, past, size))
        d.n_out = 2
    elif d.chance(0.4):
        d.take(None)
        d.take(f32(d, d.one([1, b]), d.one([1, heads]), s, s))


@ms("MultiHeadAttention")
def multi_head(d):
    b, s, n, heads, size = d.int(1, 3), d.int(1, 5), d.int(1, 5), d.int(1, 3), d.int(1, 5)
    h, past = heads * size, d.int(1, 3) if d.chance(0.4) else 0
    d.attrs["num_heads"] = heads
    if n <= s:  # with more keys the last query sees all of them in ONNX Runtime
        d.attr(0.3, unidirectional=1)
    d.attr(0.3, scale=0.4)
    d.take(f32(d, b, s, h))
    if not past and d.chance(0.3):
        d.take(f32(d, b, heads, n, size))
        d.take(f32(d, b, heads, n, size))
    else:
        d.take(f32(d, b, n, h))
        d.take(f32(d, b, n, h))
    d.take(f32(d, 3 * h) if d.chance(0.5) else None)
    d.take(mask(d, b, s, n + past))
    d.take(f32(d, d.one([1, b]), d.one([1, heads]), s, n + past) if d.chance(0.4) else None)
    if past:
        d.take(f32(d, b, heads, past, size))
        d.take(f32(d, b, heads, past, size))
        d.n_out = 3


@ms("QAttention")
def quantised_attention(d):
    b, s, i, heads, size = d.int(1, 3), d.int(1, 5), d.int(1, 6), d.int(1, 3), d.int(1, 5)
    h, t = heads * size, d.one([np.int8, np.uint8])
    columns = [3 * h] if d.chance(0.5) else []
    d.attrs["num_heads"] = heads
    d.attr(0.3, unidirectional=1)
    d.take(d.r.integers(0, 200, (b, s, i)).astype(np.uint8))
    d.take(d.r.integers(0, 100, (i, 3 * h)).astype(t))
    d.take(f32(d, 3 * h))
    d.take(np.float32(0.01).reshape(()))
    d.take(d.data("float32", columns, 0.005, 0.02))
    d.take(mask(d, b, s, s))
    d.take(np.array(90, np.uint8))
    d.take(np.full(columns, 5, t))


@ms("EmbedLayerNormalization")
def embed(d):
    b, s, n, words = d.int(1, 3), d.int(1, 5), d.int(1, 8), d.int(2, 8)
    segments = d.chance(0.6)
    ids = lambda most, *shape: d.r.integers(0, most, shape).astype(np.int32)
    d.take(ids(words, b, s))
    d.take(ids(2, b, s) if segments else None)
    d.take(f32(d, words, n))
    d.take(f32(d, s + 2, n))
    d.take(f32(d, 2, n) if segments else None)
    d.take(f32(d, n))
    d.take(f32(d, n))
    d.take(ids(3, b, s) if d.chance(0.5) else None)
    d.take(ids(s + 2, d.one([1, b]), s) if d.chance(0.5) else None)
    d.attr(epsilon=0.1)
    d.n_out = d.int(2, 3)


@ms("RotaryEmbedding")
def rotary(d):
    b, s, heads, half = d.int(1, 3), d.int(1, 5), d.int(1, 3), d.int(1, 4)
    d.take(f32(d, b, heads, s, 2 * half) if d.chance(0.4) else f32(d, b, s, 2 * half * heads))
    d.take(np.array([d.int(0, 4)]) if d.chance(0.4) else d.r.integers(0, 10, (b, s)))
    d.take(f32(d, 10, half))
    d.take(f32(d, 10, half))
    d.attr(interleaved=d.int(0, 1))


@ms("MatMulNBits")
def few_bits(d):
    bits, block, k, n = d.one([2, 4, 8]), d.one([16, 32, 64]), d.int(1, 90), d.int(1, 20)
    blocks = -(-k // block)
    d.attrs.update(K=k, N=n, bits=bits, block_size=block)
    d.take(f32(d, *d.one([[d.int(1, 5), k], [2, 3, k]])))
    d.take(d.r.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8), True)
    d.take(d.data("float32", [n, blocks], 0.05, 0.2), True)
    zeros = d.one(["none", "packed", "floats"]) if bits < 8 else d.one(["none", "packed"])
    d.take(None if zeros == "none" else f32(d, n, blocks) if zeros == "floats"
           else d.r.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8), True)
    d.take(None)
    d.take(f32(d, n) if d.chance(0.5) else None)


@ms("NhwcMaxPool")
def pool(d):
    t = d.one([np.int8, np.uint8])
    d.take(d.r.integers(0, 100, (d.int(1, 2), d.int(4, 8), d.int(4, 8), d.int(1, 20))).astype(t))
    d.attrs.update(kernel_shape=[d.int(1, 4), d.int(1, 4)], strides=[d.int(1, 3), d.int(1, 3)])


@ms("QLinearConv")
def convolution(d):
    c, m, last, t = d.int(1, 5), d.int(1, 5), d.int(0, 1), d.one([np.int8, np.uint8])
    s = lambda v: np.array(v, np.float32)
    d.take(d.r.integers(0, 100, (2, 7, 6, c) if last else (2, c, 7, 6)).astype(t))
    d.take(s(0.02))
    d.take(np.array(3, t))
    d.take(d.r.integers(-100, 100, (m, c, 3, 2)).astype(np.int8), True)
    d.take(s(0.01), True)
    d.take(np.array(0, np.int8), True)
    d.take(s(0.05))
    d.take(np.array(5, t))
    d.take(d.r.integers(-1000, 1000, m).astype(np.int32), True) if d.chance(0.6) else None
    d.attrs.update(channels_last=last, pads=[1, 0, 1, 1], strides=[1, 2])


@ms("DynamicQuantizeLSTM")
def lstm(d):
    s, b, i, h = d.int(1, 6), d.int(1, 3), d.int(1, 5), d.int(1, 8)
    way, t = d.one(["forward", "reverse", "bidirectional"]), d.one([np.int8, np.uint8])
    n = 2 if way == "bidirectional" else 1
    per = [n, 4 * h] if d.chance(0.3) else [n]
    d.attrs.update(hidden_size=h, direction=way)
    d.attr(0.3, clip=0.7)
    d.attr(0.3, input_forget=1)
    d.take(f32(d, s, b, i))
    d.take(d.r.integers(0, 120, (n, i, 4 * h)).astype(t), True)
    d.take(d.r.integers(0, 120, (n, h, 4 * h)).astype(t), True)
    d.take(f32(d, n, 8 * h) if d.chance(0.6) else None)
    d.take(None)
    d.take(f32(d, n, b, h) if d.chance(0.5) else None)
    d.take(f32(d, n, b, h) if d.chance(0.5) else None)
    d.take(f32(d, n, 3 * h) if d.chance(0.4) else None)
    for _ in range(2):
        d.take(d.data("float32", per, 0.003, 0.01))
        d.take(np.zeros(per, t) if t == np.int8 else np.full(per, 60, t), True)
    d.n_out = 3
