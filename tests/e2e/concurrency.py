"""Several clients are served at once: a long prompt of one does not hold up another's stream."""
import threading
import time
import unittest

import harness


class Concurrency(harness.ServedTest):
    def long_prompt(self, marker):
        """About 2,000 tokens that no earlier prompt began with."""
        return f"{marker}: " + " ".join(f"word{n}" for n in range(500))

    def test_a_long_prompt_lets_another_stream_go_on(self):
        arrivals, began = [], threading.Event()
        failures = []

        def listen():
            try:
                for chunk in self.server.stream("Tell me a long story.", max_tokens=600, ignore_eos=True):
                    if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                        arrivals.append(time.monotonic())
                        if len(arrivals) == 3:
                            began.set()
                        if self.is_over and len(arrivals) > 10:
                            return
            except Exception as error:  # noqa: BLE001 - said by the test's own thread
                failures.append(error)
            finally:
                began.set()

        self.is_over = False
        listener = threading.Thread(target=listen)
        listener.start()
        self.assertTrue(began.wait(120))
        sent = time.monotonic()
        before = self.server.metric("vllm:prompt_tokens_total")
        self.server.chat(self.long_prompt("first"), max_tokens=1)
        answered = time.monotonic()
        self.is_over = True
        listener.join(120)
        self.assertEqual(failures, [])
        self.assertGreaterEqual(self.server.metric("vllm:prompt_tokens_total") - before, 1500)
        between = [t for t in arrivals if sent < t < answered]
        # Four steps of 512 prompt tokens each carry a token of the other stream.
        self.assertGreaterEqual(len(between), 3, f"{len(between)} tokens while the long prompt was read")

    def test_answers_overlap_in_time(self):
        # Two streams, each long: both are under way before either is over.
        first, second = (self.server.stream(f"Count slowly from {n}.", max_tokens=200, ignore_eos=True) for n in (1, 2))
        for _ in range(3):
            self.assertTrue(next(first)["choices"] and next(second)["choices"])
        self.assertEqual(self.server.metric("vllm:num_requests_running"), 2)
        first.close()
        second.close()
        self.server.wait_idle()

    def test_more_clients_than_the_engine_has_room_for_are_all_answered(self):
        texts = [None] * 80  # sequences_max is 64
        alone = self.server.chat("Say yes.", max_tokens=2)

        def ask(i):
            texts[i] = self.server.chat("Say yes.", max_tokens=2)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
        for t in threads:
            t.start()
        for t in threads:
            t.join(300)
        self.assertEqual(set(texts), {alone})


if __name__ == "__main__":
    harness.main()
