#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a file says beside its numbers stays: kept.py NORN

For each IR version from 3 to 14 a model with names, documentation, metadata and unknown fields at every level, in the order
of the file, is converted to its own opset, to the oldest and the newest, and simplified; external data are asked for.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import TensorProto, helper, numpy_helper

OPSETS = {3: 8, 4: 9, 5: 10, 6: 11, 7: 13, 8: 15, 9: 20, 10: 21, 11: 23, 12: 24, 13: 25, 14: 28}


def mark(message, text):
    if hasattr(message, 'metadata_props'):
        e = message.metadata_props.add()
        e.key, e.value = 'key', text
    message.MergeFromString(b'\xc2\x3e\x03' + b'abc')  # field 1000


def rich(ir):
    tensors = [numpy_helper.from_array(a, n) for n, a in (
        ('w', np.arange(3 * 400, dtype=np.float32).reshape(3, 400)), ('b', np.ones(400, np.float32)),
        ('unread', np.zeros(1, np.float32)), ('z', np.array(2, np.float32)))]
    nodes = [helper.make_node('MatMul', ['x', 'w'], ['t'], 'product', 'a product'),
             helper.make_node('Add', ['t', 'b'], ['u'], 'sum'), helper.make_node('Relu', ['u'], ['r'], 'relu'),
             helper.make_node('Mul', ['r', 'z'], ['y'], 'scale')]

    def value(name, size):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ['N', size], f'doc of {name}')

    listed = [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors] if ir < 4 else []
    graph = helper.make_graph(nodes, 'net', [value('x', 3)] + listed, [value('y', 400)], tensors, 'doc of the graph',
                              [value('t', 400), value('u', 400)])
    opsets = [helper.make_opsetid('', OPSETS[ir]), helper.make_opsetid('custom', 3)]
    m = helper.make_model(graph, opset_imports=opsets, producer_name='me', producer_version='1.2', domain='org.me',
                          doc_string='doc of the model', model_version=7)
    m.ir_version = ir
    g = m.graph
    q = g.quantization_annotation.add(tensor_name='u')
    q.quant_parameter_tensor_names.add(key='SCALE_TENSOR', value='z')
    for message in [m, g, *g.node, *g.initializer, *g.input[:1], *g.output, *g.value_info]:
        mark(message, getattr(message, 'name', 'model'))
    for t in g.initializer:
        t.doc_string = f'doc of {t.name}'
    return m


def said(message):
    props = [(e.key, e.value) for e in getattr(message, 'metadata_props', [])]
    return (getattr(message, 'name', ''), message.doc_string, props,
            [(f.field_number, f.data) for f in UnknownFieldSet(message)])


def facts(m, simplified):
    g = m.graph
    data = [t for t in g.initializer if not (simplified and t.name == 'unread')]
    return {
        'model': (m.producer_name, m.producer_version, m.domain, m.model_version, said(m)),
        'other opsets': [(o.domain, o.version) for o in m.opset_import if o.domain],
        'graph': said(g),
        'nodes': [(n.op_type, list(n.input), list(n.output), said(n)) for n in g.node],
        'initialisers': [(t.data_type, list(t.dims), said(t)) for t in data],
        'values': [(v.type.SerializeToString(), said(v)) for v in [*g.input[:1], *g.output, *g.value_info]],
        'quantization': [q.SerializeToString() for q in g.quantization_annotation],
    }


def check(norn, ir, args, tmp):
    path, out = os.path.join(tmp, 'in.onnx'), os.path.join(tmp, 'out.onnx')
    m = rich(ir)
    onnx.save(m, path)
    subprocess.run([norn, 'convert', '--no-certificate', path, out] + args, check=True, stdout=subprocess.DEVNULL)
    onnx.checker.check_model(out, full_check=True)
    made = onnx.load(out)
    if '--opset' not in args and made.ir_version != ir:
        return f'IR version {made.ir_version}'
    if ('--external-data' in args) != os.path.exists(out + '.data'):
        return 'external data'
    a, b = facts(m, '--optimize' in args), facts(made, '--optimize' in args)
    return '; '.join(f'{k}: {a[k]} became {b[k]}' for k in a if a[k] != b[k])


def main():
    bad = 0
    for ir in OPSETS:
        for args in ([], ['--opset', '7'], ['--opset', '28'], ['--optimize'], ['--external-data']):
            with tempfile.TemporaryDirectory() as tmp:
                what = check(sys.argv[1], ir, args, tmp)
            if what:
                bad += 1
                print('BAD', ir, args, what)
    print(f'{5 * len(OPSETS)} files, {bad} bad')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
