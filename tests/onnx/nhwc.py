#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Graphs as tf2onnx writes them: in NHWC, with a Transpose before and after each operator that knows only NCHW.

    nhwc.py NORN

`norn convert --optimize` leaves the one at the input (none where there is one channel), and one at an output that is an
image. What it writes passes onnx.checker and computes in ONNX Runtime what the original computes.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import roundtrip

rng = np.random.default_rng(0)
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Net:
    def __init__(self, size, channels):
        self.nodes, self.init, self.count = [], [], 0
        self.shape = ['N', size, size, channels]

    def name(self, kind):
        self.count += 1
        return f'{kind}_{self.count}'

    def const(self, a):
        name = self.name('const')
        self.init.append(numpy_helper.from_array(np.asarray(a), name))
        return name

    def weights(self, *shape):
        return self.const((rng.normal(size=shape) * 0.3).astype(np.float32))

    def positive(self, n):
        return self.const((np.abs(rng.normal(size=n)) + 0.5).astype(np.float32))

    def real(self, v):
        return self.const(np.float32(v))

    def ints(self, *v):
        return self.const(np.array(v, np.int64))

    def op(self, kind, *inputs, outputs=1, **attrs):
        out = [self.name(kind) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), out, name=self.name('node'), **attrs))
        return out[0] if outputs == 1 else out

    def nchw(self, kind, x, *inputs, **attrs):
        y = self.op(kind, self.op('Transpose', x, perm=TO_NCHW), *inputs, **attrs)
        return self.op('Transpose', y, perm=TO_NHWC)

    def conv(self, x, c_in, c_out, k=3, stride=1, group=1):
        y = self.nchw('Conv', x, self.weights(c_out, c_in // group, k, k), strides=[stride, stride],
                      pads=[k // 2] * 4, group=group)
        return self.op('Add', y, self.weights(c_out))

    def norm(self, x, c):
        return self.nchw('BatchNormalization', x, self.positive(c), self.weights(c), self.weights(c), self.positive(c))

    def pool(self, x, kind='MaxPool'):
        return self.nchw(kind, x, kernel_shape=[2, 2], strides=[2, 2])

    def pad(self, x, p):
        return self.op('Pad', x, self.ints(0, p, p, 0, 0, p, p, 0), self.real(0))

    def mean(self, x, keepdims=0):
        return self.op('ReduceMean', x, axes=[1, 2], keepdims=keepdims)

    def requantized(self, x):
        q = [self.real(0.05), self.const(np.int8(3))]
        return self.op('DequantizeLinear', self.op('QuantizeLinear', x, *q), *q)

    def relu6(self, x):
        return self.op('Clip', x, self.real(0), self.real(6))


def residual():
    n = Net(16, 3)
    x = r = n.op('Relu', n.conv('x', 3, 8))
    y = n.conv(n.op('Relu', n.norm(n.conv(x, 8, 8), 8)), 8, 8)
    x = n.pool(n.op('Relu', n.op('Add', y, r)))
    x = n.op('Concat', n.pad(x, 1), n.conv(n.pad(x, 1), 8, 4, 1), axis=3)
    return n, n.op('Add', n.op('MatMul', n.mean(x), n.weights(12, 10)), n.weights(10)), ['N', 10], 1


def flattened(how):
    n = Net(16, 1)
    x = n.pool(n.op('Relu', n.conv('x', 1, 4)))
    x = n.pool(n.relu6(n.conv(x, 4, 8)), 'AveragePool')
    if how == 'Flatten':
        x = n.op('Flatten', x)
    elif how == 'Reshape':
        x = n.op('Reshape', x, n.ints(-1, 128))
    else:  # the batch as Keras' Flatten takes it
        batch = n.op('Slice', n.op('Shape', x), n.ints(0), n.ints(1), n.ints(0))
        x = n.op('Reshape', x, n.op('Concat', batch, n.ints(128), axis=0))
    return n, n.op('Softmax', n.op('MatMul', x, n.weights(128, 10)), axis=-1), ['N', 10], 0


def squeeze_and_excite():
    n = Net(8, 3)
    x = n.op('Relu', n.conv('x', 3, 8))
    s = n.op('Sigmoid', n.op('MatMul', n.mean(x), n.weights(8, 8)))
    x = n.op('Mul', x, n.op('Reshape', s, n.ints(-1, 1, 1, 8)))
    return n, n.op('ReduceMax', n.conv(x, 8, 4), axes=[1, 2], keepdims=0), ['N', 4], 1


def encoder_decoder():
    n = Net(16, 3)
    a = n.op('Relu', n.conv('x', 3, 8))
    d = n.op('LeakyRelu', n.conv(n.pool(a), 8, 8), alpha=0.2)
    u = n.nchw('Resize', d, '', n.const(np.array([1, 1, 2, 2], np.float32)), mode='nearest',
               coordinate_transformation_mode='asymmetric', nearest_mode='floor')
    u = n.op('Slice', n.op('Concat', u, a, axis=-1), n.ints(1, 1), n.ints(15, 15), n.ints(1, 2))
    return n, n.op('Sigmoid', n.conv(u, 16, 4)), ['N', 14, 14, 4], 2


def resized():
    n = Net(8, 3)
    x = n.op('Resize', n.op('Relu', n.conv('x', 3, 8)), '', n.const(np.array([1, 2, 2, 1], np.float32)), mode='linear')
    return n, n.op('Squeeze', n.mean(n.conv(x, 8, 4), 1), n.ints(1, 2)), ['N', 4], 1


def mobile():
    n = Net(15, 3)
    x = n.relu6(n.norm(n.conv(n.pad('x', 1), 3, 8, 3, 2), 8))
    x = n.conv(x, 8, 8, 3, 1, 8)
    x = n.op('Mul', x, n.op('Mul', n.relu6(n.op('Add', x, n.real(3))), n.real(1 / 6)))  # hard swish
    x = n.op('Squeeze', n.conv(n.mean(x, 1), 8, 5, 1), n.ints(1, 2))
    return n, n.op('Softmax', x, axis=1), ['N', 5], 1


def split():
    n = Net(8, 3)
    x = n.op('PRelu', n.conv('x', 3, 8), n.weights(1, 1, 8))
    left, right = n.op('Split', x, outputs=2, axis=3)
    x = n.conv(n.op('Concat', left, n.conv(right, 4, 4), axis=3), 8, 4)
    return n, n.op('Cast', n.op('ArgMax', x, axis=3, keepdims=0), to=TensorProto.FLOAT), ['N', 8, 8], 1


def quantized():
    n = Net(8, 3)
    x = r = n.requantized(n.op('Relu', n.conv(n.requantized('x'), 3, 8)))
    x = n.requantized(n.conv(x, 8, 8))
    x = n.mean(n.requantized(n.op('Add', x, r)))
    return n, n.op('MatMul', n.requantized(x), n.weights(8, 3)), ['N', 3], 1


def branches():
    n = Net(8, 3)
    x = n.conv('x', 3, 8)
    x = n.op('Where', n.op('Greater', x, n.real(0)), x, n.op('Mul', x, n.real(0.1)))
    a = n.conv(x, 8, 4)
    z = n.op('Mean', n.op('Max', a, n.op('Tanh', n.conv(x, 8, 4))), a)
    return n, n.op('ReduceSum', z, keepdims=0), [], 1


def check(norn, name, made, tmp):
    n, out, shape, left = made
    path, simple = os.path.join(tmp, name + '.onnx'), os.path.join(tmp, name + '_simple.onnx')
    graph = helper.make_graph(n.nodes, name, [helper.make_tensor_value_info('x', TensorProto.FLOAT, n.shape)],
                              [helper.make_tensor_value_info(out, TensorProto.FLOAT, shape)], n.init)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], producer_name='tf2onnx')
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    subprocess.run([norn, 'convert', '--optimize', path, simple], check=True, stdout=subprocess.DEVNULL)
    onnx.checker.check_model(simple, full_check=True)
    a = roundtrip.Model(path)
    a.free_inputs = list(a.graph.input)
    roundtrip.compare_runs(a, simple, False, (1e-4, 1e-5))
    kinds = [x.op_type for x in onnx.load(simple).graph.node]
    if kinds.count('Transpose') > left:
        raise roundtrip.Difference(f"{kinds.count('Transpose')} transpositions are left (wanted {left}): {kinds}")


def main():
    nets = {'residual': residual(), 'squeeze_and_excite': squeeze_and_excite(), 'encoder_decoder': encoder_decoder(),
            'resized': resized(), 'mobile': mobile(), 'split': split(), 'quantized': quantized(), 'branches': branches()}
    nets.update({'flattened_' + how: flattened(how) for how in ('Flatten', 'Reshape', 'Shape')})
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        for name, made in nets.items():
            try:
                check(sys.argv[1], name, made, tmp)
            except (roundtrip.Difference, subprocess.CalledProcessError) as e:
                bad += 1
                print('BAD', name, e)
    print(f'{len(nets)} graphs, {bad} bad')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
