#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares norn's operators with the definitions in the onnx package.

    registry.py DUMP_TOOL [--rows]

For every operator of an ONNX domain: the versions from opset 7 on are all there; attributes have the names, kinds and
defaults of the newest definition, older ones are marked as old, newer ones say since when; inputs and outputs agree in
number and optionality; the element types are among ONNX's, in every opset (export/onnx/types_since.c). --rows prints
what the rows of that file should be for all of ONNX's operators.
"""
import collections
import json
import subprocess
import sys

from onnx import defs

FIRST = 7  # the oldest opset that norn exports to
NEWEST = defs.onnx_opset_version()
NOT_ATTRIBUTES = ('GRAPH', 'GRAPHS', 'SPARSE_TENSOR')  # captured, or made dense, by the importer
errors = []


def wrong(op, text):
    errors.append(f"{op['domain'] + '.' if op['domain'] else ''}{op['name']}: {text}")


def schemas():
    by_name = collections.defaultdict(list)
    for s in defs.get_all_schemas_with_history():
        by_name[s.domain, s.name].append(s)
    for v in by_name.values():
        v.sort(key=lambda s: s.since_version)
    return by_name


def types_of(param):
    return {t[7:-1] for t in param.types if t.startswith('tensor(')}


def in_force(history):
    """(first opset, schema) of the definitions that opsets from FIRST on use."""
    live = [s for s in history if not s.deprecated]
    old = [s for s in live if s.since_version <= FIRST]
    return ([(FIRST, old[-1])] if old else []) + [(s.since_version, s) for s in live if s.since_version > FIRST]


def kind_of(a):
    return str(a.type).rsplit('.', maxsplit=1)[-1]


def default_of(a):
    d = a.default_value
    return {'INT': d.i, 'FLOAT': d.f, 'STRING': d.s.decode()}.get(kind_of(a)) if d.name else None


def check_versions(op, history):
    want = [s.since_version for _, s in in_force(history)]
    ended = [s.since_version for s in history if s.deprecated]
    have = [v for v in op['versions'] if v >= min(want) and v not in ended]
    if have != want:
        wrong(op, f'versions {op["versions"]} (ONNX has {want} from opset {FIRST} on)')


def check_attributes(op, history):
    newest = [s for s in history if not s.deprecated][-1]
    theirs = {k: a for k, a in newest.attributes.items() if kind_of(a) not in NOT_ATTRIBUTES}
    ours = {a['name']: a for a in op['attributes'] if a['kind'] not in NOT_ATTRIBUTES}
    now = {k for k, a in ours.items() if not a['old']}
    if now != set(theirs):
        wrong(op, f'attributes {sorted(now)} (ONNX has {sorted(theirs)})')
    for k in now & set(theirs):
        a, t = ours[k], theirs[k]
        if a['kind'] != kind_of(t):
            wrong(op, f"attribute {k} is {a['kind']} (ONNX: {kind_of(t)})")
        if a['required'] != t.required:
            wrong(op, f"attribute {k}: required is {a['required']} (ONNX: {t.required})")
        if t.required:
            continue
        d = default_of(t)
        others = {default_of(s.attributes[k]) for _, s in in_force(history) if k in s.attributes}
        if a['optional'] and op['raise'] and len(others) > 1:
            continue  # the default has changed: the hook has to see that nothing was given
        if d is None and kind_of(t) in ('INT', 'FLOAT') and not a['optional']:
            wrong(op, f"attribute {k} has the default {a['default']} (ONNX: none; mark it as optional)")
        if d is not None and (a['optional'] or a['default'] is None or
                              (abs(a['default'] - d) > 1e-6 * abs(d) if kind_of(t) == 'FLOAT' else a['default'] != d)):
            wrong(op, f"attribute {k} has the default {a['default']} (ONNX: {d})")
    for first, s in in_force(history):
        have = {k for k, a in ours.items() if a['old'] or max(a['since'], 1) <= first}
        needed = {k for k, a in ours.items() if not a['old'] and max(a['since'], 1) <= first}
        then = {k for k, a in s.attributes.items() if kind_of(a) not in NOT_ATTRIBUTES}
        if then - have:
            wrong(op, f'opset {first}: attributes {sorted(then - have)} are not known (mark them as old)')
        if needed - then:
            wrong(op, f'opset {first}: attributes {sorted(needed - then)} were not there yet (say since when)')


def check_params(op, history):
    newest = [s for s in history if not s.deprecated][-1]
    for key, theirs in (('inputs', newest.inputs), ('outputs', newest.outputs)):
        ours = [p for p in op[key] if not p['stash']]
        if len(ours) != len(theirs):
            wrong(op, f'{len(ours)} {key} (ONNX has {len(theirs)})')
            continue
        for p, t in zip(ours, theirs):
            optional = t.option == defs.OpSchema.FormalParameterOption.Optional
            variadic = t.option == defs.OpSchema.FormalParameterOption.Variadic
            if p['variadic'] != variadic or (not variadic and p['optional'] != optional):
                wrong(op, f"{key[:-1]} {p['name']}: optional {p['optional']}, variadic {p['variadic']} "
                          f'(ONNX: {optional}, {variadic})')
            more = set(p['types']) - types_of(t)
            if more and (op['name'], key) != ('ZipMap', 'outputs'):  # the tensor stands for a sequence of maps
                wrong(op, f"{key[:-1]} {p['name']} takes {sorted(more)} (ONNX does not)")
    moved = {m['input']: m['since'] for m in op['moved']}
    for first, s in in_force(history):
        then = len(s.inputs)
        have = [max(p['since'], moved.get(i, 0)) <= first for i, p in enumerate(op['inputs'])]
        if sum(have) != then and not (op['raise'] and op['lower']):
            wrong(op, f'opset {first}: {sum(have)} inputs (ONNX had {then}; say since when, or write hooks)')
        for i, p in enumerate(op['inputs'][:then]):
            was = s.inputs[i].option == defs.OpSchema.FormalParameterOption.Optional
            if p['optional'] and have[i] and not was and not p['variadic'] and not op['lower']:
                wrong(op, f"opset {first}: input {p['name']} was not optional (write a hook)")


def check_types(op, history, rows, type_since):
    for first, s in in_force(history):
        last = min([x.since_version for x in history if x.since_version > s.since_version], default=NEWEST + 1) - 1
        for i, p in enumerate(op['inputs'][:len(s.inputs)]):
            later = {t for r in rows if r['op'] == op['name'] and r['since'] > last and r['inputs'] >> i & 1
                     for t in r['types']}
            allowed = {t for t in p['types'] if t not in later and type_since[t] <= last}
            then = types_of(s.inputs[i])
            if allowed - then:
                wrong(op, f"opset {first}: input {p['name']} takes {sorted(allowed - then)} (ONNX did not)")
            if (then & set(p['types'])) - allowed:
                wrong(op, f"opset {first}: input {p['name']} took {sorted((then & set(p['types'])) - allowed)} in ONNX")


def print_rows(by_name, type_since):
    for (domain, name), history in sorted(by_name.items()):
        history = [s for s in history if not s.deprecated]
        found = collections.defaultdict(int)
        for i in range(len(history[-1].inputs) if history and not domain else 0):
            before = None
            for s in history:
                if i >= len(s.inputs):
                    continue
                now = types_of(s.inputs[i]) & set(type_since)
                new = {t for t in now - (before if before is not None else now) if type_since[t] < s.since_version}
                if new and s.since_version > FIRST:
                    found[s.since_version, tuple(sorted(new))] |= 1 << i
                before = now
        for (since, types), inputs in sorted(found.items()):
            print(name, since, inputs, ' '.join(types))


def main():
    dump = json.loads(subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout)
    by_name = schemas()
    if '--rows' in sys.argv:
        return print_rows(by_name, dump['type_since'])
    checked = 0
    for op in dump['operators']:
        if op['domain'] == 'norn':
            continue
        history = by_name.get((op['domain'], op['name']))
        if not history:
            if op['domain'] in ('', 'ai.onnx.ml', 'ai.onnx.preview.training'):
                wrong(op, 'ONNX has no such operator')
            continue
        check_versions(op, history)
        check_attributes(op, history)
        checked += 1
        if op['control']:
            continue  # what they take and make is up to their subgraphs
        check_params(op, history)
        check_types(op, history, dump['types_since'], dump['type_since'])
    for e in errors:
        print(e)
    print(f'{checked} operators compared with onnx opset {NEWEST}: {len(errors)} differences')
    return 1 if errors or not checked else 0


if __name__ == '__main__':
    sys.exit(main())
