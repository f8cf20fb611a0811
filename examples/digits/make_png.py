#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes png/0.png to png/9.png: of each digit the first image of the test split in digits.npz (needs NumPy)."""
import os
import struct
import zlib

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
data = np.load(os.path.join(here, "digits.npz"))
images, target, test = data["images"], data["target"], data["test_idx"]
train = images[data["train_idx"]]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


for digit in range(10):
    image = images[next(i for i in test if target[i] == digit)]
    assert not (train == image).all(axis=(1, 2)).any()  # nor is there an equal one to train on
    grey = (image.astype(int) * 255 // 16).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    with open(os.path.join(here, "png", f"{digit}.png"), "wb") as f:
        f.write(png)
