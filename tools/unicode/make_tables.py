#!/usr/bin/env python3
"""Makes src/engine/token/unicode_tables.cc from the Unicode Character Database.

Usage: make_tables.py UnicodeData.txt > src/engine/token/unicode_tables.cc

UnicodeData.txt 15.0.0 is in Debian 12's package `unicode-data` (/usr/share/unicode/UnicodeData.txt). 15.0 is what
llama.cpp b11434 carries: a newer one would class some code points otherwise and move token borders.
"""
import sys


def records(path):
    first = None
    for line in open(path, encoding="ascii"):
        f = line.rstrip("\n").split(";")
        cp, name, category = int(f[0], 16), f[1], f[2]
        upper, lower = int(f[12] or "0", 16), int(f[13] or "0", 16)
        if name.endswith(", First>"):
            first = cp
            continue
        for c in range(first if first is not None else cp, cp + 1):
            yield c, category, upper, lower
        first = None


def class_ranges(rows):
    out = []
    for cp, category, _, _ in rows:
        kind = {"L": "kLetter", "N": "kNumber"}.get(category[0])
        if kind is None:
            continue
        if out and out[-1][1] == cp - 1 and out[-1][2] == kind:
            out[-1][1] = cp
        else:
            out.append([cp, cp, kind])
    return out


def case_ranges(pairs):
    """Runs of code points a fixed step (1 or 2) apart with one difference."""
    out = []
    for cp, to in pairs:
        delta = to - cp
        if out:
            r = out[-1]
            step = cp - r[1]
            if r[3] == delta and step in (1, 2) and (r[0] == r[1] or r[2] == step):
                r[1], r[2] = cp, step
                continue
        out.append([cp, cp, 1, delta])
    return out


def wrap(items, width=110):
    line = " "
    for item in items:
        if len(line) + 1 + len(item) > width:
            print(line)
            line = " "
        line += " " + item
    if line.strip():
        print(line)


def main():
    rows = list(records(sys.argv[1]))
    print("// Made by tools/unicode/make_tables.py from UnicodeData.txt 15.0.0. Do not edit.")
    print("// clang-format off")
    print('#include "engine/token/unicode.h"\n')
    print("namespace cresset::engine::unicode_tables {\n")
    print("using enum CharClass;\n")
    classes = class_ranges(rows)
    print(f"const ClassRange kClasses[{len(classes)}] = {{")
    wrap(f"{{0x{a:X}, 0x{b:X}, {k}}}," for a, b, k in classes)
    print("};")
    print(f"const size_t kClassCount = {len(classes)};\n")
    for name, index in (("kToUpper", 2), ("kToLower", 3)):
        runs = case_ranges([(r[0], r[index]) for r in rows if r[index]])
        print(f"const CaseRange {name}[{len(runs)}] = {{")
        wrap(f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in runs)
        print("};")
        print(f"const size_t {name}Count = {len(runs)};\n")
    print("}  // namespace cresset::engine::unicode_tables")


main()
