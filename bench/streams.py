"""One request to a server that speaks OpenAI's chat dialect, over a socket of its own, and the proof that its answer is
what it should be. Bytes are only kept with their time while they arrive and are read afterwards, so that a load of many
streams costs the machine little."""
import asyncio
import bisect
import json
import socket
import time


class Wrong(Exception):
    """The server said something that it must not say."""


class Wire(asyncio.Protocol):
    """What has arrived, and when. The server closes after its answer: that is the end."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.bytes = bytearray()
        self.times, self.ends = [], []  # of each piece: when it came, and how many bytes there were then
        self.is_over = False
        self.transport = None
        self.over = self.loop.create_future()
        self.waiters = []  # (bytes, future)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.bytes += data
        self.times.append(time.monotonic())
        self.ends.append(len(self.bytes))
        for waiter in [w for w in self.waiters if len(self.bytes) >= w[0]]:
            self.waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(True)

    def connection_lost(self, error):
        self.is_over = True
        if not self.over.done():
            self.over.set_result(error)
        for _, future in self.waiters:
            if not future.done():
                future.set_result(False)

    async def at_least(self, count):
        """Until so many bytes are there, or no more come."""
        if len(self.bytes) >= count or self.is_over:
            return
        future = self.loop.create_future()
        self.waiters.append((count, future))
        await future

    def time_of(self, offset):
        """When the byte before `offset` came."""
        return self.times[bisect.bisect_left(self.ends, offset)]


async def ask(host, port, body, key=None, receive_buffer=None, path="/v1/chat/completions", length=None):
    """Sends one request; the Wire that its answer arrives at."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(s, (host, port))
    transport, wire = await loop.create_connection(Wire, sock=s)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(data) if length is None else length}\r\n")
    if key:
        head += f"Authorization: Bearer {key}\r\n"
    wire.sent = time.monotonic()
    transport.write(head.encode() + b"\r\n" + data)
    return wire


def read_head(wire):
    """(status, headers, where the body begins); None while it is not all there."""
    end = wire.bytes.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(wire.bytes[:end]).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Wrong(f"a header line without a colon: {line!r}")
        headers[name.lower()] = value.strip()
    return int(lines[0].split(" ")[1]), headers, end + 4


def read_chunks(wire, at):
    """[(bytes, when they were all there)] of a chunked body, and whether its end has come."""
    out = []
    while True:
        line = wire.bytes.find(b"\r\n", at)
        if line < 0:
            return out, False
        size = int(bytes(wire.bytes[at:line]), 16)
        begin = line + 2
        if len(wire.bytes) < begin + size + 2:
            return out, False
        if wire.bytes[begin + size:begin + size + 2] != b"\r\n":
            raise Wrong("a chunk longer than it says")
        if size == 0:
            if len(wire.bytes) != begin + 2:
                raise Wrong("bytes after the last chunk")
            return out, True
        out.append((bytes(wire.bytes[begin:begin + size]), wire.time_of(begin + size + 2)))
        at = begin + size + 2


class Answer:
    """A stream that was read: what it said, and when."""

    def __init__(self):
        self.text = ""
        self.times = []  # of each event with text
        self.id = self.finish = self.usage = None
        self.is_done = False


def read_stream(wire, at):
    """Checks all that a stream of OpenAI's must be, as far as it came. It may lack its end."""
    chunks, is_whole = read_chunks(wire, at)
    answer, rest = Answer(), b""
    for data, when in chunks:
        *events, rest = (rest + data).split(b"\n\n")
        for event in events:
            take_event(answer, event, when)
    if is_whole and rest:
        raise Wrong(f"the stream ends within an event: {rest[:80]!r}")
    if is_whole and not answer.is_done:
        raise Wrong("the stream ended well and without [DONE]")
    if answer.is_done and (answer.finish is None or answer.usage is None):
        raise Wrong("[DONE] without a finish reason or usage")
    return answer


def take_event(answer, event, when):
    if event.startswith(b":"):
        return  # a comment: the server is alive
    if answer.is_done or not event.startswith(b"data: ") or b"\n" in event:
        raise Wrong(f"not an event of this dialect, or one after [DONE]: {event[:80]!r}")
    if event == b"data: [DONE]":
        answer.is_done = True
        return
    value = json.loads(event[6:])
    if "error" in value:
        raise Wrong(f"an error in the stream: {value['error']}")
    if value["object"] != "chat.completion.chunk" or answer.id not in (None, value["id"]):
        raise Wrong(f"an event of another answer: {value['id']} in {answer.id}")
    answer.id = value["id"]
    if not value["choices"]:
        if answer.usage is not None or answer.finish is None:
            raise Wrong("usage twice, or before the end")
        answer.usage = value["usage"]
        return
    if answer.usage is not None or len(value["choices"]) != 1 or value["choices"][0]["index"] != 0:
        raise Wrong("a choice that was not asked for, or one after usage")
    choice = value["choices"][0]
    text = choice["delta"].get("content")
    if answer.finish is not None and (text or choice["finish_reason"]):
        raise Wrong("a choice goes on after its finish reason")
    if text:
        answer.text += text
        answer.times.append(when)
    answer.finish = choice["finish_reason"] or answer.finish


def check_usage(answer, tokens_max):
    usage = answer.usage
    if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        raise Wrong(f"usage does not add up: {usage}")
    if answer.finish not in ("stop", "length") or usage["completion_tokens"] > tokens_max:
        raise Wrong(f"ended with {answer.finish} after {usage['completion_tokens']} of {tokens_max} tokens")
    if answer.finish == "length" and usage["completion_tokens"] != tokens_max:
        raise Wrong(f"ended for its length after {usage['completion_tokens']} of {tokens_max} tokens")


class Memory:
    """Greedy answers of the same request are the same: what each has said so far."""

    def __init__(self):
        self.said = {}
        self.compared = 0

    def check(self, what, text, is_whole):
        known, known_whole = self.said.get(what, ("", False))
        if what in self.said:
            self.compared += 1
        short, long_ = sorted((known, text), key=len)
        if not long_.startswith(short) or (is_whole and known_whole and known != text) or \
                (known_whole and len(text) > len(known)) or (is_whole and len(known) > len(text)):
            raise Wrong(f"the same request was answered in two ways: {known[:200]!r} and {text[:200]!r}")
        self.said[what] = (long_, is_whole or known_whole)
