#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Round trips through norn, judged by the onnx and onnxruntime packages.

    roundtrip.py TOOL DIR... [--opset N] [--verbose]

Every model.onnx under the folders (or every .onnx file given) is converted by TOOL (tests/onnx/convert_tool.c).
Without --opset the result must say the same as the original: names, types, documentation, metadata, unknown fields,
weights; onnx.checker must accept it where it accepts the original, and ONNX Runtime must compute the same. With --opset
N a refusal is fine, but what is written must pass the checker and compute the same.
"""
import argparse
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import numpy_helper

try:
    import onnxruntime as ort
    ort.set_default_logger_severity(4)
except ImportError:
    ort = None


class Difference(Exception):
    pass


def differ(what, a, b):
    if a != b:
        raise Difference(f'{what}: {str(a)[:200]!r} became {str(b)[:200]!r}')


def strip(names):
    names = list(names)
    while names and not names[-1]:
        names.pop()
    return names


def unknown_fields(message):
    return [(f.field_number, f.wire_type, f.data) for f in UnknownFieldSet(message)]


def entries(props):
    return [(e.key, e.value) for e in props]


def tensor_value(t, base):
    if t.data_location == onnx.TensorProto.EXTERNAL:
        copy = onnx.TensorProto()
        copy.CopyFrom(t)
        onnx.external_data_helper.load_external_data_for_tensor(copy, base)
        copy.data_location = onnx.TensorProto.DEFAULT
        t = copy
    if t.data_type == onnx.TensorProto.STRING:
        return (t.data_type, tuple(t.dims), tuple(t.string_data))
    a = numpy_helper.to_array(t)
    return (t.data_type, tuple(t.dims), a.tobytes())


def sparse_value(s):
    dims = tuple(s.dims)
    a = np.zeros(int(np.prod(dims)), numpy_helper.to_array(s.values).dtype)
    i = numpy_helper.to_array(s.indices)
    a[np.ravel_multi_index(i.T, dims) if i.ndim == 2 else i] = numpy_helper.to_array(s.values)
    return (s.values.data_type, dims, a.tobytes())


def restored(message, base):
    """The message with every tensor in one form: raw data."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for sub in [value] if isinstance(value, Message) else value:
            if isinstance(sub, onnx.TensorProto) and sub.data_type != onnx.TensorProto.STRING:
                raw = tensor_value(sub, base)[2]
                for f in ('float_data', 'int32_data', 'int64_data', 'double_data', 'uint64_data', 'external_data',
                          'data_location'):
                    sub.ClearField(f)
                sub.raw_data = raw
            else:
                restored(sub, base)
    return message


def attribute_key(a, base):
    copy = onnx.AttributeProto()
    copy.CopyFrom(a)
    copy.ClearField('doc_string')
    if copy.type == 0:
        for name, kind in (('f', 1), ('i', 2), ('s', 3), ('t', 4), ('floats', 6), ('ints', 7), ('strings', 8)):
            if name in {f.name for f, _ in copy.ListFields()}:
                copy.type = kind
    if copy.HasField('t'):
        copy.t.name = ''
        copy.t.ClearField('name')
    return restored(copy, base).SerializeToString(deterministic=True)


def defaults(node, opset):
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return {}
    return {k: a.default_value for k, a in schema.attributes.items()}


def compare_type(what, a, b):
    """b may know more than a, and may call an unnamed size by a name."""
    if not a.HasField('tensor_type'):
        return differ(what, a.SerializeToString(), b.SerializeToString())
    if a.tensor_type.elem_type:
        differ(what + ' element type', a.tensor_type.elem_type, b.tensor_type.elem_type)
    differ(what + ' denotation', a.denotation, b.denotation)
    if not a.tensor_type.HasField('shape'):
        return
    if len(a.tensor_type.shape.dim) != len(b.tensor_type.shape.dim):
        return  # norn follows what the operators say, and warns
    for x, y in zip(a.tensor_type.shape.dim, b.tensor_type.shape.dim):
        differ(what + ' dimension denotation', x.denotation, y.denotation)


def compare_values(what, a, b, exact_sizes=False):
    for x, y in zip(a, b):
        name = f'{what} {x.name}'
        differ(what, x.name, y.name)
        differ(name + ' doc', x.doc_string, y.doc_string)
        differ(name + ' metadata', entries(x.metadata_props), entries(y.metadata_props))
        if x.HasField('type'):
            compare_type(name, x.type, y.type)
            if exact_sizes and x.type.HasField('tensor_type'):
                dims = [[(d.dim_value if d.dim_value >= 0 else None) if d.HasField('dim_value') else
                         d.dim_param or None for d in t.type.tensor_type.shape.dim] for t in (x, y)]
                differ(name + ' sizes', dims[0], dims[1])


def element_types(graph):
    types = {t.name: t.data_type for t in graph.initializer}
    types.update({v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.value_info] if v.type.HasField('tensor_type')})
    return types


def types_allowed(node, opset, types):
    """False where an input has a type that the operator does not have in this opset."""
    if node.domain not in ('', 'ai.onnx') or not onnx.defs.has(node.op_type):
        return True
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return True
    for name, param in zip(node.input, schema.inputs):
        if types.get(name) and f'tensor({onnx.TensorProto.DataType.Name(types[name]).lower()})' not in param.types:
            return False
    return True


def compare_nodes(a, b, opset, base, consts):
    types = element_types(a.graph)
    made = {o for n in b.graph.node for o in n.output}
    ours = {tuple(n.output): n for n in b.graph.node}
    read = {i for n in a.graph.node for i in n.input} | {o.name for o in a.graph.output}
    for n in a.graph.node:
        if n.op_type == 'Constant' and n.domain in ('', 'ai.onnx') and n.output[0] in consts:
            m = next(m for m in b.graph.node if n.output[0] in m.output)
            differ(f'Constant {n.output[0]} name', (n.name, n.doc_string), (m.name, m.doc_string))
            differ(f'Constant {n.output[0]} metadata', entries(n.metadata_props), entries(m.metadata_props))
            continue
        if n.op_type in ('Softmax', 'LogSoftmax', 'Hardmax') and opset < 13:
            continue  # another meaning of axis: may have become several nodes
        gradient = n.op_type == 'Gradient' and n.domain == 'ai.onnx.preview.training'
        if gradient or not types_allowed(n, opset, types):
            # becomes the gradient's nodes; is no valid node of this opset: casts are put around it
            differ(f'{n.op_type} of {list(n.output)}: outputs that nothing makes', [],
                   [o for o in n.output if o and o not in made])
            if not gradient and n.op_type not in {m.op_type for m in b.graph.node}:
                raise Difference(f'{n.op_type} of {list(n.output)}: is gone')
            continue
        what = f'node {n.name} {n.op_type} of {list(n.output)}'
        m = ours.get(tuple(n.output)) or ours.get(tuple(strip(n.output)))
        if m is None and n.op_type == 'Dropout' and opset < 10 and n.output[1] not in read:
            m = ours.get(tuple(n.output[:1]))  # a mask that nobody reads goes
        if m is None:
            raise Difference(what + ': is gone')
        differ(what + ' type', (n.op_type, n.domain.replace('ai.onnx', '') if n.domain == 'ai.onnx' else n.domain),
               (m.op_type, m.domain))
        differ(what + ' name', n.name, m.name)
        differ(what + ' doc', n.doc_string, m.doc_string)
        differ(what + ' overload', n.overload, m.overload)
        differ(what + ' metadata', entries(n.metadata_props), entries(m.metadata_props))
        differ(what + ' devices', [d.SerializeToString() for d in n.device_configurations],
               [d.SerializeToString() for d in m.device_configurations])
        differ(what + ' inputs', strip(n.input), strip(m.input))
        old = {x.name: attribute_key(x, base) for x in n.attribute}
        new = {x.name: attribute_key(x, os.path.dirname(b.path)) for x in m.attribute}
        by_default = {k: attribute_key(d, base) if d.name else b'' for k, d in defaults(n, opset).items()}
        for k in old.keys() | new.keys():
            if k == 'consumed_inputs':  # of opsets below 6: has no meaning
                continue
            if opset < 7 and k in ('broadcast', 'axis'):
                continue  # several ways to say one thing
            if k not in new and not by_default:  # no schema here says what is a default
                continue
            x, y = old.get(k, by_default.get(k, b'')), new.get(k, by_default.get(k, b''))
            differ(f'{what} attribute {k}', x, y)


def compare(a, b, base):
    differ('ir_version', a.ir_version, b.ir_version)
    imports = [{('' if o.domain == 'ai.onnx' else o.domain): o.version for o in m.opset_import} for m in (a, b)]
    differ('opsets', *imports)
    for f in ('producer_name', 'producer_version', 'domain', 'model_version', 'doc_string'):
        differ(f, getattr(a, f), getattr(b, f))
    differ('metadata', entries(a.metadata_props), entries(b.metadata_props))
    differ('configuration', [c.SerializeToString() for c in a.configuration],
           [c.SerializeToString() for c in b.configuration])
    differ('training_info', [restored(t, base).SerializeToString(deterministic=True) for t in a.training_info],
           [restored(t, base).SerializeToString(deterministic=True) for t in b.training_info])
    differ('unknown fields', unknown_fields(a.proto), unknown_fields(b.proto))
    differ('unknown fields of the graph', unknown_fields(a.graph), unknown_fields(b.graph))
    differ('graph name', a.graph.name or 'graph', b.graph.name)
    differ('graph doc', a.graph.doc_string, b.graph.doc_string)
    differ('graph metadata', entries(a.graph.metadata_props), entries(b.graph.metadata_props))
    differ('quantization', [q.SerializeToString() for q in a.graph.quantization_annotation],
           [q.SerializeToString() for q in b.graph.quantization_annotation])
    init = {t.name for t in a.graph.initializer} | {s.values.name for s in a.graph.sparse_initializer}
    for m in (a, b):
        known = {t.name for t in m.graph.initializer} | {s.values.name for s in m.graph.sparse_initializer}
        m.free_inputs = [i for i in m.graph.input if i.name not in known]
    differ('inputs', [i.name for i in a.free_inputs], [i.name for i in b.free_inputs])
    differ('overridable inputs', {i.name for i in a.graph.input} & init,
           {i.name for i in b.graph.input} & init)
    compare_values('input', a.free_inputs, b.free_inputs, True)
    differ('outputs', [o.name for o in a.graph.output], [o.name for o in b.graph.output])
    compare_values('output', a.graph.output, b.graph.output)
    theirs = {t.name: t for t in a.graph.initializer}
    ours = {t.name: t for t in b.graph.initializer}
    for name, t in theirs.items():
        if name not in ours:  # a string: kept as a Constant
            m = next((n for n in b.graph.node if list(n.output) == [name]), None)
            if m is None:
                raise Difference(f'initializer {name} is gone')
            differ(f'initializer {name}', tensor_value(t, base), tensor_value(m.attribute[0].t, base))
            continue
        differ(f'initializer {name}', tensor_value(t, base), tensor_value(ours[name], os.path.dirname(b.path)))
        differ(f'initializer {name} doc', t.doc_string, ours[name].doc_string)
        differ(f'initializer {name} metadata', entries(t.metadata_props), entries(ours[name].metadata_props))
    sparse = {s.values.name: s for s in b.graph.sparse_initializer}
    differ('sparse initializers', [s.values.name for s in a.graph.sparse_initializer], list(sparse))
    for s in a.graph.sparse_initializer:
        m = sparse[s.values.name]
        differ(f'sparse initializer {s.values.name}', sparse_value(s), sparse_value(m))
        differ(f'sparse initializer {s.values.name} doc', s.values.doc_string, m.values.doc_string)
    info = {v.name: v for v in b.graph.value_info}
    names = {o for n in b.graph.node for o in n.output}
    for v in a.graph.value_info:
        if v.name in info:
            compare_values('value', [v], [info[v.name]])
        elif v.name in names and v.name not in {o.name for o in b.graph.output}:
            raise Difference(f'value_info {v.name} is gone')
    if not a.functions:
        compare_nodes(a, b, next((v for d, v in imports[0].items() if d == ''), 1), base,
                      {n.output[0] for n in a.graph.node if n.op_type == 'Constant'} & names)


class Model:
    """A ModelProto that takes notes."""

    def __init__(self, path):
        self.__dict__['proto'] = onnx.load(path, load_external_data=False)
        self.__dict__['path'] = path

    def __getattr__(self, name):
        return getattr(self.proto, name)

    def __setattr__(self, name, value):
        self.__dict__[name] = value


def check(path):
    try:
        onnx.checker.check_model(path, full_check=True)
        return ''
    except Exception as e:  # the checker has several kinds
        return str(e).strip().replace('\n', ' ')[:300]


def read_pb(path, value):
    data = open(path, 'rb').read()
    if value.type.HasField('sequence_type'):
        s = onnx.SequenceProto()
        s.ParseFromString(data)
        return numpy_helper.to_list(s)
    if value.type.HasField('optional_type'):
        o = onnx.OptionalProto()
        o.ParseFromString(data)
        return numpy_helper.to_optional(o)
    t = onnx.TensorProto()
    t.ParseFromString(data)
    return numpy_helper.to_array(t)


def made_up_feeds(model):
    """For models without test data: sizes that have names are 2, conditions are tried both ways."""
    rng = np.random.default_rng(1)
    for flag in (True, False):
        feed = {}
        for v in model.free_inputs:
            t = v.type.sequence_type.elem_type if v.type.HasField('sequence_type') else v.type
            t = t.optional_type.elem_type if t.HasField('optional_type') else t
            dtype = onnx.helper.tensor_dtype_to_np_dtype(t.tensor_type.elem_type)
            dims = [d.dim_value if d.HasField('dim_value') else 2 for d in t.tensor_type.shape.dim]
            a = (np.full(dims, flag) if dtype == np.bool_ else np.full(dims, 'a', dtype=object) if dtype == object else
                 rng.normal(0, 2, dims).astype(dtype))
            feed[v.name] = [a] if v.type.HasField('sequence_type') else a
        yield feed


def feeds_of(model):
    folder = os.path.dirname(model.path)
    if not glob.glob(os.path.join(folder, 'test_data_set_*')):
        yield from made_up_feeds(model)
    for ds in sorted(glob.glob(os.path.join(folder, 'test_data_set_*'))):
        feed = {}
        for i, v in enumerate(model.free_inputs):
            p = os.path.join(ds, f'input_{i}.pb')
            if os.path.exists(p):
                feed[v.name] = read_pb(p, v)
        yield feed


class Unsupported(Exception):
    pass


def session(path):
    o = ort.SessionOptions()
    o.log_severity_level = 4
    o.intra_op_num_threads = 1
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, o, providers=['CPUExecutionProvider'])


def run(path, feed, engine):
    try:
        if engine == 'onnxruntime':
            return session(path).run(None, feed)
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(path).run(None, feed)
    except Exception as e:
        raise Unsupported(str(e).strip().replace('\n', ' ')[:300]) from e


def equal(a, b, tolerance=(1e-5, 1e-6)):
    if isinstance(a, list):
        return len(a) == len(b) and all(equal(x, y, tolerance) for x, y in zip(a, b))
    if a is None or b is None:
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in 'OSUb':
        return bool((a == b).all())
    # What became several operators rounds otherwise: relative to the largest element, and by the type's own precision.
    if a.dtype.kind in 'iu' and a.dtype.itemsize == 8: # sizes, places, counts: no rounding
        return np.array_equal(a, b)
    rtol = tolerance[0] + {'float16': 2e-3, 'bfloat16': 2e-2}.get(a.dtype.name, 0)
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.abs(a[np.isfinite(a)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    return np.allclose(a, b, rtol=rtol, atol=tolerance[1] * scale, equal_nan=True)


RANDOM = ('Dropout', 'RandomNormal', 'RandomUniform', 'RandomNormalLike', 'RandomUniformLike', 'Bernoulli', 'Multinomial')


def compare_runs(a, path, exact_engine, tolerance):
    """How the two were compared; '' when nothing could run the original."""
    if any(n.op_type in RANDOM for n in a.graph.node):
        return ''
    used = ''
    for feed in feeds_of(a):
        for engine in ('onnxruntime', 'reference') if ort else ('reference',):
            try:
                want = run(a.path, feed, engine)
            except Unsupported:
                continue
            try:
                got = run(path, feed, engine)
            except Unsupported as e:
                if not exact_engine and engine == 'onnxruntime':
                    continue  # newer than this runtime
                if exact_engine or not ort:
                    raise Difference(f'{engine}: {e}') from e
                try:  # the evaluator cannot run some old operators: BatchNormalization before opset 9
                    got = run(path, feed, 'onnxruntime')
                except Unsupported:
                    raise Difference(f'{engine}: {e}') from e
            if engine == 'reference' and not exact_engine and ort and \
                    not all(equal(x, y, tolerance) for x, y in zip(want, got)):
                try:  # the evaluator has old operators wrong: RoiAlign of opset 10, BatchNormalization of opset 9
                    got = run(path, feed, 'onnxruntime')
                except Unsupported:
                    pass
            for o, x, y in zip(a.graph.output, want, got):
                if not equal(x, y, tolerance):
                    raise Difference(f'{engine}: output {o.name} differs')
            used = engine
            break
    return used


def one(tool, path, opset, tmp):
    out = os.path.join(tmp, 'out.onnx')
    for f in glob.glob(os.path.join(tmp, '*')):
        os.remove(f)
    p = subprocess.run([tool, path, out] + ([str(opset)] if opset else []), capture_output=True, text=True,
                       errors='replace', timeout=300)
    if p.returncode:
        if p.returncode < 0 or not p.stderr.startswith(path if 'load' in p.stderr else ''):
            raise Difference(f'exit {p.returncode}: {p.stderr[:300]}')
        return 'invalid' if check(path) else 'refused', p.stderr.strip()
    a, b = Model(path), Model(out)
    bad = check(path)
    if not bad:
        ours = check(out)
        if ours:
            raise Difference('checker: ' + ours)
    init = {t.name for t in a.graph.initializer}
    a.free_inputs = [i for i in a.graph.input if i.name not in init]
    if not opset:
        compare(a, b, os.path.dirname(path))
    # A file that mixes element types comes out repaired: one type's rounding apart.
    return 'ok', compare_runs(a, out, not opset, (0.05, 0.03) if bad else (1e-5, 1e-6))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('tool')
    ap.add_argument('dirs', nargs='+')
    ap.add_argument('--opset', type=int, default=0)
    ap.add_argument('--verbose', action='store_true')
    ap.add_argument('--refusals', type=int, default=0, help='how many models may be refused (without --opset)')
    o = ap.parse_args()
    count = {'ok': 0, 'refused': 0, 'invalid': 0, 'bad': 0, 'onnxruntime': 0, 'reference': 0, '': 0}
    paths = []
    for d in o.dirs:
        paths += [d] if d.endswith('.onnx') else sorted(glob.glob(os.path.join(d, '**', '*.onnx'), recursive=True))
    with tempfile.TemporaryDirectory() as tmp:
        for path in paths:
            try:
                verdict, detail = one(o.tool, path, o.opset, tmp)
                count[verdict] += 1
                if verdict == 'ok':
                    count[detail] += 1
                elif o.verbose or not o.opset:
                    print('refused', path, detail[:300])
            except Difference as e:
                count['bad'] += 1
                print('BAD', path, e)
    print(f"{len(paths)} models: {count['ok']} fine ({count['onnxruntime']} compared with ONNX Runtime, "
          f"{count['reference']} with the reference evaluator), {count['refused']} refused, {count['invalid']} refused that "
          f"onnx.checker refuses too, {count['bad']} bad")
    return 1 if count['bad'] or (not o.opset and count['refused'] > o.refusals) or not paths else 0


if __name__ == '__main__':
    sys.exit(main())
