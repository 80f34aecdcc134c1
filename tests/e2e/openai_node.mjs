// The official Node client against the server at BASE_URL, on Node's own test runner. Started by openai_node.py.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

// The client is installed outside the tree, where an import does not look.
const OpenAI = createRequire(`${process.env.CRESSET_NODE_MODULES}/`)('openai');
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'not needed', maxRetries: 0 });
const ask = {
  model: process.env.MODEL,
  messages: [{ role: 'user', content: 'Name three colours.' }],
  temperature: 0,
  max_tokens: 12,
};

test('a stream says what the whole answer says', async () => {
  const whole = await client.chat.completions.create(ask);
  assert.ok(whole.choices[0].message.content.length > 0);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  let text = '';
  let usage;
  const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the client's own stream helper puts the answer together", async () => {
  const completion = await client.chat.completions.stream(ask).finalChatCompletion();
  const whole = await client.chat.completions.create(ask);
  assert.equal(completion.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(completion.choices[0].finish_reason, whole.choices[0].finish_reason);
});

test('models are listed and retrieved', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, [`local/${process.env.MODEL}`]);
  assert.equal((await client.models.retrieve(ids[0])).id, ids[0]);
});

test('completions', async () => {
  const answer = await client.completions.create({ model: ask.model, prompt: 'One, two,', temperature: 0, max_tokens: 6 });
  assert.ok(answer.choices[0].text.length > 0);
});

test('an unknown model and a bad parameter are named', async () => {
  await assert.rejects(client.chat.completions.create({ ...ask, model: 'nobody' }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...ask, temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, 'temperature');
    return true;
  });
});

test('an abort ends the stream here; the caller checks that it ended there', async () => {
  const abort = new AbortController();
  const stream = await client.chat.completions.create({ ...ask, max_tokens: 4000, ignore_eos: true, stream: true },
                                                      { signal: abort.signal });
  let received = 0;
  for await (const chunk of stream) {
    received += chunk.choices.length;
    if (received === 5) abort.abort();
  }
  assert.ok(received >= 5 && received < 200, `received ${received}`);
});
