# SPDX-License-Identifier: Apache-2.0
"""Quadratic programs solved by norn, judged by their KKT conditions (which prove the solution), by construction, and, where
it is installed, by OSQP, whose verdict and objective (to 1e-6) must be the same: qp.py NORN [LARGEST]. Random programs, dense and banded, degenerate,
infeasible, unbounded; linear programs, which have no P, next to SciPy's linprog; each on the host, and on the device that NORN_DEVICE names (else the first), from dense and from sparse matrices."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

try:
    import osqp
    from scipy import optimize, sparse
except ImportError:
    osqp = None
    if os.environ.get("NORN_JUDGES") == "all":
        sys.exit("OSQP and SciPy are not there (wanted all judges)")
    print("OSQP is not there: judged by the KKT conditions only")

norn, largest = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
folder = tempfile.mkdtemp()
path = folder + "/p.npz"
failures = 0
NAMES = ("P", "q", "A", "l", "u")


def rows(name, m):
    """A matrix as SciPy's csr_matrix has it."""
    columns = [np.flatnonzero(row) for row in m]
    return {name: np.concatenate([row[c] for row, c in zip(m, columns)] or [np.zeros(0)]),
            name + "_indices": np.concatenate(columns or [np.zeros(0, int)]).astype(np.int32),
            name + "_indptr": np.cumsum([0] + [len(c) for c in columns]).astype(np.int32)}


def solve(device, is_sparse, *program, linear=False):
    given = dict(zip(NAMES, program))
    if is_sparse:
        given.update(rows("P", program[0]), **rows("A", program[2]))
    if linear:
        given = {name: v for name, v in given.items() if not name.startswith("P")}
    np.savez(path, **given)
    r = subprocess.run([norn, "solve", "--qp", path, "--json", "--out", path + ".out.npz"] + device, capture_output=True,
                       text=True, env={**os.environ, "NORN_CACHE": "1", "NORN_CACHE_DIR": folder})
    if r.returncode not in (0, 1):
        return {"status": r.stderr.strip()}
    out = json.loads(r.stdout)
    out.update(np.load(path + ".out.npz"))
    return out


DECIDED = ("solved", "infeasible", "unbounded")


def by_osqp(p, q, a, l, u):
    """Status and objective."""
    solver = osqp.OSQP()
    solver.setup(P=sparse.triu(sparse.csc_matrix(p), format="csc"), q=q, A=sparse.csc_matrix(a), l=l, u=u, verbose=False,
                 eps_abs=1e-9, eps_rel=1e-9, max_iter=200000, polishing=True)
    r = solver.solve()
    kind = r.info.status.split()[0]
    return {"solved": "solved", "primal": "infeasible", "dual": "unbounded"}.get(kind, kind), r.info.obj_val


def by_linprog(p, q, a, l, u):
    """The same of a linear program."""
    up, low = np.isfinite(u), np.isfinite(l)
    r = optimize.linprog(q, A_ub=np.vstack([a[up], -a[low]]), b_ub=np.concatenate([u[up], -l[low]]), bounds=(None, None), method="highs")
    return {0: "solved", 2: "infeasible", 3: "unbounded"}.get(r.status, r.message), r.fun


def check(name, p, q, a, l, u, want="solved", linear=False):
    says = (by_linprog if linear else by_osqp)(p, q, a, l, u) if osqp else None
    for how, device, is_sparse in ("host", ["--device", "host"], False), ("device", [], False), ("device, sparse", [], True):
        judge(f"{name} ({how})", solve(device, is_sparse, p, q, a, l, u, linear=linear), says, p, q, a, l, u, want,
              "linprog" if linear else "OSQP")


def judge(name, r, says, p, q, a, l, u, want, who):
    global failures
    verdict, best = says or (None, None)
    text, ok = f"{r['status']}", r["status"] == want
    if ok and want == "solved":
        x, y = r["x"], r["y"]
        ax = a @ x
        support = np.where(y > 0, y * np.where(np.isinf(u), 0, u), y * np.where(np.isinf(l), 0, l)).sum()
        size = 1 + max(np.abs(ax).max(initial=0), np.abs(p @ x).max(), np.abs(q).max())
        primal = max(0.0, (l - ax).max(initial=0), (ax - u).max(initial=0))
        dual = np.abs(p @ x + q + a.T @ y).max()
        free = np.abs(y[(y > 0) & np.isinf(u)]).max(initial=0) + np.abs(y[(y < 0) & np.isinf(l)]).max(initial=0)
        gap = abs(x @ p @ x + q @ x + support)
        objective = 0.5 * x @ p @ x + q @ x
        worst = max(primal / size, dual / size, free / size, gap / (1 + abs(objective)))
        ok = worst <= 1e-6 and abs(objective - r["objective"]) <= 1e-6 * (1 + abs(objective))
        text += f", KKT residual {worst:.1e}, {r['iterations']:.0f} iterations"
        if verdict == "solved":
            apart = abs(r["objective"] - best) / (1 + abs(best))
            ok = ok and apart <= 1e-6
            text += f", objective {apart:.1e} from {who}'s"
    elif ok and want == "infeasible":  # the certificate: A'y = 0, u'y+ + l'y- < 0
        y = r["y"]
        ok = np.abs(a.T @ y).max() < 1e-6 and \
            sum(v * (u[i] if v > 0 else l[i]) for i, v in enumerate(y) if v != 0) < -1e-6
    elif ok:  # a direction: Px = 0, q'x < 0, and no constraint ends it
        x = r["x"]
        ax = a @ x
        ok = np.abs(p @ x).max() < 1e-6 and q @ x < -1e-6 and \
            ax[np.isfinite(u)].max(initial=0) < 1e-6 and ax[np.isfinite(l)].min(initial=0) > -1e-6
    if verdict and verdict != want:
        text += f" ({who} says {verdict})"
        ok = ok and verdict not in DECIDED  # it may give up; another verdict is one too many
    failures += not ok
    print("ok  " if ok else "FAIL", name, text, flush=True)


def dense(n, m, r, rank=None):
    f = r.normal(size=(rank or n, n))
    p = f.T @ f / n
    a = r.normal(size=(m, n))
    x = r.normal(size=n)
    return p, r.normal(size=n), a, a @ x - r.uniform(0, 1, m), a @ x + r.uniform(0, 1, m)


rng = np.random.default_rng(3)
inf = np.inf
sizes = [n for n in (20, 50, 200, 1000, 2000) if n <= largest]
for n in sizes:
    check(f"dense {n}", *dense(n, n // 2, rng))
    check(f"dense {n}, P of half rank", *dense(n, n, rng, n // 2))
    p = np.diag(np.full(n, 2.0)) + np.diag(np.full(n - 1, -1.0), 1) + np.diag(np.full(n - 1, -1.0), -1)
    check(f"banded {n}", p, rng.normal(size=n), np.eye(n), np.full(n, -0.3), np.full(n, 0.3))
    # The same in another order, which has to be found again, and programs whose entries have no order.
    some = rng.permutation(n)
    check(f"banded {n}, shuffled", p[np.ix_(some, some)], rng.normal(size=n), np.eye(n)[some], np.full(n, -0.3), np.full(n, 0.3))
    f = np.where(rng.uniform(size=(n, n)) < 2 / n, rng.normal(size=(n, n)), 0)
    a = np.where(rng.uniform(size=(n // 2, n)) < 3 / n, rng.normal(size=(n // 2, n)), 0)
    a[0], a[1] = 0, rng.normal(size=n)
    x = rng.normal(size=n)
    check(f"sparse {n}, a row of nothing and one of all", f.T @ f + 0.1 * np.eye(n), rng.normal(size=n), a, a @ x - rng.uniform(0, 1, n // 2),
          a @ x + rng.uniform(0, 1, n // 2))
check("dense 600", *dense(600, 300, rng))  # large enough that all of the device works on one part at a time
n = 30
p, q, a, l, u = dense(n, 20, rng)
e = a[:5]
check("equalities", p, q, np.vstack([e, np.eye(n)]), np.concatenate([e @ np.ones(n), np.full(n, -5.0)]),
      np.concatenate([e @ np.ones(n), np.full(n, 5.0)]))
check("degenerate: rows twice", p, q, np.vstack([a, a, a]), np.concatenate([l, l, l]), np.concatenate([u, u, u]))
check("degenerate: zero P", np.zeros((n, n)), q, np.eye(n), np.full(n, -1.0), np.full(n, 1.0))
check("no constraint that binds", p + np.eye(n), q, a, np.full(20, -inf), np.full(20, inf))
check("infeasible", p, q, np.vstack([np.ones(n), np.ones(n)]), np.array([1.0, -inf]), np.array([inf, 0.0]), "infeasible")
check("infeasible equalities", p, q, np.vstack([np.ones(n), 2 * np.ones(n)]), np.array([1.0, 5.0]),
      np.array([1.0, 5.0]), "infeasible")
check("unbounded", np.zeros((n, n)), -np.ones(n), np.eye(n), np.zeros(n), np.full(n, inf), "unbounded")
pu = np.diag(np.concatenate([np.ones(n - 1), [0.0]]))
check("unbounded along one axis", pu, -np.ones(n), np.eye(n), np.full(n, -1.0), np.full(n, inf), "unbounded")
# A portfolio: minimal variance for a return, fully invested, nothing sold short.
k = 40
f = rng.normal(size=(k, 8))
sigma, mu = f @ f.T / 8 + np.diag(rng.uniform(0.1, 0.3, k)), rng.uniform(0, 0.2, k)
check("portfolio", sigma, np.zeros(k), np.vstack([np.ones(k), mu, np.eye(k)]), np.concatenate([[1, 0.1], np.zeros(k)]),
      np.concatenate([[1, inf], np.ones(k)]))
# The dual of a support vector machine.
x = np.vstack([rng.normal(size=(30, 2)) + 1.5, rng.normal(size=(30, 2)) - 1.5])
s = np.concatenate([np.ones(30), -np.ones(30)])
check("SVM dual", (s[:, None] * s) * (x @ x.T), -np.ones(60), np.vstack([s, np.eye(60)]), np.zeros(61),
      np.concatenate([[0], np.full(60, 1.0)]))
# Linear programs: P is not in the file. One corner is the best; constraints in plenty meet there; a whole edge is the best; none; no end.
def linear(name, q, a, l, u, want="solved"):
    check("linear: " + name, np.zeros((len(q), len(q))), q, a, l, u, want, linear=True)


linear("a person's", np.array([-1.0, -2.0]), np.array([[1.0, 1], [1, 3], [1, 0], [0, 1]]), np.array([-inf, -inf, 0, 0]), np.array([4.0, 6, 3, inf]))
for n in (10, 50):
    a, x = rng.normal(size=(2 * n, n)), rng.normal(size=n)
    linear(f"{n} variables in a box", rng.normal(size=n), np.vstack([a, np.eye(n)]), np.concatenate([np.full(2 * n, -inf), x - 5]),
           np.concatenate([a @ x + rng.uniform(0, 1, 2 * n), x + 5]))
    # Made of a solution: n constraints hold at it with positive multipliers, the rest does not.
    y = np.concatenate([rng.uniform(0.1, 1, n), np.zeros(n)])
    linear(f"{n} variables, one corner", -a.T @ y, a, np.full(2 * n, -inf), a @ x + (y == 0) * rng.uniform(0.1, 1, 2 * n))
    linear(f"{n} variables, a degenerate corner", -a.T @ y, a, np.full(2 * n, -inf), a @ x)
cost = rng.integers(1, 10, size=(6, 6)).astype(float)
sums = np.vstack([np.kron(np.eye(6), np.ones(6)), np.kron(np.ones(6), np.eye(6))])
linear("assignment", cost.ravel(), np.vstack([sums, np.eye(36)]), np.concatenate([np.ones(12), np.zeros(36)]), np.concatenate([np.ones(12), np.ones(36)]))
linear("an edge of solutions", np.array([1.0, 1.0]), np.array([[1.0, 1], [1, 0], [0, 1]]), np.array([1.0, 0, 0]), np.full(3, inf))
linear("no point", np.array([1.0, 2.0]), np.array([[1.0, 1], [1, 1]]), np.array([2.0, -inf]), np.array([inf, 1]), "infeasible")
linear("no end", np.array([-1.0, 1.0]), np.array([[1.0, -1], [0, 1]]), np.array([0.0, 0]), np.array([inf, inf]), "unbounded")
linear("nothing to do", np.zeros(3), np.eye(3), np.array([1.0, -inf, -2]), np.array([inf, -1, 2]))
# Refused: P with an eigenvalue below 0, of whatever size A is, and without symmetry.
for name, bad, says in ("not convex", np.diag([1.0, -0.1]), "not positive semidefinite"), ("not symmetric", np.array([[1, 2], [0, 1.0]]), "not symmetric"):
    for how, device, is_sparse in ("host", ["--device", "host"], False), ("device", [], False), ("device, sparse", [], True):
        r = solve(device, is_sparse, bad, np.ones(2), 100 * np.eye(2), -np.ones(2), np.ones(2))
        failures += says not in r["status"]
        print("ok  " if says in r["status"] else "FAIL", f"{name} ({how}):", r["status"])
# Refused: a device without double precision.
os.environ["NORN_PLAN_AS"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "devices", "mali-g78.txt")
r = solve([], False, *dense(5, 3, rng))
good = "'Mali-G78 r0p1' has no double precision (wanted another device, or host)" in r["status"]
failures += not good
print("ok  " if good else "FAIL", "no double precision:", r["status"])
shutil.rmtree(folder)
sys.exit(failures != 0)
