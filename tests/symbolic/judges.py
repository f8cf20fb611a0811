# SPDX-License-Identifier: Apache-2.0
"""The derivatives of derivatives.txt as others see them: judges.py NORN TABLE CC. Those of scalars must be those of sympy; the
programs printed in C (compiled with -Wall -Wextra -Werror) and Python must give the same values."""
import ctypes
import math
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy as np

try:
    import sympy as sp
except ImportError:
    print("sympy is not there: skipped")
    sys.exit(77)

norn, table, cc = sys.argv[1:4]
work = tempfile.mkdtemp()
random.seed(1)
failures = 0


def wrong(formula, text):
    global failures
    failures += 1
    print("FAIL", formula, text, flush=True)


def run(*args):
    return subprocess.run([norn, "grad", *args], check=True, capture_output=True, text=True,
                          env={**os.environ, "NORN_DEVICE": "host"}).stdout


# ---- sympy.
def where(c, a, b):
    return sp.Piecewise((a, c), (b, True))


class Floor(sp.Function):  # whose derivative sympy leaves open
    def fdiff(self, argindex=1):
        return sp.Integer(0)


def sigmoid(x):
    return 1 / (1 + sp.exp(-x))


def softplus(x):
    return sp.log(1 + sp.exp(x))


space = {
    "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "cot": sp.cot, "sec": sp.sec, "csc": sp.csc, "asin": sp.asin,
    "acos": sp.acos, "atan": sp.atan, "atan2": sp.atan2, "sinh": sp.sinh, "cosh": sp.cosh, "tanh": sp.tanh,
    "asinh": sp.asinh, "acosh": sp.acosh, "atanh": sp.atanh, "exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt,
    "abs": sp.Abs, "erf": sp.erf, "erfc": sp.erfc, "sign": sp.sign, "floor": Floor, "pi": sp.pi,
    "where": where, "sigmoid": sigmoid, "softplus": softplus, "max": sp.Max, "min": sp.Min,
    "log2": lambda x: sp.log(x) / sp.log(2), "log10": lambda x: sp.log(x) / sp.log(10),
    "exp2": lambda x: 2**x, "expm1": lambda x: sp.exp(x) - 1, "log1p": lambda x: sp.log(1 + x),
    "relu": lambda x: sp.Max(x, 0), "silu": lambda x: x * sigmoid(x), "mish": lambda x: x * sp.tanh(softplus(x)),
    "gelu": lambda x: x / 2 * (1 + sp.erf(x / sp.sqrt(2))), "softsign": lambda x: x / (1 + sp.Abs(x)),
    "elu": lambda x: where(x < 0, sp.exp(x) - 1, x), "leaky_relu": lambda x: where(x < 0, x / 100, x),
    "clip": lambda x, a, b: sp.Min(sp.Max(x, a), b), "hardsigmoid": lambda x: sp.Min(sp.Max(x / 6 + 0.5, 0), 1),
    "hardswish": lambda x: x * sp.Min(sp.Max(x / 6 + 0.5, 0), 1), "hypot": lambda x, y: sp.sqrt(x**2 + y**2),
    "cbrt": lambda x: x**sp.Rational(1, 3), "mod": lambda x, y: x - y * Floor(x / y),
    "logaddexp": lambda x, y: sp.log(sp.exp(x) + sp.exp(y)),
}


def of_sympy(formula, names):
    symbols = {n: sp.Symbol(n, real=True) for n in names}
    scope = {**space, **symbols}
    *lets, body = formula.split(";")
    for let in lets:
        name, value = let.strip()[4:].split("=", 1)
        scope[name.strip()] = eval(value, scope)
    body = re.sub(r"where\((.+?) and (.+?),", r"where((\1) & (\2),", body.strip())
    return eval(body, scope), symbols


def sympy_values(formula, point):
    expr, symbols = of_sympy(formula, list(point))
    values = {symbols[n]: v for n, v in point.items()}
    out = []
    for n in point:
        d = sp.sympify(expr).diff(symbols[n])
        out.append(float(d.subs(values).replace(Floor, lambda v: sp.floor(v)).evalf(30)))
    return out


# ---- One formula.
formulas = [line.split("|", 1)[1].strip() for line in open(table) if "|" in line and not line.startswith("#")]
programs = []
for i, formula in enumerate(formulas):
    try:
        programs.append((formula, run(formula, "--print", "c", "--name", f"f{i}"),
                         run(formula, "--print", "python", "--name", "f")))
    except subprocess.CalledProcessError as e:
        if "no function for" in e.stderr or "vectors or matrices" in e.stderr:
            print("pass", formula, e.stderr.strip())  # determinants
        else:
            wrong(formula, e.stderr.strip())
for k, (formula, c, _) in enumerate(programs):
    open(f"{work}/{k}.c", "w").write(c)
open(work + "/all.c", "w").write("".join(f'#include "{k}.c"\n' for k in range(len(programs))))
subprocess.run([cc, "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", work + "/all.so",
                work + "/all.c", "-lm"], check=True)
library = ctypes.CDLL(work + "/all.so")
double_p = ctypes.POINTER(ctypes.c_double)


def call_c(c, values):
    name, arguments = re.search(r"^(?:double|void) (f\d+)\((.*)\) \{", c, re.M).groups()
    f = getattr(library, name)
    single = re.search(r"^double f\d+\(", c, re.M) is not None
    passed, outputs = [], []
    for a in arguments.split(", "):
        if "*" not in a:
            passed.append(ctypes.c_double(float(values[a.split()[-1]])))
        else:
            n = a.split("*")[-1]
            if a.startswith("const"):
                v = np.ascontiguousarray(values[n], dtype=np.float64)
            else:
                v = np.zeros_like(np.asarray(values[n[2:]], dtype=np.float64))
                outputs.append(v)
            passed.append(v.ctypes.data_as(double_p))
            values["keep " + n] = v
    f.restype = ctypes.c_double if single else None
    r = f(*passed)
    return [np.asarray(r)] if single else outputs


def close(a, b, tolerance=1e-9):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    b = np.broadcast_to(b, a.shape)
    return bool(np.all(np.abs(a - b) <= tolerance * np.maximum(1, np.maximum(np.abs(a), np.abs(b)))))


judged = 0
generator = np.random.default_rng(1)
for formula, c, python in programs:
    scope = {}
    exec(python, scope)
    names = re.search(r"^def f\((.*)\):", python, re.M).group(1).split(", ")
    shapes = {n: [int(s) for s in d.split(",")]
              for n, d in re.findall(r"(\w+): f64\[([\d,]+)\]", formula)}
    values = {n: generator.uniform(0.25, 0.85, shapes[n]) if n in shapes
              else random.uniform(0.25, 0.85) for n in names}
    want = scope["f"](*[values[n] for n in names])
    want = want if isinstance(want, tuple) else (want,)
    got = call_c(c, dict(values))
    for n, a, b in zip(names, got, want):
        if not close(a, b):
            wrong(formula, f"by {n}: C gives {a}, Python {b}")
    if not shapes:
        judged += 1
        try:
            for n, a, b in zip(names, sympy_values(formula, values), want):
                if not close(a, b, 1e-9):
                    wrong(formula, f"by {n}: sympy gives {a}, norn {b}")
        except Exception as e:
            wrong(formula, repr(e)[:200])
print(f"{len(programs)} programs, {judged} formulas judged by sympy, {failures} failures")
sys.exit(failures != 0 or judged < 150)
