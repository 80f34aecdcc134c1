"""An agent's loop: one conversation that grows turn by turn, each turn resending all of it. How long a turn waits for its
first token, by what its new tokens alone cost at that depth. Prints one JSON line.

usage: agent.py BIN MODEL.gguf [--turns 30] [--turn-tokens 200] [--answer-tokens 33] [--rounds 3]

BIN is Cresset's. Each round is a conversation of its own with a server, then `bench --only prefill` of as many tokens as
the turns had new ones, after as many as they had before: the same kernels and threads, no HTTP, no template, no sampling.
The ratio is that of the medians over turns; medians of the rounds count."""
import argparse
import asyncio
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import servers
import streams

WORDS = "river stone window garden letter morning market engine silver forest bridge candle".split()


def read_arguments(words):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("bin")
    ap.add_argument("model")
    ap.add_argument("--turns", type=int, default=30)
    ap.add_argument("--turn-tokens", type=int, default=200, help="about, that a turn says")
    ap.add_argument("--answer-tokens", type=int, default=33)
    ap.add_argument("--rounds", type=int, default=3)
    return ap.parse_args(words)


async def converse(a, port, seed):
    """For each turn: tokens before, new tokens, seconds to the first token."""
    words = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))
    say = lambda: " ".join(WORDS[next(words) * 7919 % len(WORDS)] for _ in range(a.turn_tokens - 10))
    messages, turns = [], []
    for turn in range(a.turns):
        messages.append({"role": "user", "content": f"Turn {turn} of {seed}: {say()}"})
        wire = await streams.ask("127.0.0.1", port, {
            "model": "default", "messages": messages, "stream": True, "stream_options": {"include_usage": True},
            "temperature": 0, "ignore_eos": True, "max_tokens": a.answer_tokens})
        await wire.over
        status, _, at = streams.read_head(wire)
        if status != 200:
            raise SystemExit(f"answered with {status}: {bytes(wire.bytes[at:at + 300])!r}")
        answer = streams.read_stream(wire, at)
        usage = answer.usage
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        turns.append((cached, usage["prompt_tokens"] - cached, answer.times[0] - wire.sent))
        messages.append({"role": "assistant", "content": answer.text})
    return turns


def prefill_alone(a, data, turns):
    """Seconds for the same numbers of tokens at the same depths."""
    done = subprocess.run([a.bin, "bench", "m", "--data", data, "--only", "prefill", "--rounds", "1", "--lengths",
                           str(round(statistics.median(new for _, new, _ in turns))), "--prefill-depths",
                           ",".join(str(cached) for cached, _, _ in turns)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line["tokens"] / line["tok_s"] for line in lines if line["bench"] == "prefill"]


def main(words):
    a = read_arguments(words)
    ratios, waits, alone, last, news = [], [], [], 0, []
    with tempfile.TemporaryDirectory() as data:
        servers.import_model(a.bin, a.model, data)
        for round_ in range(a.rounds):
            with servers.Server(a.bin, data) as server:
                turns = asyncio.run(converse(a, server.port, round_))[1:]  # the first has nothing before it
            waits.append(statistics.median(wait for _, _, wait in turns))
            alone.append(statistics.median(prefill_alone(a, data, turns)))
            ratios.append(waits[-1] / alone[-1])
            news.append(statistics.median(new for _, new, _ in turns))
            last = sum(turns[-1][:2])
    print(json.dumps({"bench": "agent", "model": pathlib.Path(a.model).name, "turns": a.turns, "tokens_at_the_end": last,
                      "new_tokens_p50": statistics.median(news), "ttft_p50_ms": round(1000 * statistics.median(waits), 1),
                      "alone_p50_ms": round(1000 * statistics.median(alone), 1),
                      "ratio": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
