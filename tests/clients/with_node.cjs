// The official SDK for Node; where and with which key it knows from the environment.
"use strict";
const assert = require("node:assert/strict");
const OpenAI = require("openai");
const { VERSION } = require("openai/version");

const asked = (content, more = {}) => ({
  model: "small",
  messages: [{ role: "user", content }],
  ...more,
});

async function whole(client) {
  const answer = await client.chat.completions.create(asked("hello"));
  assert.equal(answer.choices[0].message.content, "Hello from here");
  assert.equal(answer.usage.total_tokens, 18);
  assert.match(answer._request_id, /^req_/);
}

async function streamed(client) {
  const pieces = [];
  let usage = null;
  const more = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(asked("hello", more))) {
    if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
    usage = chunk.usage ?? usage;
  }
  assert.equal(pieces.join(""), "Hello from here");
  assert.equal(pieces.length, 5);
  assert.equal(usage.completion_tokens, 7);
}

async function tools(client) {
  const runner = client.chat.completions.stream(asked("tools"));
  const calls = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
  assert.deepEqual(calls.map((call) => call.function.name), ["find", "read"]);
  assert.deepEqual(JSON.parse(calls[0].function.arguments), { q: "parcel" });
}

async function responses(client) {
  const response = await client.responses.create({ model: "small", input: "hello" });
  assert.equal(response.output_text, "Hello from here");
  const types = [];
  const events = await client.responses.create({ model: "small", input: "tools", stream: true });
  for await (const event of events) types.push(event.type);
  assert.equal(types[0], "response.created");
  assert.equal(types.at(-1), "response.completed");
  const stored = { model: "small", input: "hello", previous_response_id: "resp_1" };
  await assert.rejects(client.responses.create(stored), { param: "previous_response_id" });
}

async function errors(client) {
  const ask = (content, more, options) =>
    client.chat.completions.create(asked(content, more), options);
  await assert.rejects(ask("hello", {}, { headers: { Authorization: "Bearer wrong" } }), {
    name: "Error",
    status: 401,
    code: "invalid_api_key",
  });
  await assert.rejects(ask("hello", { model: "large" }), OpenAI.NotFoundError);
  await assert.rejects(ask("too long"), OpenAI.BadRequestError);
  await assert.rejects(ask("limited"), OpenAI.RateLimitError);
  await assert.rejects(async () => {
    for await (const _ of await ask("breaks", { stream: true }));
  }, /broke off/);
}

async function cancelled(client) {
  const stream = await client.chat.completions.create(asked("for ever", { stream: true }));
  for await (const _ of stream) break; // the SDK aborts the request then
}

async function main() {
  const client = new OpenAI();
  assert.deepEqual((await client.models.list()).data.map((model) => model.id), ["small"]);
  for (const check of [whole, streamed, tools, responses, errors, cancelled]) await check(client);
  console.log(`openai for Node ${VERSION}, Node ${process.version}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
