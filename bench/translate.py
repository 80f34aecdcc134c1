"""What a translated request of 100 KB adds: the same conversation as OpenAI Chat straight to the provider and as
Anthropic Messages through the gateway, in turns on kept connections. Prints medians of rounds. See gateway.sh."""
import http.client
import json
import statistics
import sys
import time

PROVIDER, GATEWAY = 9100, 9210
BYTES, REQUESTS = 100_000, 200


def bodies():
    """A system prompt, 24 tools and a conversation with tool calls, as an agent sends them, in both dialects."""
    text = "The quick brown fox jumps over the lazy dog; \"quoted\", 1234.\n" * 12
    schema = {"type": "object", "properties": {f"field_{i}": {"type": "string", "description": text[:120]}
                                               for i in range(6)}, "required": ["field_0"]}
    tools = [{"name": f"tool_{i}", "description": text[:400], "input_schema": schema} for i in range(24)]
    ours = {"model": "gpt-4o-mini", "max_tokens": 1024, "system": [{"type": "text", "text": text * 2}], "tools": tools,
            "messages": []}
    theirs = {"model": "gpt-4o-mini", "max_tokens": 1024, "messages": [{"role": "system", "content": text * 2}],
              "tools": [{"type": "function", "function": {"name": t["name"], "description": t["description"],
                                                          "parameters": t["input_schema"]}} for t in tools]}
    turn = 0
    while len(json.dumps(ours)) < BYTES - 3_500:
        arguments = {"field_0": f"value {turn}"}
        ours["messages"] += [
            {"role": "user", "content": text},
            {"role": "assistant", "content": [{"type": "text", "text": text},
                                              {"type": "tool_use", "id": f"toolu_{turn}", "name": "tool_1",
                                               "input": arguments}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": text}]}]
        theirs["messages"] += [
            {"role": "user", "content": text},
            {"role": "assistant", "content": text,
             "tool_calls": [{"id": f"toolu_{turn}", "type": "function",
                             "function": {"name": "tool_1", "arguments": json.dumps(arguments)}}]},
            {"role": "tool", "tool_call_id": f"toolu_{turn}", "content": text}]
        turn += 1
    for body in (ours, theirs):
        body["messages"].append({"role": "user", "content": "go on"})
    return json.dumps(ours).encode(), json.dumps(theirs).encode()


class Side:
    def __init__(self, port, path, body, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.path, self.body = path, body
        self.headers = {"Content-Type": "application/json", **headers}

    def round(self):
        times = []
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            self.connection.request("POST", self.path, self.body, self.headers)
            answer = self.connection.getresponse()
            text = answer.read()
            times.append((time.perf_counter() - begin) * 1e3)
            if answer.status != 200 or b"bench bench" not in text:
                sys.exit(f"status {answer.status}: {text[:200]!r}")
        times.sort()
        return statistics.median(times), times[int(0.99 * (len(times) - 1))]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours, theirs = bodies()
    direct = Side(PROVIDER, "/v1/chat/completions", theirs, {})
    gateway = Side(GATEWAY, "/v1/messages", ours, {"x-api-key": "sk-bench", "anthropic-version": "2023-06-01"})
    direct.round(), gateway.round()  # warm
    pairs = [(direct.round(), gateway.round()) for _ in range(rounds)]
    p50, p99 = (statistics.median(g[i] - d[i] for d, g in pairs) for i in range(2))
    print(f"translate bytes={len(ours)} rounds={rounds} direct p50={statistics.median(d[0] for d, _ in pairs):.3f} "
          f"ADDED p50={p50:.3f} p99={p99:.3f} ms")


if __name__ == "__main__":
    main()
