"""The official Python client, unchanged but for its base URL, against the real server and model."""
import asyncio
import math
import unittest

import harness

harness.need_package("openai")

import openai  # noqa: E402

MODEL = harness.MODEL_NAME
EN = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"model": MODEL, "temperature": 0, "max_tokens": 12}


class OpenAiPython(harness.ServedTest):
    def setUp(self):
        self.client = openai.OpenAI(base_url=self.server.base_url, api_key="not needed", max_retries=0, timeout=300)
        self.addCleanup(self.client.close)

    def chat(self, **more):
        return self.client.chat.completions.create(**{"messages": EN, **GREEDY, **more})

    def test_models_are_listed_and_retrieved(self):
        models = self.client.models.list().data
        self.assertIn(f"local/{MODEL}", [m.id for m in models])
        one = self.client.models.retrieve(f"local/{MODEL}")  # the client escapes the slash
        self.assertEqual((one.id, one.object), (f"local/{MODEL}", "model"))
        self.assertEqual(self.client.models.retrieve(MODEL).object, "model")

    def test_a_whole_answer(self):
        answer = self.chat()
        self.assertEqual(answer.object, "chat.completion")
        self.assertTrue(answer.choices[0].message.content.strip())
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertTrue(answer.system_fingerprint)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertLessEqual(answer.usage.completion_tokens, 12)

    def test_a_model_answers_under_each_of_its_names(self):
        texts = {self.chat(model=name).choices[0].message.content for name in (MODEL, f"local/{MODEL}", "default")}
        self.assertEqual(len(texts), 1)

    def test_a_stream_says_what_the_whole_answer_says(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(len({c.id for c in chunks}), 1)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason],
                         [whole.choices[0].finish_reason])
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))

    def test_a_stream_without_usage_has_none(self):
        self.assertTrue(all(c.usage is None and c.choices for c in self.chat(stream=True, max_tokens=3)))

    def test_emoji_and_kanji_come_whole_through_a_stream(self):
        # Each takes several tokens, and a text that repeats goes on repeating.
        for text in ("日本語", "🙂🚀"):
            create = lambda **more: self.client.completions.create(  # noqa: E731
                prompt=text * 6, **{**GREEDY, "max_tokens": 24}, **more)
            streamed = [c.choices[0].text for c in create(stream=True) if c.choices]
            self.assertEqual("".join(streamed), create().choices[0].text)
            self.assertTrue(set(text) & set("".join(streamed)), streamed)
            self.assertNotIn("\ufffd", "".join(streamed[:-2]))  # the very end may cut a character that never came whole

    def test_completions_take_text_and_tokens(self):
        create = self.client.completions.create
        text = create(prompt="The capital of France is", **GREEDY)
        self.assertTrue(text.choices[0].text)
        tokens = [504, 3575, 282, 4649, 314]  # the same words: proved by the echo below
        echo = create(prompt=tokens, echo=True, **GREEDY)
        self.assertEqual(echo.choices[0].text, "The capital of France is" + text.choices[0].text)
        several = create(prompt=["The capital of France is", "One, two,"], **GREEDY)
        self.assertEqual([c.index for c in several.choices], [0, 1])
        self.assertEqual(several.choices[0].text, text.choices[0].text)
        self.assertEqual(create(prompt=[tokens, tokens], **GREEDY).choices[1].text, text.choices[0].text)

    def test_completions_stream(self):
        whole = self.client.completions.create(prompt="One, two,", **GREEDY)
        chunks = list(self.client.completions.create(prompt="One, two,", stream=True, **GREEDY))
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), whole.choices[0].text)

    def test_completions_echo_with_logprobs(self):
        answer = self.client.completions.create(prompt="One, two, three", echo=True, logprobs=2,
                                                **{**GREEDY, "max_tokens": 2})
        found = answer.choices[0].logprobs
        self.assertEqual("".join(found.tokens), answer.choices[0].text)
        self.assertIsNone(found.token_logprobs[0])  # nothing came before it
        self.assertTrue(all(p <= 0 for p in found.token_logprobs[1:]))
        self.assertEqual(len(found.tokens), len(found.text_offset))
        self.assertTrue(all(len(top) >= 2 for top in found.top_logprobs[1:]))

    def test_chat_logprobs(self):
        content = self.chat(logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
        self.assertEqual(len(content), 4)
        for token in content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertEqual(token.top_logprobs[0].token, token.token)  # greedy takes the likeliest
            self.assertLessEqual(sum(math.exp(t.logprob) for t in token.top_logprobs), 1.0001)
            self.assertEqual(bytes(token.bytes).decode(errors="replace"), token.token)

    def test_logprobs_of_a_stream_are_those_of_the_whole(self):
        whole = self.chat(logprobs=True, max_tokens=4).choices[0].logprobs.content
        streamed = [t for c in self.chat(logprobs=True, max_tokens=4, stream=True)
                    if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
        self.assertEqual([(t.token, t.logprob) for t in streamed], [(t.token, t.logprob) for t in whole])

    def test_an_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="nobody")
        self.assertEqual(caught.exception.code, "model_not_found")
        self.assertIn("nobody", caught.exception.message)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("local/nobody")

    def test_bad_parameters_are_refused_by_name(self):
        for name, value in {"temperature": 3, "max_tokens": 0, "top_p": "high", "n": -1, "nonsense": 1,
                            "response_format": {"type": "json_object"}, "logit_bias": {"x": 1}}.items():
            with self.subTest(name), self.assertRaises(openai.BadRequestError) as caught:
                self.chat(extra_body={name: value})
            self.assertTrue(caught.exception.param.startswith(name), caught.exception.param)
            self.assertTrue(caught.exception.code)
            self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_a_request_longer_than_the_context_names_both_numbers(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.completions.create(prompt=[504] * 9000, **GREEDY)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn("8192", caught.exception.message)
        self.assertIn("90", caught.exception.message)

    def test_stop_ends_before_the_words(self):
        create = self.client.completions.create
        free = create(prompt="One, two, three,", **GREEDY).choices[0].text
        words = free[3:6]
        self.assertEqual(len(words), 3, free)
        stopped = create(prompt="One, two, three,", stop=words, **GREEDY).choices[0]
        self.assertEqual((stopped.text, stopped.finish_reason), (free[:free.index(words)], "stop"))
        streamed = create(prompt="One, two, three,", stop=["never said", words], stream=True, **GREEDY)
        self.assertEqual("".join(c.choices[0].text for c in streamed if c.choices), stopped.text)

    def test_a_seed_gives_the_same_answer_and_another_seed_another(self):
        def text(seed):
            return self.chat(temperature=1, seed=seed, max_tokens=16).choices[0].message.content

        first = text(7)
        self.assertEqual(text(7), first)
        self.assertGreater(len({first, text(8), text(9)}), 1)

    def test_two_choices(self):
        answer = self.chat(n=2, temperature=1, seed=1)
        self.assertEqual([c.index for c in answer.choices], [0, 1])
        self.assertNotEqual(*(c.message.content for c in answer.choices))
        parts = {0: "", 1: ""}
        for chunk in self.chat(n=2, temperature=1, seed=1, stream=True):
            for choice in chunk.choices:
                parts[choice.index] += choice.delta.content or ""
        self.assertEqual(list(parts.values()), [c.message.content for c in answer.choices])

    def test_a_client_that_leaves_stops_costing(self):
        self.server.wait_idle()
        before = self.server.metric("vllm:generation_tokens_total")
        stream = self.chat(stream=True, max_tokens=4000, extra_body={"ignore_eos": True})
        received = 0
        for _ in stream:
            received += 1
            if received == 5:
                break
        stream.close()
        self.server.wait_idle(30)
        written = self.server.metric("vllm:generation_tokens_total") - before
        self.assertLess(written, received + 16)  # a few steps in flight, not four thousand tokens
        self.assertEqual(self.server.metric("vllm:request_success_total", 'finished_reason="abort"'), 1)

    def test_eight_streams_at_once_say_what_each_says_alone(self):
        prompts = [f"Tell me about the number {n}." for n in range(4)]

        async def answer(client, prompt, seed):
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], seed=seed, max_tokens=16, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        async def everything():
            async with openai.AsyncOpenAI(base_url=self.server.base_url, api_key="x", max_retries=0) as client:
                alone = [await answer(client, p, i) for i, p in enumerate(prompts)]
                together = await asyncio.gather(*[answer(client, p, i) for i, p in enumerate(prompts * 2)],
                                                *[answer(client, p, i) for i, p in enumerate(prompts)])
                return alone, together

        alone, together = asyncio.run(everything())
        self.assertEqual(together[:4], alone)
        self.assertEqual(together[8:], alone)
        self.assertEqual(len(set(alone)), 4)


if __name__ == "__main__":
    harness.main()
