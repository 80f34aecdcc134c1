// The official Node clients against providers of every dialect behind the server at BASE_URL, and straight against
// the fake of their own dialect. Started by matrix_node.py.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';

const require = createRequire(`${process.env.CRESSET_NODE_MODULES}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const OpenAI = require('openai');
const { default: Anthropic } = await load('@anthropic-ai/sdk');
const { GoogleGenAI } = await load('@google/genai');

const DIALECTS = ['openai_chat', 'openai_responses', 'anthropic', 'gemini'];
const schema = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] };
const places = (kind, own) => [
  ...DIALECTS.map((d) => [process.env.BASE_URL, `${d}_${kind}/any`]),
  [process.env[`LIGHT_${own}_${kind}`.toUpperCase()], 'any'],
];
const begins = (text) => assert.ok(text.startsWith('This light is not a real one'), text);

for (const [url, model] of places('answer', 'openai_chat')) {
  test(`openai chat, ${model}`, async () => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const ask = { model, messages: [{ role: 'user', content: 'hello' }] };
    const whole = await client.chat.completions.create(ask);
    begins(whole.choices[0].message.content);
    const streamed = await client.chat.completions.stream(ask).finalChatCompletion();
    assert.equal(streamed.choices[0].message.content, whole.choices[0].message.content);
  });
}

for (const [url, model] of places('tool', 'openai_chat')) {
  test(`openai chat tools, ${model}`, async () => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const tools = ['get_weather', 'get_time'].map((name) => ({ type: 'function', function: { name, parameters: schema } }));
    const answer = await client.chat.completions.stream({ model, tools, messages: [{ role: 'user', content: 'weather?' }] })
      .finalChatCompletion();
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((c) => c.function.name), ['get_weather', 'get_time']);
    assert.deepEqual(JSON.parse(calls[0].function.arguments), { city: 'Paris', days: 2 });
  });
}

for (const [url, model] of places('answer', 'openai_responses')) {
  test(`openai responses, ${model}`, async () => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const whole = await client.responses.create({ model, input: 'hello' });
    begins(whole.output_text);
    let text = '';
    for await (const event of await client.responses.create({ model, input: 'hello', stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(text, whole.output_text);
  });
}

for (const [url, model] of places('answer', 'anthropic')) {
  test(`anthropic, ${model}`, async () => {
    const client = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
    const ask = { model, max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] };
    const whole = await client.messages.create(ask);
    begins(whole.content[0].text);
    const streamed = await client.messages.stream(ask).finalMessage();
    assert.equal(streamed.content[0].text, whole.content[0].text);
  });
}

for (const [url, model] of places('tool', 'anthropic')) {
  test(`anthropic tools, ${model}`, async () => {
    const client = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
    const tools = ['get_weather', 'get_time'].map((name) => ({ name, input_schema: schema }));
    const ask = { model, max_tokens: 100, tools, messages: [{ role: 'user', content: 'weather?' }] };
    const message = await client.messages.stream(ask).finalMessage();
    const calls = message.content.filter((b) => b.type === 'tool_use');
    assert.deepEqual(calls.map((c) => [c.name, c.input]), [['get_weather', { city: 'Paris', days: 2 }], ['get_time', {}]]);
    const results = calls.map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: 'sunny' }));
    await client.messages.create({ ...ask, messages: [...ask.messages, { role: 'assistant', content: message.content },
                                                      { role: 'user', content: results }] });
  });
}

for (const [url, model] of places('think', 'anthropic')) {
  test(`anthropic thoughts, ${model}`, async () => {
    const client = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
    const ask = { model, max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1024 }, messages: [{ role: 'user', content: '2+2' }] };
    const message = await client.messages.stream(ask).finalMessage();
    assert.equal(message.content[0].thinking, 'I think so.');
    await client.messages.create({ ...ask, messages: [...ask.messages, { role: 'assistant', content: message.content },
                                                      { role: 'user', content: 'sure?' }] });
  });
}

for (const [url, model] of places('answer', 'gemini')) {
  test(`google, ${model}`, async () => {
    const client = new GoogleGenAI({ apiKey: 'any', httpOptions: { baseUrl: url } });
    const whole = await client.models.generateContent({ model, contents: 'hello' });
    begins(whole.text);
    let text = '';
    for await (const chunk of await client.models.generateContentStream({ model, contents: 'hello' })) text += chunk.text ?? '';
    assert.equal(text, whole.text);
  });
}
