"""Cresset against llama-bench, interleaved, medians. JSON lines on stdout; progress on stderr.
usage: compare.py --peer LLAMA_BENCH [--cresset BINARY] MODEL.gguf [--lengths 512,2048] [--depths 0,2048] [--gen 128]
                  [--threads 2] [--rounds 3]"""
import argparse, json, os, statistics, subprocess, sys, time

ap = argparse.ArgumentParser()
ap.add_argument("model")
ap.add_argument("--peer", required=True)
ap.add_argument("--cresset", default="build/release/cresset")
ap.add_argument("--lengths", default="128,512,2048")
ap.add_argument("--depths", default="0,2048")
ap.add_argument("--gen", type=int, default=128)
ap.add_argument("--threads", type=int, default=os.cpu_count())
ap.add_argument("--rounds", type=int, default=3)
a = ap.parse_args()


def cpu_seconds():
    """(busy and stolen seconds of the machine, CPU seconds of our finished children and ourselves)"""
    v = [int(x) / os.sysconf("SC_CLK_TCK") for x in open("/proc/stat").readline().split()[1:9]]
    t = os.times()
    return v[0] + v[1] + v[2] + v[5] + v[6] + v[7], t.children_user + t.children_system + t.user + t.system


def peer(kind, tokens, depth):
    best = 0.0
    for fa in ("0", "1"):
        args = ["-p", str(tokens), "-n", "0"] if kind == "prefill" else ["-p", "0", "-n", str(tokens), "-d", str(depth)]
        out = subprocess.run([a.peer, "-m", a.model, "-t", str(a.threads), "-fa", fa, "-r", "1", "-o", "jsonl", *args],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        best = max(best, json.loads(out.splitlines()[0])["avg_ts"])
    return best


def ours(kind, tokens, depth):
    args = ["--lengths", str(tokens)] if kind == "prefill" else ["--depths", str(depth), "--gen", str(tokens)]
    out = subprocess.run([a.cresset, "bench", a.model, "--only", kind, "--rounds", "1", "--threads", str(a.threads), *args],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return next(json.loads(l)["tok_s"] for l in out.splitlines() if json.loads(l)["bench"] == kind)


def sample(measure, *args):
    for _ in range(2):
        (m0, c0), t0 = cpu_seconds(), time.time()
        value = measure(*args)
        (m1, c1), t1 = cpu_seconds(), time.time()
        other = max(0.0, (m1 - m0 - (c1 - c0)) / (t1 - t0))
        if other <= 0.15:
            break
    return value, other


tests = [("prefill", int(n), 0) for n in a.lengths.split(",") if n] + [("decode", a.gen, int(d)) for d in a.depths.split(",") if d]
got = {}
for r in range(a.rounds):
    for test in tests:
        for name, measure in (("cresset", ours), ("llama.cpp", peer)) if r % 2 else (("llama.cpp", peer), ("cresset", ours)):
            value, other = sample(measure, *test)
            got.setdefault(test, {}).setdefault(name, []).append((value, other))
            print(f"# {test} {name}: {value:.1f} tok/s, {other:.2f} cores busy elsewhere", file=sys.stderr, flush=True)
for (kind, tokens, depth), by in got.items():
    med = {name: statistics.median(v for v, _ in values) for name, values in by.items()}
    print(json.dumps({"model": os.path.basename(a.model), "bench": kind, "tokens": tokens, "depth": depth, "threads": a.threads,
                      "cresset_tok_s": round(med["cresset"], 1), "llama_cpp_tok_s": round(med["llama.cpp"], 1),
                      "ratio": round(med["cresset"] / med["llama.cpp"], 2),
                      "other_cores_max": round(max(o for values in by.values() for _, o in values), 2)}), flush=True)
