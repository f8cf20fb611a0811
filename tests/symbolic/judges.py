# SPDX-License-Identifier: Apache-2.0
"""The derivatives of derivatives.txt as others see them: judges.py NORN TABLE CC. The programs printed in C (compiled with -Wall
-Wextra -Werror), OpenCL C (on the device of NORN_DEVICE's platform, else the first) and Python must give the same values; those of
scalars must be those of sympy, where it is installed."""
import ast
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
    sp = None
    if os.environ.get("NORN_JUDGES") == "all":
        sys.exit("sympy is not there (wanted all judges)")
    print("sympy is not there: judged without it")

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


if sp:
    class Floor(sp.Function):  # whose derivative sympy leaves open
        def fdiff(self, argindex=1):
            return sp.Integer(0)


def sigmoid(x):
    return 1 / (1 + sp.exp(-x))


def softplus(x):
    return sp.log(1 + sp.exp(x))


space = {} if not sp else {
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
    "isinf": lambda x: sp.S.false,  # of a number
    "sum": np.sum, "array": lambda v: np.array(v, dtype=object),
}


class Matrices(ast.NodeTransformer):
    """Lists become matrices."""

    def visit_List(self, node):
        self.generic_visit(node)
        return ast.Call(ast.Name("array", ast.Load()), [node], [])


def value_of(text, scope):
    return eval(compile(ast.fix_missing_locations(Matrices().visit(ast.parse(text.strip(), mode="eval"))), text, "eval"), scope)


def of_sympy(formula, names):
    symbols = {n: sp.Symbol(n, real=True) for n in names}
    scope = {**space, **symbols}
    *lets, body = formula.split(";")
    for let in lets:
        name, value = let.strip()[4:].split("=", 1)
        scope[name.strip()] = value_of(value, scope)
    body = re.sub(r"where\((.+?) and (.+?),", r"where((\1) & (\2),", body.strip())
    return value_of(body, scope), symbols


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
                         run(formula, "--print", "python", "--name", "f"),
                         run(formula, "--print", "opencl", "--name", f"k{i}_")))
    except subprocess.CalledProcessError as e:
        wrong(formula, e.stderr.strip())
for k, (formula, c, _, _) in enumerate(programs):
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


# ---- OpenCL, by its C interface.
cl = ctypes.CDLL("libOpenCL.so.1")
for name in ("clCreateContext", "clCreateCommandQueue", "clCreateProgramWithSource", "clCreateKernel", "clCreateBuffer"):
    getattr(cl, name).restype = ctypes.c_void_p
pointer, size_t, error = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int()


def cl_ok(code, what):
    if code:
        sys.exit(f"{what}: OpenCL error {code}")


def of(values, name):
    """The value of a variable, which has a '_' behind it where its name is a word of the language."""
    return values[name] if name in values else values[name[:-1]]


class Kernels:
    """All kernels in one program on the first device."""

    def __init__(self, source):
        platform, device, n = pointer(), pointer(), ctypes.c_uint()
        cl_ok(cl.clGetPlatformIDs(1, ctypes.byref(platform), ctypes.byref(n)), "platforms")
        cl_ok(cl.clGetDeviceIDs(platform, ctypes.c_ulong(0xFFFFFFFF), 1, ctypes.byref(device), ctypes.byref(n)), "devices")
        self.context = pointer(cl.clCreateContext(None, 1, ctypes.byref(device), None, None, ctypes.byref(error)))
        self.queue = pointer(cl.clCreateCommandQueue(self.context, device, ctypes.c_ulong(0), ctypes.byref(error)))
        text = ctypes.c_char_p(source.encode())
        self.program = pointer(cl.clCreateProgramWithSource(self.context, 1, ctypes.byref(text), None, ctypes.byref(error)))
        code = cl.clBuildProgram(self.program, 1, ctypes.byref(device), b"-cl-std=CL1.2 -Werror", None, None)
        if code:
            log = ctypes.create_string_buffer(1 << 16)
            cl.clGetProgramBuildInfo(self.program, device, 0x1183, size_t(len(log)), log, None)
            sys.exit("the printed kernels do not compile:\n" + log.value.decode()[:4000])

    def call(self, text, values, like):
        """Outputs by name: each kernel of `text` on its own; numbers become arrays of three where the kernel wants arrays."""
        out = {}
        for name, arguments in re.findall(r"__kernel void (\w+)\((.*)\) \{", text):
            kernel = pointer(cl.clCreateKernel(self.program, name.encode(), ctypes.byref(error)))
            cl_ok(error.value, name)
            reads, count, elems = [], 1, None
            for k, a in enumerate(arguments.split(", ")):
                n = a.split("*")[-1].split()[-1]
                if a.startswith("__global const"):
                    number = n.endswith("_all")
                    v = np.ascontiguousarray(np.full(3, of(values, n[:-4])) if number else of(values, n), dtype=np.float64)
                    elems = 3 if number else elems
                    b = pointer(cl.clCreateBuffer(self.context, ctypes.c_ulong(32), size_t(v.nbytes), v.ctypes.data_as(pointer), ctypes.byref(error)))
                elif a.startswith("__global"):
                    v = np.zeros(elems or like[n[2:]].shape)
                    count = v.size
                    b = pointer(cl.clCreateBuffer(self.context, ctypes.c_ulong(1), size_t(v.nbytes), None, ctypes.byref(error)))
                    reads.append((n, v, b))
                elif a.startswith("ulong"):
                    b = ctypes.c_ulong(count)
                else:
                    b = ctypes.c_double(float(of(values, n)))
                cl_ok(error.value or cl.clSetKernelArg(kernel, k, size_t(8), ctypes.byref(b)), name + " argument")
            cl_ok(cl.clEnqueueNDRangeKernel(self.queue, kernel, 1, None, ctypes.byref(size_t(count)), None, 0, None, None), name)
            for n, v, b in reads:
                cl_ok(cl.clEnqueueReadBuffer(self.queue, b, 1, size_t(0), size_t(v.nbytes), v.ctypes.data_as(pointer), 0, None, None), "read")
                out[n] = v
        return out


def close(a, b, tolerance=1e-9):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    b = np.broadcast_to(b, a.shape)
    return bool(np.all(np.abs(a - b) <= tolerance * np.maximum(1, np.maximum(np.abs(a), np.abs(b)))))


kernels = Kernels("\n".join(p[3] for p in programs))
judged, launched = 0, 0
generator = np.random.default_rng(1)
for formula, c, python, opencl in programs:
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
    if not len(got) == len(want) == len(names):
        wrong(formula, f"C has {len(got)} outputs, Python {len(want)}, for {len(names)} variables")
    for n, a, b in zip(names, got, want):
        if not close(a, b):
            wrong(formula, f"by {n}: C gives {a}, Python {b}")
    shaped = {n: np.asarray(a) for n, a in zip(names, want)}
    launched += len(re.findall("__kernel", opencl))
    by_kernels = kernels.call(opencl, values, {n: np.zeros(shapes.get(n, ())) for n in names})
    if len(by_kernels) != len(names):
        wrong(formula, f"the kernels write {sorted(by_kernels)} for {len(names)} variables")
    for n, a in by_kernels.items():
        b = shaped[n[2:]]
        if not close(a, b if a.size != 3 or b.size == 3 else np.full(3, b)):
            wrong(formula, f"by {n}: OpenCL C gives {a}, Python {b}")
    if not shapes and sp:
        judged += 1
        try:
            for n, a, b in zip(names, sympy_values(formula, values), want):
                if not close(a, b, 1e-9):
                    wrong(formula, f"by {n}: sympy gives {a}, norn {b}")
        except Exception as e:
            wrong(formula, repr(e)[:200])
print(f"{len(programs)} programs, {launched} kernels, {judged} formulas judged by sympy, {failures} failures")
sys.exit(failures != 0 or len(programs) < 200 or (sp is not None and judged < 150))
