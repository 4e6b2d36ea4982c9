"""The adapter against a server that provokes it."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from exitdrill.backend import (
    Embedding,
    Event,
    Finish,
    Opaque,
    Operation,
    Reasoning,
    Replayed,
    Reply,
    Request,
    Text,
    Timeouts,
    ToolCall,
    Usage,
    fold,
)
from exitdrill.errors import AdapterError, BackendError, ErrorKind, ScenarioError
from exitdrill_adapters.openai import OpenAIBackend
from exitdrill_adapters.openai.recount import TokenCounter

from .conftest import MakeBackend
from .provoking_server import (
    DONE,
    DROP,
    HANG,
    Answer,
    ProvokingServer,
    chunk,
    reply,
    sse,
    usage,
)

HI = {"messages": [{"role": "user", "content": "hi there"}]}
STOP = chunk(finish="stop")
LONG = {"messages": [{"role": "user", "content": "a " * 400_000}]}


async def ask(
    backend: OpenAIBackend,
    body: dict[str, Any] = HI,
    operation: str = "chat",
    events: list[Event] | None = None,
) -> list[Event]:
    """All events of one answer; into ``events`` where those before an error matter."""
    events = [] if events is None else events
    await backend.start()
    request = Request(cast(Operation, operation), body)
    async for event in backend.stream(backend.prepare(request)):
        events.append(event)
    return events


async def answered(backend: OpenAIBackend, body: dict[str, Any] = HI) -> Reply:
    return fold(await ask(backend, body))


async def failed(backend: OpenAIBackend, operation: str = "chat") -> BackendError:
    with pytest.raises(BackendError) as caught:
        await ask(backend, {**HI, "prompt": "a", "input": "a"}, operation)
    return caught.value


# --- answers ------------------------------------------------------------------------------------


async def test_an_answer(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(
        sse(chunk("", role="assistant"), chunk("Hel"), chunk("lo"), STOP, usage(7, 2), DONE)
    )
    backend = make("vllm", headers={"X-Drill": "1"}, extra_body={"top_k": 1})
    events = await ask(backend)
    assert [type(event) for event in events] == [Text, Text, Finish, Usage]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert fold(events) == Reply(
        text="Hello", finish="stop", finish_raw="stop", input_tokens=7, output_tokens=2,
        usage_source="reported", first_at=events[0].at, last_at=events[2].at,
    )  # fmt: skip
    sent = server.requests[-1]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["X-Drill"] == "1"
    assert "Authorization" not in sent.headers
    assert sent.body == {
        **HI, "model": "m", "stream": True, "stream_options": {"include_usage": True}, "top_k": 1,
    }  # fmt: skip


async def test_a_completion(server: ProvokingServer, make: MakeBackend) -> None:
    pieces = [{"choices": [{"text": text}]} for text in ("a", "", "b")]
    server.answer(sse(*pieces, {"choices": [{"text": "", "finish_reason": "length"}]}, DONE))
    events = await ask(make(), {"prompt": "x"}, "completion")
    assert (fold(events).text, fold(events).finish) == ("ab", "length")
    assert server.requests[-1].path == "/v1/completions"


@pytest.mark.parametrize("packed", [False, True])
async def test_embeddings(server: ProvokingServer, make: MakeBackend, packed: bool) -> None:
    vectors = [(0.5, -1.0), (2.0, 0.25)]
    data: list[dict[str, Any]] = [
        {
            "index": at,
            "embedding": base64.b64encode(struct.pack("<2f", *vector)).decode()
            if packed
            else list(vector),
        }
        for at, vector in enumerate(vectors)
    ]
    server.answer(reply({"data": data[::-1], "usage": {"prompt_tokens": 3, "total_tokens": 3}}))
    events = await ask(make(), {"input": ["a", "b"]}, "embedding")
    assert fold(events).vectors == tuple(vectors)
    assert [type(event) for event in events] == [Embedding, Embedding, Usage, Finish]
    assert (fold(events).input_tokens, fold(events).output_tokens) == (3, 0)


async def test_pieces_have_the_time_of_their_arrival(
    server: ProvokingServer, make: MakeBackend
) -> None:
    first = sse(chunk("a"), chunk("b"), together=True).body[0]
    second = sse(chunk("c"), STOP, DONE, together=True).body[0]
    server.answer(Answer([0.05, first, 0.05, second]))
    events = await ask(make())
    a, b, c, finish = (event.at for event in events)
    assert a == b >= 50e6
    assert c == finish >= a + 45e6


async def test_the_clock_starts_when_stream_is_called(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(sse(chunk("a"), STOP, DONE))
    backend = make()
    await backend.start()
    stream = backend.stream(backend.prepare(Request("chat", HI)))
    await asyncio.sleep(0.05)
    assert [event.at >= 50e6 for event in [e async for e in stream]] == [True, True]


async def test_any_split_of_the_bytes(server: ProvokingServer, make: MakeBackend) -> None:
    whole = sse(chunk("Grüße 🎉"), STOP, usage(1, 2), DONE, together=True).body[0]
    assert isinstance(whole, bytes)
    whole = whole.replace(b"\n", b"\r\n")
    backend = make()
    for size in (1, 7, 50):
        server.answer(Answer([whole[at : at + size] for at in range(0, len(whole), size)]))
        got = await answered(backend)
        assert (got.text, got.finish, got.output_tokens) == ("Grüße 🎉", "stop", 2)
        server.answer(Answer([whole]))
        await answered(backend)


# vendor, the deltas, what they add up to
DELTAS: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("vllm", [chunk(reasoning="h"), chunk(reasoning="m"), chunk("y")],
     {"reasoning": "hm", "text": "y"}),
    ("vllm", [chunk(reasoning="hm", reasoning_content="hm"), chunk("y")],
     {"reasoning": "hm", "text": "y"}),
    ("llama_cpp", [chunk("", reasoning_content="hm"), chunk("y")],
     {"reasoning": "hm", "text": "y"}),
    ("vllm", [chunk("<th"), chunk("ink>h"), chunk("m</"), chunk("think>y")],
     {"reasoning": "hm", "text": "y"}),
    ("openai", [chunk("<think>hm</think>y")], {"reasoning": "", "text": "<think>hm</think>y"}),
    ("mistral", [chunk([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
                 chunk([{"type": "text", "text": "y"}])], {"reasoning": "hm", "text": "y"}),
    ("vllm", [chunk("<thi")], {"text": "<thi"}),
    ("generic", [{"choices": [{"index": 0, "delta": None}]}, chunk("y")], {"text": "y"}),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "deltas", "parts"), DELTAS)
async def test_reasoning(
    server: ProvokingServer,
    make: MakeBackend,
    vendor: str,
    deltas: list[dict[str, Any]],
    parts: dict[str, Any],
) -> None:
    server.answer(sse(*deltas, STOP, DONE))
    events = await ask(make(vendor))
    got = fold(events)
    assert {name: getattr(got, name) for name in parts} == parts
    assert not [e for e in events if isinstance(e, Text | Reasoning) and not e.text]


def call(number: int | None, identity: str | None, arguments: Any, name: str | None = "f") -> Any:
    return {"index": number, "id": identity, "function": {"name": name, "arguments": arguments}}


CALLS: list[tuple[list[Any], list[ToolCall]]] = [
    ([call(0, "a", ""), call(0, None, '{"x"', None), call(0, None, ": 1}", None)],
     [ToolCall("a", "f", '{"x": 1}')]),
    ([call(0, "a", '{"x": 1}'), call(1, "b", "{}")],
     [ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "f", "{}")]),
    ([call(0, "a", {"x": "ü"})], [ToolCall("a", "f", '{"x": "ü"}')]),
    ([call(0, "a", "1"), call(0, "b", "2")],
     [ToolCall("a", "f", "1"), ToolCall("b", "f", "2")]),
    ([call(None, "a", "1"), call(None, "b", "2"), call(None, None, "3")],
     [ToolCall("a", "f", "1"), ToolCall("b", "f", "23")]),
    ([call(0, "a", "1"), call(0, "a", "2")], [ToolCall("a", "f", "12")]),
    ([call(0, "a", None)], [ToolCall("a", "f", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("deltas", "calls"), CALLS)
async def test_tool_calls(
    server: ProvokingServer, make: MakeBackend, deltas: list[Any], calls: list[ToolCall]
) -> None:
    chunks = [chunk(tool_calls=[delta]) for delta in deltas]
    server.answer(sse(*chunks, chunk(finish="tool_calls"), DONE))
    got = await answered(make())
    assert (list(got.tool_calls), got.finish) == (calls, "tool_calls")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("error", "error"),
        ("wandered_off", "other"),
    ],
)
async def test_finish_reasons(
    server: ProvokingServer, make: MakeBackend, raw: str, reason: str
) -> None:
    server.answer(sse(chunk("a", finish=raw), DONE))
    got = await answered(make())
    assert (got.finish, got.finish_raw) == (reason, raw)


async def test_what_only_the_vendor_understands_is_kept(
    server: ProvokingServer, make: MakeBackend
) -> None:
    scored = chunk("a")
    scored["choices"][0]["logprobs"] = {"content": [1]}
    server.answer(sse(scored, chunk(refusal="no", audio=None), STOP, DONE))
    kept = [event.data for event in await ask(make()) if isinstance(event, Opaque)]
    assert kept == [{"logprobs": {"content": [1]}}, {"refusal": "no"}]


async def test_cached_tokens(server: ProvokingServer, make: MakeBackend) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}}
    server.answer(sse(chunk("a"), STOP, usage(7, 1, **details), DONE))
    assert (await answered(make())).cached_tokens == 5


async def test_done_is_not_needed_after_a_finish_reason(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(sse(chunk("a"), STOP, usage(1, 1)))
    got = await answered(make("transformers_serve"))
    assert (got.text, got.finish, got.output_tokens) == ("a", "stop", 1)


@pytest.mark.parametrize("pieces", [["one E", "N", "D two"], ["one END"], list("one END")])
async def test_stop_strings_are_cut_off(
    server: ProvokingServer, make: MakeBackend, pieces: list[str]
) -> None:
    final = {**chunk(finish="length"), "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    server.answer(sse(*map(chunk, pieces), final))
    got = await answered(make("transformers_serve"), {**HI, "stop": ["END"]})
    assert (got.text, got.finish, got.output_tokens) == ("one ", "stop", 4)


async def test_what_only_began_like_a_stop_string_is_shown(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(sse(chunk("one EN"), chunk(finish="length")))
    got = await answered(make("transformers_serve"), {**HI, "stop": "END"})
    assert (got.text, got.finish) == ("one EN", "length")


async def test_connections_are_used_again(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(sse(chunk("a"), STOP, DONE))
    backend = make()
    await backend.start()
    for _ in range(3):
        await again(backend)
    assert len(server.connections) == 1


async def again(backend: OpenAIBackend) -> Reply:
    stream = backend.stream(backend.prepare(Request("chat", HI)))
    return fold([event async for event in stream])


async def test_many_at_once(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(sse(*[chunk("x")] * 5, STOP, DONE))
    backend = make()
    await backend.start()
    replies = await asyncio.gather(*[again(backend) for _ in range(50)])
    assert {reply.text for reply in replies} == {"xxxxx"}


# --- answers that were not made now --------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({}, None),
        ({"X-Cache": "HIT"}, "x-cache: HIT"),
        ({"X-Cache": "Hit from cloudfront"}, "x-cache: Hit from cloudfront"),
        ({"X-Cache": "MISS, HIT"}, "x-cache: MISS, HIT"),
        ({"X-Cache": "TCP_HIT"}, "x-cache: TCP_HIT"),
        ({"X-Cache": "Miss from cloudfront"}, None),
        ({"X-Cache": "RefreshHit from cloudfront"}, "x-cache: RefreshHit from cloudfront"),
        ({"X-Cache": "hit-for-pass"}, None),
        ({"X-Cache": "MISS, hit-for-miss"}, None),
        ({"X-Cache": "hit-for-pass, HIT"}, "x-cache: hit-for-pass, HIT"),
        ({"X-Cache": "cache-hit: 0"}, None),
        ({"X-Cache": "cache-hit: 1"}, "x-cache: cache-hit: 1"),
        ({"X-Cache": "hit=false"}, None),
        ({"X-Cache-Status": "NO-HIT"}, None),
        ({"X-Cache-Status": "NOT HIT"}, None),
        ({"X-Cache": "white"}, None),
        ({"X-Cache-Status": "Hit"}, "x-cache-status: Hit"),
        ({"CF-Cache-Status": "DYNAMIC"}, None),
        ({"CF-Cache-Status": "MISS"}, None),
        ({"CF-Cache-Status": "EXPIRED"}, None),
        ({"CF-Cache-Status": "REVALIDATED"}, "cf-cache-status: REVALIDATED"),
        ({"CF-Cache-Status": "HIT"}, "cf-cache-status: HIT"),
        ({"CF-Cache-Status": "STALE"}, "cf-cache-status: STALE"),
        ({"CF-Cache-Status": "UPDATING"}, "cf-cache-status: UPDATING"),
        ({"cf-aig-cache-status": "HIT"}, "cf-aig-cache-status: HIT"),
        ({"cf-aig-cache-status": "MISS"}, None),
        ({"Helicone-Cache": "HIT"}, "helicone-cache: HIT"),
        ({"Helicone-Cache": "MISS"}, None),
        ({"x-portkey-cache-status": "SEMANTIC HIT"}, "x-portkey-cache-status: SEMANTIC HIT"),
        ({"x-portkey-cache-status": "SEMANTIC MISS"}, None),
        ({"x-portkey-cache-status": "DISABLED"}, None),
        ({"x-portkey-cache-status": "REFRESH"}, None),
        ({"X-OpenRouter-Cache-Status": "HIT"}, "x-openrouter-cache-status: HIT"),
        ({"x-litellm-cache-key": "586bf3"}, "x-litellm-cache-key: 586bf3"),
        ({"x-litellm-cache-key": ""}, None),
        ({"Cache-Status": "ExampleCache; hit"}, "cache-status: ExampleCache; hit"),
        (
            {"Cache-Status": "a; fwd=miss, b; hit; ttl=3"},
            "cache-status: a; fwd=miss, b; hit; ttl=3",
        ),
        ({"Cache-Status": "a; hit=?1"}, "cache-status: a; hit=?1"),
        ({"Cache-Status": "a; hit=?0"}, None),
        ({"Cache-Status": "hit; fwd=uri-miss"}, None),
        ({"Cache-Status": 'a; fwd=miss; detail="x; hit"'}, None),
        ({"Cache-Status": 'a; detail="x"; hit'}, 'cache-status: a; detail="x"; hit'),
        ({"Age": "7"}, "age: 7"),
        ({"Age": "0"}, None),
        ({"Age": "-3"}, None),
        ({"Age": "soon"}, None),
    ],
)
async def test_an_answer_from_a_cache_says_so(
    server: ProvokingServer, make: MakeBackend, headers: dict[str, str], source: str | None
) -> None:
    made = sse(chunk("a"), STOP, usage(5, 1), DONE)
    server.answer(Answer(made.body, headers=headers), reply({"data": [{"embedding": [1]}]}))
    backend = make()
    events = await ask(backend)
    assert fold(events).replayed == source
    if source is not None:
        assert isinstance(events[0], Replayed), "before anything that could be timed"
    assert fold(events).text == "a"


async def test_embeddings_from_a_cache(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(reply({"data": [{"embedding": [1]}]}, x_cache="HIT"))
    events = await ask(make(), {"input": "a"}, "embedding")
    assert [type(event) for event in events] == [Replayed, Embedding, Finish]


async def test_a_cache_of_prompts_is_no_cache_of_answers(
    server: ProvokingServer, make: MakeBackend
) -> None:
    cached = usage(9, 1, prompt_tokens_details={"cached_tokens": 8})
    server.answer(sse(chunk("a"), STOP, cached, DONE))
    got = await answered(make())
    assert (got.replayed, got.cached_tokens) == (None, 8)


async def test_the_sign_of_a_cache_is_kept_short(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    value = f"HIT {KEY} " + "x" * 5000
    server.answer(Answer(sse(chunk("a"), STOP).body, headers={"x-cache": value}))
    got = await answered(make(config={"key_env": "A_KEY", "endpoint": server.url}))
    assert got.replayed is not None
    assert got.replayed.startswith("x-cache: HIT [key] xxx")
    assert len(got.replayed) <= 100


# --- usage that is recounted --------------------------------------------------------------------


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


async def test_usage_is_recounted(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path
) -> None:
    server.answer(sse(chunk("three short words"), STOP, DONE))
    backend = make(tokenizer="tokenizer.json", config={"root": tokenizer})
    events = await ask(backend)
    got = fold(events)
    assert (got.input_tokens, got.output_tokens, got.usage_source) == (2, 3, "recounted")
    assert events[-1].at == events[-2].at, "counting is not the server's time"


async def test_usage_that_is_reported_stands_beside_what_is_counted(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path
) -> None:
    server.answer(sse(chunk("a b"), STOP, usage(9, 9), DONE))
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"))
    events = await ask(backend)
    assert [type(event) for event in events] == [Text, Finish, Usage, Usage]
    got = fold(events)
    assert (got.input_tokens, got.output_tokens, got.usage_source) == (9, 9, "reported")
    assert (got.recounted_input_tokens, got.recounted_output_tokens) == (2, 2)
    assert "tokenizer.json" in (await backend.start()).details["tokens_counted_with"]


@pytest.mark.parametrize(
    ("text", "body", "counted"),
    [
        ("a b", {"messages": [{"role": "user", "content": [{"text": "c d e"}, {"x": 1}]}]}, (3, 2)),
        ("a \ud800 b", {"messages": [{"role": "user", "content": "c \ud800"}]}, (2, 3)),
        ("", {"messages": []}, (0, 0)),
        ("a " * 400_000, HI, (2, 400_000)),
        ("a " * 500_001, HI, None),  # beyond what is counted
        ("a", {"messages": [{"role": "user", "content": "x" * 1_000_001}]}, None),
    ],
    ids=range(6),
)
async def test_what_is_counted(
    server: ProvokingServer,
    make: MakeBackend,
    tokenizer: Path,
    text: str,
    body: dict[str, Any],
    counted: tuple[int, int] | None,
) -> None:
    shown = text.replace("\ud800", "?")  # nor is it a stream's JSON
    server.answer(sse(chunk(shown), STOP, DONE))
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"))
    got = await answered(backend, body)
    pair = (got.recounted_input_tokens, got.recounted_output_tokens)
    assert pair == (counted or (None, None))


@pytest.mark.parametrize(
    ("given", "tokens"), [("a b c", 3), (["a b", "c"], 3), ([5, 6], 2), ([[5, 6], [7]], 3), ([], 0)]
)
async def test_what_went_into_an_embedding_is_counted(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path, given: Any, tokens: int
) -> None:
    server.answer(reply({"data": [{"embedding": [1.0]}], "usage": {"prompt_tokens": 7}}))
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"))
    got = fold(await ask(backend, {"input": given}, "embedding"))
    assert (got.input_tokens, got.usage_source) == (7, "reported")
    assert (got.recounted_input_tokens, got.recounted_output_tokens) == (tokens, 0)


async def test_counting_needs_no_connection(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path
) -> None:
    """While one answer is counted, the next one goes over the same connection."""
    server.answer(sse(chunk("a"), STOP, usage(1, 1), DONE))
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"))
    await backend.start()
    waiting = []
    for _ in range(5):
        stream = backend.stream(backend.prepare(Request("chat", HI)))
        seen: list[Event] = []
        while not seen or not (isinstance(seen[-1], Usage) and seen[-1].source == "recounted"):
            seen.append(await anext(stream))
        waiting.append(stream)  # its last event is out, and it is not done
    assert len(server.connections) == 1


async def test_a_request_is_counted_once(tokenizer: Path) -> None:
    counter = TokenCounter(tokenizer / "tokenizer.json")
    took = []
    for _ in range(2):
        before = time.monotonic()
        assert counter.given(LONG) == 400_000
        took.append(time.monotonic() - before)
    assert took[1] < took[0] / 4


async def test_a_request_is_counted_while_the_server_answers(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path
) -> None:
    counter = TokenCounter(tokenizer / "tokenizer.json")
    before = time.monotonic()
    counter.given(LONG)
    alone = time.monotonic() - before
    server.answer(Answer([2 * alone + 0.2, *sse(chunk("a"), STOP, DONE).body]))
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"))
    await backend.start()
    stream = backend.stream(backend.prepare(Request("chat", LONG)))
    while not isinstance(await anext(stream), Finish):
        pass
    before = time.monotonic()
    counted = await anext(stream)
    assert time.monotonic() - before < max(alone / 2, 0.05)
    assert isinstance(counted, Usage)
    assert counted.input_tokens == 400_000


async def test_a_whole_answer_does_not_fail_because_it_is_counted(
    server: ProvokingServer, make: MakeBackend, tokenizer: Path
) -> None:
    server.answer(sse(chunk("a " * 400_000), STOP, DONE))
    hasty = Timeouts(connect=5, request=10, gap=0.1)
    backend = make(tokenizer=str(tokenizer / "tokenizer.json"), timeouts=hasty)
    before = time.monotonic()
    got = await answered(backend)
    assert (got.finish, got.usage_source) == ("stop", None)
    assert time.monotonic() - before < hasty.request / 2


async def test_a_served_folder_brings_its_tokenizer(
    server: ProvokingServer, make: MakeBackend
) -> None:
    pytest.importorskip("tokenizers")
    server.answer(sse(chunk("hello hello"), STOP, DONE))
    got = await answered(make(weights="{models}/ticket-dense"))
    assert got.usage_source == "recounted"
    assert got.output_tokens == got.recounted_output_tokens
    assert got.output_tokens is not None
    assert 2 <= got.output_tokens <= 11


async def test_no_usage_without_a_tokenizer(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(sse(chunk("a"), STOP, DONE))
    assert (await answered(make())).usage_source is None


async def test_recounting_needs_a_package(
    make: MakeBackend, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(AdapterError, match=r"pip install 'exitdrill\[tokenizers\]'"):
        await make(tokenizer=str(tokenizer / "tokenizer.json")).start()


async def test_a_tokenizer_that_is_none(make: MakeBackend, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(ScenarioError, match=r"no tokenizer\.json"):
        await make(tokenizer=str(tmp_path / "t.json")).start()


# --- failures -----------------------------------------------------------------------------------

FAILURES: list[tuple[Answer, ErrorKind, str]] = [
    (reply({"error": {"message": "slow down"}}, 429), "rate_limit", "slow down"),
    (reply({"error": {"message": "no"}}, 401), "auth", "no"),
    (Answer([b"Internal Server Error"], 500, "text/plain"), "server", "Internal"),
    (Answer([], 307, headers={"Location": "http://127.0.0.1:9/"}), "bad_parameter", "redirect"),
    (sse(chunk("a"), {"error": "out of memory"}), "server", "out of memory"),
    (sse(chunk("a"), {"error": {"message": "x", "code": "content_filter"}}), "content_filter", "x"),
    (reply({"error": {"message": "late"}}), "server", "late"),
    (reply({"choices": [{"message": {"content": "a"}}]}), "unsupported", "one piece"),
    (sse(chunk("a")), "malformed_stream", "neither"),
    (sse(), "malformed_stream", "neither"),
    (sse(chunk("a"), "{oops", DONE), "malformed_stream", "not JSON"),
    (Answer([b"data: \xff\xfe\n\n"]), "malformed_stream", "not JSON"),
    (sse("[1]"), "malformed_stream", "not an object"),
    (sse({"choices": 3}), "malformed_stream", "choices"),
    (sse(chunk(3)), "malformed_stream", "not a string"),
    (sse(chunk(tool_calls=3)), "malformed_stream", "tool_calls"),
    (sse(chunk(tool_calls=[3])), "malformed_stream", "tool call"),
    (Answer([*sse(chunk("a")).body, DROP]), "malformed_stream", "cut off"),
    (Answer([DROP]), "server", "unanswered"),
]


@pytest.mark.parametrize(("answer", "kind", "words"), FAILURES)
async def test_failures(
    server: ProvokingServer, make: MakeBackend, answer: Answer, kind: ErrorKind, words: str
) -> None:
    server.answer(answer)
    error = await failed(make())
    assert error.kind == kind
    assert words in error.message


async def test_what_came_before_an_error_came(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(sse(chunk("a"), chunk("b"), {"error": "x"}, together=True))
    events: list[Event] = []
    with pytest.raises(BackendError):
        await ask(make(), events=events)
    assert fold(events).text == "ab"


async def test_retry_after(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(reply({"error": "later"}, 429, Retry_After="7"))
    error = await failed(make())
    assert (error.status, error.retry_after, error.transient) == (429, 7, True)


@pytest.mark.parametrize(
    ("answer", "timeouts", "words"),
    [
        (Answer([HANG]), Timeouts(5, 0.2, 5), "request: not answered in 0.2 s"),
        (Answer([*sse(chunk("a")).body, HANG]), Timeouts(5, 0.3, 5), "request:"),
        (Answer([*sse(chunk("a")).body, HANG]), Timeouts(5, 5, 0.1), "gap: nothing came for 0.1"),
    ],
)
async def test_timeouts(
    server: ProvokingServer, make: MakeBackend, answer: Answer, timeouts: Timeouts, words: str
) -> None:
    server.answer(answer)
    begun = time.monotonic()
    error = await failed(make(timeouts=timeouts))
    assert error.kind == "timeout"
    assert words in error.message
    assert time.monotonic() - begun < 2


async def test_a_slow_consumer_is_not_a_silent_server(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(Answer([*sse(chunk("a")).body, 0.15, *sse(chunk("b"), STOP, DONE).body]))
    backend = make(timeouts=Timeouts(5, 5, 0.2))
    await backend.start()
    text = ""
    async for event in backend.stream(backend.prepare(Request("chat", HI))):
        await asyncio.sleep(0.3)
        text += event.text if isinstance(event, Text) else ""
    assert text == "ab"


async def test_waiting_for_the_first_token_is_no_gap(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(Answer([0.3, *sse(chunk("a"), STOP, DONE).body]))
    assert (await answered(make(timeouts=Timeouts(5, 5, 0.1)))).text == "a"


async def test_leaving_early_closes_the_connection(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(Answer([*sse(chunk("a")).body, HANG]))
    backend = make()
    await backend.start()
    stream = backend.stream(backend.prepare(Request("chat", HI)))
    assert isinstance(stream, AsyncIterator)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(server.abandoned.wait(), 2)


async def test_a_cancelled_task_closes_the_connection(
    server: ProvokingServer, make: MakeBackend
) -> None:
    server.answer(Answer([HANG]))
    backend = make()
    task = asyncio.create_task(ask(backend))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.abandoned.wait(), 2)


async def test_a_server_that_never_hangs_up(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(Answer([*sse(chunk("a"), STOP, usage(1, 1), DONE).body, HANG]))
    begun = time.monotonic()
    assert (await answered(make())).output_tokens == 1
    assert time.monotonic() - begun < 2


async def test_a_rejected_request_is_not_sent(server: ProvokingServer, make: MakeBackend) -> None:
    backend = make()
    with pytest.raises(BackendError) as caught:
        await ask(backend, {**HI, "n": 2})
    assert caught.value.kind == "rejected"
    assert [request.method for request in server.requests] == ["GET"]


async def test_embeddings_that_are_none(server: ProvokingServer, make: MakeBackend) -> None:
    bodies: list[Any] = [{}, {"data": []}, {"data": [3]}, {"data": [{"embedding": "?"}]}]
    for body in bodies:
        server._script.clear()
        server.answer(reply(body))
        assert (await failed(make(), "embedding")).kind == "malformed_stream"


# --- the key, the start -------------------------------------------------------------------------

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DRILL_KEY", f" {KEY}\n")
    return "DRILL_KEY"


async def test_the_key_is_sent(server: ProvokingServer, make: MakeBackend, key: str) -> None:
    server.answer(sse(chunk("a"), STOP, DONE))
    await answered(make(config={"key_env": key}))
    assert server.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [200, 401])
async def test_the_key_is_shown_nowhere(
    server: ProvokingServer, make: MakeBackend, key: str, status: int
) -> None:
    server.answer(
        Answer([json.dumps({"error": f"bad key {KEY}"}).encode()], status, "application/json")
    )
    backend = make(config={"key_env": key})
    error = await failed(backend)
    assert "bad key [key]" in error.message
    assert error.__cause__ is None
    assert KEY not in f"{error!r}{backend!r}{vars(backend)}{await backend.start()}"


async def test_a_key_that_is_missing(make: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "  ", "a\x07b", "schlüssel"):
        monkeypatch.setenv("DRILL_KEY", value)
        with pytest.raises(ScenarioError, match="DRILL_KEY") as caught:
            await make(config={"key_env": "DRILL_KEY"}).start()
        assert caught.value.key == "backends.b.key_env"


async def test_a_rows_key_goes_to_the_rows_endpoint_only(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ScenarioError, match="OPENAI_API_KEY"):
        await make("openai", config={"endpoint": None}).start()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    await make("openai").start()
    assert "Authorization" not in server.requests[-1].headers


async def test_the_description(server: ProvokingServer, make: MakeBackend) -> None:
    entry = {"id": "m", "owned_by": "me", "max_model_len": 4096, "permission": [1]}
    server.models = reply({"data": [{"id": "other"}, entry]}, Server="uvicorn")
    found = await make("mistral", extra_body={"safe_prompt": True}).start()
    assert (found.adapter, found.model, found.server) == ("openai", "m", "uvicorn")
    assert found.endpoint_host == server.url.split("/")[2]
    assert found.details["vendor"] == "mistral"
    assert found.details["extra_body"] == {"safe_prompt": True}
    assert found.details["listed"] == {"id": "m", "owned_by": "me", "max_model_len": 4096}
    assert any("tool-call ids" in quirk for quirk in found.details["quirks"])
    json.dumps(dict(found.details))


async def test_a_failing_list_of_models_is_no_failure(
    server: ProvokingServer, make: MakeBackend
) -> None:
    for models in (reply({}, 500), Answer([b"<html>"]), reply({"data": 3}), None):
        server.models = models
        assert (await make().start()).model == "m"


async def test_transformers_serve_is_not_asked_for_its_models(
    server: ProvokingServer, make: MakeBackend
) -> None:
    await make("transformers_serve").start()
    assert [request.path for request in server.requests] == ["/health"]


async def test_nobody_there(make: MakeBackend, unused_tcp_port: int) -> None:
    backend = make(config={"endpoint": f"http://127.0.0.1:{unused_tcp_port}/v1"})
    with pytest.raises(BackendError) as caught:
        await backend.start()
    assert caught.value.kind == "unreachable"
    await backend.close()
    await backend.close()


async def test_a_server_that_went_away(server: ProvokingServer, make: MakeBackend) -> None:
    backend = make()
    await backend.start()
    await server.__aexit__()
    await asyncio.sleep(0.05)  # the connection that is kept alive sees its end
    with pytest.raises(BackendError) as caught:
        await again(backend)
    assert caught.value.kind == "unreachable"
