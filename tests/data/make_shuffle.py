#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the orders that tests/unit/dataset.c expects of norn_dataset_shuffle, from the description in base/philox.h
and the paper named there, written apart from the C code."""

M = 0xFFFFFFFF


def philox(key, counter):
    k, c = list(key), list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M, (a >> 32) ^ c[3] ^ k[1], a & M]
        k = [(k[0] + 0x9E3779B9) & M, (k[1] + 0xBB67AE85) & M]
    return c


def words(seed, word2, word3):
    block = 0
    while True:
        yield from philox((seed & M, seed >> 32), (block & M, block >> 32, word2, word3))
        block += 1


def below(stream, n):
    while True:
        x = next(stream) | next(stream) << 32
        if x < 2**64 // n * n:
            return x % n


def shuffle(n, seed, epoch):
    stream, order = words(seed, epoch, 1), list(range(n))
    for i in range(n - 1, 0, -1):
        k = below(stream, i + 1)
        order[i], order[k] = order[k], order[i]
    return order


assert philox((0, 0), (0, 0, 0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
print(shuffle(8, 0, 0))
print(shuffle(8, 0x0123456789ABCDEF, 3))
