#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the small array, picture and data set files in this folder: python3 make_files.py (needs NumPy).

The pictures are encoded here, bit by bit, and the pixels that a reader must find are computed from the samples, so
that the tests compare libpng with something else. Nothing depends on the time or the machine."""
import gzip
import io
import os
import shutil
import struct
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

HERE = os.path.dirname(os.path.abspath(__file__))


def path(*parts):
    p = os.path.join(HERE, *parts)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def put(data, *parts):
    with open(path(*parts), "wb") as f:
        f.write(data)


def array_bytes(a, version=(1, 0)):
    f = io.BytesIO()
    npy.write_array(f, np.asanyarray(a), version=version, allow_pickle=False)
    return f.getvalue()


# --- .npy: element i (row-major) is 3 i - 4 for signed types and floats, 3 i for unsigned ones, i % 2 for bool


def sample(dtype, shape=(2, 3)):
    i = np.arange(int(np.prod(shape))).reshape(shape)
    kind = np.dtype(dtype).kind
    return (i % 2 if kind == "b" else 3 * i if kind == "u" else 3 * i - 4).astype(dtype)


def make_npy():
    for d in ["?", "i1", "u1"]:
        put(array_bytes(sample(d)), "npy", np.dtype(d).name + ".npy")
    for d in ["i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8"]:
        for order, name in [("<", "le"), (">", "be")]:
            put(array_bytes(sample(order + d)), "npy", f"{np.dtype(d).name}_{name}.npy")
    put(array_bytes(np.asfortranarray(sample("<i2", (2, 3, 4)))), "npy", "fortran.npy")
    put(array_bytes(np.asfortranarray(sample(">f4", (3, 5)))), "npy", "fortran_be.npy")
    put(array_bytes(sample("<f4", ())), "npy", "scalar.npy")
    put(array_bytes(sample("<f4", (2, 0, 3))), "npy", "empty.npy")
    put(array_bytes(sample("<f4"), (2, 0)), "npy", "version2.npy")
    put(array_bytes(sample("<f4"), (3, 0)), "npy", "version3.npy")
    put(array_bytes(sample("<f4", (1,) * 8)), "npy", "rank8.npy")
    put(array_bytes(sample("<f4", (1,) * 9)), "npy", "refused_rank9.npy")
    put(array_bytes(np.zeros(2, "<c8")), "npy", "refused_complex.npy")
    put(array_bytes(np.array(["ab", "c"])), "npy", "refused_string.npy")
    put(array_bytes(np.zeros(2, "S3")), "npy", "refused_bytes.npy")
    put(array_bytes(np.zeros(2, "V2")), "npy", "refused_raw.npy")
    put(array_bytes(np.zeros(2, "M8[s]")), "npy", "refused_date.npy")
    put(array_bytes(np.zeros(2, [("a", "<f4"), ("b", "<i2")])), "npy", "refused_record.npy")
    f = io.BytesIO()
    npy.write_array(f, np.array([{}, None], dtype=object), allow_pickle=True)
    put(f.getvalue(), "npy", "refused_object.npy")


# --- .npz


def make_zip(members, method):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", method) as z:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            z.writestr(info, data)
    return f.getvalue()


def patch_central(data, offset, value):
    """Overwrites bytes of the first central directory record and the same field of the local header."""
    data = bytearray(data)
    at = data.index(b"PK\1\2")
    data[at + offset : at + offset + len(value)] = value
    data[offset - 2 : offset - 2 + len(value)] = value
    return bytes(data)


def make_npz():
    a = [("a.npy", array_bytes(sample("<f4"))), ("layer.0/b.npy", array_bytes(sample("<i8", (4,)))),
         ("notes.txt", b"not an array")]
    put(make_zip(a, zipfile.ZIP_STORED), "npz", "stored.npz")
    put(make_zip(a, zipfile.ZIP_DEFLATED), "npz", "deflated.npz")
    put(make_zip(a[:1], zipfile.ZIP_DEFLATED), "npz", "one.npz")
    put(make_zip(a[2:], zipfile.ZIP_STORED), "npz", "none.npz")
    put(make_zip(a[:1], zipfile.ZIP_BZIP2), "npz", "bad_bzip2.npz")
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        put(make_zip([a[0], a[0]], zipfile.ZIP_STORED), "npz", "bad_twice.npz")
    one = make_zip(a[:1], zipfile.ZIP_DEFLATED)
    put(patch_central(one, 16, b"\1\2\3\4"), "npz", "bad_crc.npz")
    put(patch_central(one, 24, struct.pack("<I", 4000000000)), "npz", "bad_size.npz")
    stored = make_zip(a[:1], zipfile.ZIP_STORED)
    put(patch_central(stored, 8, b"\1"), "npz", "bad_encrypted.npz")
    # A .npy that asks for 64 GiB, in a member that claims as much, deflated from almost nothing.
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 34,)})
    big = make_zip([("a.npy", head.getvalue())], zipfile.ZIP_DEFLATED)
    put(patch_central(big, 24, struct.pack("<I", 0xFFFFFF00)), "npz", "bad_bomb.npz")
    big = make_zip([("a.npy", head.getvalue())], zipfile.ZIP_STORED)
    put(patch_central(big, 20, struct.pack("<II", 0xFFFFFF00, 0xFFFFFF00)), "npz", "bad_stored.npz")
    # The end record of a 64-bit archive that announces 2^60 members.
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 60, 1 << 60, 46, 0)
    end = b"PK\6\7" + struct.pack("<IQI", 0, 46, 1)
    end += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    put(b"PK\1\2".ljust(46, b"\0") + end64 + end, "npz", "bad_members.npz")


# --- PNG

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_rows(samples, depth):
    out = bytearray()
    for row in samples:
        out.append(0)  # no filter
        bits = "".join(format(int(v), f"0{depth}b") for v in row.ravel())
        bits += "0" * (-len(bits) % 8)
        out += int(bits, 2).to_bytes(len(bits) // 8, "big")
    return bytes(out)


def png_bytes(samples, colour, depth, interlace=False, palette=None, trns=None, extra=b""):
    h, w = samples.shape[:2]
    if interlace:
        raw = b""
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            if part.size:
                raw += png_rows(part, depth)
    else:
        raw = png_rows(samples, depth)
    out = b"\x89PNG\r\n\x1a\n"
    out += png_chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlace)))
    out += extra
    if palette is not None:
        out += png_chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if trns is not None:
        out += png_chunk(b"tRNS", trns)
    return out + png_chunk(b"IDAT", zlib.compress(raw, 9)) + png_chunk(b"IEND", b"")


def to_8(v, depth):
    v = v.astype(np.int64)
    return ((v + 128) // 257 if depth == 16 else v * (255 // (2**depth - 1))).astype(np.uint8)


def make_png():
    rng = np.random.RandomState(3)
    expected = {}
    h, w = 7, 9
    names = {0: "grey", 2: "rgb", 3: "palette", 4: "greya", 6: "rgba"}
    depths = {0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}
    for colour in names:
        for depth in depths[colour]:
            v = rng.randint(0, 2**depth, (h, w, CHANNELS[colour]))
            palette = rng.randint(0, 256, (2**depth, 3)) if colour == 3 else None
            pixels = palette[v[:, :, 0]].astype(np.uint8) if colour == 3 else to_8(v, depth)
            for interlace in (False, True):
                name = names[colour] + str(depth) + ("_adam7" if interlace else "")
                put(png_bytes(v, colour, depth, interlace, palette), "png", name + ".png")
                expected[name] = pixels
            # The same with a transparent colour, or transparent palette entries.
            if colour == 3:
                trns = rng.randint(0, 256, 2)
                alpha = np.r_[trns, [255] * (2**depth - 2)][v[:, :, 0]]
                trns = bytes(trns.tolist())
            elif colour in (0, 2):
                clear = v[2, 3]
                alpha = np.where((v == clear).all(axis=2), 0, 255)
                trns = struct.pack(f">{len(clear)}H", *clear.tolist())
            else:
                continue
            name = names[colour] + str(depth) + "_trns"
            put(png_bytes(v, colour, depth, False, palette, trns), "png", name + ".png")
            expected[name] = np.dstack([pixels, alpha]).astype(np.uint8)
    # Side chunks that are skipped, one of them larger than libpng takes in by default.
    text = png_chunk(b"tEXt", b"Comment\0hello") + png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(9 << 20), 9))
    put(png_bytes(np.array([[[7]]]), 0, 8, extra=text + png_chunk(b"prVt", b"private")), "png", "side_chunks.png")
    expected["side_chunks"] = np.array([[[7]]], np.uint8)
    put(png_bytes(np.array([[[1, 2, 3]]]), 2, 8, True), "png", "one_pixel_adam7.png")
    expected["one_pixel_adam7"] = np.array([[[1, 2, 3]]], np.uint8)
    put(make_zip([(k + ".npy", array_bytes(v)) for k, v in expected.items()], zipfile.ZIP_DEFLATED), "png",
        "expected.npz")


# --- IDX and data sets


def idx_bytes(a):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[a.dtype.str[1:]]
    return struct.pack(">BBBB", 0, 0, code, a.ndim) + struct.pack(f">{a.ndim}I", *a.shape) + a.astype(
        a.dtype.newbyteorder(">")).tobytes()


def make_idx():
    for d in ["u1", "i1", "i2", "i4", "f4", "f8"]:
        put(idx_bytes(sample(d)), "idx", np.dtype(d).name + ".idx")
    put(gzip.compress(idx_bytes(sample("i4")), mtime=0), "idx", "int32.idx.gz")
    packed = gzip.compress(idx_bytes(sample("i4")), mtime=0)
    put(packed[:-8] + bytes(4) + packed[-4:], "idx", "bad_crc.idx.gz")
    put(gzip.compress(idx_bytes(sample("i4")) + b"more", mtime=0), "idx", "bad_longer.idx.gz")
    put(gzip.compress(b"\0\0\x08\1\xff\xff\xff\xff", mtime=0), "idx", "bad_bomb.idx.gz")
    # A data set: image i is filled with 10 i, 10 i + 1, ... and has the label i % 3.
    x = (10 * np.arange(6)[:, None, None] + np.arange(6).reshape(2, 3)).astype("u1")
    y = (np.arange(6) % 3).astype("u1")
    put(idx_bytes(x[:4]), "mnist", "train-images-idx3-ubyte")
    put(gzip.compress(idx_bytes(y[:4]), mtime=0), "mnist", "train-labels-idx1-ubyte.gz")
    put(gzip.compress(idx_bytes(x[4:]), mtime=0), "mnist", "t10k-images.idx3-ubyte.gz")
    put(idx_bytes(y[4:]), "mnist", "t10k-labels.idx1-ubyte")
    put(idx_bytes(x), "mnist", "lonely-images-idx3-ubyte")


def make_folders():
    # folder/CLASS/N.png, rgb 3 x 2: pixel values are 100 class + 10 file + position.
    for c, name in enumerate(["1", "2", "10"]):
        for k, file in enumerate(["1.png", "2.png", "10.png"][: 2 + c % 2]):
            v = 50 * c + 20 * k + np.arange(18).reshape(2, 3, 3)
            put(png_bytes(v, 2, 8), "folder", "train", name, file)
    put(b"no picture", "folder", "train", "2", "notes.txt")
    for name, shape in [("a", (2, 3, 3)), ("b", (3, 3, 3))]:
        put(png_bytes(np.zeros(shape, int), 2, 8), "folder", "sizes", name, "p.png")
    for name, c in [("a", 2), ("b", 0)]:
        put(png_bytes(np.zeros((2, 3, CHANNELS[c]), int), c, 8), "folder", "channels", name, "p.png")
    put(b"no picture", "folder", "no_pictures", "a", "notes.txt")
    put(b"", "folder", "no_classes", "notes.txt")


def make_sets():
    x = np.arange(24).reshape(6, 2, 2)
    y = np.arange(6) % 3

    def save(name, **arrays):
        put(make_zip([(k + ".npy", array_bytes(np.asarray(v))) for k, v in arrays.items()], zipfile.ZIP_DEFLATED), "sets",
            name + ".npz")

    save("uint8", x=x.astype("u1"), y=y.astype("u1"))
    save("scaled", x=x.astype("u1"), y=y.astype("i4"), scale=np.float64(0.0625))
    save("float64", x=x * 0.5, y=y.astype("i8"))
    save("float16", x=(x * 0.5).astype("f2"), y=(y * 0.5).astype("f8"))
    save("bool", x=x % 2 == 1, y=y % 2 == 1)
    save("words", x=x.astype("i4"), y=y.astype("u2"))
    save("splits", images=x.astype("u1"), target=y.astype("i8"), train_idx=np.array([5, 0, 3, 1]), test_idx=np.array([4, 2], "i4"),
         wild_idx=np.array([0, 6]), minus_idx=np.array([-1]), none_idx=np.array([], "i8"))
    save("named", x_train=x[:4].astype("f4"), y_train=y[:4, None], x_test=x[4:].astype("f4"), y_test=y[4:, None])
    save("maps", x=x.astype("f4"), y=np.stack([y, y + 1], 1).astype("u1"))
    save("signs", x=x.astype("f4"), y=(y - 1).astype("i1"))
    save("bad_counts", x=x.astype("f4"), y=y[:5])
    save("bad_scale", x=x.astype("u1"), y=y, scale=np.zeros(2))
    save("bad_scale0", x=x.astype("u1"), y=y, scale=np.float32(0))
    save("bad_names", a=x, b=y)
    save("bad_scalar", x=np.float32(1), y=y)
    save("bad_empty", x=x[:0].astype("f4"), y=y[:0])


for folder in ["npy", "npz", "png", "idx", "mnist", "folder", "sets"]:
    shutil.rmtree(os.path.join(HERE, folder), ignore_errors=True)
make_npy()
make_npz()
make_png()
make_idx()
make_folders()
make_sets()
