#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shape inference of norn against onnx.shape_inference (strict, with data propagation).

    shapes.py TOOL DIR... [--verbose]

For every model.onnx under the folders: where onnx knows an element type, a rank or a size as a number, norn (tests/onnx/
dump_types.c) must know the same. norn may know more. Models that hold operators which norn lacks are counted apart: what
lies behind those is not known.
"""
import argparse
import glob
import os
import re
import subprocess
import sys

import onnx
from onnx import shape_inference

ELEMENTS = {'string': 8, 'float': 1, 'double': 11, 'float16': 10, 'bfloat16': 16, 'bool': 9, 'int8': 3, 'int16': 5, 'int32': 6,
            'int64': 7, 'uint8': 2, 'uint16': 4, 'uint32': 12, 'uint64': 13}


def theirs(path):
    """name: (element type, sizes or None), a size being a number or None."""
    m = onnx.load(path)
    del m.graph.value_info[:]
    for v in m.graph.output:  # what is declared is no inference
        if v.type.HasField('tensor_type'):
            v.type.tensor_type.ClearField('shape')
    m = shape_inference.infer_shapes(m, strict_mode=True, data_prop=True)
    out = {}
    for v in list(m.graph.value_info) + list(m.graph.output):
        if v.type.HasField('tensor_type'):
            t = v.type.tensor_type
            sizes = None
            if t.HasField('shape'):
                sizes = [d.dim_value if d.HasField('dim_value') and d.dim_value >= 0 else None for d in t.shape.dim]
            out[v.name] = (t.elem_type, sizes)
    return out


def ours(tool, path):
    p = subprocess.run([tool, path], capture_output=True, text=True, errors='replace', timeout=300)
    if p.returncode:
        return None, p.stderr.strip()
    out = {}
    for line in p.stdout.split('\n'):
        name, _, text = line.rpartition('\t')
        m = re.fullmatch(r'(\w+)\[(.*)\]', text)
        if m:
            sizes = None if m[2] == '...' else [int(d) if d.isdigit() else None for d in m[2].split(',')] if m[2] else []
            out[name] = (m[1], sizes)
    return out, ''


def compare(a, b):
    """What norn knows wrongly, or does not know."""
    for name, (elem, sizes) in a.items():
        if name not in b:
            continue  # merged into its neighbours by an older form
        our_elem, our_sizes = b[name]
        if our_elem in ELEMENTS and elem and ELEMENTS[our_elem] != elem:
            yield f'{name}: element type {our_elem} (onnx: {elem})'
        if sizes is None:
            continue
        if our_sizes is None:
            yield f'{name}: rank not known (onnx: {sizes})'
        elif len(sizes) != len(our_sizes):
            yield f'{name}: {our_sizes} (onnx: {sizes})'
        elif any(x is not None and x != y for x, y in zip(sizes, our_sizes)):
            yield f'{name}: {our_sizes} (onnx: {sizes})'


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('tool')
    ap.add_argument('dirs', nargs='+')
    ap.add_argument('--verbose', action='store_true')
    o = ap.parse_args()
    known = set(subprocess.run([o.tool, '--operators'], capture_output=True, text=True).stdout.split())
    count = {'equal': 0, 'different': 0, 'lacking': 0, 'not inferred by onnx': 0, 'refused': 0}
    values = 0
    for d in o.dirs:
        for path in sorted(glob.glob(os.path.join(d, '**', 'model.onnx'), recursive=True)):
            try:
                a = theirs(path)
            except Exception as e:  # onnx cannot: nothing to compare
                count['not inferred by onnx'] += 1
                if o.verbose:
                    print('skip', path, str(e)[:100])
                continue
            b, why = ours(o.tool, path)
            if b is None:
                count['refused'] += 1
                print('REFUSED', path, why)
                continue
            wrong = list(compare(a, b))
            values += len(a)
            nodes = onnx.load(path, load_external_data=False).graph.node
            lacks = any((n.domain if n.domain != 'ai.onnx' else '') + ':' + n.op_type not in known for n in nodes)
            count['lacking' if wrong and lacks else 'different' if wrong else 'equal'] += 1
            if wrong and (o.verbose or not lacks):
                print('DIFFERENT' if not lacks else 'lacking', path, f'{len(wrong)} values:', wrong[0])
    print(', '.join(f'{v} {k}' for k, v in count.items()), f'({values} values)')
    return 1 if count['different'] or count['refused'] or not count['equal'] else 0


if __name__ == '__main__':
    sys.exit(main())
