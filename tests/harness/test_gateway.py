"""The gateway as the official SDK sees it: answers, streams, tools, errors; what is recorded."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from tests.adapters.provoking_server import (
    DONE,
    HANG,
    Answer,
    ProvokingServer,
    chunk,
    reply,
    sse,
    usage,
)
from tests.harness.gateways import HI, STOP, Player, Scene, fails, gateway, plays, says, sdk

from exitdrill.backend import (
    BackendConfig,
    Edit,
    Embedding,
    Event,
    Finish,
    MadeBy,
    Opaque,
    Prepared,
    Reasoning,
    Request,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import BackendError, BudgetSpent
from exitdrill.gateway import Call, Manner
from exitdrill_adapters.openai import OpenAIBackend

TOOL: Any = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
USAGE = Usage(0, 11, 7, cached_tokens=3)
PARALLEL: tuple[Event, ...] = (
    ToolCallDelta(0, 0, "call_a", "find", ""),
    ToolCallDelta(0, 1, "call_b", "read", ""),
    ToolCallDelta(0, 0, arguments='{"q":'),
    ToolCallDelta(0, 1, arguments='{"n":1}'),
    ToolCallDelta(0, 0, arguments='"x"}'),
    Finish(0, "tool_calls"),
)


async def ask(client: openai.AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.create(model="m", messages=HI, **more)


async def stream(client: openai.AsyncOpenAI, **more: Any) -> list[Any]:
    return [chunk async for chunk in await ask(client, stream=True, **more)]


# --- chat ---------------------------------------------------------------------------------------


async def test_a_whole_answer() -> None:
    made = MadeBy(0, {"model": "m-2026-11", "system_fingerprint": "fp_1"})
    async with gateway(plays(Text(0, "Hello "), Text(0, "you"), made, USAGE, STOP)) as scene:
        before = time.time()
        answer = await ask(scene.client, temperature=0)
        assert answer.choices[0].message.content == "Hello you"
        assert answer.choices[0].finish_reason == "stop"
        assert (answer.object, answer.model) == ("chat.completion", "m-2026-11")
        assert answer.system_fingerprint == "fp_1"
        assert answer.id.startswith("chatcmpl-")
        assert before - 1 <= answer.created <= time.time()
        counts = answer.usage
        assert (counts.prompt_tokens, counts.completion_tokens, counts.total_tokens) == (11, 7, 18)
        assert counts.prompt_tokens_details.cached_tokens == 3
        call = await scene.call()
        assert (call.owner, call.path, call.status) == ("trial 1", "/v1/chat/completions", 200)
        assert call.id == answer._request_id
        assert call.request == Request("chat", {"model": "m", "messages": HI, "temperature": 0})
        assert call.exchange.reply.text == "Hello you"
        (attempt,) = call.exchange.attempts
        assert 0 <= call.exchange.sent_ns <= attempt.ended_ns < 10**9


async def test_an_answer_without_counts_has_no_usage() -> None:
    async with gateway(says("x")) as scene:
        assert (await ask(scene.client)).usage is None


@pytest.mark.parametrize("counts", [False, True])
async def test_a_stream(counts: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if counts else {}
    async with gateway(plays(Text(0, "Hel"), Text(0, "lo \ud83d"), STOP, USAGE)) as scene:
        chunks = await stream(scene.client, **options)
        said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert said == ["", "Hel", "lo \ud83d", None]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[3].choices[0].finish_reason == "stop"
        assert len({chunk.id for chunk in chunks}) == 1
        if counts:
            assert chunks[-1].choices == []
            assert chunks[-1].usage.total_tokens == 18
            assert all(chunk.usage is None for chunk in chunks[:-1])
        assert len(chunks) == 4 + counts
        call = await scene.call()
        assert call.exchange.reply.input_tokens == 11, "what came after the end is on record too"


async def test_events_go_out_as_they_come() -> None:
    steps = (Text(0, "a"), 0.2, Text(0, "b"), 0.2, STOP)
    async with gateway(plays(*steps)) as scene:
        times = []
        async for each in await ask(scene.client, stream=True):
            if each.choices[0].delta.content or each.choices[0].finish_reason:
                times.append(time.monotonic())
        assert [later - sooner > 0.15 for sooner, later in itertools.pairwise(times)] == [
            True,
            True,
        ]


async def test_the_end_of_a_stream_does_not_wait_for_what_nobody_asked_for() -> None:
    async with gateway(plays(Text(0, "a"), STOP, 0.5, USAGE)) as scene:
        began = time.monotonic()
        await stream(scene.client)
        assert (await ask(scene.client, stream=True)) is not None, "the connection serves again"
        assert time.monotonic() - began < 0.4
        await scene.gateway.settled("trial 1")
        assert [call.exchange.reply.output_tokens for call in scene.calls] == [7, 7]


async def test_who_leaves_when_the_answer_is_whole_was_answered() -> None:
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    player = plays(Text(0, "a"), STOP, 30.0, USAGE)
    async with gateway(player) as scene:
        streaming = await ask(scene.client, **counted)
        async for each in streaming:
            if each.choices[0].finish_reason:
                break
        await streaming.close()
        call = await scene.call()
        assert (call.status, call.exchange.failure, player.closed) == (200, None, 1)
        assert call.exchange.reply.output_tokens is None


async def test_the_end_waits_for_what_completes_a_record() -> None:
    async with gateway(plays(Text(0, "a"), STOP, 0.2, USAGE)) as scene:
        await stream(scene.client)
        await scene.gateway.shut(scene.door)
        (call,) = scene.calls
        assert (call.status, call.exchange.reply.output_tokens) == (200, 7)


async def test_parallel_tool_calls_streamed_and_whole() -> None:
    async with gateway(plays(*PARALLEL)) as scene:
        answer = await ask(scene.client, tools=[TOOL])
        calls = [(c.id, c.type, c.function) for c in answer.choices[0].message.tool_calls]
        assert [(i, t, f.name, f.arguments) for i, t, f in calls] == [
            ("call_a", "function", "find", '{"q":"x"}'),
            ("call_b", "function", "read", '{"n":1}'),
        ]
        assert answer.choices[0].message.content is None
        assert answer.choices[0].finish_reason == "tool_calls"
        deltas = [c.choices[0].delta for c in await stream(scene.client, tools=[TOOL])]
        pieces = [call for delta in deltas for call in delta.tool_calls or []]
        assert [(p.index, p.id, p.function.name, p.function.arguments) for p in pieces] == [
            (0, "call_a", "find", ""),
            (1, "call_b", "read", ""),
            (0, None, None, '{"q":'),
            (1, None, None, '{"n":1}'),
            (0, None, None, '"x"}'),
        ]


async def test_a_call_without_an_id_gets_one() -> None:
    nameless = ToolCallDelta(0, 0, None, "find", "{}")
    async with gateway(plays(nameless, Finish(0, "tool_calls"))) as scene:
        whole = (await ask(scene.client)).choices[0].message.tool_calls[0].id
        chunks = await stream(scene.client)
        (call,) = [c for each in chunks for c in each.choices[0].delta.tool_calls or []]
        assert whole.startswith("call_")
        assert call.id.startswith("call_")


async def test_the_sdks_own_accumulator_is_content() -> None:
    async with (
        gateway(plays(*PARALLEL)) as scene,
        scene.client.chat.completions.stream(model="m", messages=HI, tools=[TOOL]) as events,
    ):
        final = await events.get_final_completion()
        calls = final.choices[0].message.tool_calls or []
        assert [call.function.arguments for call in calls] == ['{"q":"x"}', '{"n":1}']


@pytest.mark.parametrize(
    ("finish", "manner", "word"),
    [
        (Finish(0, "length", "model_length"), Manner(), "length"),
        (Finish(0, "length", "model_length"), Manner(raw_finish=True), "model_length"),
        (Finish(0, "stop"), Manner(raw_finish=True), "stop"),
        (Finish(0, "content_filter"), Manner(), "content_filter"),
        (Finish(0, "other", "odd"), Manner(), "odd"),
        (Finish(0, "other"), Manner(), "stop"),
        (Finish(0, "tool_calls", "function_call"), Manner(), "function_call"),
    ],
)
async def test_finish_reasons(finish: Finish, manner: Manner, word: str) -> None:
    async with gateway(plays(Text(0, "x"), finish), manner=manner) as scene:
        assert (await ask(scene.client)).choices[0].finish_reason == word
        assert (await stream(scene.client))[-1].choices[0].finish_reason == word


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_has_a_field_of_its_own(field: str) -> None:
    steps = (Reasoning(0, "hm, "), Reasoning(0, "so"), Text(0, "yes"), STOP)
    async with gateway(plays(*steps), manner=Manner(reasoning=field)) as scene:
        message = (await ask(scene.client)).choices[0].message
        assert (getattr(message, field), message.content) == ("hm, so", "yes")
        deltas = [each.choices[0].delta for each in await stream(scene.client)]
        assert [getattr(delta, field, None) for delta in deltas] == [None, "hm, ", "so", None, None]


async def test_refusals_logprobs_and_vendor_data() -> None:
    def probs(token: str) -> Opaque:
        return Opaque(0, {"logprobs": {"content": [{"token": token, "logprob": -1.0}]}})

    steps = (
        Opaque(0, {"refusal": "I "}),
        Opaque(0, {"refusal": "won't", "signature": "abc", "role": "not ours"}),
        probs("a"),
        probs("b"),
        STOP,
    )
    async with gateway(plays(*steps)) as scene:
        choice = (await ask(scene.client)).choices[0]
        assert (choice.message.refusal, choice.message.content) == ("I won't", None)
        assert (choice.message.role, choice.message.signature) == ("assistant", "abc")
        assert [each.token for each in choice.logprobs.content] == ["a", "b"]
        chunks = await stream(scene.client)
        said = "".join(each.choices[0].delta.refusal or "" for each in chunks)
        assert said == "I won't"
        tokens = [each.choices[0].logprobs for each in chunks if each.choices[0].logprobs]
        assert [each.content[0].token for each in tokens] == ["a", "b"]


async def test_parts_that_are_no_text_stay_parts() -> None:
    part = {"type": "reference", "reference_ids": [1]}
    async with gateway(plays(Text(0, "see"), Opaque(0, {"content": part}), STOP)) as scene:
        whole = (await ask(scene.client)).choices[0].message
        assert whole.content == [{"type": "text", "text": "see"}, part]
        chunks = await stream(scene.client)
        assert [part] in [each.choices[0].delta.content for each in chunks]


# --- several answers ----------------------------------------------------------------------------


def numbered() -> Player:
    """A backend that gives each answer a number."""
    player = Player(lambda _: (Text(0, f"answer {len(player.asked)}"), USAGE, STOP))
    return player


async def test_several_answers_are_an_edit_that_has_to_be_allowed() -> None:
    async with gateway(numbered()) as scene:
        with pytest.raises(openai.BadRequestError, match="'transform:/n'") as caught:
            await ask(scene.client, n=3)
        assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")
        await scene.gateway.settled("trial 1")
        assert {call.exchange.failure.kind for call in scene.calls if call.exchange.failure} == {
            "rejected"
        }


async def test_several_answers_are_several_exchanges() -> None:
    player = numbered()
    async with gateway(player, spec={"allow_edits": ["transform:/n"]}) as scene:
        answer = await ask(scene.client, n=3)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        texts = {choice.message.content for choice in answer.choices}
        assert texts == {"answer 1", "answer 2", "answer 3"}
        assert answer.usage.prompt_tokens == 33
        assert [dict(each.body) for each in player.asked] == [{"model": "m", "messages": HI}] * 3
        assert [(call.choice, call.id) for call in scene.calls] == [
            (number, answer._request_id) for number in range(3)
        ]
        scene.calls.clear()
        chunks = await stream(scene.client, n=2)
        ends = [c.choices[0].index for c in chunks if c.choices[0].finish_reason]
        assert sorted(ends) == [0, 1]
        await scene.gateway.settled("trial 1")
        assert len(scene.calls) == 2


@pytest.mark.parametrize("wanted", [0, -1, 1.5, True, "2", 1000])
async def test_a_number_of_answers_that_is_none(wanted: Any) -> None:
    async with gateway(says("x")) as scene:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(scene.client, n=wanted)
        assert caught.value.param == "n"


# --- other operations ---------------------------------------------------------------------------


async def test_completions() -> None:
    async with gateway(plays(Text(0, "once "), Text(0, "more"), USAGE, STOP)) as scene:
        whole = await scene.client.completions.create(model="m", prompt="say")
        assert (whole.choices[0].text, whole.object) == ("once more", "text_completion")
        streamed = await scene.client.completions.create(model="m", prompt="say", stream=True)
        assert [each.choices[0].text async for each in streamed] == ["once ", "more", ""]
        assert {call.request.operation for call in scene.calls if call.request} == {"completion"}


async def test_a_completions_logprobs_and_reasoning() -> None:
    probs = Opaque(0, {"logprobs": {"tokens": ["a"], "token_logprobs": [-1.0]}})
    async with gateway(plays(Reasoning(0, "hm"), Text(0, "a"), probs, STOP)) as scene:
        (choice,) = (await scene.client.completions.create(model="m", prompt="say")).choices
        assert (choice.text, choice.logprobs and choice.logprobs.tokens) == ("a", ["a"])
        assert choice.model_extra == {"reasoning_content": "hm"}
        streamed = await scene.client.completions.create(model="m", prompt="say", stream=True)
        choices = [each.choices[0] async for each in streamed]
        assert [each.logprobs.tokens for each in choices if each.logprobs] == [["a"]]
        assert (choices[0].model_extra or {})["reasoning_content"] == "hm"


async def test_models() -> None:
    async with gateway(says("x"), models=["m", "org/other"]) as scene:
        assert [each.id async for each in scene.client.models.list()] == ["m", "org/other"]
        assert (await scene.client.models.retrieve("org/other")).id == "org/other"
        with pytest.raises(openai.NotFoundError, match="'nobody' is not served"):
            await scene.client.models.retrieve("nobody")
        with pytest.raises(openai.NotFoundError, match="'gpt-4o' is not served here") as caught:
            await scene.client.chat.completions.create(model="gpt-4o", messages=HI)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


VECTORS = (Embedding(0, 0, (0.5, -1.0)), Embedding(0, 1, (2.0, 0.25)), Usage(0, 5, 0), STOP)


@pytest.mark.parametrize("encoding", ["float", "base64", None])
async def test_embeddings(encoding: Any) -> None:
    more = {} if encoding is None else {"encoding_format": encoding}
    player = plays(*VECTORS)
    async with gateway(player) as scene:
        found = await scene.client.embeddings.create(model="m", input=["a", "b"], **more)
        vectors = [each.embedding for each in found.data]
        if encoding == "base64":
            assert len(base64.b64decode(str(vectors[0]))) == 8
        else:
            assert vectors == [[0.5, -1.0], [2.0, 0.25]]
        assert found.usage.prompt_tokens == 5
        assert dict(player.asked[0].body) == {"model": "m", "input": ["a", "b"]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
    ],
)
async def test_embeddings_that_cannot_be_asked_for(more: dict[str, Any], param: str) -> None:
    async with gateway(plays(*VECTORS)) as scene:
        with pytest.raises(openai.BadRequestError) as caught:
            await scene.client.embeddings.create(model="m", input="a", extra_body=more)
        assert caught.value.param == param


async def test_a_vector_that_base64_cannot_hold() -> None:
    async with gateway(plays(Embedding(0, 0, (1e300,)), STOP)) as scene:
        with pytest.raises(openai.InternalServerError, match="float32 cannot"):
            await scene.client.embeddings.create(model="m", input="a", encoding_format="base64")


async def test_an_operation_that_the_backend_has_not() -> None:
    async with gateway(plays(*VECTORS, operations=frozenset({"chat"}))) as scene:
        with pytest.raises(openai.NotFoundError, match="the backend has no embedding"):
            await scene.client.embeddings.create(model="m", input="a")
        call = await scene.call()
        assert call.exchange.failure
        assert call.exchange.failure.kind == "unsupported"


async def test_what_keeps_state_elsewhere_is_not_there_and_on_record() -> None:
    async with gateway(says("x")) as scene:
        with pytest.raises(openai.NotFoundError, match="unknown request URL: GET /v1/files"):
            await scene.client.files.list()
        call = await scene.call()
        assert (call.path, call.status, call.request) == ("/v1/files", 404, None)
        assert call.exchange.attempts == ()


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected", "status", "code"),
    [
        (BackendError("auth", "bad key"), openai.AuthenticationError, 401, "invalid_api_key"),
        (
            BackendError("auth", "no money", status=429),
            openai.RateLimitError,
            429,
            "insufficient_quota",
        ),
        (
            BackendError("auth", "not you", status=403),
            openai.PermissionDeniedError,
            403,
            "permission_denied",
        ),
        (
            BackendError("rate_limit", "slow down", status=429, retry_after=7),
            openai.RateLimitError,
            429,
            "rate_limit_exceeded",
        ),
        (BackendError("bad_parameter", "no", status=400), openai.BadRequestError, 400, None),
        (
            BackendError("bad_parameter", "no such model", status=404),
            openai.NotFoundError,
            404,
            "not_found",
        ),
        (
            BackendError("bad_parameter", "unprocessable", status=422),
            openai.UnprocessableEntityError,
            422,
            None,
        ),
        (
            BackendError("context_overflow", "too long"),
            openai.BadRequestError,
            400,
            "context_length_exceeded",
        ),
        (BackendError("content_filter", "no"), openai.BadRequestError, 400, "content_filter"),
        (BackendError("server", "broke"), openai.InternalServerError, 500, None),
        (
            BackendError("server", "in stream", status=200),
            openai.InternalServerError,
            500,
            None,
        ),
        (
            BackendError("overloaded", "busy", status=529),
            openai.InternalServerError,
            529,
            "overloaded",
        ),
        (BackendError("timeout", "late"), openai.InternalServerError, 504, "timeout"),
        (BackendError("timeout", "late", status=408), openai.APIStatusError, 408, "timeout"),
        (BackendError("unreachable", "gone"), openai.InternalServerError, 502, "unreachable"),
        (BackendError("malformed_stream", "?!"), openai.InternalServerError, 502, "bad_answer"),
        (BackendError("crashed", "killed"), openai.InternalServerError, 500, "crashed"),
    ],
    ids=lambda value: str(value) if isinstance(value, BackendError) else None,
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_errors(
    error: BackendError, expected: type[Exception], status: int, code: str | None, streamed: bool
) -> None:
    async with gateway(plays(error)) as scene:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(scene.client, stream=streamed)
        assert isinstance(caught.value, expected)
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert error.message in caught.value.message
        assert caught.value.response.headers.get("retry-after") == (
            "7" if error.retry_after else None
        )
        call = await scene.call()
        assert call.status == status
        assert call.exchange.failure
        assert call.exchange.failure.kind == error.kind
        assert [attempt.error for attempt in call.exchange.attempts] == [error.kind]


async def test_the_sdk_retries_as_it_is_told_and_each_is_an_exchange() -> None:
    def play(_: Request) -> tuple[Any, ...]:
        if len(player.asked) < 3:
            return (BackendError("rate_limit", "wait", status=429, retry_after=0.05),)
        return (Text(0, "at last"), STOP)

    player = Player(play)
    async with gateway(player) as scene:
        began = time.monotonic()
        async with sdk(scene.door.url, scene.door.key, max_retries=5) as client:
            assert (await ask(client)).choices[0].message.content == "at last"
        assert time.monotonic() - began < 2
        assert [call.status for call in scene.calls] == [429, 429, 200]


async def test_what_cannot_change_is_not_retried() -> None:
    async with gateway(fails("crashed", "the model's process died")) as scene:
        async with sdk(scene.door.url, scene.door.key, max_retries=5) as client:
            with pytest.raises(openai.InternalServerError):
                await ask(client)
        assert len(scene.calls) == 1


async def test_an_error_in_the_middle_reaches_the_app() -> None:
    error = BackendError("overloaded", "the server broke off", status=200)
    async with gateway(plays(Text(0, "half"), error)) as scene:
        with pytest.raises(openai.APIError, match="the server broke off"):
            await stream(scene.client)
        call = await scene.call()
        assert (call.status, call.exchange.reply.text) == (200, "half")
        assert call.exchange.failure
        assert call.exchange.failure.kind == "overloaded"


@pytest.mark.parametrize("ends", [(), (Finish(0, "error", "abort"),)])
async def test_an_answer_that_is_not_whole_is_an_error(ends: tuple[Event, ...]) -> None:
    async with gateway(plays(Text(0, "half"), *ends)) as scene:
        with pytest.raises(openai.InternalServerError):
            await ask(scene.client)
        with pytest.raises(openai.APIError):
            await stream(scene.client)


async def test_the_scenarios_timeouts_are_in_force() -> None:
    timeouts = {"timeouts": {"request": 0.1, "gap": 60}}
    async with gateway(plays(5.0, STOP), spec=timeouts) as scene:
        with pytest.raises(openai.InternalServerError, match=r"longer than 0\.1 s") as caught:
            await ask(scene.client)
        assert caught.value.status_code == 504


async def test_an_app_that_loses_patience() -> None:
    player = plays(30.0, STOP)
    async with gateway(player) as scene:
        with pytest.raises(openai.APITimeoutError):
            await ask(scene.client.with_options(timeout=0.1))
        call = await scene.call()
        assert (call.status, player.closed) == (499, 1)
        assert call.exchange.failure
        assert call.exchange.failure.kind == "cancelled"


# --- edits --------------------------------------------------------------------------------------

DROP = Edit("drop", "/seed", "has no seed")
REJECT = Edit("reject", "/tools/0/function/strict", "knows no strict tools")


@pytest.mark.parametrize(
    ("edit", "rules", "param"),
    [
        (DROP, ["rename"], "seed"),
        (DROP, ["drop:/seed"], None),
        (REJECT, ["rename", "drop", "transform"], "tools[0].function.strict"),
    ],
)
async def test_edits_are_allowed_by_the_scenario_or_refused_by_name(
    edit: Edit, rules: list[str], param: str | None
) -> None:
    player = plays(Text(0, "x"), STOP, edits=(edit,))
    async with gateway(player, spec={"allow_edits": rules}) as scene:
        if param is None:
            await ask(scene.client, seed=1)
        else:
            with pytest.raises(openai.BadRequestError, match=edit.detail) as caught:
                await ask(scene.client, seed=1)
            assert caught.value.param == param
            assert player.asked == []
        call = await scene.call()
        assert call.exchange.edits == (edit,)
        assert (call.exchange.failure is None) == (param is None)


# --- the drill's side ---------------------------------------------------------------------------


async def test_a_spent_budget_is_said_and_not_retried() -> None:
    async def admit(call: Call) -> None:
        raise BudgetSpent(f"no more for {call.owner}")

    player = says("x")
    async with gateway(player, admit=admit) as scene:
        async with sdk(scene.door.url, scene.door.key, max_retries=3) as client:
            with pytest.raises(openai.RateLimitError, match="no more for trial 1") as caught:
                await ask(client)
        assert caught.value.code == "insufficient_quota"
        call = await scene.call()
        assert (call.status, call.request is not None) == (429, True)
        assert player.asked == []


async def test_a_defect_is_an_error_for_the_app_and_raised_in_the_end() -> None:
    async def drill() -> None:
        async with gateway(plays(KeyError("an adapter's mistake"))) as scene:
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(scene.client)
            assert caught.value.code == "defect"
            assert "mistake" not in caught.value.message

    with pytest.raises(KeyError, match="an adapter's mistake"):
        await drill()


async def test_a_defect_before_the_call_is_one_as_well() -> None:
    class Broken(Player):
        def prepare(self, request: Request) -> Prepared:
            raise KeyError("prepare must not raise")

    async def drill() -> None:
        async with gateway(Broken(lambda _: ())) as scene:
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(scene.client)
            assert caught.value.code == "defect"

    with pytest.raises(KeyError, match="prepare"):
        await drill()


async def test_calls_are_somebodys() -> None:
    async with gateway(says("x")) as scene:
        other = scene.gateway.open("trial 2")
        async with sdk(other.url, other.key) as client:
            await ask(client)
            scene.gateway.assign(other, "trial 3")
            await ask(client)
        async with sdk(scene.gateway.url, scene.gateway.key) as client:
            await ask(client)
            await ask(client, extra_headers={"X-Exitdrill-Trial": scene.door.token})
        owners = [call.owner for call in scene.calls]
        assert owners == ["trial 2", "trial 3", None, "trial 1"]


async def test_a_door_that_is_shut_ends_what_came_through_it() -> None:
    player = plays(Text(0, "a"), 30.0, STOP)
    async with gateway(player) as scene:
        streaming = await ask(scene.client, stream=True)
        began = time.monotonic()
        await scene.gateway.shut(scene.door)
        assert time.monotonic() - began < 1
        with pytest.raises(openai.APIConnectionError):
            async for _ in streaming:
                pass
        (call,) = scene.calls
        assert (call.exchange.reply.text, player.closed) == ("a", 1)
        with pytest.raises(openai.NotFoundError, match="its trial is over"):
            await ask(scene.client)


async def test_sixty_four_at_once() -> None:
    player = Player(lambda request: (0.05, Text(0, str(request.body["seed"])), STOP))
    async with gateway(player) as scene:

        async def one(seed: int) -> bool:
            if seed % 2:
                return bool(
                    (await ask(scene.client, seed=seed)).choices[0].message.content == str(seed)
                )
            chunks = await stream(scene.client, seed=seed)
            return bool(chunks[1].choices[0].delta.content == str(seed))

        assert all(await asyncio.gather(*map(one, range(64))))
        await scene.gateway.settled("trial 1")
        assert len({call.id for call in scene.calls}) == 64


# --- before a real endpoint ---------------------------------------------------------------------

FOUND = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": '{"a":1}'}}


@contextlib.asynccontextmanager
async def before(*answers: Answer) -> AsyncIterator[tuple[Scene, ProvokingServer]]:
    """A gateway before an endpoint that gives these answers."""
    async with ProvokingServer() as server:
        server.answer(*answers)
        backend = OpenAIBackend(BackendConfig("b", "openai", "m", endpoint=server.url))
        await backend.start()
        try:
            async with gateway(backend) as scene:
                yield scene, server
        finally:
            await backend.close()


async def test_before_an_endpoint_requests_and_answers_go_through() -> None:
    pieces = (chunk("Let me see"), chunk(tool_calls=[FOUND]), chunk(finish="tool_calls"))
    async with before(sse(*pieces, usage(9, 4), DONE)) as (scene, server):
        answer = await ask(scene.client, tools=[TOOL], temperature=0.5)
        message = answer.choices[0].message
        assert (message.content, message.tool_calls[0].id) == ("Let me see", "c1")
        assert answer.usage.total_tokens == 13
        sent = server.requests[-1].body
        assert (sent["tools"], sent["temperature"]) == ([TOOL], 0.5)


async def test_before_an_endpoint_its_errors_go_through() -> None:
    slow = reply({"error": {"message": "slow"}}, 429, Retry_After="3")
    async with before(slow, Answer(status=503, body=[b"busy"])) as (scene, _):
        with pytest.raises(openai.RateLimitError, match="slow") as caught:
            await ask(scene.client)
        assert caught.value.response.headers["retry-after"] == "3"
        with pytest.raises(openai.InternalServerError, match="busy") as busy:
            await ask(scene.client)
        assert busy.value.status_code == 503


async def test_before_an_endpoint_that_embeds() -> None:
    data = [{"embedding": [0.5], "index": 0}]
    async with before(reply({"data": data, "usage": {"prompt_tokens": 1}})) as (scene, _):
        found = await scene.client.embeddings.create(model="m", input="a")
        assert found.data[0].embedding == [0.5]


async def test_before_an_endpoint_a_client_that_leaves_is_followed() -> None:
    async with before(Answer([b'data: {"choices": []}\n\n', HANG])) as (scene, server):
        with pytest.raises(openai.APITimeoutError):
            await ask(scene.client.with_options(timeout=0.2))
        async with asyncio.timeout(2):
            await server.abandoned.wait()
        assert (await scene.call()).status == 499
