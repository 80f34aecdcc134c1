"""The official Python clients of the other dialects against the real server and model."""
import unittest

import harness

for package in ("anthropic", "google.genai", "ollama", "openai"):
    harness.need_package(package)

import anthropic
import ollama
import openai
from google import genai
from google.genai import types as genai_types

ASK = "Name three colours."


class Dialects(harness.ServedTest):
    def setUp(self):
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.said = self.server.chat(ASK, max_tokens=12)

    def test_anthropic(self):
        client = anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)
        ask = {"model": harness.MODEL_NAME, "max_tokens": 12, "extra_body": {"temperature": 0},
               "messages": [{"role": "user", "content": ASK}]}
        whole = client.messages.create(**ask)
        self.assertEqual(whole.content[0].text, self.said)
        self.assertEqual(whole.stop_reason, "max_tokens")
        with client.messages.stream(**ask) as stream:
            self.assertEqual("".join(stream.text_stream), self.said)
            self.assertEqual(stream.get_final_message().usage.output_tokens, whole.usage.output_tokens)
        counted = client.messages.count_tokens(model=harness.MODEL_NAME, messages=ask["messages"])
        self.assertEqual(counted.input_tokens, whole.usage.input_tokens + whole.usage.cache_read_input_tokens)
        self.assertIn(f"local/{harness.MODEL_NAME}", [m.id for m in client.models.list()])
        with self.assertRaises(anthropic.BadRequestError) as caught:
            client.messages.create(**ask, tools=[{"name": "f", "input_schema": {"type": "object"}}])
        self.assertIn("tools", str(caught.exception))
        with self.assertRaises(anthropic.NotFoundError):
            client.messages.create(**{**ask, "model": "nobody"})

    def test_responses(self):
        client = openai.OpenAI(base_url=self.server.base_url, api_key="none", max_retries=0)
        ask = {"model": harness.MODEL_NAME, "input": ASK, "max_output_tokens": 12, "temperature": 0}
        whole = client.responses.create(**ask)
        self.assertEqual(whole.output_text, self.said)
        self.assertEqual(whole.status, "incomplete")
        events = list(client.responses.create(**ask, stream=True))
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"), self.said)
        self.assertEqual(events[-1].type, "response.incomplete")
        self.assertEqual(events[-1].response.output_text, self.said)
        with self.assertRaises(openai.BadRequestError) as caught:
            client.responses.create(**ask, tools=[{"type": "function", "name": "f", "parameters": {}, "strict": False}])
        self.assertEqual(caught.exception.param, "tools")

    def test_genai(self):
        client = genai.Client(api_key="none", http_options=genai_types.HttpOptions(base_url=self.url))
        config = genai_types.GenerateContentConfig(max_output_tokens=12, temperature=0)
        whole = client.models.generate_content(model=harness.MODEL_NAME, contents=ASK, config=config)
        self.assertEqual(whole.text, self.said)
        stream = client.models.generate_content_stream(model=harness.MODEL_NAME, contents=ASK, config=config)
        self.assertEqual("".join(c.text or "" for c in stream), self.said)
        counted = client.models.count_tokens(model=harness.MODEL_NAME, contents=ASK)
        self.assertEqual(counted.total_tokens, whole.usage_metadata.prompt_token_count)
        self.assertIn(f"models/local/{harness.MODEL_NAME}", [m.name for m in client.models.list()])

    def test_ollama(self):
        client = ollama.Client(host=self.url)
        ask = {"model": harness.MODEL_NAME, "options": {"num_predict": 12, "temperature": 0}}
        messages = [{"role": "user", "content": ASK}]
        self.assertEqual(client.chat(messages=messages, **ask).message.content, self.said)
        self.assertEqual("".join(c.message.content for c in client.chat(messages=messages, stream=True, **ask)), self.said)
        self.assertEqual(client.generate(prompt=ASK, **ask).response, self.said)
        self.assertIn(harness.MODEL_NAME, [m.model for m in client.list().models])
        self.assertEqual(client.show(harness.MODEL_NAME).details.format, "gguf")
        self.assertEqual(len(client.ps().models), 1)
        with self.assertRaises(ollama.ResponseError):
            client.embed(model=harness.MODEL_NAME, input="x")


if __name__ == "__main__":
    harness.main()
