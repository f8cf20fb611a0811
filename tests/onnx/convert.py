#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts test cases with the command line, and judges what it wrote.

    convert.py NORN DIR... [--to own,7,13,28,optimize] [--part I/N] [--certificate] [--refused FILE]

Every model.onnx under the folders is converted by `norn convert` to each of the targets: an opset, `own` (that of the
model), or `optimize` (its own opset, simplified). What is written must pass onnx.checker (full check) where the original
does, compute in ONNX Runtime what the original computes, and in `norn verify` pass where the original passes. A refusal is
fine for another opset, when it says of every node why; --to own and --to optimize may not be refused. --refused FILE: a line for each
refusal. --certificate: with certificates, which `norn verify FILE` checks.
"""
import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import roundtrip
from roundtrip import Difference, Model, check, compare_runs


def cases_in(dirs):
    for d in dirs:
        for path in sorted(glob.glob(os.path.join(d, '**', '*.onnx'), recursive=True)) or [d]:
            yield path


def convert(norn, path, out, target, certificate):
    args = ['--optimize'] if target == 'optimize' else [] if target == 'own' else ['--opset', target]
    p = subprocess.run([norn, 'convert', path, out] + args + ([] if certificate else ['--no-certificate']),
                       capture_output=True, text=True, errors='replace', timeout=300)
    if p.returncode < 0 or p.returncode == 2:
        raise Difference(f'exit {p.returncode}: {p.stderr[:300]}')
    if p.returncode and not p.stderr.startswith('norn convert: '):
        raise Difference(f'exit {p.returncode} without a reason: {p.stderr[:300]}')
    if p.returncode and os.path.exists(out):
        raise Difference(f'exit {p.returncode}, and there is a file: {p.stderr[:300]}')
    return p.stderr.strip() if p.returncode else None


def judge(path, out):
    a, b = Model(path), Model(out)
    bad = check(path)
    ours = '' if bad else check(out)
    if ours:
        raise Difference('checker: ' + ours)
    init = {t.name for t in a.graph.initializer}
    a.free_inputs = [i for i in a.graph.input if i.name not in init]
    names = [o.name for o in a.graph.output], [o.name for o in b.graph.output]
    if names[0] != names[1]:
        raise Difference(f'outputs {names[0]} became {names[1]}')
    compare_runs(a, out, False, (0.05, 0.03) if bad else (1e-4, 1e-5))


def statuses(norn, folder):
    """Of the cases under the folder, as `norn verify` has them, by path."""
    p = subprocess.run([norn, 'verify', '--json', folder], capture_output=True, text=True, errors='replace')
    if p.returncode not in (0, 1) or not p.stdout:
        raise SystemExit(f'norn verify {folder}: exit {p.returncode}: {p.stderr[:300]}')
    return {os.path.relpath(c['path'], folder): (c['status'], c.get('reason')) for c in json.loads(p.stdout)['cases']}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('norn')
    ap.add_argument('dirs', nargs='+')
    ap.add_argument('--to', default='own,7,13,28,optimize')
    ap.add_argument('--part', default='1/1')
    ap.add_argument('--certificate', action='store_true')
    ap.add_argument('--refused')
    o = ap.parse_args()
    part, parts = map(int, o.part.split('/'))
    paths = [p for i, p in enumerate(cases_in(o.dirs)) if i % parts == part - 1]
    refusals = open(o.refused, 'w') if o.refused else None
    count = {'fine': 0, 'refused': 0, 'bad': 0, 'verified': 0, 'certified': 0}
    with tempfile.TemporaryDirectory() as tmp:
        made = []
        for i, path in enumerate(paths):
            for target in o.to.split(','):
                folder = os.path.join(tmp, f'{i}', target)
                os.makedirs(folder)
                out = os.path.join(folder, 'model.onnx')
                try:
                    refused = convert(o.norn, path, out, target, o.certificate)
                    if refused is None:
                        judge(path, out)
                        made.append((path, target, folder))
                    elif target in ('own', 'optimize') and not check(path):
                        raise Difference('refused: ' + refused)
                    elif refusals:
                        print(f'{path} {target}: {refused}', file=refusals)
                    count['fine' if refused is None else 'refused'] += 1
                except Difference as e:
                    count['bad'] += 1
                    print('BAD', path, target, e, flush=True)
        for path, target, folder in made:
            data = glob.glob(os.path.join(os.path.dirname(path), 'test_data_set_*'))
            for d in data + glob.glob(os.path.join(os.path.dirname(path), 'meta.json')):
                os.symlink(os.path.abspath(d), os.path.join(folder, os.path.basename(d)))
            original = os.path.join(tmp, 'originals', os.path.basename(os.path.dirname(folder)))
            if data and not os.path.exists(original):
                os.makedirs(os.path.dirname(original), exist_ok=True)
                os.symlink(os.path.abspath(os.path.dirname(path)), original)
        if os.path.exists(os.path.join(tmp, 'originals')):
            before = statuses(o.norn, os.path.join(tmp, 'originals'))
            after = statuses(o.norn, tmp)
            for path, target, folder in made:
                i = os.path.basename(os.path.dirname(folder))
                old, new = before.get(i), after.get(os.path.relpath(folder, tmp))
                if old and old[0] == 'ok':
                    count['verified'] += 1
                    if not new or new[0] != 'ok':
                        count['bad'] += 1
                        print('BAD', path, target, 'norn verify:', new)
        if o.certificate:
            for path, target, folder in made:
                alone = os.path.join(tmp, 'alone.onnx')
                shutil.copy(os.path.join(folder, 'model.onnx'), alone)
                if b'norn.certificate' not in open(alone, 'rb').read():
                    continue
                p = subprocess.run([o.norn, 'verify', alone], capture_output=True, text=True)
                count['certified'] += 1
                if p.returncode:
                    count['bad'] += 1
                    print('BAD', path, target, 'certificate:', p.stdout, p.stderr)
    print(f"{len(paths)} models: {count['fine']} files written, {count['verified']} of them verified, {count['certified']} "
          f"certified, {count['refused']} refused, {count['bad']} bad")
    return 1 if count['bad'] or not count['fine'] else 0


if __name__ == '__main__':
    sys.exit(main())
