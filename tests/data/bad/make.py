#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files of this folder, and list.json, with the onnx package (1.23.2). Run it here after a change."""
import io
import json
import os
import struct
import zipfile
import zlib

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
LIST = []


def write(name, data, expect='reject', what='', **more):
    with open(os.path.join(HERE, name), 'wb') as f:
        f.write(data)
    LIST.append({'file': name, 'what': what, 'expect': expect, **more})


def value(name, dtype=T.FLOAT, shape=(4,)):
    return h.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, **kw):
    return h.make_node(op, inputs, outputs, **kw)


def model(nodes, inputs=None, outputs=None, init=(), opset=17, functions=(), domains=(), **kw):
    g = h.make_graph(nodes, 'bad', [value('x')] if inputs is None else inputs, [value('y')] if outputs is None else outputs,
                     list(init), **kw)
    return h.make_model(g, ir_version=8, opset_imports=[h.make_opsetid('', opset)] + [h.make_opsetid(d, 1) for d in domains],
                        functions=list(functions))


def ints(name, *v):
    return numpy_helper.from_array(np.array(v, np.int64), name)


def floats(name, *v):
    return numpy_helper.from_array(np.array(v, np.float32), name)


def save(name, m, expect='reject', what='', **more):
    write(name + '.onnx', m.SerializeToString(deterministic=True), expect, what, **more)


fine = model([node('Relu', ['x'], ['y'])])
with open(os.path.join(HERE, 'identity.onnx'), 'wb') as f:
    f.write(model([node('Identity', ['x'], ['y'])], [value('x', T.FLOAT, None)], [value('y', T.FLOAT, None)]).SerializeToString())

# ---- The wire.
data = fine.SerializeToString()
write('nothing.onnx', b'', 'reject', 'no bytes')
write('cut.onnx', data[:len(data) // 2], 'reject', 'cut in the middle')
write('length.onnx', data[:2] + b'\x3a\xff\xff\xff\xff\x0f' + data[2:], 'reject', 'a length of 4 GiB')
write('group.onnx', b'\x0b' * 4096, 'reject', 'groups within groups')
write('number.onnx', b'\x08' + b'\xff' * 20, 'reject', 'a number without end')
write('extra.onnx', data + b'\xfa\x7f\x05hello', 'accept', 'a field that nobody knows')


def deep(depth):
    inner = b''
    for _ in range(depth):  # graph.node.attribute.g
        attr = b'\x0a\x01b' + b'\x32' + varint(len(inner)) + inner + b'\xa0\x01\x05'
        n = b'\x22\x02If' + b'\x2a' + varint(len(attr)) + attr
        inner = b'\x0a' + varint(len(n)) + n
    return b'\x08\x08\x42\x02\x10\x11\x3a' + varint(len(inner)) + inner


def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


write('deep.onnx', deep(1500), 'reject', '1500 graphs within each other')
write('escape.onnx', model([node('\x1b[2J\x07Evil', ['x'], ['y'])]).SerializeToString(), 'reject', 'a name that would clear the screen')

# ---- Graphs.
save('itself', model([node('Add', ['x', 'y'], ['y'])]), 'reject', 'a node that reads what it makes')
save('cycle', model([node('Add', ['x', 'c'], ['a']), node('Neg', ['a'], ['b']), node('Exp', ['b'], ['c']),
                     node('Neg', ['a'], ['y'])]), 'reject', 'a cycle of three nodes')
save('twice', model([node('Neg', ['x'], ['y']), node('Exp', ['x'], ['y'])]), 'reject', 'two nodes make one name')
save('mistyped', model([node('Transpose', ['x'], ['y'], perm='backwards')]), 'reject', 'a text where a list is due')
save('kept_mistyped', model([h.make_node('ZipMap', ['x'], ['m'], domain='ai.onnx.ml', classlabels_strings='no'),
                             node('SequenceLength', ['m'], ['n']), node('Relu', ['x'], ['y'])], domains=['ai.onnx.ml']),
     'reject', 'a text where a list is due, in an operator that is kept')
untyped = value('x')
untyped.type.tensor_type.elem_type = 0
untyped.type.denotation = 'TENSOR'
save('untyped', model([node('Relu', ['x'], ['y'])], [untyped]), 'reject', 'an input without a type of elements')
save('attributes', model([node('LeakyRelu', ['x'], ['y'], alpha=0.1, beta=2.0)]), 'reject', 'an attribute that the operator lacks')
save('outputs', model([node('Relu', ['x'], ['y', 'z'])]), 'reject', 'an output that the operator lacks')
save('types', model([node('Add', ['x', 'i'], ['y'])], init=[ints('i', 1)]), 'reject', 'floats and integers')

# ---- Sizes.
BIG = 1 << 40
save('expand', model([node('Expand', ['x', 's'], ['y'])], outputs=[value('y', shape=None)], init=[ints('s', BIG, 4)]),
     'reject', 'Expand to 16 TiB')
save('tile', model([node('Tile', ['x', 's'], ['y'])], outputs=[value('y', shape=None)], init=[ints('s', BIG)]), 'reject',
     'Tile to 16 TiB')
save('pad', model([node('Pad', ['x', 's'], ['y'])], outputs=[value('y', shape=None)], init=[ints('s', BIG, BIG)]),
     'reject', 'Pad by terabytes')
save('pad_overflow', model([node('Pad', ['x', 's'], ['y'])], outputs=[value('y', shape=None)],
                           init=[ints('s', (1 << 63) - 1, (1 << 63) - 1)]), 'reject', 'pads whose sum overflows')
save('range', model([node('Range', ['a', 'b', 'c'], ['y'])], [], [value('y', T.INT64, None)],
                    [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (('a', 0), ('b', 1 << 62), ('c', 1))]),
     'reject', 'a Range of 2^62 numbers')
save('onehot', model([node('OneHot', ['i', 'd', 'v'], ['y'])], [], [value('y', T.FLOAT, None)],
                     [ints('i', 0, 1), ints('d', BIG), floats('v', 0, 1)]), 'reject', 'OneHot of 2^40 classes')
save('reshape_zero', model([node('Reshape', ['x', 's'], ['y'])], outputs=[value('y', shape=None)], init=[ints('s', 0, 0, -1)]),
     'reject', 'sizes copied from dimensions that are not there')
save('conv_big', model([node('Conv', ['x', 'w'], ['y'], pads=[1 << 40, 1 << 40])], [value('x', shape=(1, 1, 4))],
                       [value('y', shape=None)], [numpy_helper.from_array(np.ones((1, 1, 3), np.float32), 'w')]), 'reject',
     'pads of 2^40')
m = model([node('Add', ['x', 'w'], ['y'])])
t = m.graph.initializer.add(name='w', data_type=T.FLOAT, raw_data=b'1234')
t.dims.extend([1 << 31, 1 << 31, 1 << 2])
save('overflow', m, 'reject', 'dimensions whose product overflows to 0')
m = model([node('Add', ['x', 'w'], ['y'])])
s = m.graph.sparse_initializer.add()
s.values.CopyFrom(floats('w', 1))
s.indices.CopyFrom(ints('', 0))
s.dims.extend([1 << 30, 1 << 10])
save('sparse', m, 'reject', 'a sparse tensor of 4 TiB')
m = model([node('Add', ['x', 'w'], ['y'])])
s = m.graph.sparse_initializer.add()
s.values.CopyFrom(floats('w', 1))
s.indices.CopyFrom(ints('', 9))
s.dims.extend([4])
save('sparse_outside', m, 'reject', 'an index beyond the sparse tensor')


def external(name, expect='reject', what='', **entries):
    m = model([node('Add', ['x', 'w'], ['y'])])
    t = m.graph.initializer.add(name='w', data_type=T.FLOAT, data_location=T.EXTERNAL)
    t.dims.extend([4])
    for k, v in entries.items():
        t.external_data.add(key=k, value=str(v))
    save(name, m, expect, what)


external('outside', location='../make_files.py', what='external data in the folder above')
external('absolute', location='/etc/hostname', what='external data by an absolute path')
external('hidden', location='sub/../../make_files.py', what='the folder above, by a detour')
external('beyond', location='make.py', offset=1 << 50, length=16, what='external data beyond the end of the file')
external('wrap', location='make.py', offset=(1 << 64) - 8, length=16, what='an offset that wraps around')
external('negative', location='make.py', offset=-4, length=16, what='an offset below 0')
external('folder', location='.', what='external data in a folder')
external('short', location='make.py', offset=0, length=3, what='fewer external bytes than elements')

# ---- Functions and loops.
functions = [h.make_function('local', f'f{i}', ['a'], ['b'], [node(f'f{i + 1}', ['a'], ['m'], domain='local'),
                                                            node(f'f{i + 1}', ['m'], ['b'], domain='local')],
                             [h.make_opsetid('', 17), h.make_opsetid('local', 1)]) for i in range(40)]
functions.append(h.make_function('local', 'f40', ['a'], ['b'], [node('Neg', ['a'], ['b'])], [h.make_opsetid('', 17)]))
save('doubling', model([node('f0', ['x'], ['y'], domain='local')], functions=functions, domains=['local']), 'reject',
     'functions that would expand to 2^40 nodes')
pair = [h.make_function('local', a, ['a'], ['b'], [node(b, ['a'], ['b'], domain='local')],
                        [h.make_opsetid('', 17), h.make_opsetid('local', 1)]) for a, b in (('f', 'g'), ('g', 'f'))]
save('recursion', model([node('f', ['x'], ['y'], domain='local')], functions=pair, domains=['local']), 'reject',
     'two functions that call each other')

# ---- Operators that are written out, and their lists.
training = 'ai.onnx.preview.training'
chain = [node('Sigmoid', ['x'], ['d0'])] + [node('Gradient', ['x'], [f'd{i + 1}'], domain=training, xs=['x'], y=f'd{i}')
                                            for i in range(40)]
save('derivatives', model(chain, outputs=[value('d40')], domains=[training]), 'reject', 'a derivative of 40th order')
save('gradient', model([node('Gradient', ['x'], ['y'], domain=training, xs=['x'], y='nobody')], domains=[training]), 'reject',
     'the gradient of what is not there')
qkv = [value(n, T.FLOAT, (1, 2, 3, 4)) for n in 'qkv']
mods = h.make_graph([node('Add', ['s', 't'], ['u'])], 'mod', [value('s'), value('t')], [value('u')])
save('flex', model([node('FlexAttention', list('qkv'), ['y'], domain='ai.onnx.preview', score_mod=mods)], qkv,
                   [value('y', T.FLOAT, (1, 2, 3, 4))], domains=['ai.onnx.preview']), 'reject', 'a score_mod of two inputs')
save('ngrams', model([node('TfIdfVectorizer', ['x'], ['y'], mode='TF', min_gram_length=1, max_gram_length=2, max_skip_count=0,
                           ngram_counts=[0, 1 << 30], ngram_indexes=[0, 1], pool_int64s=[1, 2, 3])],
                     [value('x', T.INT64)], [value('y', T.FLOAT, (2,))]), 'reject', 'n-grams beyond their pool')
save('ngrams_index', model([node('TfIdfVectorizer', ['x'], ['y'], mode='TF', min_gram_length=1, max_gram_length=1,
                                 max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, -5], pool_int64s=[1, 2])],
                           [value('x', T.INT64)], [value('y', T.FLOAT, (2,))]), 'reject', 'an n-gram at a place below 0')


def trees(**changed):
    lists = {'tree_roots': [0], 'nodes_featureids': [0, 0], 'nodes_truenodeids': [1, 0], 'nodes_falsenodeids': [0, 1],
             'nodes_trueleafs': [0, 1], 'nodes_falseleafs': [1, 1], 'leaf_targetids': [0, 0], 'n_targets': 1, **changed}
    return model([node('TreeEnsemble', ['x'], ['y'], domain='ai.onnx.ml', nodes_splits=floats('s', 0, 1),
                       nodes_modes=numpy_helper.from_array(np.zeros(2, np.uint8), 'm'), leaf_weights=floats('w', 1, 2), **lists)],
                 [value('x', T.FLOAT, (4, 1))], [value('y', T.FLOAT, (4, 1))], domains=())


for name, what, changed in (('trees_cycle', 'a tree whose root is below itself', {'nodes_truenodeids': [1, 0],
                                                                                'nodes_trueleafs': [0, 0]}),
                            ('trees_beyond', 'a tree that leads to a node beyond all', {'nodes_truenodeids': [7, 0]}),
                            ('trees_target', 'a leaf for a target that there is not', {'leaf_targetids': [0, 1 << 40]})):
    m = trees(**changed)
    m.opset_import.append(h.make_opsetid('ai.onnx.ml', 5))
    save(name, m, 'reject', what)
svm = model([node('SVMRegressor', ['x'], ['y'], domain='ai.onnx.ml', coefficients=[1.0, 2.0], rho=[0.0], n_supports=1 << 30,
                  support_vectors=[1.0, 2.0])], [value('x', T.FLOAT, (4, 1))], [value('y', T.FLOAT, (4, 1))], domains=['ai.onnx.ml'])
save('svm', svm, 'reject', 'more support vectors than numbers')
save('cast', model([node('Cast', ['x'], ['y'], to='NOTHING')], opset=1), 'reject', 'a type that has no such name')

# The condition is computed, and always true: the number of the iteration is greater than -1.
body = h.make_graph([node('Greater', ['i', 'below'], ['more']), node('Identity', ['v'], ['w'])], 'body',
                    [value('i', T.INT64, ()), value('go', T.BOOL, ()), value('v')], [value('more', T.BOOL, ()), value('w')])
save('endless', model([node('Loop', ['', '', 'x'], ['y'], body=body)], init=[numpy_helper.from_array(np.int64(-1), 'below')]),
     'reject', 'a loop without an end', args=['--max-iterations', '20000'])

step = h.make_graph([node('Add', ['s', 'e'], ['t'])], 'body', [value('s'), value('e')], [value('t')])
save('scan_inputs', model([node('Scan', ['x', 'z'], ['y'], body=step, num_scan_inputs=1 << 62)],
                          [value('x'), value('z', shape=(3, 4))]), 'reject', 'a Scan over 2^62 inputs')
samples = h.make_graph([node('Add', ['s', 'e'], ['t'])], 'body', [value('s'), value('e')], [value('t')])
save('scan_samples', model([node('Scan', ['', 'x', 'z'], ['y'], body=samples, num_scan_inputs=1)],
                           [value('x', shape=(1 << 40, 4)), value('z', shape=(1 << 40, 3, 4))],
                           [value('y', shape=(1 << 40, 4))], opset=8), 'reject', 'a Scan of opset 8 over 2^40 samples')
save('unread_input', model([node('Relu', ['x'], ['y'])], [value('x'), value('u', T.INT64, (1 << 31,))]), 'resource',
     'an input of 16 GiB that nobody reads')

# ---- Arrays.


def npy(header, body=b'', major=1):
    header = header.encode()
    return b'\x93NUMPY' + bytes([major, 0]) + struct.pack('<H' if major == 1 else '<I', len(header)) + header + body


def array(a):
    f = io.BytesIO()
    np.save(f, a)
    return f.getvalue()


write('fine.npy', array(np.arange(6, dtype=np.float32).reshape(2, 3)), 'accept', 'nothing wrong with it')
write('huge.npy', npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n"), 'reject',
      'a shape whose size overflows to 0')
write('below.npy', npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", b'\0' * 16), 'reject', 'a size below 0')
write('object.npy', npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n(S'true'\ntR."), 'reject',
      'a pickle')
write('header.npy', npy('', b'')[:8] + b'\xff\xff', 'reject', 'a header that is not there')
write('long.npy', npy('(' * 60000), 'reject', 'a header of 60000 brackets')
write('cut.npy', array(np.ones((4, 4), np.float64))[:-1], 'reject', 'one byte short')


# ---- Archives.
def archive(members):
    f = io.BytesIO()
    with zipfile.ZipFile(f, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, body in members.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, body)
    return f.getvalue()


small = {'x.npy': array(np.zeros((4, 3), np.float32)), 'y.npy': array(np.zeros(4, np.int64))}
z = archive(small)
write('fine.npz', z, 'accept', 'nothing wrong with it')
write('cut.npz', z[:-30], 'reject', 'without its directory')
write('bomb.npz', archive({'x.npy': npy("{'descr': '<f4', 'fortran_order': False, 'shape': (64000000,), }\n", b'\0' * 100000),
                           'y.npy': small['y.npy']}), 'reject', 'an array of 256 MB in 100 bytes')
lie = z.replace(struct.pack('<I', len(small['x.npy'])), struct.pack('<I', 0xfffffff0))
write('sizes.npz', lie, 'reject', 'a member that says it has 4 GiB')
write('counts.npz', archive({'x.npy': small['x.npy'], 'y.npy': array(np.zeros(5, np.int64))}), 'reject',
      'more labels than samples')
write('labels.npz', archive({'x.npy': small['x.npy'], 'y.npy': array(np.array([0, 1, -7, 1 << 62], np.int64))}), 'reject',
      'labels below 0 and without bounds')


# ---- Pictures.
def chunk(kind, body, crc=None):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body) if crc is None else crc)


def png(w, hgt, body, depth=8, color=0):
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, hgt, depth, color, 0, 0, 0)) +
            chunk(b'IDAT', body) + chunk(b'IEND', b''))


write('huge.png', png(0x7fffffff, 0x7fffffff, zlib.compress(b'\0' * 100)), 'reject', 'a picture of 2^62 pixels')
write('bomb.png', png(30000, 30000, zlib.compress(b'\0' * 1000)), 'reject', '900 megapixels in 100 bytes')
write('cut.png', png(8, 8, zlib.compress(b'\0' * 72))[:-40], 'reject', 'cut')
write('zero.png', png(0, 8, zlib.compress(b'')), 'reject', 'no width')
write('depth.png', png(8, 8, zlib.compress(b'\0' * 72), 7), 'reject', '7 bits a sample')

# ---- IDX.
write('huge-images-idx3-ubyte', b'\0\0\x08\x03' + struct.pack('>III', 0xffffffff, 0xffffffff, 0xffffffff), 'reject',
      'sizes whose product overflows')
write('huge-labels-idx1-ubyte', b'\0\0\x08\x01' + struct.pack('>I', 0xffffffff), 'reject', 'labels that are not there')

# ---- What norn does not read.
write('other.h5', b'\x89HDF\r\n\x1a\n' + b'\0' * 64, 'reject', 'an HDF5 file')
write('other.safetensors', struct.pack('<Q', 2) + b'{}', 'reject', 'a safetensors file')
write('other.prototxt', b'name: "net"\nlayer { name: "data"\n', 'reject', 'a Caffe network')
write('other.caffemodel', b'\x0a\x03net\x12\x00', 'reject', 'a Caffe model')

with open(os.path.join(HERE, 'list.json'), 'w') as f:
    json.dump(LIST, f, indent=1)
    f.write('\n')
