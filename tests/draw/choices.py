# SPDX-License-Identifier: Apache-2.0
"""What is drawn from: types, shapes, and the node under way. `op` registers how an operator is drawn."""
import numpy as np

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
