#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damages models in many ways and gives them to the command line.

    mutate.py NORN SCRATCH MODEL-OR-FOLDER... [--seconds S] [--seed N] [--sanitized]

Each verb must end by itself within 10 s of processor time and 1 GiB, without a signal, and a failure must say why in lines
that begin with its name. What does not is kept in SCRATCH. --sanitized: no limit of memory (the sanitizer's shadow).
"""
import argparse
import glob
import os
import random
import resource
import shutil
import subprocess
import sys
import time

import onnx
from onnx import TensorProto, helper

SECONDS, BYTES = 10, 1 << 30
HUGE = [0, -1, 1, 2, 7, 255, 65536, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -2**63]


def flip(data, rng):
    b = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if b:
            b[rng.randrange(len(b))] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
    return bytes(b)


def cut(data, rng):
    return data[:rng.randrange(len(data) + 1)]


def repeat(data, rng):
    i, n = rng.randrange(len(data)), rng.randrange(1, 64)
    return data[:i] + data[i:i + n] * rng.choice([2, 3, 50]) + data[i + n:]


def splice(data, rng, other):
    i, k = rng.randrange(len(data)), rng.randrange(len(other))
    return data[:i] + other[k:k + rng.randrange(1, 200)] + data[i:]


def graphs_of(m):
    todo = [m.graph]
    while todo:
        g = todo.pop()
        yield g
        for n in g.node:
            for a in n.attribute:
                if a.HasField('g'):
                    todo.append(a.g)
                todo.extend(a.graphs)


def any_name(g, rng):
    names = [o for n in g.node for o in n.output] + [i.name for i in g.input] + [t.name for t in g.initializer]
    return rng.choice(names) if names else 'x'


OPS = ['Reshape', 'Conv', 'MatMul', 'Gather', 'Slice', 'Pad', 'Resize', 'Concat', 'Split', 'Transpose', 'LSTM', 'If', 'Loop',
       'Scan', 'Tile', 'Expand', 'Range', 'ConstantOfShape', 'OneHot', 'TopK', 'Einsum', 'Attention', 'QuantizeLinear',
       'GroupNormalization', 'NonMaxSuppression', 'ScatterND', 'MaxPool', 'ConvTranspose', 'GridSample', 'DFT', 'Unique',
       'SequenceConstruct', 'Identity', 'Cast', 'CumSum', 'ReduceSum', 'Col2Im', 'StringNormalizer', 'RoiAlign', 'Dropout']


def damage(m, rng):
    """One change of the model's meaning."""
    g = rng.choice(list(graphs_of(m)))
    nodes = list(g.node)
    n = rng.choice(nodes) if nodes else None
    kind = rng.randrange(17)
    if kind == 0 and g.initializer:
        t = rng.choice(g.initializer)
        if t.dims:
            t.dims[rng.randrange(len(t.dims))] = rng.choice(HUGE)
        else:
            t.dims.extend([rng.choice(HUGE)] * rng.choice([1, 3, 9]))
    elif kind == 1 and g.initializer:
        rng.choice(g.initializer).data_type = rng.choice(list(range(0, 28)) + [99, -1])
    elif kind == 2 and g.input:
        v = rng.choice(g.input)
        v.type.tensor_type.elem_type = rng.choice(range(0, 27))
    elif kind == 3 and g.input:
        d = rng.choice(g.input).type.tensor_type.shape.dim
        if d:
            rng.choice(d).dim_value = rng.choice(HUGE)
        else:
            d.add().dim_value = rng.choice(HUGE)
    elif kind == 4 and n and n.input:
        n.input[rng.randrange(len(n.input))] = rng.choice(['', any_name(g, rng), 'nobody'])
    elif kind == 5 and n:
        n.input.append(any_name(g, rng))
    elif kind == 6 and n and n.output:
        n.output[rng.randrange(len(n.output))] = any_name(g, rng)
    elif kind == 7 and n:
        n.op_type = rng.choice(OPS)
    elif kind == 8 and n and n.attribute:
        a = rng.choice(n.attribute)
        if a.type == onnx.AttributeProto.INT:
            a.i = rng.choice(HUGE)
        elif a.type == onnx.AttributeProto.INTS:
            if a.ints and rng.random() < 0.7:
                a.ints[rng.randrange(len(a.ints))] = rng.choice(HUGE)
            else:
                a.ints.extend([rng.choice(HUGE)] * rng.choice([1, 5, 100]))
        elif a.type == onnx.AttributeProto.FLOAT:
            a.f = rng.choice([0, -1, float('nan'), float('inf'), 1e38])
        elif a.type == onnx.AttributeProto.STRING:
            a.s = rng.choice([b'', b'SAME_UPPER', b'reverse', b'\xff\xfe', b'a' * 10000])
        else:
            a.type = rng.randrange(0, 15)
    elif kind == 9 and n and n.attribute:
        n.attribute.remove(rng.choice(n.attribute))
    elif kind == 10 and n:
        n.attribute.append(helper.make_attribute(rng.choice(['axis', 'axes', 'pads', 'group', 'to', 'perm', 'kernel_shape']),
                                                 rng.choice([rng.choice(HUGE), [rng.choice(HUGE)] * 3, 'x'])))
    elif kind == 11 and m.opset_import:
        rng.choice(m.opset_import).version = rng.choice([0, 1, 6, 7, 10, 12, 13, 18, 24, 28, 29, 1000, 2**62, -1])
    elif kind == 12 and n:
        g.node.append(n)  # makes its names twice
    elif kind == 13 and g.initializer:
        t = rng.choice(g.initializer)
        t.data_location = TensorProto.EXTERNAL
        for k, v in (('location', rng.choice(['../../../../etc/passwd', '/etc/passwd', 'model.onnx', '.', '', 'x\0y', 'a/../b'])),
                     ('offset', str(rng.choice(HUGE))), ('length', str(rng.choice(HUGE)))):
            e = t.external_data.add()
            e.key, e.value = k, v
    elif kind == 14 and n:
        inner = helper.make_graph([n], 'deep', [], [helper.make_tensor_value_info(n.output[0] if n.output else 'x', 1, None)])
        for i in range(rng.choice([1, 10, 60, 95, 130])):
            inner = helper.make_graph([helper.make_node('If', [any_name(g, rng)], [f'deep{i}'], then_branch=inner,
                                                        else_branch=inner if i < 3 else helper.make_graph([], 'e', [], []))],
                                      'g', [], [helper.make_tensor_value_info(f'deep{i}', 1, None)])
        g.node.append(inner.node[0])
    elif kind == 15 and g.initializer:
        t = rng.choice(g.initializer)
        raw = bytearray(t.raw_data or b'\0' * 8)
        for _ in range(4):
            raw[rng.randrange(len(raw))] = rng.choice([0, 0x7f, 0xff, 0x80])
        t.raw_data = bytes(raw[:rng.choice([len(raw), len(raw) - 1, 0])])
    else:
        rng.shuffle(nodes)
        del g.node[:]
        g.node.extend(nodes)


def mutant(seeds, rng):
    data = rng.choice(seeds)
    if rng.random() < 0.3:
        for _ in range(rng.choice([1, 1, 3])):
            how = rng.randrange(4)
            data = (flip(data, rng) if how == 0 else cut(data, rng) if how == 1 else
                    repeat(data, rng) if how == 2 else splice(data, rng, rng.choice(seeds))) if data else data
        return data
    m = onnx.ModelProto()
    try:
        m.ParseFromString(data)
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            damage(m, rng)
        return m.SerializeToString()
    except Exception:  # no model to begin with, or one that Python cannot write
        return flip(data, rng)


def limits(sanitized):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (3 * SECONDS, 3 * SECONDS))
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_AS, (16 * BYTES, 16 * BYTES))


def complaint(args, verb, sanitized):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        p = subprocess.run(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120,
                           preexec_fn=lambda: limits(sanitized))
    except subprocess.TimeoutExpired:
        return 'does not end'
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    text = p.stderr.decode('utf-8', 'replace')
    if p.returncode < 0 or p.returncode > 20:
        return f'exit {p.returncode}: {text[-3000:]}'
    if 'runtime error' in text or 'ERROR: ' in text:
        return text[-3000:]
    if 'internal error' in text or (p.returncode == 11):
        return f'internal: {text[-500:]}'
    if p.returncode and not text and verb not in ('verify', 'plan'):  # which say it on stdout
        return f'exit {p.returncode} without a message'
    for line in text.splitlines():
        if 'AddressSanitizer failed to allocate' in line:  # says the sanitizer, for what the allocator refuses
            continue
        if not line.startswith('norn'):
            return 'a line that does not begin with its name: ' + line[:200]
    if spent > SECONDS * (3 if sanitized else 1):
        return f'{spent:.1f} s of processor time'
    if not sanitized and after.ru_maxrss > before.ru_maxrss and after.ru_maxrss * 1024 > BYTES:
        return f'{after.ru_maxrss >> 10} MiB'
    return ''


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('norn')
    ap.add_argument('scratch')
    ap.add_argument('models', nargs='+')
    ap.add_argument('--seconds', type=float, default=60)
    ap.add_argument('--seed', type=int, default=1)
    ap.add_argument('--data', default=os.path.join(os.path.dirname(__file__), '../../examples/digits/digits.npz'))
    ap.add_argument('--sanitized', action='store_true')
    o = ap.parse_args()
    rng = random.Random(o.seed)
    paths = [p for d in o.models for p in (sorted(glob.glob(os.path.join(d, '**', '*.onnx'), recursive=True)) or [d])]
    seeds = [open(p, 'rb').read() for p in paths if 0 < os.path.getsize(p) < 100000]
    os.makedirs(o.scratch, exist_ok=True)
    path, out = os.path.join(o.scratch, 'model.onnx'), os.path.join(o.scratch, 'out.onnx')
    verbs = [['show', path], ['run', path], ['convert', path, out], ['convert', '--optimize', path, out],
             ['convert', '--opset', '7', path, out], ['convert', '--opset', '13', path, out],
             ['convert', '--opset', '28', path, out], ['plan', path], ['plan', '--train', path], ['show', '--stage', 'plan', path],
             ['verify', path], ['train', path, '--data', o.data, '--steps', '2', '--out', out]]
    start, count, bad = time.time(), 0, 0
    while time.time() - start < o.seconds:
        with open(path, 'wb') as f:
            f.write(mutant(seeds, rng))
        count += 1
        for verb in verbs[:1] + rng.sample(verbs[1:], 3):
            what = complaint([o.norn] + verb, verb[0], o.sanitized)
            if what:
                bad += 1
                kept = os.path.join(o.scratch, f'bad{bad}.onnx')
                shutil.copy(path, kept)
                print(f'BAD {kept}: norn {" ".join(verb)}: {what}', flush=True)
    print(f'{count} files, {bad} bad')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
