#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures norn side by side with its peers and writes the tables of docs/performance.md between their marks.

    tools/performance.py --norn build/norn --models DIR [--device cpu] [--threads 2] [--seconds 1] [--rounds 3]
                         [--only gemm,memory,inference,training,runtimes,tuning,roofline,cold,solvers] [--page docs/performance.md]

Peers are taken from PyPI: numpy (OpenBLAS), onnxruntime, torch, scipy, osqp; a row whose peer is not installed says so. DIR holds ONNX files
named NETWORK_bBATCH.onnx, and train_NETWORK.onnx to be trained; part `training` makes its own (training_networks.py). `runtimes` compares all OpenCL devices that are CPUs (OCL_ICD_VENDORS
names a folder of several), `roofline` draws a picture beside the page. Times are the least of `rounds` turns,
A B A B ..., of the median of each turn, each side in a process of its own; the processor time that each took for one run (both
threads) stands beside it, which other load on the machine does not change much.
"""
import argparse, datetime, glob, html, json, math, os, re, resource, statistics, subprocess, sys, tempfile, time

import training_networks

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--norn", default="build/norn")
parser.add_argument("--models", default="models")
parser.add_argument("--device", default="cpu")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=1.0)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--only", default="gemm,memory,inference,training,runtimes,tuning,roofline,cold,solvers")
parser.add_argument("--page", help="write the tables there, between the marks; else to standard output")
parser.add_argument("--peer", help=argparse.SUPPRESS)
args = parser.parse_args()


# ---- Peers: a process each, which measures for some seconds whenever it is told to.
def repeat(call):
    """Median wall time and processor time of a call, in ms."""
    call()
    print("ready", flush=True)
    for line in sys.stdin:
        walls, n, cpu, end = [], 0, time.process_time(), time.perf_counter() + args.seconds
        while n < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            walls.append(time.perf_counter() - start)
            n += 1
        cpu = (time.process_time() - cpu) / n
        print(json.dumps([sorted(walls)[n // 2] * 1e3, cpu * 1e3]), flush=True)


def peer(what):
    kind, _, subject = what.partition(":")
    import numpy as np

    random = np.random.default_rng(7)
    if kind == "ort":
        import onnxruntime as ort

        o = ort.SessionOptions()
        o.intra_op_num_threads = args.threads
        s = ort.InferenceSession(subject, o, providers=["CPUExecutionProvider"])
        feeds = {i.name: random.random([d if isinstance(d, int) else 1 for d in i.shape], dtype=np.float32) for i in s.get_inputs()}
        repeat(lambda: s.run(None, feeds))
    elif kind == "blas":
        n = int(subject)
        a, b, c = (random.random((n, n), dtype=np.float32) for _ in range(3))
        repeat(lambda: np.dot(a, b, out=c))
    elif kind == "torch":
        repeat(training_networks.step(subject, args.threads))
    elif kind == "copy":
        a = random.random(int(subject) // 4, dtype=np.float32)
        b = np.empty_like(a)
        repeat(lambda: np.copyto(b, a))


class Peer:
    def __init__(self, what):
        env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), OPENBLAS_NUM_THREADS=str(args.threads))
        command = [sys.executable, os.path.abspath(__file__), "--peer", what, "--threads", str(args.threads), "--seconds", str(args.seconds)]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.there = any(line.strip() == "ready" for line in iter(self.process.stdout.readline, ""))

    def sample(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


# ---- norn, by its own benchmark; processor time from the difference of two lengths.
def bench(*what, seconds=None, env=None, device=None):
    command = [args.norn, "bench", *what, "--device", device or args.device, "--json"]
    command += ["--seconds", str(seconds or args.seconds)]
    r = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
    if not r.stdout:
        raise RuntimeError(r.stderr.strip()[-200:])
    return json.loads(r.stdout)


def children_cpu():
    t = resource.getrusage(resource.RUSAGE_CHILDREN)
    return t.ru_utime + t.ru_stime


class Norn:
    """Turns of one row: median wall time of each, and the processor time of K and of 3 K runs, so that starting does not count."""

    def __init__(self, what):
        self.what, self.k, self.walls, self.cpu, self.result = what, 0, [], ([], []), None

    def sample(self):
        r = bench(*self.what, "--no-check")["results"][0]
        self.k = self.k or max(3, int(750 / max(r["median_ms"], 1e-3)))
        self.walls.append(r["median_ms"])
        self.result = r
        for n, list_ in ((self.k, self.cpu[0]), (3 * self.k, self.cpu[1])):
            before = children_cpu()
            subprocess.run([args.norn, "bench", *self.what, "--device", args.device, "--json", "--no-check", "--repeat", str(n)],
                           capture_output=True, timeout=900)
            list_.append(children_cpu() - before)

    def least(self):
        return [min(self.walls), (min(self.cpu[1]) - min(self.cpu[0])) / (2 * self.k) * 1e3]


def median_ms(*what, **where):
    return bench(*what, "--no-check", **where)["results"][0]["median_ms"]


def turns(peer_name, *what, variant=None):
    """Least wall and processor time of both sides; with a variant of the options, norn's wall time with it, too."""
    other, mine, theirs, varied = Peer(peer_name), Norn(what), [], []
    for _ in range(args.rounds):
        if other.there:
            theirs.append(other.sample())
        mine.sample()
        if variant:
            varied.append(median_ms(*what, *variant))
    other.close()
    result = mine.least(), [min(t[i] for t in theirs) if theirs else None for i in (0, 1)], mine.result
    return result + (min(varied),) if variant else result


def ratio(a, b):
    return f"{a / b:.2f}" if a and b and b > 0 else "-"


def number(x, digits=2):
    return "-" if x is None else f"{x:.{digits}f}"


def right(*what):
    """The gate: compared with the host reference, once."""
    r = bench(*what, seconds=0.01)["results"][0]
    return ("yes" if r["correct"] else "**WRONG**") if r["correct"] is not None else "too long"


# ---- Tables.
def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i == 0 else "---:" for i in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def gemm(peaks):
    rows = []
    for n in (512, 1024, 2048):
        line = f"MatMul(float[{n},{n}], float[{n},{n}])"
        mine, theirs, _ = turns(f"blas:{n}", "op", line)
        rate = lambda ms: 2 * n**3 / ms * 1e-6 if ms else None
        # processor time counts both threads, so a rate of it is one of all cores at work
        rows.append([f"{n} cubed", number(rate(mine[0]), 0), number(100 * rate(mine[0]) / peaks["fp32_gflops"], 0) + " %",
                     number(100 * rate(mine[1]) * args.threads / peaks["fp32_gflops"], 0) + " %", number(rate(theirs[0]), 0),
                     ratio(theirs[0], mine[0]), ratio(theirs[1], mine[1]), right("op", line)])
    return table(["product", "GFLOP/s", "of peak", "by processor time", "OpenBLAS", "speed-up", "by processor time", "right"], rows)


MEMORY = [
    ("chain of 20 pointwise operators", None, 2),
    ("softmax, rows of 256", "Softmax<axis=-1>(float[65536,256])", 2),
    ("softmax, rows of 4096", "Softmax<axis=-1>(float[4096,4096])", 2),
    ("softmax, inner axis", "Softmax<axis=1>(float[256,256,256])", 2),
    ("layer norm, rows of 1024", "LayerNormalization(float[16384,1024], float[1024], float[1024])", 2),
    ("sum over all", "ReduceSum(float[16777216], int64[1]{0})", 1),
    ("sum over axis 0", "ReduceSum(float[4096,4096], int64[1]{0})", 1),
    ("sum over the middle axis", "ReduceSum(float[256,256,256], int64[1]{1})", 1),
    ("sum over the last axis", "ReduceSum(float[4096,4096], int64[1]{1})", 1),
]


FORMULA = "x: f32[10000000]; ((x*3 + 1)*x - 2)*x + abs(x - 0.5)*(x + 0.25) - max(x, 0.3)*(x*x - 0.1*x)/(x + 2) + min(x*x, x)*(1 - x)"


def chain(folder):
    """A model file of 20 pointwise operators in a row."""
    import onnx
    from onnx import helper as h, TensorProto as t

    nodes, now = [], "x"
    for i, op in enumerate(["Mul", "Add", "Relu", "Sub", "Neg"] * 4):
        nodes.append(h.make_node(op, [now, "a"] if op in ("Mul", "Add", "Sub") else [now], [f"v{i}"]))
        now = f"v{i}"
    g = h.make_graph(nodes, "chain", [h.make_tensor_value_info("x", t.FLOAT, [16777216])], [h.make_tensor_value_info(now, t.FLOAT, [16777216])],
                     [h.make_tensor("a", t.FLOAT, [], [0.5])])
    path = os.path.join(folder, "chain.onnx")
    onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def memory(peaks):
    rows, size = [], 64 << 20
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "formula.onnx")
        subprocess.run([args.norn, "grad", FORMULA, path, "--simplify"], check=True, capture_output=True)
        mine, copy, r = turns(f"copy:{4 * 10**7}", "model", path)
        kernels = len(r["implementation"].split(", "))
        rows.append([f"formula of 20 operations, 10 million elements, in {kernels} kernel" + "s" * (kernels > 1), number(mine[0]),
                     number(8e7 / mine[0] * 1e-6, 1), number(copy[0]), ratio(copy[0], mine[0]), ratio(copy[1], mine[1]), right("model", path)])
        for name, line, streams in MEMORY:
            what = ("op", line) if line else ("model", chain(folder))
            mine, copy, _ = turns(f"copy:{size if streams == 2 else size // 2}", *what)
            rows.append([name, number(mine[0]), number(streams * size / mine[0] * 1e-6, 1), number(copy[0]), ratio(copy[0], mine[0]), ratio(copy[1], mine[1]), right(*what)])
    return table(["64 MiB of floats", "ms", "GB/s", "copy of the same bytes, ms", "of the copy", "by processor time", "right"], rows)


def inference(peaks):
    rows = []
    for path in sorted(glob.glob(os.path.join(args.models, "*.onnx"))):
        name = os.path.basename(path)[:-5]
        if name.startswith("train_"):
            continue
        mine, theirs, r, strict = turns(f"ort:{path}", "model", path, variant=("--numerics", "strict"))
        share = r["gflops"] * r["median_ms"] / mine[0] / peaks["fp32_gflops"] if r["gflops"] else 0
        rows.append([name, number(mine[0]), number(theirs[0]), ratio(theirs[0], mine[0]), number(mine[1]), number(theirs[1]), ratio(theirs[1], mine[1]),
                     number(strict), f"{100 * share:.0f} %", f"{r['memory_bytes'] / 2**20:.0f}"])
    return table(["network", "norn, ms", "ONNX Runtime, ms", "speed-up", "norn, processor ms", "ONNX Runtime, processor ms", "speed-up",
                  "--numerics strict, ms", "of the FMA peak", "device memory, MiB"], rows)


def networks():
    """What is run, and what is trained: a name and the arguments of norn bench."""
    batches = {"resnet18c": 32, "lstm": 32}
    for path in sorted(glob.glob(os.path.join(args.models, "*.onnx"))):
        name = os.path.basename(path)[:-5]
        if name.startswith("train_"):
            batch = batches.get(name[6:], 64)
            yield f"training: {name[6:]}, batch {batch}", ("train", path, "--batch", str(batch))
        else:
            yield name, ("model", path)


def runtimes(peaks):
    """Every OpenCL device that is a CPU, turn by turn."""
    listed = json.loads(subprocess.run([args.norn, "devices", "--json"], capture_output=True, text=True).stdout)["devices"]
    cpus = [d for d in listed if d["type"] == "cpu"]
    rows = []
    for name, what in networks():
        runs = [[] for _ in cpus]
        for _ in range(args.rounds):
            for i, d in enumerate(cpus):
                runs[i].append(bench(*what, "--no-check", device=str(d["index"]))["results"][0])
        best = [min(r["best_ms"] for r in of) for of in runs]
        middle = [statistics.median(r["median_ms"] for r in of) for of in runs]
        rows.append([name, number(best[0])] + [cell for t, m in zip(best[1:], middle[1:]) for cell in (number(t), ratio(t, best[0]), ratio(m, middle[0]))])
    head = [f"{d['platform']} {d['driver']}" for d in cpus]
    return table(["network", head[0] + ", ms"] + [cell for h in head[1:] for cell in (h + ", ms", "of the first", "by medians")], rows)


def tuning(peaks):
    """What the rules choose against the best of all values, for the shapes of norn bench."""
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, NORN_TUNE="0", NORN_CACHE_DIR=folder)
        r = subprocess.run([args.norn, "tune", "--device", args.device, "--budget", "300s", "--json"], capture_output=True, text=True, env=env)
    tuned = [r for r in json.loads(r.stdout)["results"] if r["parameters"]]
    rows = [[f"`{r['line']}`", number(r["before_ms"], 3), number(r["after_ms"], 3), ratio(r["before_ms"], r["after_ms"]), r["records"] or "",
             str(r["tried"]), str(r["wrong"])] for r in tuned]
    return table(["operator", "by the rule, ms", "tuned, ms", "ratio", "what changed", "tried", "wrong"], rows)


def roofline(peaks):
    """A picture of the operators of norn bench under the device's roof, on logarithmic axes."""
    points = [(kind, r) for kind in ("gemm", "conv") for r in bench(kind, "--no-check")["results"]]
    points += [("memory", bench("op", line, "--no-check")["results"][0]) for _, line, _ in MEMORY if line]
    peak, memory_peak, left, top, width, height = peaks["fp32_gflops"], peaks["global_gbytes_s"], 70, 20, 640, 380
    x0, x1, y0, y1 = -4, 10, math.floor(math.log2(memory_peak / 16)), math.ceil(math.log2(2.5 * peak))
    px = lambda v: left + width * (math.log2(v) - x0) / (x1 - x0)
    py = lambda v: top + height * (1 - (math.log2(v) - y0) / (y1 - y0))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {top + height + 70}" font-family="sans-serif" font-size="12">',
           f'<rect width="{left + width + 20}" height="{top + height + 70}" fill="#fff"/>']
    for e in range(x0, x1 + 1, 2):
        out.append(f'<path d="M{px(2.0**e):.1f} {top}V{top + height}" stroke="#e4e4e4"/><text x="{px(2.0**e):.1f}" y="{top + height + 17}" '
                   f'text-anchor="middle" fill="#444">{f"1/{2**-e}" if e < 0 else 2**e}</text>')
    for e in range(y0, y1 + 1):
        out.append(f'<path d="M{left} {py(2.0**e):.1f}H{left + width}" stroke="#e4e4e4"/><text x="{left - 8}" y="{py(2.0**e) + 4:.1f}" '
                   f'text-anchor="end" fill="#444">{2**e if e >= 0 else 2.0**e:g}</text>')
    ridge = peak / memory_peak
    out.append(f'<path d="M{px(2.0**x0):.1f} {py(memory_peak * 2.0**x0):.1f}L{px(ridge):.1f} {py(peak):.1f}H{left + width}" fill="none" stroke="#222" '
               f'stroke-width="2"/><text x="{px(ridge) + 8:.1f}" y="{py(peak) - 8:.1f}" fill="#222">{peak:.0f} GFLOP/s</text>'
               f'<text x="{px(0.12):.1f}" y="{py(memory_peak * 0.12) - 14:.1f}" fill="#222">{memory_peak:.0f} GB/s</text>')
    colours = {"gemm": ("#1f6fb4", "products"), "conv": ("#c8501e", "convolutions"), "memory": ("#3c8c3c", "softmax, norms, sums")}
    for kind, r in points:
        if not r["gflops"] or not r["gbytes_s"]:
            continue
        x = min(max(r["gflops"] / r["gbytes_s"], 2.0**x0), 2.0**x1)
        out.append(f'<circle cx="{px(x):.1f}" cy="{py(max(r["gflops"], 2.0**y0)):.1f}" r="4.5" fill="{colours[kind][0]}" fill-opacity="0.75">'
                   f'<title>{html.escape(r.get("shape") or r["name"])}: {r["gflops"]:.0f} GFLOP/s, {r["gbytes_s"]:.0f} GB/s</title></circle>')
    for i, (colour, name) in enumerate(colours.values()):
        out.append(f'<circle cx="{left + 16}" cy="{top + 16 + 18 * i}" r="4.5" fill="{colour}"/><text x="{left + 27}" y="{top + 20 + 18 * i}" '
                   f'fill="#222">{name}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle" fill="#222">operations for each byte of inputs and outputs</text>'
               f'<text x="{left + width / 2}" y="{top + height + 58}" text-anchor="middle" fill="#666">{html.escape(peaks["device"])}, '
               f'{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}</text>'
               f'<text transform="translate(18 {top + height / 2}) rotate(-90)" text-anchor="middle" fill="#222">GFLOP/s</text></svg>')
    with open(os.path.join(os.path.dirname(args.page or ""), "roofline.svg"), "w") as f:
        f.write("\n".join(out) + "\n")
    above = sum(r["gflops"] > peak for _, r in points)
    return (f"![Operators under the roofline](roofline.svg)\n\n{len(points)} operators; {above} of them lie above the roof, by minimal filtering "
            "or because caches hold what they read.")


def training(peaks):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, batch, optimizer) in training_networks.NETWORKS.items():
            path = os.path.join(folder, "network.onnx")
            training_networks.write(name, path)
            what = ("train", path, "--batch", str(batch), "--optimizer", optimizer)
            mine, theirs, r = turns(f"torch:{name}", *what)
            share = r["gflops"] * r["median_ms"] / mine[0] / peaks["fp32_gflops"]
            rows.append([f"{name}, batch {batch}, {optimizer}", number(mine[0]), number(theirs[0]), ratio(theirs[0], mine[0]), number(mine[1]),
                         number(theirs[1]), ratio(theirs[1], mine[1]), f"{100 * share:.0f} %", f"{r['launches']}",
                         f"{r['memory_bytes'] / 2**20:.0f}", right(*what)])
    return table(["a step of training", "norn, ms", "torch, ms", "speed-up", "norn, processor ms", "torch, processor ms", "speed-up",
                  "of the FMA peak", "launches", "device memory, MiB", "right"], rows)


ROSENBROCK = "x: f64[{}]; sum(100*(x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)"
FUNCTIONS = [  # name, formula, start, the same for scipy
    ("Rosenbrock, 2 variables", ROSENBROCK.format(2), [-1.2, 1.0], "rosen"),
    ("Rosenbrock, 1,000 variables", ROSENBROCK.format(1000), [0.5] * 1000, "rosen"),
    ("Powell", "x: f64[4]; (x[0] + 10*x[1])**2 + 5*(x[2] - x[3])**2 + (x[1] - 2*x[2])**4 + 10*(x[0] - x[3])**4", [3.0, -1.0, 0.0, 1.0], "powell"),
    ("Beale", "x: f64[2]; (1.5 - x[0] + x[0]*x[1])**2 + (2.25 - x[0] + x[0]*x[1]**2)**2 + (2.625 - x[0] + x[0]*x[1]**3)**2", [1.0, 1.0], "beale"),
    ("Himmelblau", "x: f64[2]; (x[0]**2 + x[1] - 11)**2 + (x[0] + x[1]**2 - 7)**2", [0.0, 0.0], "himmelblau"),
    ("Booth", "x: f64[2]; (x[0] + 2*x[1] - 7)**2 + (2*x[0] + x[1] - 5)**2", [0.0, 0.0], "booth"),
]


def scipy_function(name):
    """Value and gradient, written by hand."""
    import numpy as np
    from scipy.optimize import rosen, rosen_der

    if name == "rosen":
        return rosen, rosen_der
    if name == "powell":
        return (lambda x: (x[0] + 10 * x[1])**2 + 5 * (x[2] - x[3])**2 + (x[1] - 2 * x[2])**4 + 10 * (x[0] - x[3])**4,
                lambda x: np.array([2 * (x[0] + 10 * x[1]) + 40 * (x[0] - x[3])**3, 20 * (x[0] + 10 * x[1]) + 4 * (x[1] - 2 * x[2])**3,
                                    10 * (x[2] - x[3]) - 8 * (x[1] - 2 * x[2])**3, -10 * (x[2] - x[3]) - 40 * (x[0] - x[3])**3]))
    parts = {"beale": lambda x: [(c - x[0] + x[0] * x[1]**k, x[1]**k - 1, k * x[0] * x[1]**(k - 1)) for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))],
             "himmelblau": lambda x: [(x[0]**2 + x[1] - 11, 2 * x[0], 1), (x[0] + x[1]**2 - 7, 1, 2 * x[1])],
             "booth": lambda x: [(x[0] + 2 * x[1] - 7, 1, 2), (2 * x[0] + x[1] - 5, 2, 1)]}[name]
    return (lambda x: sum(r * r for r, _, _ in parts(x)), lambda x: np.array([sum(2 * r * a for r, a, _ in parts(x)), sum(2 * r * b for r, _, b in parts(x))]))


def programs():
    """Random quadratic programs: dense ones with half as many constraints as variables, banded ones with bounds."""
    import numpy as np

    r = np.random.default_rng(3)
    for n in (20, 200, 1000, 2000):
        f, a, x = r.normal(size=(n, n)), r.normal(size=(n // 2, n)), r.normal(size=n)
        yield f"dense, {n:,} variables", f.T @ f / n, r.normal(size=n), a, a @ x - r.uniform(0, 1, n // 2), a @ x + r.uniform(0, 1, n // 2)
        p = np.diag(np.full(n, 2.0)) - np.diag(np.ones(n - 1), 1) - np.diag(np.ones(n - 1), -1)
        yield f"banded, {n:,} variables", p, r.normal(size=n), np.eye(n), np.full(n, -0.3), np.full(n, 0.3)


def solvers(peaks):
    import numpy as np
    import osqp
    from scipy import optimize, sparse

    def solve(*what):
        r = subprocess.run([args.norn, "solve", *what, "--device", args.device, "--json"], capture_output=True, text=True, timeout=900)
        return json.loads(r.stdout)

    rows = []
    for name, formula, start, known in FUNCTIONS:
        mine = [solve(formula, "--start", f"x=[{','.join(map(str, start))}]") for _ in range(args.rounds + 1)]
        f, g = scipy_function(known)
        theirs = []
        for _ in range(args.rounds):
            begin = time.perf_counter()
            r = optimize.minimize(f, np.array(start), jac=g, method="L-BFGS-B", options={"gtol": 1e-8, "ftol": 0, "maxiter": 10000, "maxcor": 20})
            theirs.append(time.perf_counter() - begin)
        m = mine[-1]
        rows.append([name, f"{m['iterations']}", f"{m['values']}", number(min(x["seconds"] for x in mine) * 1e3, 1), f"{m['gradient']:.1e}",
                     f"{r.nit}", f"{r.nfev}", number(min(theirs) * 1e3, 1), f"{np.abs(r.jac).max():.1e}"])
    first = table(["L-BFGS", "iterations", "values", "ms", "gradient", "scipy: iterations", "values", "ms", "gradient"], rows)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, p, q, a, l, u in programs():
            path = os.path.join(folder, "p.npz")
            np.savez(path, P=p, q=q, A=a, l=l, u=u)
            m = solve("--qp", path)
            begin = time.perf_counter()
            s = osqp.OSQP()
            s.setup(P=sparse.triu(sparse.csc_matrix(p), format="csc"), q=q, A=sparse.csc_matrix(a), l=l, u=u, verbose=False, eps_abs=1e-9,
                    eps_rel=1e-9, max_iter=100000, polishing=True)
            r = s.solve()
            seconds = time.perf_counter() - begin
            apart = abs(m["objective"] - r.info.obj_val) / (1 + abs(r.info.obj_val))
            rows.append([name, f"{m['iterations']:.0f}", number(m["seconds"] * 1e3, 1), f"{max(m['primal'], m['dual'], m['gap']):.1e}",
                         f"{r.info.iter}", number(seconds * 1e3, 1), f"{apart:.0e}"])
    return first + "\n\n" + table(["quadratic program", "iterations", "ms", "KKT residual", "OSQP: iterations", "ms", "objectives apart"], rows)


def cold(peaks):
    """A first start, with empty caches of norn and of the driver, and a second one; the whole process as timed from outside."""
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data, out = os.path.join(folder, "data.npz"), os.path.join(folder, "out.onnx")
        r = np.random.default_rng(1)
        np.savez(data, x=r.random((256, 1, 28, 28), dtype=np.float32), y=r.integers(0, 10, 256))
        todo = [(f"{name}: first result", ["bench", "model", os.path.join(args.models, name + ".onnx"), "--no-check", "--repeat", "1", "--warmup", "1"])
                for name in ("resnet50_b1", "mobilenetv2_b1", "lenet_b1")]
        todo.append(("LeNet training: one step, saved", ["train", "lenet", "--data", data, "--out", out, "--steps", "1"]))
        for number_, (name, what) in enumerate(todo):
            if what[0] == "bench" and not os.path.exists(what[2]):
                continue
            own = os.path.join(folder, str(number_))
            env = dict(os.environ, NORN_CACHE_DIR=os.path.join(own, "norn"), POCL_CACHE_DIR=os.path.join(own, "pocl"))
            os.makedirs(env["POCL_CACHE_DIR"])
            row = [name]
            for _ in range(2):
                before, start = children_cpu(), time.perf_counter()
                r = subprocess.run([args.norn, *what, "--device", args.device, "--json"], capture_output=True, text=True, timeout=900, env=env)
                whole, cpu = time.perf_counter() - start, children_cpu() - before
                if r.returncode:
                    raise RuntimeError(r.stderr.strip()[-200:])
                first = json.loads(r.stdout)["results"][0]["first_ms"] / 1e3 if what[0] == "bench" else None
                row += [number(first), number(whole), number(cpu)]
            rows.append(row)
    return table(["first start", "result, s", "process, s", "processor, s", "second start: result, s", "process, s", "processor, s"], rows)


def versions():
    found = []
    for name in ("numpy", "onnxruntime", "torch", "scipy", "osqp"):
        try:
            from importlib.metadata import version

            found.append(f"{name} {version(name)}")
        except Exception:
            found.append(f"no {name}")
    return ", ".join(found)


def main():
    if args.peer:
        return peer(args.peer)
    report = bench("peak", "--quick")
    peaks = report["peaks"][0]
    parts = {"gemm": gemm, "memory": memory, "inference": inference, "training": training, "runtimes": runtimes,
             "tuning": tuning, "roofline": roofline, "cold": cold, "solvers": solvers}
    head = (f"{report['host_cpu']}, {os.cpu_count()} cores, {report['host_system']} {report['host_release']}; device "
            f"{peaks['device']} ({peaks['device_version']}, driver {peaks['driver']}), norn {report['version']}.")
    run = f"{versions()}; peak {peaks['fp32_gflops']:.0f} GFLOP/s, copies {peaks['copy_gbytes_s']:.0f} GB/s."
    text = {"machine": head}
    wanted = args.only.split(",")
    if unknown := [name for name in wanted if name not in parts]:
        sys.exit(f"--only: there is no '{unknown[0]}' (wanted {', '.join(parts)})")
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        taken = f"Taken {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, load of the machine before: {os.getloadavg()[0]:.1f}"
        text[name] = f"{parts[name](peaks)}\n\n{taken}, {run}"
    if not args.page:
        print("\n\n".join(text.values()))
        return 0
    page = open(args.page).read()
    for name, body in text.items():
        page, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: m.group(1) + body + "\n" + m.group(2), page, flags=re.S)
        if n != 1:
            sys.exit(f"{args.page}: there is no place for the table '{name}'")
    open(args.page, "w").write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
