"""The official clients, unchanged but for their base URL, against providers of every dialect through the gateway,
and straight against the fake of their own dialect, so that a misunderstanding on both sides cannot cancel out."""
import sys
import unittest

import harness

for package in ("openai", "anthropic", "google.genai", "ollama"):
    harness.need_package(package)

import anthropic
import ollama
import openai
from google import genai
from google.genai import types as genai_types

import grid

TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}


def openai_client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0)


def anthropic_client(url):
    return anthropic.Anthropic(base_url=url, api_key="sk-any", max_retries=0)


def genai_client(url):
    return genai.Client(api_key="any", http_options=genai_types.HttpOptions(base_url=url))


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.grid = grid.Grid()
        cls.addClassCleanup(cls.grid.stop)
        cls.url = f"http://127.0.0.1:{cls.grid.server.port}"

    def each(self, kind, own):
        """(base URL, model) of the gateway with each provider, then of the fake of the client's own dialect."""
        places = [(self.url, f"{dialect}_{kind}/any") for dialect in grid.DIALECTS]
        for self.place in [*places, (self.grid.lights[own, kind].url, "any")]:
            yield self.place

    def tearDown(self):
        if hasattr(self, "place") and any(error for _, error in getattr(self._outcome, "errors", [])):
            print("at", self.place, file=sys.stderr)

    # OpenAI, Chat Completions

    def test_openai_chat(self):
        ask = {"messages": [{"role": "user", "content": "hello"}]}
        for url, model in self.each("answer", "openai_chat"):
            client = openai_client(url)
            whole = client.chat.completions.create(model=model, **ask)
            self.assertTrue(whole.choices[0].message.content.startswith(grid.TEXT))
            self.assertEqual(whole.choices[0].finish_reason, "stop")
            self.assertGreater(whole.usage.completion_tokens, 20)
            chunks = list(client.chat.completions.create(model=model, stream=True,
                                                         stream_options={"include_usage": True}, **ask))
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            self.assertEqual(text, whole.choices[0].message.content)
            self.assertEqual(chunks[-1].usage.total_tokens, whole.usage.total_tokens)

    def test_openai_chat_tools(self):
        tools = [{"type": "function", "function": {"name": n, "parameters": TOOL}} for n in ("get_weather", "get_time")]
        for url, model in self.each("tool", "openai_chat"):
            client = openai_client(url)
            messages = [{"role": "user", "content": "weather?"}]
            message = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
            self.check_calls([(c.function.name, c.function.arguments) for c in message.tool_calls])
            with client.chat.completions.stream(model=model, messages=messages, tools=tools) as stream:
                streamed = stream.get_final_completion().choices[0]
            self.check_calls([(c.function.name, c.function.arguments) for c in streamed.message.tool_calls])
            self.assertEqual(streamed.finish_reason, "tool_calls")
            # The next turn takes the whole history, signatures and all.
            messages += [message] + [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in message.tool_calls]
            client.chat.completions.create(model=model, messages=messages, tools=tools)

    def check_calls(self, calls):
        import json
        self.assertEqual([name for name, _ in calls], ["get_weather", "get_time"])
        self.assertEqual(json.loads(calls[0][1]), {"city": "Paris", "days": 2})
        self.assertEqual(json.loads(calls[1][1] or "{}"), {})

    def test_openai_chat_thoughts(self):
        for url, model in self.each("think", "openai_chat"):
            message = openai_client(url).chat.completions.create(
                model=model, messages=[{"role": "user", "content": "2+2"}]).choices[0].message
            self.assertEqual(message.content, "Four.")
            self.assertEqual(message.reasoning_content, "I think so.")

    def test_openai_structured_output(self):
        import pydantic

        class Person(pydantic.BaseModel):
            name: str
            age: int

        for url, model in self.each("json", "openai_chat"):
            client = openai_client(url)
            parsed = client.chat.completions.parse(model=model, messages=[{"role": "user", "content": "who"}],
                                                   response_format=Person)
            self.assertEqual(parsed.choices[0].message.parsed, Person(name="Ada", age=36))
        for url, model in self.each("json", "openai_responses"):
            parsed = openai_client(url).responses.parse(model=model, input="who", text_format=Person)
            self.assertEqual(parsed.output_parsed, Person(name="Ada", age=36))

    # OpenAI, Responses

    def test_openai_responses(self):
        for url, model in self.each("answer", "openai_responses"):
            client = openai_client(url)
            whole = client.responses.create(model=model, input="hello", instructions="be brief")
            self.assertTrue(whole.output_text.startswith(grid.TEXT))
            self.assertEqual(whole.status, "completed")
            with client.responses.stream(model=model, input="hello") as stream:
                text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
                final = stream.get_final_response()
            self.assertEqual(text, whole.output_text)
            self.assertEqual(final.output_text, whole.output_text)
            self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_openai_responses_tools(self):
        tools = [{"type": "function", "name": n, "parameters": TOOL, "strict": False} for n in ("get_weather", "get_time")]
        for url, model in self.each("tool", "openai_responses"):
            client = openai_client(url)
            first = client.responses.create(model=model, input="weather?", tools=tools)
            calls = [i for i in first.output if i.type == "function_call"]
            self.check_calls([(c.name, c.arguments) for c in calls])
            with client.responses.stream(model=model, input="weather?", tools=tools) as stream:
                for _ in stream:
                    pass
                calls_streamed = [i for i in stream.get_final_response().output if i.type == "function_call"]
            self.check_calls([(c.name, c.arguments) for c in calls_streamed])
            history = [{"role": "user", "content": "weather?"}, *first.output]
            history += [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in calls]
            client.responses.create(model=model, input=history, tools=tools)

    # Anthropic

    def test_anthropic(self):
        ask = {"max_tokens": 100, "messages": [{"role": "user", "content": "hello"}], "system": "be brief"}
        for url, model in self.each("answer", "anthropic"):
            client = anthropic_client(url)
            whole = client.messages.create(model=model, **ask)
            self.assertTrue(whole.content[0].text.startswith(grid.TEXT))
            self.assertEqual(whole.stop_reason, "end_turn")
            with client.messages.stream(model=model, **ask) as stream:
                text = "".join(stream.text_stream)
                final = stream.get_final_message()
            self.assertEqual(text, whole.content[0].text)
            self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_anthropic_tools(self):
        tools = [{"name": n, "input_schema": TOOL} for n in ("get_weather", "get_time")]
        for url, model in self.each("tool", "anthropic"):
            client = anthropic_client(url)
            messages = [{"role": "user", "content": "weather?"}]
            whole = client.messages.create(model=model, max_tokens=100, messages=messages, tools=tools)
            with client.messages.stream(model=model, max_tokens=100, messages=messages, tools=tools) as stream:
                streamed = stream.get_final_message()
            for message in (whole, streamed):
                self.assertEqual([(c.name, c.input) for c in message.content if c.type == "tool_use"],
                                 [("get_weather", {"city": "Paris", "days": 2}), ("get_time", {})])
                self.assertEqual(message.stop_reason, "tool_use")
                turn = messages + [{"role": "assistant", "content": message.content},
                                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": c.id, "content": "sunny"}
                                                                for c in message.content if c.type == "tool_use"]}]
                client.messages.create(model=model, max_tokens=100, messages=turn, tools=tools)

    def test_anthropic_thoughts_come_back_verbatim(self):
        for url, model in self.each("think", "anthropic"):
            client = anthropic_client(url)
            messages = [{"role": "user", "content": "2+2"}]
            ask = {"model": model, "max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
            with client.messages.stream(messages=messages, **ask) as stream:
                streamed = stream.get_final_message()
            whole = client.messages.create(messages=messages, **ask)
            for message in (whole, streamed):
                self.assertEqual(message.content[0].thinking, "I think so.")
                self.assertEqual(message.content[1].text, "Four.")
                # The fakes refuse a thought whose signature is not the one they gave.
                client.messages.create(messages=messages + [{"role": "assistant", "content": message.content},
                                                            {"role": "user", "content": "sure?"}], **ask)

    # Google

    def test_genai(self):
        for url, model in self.each("answer", "gemini"):
            client = genai_client(url)
            whole = client.models.generate_content(model=model, contents="hello")
            self.assertTrue(whole.text.startswith(grid.TEXT))
            self.assertEqual(whole.candidates[0].finish_reason, genai_types.FinishReason.STOP)
            text = "".join(c.text or "" for c in client.models.generate_content_stream(model=model, contents="hello"))
            self.assertEqual(text, whole.text)

    def test_genai_tools(self):
        declared = [genai_types.FunctionDeclaration(name=n, parameters_json_schema=TOOL) for n in ("get_weather", "get_time")]
        config = genai_types.GenerateContentConfig(tools=[genai_types.Tool(function_declarations=declared)])
        for url, model in self.each("tool", "gemini"):
            client = genai_client(url)
            ask = [genai_types.Content(role="user", parts=[genai_types.Part(text="weather?")])]
            whole = client.models.generate_content(model=model, contents=ask, config=config)
            self.assertEqual([(c.name, c.args) for c in whole.function_calls],
                             [("get_weather", {"city": "Paris", "days": 2}), ("get_time", {})])
            streamed = [c for chunk in client.models.generate_content_stream(model=model, contents=ask, config=config)
                        for c in chunk.function_calls or []]
            self.assertEqual([c.name for c in streamed], ["get_weather", "get_time"])
            answers = [genai_types.Part(function_response=genai_types.FunctionResponse(id=c.id, name=c.name, response={"result": "sunny"}))
                       for c in whole.function_calls]
            client.models.generate_content(model=model, config=config, contents=[
                *ask, whole.candidates[0].content, genai_types.Content(role="user", parts=answers)])

    # Ollama

    def test_ollama(self):
        client = ollama.Client(host=self.url)
        for dialect in grid.DIALECTS:
            with self.subTest(provider=dialect):
                ask = {"model": f"{dialect}_answer/any", "messages": [{"role": "user", "content": "hello"}]}
                whole = client.chat(**ask)
                self.assertTrue(whole.message.content.startswith(grid.TEXT))
                self.assertGreater(whole.eval_count, 20)
                self.assertEqual("".join(c.message.content for c in client.chat(stream=True, **ask)), whole.message.content)
                tools = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
                called = client.chat(model=f"{dialect}_tool/any", messages=ask["messages"], tools=tools)
                self.assertEqual(called.message.tool_calls[0].function.arguments, {"city": "Paris", "days": 2})

    # What goes wrong, in every client's own words

    def test_errors(self):
        ask = [{"role": "user", "content": "hello"}]
        for dialect in grid.DIALECTS:
            with self.subTest(provider=dialect):
                busy, cut, garbage = (f"{dialect}_{kind}/x" for kind in ("busy", "cut", "garbage"))
                with self.assertRaises(openai.RateLimitError) as caught:
                    openai_client(self.url).chat.completions.create(model=busy, messages=ask)
                self.assertEqual(caught.exception.response.headers["retry-after"], "7")
                self.assertIn("slow down", str(caught.exception))
                with self.assertRaises(anthropic.RateLimitError):
                    anthropic_client(self.url).messages.create(model=busy, max_tokens=9, messages=ask)
                google = genai_client(self.url)  # it closes when nobody holds it
                with self.assertRaises(genai.errors.ClientError) as caught:
                    google.models.generate_content(model=busy, contents="hello")
                self.assertEqual(caught.exception.code, 429)
                with self.assertRaises(openai.APIError):
                    list(openai_client(self.url).chat.completions.create(model=cut, messages=ask, stream=True))
                with self.assertRaises(anthropic.APIError):
                    list(anthropic_client(self.url).messages.create(model=cut, max_tokens=9, messages=ask, stream=True))
                with self.assertRaises(openai.InternalServerError):
                    openai_client(self.url).chat.completions.create(model=garbage, messages=ask)

    def test_candidates_are_tried_in_turn(self):
        answer = openai_client(self.url).chat.completions.with_raw_response.create(
            model="second", messages=[{"role": "user", "content": "hello"}])
        self.assertTrue(answer.parse().choices[0].message.content.startswith(grid.TEXT))
        self.assertTrue(answer.headers["x-cresset-route"].startswith("gemini_answer/x; "))


if __name__ == "__main__":
    harness.main()
