"""bench/streams.py finds what a server must not say: each broken stream below is one that a check has to refuse."""
import asyncio
import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import load  # noqa: E402
import streams  # noqa: E402


def event(delta=None, finish=None, id="a", **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    value = {"id": id, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


USAGE = event(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
DONE = b"data: [DONE]\n\n"
GOOD = [event({"role": "assistant"}), event({"content": "Hel"}), b": ping\n\n", event({"content": "lo"}),
        event({}, "length"), USAGE, DONE]


def arrived(events, is_whole=True, pieces=7):
    """A Wire on which these events have come as chunks, cut into small pieces."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events) + (b"0\r\n\r\n" if is_whole else b"")
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body

    async def make():
        wire = streams.Wire()
        for i in range(0, len(data), pieces):
            wire.data_received(data[i:i + pieces])
        return wire

    return asyncio.run(make())


def read(events, is_whole=True):
    wire = arrived(events, is_whole)
    return streams.read_stream(wire, streams.read_head(wire)[2])


class Streams(unittest.TestCase):
    def test_a_good_stream_is_read(self):
        answer = read(GOOD)
        self.assertEqual((answer.text, answer.finish, answer.is_done, len(answer.times)), ("Hello", "length", True, 2))
        self.assertEqual(sorted(answer.times), answer.times)
        streams.check_usage(answer, 2)

    def test_a_cut_stream_is_read_as_far_as_it_came(self):
        answer = read(GOOD[:3], is_whole=False)
        self.assertEqual((answer.text, answer.is_done), ("Hel", False))

    def test_broken_streams_are_found(self):
        broken = {
            "another answer's event": [*GOOD[:3], event({"content": "lo"}, id="b"), *GOOD[4:]],
            "no [DONE]": GOOD[:-1],
            "no usage": GOOD[:5] + [DONE],
            "usage twice": [*GOOD[:6], USAGE, DONE],
            "no finish reason": GOOD[:4] + [USAGE, DONE],
            "text after the finish reason": [*GOOD[:5], event({"content": "x"}), *GOOD[5:]],
            "an event after [DONE]": [*GOOD, event({"content": "x"})],
            "an error": [*GOOD[:3], b'data: {"error":{"message":"x"}}\n\n'],
            "not JSON": [*GOOD[:3], b"data: {\n\n"],
            "half an event": [*GOOD[:3], b"data: "],
            "a foreign line": [b"event: x\n\n", *GOOD],
        }
        for what, events in broken.items():
            with self.subTest(what), self.assertRaises((streams.Wrong, ValueError)):
                read(events)

    def test_usage_has_to_agree(self):
        for tokens_max in (1, 3):  # more than asked for; ended for a length that it does not have
            with self.assertRaises(streams.Wrong):
                streams.check_usage(read(GOOD), tokens_max)

    def test_two_answers_to_one_request_are_found(self):
        memory = streams.Memory()
        memory.check("q", "Hel", False)
        memory.check("q", "Hello", True)
        memory.check("q", "He", False)
        self.assertEqual(memory.compared, 2)
        for text, is_whole in (("Help", False), ("Hello you", False), ("Hell", True), ("Hello you", True)):
            with self.assertRaises(streams.Wrong):
                memory.check("q", text, is_whole)


class Figures(unittest.TestCase):
    def test_percentiles_are_of_the_values_themselves(self):
        values = [float(n) for n in range(1, 101)]
        self.assertEqual([load.percentile(values, q) for q in (50, 99, 100)], [50, 99, 100])
        self.assertEqual(load.percentile([7.0], 99), 7)
        self.assertEqual(load.percentile([], 50), 0)

    def test_memory_is_compared_at_the_end_of_whole_minutes(self):
        run = load.Load(load.read_arguments(["--clients", "1", "--seconds", "6", "--minute", "2"]))
        run.rss = [(0.0, 50.0), (1.0, 100.0), (1.9, 101.0), (3.9, 102.0), (5.9, 90.0), (6.5, 91.0), (9.0, 10.0)]
        self.assertEqual(run.minutes(), [101.0, 102.0, 90.0])


if __name__ == "__main__":
    unittest.main()
