#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/conformance.md from what the verify_official tests have left in a folder.

    conformance.py PAGE FOLDER EXPECTED NORN            writes PAGE; runs the same cases in ONNX Runtime for it
    conformance.py PAGE FOLDER EXPECTED NORN --check    fails when PAGE says something else of norn, or EXPECTED lists
                                                        a case that was not run
"""
import collections
import ctypes
import datetime
import glob
import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

OUTCOMES = ('ok', 'FAIL', 'unsupported')
MODELS = {'simple': 'Small models, most of ONNX\'s own functions', 'pytorch-converted': 'Layers exported by PyTorch',
          'pytorch-operator': 'Operators exported by PyTorch', 'light': 'Networks for images, with made-up weights'}
HEAD = '''<!-- Made by: ninja -C build docs_conformance -->
# Conformance

ONNX's own backend tests, run by `norn verify` and, for comparison, by ONNX Runtime's CPU provider. The cases are those
of `tests/verify/official.txt`, {count} of the onnx package; `tests/verify/official.py` writes them as files. A case passes when types
and shapes are equal and every element is within the tolerance that the package asks for
(for bfloat16 at least the last two bits). *Unsupported* is what is refused with a message
that says why; norn's are listed at the end and in `tests/verify/expected.txt`. Bodies of functions (`_expanded`) count for the
function. What norn runs on the host, not as OpenCL kernels, are the operators and cases that `tests/verify/expected.txt`
names: shape arithmetic, control flow, NonZero, Unique, NonMaxSuppression and windows.

The tests `verify_official_*` run every case, and `verify_conformance` fails when this page says something else.

* {date}
* norn {norn}, on {device}
* ONNX Runtime {ort}, CPU provider; onnx {onnx}
'''


def read_results(folder):
    cases = []
    for path in sorted(glob.glob(os.path.join(folder, 'part_*.json'))):
        with open(path, encoding='utf-8') as f:
            cases += json.load(f)['cases']
    if not cases:
        sys.exit(f'{folder}: no results (run: ctest -R verify_official)')
    for c in cases:
        with open(os.path.join(c['path'], 'meta.json'), encoding='utf-8') as f:
            c['meta'] = json.load(f)
        kind = os.path.basename(os.path.dirname(c['path']))
        c['row'] = MODELS.get(kind) or c['meta']['operator']
        c['models'] = kind in MODELS
    return cases


# ---- ONNX Runtime.
def read_proto(path, kind):
    p = kind()
    with open(path, 'rb') as f:
        p.ParseFromString(f.read())
    return p


def ort_value(ort, tensor):
    """An OrtValue of any element type, those that numpy lacks too."""
    a = numpy_helper.to_array(tensor)
    own = a.dtype.kind in 'fiubc' and a.dtype.isbuiltin == 1 or a.dtype.kind in 'OUS'
    if own:
        return ort.OrtValue.ortvalue_from_numpy(a)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(a.view(f'u{a.dtype.itemsize}'), tensor.data_type)


def content(value, want):
    """The elements of an OrtValue; of a type that numpy lacks, from memory."""
    if value.element_type() not in (TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2):
        return value.numpy()
    shape = value.shape()
    size = int(np.prod(shape)) * want.dtype.itemsize
    data = (ctypes.c_char * size).from_address(value.data_ptr()) if size else b''
    return np.frombuffer(data, want.dtype).reshape(shape).copy()


def close(value, want_proto, tolerance):
    want = numpy_helper.to_array(want_proto)
    if value.element_type() != want_proto.data_type:
        return False
    got = content(value, want)
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if want.dtype == object:
        return bool((got == want).all())
    return bool(np.allclose(got.astype(np.float64), want.astype(np.float64), **tolerance, equal_nan=True)
                if want.dtype.kind not in 'iub' else (got == want).all())


def by_ort(ort, case):
    folder = case['path']
    model = onnx.load(os.path.join(folder, 'model.onnx'))
    kinds = {v.type.WhichOneof('value') for v in [*model.graph.input, *model.graph.output]}
    if kinds - {'tensor_type'}:
        return 'unsupported'
    try:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(os.path.join(folder, 'model.onnx'), options, providers=['CPUExecutionProvider'])
        fed = {i.name for i in session.get_inputs()}
        for below in sorted(glob.glob(os.path.join(folder, 'test_data_set_*'))):
            feeds = {}
            for i, info in enumerate(model.graph.input):
                path = os.path.join(below, f'input_{i}.pb')
                if info.name in fed and os.path.exists(path):
                    feeds[info.name] = ort_value(ort, read_proto(path, TensorProto))
            outputs = session.run_with_ort_values(None, feeds)
            for i, got in enumerate(outputs):
                want = read_proto(os.path.join(below, f'output_{i}.pb'), TensorProto)
                if not close(got, want, case['meta']['tolerance']):
                    return 'FAIL'
    except Exception as e:  # pylint: disable=broad-except
        if '--verbose' in sys.argv:
            print(case['name'], str(e).replace('\n', ' ')[:200])
        return 'unsupported'
    return 'ok'


# ---- The page.
def count(cases, key):
    return collections.Counter(c[key] for c in cases)


def tensors_only(case):
    """Inputs and outputs are tensors of numbers."""
    g = onnx.load(os.path.join(case['path'], 'model.onnx'), load_external_data=False).graph
    return all(v.type.WhichOneof('value') == 'tensor_type' and v.type.tensor_type.elem_type != TensorProto.STRING
               for v in [*g.input, *g.output])


def table(cases, head):
    rows = collections.defaultdict(list)
    for c in cases:
        rows[c['row']].append(c)
    lines = [f'| {head} | cases | passed | failed | unsupported | ORT: passed | failed | unsupported |',
             '|---|---:|---:|---:|---:|---:|---:|---:|']
    for name, of in sorted(rows.items()):
        ours, theirs = count(of, 'status'), count(of, 'ort')
        figures = [len(of), *(ours[o] for o in OUTCOMES), *(theirs[o] for o in OUTCOMES)]
        lines.append(f'| {name} | ' + ' | '.join(map(str, figures)) + ' |')
    return '\n'.join(lines) + '\n'


def printed(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def page(cases, norn):
    import onnxruntime as ort  # only here: the check does without
    version = printed(norn, 'version').split()[-1]
    devices = json.loads(printed(norn, 'devices', '--json'))['devices']
    device = next(f"{d['name']} ({d['platform']} {d['driver']})" for d in devices if d['name'] == cases[0]['device'])
    for c in cases:
        c['ort'] = by_ort(ort, c)
    tensors = [c for c in cases if tensors_only(c)]
    passed = sum(c['status'] == 'ok' for c in tensors)
    ours, theirs = count(cases, 'status'), count(cases, 'ort')
    text = HEAD.format(count=len(cases), date=datetime.date.today(), norn=version, device=device,
                       ort=ort.__version__, onnx=onnx.__version__)
    text += '\n| | cases | passed | failed | unsupported |\n|---|---:|---:|---:|---:|\n'
    for name, c in (('norn', ours), ('ONNX Runtime', theirs)):
        text += f'| {name} | {len(cases)} | ' + ' | '.join(str(c[o]) for o in OUTCOMES) + ' |\n'
    text += (f'\nOf the {len(tensors)} cases whose inputs and outputs are tensors of numbers, norn passes {passed}: '
             f'{100 * passed / len(tensors):.1f} %.\n')
    text += '\n## Operators\n\n' + table([c for c in cases if not c['models']], 'operator')
    text += '\n## Models\n\n' + table([c for c in cases if c['models']], 'models')
    text += '\n## What norn does not pass\n\n'
    for c in sorted(cases, key=lambda c: c['name']):
        if c['status'] != 'ok':
            text += f'* `{c["name"]}`: {c["status"]}: {c["reason"]}\n'
    return text


# ---- The check.
def ours_in(text):
    """norn's columns: by row (cases, passed, failed, unsupported)."""
    rows = {}
    for line in text.split('\n'):
        cells = [s.strip() for s in line.strip('|').split('|')]
        if len(cells) == 8 and cells[1].isdigit():
            rows[cells[0]] = tuple(map(int, cells[1:5]))
    return rows


def check(text, cases, expected):
    wrong = []
    rows = collections.defaultdict(list)
    for c in cases:
        rows[c['row']].append(c)
    ran = {r: (len(of), *(count(of, 'status')[o] for o in OUTCOMES)) for r, of in rows.items()}
    there = ours_in(text)
    for r in sorted(set(ran) | set(there)):
        if ran.get(r) != there.get(r):
            wrong.append(f'{r}: the page has {there.get(r)}, what ran is {ran.get(r)} (cases, passed, failed, unsupported)')
    names = {c['name'] for c in cases}
    with open(expected, encoding='utf-8') as f:
        for name in re.findall(r'^(?:case|shapes)\s+(\S+)', f.read(), re.M):
            if name not in names:
                wrong.append(f'{expected}: no case {name}')
    tensors = [c for c in cases if tensors_only(c)]
    share = 100 * sum(c['status'] == 'ok' for c in tensors) / len(tensors)
    if share < 97:
        wrong.append(f'{share:.1f} % of the cases with tensor inputs and outputs pass (wanted 97 %)')
    if wrong:
        sys.exit('\n'.join([*wrong, 'run: ninja -C build docs_conformance']))
    print(f'{len(cases)} cases, {len(ran)} rows; {share:.1f} % of the cases with tensor inputs and outputs pass')


def main():
    path, folder, expected, norn = sys.argv[1:5]
    cases = read_results(folder)
    if '--check' in sys.argv:
        with open(path, encoding='utf-8') as f:
            return check(f.read(), cases, expected)
    text = page(cases, norn)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


if __name__ == '__main__':
    main()
