"""What speculation is worth: the same requests to two servers, one with own_engine.speculation and one without, in turn.
Prints a JSON line for each kind of text: tokens a second of both, their ratio, and that the answers were the same.

usage: drafts.py BIN MODEL.gguf [--rounds 3] [--tokens 160]

  quote    the answer repeats its prompt (it is forced to begin so: what was said is shown twice, and begins again)
  loop     greedy, which repeats itself with small models
  sampled  temperature 1: next to nothing to draft"""
import argparse
import asyncio
import json
import pathlib
import statistics
import sys
import tempfile

import servers
import streams

TEXT = ("The harbour of Westmere was built in 1742 by the brothers Aldous and Piet Harken, who had seen the moles of "
        "Ostend. It has two basins: the inner one, 180 metres long, holds the fishing boats, and the outer one takes "
        "ships of up to 900 tons. A lock of oak, renewed in 1811 and again in 1903, keeps the water at four metres when "
        "the tide is out. The dues were a penny a ton for salt and wine, and nothing for bread.\n")
KINDS = {
    "quote": {"prompt": TEXT * 2, "temperature": 0},
    "loop": {"prompt": "A list of words:", "temperature": 0},
    "sampled": {"prompt": "The history of the town begins", "temperature": 1},
}


def read_arguments(words):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("bin")
    ap.add_argument("model")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--tokens", type=int, default=160)
    return ap.parse_args(words)


async def ask(a, port, kind, seed):
    """(seconds for the whole answer, the answer)"""
    wire = await streams.ask("127.0.0.1", port, {"model": "m", "max_tokens": a.tokens, "ignore_eos": True, "seed": seed,
                                                 "stream": False, **KINDS[kind]}, path="/v1/completions")
    await wire.over
    status, _, at = streams.read_head(wire)
    if status != 200:
        raise SystemExit(f"answered with {status}: {bytes(wire.bytes[at:at + 300])!r}")
    return wire.times[-1] - wire.sent, json.loads(bytes(wire.bytes[at:]))["choices"][0]["text"]


def main(words):
    a = read_arguments(words)
    with tempfile.TemporaryDirectory() as data:
        servers.import_model(a.bin, a.model, data)
        with servers.Server(a.bin, data) as with_drafts, \
                servers.Server(a.bin, data, {"CRESSET_OWN_ENGINE_SPECULATION": "false"}) as without:
            for kind in KINDS:
                seconds = {with_drafts: [], without: []}
                for round_ in range(a.rounds + 1):
                    said = set()
                    for server in (with_drafts, without) if round_ % 2 else (without, with_drafts):
                        took, text = asyncio.run(ask(a, server.port, kind, max(1, round_)))
                        said.add(text)
                        if round_ > 0:  # the first computes the prompt, which the others have in their cache
                            seconds[server].append(took)
                    if len(said) > 1:
                        raise SystemExit(f"{kind}: the answers differ: {said}")
                speed = {s: a.tokens / statistics.median(v) for s, v in seconds.items()}
                print(json.dumps({"bench": "drafts", "model": pathlib.Path(a.model).name, "kind": kind,
                                  "tok_s": round(speed[with_drafts], 1), "tok_s_without": round(speed[without], 1),
                                  "ratio": round(speed[with_drafts] / speed[without], 3), "same_answers": True}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
