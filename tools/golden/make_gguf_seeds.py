#!/usr/bin/env python3
"""Writes fuzz/corpus/gguf/: small GGUF files, good ones and the shape of every known attack on a GGUF loader.

    python3 tools/golden/make_gguf_seeds.py

Numbers after # are issues and pull requests of the project named.
good-*: must open. bad-*: must be refused (src/engine/load/gguf_test.cc runs all of them and names the reason).
later-*: a sound file that a later stage (vocabulary, model config) must refuse.
The format is written here by hand, independent of our own writer. Each file is under 4 KiB.
"""
import pathlib
import struct

OUT = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "corpus" / "gguf"

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
TYPE_F32, TYPE_F16, TYPE_Q4_0, TYPE_Q8_0, TYPE_Q4_K = 0, 1, 2, 8, 12
U64_MAX = 2**64 - 1


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return u64(len(raw)) + raw


def kv(key, kind, raw):
    return text(key) + u32(kind) + raw


def array(kind, items):
    return u32(kind) + u64(len(items)) + b"".join(items)


def tensor(name, dims, kind, offset):
    return text(name) + u32(len(dims)) + b"".join(u64(d) for d in dims) + u32(kind) + u64(offset)


def gguf(keys=(), tensors=(), data=b"", alignment=32, version=3, n_keys=None, n_tensors=None):
    out = b"GGUF" + u32(version)
    out += u64(len(tensors) if n_tensors is None else n_tensors) + u64(len(keys) if n_keys is None else n_keys)
    out += b"".join(keys) + b"".join(tensors)
    if data:
        out += b"\0" * (-len(out) % alignment) + data
    return out


ARCH = kv("general.architecture", STRING, text("llama"))
F32_TENSOR = tensor("a", [8], TYPE_F32, 0)


def alignment(kind, raw):
    return gguf([kv("general.alignment", kind, raw)], [F32_TENSOR], b"\0" * 64)


def strings(items):
    return array(STRING, [text(s) for s in items])


def nested(depth):
    return u32(ARRAY) + u64(1) + nested(depth - 1) if depth > 1 else array(U8, [b"\1", b"\2"])


SEEDS = {
    # Sound files.
    "good-empty": gguf(),
    "good-tiny": gguf(
        [ARCH, kv("llama.block_count", U32, u32(1))],
        [tensor("x", [32, 2], TYPE_Q4_0, 0), tensor("y", [4], TYPE_F32, 64)],
        bytes(range(36)) + b"\0" * 28 + struct.pack("<4f", 1, 2, 3, 4)),
    "good-version-2": gguf([ARCH], version=2),
    "good-all-types": gguf([
        kv("u8", U8, b"\xff"), kv("i8", I8, b"\xff"), kv("u16", U16, b"\xff\xff"), kv("i16", I16, b"\0\x80"),
        kv("u32", U32, u32(2**32 - 1)), kv("i32", I32, struct.pack("<i", -(2**31))),
        kv("f32", F32, struct.pack("<f", 0.5)), kv("bool", BOOL, b"\1"), kv("string", STRING, text("grüß")),
        kv("u64", U64, u64(U64_MAX)), kv("i64", I64, struct.pack("<q", -(2**63))),
        kv("f64", F64, struct.pack("<d", 1e300)), kv("strings", ARRAY, strings(["a", "", b"\xff\0"])),
        kv("floats", ARRAY, array(F32, [struct.pack("<f", x) for x in (0, -1.5)])),
        kv("bools", ARRAY, array(BOOL, [b"\0", b"\1"])), kv("empty", ARRAY, array(I32, []))]),
    "good-nested-array": gguf([kv("a", ARRAY, nested(3)), kv("b", ARRAY, u32(ARRAY) + u64(0))]),
    "good-alignment-64": gguf(
        [kv("general.alignment", U32, u32(64))], [F32_TENSOR, tensor("b", [8], TYPE_F32, 64)], b"\1" * 96, 64),
    "good-gap-and-disorder": gguf(
        tensors=[tensor("b", [8], TYPE_F32, 128), tensor("a", [8], TYPE_F32, 0)], data=b"\2" * 160),
    # Sound for the loader, to be refused later.
    # llama.cpp #25969: a byte token that is not a byte makes a heap write.
    "later-byte-token": gguf([ARCH, kv("tokenizer.ggml.tokens", ARRAY, strings(["<0x-1>", "<0xZZ>", "<0x100>"]))]),
    # llama.cpp #25821: more layers than the loader has room for.
    "later-block-count": gguf([ARCH, kv("llama.block_count", U32, u32(100000))]),
    # llama.cpp #26690: an array where a scalar is read, and arrays of narrower items than the reader strides over.
    "later-array-confusion": gguf([
        ARCH, kv("llama.block_count", ARRAY, array(U32, [u32(1)])),
        kv("tokenizer.ggml.tokens", ARRAY, strings(["a", "b"])),
        kv("tokenizer.ggml.scores", ARRAY, array(U8, [b"\1", b"\2"])),
        kv("tokenizer.ggml.token_type", ARRAY, array(I8, [b"\1", b"\1"]))]),
    # Not this format.
    "bad-magic": b"GGML" + gguf()[4:],
    "bad-version-1": gguf(version=1),
    "bad-big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "bad-short-header": gguf()[:20],
    # CVE-2024-21802: more dimensions than the array for them.
    "bad-cve-2024-21802-dims": gguf(tensors=[tensor("a", [1] * 5, TYPE_F32, 0)], data=b"\0" * 64),
    "bad-dims-4-billion": gguf(tensors=[text("a") + u32(2**32 - 1) + u64(8) * 4 + u32(0) + u64(0)], data=b"\0" * 64),
    "bad-dims-none": gguf(tensors=[tensor("a", [], TYPE_F32, 0) + b"\0" * 16], data=b"\0" * 64),
    "bad-dim-zero": gguf(tensors=[tensor("a", [8, 0], TYPE_F32, 0)], data=b"\0" * 64),
    # CVE-2024-21825: array count times item size overflows.
    "bad-cve-2024-21825-array": gguf([kv("a", ARRAY, u32(U64) + u64(2**61 + 1) + b"\0" * 64)]),
    "bad-cve-2024-21825-strings": gguf([kv("a", ARRAY, u32(STRING) + u64(2**60) + text("x") * 4)]),
    # CVE-2024-21836: tensor count times the size of an entry overflows.
    "bad-cve-2024-21836-tensor-count": gguf(tensors=[F32_TENSOR], data=b"\0" * 64, n_tensors=2**61),
    # CVE-2024-23496: string length plus one overflows.
    "bad-cve-2024-23496-string": gguf([kv("a", STRING, u64(U64_MAX) + b"x" * 64)]),
    "bad-cve-2024-23496-key": gguf([u64(U64_MAX) + b"x" * 64]),
    # CVE-2024-23605: key count times the size of a pair overflows.
    "bad-cve-2024-23605-key-count": gguf([ARCH], n_keys=2**60),
    # CVE-2025-49847: a token whose length is negative as a 32-bit integer.
    "bad-cve-2025-49847-token": gguf(
        [kv("tokenizer.ggml.tokens", ARRAY, u32(STRING) + u64(1) + u64(2**31 + 16) + b"x" * 64)]),
    # CVE-2025-53630: the sum of the padded tensor sizes overflows.
    "bad-cve-2025-53630-sum": gguf(
        tensors=[tensor("a", [2**61 - 8], TYPE_F32, 0), tensor("b", [2**61 - 8], TYPE_F32, 2**63),
                 tensor("c", [32], TYPE_F32, 2**64 - 64)], data=b"\0" * 128),
    # CVE-2026-33298, llama.cpp #18674: the product of the dimensions overflows to a small size.
    "bad-cve-2026-33298-product": gguf(tensors=[tensor("a", [2**32, 2**32], TYPE_F32, 0)], data=b"\0" * 64),
    "bad-product-2-42": gguf(tensors=[tensor("a", [1152, 2**42 + 1], TYPE_Q8_0, 0)], data=b"\0" * 64),
    "bad-product-four-dims": gguf(tensors=[tensor("a", [2**16] * 4, TYPE_F16, 0)], data=b"\0" * 64),
    "bad-bytes-overflow": gguf(tensors=[tensor("a", [2**62], TYPE_F32, 0)], data=b"\0" * 64),
    # CVE-2026-7482: a tensor claims more than the file holds, and the reader leaks what lies behind.
    "bad-cve-2026-7482-beyond-file": gguf(tensors=[tensor("a", [1024, 1024], TYPE_F16, 0)], data=b"\0" * 64),
    "bad-one-byte-short": gguf(tensors=[F32_TENSOR], data=b"\0" * 31),
    "bad-no-data": gguf(tensors=[F32_TENSOR]),
    "bad-offset-beyond": gguf(tensors=[tensor("a", [8], TYPE_F32, 4096)], data=b"\0" * 64),
    "bad-offset-overflow": gguf(tensors=[tensor("a", [8], TYPE_F32, 2**64 - 32)], data=b"\0" * 64),
    "bad-offset-misaligned": gguf(tensors=[tensor("a", [8], TYPE_F32, 4)], data=b"\0" * 64),
    "bad-overlap": gguf(tensors=[tensor("a", [16], TYPE_F32, 0), tensor("b", [8], TYPE_F32, 32)], data=b"\0" * 64),
    "bad-overlap-same": gguf(tensors=[F32_TENSOR, tensor("b", [8], TYPE_F32, 0)], data=b"\0" * 64),
    # llama.cpp #24997, #26318: the alignment is unbounded, zero or of the wrong type.
    "bad-alignment-zero": alignment(U32, u32(0)),
    "bad-alignment-huge": alignment(U32, u32(2**31)),
    "bad-alignment-odd": alignment(U32, u32(48)),
    "bad-alignment-4": alignment(U32, u32(4)),
    "bad-alignment-u64": alignment(U64, u64(2**63)),
    "bad-alignment-signed": alignment(I32, struct.pack("<i", -32)),
    "bad-alignment-string": alignment(STRING, text("32")),
    "bad-alignment-array": alignment(ARRAY, array(U32, [u32(32)])),
    # llama.cpp #27188: a reader in Python never comes back from counts that nothing backs.
    "bad-array-2-63": gguf([kv("a", ARRAY, u32(U8) + u64(2**63))]),
    "bad-nested-array-2-62": gguf([kv("a", ARRAY, u32(ARRAY) + u64(1) + u32(ARRAY) + u64(2**62))]),
    "bad-key-count-2-63": gguf(n_keys=2**63),
    "bad-tensor-count-2-63": gguf(n_tensors=2**63),
    # ollama #17042, llama.cpp #19003: a tiny file, a huge allocation.
    "bad-huge-array": gguf([kv("a", ARRAY, u32(U8) + u64(2**40))]),
    "bad-huge-empty-arrays": gguf([kv("a", ARRAY, u32(ARRAY) + u64(2**32) + array(U8, []) * 8)]),
    # Nesting and types.
    "bad-nested-deep": gguf([kv("a", ARRAY, nested(40))]),
    "bad-value-type": gguf([kv("a", 13, u64(0))]),
    "bad-value-type-negative": gguf([kv("a", 2**32 - 1, u64(0))]),
    "bad-item-type": gguf([kv("a", ARRAY, u32(99) + u64(1) + u64(0))]),
    "bad-bool": gguf([kv("a", BOOL, b"\2")]),
    "bad-bool-in-array": gguf([kv("a", ARRAY, array(BOOL, [b"\0", b"\xff"]))]),
    "bad-tensor-type": gguf(tensors=[tensor("a", [256], 16, 0)], data=b"\0" * 256),
    "bad-tensor-type-unknown": gguf(tensors=[tensor("a", [256], 2**32 - 1, 0)], data=b"\0" * 256),
    "bad-row-not-blocks": gguf(tensors=[tensor("a", [576, 4], TYPE_Q4_K, 0)], data=b"\0" * 2048),
    # Names.
    "bad-key-twice": gguf([ARCH, ARCH]),
    # llama.cpp #24884: an empty key ends the process.
    "bad-key-empty": gguf([kv("", U64, u64(0))]),
    "bad-key-not-utf8": gguf([kv(b"a\xff", U8, b"\0")]),
    "bad-tensor-twice": gguf(tensors=[F32_TENSOR, tensor("a", [8], TYPE_F32, 32)], data=b"\0" * 64),
    "bad-tensor-empty-name": gguf(tensors=[tensor("", [8], TYPE_F32, 0)], data=b"\0" * 64),
    "bad-tensor-long-name": gguf(tensors=[tensor("n" * 256, [8], TYPE_F32, 0)], data=b"\0" * 64),
    "bad-tensor-terminal-name": gguf(tensors=[tensor("\x1b]0;owned\a\x9b31m", [7], TYPE_Q8_0, 0)], data=b"\0" * 64),
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.gguf"):
        old.unlink()
    for name, raw in SEEDS.items():
        assert len(raw) < 4096, name
        (OUT / (name + ".gguf")).write_bytes(raw)
    print(f"{OUT}: {len(SEEDS)} files, {sum(map(len, SEEDS.values()))} bytes")


if __name__ == "__main__":
    main()
