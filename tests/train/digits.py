# SPDX-License-Identifier: Apache-2.0
"""The quick start, judged from outside: digits.py NORN SOURCE. Trains LeNet on the digits as tools/quickstart.sh does and reads
the saved file with other programs: onnx.checker accepts it, ONNX Runtime computes the same scores, and the share of unseen
images that are read rightly is what norn said, 96 % at least."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

norn, source = sys.argv[1:3]
data = os.path.join(source, 'examples', 'digits', 'digits.npz')


def run(*args):
    return subprocess.run([norn, *args], check=True, stdout=subprocess.PIPE, text=True).stdout


with tempfile.TemporaryDirectory() as work:
    path = os.path.join(work, 'digits.onnx')
    said = json.loads(run('train', 'lenet', '--data', data + ':train', '--val', data + ':test', '--epochs', '40', '--lr',
                          '0.001', '--out', path, '--json'))
    onnx.checker.check_model(path, full_check=True)
    npz = np.load(data)
    x = (npz['images'][npz['test_idx']].astype(np.float32) * npz['scale'].astype(np.float32)).reshape(-1, 1, 8, 8)
    y = npz['target'][npz['test_idx']]
    wanted = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
    np.save(os.path.join(work, 'x.npy'), x)
    run('run', path, '--input', 'x=' + os.path.join(work, 'x.npy'), '--output-dir', work)
    got = np.load(os.path.join(work, 'scores.npy'))
    worst = np.abs(got - wanted).max() / np.abs(wanted).max()
    right = float((wanted.argmax(1) == y).mean())
    model = onnx.load(path)
    print(f'opset {model.opset_import[0].version}, IR {model.ir_version}; scores differ by {worst:.2g} at most; '
          f'accuracy {right:.4f}, norn said {said["val_accuracy"]:.4f}')
    assert got.shape == wanted.shape == (360, 10) and worst < 1e-4
    assert abs(right - said['val_accuracy']) < 1e-6
    assert right >= 0.96  # one seed; the mean over five is in docs/training.md
