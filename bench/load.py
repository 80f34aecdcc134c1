"""A load for a server that speaks OpenAI's chat dialect: who asks, how often, how it is read, and whether every stream
is what it should be. Prints one JSON line; exits with 1 where the server did something that it must not.

usage: load.py [--url http://127.0.0.1:7171] (--clients N | --rate PER_S | --beside-long N) [FLAGS]

Closed loop: N clients, each asks again when it has its answer. Open loop: arrivals at random (Poisson) whatever the
server does. --beside-long: N chats stream while one long prompt arrives; the worst gap in a stream meanwhile counts.

Kinds of request (--mix, a weight each):
  shared      a question after a beginning of --prefix-tokens that all share
  distinct    a question after a beginning of its own
  long        a prompt of --long-tokens
  disconnect  leaves somewhere in its answer          cancel    leaves before there is one
  slow        stops reading for a while, then goes on stuck     stops for --stuck-seconds and expects to be dropped
  oversize    a prompt of 40,000 tokens (400), or a body beyond the limit (413)

Greedy answers of the same request must be equal, in whatever company: that finds cross-talk. 429 and 503 are counted
as refused where they say Retry-After, and as errors where they do not."""
import argparse
import asyncio
import collections
import json
import math
import pathlib
import random
import re
import resource
import sys
import time
import urllib.parse

import streams
from streams import Wrong

KINDS = ("shared", "distinct", "long", "disconnect", "cancel", "slow", "stuck", "oversize")
CHATS = ("shared", "distinct")
QUESTIONS = 24  # so that the same is asked again
ANSWER_TIME_MAX_S = 300
WORDS = "river stone window garden letter morning market engine silver forest bridge candle".split()


def read_arguments(words):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--url", default="http://127.0.0.1:7171")
    ap.add_argument("--key", help="an API key")
    ap.add_argument("--model", default="default")
    who = ap.add_mutually_exclusive_group(required=True)
    who.add_argument("--clients", type=int, metavar="N")
    who.add_argument("--rate", type=float, metavar="PER_S")
    who.add_argument("--beside-long", type=int, metavar="N")
    ap.add_argument("--seconds", type=float, default=30, help="how long new requests are made")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--mix", default="shared=4,distinct=4", help="KIND=WEIGHT,... or all")
    ap.add_argument("--tokens", type=int, default=64, help="of an answer")
    ap.add_argument("--prefix-tokens", type=int, default=430, help="about, of the beginnings")
    ap.add_argument("--long-tokens", type=int, default=1500, help="about, of a long prompt")
    ap.add_argument("--slow-tokens", type=int, default=400, help="of an answer to a reader that is slow")
    ap.add_argument("--stuck-seconds", type=float, default=75, help="that a stuck reader does not read")
    ap.add_argument("--pid", type=int, help="the server's: its resident memory is watched")
    ap.add_argument("--minute", type=float, default=60, metavar="S", help="memory is compared this often")
    ap.add_argument("--memory-within", type=float, metavar="PERCENT", help="of the end of the first minute, or it fails")
    a = ap.parse_args(words)
    url = urllib.parse.urlsplit(a.url)
    a.host, a.port = url.hostname, url.port or 80
    if a.mix == "all":
        a.mix = "shared=6,distinct=6,long=1,disconnect=2,cancel=1,slow=0.5,stuck=0.4,oversize=0.5"
    a.mix = {kind: float(weight) for kind, _, weight in (part.partition("=") for part in a.mix.split(","))}
    if unknown := set(a.mix) - set(KINDS):
        ap.error(f"--mix: no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return a


def filler(seed, tokens):
    """Words that are a token each, or nearly."""
    r = random.Random(seed)
    return " ".join(r.choice(WORDS) for _ in range(int(tokens * 0.95)))


class Load:
    def __init__(self, a):
        self.a = a
        self.memory = streams.Memory()
        self.shared = filler("shared", a.prefix_tokens)
        self.count = collections.Counter()
        self.refused = collections.Counter()
        self.errors = []
        self.first, self.gaps = [], []  # seconds, of whole chats
        self.tokens = 0
        self.prompt_tokens = self.cached_tokens = 0
        self.rss = []

    def body(self, kind, number):
        a = self.a
        begin, tokens = self.shared, a.tokens
        if kind == "distinct":
            begin = filler(f"distinct {number}", a.prefix_tokens)
        elif kind == "long":
            begin = filler(f"long {number}", a.long_tokens)
        elif kind == "oversize":
            begin = filler("oversize", 40_000)
        body = {"model": a.model, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
                "max_tokens": tokens, "messages": [{"role": "system", "content": begin},
                                                   {"role": "user", "content": f"Tell me a fact about the number {number}."}]}
        if kind in ("slow", "stuck"):  # long enough that what is not read does not fit in the sockets
            body.update(logprobs=True, top_logprobs=20, ignore_eos=True,
                        max_tokens=a.slow_tokens if kind == "slow" else 10 * a.slow_tokens)
        return body

    async def one(self, kind, r):
        """One request of this kind; whatever is wrong with it is kept."""
        number = r.randrange(QUESTIONS if kind != "long" else 4)
        self.count[kind] += 1
        try:
            await asyncio.wait_for(self.ask(kind, number, r), ANSWER_TIME_MAX_S)
        except (Wrong, OSError, ValueError, KeyError, asyncio.TimeoutError) as error:
            self.errors.append(f"{kind} {number}: {type(error).__name__} {error}")

    async def ask(self, kind, number, r):
        a = self.a
        if kind == "oversize" and r.random() < 0.5:
            wire = await streams.ask(a.host, a.port, b"{", a.key, length=1 << 30)
        else:
            body = self.body(kind, number)
            wire = await streams.ask(a.host, a.port, body, a.key,
                                     receive_buffer=4096 if kind in ("slow", "stuck") else None)
        try:
            await self.read(kind, wire, r)
        finally:
            wire.transport.abort()
        head = streams.read_head(wire)
        if head is None:
            if kind in ("cancel", "disconnect"):
                return
            raise Wrong("closed before there was an answer")
        self.judge(kind, number, wire, *head)

    async def read(self, kind, wire, r):
        a = self.a
        if kind == "cancel":
            await asyncio.sleep(r.random() * 0.3)
        elif kind == "disconnect":
            await wire.at_least(r.randrange(200, 8000))
        elif kind in ("slow", "stuck"):
            await wire.at_least(2000)
            wire.transport.pause_reading()
            await asyncio.sleep(a.stuck_seconds if kind == "stuck" else 2 + 3 * r.random())
            wire.transport.resume_reading()
            await wire.over
        else:
            await wire.over

    def judge(self, kind, number, wire, status, headers, at):
        a = self.a
        if kind == "oversize":
            if status not in (400, 413):
                raise Wrong(f"answered {status}")
            return
        if status in (429, 503):
            if not re.fullmatch(r"[1-9]\d*", headers.get("retry-after", "")):
                raise Wrong(f"{status} without Retry-After")
            self.refused[status] += 1
            return
        if status != 200 or not headers.get("content-type", "").startswith("text/event-stream"):
            raise Wrong(f"answered {status} {headers.get('content-type')}: {bytes(wire.bytes[at:at + 200])!r}")
        answer = streams.read_stream(wire, at)
        if kind == "stuck" and answer.is_done:
            raise Wrong(f"not dropped after {a.stuck_seconds} s, and its {len(wire.bytes)} bytes did not wait")
        if kind in ("disconnect", "cancel", "stuck"):
            self.tokens += len(answer.times)
        elif not answer.is_done:
            raise Wrong(f"the stream was cut after {len(answer.times)} events")
        else:
            streams.check_usage(answer, a.slow_tokens if kind == "slow" else a.tokens)
            self.tokens += answer.usage["completion_tokens"]
            self.prompt_tokens += answer.usage["prompt_tokens"]
            self.cached_tokens += (answer.usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        what = (number, "shared" if kind in ("disconnect", "cancel") else kind)
        if kind != "stuck":
            self.memory.check(what, answer.text, answer.is_done)
        if kind in CHATS and answer.times:
            self.first.append(answer.times[0] - wire.sent)
            self.gaps += [b - a for a, b in zip(answer.times, answer.times[1:])]

    # ---- who asks when

    async def run(self):
        a = self.a
        begin = time.monotonic()
        watch = asyncio.create_task(self.watch_memory(begin))
        if a.clients:
            await asyncio.gather(*(self.client(i, begin + a.seconds) for i in range(a.clients)))
        elif a.rate:
            await self.arrivals(begin + a.seconds)
        else:
            await self.beside_long()
        watch.cancel()
        self.took = time.monotonic() - begin

    def pick(self, r, end):
        kind = r.choices(list(self.a.mix), list(self.a.mix.values()))[0]
        # Nobody who is stuck beyond the end is begun.
        return "slow" if kind == "stuck" and time.monotonic() + self.a.stuck_seconds > end else kind

    async def client(self, i, end):
        r = random.Random(f"{self.a.seed}/{i}")
        while time.monotonic() < end:
            before = len(self.errors)
            await self.one(self.pick(r, end), r)
            if len(self.errors) > before:
                await asyncio.sleep(0.5)

    async def arrivals(self, end):
        r = random.Random(self.a.seed)
        tasks, at = set(), time.monotonic()
        while (at := at + r.expovariate(self.a.rate)) < end:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            task = asyncio.create_task(self.one(self.pick(r, end), random.Random(r.random())))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def beside_long(self):
        """Chats that stream; when all have begun, a long prompt; until it is answered, their gaps count."""
        a = self.a
        wires = []
        for i in range(a.beside_long):
            body = self.body("shared", i)
            body.update(ignore_eos=True, max_tokens=a.slow_tokens)
            wires.append(await streams.ask(a.host, a.port, body, a.key))
        await asyncio.gather(*(w.at_least(3000) for w in wires))
        body = self.body("long", 0)
        body["max_tokens"] = 1
        long_wire = await streams.ask(a.host, a.port, body, a.key)
        await long_wire.over
        answered = time.monotonic()
        status, _, at = streams.read_head(long_wire)
        if status != 200:
            raise SystemExit(f"the long prompt was answered with {status}: {bytes(long_wire.bytes[at:at + 300])!r}")
        long_answer = streams.read_stream(long_wire, at)
        self.prompt_tokens, self.long_s = long_answer.usage["prompt_tokens"], answered - long_wire.sent
        self.cut_short = sum(w.is_over for w in wires)
        for w in wires:
            w.transport.abort()
            times = streams.read_stream(w, streams.read_head(w)[2]).times
            self.first.append(times[0] - w.sent)
            self.gaps += [q - p for p, q in zip(times, times[1:]) if q > long_wire.sent and p < answered]

    async def watch_memory(self, begin):
        if not self.a.pid:
            return
        status = pathlib.Path(f"/proc/{self.a.pid}/status")
        while True:
            kib = int(re.search(r"VmRSS:\s+(\d+) kB", status.read_text())[1])
            self.rss.append((time.monotonic() - begin, kib / 1024))
            await asyncio.sleep(1)

    # ---- what came of it

    def report(self):
        a = self.a
        out = {"bench": "load", "mode": "closed" if a.clients else "open" if a.rate else "beside_long",
               "clients": a.clients or a.beside_long, "rate": a.rate, "seed": a.seed, "seconds": round(self.took, 1),
               "requests": dict(self.count), "refused": {str(k): v for k, v in self.refused.items()},
               "compared": self.memory.compared, "prompt_tokens": self.prompt_tokens,
               "cached_tokens": self.cached_tokens, "tokens": self.tokens, "tok_s": round(self.tokens / self.took, 1),
               "client_cpu_s": round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 1)}
        for name, values in (("ttft", self.first), ("gap", self.gaps)):
            for q in (50, 99):
                out[f"{name}_p{q}_ms"] = round(1000 * percentile(values, q), 1)
        out["gap_max_ms"] = round(1000 * max(self.gaps, default=0), 1)
        if a.beside_long:
            out.update(long_s=round(self.long_s, 2), streams_that_ended_before=self.cut_short)
        if self.rss:
            out["rss_mib_max"] = round(max(mib for _, mib in self.rss), 1)
            out["rss_mib_minutes"] = minutes = self.minutes()
            if len(minutes) > 1:
                out["rss_drift_percent"] = drift = round(100 * (max(minutes[1:], key=lambda m: abs(m - minutes[0])) / minutes[0] - 1), 2)
                if a.memory_within is not None and abs(drift) > a.memory_within:
                    self.errors.append(f"resident memory moved by {drift} %: {minutes}")
        out["errors"], out["first_errors"] = len(self.errors), self.errors[:10]
        return out

    def minutes(self):
        """Resident memory at the end of each whole minute."""
        ends = {}
        for at, mib in self.rss:
            if at <= self.a.seconds + 1:
                ends[math.floor(at / self.a.minute)] = mib
        return [round(ends[m], 1) for m in sorted(ends) if (m + 1) * self.a.minute <= self.a.seconds + 1.5]


def percentile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * q / 100) - 1)] if ordered else 0.0


def main(words):
    load = Load(read_arguments(words))
    asyncio.run(load.run())
    out = load.report()
    print(json.dumps(out))
    return 1 if out["errors"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
