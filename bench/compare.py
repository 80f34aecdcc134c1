"""Cresset against llama.cpp on the same files, machine and thread count: interleaved rounds, medians, JSON lines.

usage: compare.py --peer DIR [MODEL.gguf ...] [FLAGS]
DIR holds bin/llama-bench, bin/llama-batched-bench and bin/llama-server; without MODELs, all of DIR/models are measured.
Every ratio is Cresset's figure by llama.cpp's (better of flash attention on and off): speeds should be above 1, times
and memory below."""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import sys

import machine
import sides

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ("prefill", "decode", "batch", "busy", "cold")


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def read_arguments(words):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="*", metavar="MODEL.gguf")
    ap.add_argument("--peer", metavar="DIR", help="llama.cpp, built for this CPU")
    ap.add_argument("--peer-avx2", metavar="DIR", help="llama.cpp built without AVX-512: against --kernels avx2")
    ap.add_argument("--cresset", default=ROOT / "build/release/cresset", metavar="BINARY")
    ap.add_argument("--only", default="prefill,decode,batch,cold", help=f"of {','.join(PARTS)}")
    ap.add_argument("--busy", action="store_true", help="also decode beside a process that keeps one core busy")
    ap.add_argument("--lengths", default="512,2048,8192", type=numbers)
    ap.add_argument("--depths", default="0,2048", type=numbers)
    ap.add_argument("--gen", default=128, type=int, help="tokens to decode")
    ap.add_argument("--batches", default="16", type=numbers, help="sequences at once")
    ap.add_argument("--batch-depth", default=128, type=int, help="tokens of context that each of them has")
    ap.add_argument("--threads", default=len(os.sched_getaffinity(0)), type=int)
    ap.add_argument("--rounds", default=3, type=int)
    ap.add_argument("--out", metavar="FILE", help="append the lines to this file too")
    ap.add_argument("--table", action="store_true", help="print a table after the lines")
    ap.add_argument("--render", nargs="+", metavar="FILE", help="print the table of these results; measure nothing")
    a = ap.parse_args(words)
    a.only = [part for part in a.only.split(",") if part] + (["busy"] if a.busy else [])
    if unknown := set(a.only) - set(PARTS):
        ap.error(f"--only: no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not a.render and not a.peer and not a.peer_avx2:
        ap.error("needs --peer DIR or --peer-avx2 DIR")
    if not a.render and not a.models:
        a.models = sorted((pathlib.Path(a.peer or a.peer_avx2) / "models").glob("*.gguf"))
    for model in a.models:
        if not pathlib.Path(model).is_file():
            ap.error(f"no such file: {model}")
    return a


def tests_of(a):
    def test(bench, tokens, depth=0, sequences=1, busy=False):
        return {"bench": bench, "tokens": tokens, "depth": depth, "sequences": sequences, "busy": busy}
    out = []
    if "prefill" in a.only:
        out += [test("prefill", n) for n in a.lengths]
    if "decode" in a.only:
        out += [test("decode", a.gen, d) for d in a.depths]
    if "batch" in a.only:
        out += [test("batch", a.gen, a.batch_depth, n) for n in a.batches]
    if "busy" in a.only:
        out += [test("decode", a.gen, busy=True)]
    if "cold" in a.only:
        out += [test("cold", 1)]
    return out


def sample(side, test, variant):
    """One sample; one that others disturbed is taken once more, and the quieter of the two counts."""
    taken = []
    for _ in range(2):
        with machine.Neighbour() if test["busy"] else contextlib.nullcontext() as neighbour:
            watch = machine.Watch(neighbour)
            figures = side.sample(test, variant)
            taken.append((watch.other_cores(), figures))
        if taken[-1][0] <= machine.OTHER_CORES_MAX:
            break
    other, figures = min(taken, key=lambda t: t[0])
    what = " ".join(f"{k} {v:.1f}" for k, v in figures.items() if k in ("tok_s", "exec_to_first_token_ms", "rss_mib"))
    label = " ".join(str(test[k]) for k in ("bench", "tokens", "depth", "sequences")) + (" busy" if test["busy"] else "")
    print(f"# {label}: {side.name} {variant}: {what}, {other:.2f} cores busy elsewhere", file=sys.stderr, flush=True)
    return {**figures, "other_cores": other}


def run_rounds(tests, pair, rounds):
    """{index of test: {side: {variant: [sample, ...]}}}; who goes first changes with each round."""
    got = {}
    for r in range(rounds):
        for i, test in enumerate(tests):
            runs = [(side, variant) for side in pair for variant in side.variants(test)]
            for side, variant in runs if r % 2 else reversed(runs):
                by = got.setdefault(i, {}).setdefault(side.name, {})
                by.setdefault(variant, []).append(sample(side, test, variant))
    return got


def median(samples, key):
    return statistics.median(s[key] for s in samples)


def spread(samples, key):
    return {"min": round(min(s[key] for s in samples), 1), "max": round(max(s[key] for s in samples), 1)}


def report(test, by_side, common):
    ours = by_side["cresset"][""]
    every = [s for variants in by_side.values() for samples in variants.values() for s in samples]
    tail = {"n": len(ours), "other_cores_max": round(max(s["other_cores"] for s in every), 2),
            "disturbed": sum(s["other_cores"] > machine.OTHER_CORES_MAX for s in every)}
    if test["bench"] == "cold":
        theirs = by_side["llama.cpp"]["auto"]
        line = {"bench": "cold_start", "page_cache": "warm"}
        for key in ("exec_to_ready_ms", "exec_to_first_token_ms", "rss_mib"):
            line[f"cresset_{key}"] = round(median(ours, key), 1)
            line[f"llama_cpp_{key}"] = round(median(theirs, key), 1)
        line["ratio"] = round(median(ours, "exec_to_first_token_ms") / median(theirs, "exec_to_first_token_ms"), 2)
        line["rss_ratio"] = round(median(ours, "rss_mib") / median(theirs, "rss_mib"), 2)
        return {**common, **line, **tail}
    best = max(by_side["llama.cpp"], key=lambda v: median(by_side["llama.cpp"][v], "tok_s"))
    theirs = by_side["llama.cpp"][best]
    line = {"bench": test["bench"]}
    if test["bench"] == "batch":
        line["sequences"] = test["sequences"]
    line |= {"tokens": test["tokens"], "depth": test["depth"]}
    if test["busy"]:
        line["busy"] = True
    line |= {"cresset_tok_s": round(median(ours, "tok_s"), 1), "llama_cpp_tok_s": round(median(theirs, "tok_s"), 1),
             "ratio": round(median(ours, "tok_s") / median(theirs, "tok_s"), 2),
             "cresset_range": spread(ours, "tok_s"), "llama_cpp_range": spread(theirs, "tok_s"),
             "llama_cpp_flash_attention": int(best)}
    for key in ("peak_share", "bandwidth_share"):
        if all(key in s for s in ours):
            line[key] = round(median(ours, key), 3)
    if "kernels" in ours[0]:
        line["kernels"] = ours[0]["kernels"]
    return {**common, **line, **tail}


def what_of(line):
    name = line["bench"].replace("_", " ")
    if line["bench"] == "batch":
        return f"batch of {line['sequences']}, {line['depth']} before"
    if line["bench"] == "prefill":
        return f"prefill {line['tokens']}" + (f" after {line['depth']}" if line["depth"] else "")
    if line["bench"] == "decode":
        return f"decode after {line['depth']}" + (", busy core" if line.get("busy") else "")
    return name


def table(lines):
    rows = [("model", "isa", "figure", "cresset", "llama.cpp", "ratio", "share of the machine")]
    for line in lines:
        if "bench" not in line:
            continue
        head = (line["model"].removesuffix(".gguf"), line.get("isa", ""))
        if line["bench"] == "cold_start":
            for key, unit, ratio in (("exec_to_first_token_ms", "ms", "ratio"), ("rss_mib", "MiB", "rss_ratio")):
                rows.append((*head, key.removesuffix("_ms").removesuffix("_mib").replace("_", " "), f"{line['cresset_' + key]} {unit}",
                             f"{line['llama_cpp_' + key]} {unit}", f"{line[ratio]:.2f}", ""))
            continue
        shares = [f"{100 * line[k]:.0f} % of the {name}" for k, name in (("peak_share", "int8 peak"), ("bandwidth_share", "bandwidth"))
                  if k in line]
        rows.append((*head, what_of(line), str(line["cresset_tok_s"]), str(line["llama_cpp_tok_s"]), f"{line['ratio']:.2f}",
                     ", ".join(shares)))
    return "\n".join("| " + " | ".join(row) + " |" + ("\n" + "|---" * len(row) + "|" if i == 0 else "")
                     for i, row in enumerate(rows))


def main(words):
    a = read_arguments(words)
    if a.render:
        lines = [json.loads(l) for path in a.render for l in pathlib.Path(path).read_text().splitlines() if l]
        print(table(lines))
        return
    lines, tests = [], tests_of(a)
    for model in a.models:
        for isa, peer, kernels in (("native", a.peer, None), ("avx2", a.peer_avx2, "avx2")):
            if not peer:
                continue
            theirs = sides.LlamaCpp(peer, model, a.threads)
            common = {"date": datetime.date.today().isoformat(), "machine": machine.describe(),
                      "commit": machine.commit(ROOT), "peer": f"llama.cpp {theirs.version()}",
                      "model": os.path.basename(model), "isa": isa, "threads": a.threads}
            got = run_rounds(tests, (sides.Cresset(a.cresset, model, a.threads, kernels), theirs), a.rounds)
            for i, test in enumerate(tests):
                line = report(test, got[i], common)
                lines.append(line)
                print(json.dumps(line), flush=True)
                if a.out:
                    with open(a.out, "a") as out:
                        out.write(json.dumps(line) + "\n")
    if a.table:
        print(table(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
