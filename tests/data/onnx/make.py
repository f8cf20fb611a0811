#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the small models of this folder with the onnx package (1.23.2). Run it here after a change."""
import os

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def value(name, dtype=T.FLOAT, shape=(2, 3)):
    return h.make_tensor_value_info(name, dtype, shape)


def save(name, nodes, inputs, outputs, init=(), opset=17, ir=8, extra=b'', opsets=(), **kw):
    g = h.make_graph(nodes, name, inputs, outputs, list(init), **kw.pop('graph', {}))
    imports = ([h.make_opsetid('', opset)] if opset else []) + [h.make_opsetid(d, v) for d, v in opsets]
    m = h.make_model(g, ir_version=ir, opset_imports=imports, producer_name='make.py', producer_version='1', **kw)
    write(name, m.SerializeToString(deterministic=True) + extra)
    return m


def write(name, data):
    with open(os.path.join(HERE, name + '.onnx'), 'wb') as f:
        f.write(data)


def node(op, inputs, outputs, **kw):
    return h.make_node(op, inputs, outputs, **kw)


# ---- What surrounds a graph: documentation, metadata, unknown fields, types that say more than a type.
def everything():
    n = node('Add', ['x', 'w'], ['s'], name='sum', doc_string='adds')
    n.metadata_props.add(key='namespace', value='model/layer')
    n.metadata_props.add(key='pkg.torch.onnx.stack_trace', value='line 1\nline 2')
    d = n.device_configurations.add(configuration_id='two', pipeline_stage=1)
    d.sharding_spec.add(tensor_name='w', device=[0, 1])
    c = node('Constant', [], ['c'], name='two', value=numpy_helper.from_array(np.array(2, np.float32)))
    c.metadata_props.add(key='made', value='by hand')
    w = numpy_helper.from_array(np.arange(3, dtype=np.float32), 'w')
    w.doc_string = 'weights'
    w.metadata_props.add(key='trained', value='never')
    x = value('x', shape=('N', 3))
    x.doc_string = 'the input'
    x.type.denotation = 'TENSOR'
    x.type.tensor_type.shape.dim[0].denotation = 'DATA_BATCH'
    x.metadata_props.add(key='unit', value='m')
    y = value('y', shape=('N', 3))
    y.metadata_props.add(key='unit', value='s')
    s = value('s', shape=('N', 3))
    s.doc_string = 'their sum'
    s.metadata_props.add(key='spec', value='sum')
    ann = onnx.TensorAnnotation(tensor_name='w')
    ann.quant_parameter_tensor_names.add(key='SCALE_TENSOR', value='w')
    g = h.make_graph([n, c, node('Mul', ['s', 'c'], ['y'], name='twice')], 'everything', [x], [y], [w],
                     doc_string='a graph', value_info=[s])
    g.quantization_annotation.append(ann)
    g.metadata_props.add(key='graph key', value='graph value')
    m = h.make_model(g, ir_version=11, opset_imports=[h.make_opsetid('', 23), h.make_opsetid('com.example', 3)],
                     producer_name='make.py', producer_version='1', domain='org.example', model_version=7,
                     doc_string='says everything')
    m.metadata_props.add(key='author', value='nobody')
    m.metadata_props.add(key='licence', value='CC0')
    m.configuration.add(name='two', num_devices=2, device=['a', 'b'])
    t = m.training_info.add()
    t.algorithm.name = 'step'
    t.algorithm.node.append(node('Sub', ['w', 'w'], ['w_new']))
    t.algorithm.initializer.append(numpy_helper.from_array(np.arange(600, dtype=np.float32), 'large'))
    t.update_binding.add(key='w', value='w_new')
    # Field 1000 of the model: bytes; field 1001: a varint. Nobody knows what they mean.
    write('everything', m.SerializeToString(deterministic=True) + b'\xc2\x3e\x05hello\xc8\x3e\x2a')


# ---- Tensors in every encoding: element i is (i * 7 + 3) % 5 - 2, without its sign for unsigned types.
def pattern(n, signed=True):
    v = [(i * 7 + 3) % 5 - 2 for i in range(n)]
    return v if signed else [abs(x) for x in v]


def tensors():
    init, n = [], 7
    floats = {'float': np.float32, 'double': np.float64, 'float16': np.float16, 'bfloat16': ml_dtypes.bfloat16,
              'float8e4m3fn': ml_dtypes.float8_e4m3fn, 'float8e5m2': ml_dtypes.float8_e5m2,
              'float8e4m3fnuz': ml_dtypes.float8_e4m3fnuz, 'float8e5m2fnuz': ml_dtypes.float8_e5m2fnuz,
              'float4e2m1': ml_dtypes.float4_e2m1fn}
    ints = {'int8': np.int8, 'int16': np.int16, 'int32': np.int32, 'int64': np.int64, 'uint8': np.uint8,
            'uint16': np.uint16, 'uint32': np.uint32, 'uint64': np.uint64, 'int4': ml_dtypes.int4,
            'uint4': ml_dtypes.uint4, 'int2': ml_dtypes.int2, 'uint2': ml_dtypes.uint2, 'bool': np.bool_}
    codes = {k.lower(): v for k, v in T.DataType.items()}
    for name, dtype in {**floats, **ints}.items():
        signed = not name.startswith('u') and name != 'bool'
        a = np.array(pattern(n, signed)).astype(dtype)
        raw = numpy_helper.from_array(a, name + '_raw')
        typed = T(name=name + '_typed', dims=[n], data_type=codes[name])
        packed = numpy_helper.from_array(a).raw_data
        bits = {2: 'uint16', 1: 'uint8'}.get(a.dtype.itemsize)
        if name == 'float':
            typed.float_data.extend(a.tolist())
        elif name == 'double':
            typed.double_data.extend(a.tolist())
        elif name == 'int64':
            typed.int64_data.extend(a.tolist())
        elif name in ('uint32', 'uint64'):
            typed.uint64_data.extend(a.tolist())
        elif name in ('int8', 'int16', 'int32', 'uint8', 'uint16', 'bool'):
            typed.int32_data.extend(int(x) for x in a)
        elif len(packed) < n:  # below one byte: bytes of elements
            typed.int32_data.extend(packed)
        else:
            typed.int32_data.extend(int(x) for x in a.view(bits))
        init += [raw, typed]
    big = 1100  # beyond what the pre-scan leaves in the metadata
    for name, dtype in (('float', np.float32), ('double', np.float64), ('int64', np.int64), ('int32', np.int32),
                        ('uint64', np.uint64), ('float16', np.float16)):
        a = np.array(pattern(big, not name.startswith('u'))).astype(dtype)
        init.append(numpy_helper.from_array(a, name + '_large_raw'))
        typed = T(name=name + '_large_typed', dims=[big], data_type=codes[name])
        if name == 'float16':
            typed.int32_data.extend(int(x) for x in a.view(np.uint16))
        else:
            getattr(typed, name + '_data').extend(a.tolist())
        init.append(typed)
    init.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), 'empty'))
    init.append(T(name='scalar', data_type=T.FLOAT, float_data=[2.5]))
    save('tensors', [node('Relu', ['x'], ['y'])], [value('x')], [value('y')], init, opset=25, ir=13)


def sparse():
    def one(name, dims, at, vals):
        return h.make_sparse_tensor(numpy_helper.from_array(np.array(vals, np.float32), name),
                                    numpy_helper.from_array(np.array(at, np.int64)), dims)
    flat = one('flat', [2, 3], [1, 5], [10, 20])
    pairs = one('pairs', [2, 3], [[0, 2], [1, 0]], [30, 40])
    m = save('sparse', [node('Add', ['x', 'flat'], ['s']), node('Add', ['s', 'pairs'], ['y'])], [value('x')],
             [value('y')], opset=13, ir=7, graph={'sparse_initializer': [flat, pairs]})
    return m


def external():
    a = np.arange(6, dtype=np.float32)
    b = np.arange(5, dtype=np.int64)
    with open(os.path.join(HERE, 'external.bin'), 'wb') as f:
        f.write(b'\0' * 8 + a.tobytes() + b.tobytes())
    w = T(name='w', dims=[2, 3], data_type=T.FLOAT, data_location=T.EXTERNAL)
    for k, v in (('location', 'external.bin'), ('offset', '8'), ('length', '24')):
        w.external_data.add(key=k, value=v)
    k = T(name='k', dims=[5], data_type=T.INT64, data_location=T.EXTERNAL)
    for key, v in (('location', './external.bin'), ('offset', '32')):
        k.external_data.add(key=key, value=v)
    branch = h.make_graph([node('Constant', [], ['b'], value=T())], 'branch', [], [value('b')])
    inner = branch.node[0].attribute[0].t
    inner.CopyFrom(w)
    inner.ClearField('name')
    save('external', [node('Add', ['x', 'w'], ['s']), node('Identity', ['k'], ['k_out']),
                      node('If', ['go'], ['b_out'], then_branch=branch, else_branch=branch),
                      node('Add', ['s', 'b_out'], ['y'])],
         [value('x'), value('go', T.BOOL, ())], [value('y'), value('k_out', T.INT64, (5,))], [w, k])


# ---- Subgraphs: what they read from outside, at two depths; names that they define themselves.
def capture():
    deep = h.make_graph([node('Mul', ['outer', 'shift'], ['deep_y'])], 'deep', [], [value('deep_y')])
    deep2 = h.make_graph([node('Neg', ['outer'], ['deep2_y'])], 'deep2', [], [value('deep2_y')])
    then = h.make_graph([node('Add', ['outer', 'w'], ['shift']),
                         node('If', ['go'], ['then_y'], then_branch=deep, else_branch=deep2)],
                        'then', [], [value('then_y')])
    other = h.make_graph([node('Constant', [], ['local'], value=numpy_helper.from_array(np.ones((2, 3), np.float32))),
                          node('Sub', ['outer', 'local'], ['else_y'])], 'else', [], [value('else_y')])
    save('capture', [node('Relu', ['x'], ['outer']), node('If', ['go'], ['y'], name='choose', then_branch=then,
                                                          else_branch=other)],
         [value('x'), value('go', T.BOOL, ())], [value('y')],
         [numpy_helper.from_array(np.full((2, 3), 3, np.float32), 'w')])


def capture_twice():
    def branch(name, op, x):
        return h.make_graph([node(op, [x], [name + '_y'])], name, [], [value(name + '_y')])
    save('capture_twice', [node('Relu', ['x'], ['outer']),
                           node('If', ['go'], ['p'], then_branch=branch('a', 'Neg', 'outer'),
                                else_branch=branch('b', 'Abs', 'outer')),
                           node('If', ['go'], ['q'], then_branch=branch('c', 'Exp', 'p'),
                                else_branch=branch('d', 'Neg', 'outer'))],
         [value('x'), value('go', T.BOOL, ())], [value('q')])


# ---- Functions.
def functions():
    def attr_ref(n, name, ref, kind):
        n.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=ref, type=kind))
        return n
    leaky = h.make_function('local', 'Leaky', ['a'], ['b'],
                            [attr_ref(node('LeakyRelu', ['a'], ['b'], name='inner'), 'alpha', 'slope',
                                      onnx.AttributeProto.FLOAT)],
                            [h.make_opsetid('', 16)], [], [h.make_attribute('slope', 0.5)])
    clip = h.make_function('local', 'Limit', ['a', 'hi', 'lo'], ['out', 'twice'],
                           [node('Min', ['a', 'hi'], ['m']), node('Leaky', ['m'], ['out'], domain='local', slope=0.25),
                            node('Constant', [], ['two'], value_float=2.0), node('Mul', ['out', 'two'], ['twice'])],
                           [h.make_opsetid('', 17), h.make_opsetid('local', 1)])
    typed = h.make_function('local', 'Limit', ['a', 'hi', 'lo'], ['out', 'twice'],
                            [node('Max', ['a', 'hi'], ['out']), node('Neg', ['out'], ['twice'])],
                            [h.make_opsetid('', 17)])
    typed.overload = 'other'
    unknown = h.make_function('local', 'Opaque', ['a'], ['b'], [node('Mystery', ['a'], ['b'], domain='com.example')],
                              [h.make_opsetid('com.example', 1)])
    call = node('Limit', ['l', 'h'], ['c', 'd'], domain='local', name='call2')
    call.overload = 'other'
    nodes = [node('Limit', ['x', 'h', ''], ['m', 't'], domain='local', name='call'),
             node('Leaky', ['t'], ['l'], domain='local', name='leak'), call, node('Add', ['m', 'c'], ['s']),
             node('Add', ['s', 'd'], ['y'])]
    init = [numpy_helper.from_array(np.array(1, np.float32), 'h')]
    hard = h.make_function('local', 'Hard', ['v'], ['w'], [node('Sign', ['v'], ['s']), node('Add', ['s', 'v'], ['w'])],
                           [h.make_opsetid('', 18)])
    save('local_function', [node('Hard', ['x'], ['h'], domain='local'), node('Mul', ['h', 'h'], ['z'])], [value('x', shape=(3,))],
         [value('z', shape=(3,))], opset=18, ir=8, opsets=[('local', 1)], functions=[hard])
    save('functions', nodes, [value('x')], [value('y')], init, ir=10, opsets=[('local', 1)],
         functions=[leaky, clip, typed])
    save('functions_kept', nodes + [node('Opaque', ['y'], ['z'], domain='local')], [value('x')], [value('y'), value('z')],
         init, ir=10, opsets=[('local', 1), ('com.example', 1)], functions=[leaky, clip, typed, unknown])


# ---- A function that only a subgraph calls; one that nobody calls.
def function_in_subgraph():
    f = h.make_function('local', 'Twice', ['a'], ['b'], [node('Add', ['a', 'a'], ['b'])], [h.make_opsetid('', 17)])
    g = h.make_function('local', 'Idle', ['a'], ['b'], [node('Neg', ['a'], ['b'])], [h.make_opsetid('', 17)])
    then = h.make_graph([node('Twice', ['x'], ['then_y'], domain='local')], 'then', [], [value('then_y')])
    other = h.make_graph([node('Neg', ['x'], ['else_y'])], 'else', [], [value('else_y')])
    save('function_in_subgraph', [node('If', ['go'], ['y'], then_branch=then, else_branch=other)],
         [value('x'), value('go', T.BOOL, ())], [value('y')], opsets=[('local', 1)], functions=[f, g])


# ---- Old files.
def old():
    w = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), 'w')
    save('old_ir3', [node('Add', ['x', 'w'], ['s']), node('Clip', ['s'], ['y'], name='clip', min=-1.0, max=2.5)],
         [value('x'), value('w')], [value('y')], [w], opset=8, ir=3)
    save('squeeze9', [node('Unsqueeze', ['x'], ['u'], axes=[0, 3]), node('Squeeze', ['u'], ['s'], axes=[3]),
                      node('Squeeze', ['s'], ['y'])], [value('x')], [value('y', shape=(2, 3))], opset=9, ir=4)


# ---- What norn has no storage for.
def strings():
    s = numpy_helper.from_array(np.array([b'a', b'bc'], dtype=object), 'words')
    save('strings', [node('Constant', [], ['more'], value_strings=[b'd', b'e']),
                     node('Concat', ['words', 'more'], ['all'], axis=0), node('Equal', ['words', 'given'], ['same'])],
         [value('given', T.STRING, (2,))], [value('all', T.STRING, (4,)), value('same', T.BOOL, (2,))], [s], opset=19,
         ir=9)


def sequences():
    seq = h.make_tensor_sequence_value_info('seq', T.FLOAT, ['N', 3])
    opt = h.make_value_info('maybe', h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, [2])))
    save('sequences', [node('SequenceInsert', ['seq', 'x'], ['longer']), node('SequenceLength', ['longer'], ['n']),
                       node('OptionalHasElement', ['maybe'], ['has'])],
         [seq, value('x', shape=('N', 3)), opt],
         [h.make_tensor_sequence_value_info('longer', T.FLOAT, ['N', 3]), value('n', T.INT64, ()), value('has', T.BOOL, ())],
         opset=18, ir=8)


def maps():
    """A classifier as scikit-learn's are written: a sequence of maps at the end; and one that another node reads."""
    tail = [h.make_value_info(n, h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, []))))
            for n in ('probabilities', 'read')]
    save('maps', [node('LinearClassifier', ['x'], ['label', 'p'], name='classify', domain='ai.onnx.ml', classlabels_ints=[0, 1],
                       coefficients=[1.0, 2.0, -1.0, 0.5, 0.25, -2.0], intercepts=[0.0, 1.0], post_transform='SOFTMAX'),
                  node('ZipMap', ['p'], ['probabilities'], name='zip', domain='ai.onnx.ml', classlabels_int64s=[0, 1])],
         [value('x', shape=('N', 3))], [value('label', T.INT64, ('N',)), tail[0]], opsets=[('ai.onnx.ml', 1)])
    save('maps_read', [node('ZipMap', ['x'], ['read'], domain='ai.onnx.ml', classlabels_strings=['no', 'yes', 'perhaps']),
                       node('SequenceLength', ['read'], ['n'])],
         [value('x', shape=('N', 3))], [tail[1], value('n', T.INT64, ())], opsets=[('ai.onnx.ml', 1)])


# ---- Order, names, sizes.
def order():
    save('unsorted', [node('Mul', ['b', 'c'], ['y']), node('Neg', ['x'], ['b'], name='first'),
                      node('Add', ['b', 'x'], ['c'])], [value('x')], [value('y')])
    save('sizes', [node('Add', ['a', 'b'], ['s']), node('Mystery', ['s'], ['m'], domain='com.example'),
                   node('Relu', ['m'], ['y'])],
         [value('a', shape=('N', 1, 'T')), value('b', shape=(1, 'C', 'T'))],
         [value('y', shape=('N', 4, 'made up', None)), value('s', shape=('N', 'C', 'T'))], opsets=[('com.example', 2)],
         graph={'value_info': [value('m', shape=('N', 4, 'made up', None))]})
    # A declared shape that is wrong: norn follows the operator.
    save('lies', [node('Relu', ['x'], ['r']), node('Neg', ['r'], ['y'])], [value('x')], [value('y', shape=(2, 4))],
         graph={'value_info': [value('r', shape=(7,))]})
    save('passthrough', [node('Relu', ['x'], ['y'])], [value('x'), value('z')],
         [value('y'), value('z'), value('w', shape=(3,))], [numpy_helper.from_array(np.ones(3, np.float32), 'w')])


def optional():
    save('optional', [node('Clip', ['x', '', 'hi'], ['y']), node('Clip', ['x', '', ''], ['z'])],
         [value('x')], [value('y'), value('z')], [numpy_helper.from_array(np.array(1, np.float32), 'hi')])


def new_ops():
    save('new_ops', [node('Gelu', ['x'], ['g'], name='gelu'), node('HardSwish', ['g'], ['s']), node('Mish', ['s'], ['y'])],
         [value('x')], [value('y')], opset=21, ir=10)


def branches():
    """Branches of one rank and other sizes: an If that opsets before 11 do not have."""
    then = h.make_graph([node('Shape', ['x'], ['a'])], 'then', [], [value('a', T.INT64, (2,))])
    other = h.make_graph([node('Size', ['x'], ['s']), node('Unsqueeze', ['s', 'zero'], ['b'])], 'else', [], [value('b', T.INT64, (1,))],
                         [numpy_helper.from_array(np.array([0], np.int64), 'zero')])
    save('branches', [node('If', ['c'], ['y'], then_branch=then, else_branch=other)],
         [value('c', T.BOOL, ()), value('x', shape=('N', 3))], [value('y', T.INT64, ('K',))])


def unread():
    """A node that opset 1 has in another form, and that nobody reads: it is not written back."""
    save('../../fuzz/unread', [node('Unheard', ['w'], ['y'], domain='com.example'), node('Concat', ['w', 'w'], ['z'], axis=0)], [],
         [value('y', T.INT64, (2,))], [numpy_helper.from_array(np.arange(2), 'w')], opset=1, opsets=[('com.example', 1)])


def halves():
    """Pictures of any size, halved, doubled and put beside themselves: no result where the size is 1."""
    save('../certificate/halves', [node('Conv', ['x', 'w'], ['h'], strides=[2, 2], auto_pad='SAME_UPPER'),
                                   node('ConvTranspose', ['h', 'w'], ['u'], strides=[2, 2]), node('Concat', ['u', 'x'], ['y'], axis=1)],
         [value('x', shape=('N', 1, 'H', 'W'))], [value('y', shape=('N', 2, 'H', 'W'))],
         [numpy_helper.from_array(np.array([[[[1, 2], [3, -4]]]], np.float32), 'w')])


def nothing():
    """Nodes that make nothing, in forms that older opsets do not have."""
    save('../../fuzz/nothing', [node('Concat', ['x', 'x'], [''], axis=-1), node('Gelu', ['x'], ['']), node('Resize', ['x', '', 'twice'], ['']),
                                node('Softmax', ['x'], ['']), node('Split', ['x'], ['', ''], num_outputs=2, axis=1), node('Identity', ['x'], ['y'])],
         [value('x')], [value('y')], [numpy_helper.from_array(np.array([2, 2], np.float32), 'twice')], opset=21, ir=10)


def least():
    """Integers of which one has no opposite."""
    ends = np.array([-2**63, -2**63 + 1, 2**63 - 1, 0, 2**53 + 1], np.int64)
    save('least', [node('Identity', ['w'], ['y']), node('Concat', ['w', 'w'], ['z'], axis=0)], [],
         [value('y', T.INT64, (5,)), value('z', T.INT64, (10,))], [numpy_helper.from_array(ends, 'w')])


def pb():
    for name, a in (('float', np.array(pattern(6), np.float32).reshape(2, 3)),
                    ('half', np.array(pattern(6), np.float16).reshape(2, 3)),
                    ('int4', np.array(pattern(5), ml_dtypes.int4))):
        with open(os.path.join(HERE, name + '.pb'), 'wb') as f:
            f.write(numpy_helper.from_array(a, name).SerializeToString())
    with open(os.path.join(HERE, 'string.pb'), 'wb') as f:
        f.write(numpy_helper.from_array(np.array([b'a'], dtype=object), 's').SerializeToString())


if __name__ == '__main__':
    for make in (everything, tensors, sparse, external, capture, capture_twice, functions, function_in_subgraph, old, strings, sequences, maps, order, optional,
                 new_ops, branches, least, halves, unread, nothing, pb):
        make()
