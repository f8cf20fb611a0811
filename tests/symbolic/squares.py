# SPDX-License-Identifier: Apache-2.0
"""Fits within bounds by norn, judged by scipy.optimize.least_squares, where it is installed: squares.py NORN. The sums of squares must
be the same to 1e-9, the variables to 1e-6; a variable at a bound has no standard error, and those of the others are those of scipy's
Jacobian without its column."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    from scipy.optimize import least_squares
except ImportError:
    if os.environ.get("NORN_JUDGES") == "all":
        sys.exit("SciPy is not there (wanted all judges)")
    print("SciPy is not there: nothing is judged")
    sys.exit(77)

norn, failures = sys.argv[1], 0
path = tempfile.mkdtemp() + "/d.npz"
rng = np.random.default_rng(0)
t = np.linspace(0, 4, 20)


def given(v):
    return ",".join(f"{n}={float(x)!r}" for n, x in zip("abc", v))


for trial in range(12):
    true = rng.uniform(0.5, 3, 3)
    y = true[0] * np.exp(-true[1] * t) + true[2] + rng.normal(0, 0.05, 20)
    low = true + rng.uniform(-1, 0.3, 3)
    high = low + rng.uniform(0.3, 1.5, 3)
    start = low + (high - low) * rng.uniform(0, 1, 3)
    s = least_squares(lambda v: v[0] * np.exp(-v[1] * t) + v[2] - y, start, bounds=(low, high), xtol=1e-15, ftol=1e-15, gtol=1e-14,
                      max_nfev=5000)
    np.savez(path, t=t, y=y)
    r = subprocess.run([norn, "solve", "t: f64[N], y: f64[N]; a*exp(-b*t) + c - y", "--data", path, "--start", given(start), "--lower", given(low),
                        "--upper", given(high), "--json", "--device", "host"], capture_output=True, text=True)
    if r.returncode:
        failures += 1
        print("FAIL", trial, r.stdout, r.stderr)
        continue
    out = json.loads(r.stdout)
    x = np.array([out["x"][n][0] for n in "abc"])
    errors = np.array([np.nan if out["standard_errors"][n][0] is None else out["standard_errors"][n][0] for n in "abc"])
    held = np.isclose(x, low, rtol=1e-14) | np.isclose(x, high, rtol=1e-14)  # JSON keeps 15 digits
    j = np.stack([np.exp(-x[1] * t), -x[0] * t * np.exp(-x[1] * t), np.ones_like(t)], 1)[:, ~held]
    want = np.sqrt(np.diag(np.linalg.inv(j.T @ j)) * out["value"] / (20 - (~held).sum()))
    ok = abs(out["value"] - 2 * s.cost) <= 1e-9 * 2 * s.cost and np.abs(x - s.x).max() <= 1e-6 and (np.isnan(errors) == held).all() and \
        np.allclose(errors[~held], want, rtol=1e-6)
    failures += not ok
    print("ok  " if ok else "FAIL", trial, f"{held.sum()} at bounds, {abs(out['value'] / (2 * s.cost) - 1):.1e} from SciPy's sum")
sys.exit(failures != 0)
