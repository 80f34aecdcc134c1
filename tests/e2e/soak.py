"""Sixteen streaming clients for a while: no error, no cross-talk, memory flat, no descriptor left behind.

CRESSET_SOAK_SECONDS: how long (default 60).
"""
import os
import threading
import time
import unittest

import harness

SECONDS = float(os.environ.get("CRESSET_SOAK_SECONDS", "60"))
CLIENTS = 16
MIB = 1 << 20


class Soak(harness.ServedTest):
    def test_sixteen_streams(self):
        texts, failures, answers = {}, [], [0] * CLIENTS
        lock = threading.Lock()
        over = threading.Event()

        def listen(client):
            turn = 0
            while not over.is_set():
                seed = turn % 3
                prompt = f"You are client {client}. Write a line about the number {client * 1000 + seed}."
                try:
                    chunks = list(self.server.stream(prompt, seed=seed, temperature=0.8, max_tokens=12 + client % 5))
                    text = harness.text_of(chunks)
                    with lock:
                        first = texts.setdefault((prompt, seed), text)
                        if len({c["id"] for c in chunks}) != 1:
                            raise AssertionError("chunks of two answers in one stream")
                    if text != first:
                        raise AssertionError(f"{prompt!r} said {first!r}, then {text!r}")
                except Exception as error:  # noqa: BLE001 - said by the test's own thread
                    failures.append(f"client {client}, turn {turn}: {error!r}")
                    return
                answers[client] += 1
                turn += 1

        # Warm: every client once, so that what grows with the number of clients has grown.
        descriptors_before = self.server.descriptors()
        threads = [threading.Thread(target=listen, args=(i,)) for i in range(CLIENTS)]
        for t in threads:
            t.start()
        harness.wait_until(lambda: min(answers) > 0 or failures, 200, "every client has been answered once")
        begin = time.monotonic()
        sizes = []
        while time.monotonic() < begin + SECONDS and not failures:
            sizes.append((time.monotonic() - begin, self.server.rss_bytes()))
            over.wait(0.25)
        over.set()
        for t in threads:
            t.join(200)
        self.assertEqual(failures, [])
        middle = (sizes[0][0] + sizes[-1][0]) / 2
        early = max(size for at, size in sizes if at <= middle)
        late = max(size for at, size in sizes if at > middle)
        print(f"soak: {sum(answers)} answers in {SECONDS:.0f} s, {len(texts)} distinct; "
              f"memory {early / MIB:.1f} MiB, then {late / MIB:.1f} MiB")
        self.assertLessEqual(late, early * 1.02 + 4 * MIB)
        self.assertGreater(sum(answers), len(texts), "no prompt was asked twice: nothing was compared")
        self.server.wait_idle()
        harness.wait_until(lambda: self.server.descriptors() <= descriptors_before, 30,
                           f"the server has {descriptors_before} descriptors again")
        self.assertEqual(self.server.metric("vllm:request_success_total", "error"), 0)


if __name__ == "__main__":
    harness.main(SECONDS + 600)
