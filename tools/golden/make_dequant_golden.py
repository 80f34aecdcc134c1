#!/usr/bin/env python3
"""Writes testing/golden/dequant.txt: blocks of every weight format and the floats that they mean.

The reference is the PyPI package gguf (gguf.quants.dequantize, numpy), the Python side of the format's own project.
Run in an environment with gguf==0.19.0 and numpy, from the root of the checkout:

    python3 tools/golden/make_dequant_golden.py

Bytes are seeded random, except the halves that scale a block: those are finite and of all sizes, subnormal included
(random bytes would make one in thirty of them infinite or NaN, and say nothing about the formula). The first block of
each format is all zero bits, the second has every bit of its integers set; the last ones have halves that are infinite
or NaN. MXFP4's exponents are the least, the greatest and random ones.
"""
import importlib.metadata
import pathlib
import random
import struct

import numpy
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

OUT = pathlib.Path(__file__).resolve().parents[2] / "testing" / "golden" / "dequant.txt"
SEED = 20260419

# name, bytes of a block, where its halves stand, blocks to write
FORMATS = [
    ("F16", 2, [0], 64),
    ("BF16", 2, [], 64),
    ("Q4_0", 18, [0], 10),
    ("Q4_1", 20, [0, 2], 10),
    ("Q5_0", 22, [0], 10),
    ("Q5_1", 24, [0, 2], 10),
    ("Q8_0", 34, [0], 10),
    ("Q4_K", 144, [0, 2], 4),
    ("Q5_K", 176, [0, 2], 4),
    ("Q6_K", 210, [208], 4),
    ("Q2_K", 84, [80, 82], 4),
    ("Q3_K", 110, [108], 4),
    ("IQ4_NL", 18, [0], 10),
    ("IQ4_XS", 136, [0], 4),
    ("MXFP4", 17, [], 14),
]
# By the index of the block, from the third on.
MXFP4_EXPONENTS = [0, 1, 2, 3, 127, 252, 253, 254, 255]
NOT_FINITE = [0x7C00, 0xFC00, 0x7E00, 0xFD55]


def finite_half(rng):
    while True:
        bits = rng.getrandbits(16)
        if bits >> 10 & 0x1F != 0x1F:
            return bits


def finite_bfloat(rng):
    while True:
        bits = rng.getrandbits(16)
        if bits >> 7 & 0xFF != 0xFF:
            return bits


def block(rng, name, size, halves, index):
    if index == 0:
        return bytes(size)
    if name == "BF16":
        return struct.pack("<H", finite_bfloat(rng))
    out = bytearray(b"\xff" * size if index == 1 else rng.randbytes(size))
    for at in halves:
        out[at : at + 2] = struct.pack("<H", finite_half(rng))
    if name == "MXFP4" and 0 <= index - 2 < len(MXFP4_EXPONENTS):
        out[0] = MXFP4_EXPONENTS[index - 2]
    return bytes(out)


def not_finite_block(rng, size, halves, index):
    out = bytearray(rng.randbytes(size))
    for i, at in enumerate(halves):
        # One half of two is not finite, or both are.
        bits = NOT_FINITE[index] if index % 2 == 0 or index // 2 == i else finite_half(rng)
        out[at : at + 2] = struct.pack("<H", bits)
    return bytes(out)


def line(name, raw):
    with numpy.errstate(over="ignore", invalid="ignore"):
        values = dequantize(numpy.frombuffer(raw, dtype=numpy.uint8), Type[name]).astype("<f4").reshape(-1)
    return f"{name} {raw.hex()} " + "".join(f"{b:08x}" for b in values.view("<u4"))


def main():
    rng = random.Random(SEED)
    lines = [
        "# Made by tools/golden/make_dequant_golden.py with gguf " + importlib.metadata.version("gguf")
        + f", numpy {numpy.__version__}, seed {SEED}.",
        "# A line: format, the block's bytes in hex, the bits of its float32 values in hex.",
    ]
    for name, size, halves, count in FORMATS:
        for index in range(count):
            lines.append(line(name, block(rng, name, size, halves, index)))
    for name, size, halves, _ in FORMATS:
        for index in range(len(NOT_FINITE) if size > 2 and halves else 0):
            lines.append(line(name, not_finite_block(rng, size, halves, index)))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(lines) - 2} blocks")


if __name__ == "__main__":
    main()
