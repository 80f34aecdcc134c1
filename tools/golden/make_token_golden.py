#!/usr/bin/env python3
"""Makes testing/golden/tokens-NAME.txt: hashes of the token ids that llama.cpp gives for testing/corpus/tokens.b64.

Usage: make_token_golden.py PROGRAM GGUF_PY SMOLLM2.gguf GEMMA3.gguf      (from the root of the checkout)

PROGRAM   tools/golden/llama_tokenize.cc, built against llama.cpp b11434
GGUF_PY   llama.cpp's gguf-py folder: its gguf_new_metadata.py gives the SmolLM2 file another tokenizer.ggml.pre, so
          that pre-tokenizers without a small model of their own are compared on SmolLM2's vocabulary

A row stands for 16 lines: how many ids, and FNV-1a (64 bits) over the ids as little-endian int32, each line ended
by -1.
"""
import os
import struct
import subprocess
import sys
import tempfile

GROUP = 16


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def write_golden(name, program, model, special, corpus):
    command = [program, model] + (["special"] if special else [])
    out = subprocess.run(command, stdin=open(corpus, "rb"), stdout=subprocess.PIPE, check=True).stdout.decode()
    rows = [[int(i) for i in line.split()] for line in out.split("\n")[:-1]]
    with open("testing/golden/tokens-%s.txt" % name, "w", encoding="ascii") as f:
        f.write("# tools/golden/make_token_golden.py, llama.cpp b11434, %d lines\n" % len(rows))
        for at in range(0, len(rows), GROUP):
            group = rows[at:at + GROUP]
            data = b"".join(struct.pack("<%di" % (len(r) + 1), *r, -1) for r in group)
            f.write("%d %016x\n" % (sum(map(len, group)), fnv(data)))


def main():
    program, gguf_py, smollm, gemma = sys.argv[1:5]
    corpus = "testing/corpus/tokens.b64"
    write_golden("smollm", program, smollm, False, corpus)
    write_golden("smollm-special", program, smollm, True, corpus)
    write_golden("gemma", program, gemma, False, corpus)
    write_golden("gemma-special", program, gemma, True, corpus)
    with tempfile.TemporaryDirectory() as folder:
        for pre in ("gpt-2", "llama-bpe", "qwen2"):
            model = os.path.join(folder, pre + ".gguf")
            subprocess.run([sys.executable, "-m", "gguf.scripts.gguf_new_metadata", "--pre-tokenizer", pre, "--force", smollm, model],
                           env={**os.environ, "PYTHONPATH": gguf_py}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            write_golden(pre, program, model, False, corpus)


main()
