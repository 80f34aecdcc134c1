#!/usr/bin/env python3
"""Prints what the PyPI package gguf (0.19.0) reads from GGUF files, for the golden values of gguf_test.cc.

    python3 tools/golden/gguf_directory.py FILE...

For each file: tensors, values in all of them, and the SHA-256 over a line for each tensor in file order:
"NAME FORMAT DIM,DIM,... OFFSET BYTES", with the offset from the start of the file.
"""
import hashlib
import sys

from gguf import GGUFReader

for path in sys.argv[1:]:
    tensors = GGUFReader(path).tensors
    lines = "".join(
        f"{t.name} {t.tensor_type.name} {','.join(str(int(d)) for d in t.shape)} {int(t.data_offset)} {int(t.n_bytes)}\n"
        for t in tensors)
    print(path, len(tensors), sum(int(t.n_elements) for t in tensors), hashlib.sha256(lines.encode()).hexdigest())
