#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX's own backend tests as folders for norn verify.

    official.py OUT NAMES PARTS

NAMES has a line KIND/NAME for each case: node (which the onnx package computes when asked), simple, pytorch-converted,
pytorch-operator (which it holds as files), light (models whose weights are computed; the package's runner makes up the
input). A case becomes OUT/KIND/NAME with model.onnx, test_data_set_K and meta.json: the
tolerance that the package asks for, and the operator that it tests. OUT/part_K.txt lists the cases of part K, those of an
operator together, so that its programs are compiled once. When OUT has been made from the same NAMES by the same onnx
and the same script, nothing is done.
"""
import collections
import hashlib
import json
import os
import re
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.runner import Runner

KINDS = ('node', 'simple', 'pytorch-converted', 'pytorch-operator', 'light')
# As in the package's own runner.
TWO_LAST_BITS = {onnx.TensorProto.BFLOAT16: 2**-6}
BODY = re.compile(r'_expanded(_ver\d+)?$')  # the same test, of the function's body


def read_names(path):
    with open(path, encoding='utf-8') as f:
        lines = [line.split('#')[0].strip() for line in f]
    names = collections.defaultdict(set)
    for line in filter(None, lines):
        kind, name = line.split('/')
        names[kind].add(name)
    unknown = set(names) - set(KINDS)
    if unknown:
        sys.exit(f'{path}: kinds {sorted(unknown)} (wanted {", ".join(KINDS)})')
    return names


def proto_of(value, info):
    """A value of a data set, as the message of its type: tensor, sequence or optional."""
    if hasattr(value, 'SerializeToString'):
        return value
    kind = info.type.WhichOneof('value')
    if kind == 'sequence_type':
        return numpy_helper.from_list(list(value), info.name)
    if kind == 'optional_type':
        return numpy_helper.from_optional(value, info.name)
    return numpy_helper.from_array(np.asarray(value), info.name)


def write(path, message):
    with open(path, 'wb') as f:
        f.write(message.SerializeToString())


def write_sets(folder, model, sets):
    for k, (inputs, outputs) in enumerate(sets):
        below = os.path.join(folder, f'test_data_set_{k}')
        os.makedirs(below, exist_ok=True)
        for prefix, values, infos in (('input', inputs, model.graph.input), ('output', outputs, model.graph.output)):
            for j, (value, info) in enumerate(zip(values, infos, strict=True)):
                write(os.path.join(below, f'{prefix}_{j}.pb'), proto_of(value, info))


def write_light(out, name):
    """A model of the package with weights that its own nodes compute, for the input that its runner gives it."""
    data = os.path.join(os.path.dirname(loader.__file__), '..', 'data')
    path = os.path.join(data, 'light', f'light_{name}')
    folder = os.path.join(out, 'light', name)
    below = os.path.join(folder, 'test_data_set_0')
    os.makedirs(below)
    model = onnx.load(path + '.onnx')
    write(os.path.join(folder, 'model.onnx'), model)
    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    for j, info in enumerate(inputs):
        write(os.path.join(below, f'input_{j}.pb'), numpy_helper.from_array(Runner.generate_dummy_data(info), info.name))
    shutil.copy(path + '_output_0.pb', os.path.join(below, 'output_0.pb'))
    with open(os.path.join(data, 'real', f'test_{name}', 'data.json'), encoding='utf-8') as f:
        settings = json.load(f)
    write_meta(folder, '', settings['rtol'], settings['atol'])
    return name


def write_meta(folder, operator, rtol, atol):
    with open(os.path.join(folder, 'meta.json'), 'w', encoding='utf-8') as f:
        json.dump({'operator': operator, 'tolerance': {'rtol': rtol, 'atol': atol}}, f)


def tested(case, model, by_name):
    """The operator that a case tests: of a function's body, the function."""
    whole = by_name.get(BODY.sub('', case.name))
    node = (whole.model if whole and whole.model else model).graph.node
    first = next((n for n in node if n.op_type != 'Constant'), node[0]) if node else None
    return f'{first.domain}.{first.op_type}'.lstrip('.') if first else ''


def write_case(out, kind, case, by_name):
    folder = os.path.join(out, kind, case.name)
    rtol, atol = case.rtol, case.atol
    if case.model_dir:
        shutil.copytree(case.model_dir, folder)
        model = onnx.load(os.path.join(folder, 'model.onnx'), load_external_data=False)
    else:
        os.makedirs(folder)
        model = case.model
        write(os.path.join(folder, 'model.onnx'), model)
        write_sets(folder, model, case.data_sets)
    for v in model.graph.output:
        rtol = max(rtol, TWO_LAST_BITS.get(v.type.tensor_type.elem_type, 0))
    operator = tested(case, model, by_name)
    write_meta(folder, operator, rtol, atol)
    return operator


def write_parts(out, cases, parts):
    """Operators with their cases, the largest first, each to the part that has the fewest yet."""
    lists = [[] for _ in range(parts)]
    for _, paths in sorted(cases.items(), key=lambda c: (-len(c[1]), c[0])):
        min(lists, key=len).extend(paths)
    for k, paths in enumerate(lists):
        with open(os.path.join(out, f'part_{k}.txt'), 'w', encoding='utf-8') as f:
            f.write(''.join(p + '\n' for p in paths))


def main():
    out, names_path, parts = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    made_from = hashlib.sha256(f'{onnx.__version__} {np.__version__} {parts} {out}'.encode())
    for path in (names_path, __file__):
        with open(path, 'rb') as f:
            made_from.update(f.read())
    stamp = os.path.join(out, 'made_from')
    if os.path.exists(stamp):
        with open(stamp, encoding='utf-8') as f:
            if f.read() == made_from.hexdigest():
                return
    names = read_names(names_path)
    shutil.rmtree(out, ignore_errors=True)
    warnings.simplefilter('ignore', RuntimeWarning)  # that infinities come about is what some cases are for
    cases = collections.defaultdict(list)
    for name in sorted(names['light']):
        cases[write_light(out, name)].append(os.path.join(out, 'light', name))
    for kind in KINDS[:-1]:
        by_name = {c.name: c for c in loader.load_model_tests(kind=kind)} if names[kind] else {}
        missing = sorted(names[kind] - set(by_name))
        if missing:
            sys.exit(f'onnx {onnx.__version__} has no case {kind}/{missing[0]} ({len(missing)} are missing)')
        for name in sorted(names[kind]):
            cases[write_case(out, kind, by_name[name], by_name)].append(os.path.join(out, kind, name))
    write_parts(out, cases, parts)
    with open(stamp, 'w', encoding='utf-8') as f:
        f.write(made_from.hexdigest())
    print(f'{sum(map(len, cases.values()))} cases of onnx {onnx.__version__}')


if __name__ == '__main__':
    main()
