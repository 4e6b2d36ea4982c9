"""Servers that send what nobody should: the key, nonsense, or no end."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exitdrill.backend import Embedding, Event, Finish, Operation, Request, Usage, fold
from exitdrill.errors import BackendError
from exitdrill.records import dump_events, load_events
from exitdrill_adapters.openai import OpenAIBackend, backend, reading
from exitdrill_adapters.openai.cleaning import Cleaner
from exitdrill_adapters.openai.embeddings import read_embeddings
from exitdrill_adapters.openai.failures import from_response
from exitdrill_adapters.openai.vendors import VENDORS
from exitdrill_adapters.openai.wire import ChunkReader

from .conftest import MakeBackend
from .provoking_server import DONE, Answer, ProvokingServer, chunk, reply, sse, usage

KEY = 'sk-very\\secret-"0123456789'
START = "sk-very"
STOP = chunk(finish="stop")
HI = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def keyed(make: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> OpenAIBackend:
    monkeypatch.setenv("DRILL_KEY", KEY)
    return make(config={"key_env": "DRILL_KEY"})


async def ask(backend: OpenAIBackend, operation: Operation = "chat") -> list[Event]:
    await backend.start()
    body = HI if operation == "chat" else {"input": "a"}
    return [event async for event in backend.stream(backend.prepare(Request(operation, body)))]


async def failed(backend: OpenAIBackend, operation: Operation = "chat") -> BackendError:
    with pytest.raises(BackendError) as caught:
        await ask(backend, operation)
    return caught.value


# --- the key ------------------------------------------------------------------------------------


async def test_the_description_holds_no_key(server: ProvokingServer, keyed: OpenAIBackend) -> None:
    entry = {"id": "m", "owned_by": KEY, f"by {KEY}": 1, "url": f"https://x/?k={KEY}"}
    server.models = reply({"data": [entry]}, Server=f"S/1 Bearer {KEY}")
    found = await keyed.start()
    assert found.server == "S/1 Bearer [key]"
    assert found.details["listed"]["owned_by"] == "[key]"
    assert START not in str(found)


async def test_the_list_of_models_is_kept_short(server: ProvokingServer, make: MakeBackend) -> None:
    entry = {"id": "m", "long": "x" * 9999, "list": [1], "none": None, "big": 10**300}
    entry |= {f"field{n}" + "x" * 999: n for n in range(99)}
    server.models = reply({"data": [entry]}, Server="x" * 4000)
    found = await make().start()
    listed = found.details["listed"]
    assert list(listed)[:2] == ["id", "long"]
    assert not {"list", "none", "big"} & listed.keys()
    assert len(json.dumps(listed)) < 2000
    assert len(found.server or "") <= 100


@pytest.mark.parametrize("before", range(0, 90, 7))
async def test_a_payload_that_is_not_json(
    server: ProvokingServer, keyed: OpenAIBackend, before: int
) -> None:
    server.answer(sse("y" * before + KEY))
    error = await failed(keyed)
    assert error.message == f"a payload that is not JSON: {'y' * before}[key]"


@pytest.mark.parametrize("before", [4096 - 10, 65_536 - 10])
async def test_a_long_payload_that_is_not_json(
    server: ProvokingServer, keyed: OpenAIBackend, before: int
) -> None:
    server.answer(sse("no" + " " * (before - 2) + KEY))
    error = await failed(keyed)
    assert error.message in (
        "a payload that is not JSON: no [key]…",
        "a payload that is not JSON: no …",
    )


@pytest.mark.parametrize("inside", [5, 15, 24])
async def test_an_error_body_that_is_cut_within_the_key(
    server: ProvokingServer, keyed: OpenAIBackend, inside: int
) -> None:
    body = b"denied" + b" " * (65_536 - 6 - inside) + KEY.encode()
    server.answer(Answer([body], 400, "text/plain"))
    assert (await failed(keyed)).message == "denied [key]…"


async def test_an_error_that_quotes_the_key(server: ProvokingServer, keyed: OpenAIBackend) -> None:
    for said in (KEY, json.dumps({"a": KEY}), repr([KEY]), json.dumps(json.dumps(KEY))):
        for body in (
            {"error": {"message": said}},
            {"info": said},
            [said],
            {"detail": [{"a": said}]},
        ):
            server._script.clear()
            server.answer(reply(body, 400))
            message = (await failed(keyed)).message
            assert START not in message
            assert "[key]" in message


async def test_a_finish_reason_is_no_place_for_a_key(
    server: ProvokingServer, keyed: OpenAIBackend
) -> None:
    server.answer(sse(chunk("a"), chunk(finish=f"Bearer {KEY} " + "x" * 999), DONE))
    answer = fold(await ask(keyed))
    assert answer.finish == "other"
    assert (answer.finish_raw or "").startswith("Bearer [key] xxx")
    assert len(answer.finish_raw or "") == 100


async def test_a_key_that_is_a_finish_reason(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRILL_KEY", "stop")
    server.answer(sse(chunk("a"), STOP, DONE))
    assert fold(await ask(make(config={"key_env": "DRILL_KEY"}))).finish == "stop"


# --- the end ------------------------------------------------------------------------------------


async def test_a_stream_without_an_end(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_STREAM", 2**20)
    for step in (b": ping\n" * 20_000, sse(chunk("x" * 2**17)).body[0], b"data: x\n" * 20_000):
        server._script.clear()
        server.answer(Answer([step] * 400))
        server.abandoned.clear()
        error = await failed(make())
        assert (error.kind, error.transient) == ("unsupported", False)
        assert "longer than 1 MiB" in error.message


async def test_a_whole_reply_without_an_end(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "MAX_STREAM", 2**20)
    monkeypatch.setattr(backend, "MAX_EMBEDDINGS", 2**19)
    server.answer(Answer([b"[" * 2**17] * 400, content_type="application/json"))
    assert "longer than 1 MiB" in (await failed(make())).message
    error = await failed(make(), "embedding")
    assert (error.kind, error.transient) == ("unsupported", False)
    assert "longer than 0.5 MiB" in error.message


# --- the JSON -----------------------------------------------------------------------------------

HOSTILE_MODELS = [
    b"[" * 200_000,
    b'{"data":[{"id":"m","a":NaN,"b":1e999,"c":-Infinity,"d":1.5}]}',
    b'{"data":[{"id":"m","a":"\\ud800"}]}',
    b'{"data":[{"id":"m","a":' + b"9" * 5000 + b"}]}",
    b'{"data":[[],{"id":["m"]},{"id":{"m":1}},null]}',
    b'{"data":{"id":"m"}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", HOSTILE_MODELS, ids=range(len(HOSTILE_MODELS)))
async def test_a_hostile_list_of_models(
    server: ProvokingServer, make: MakeBackend, body: bytes
) -> None:
    server.models = Answer([body])
    found = await make().start()
    json.dumps(dict(found.details), allow_nan=False).encode()
    assert found.details.get("listed") in (None, {"id": "m", "d": 1.5})


async def test_an_error_too_deep_to_read(server: ProvokingServer, make: MakeBackend) -> None:
    server.answer(Answer([b"[" * 200_000], 400), Answer([b"data: " + b"[" * 200_000 + b"\n\n"]))
    assert (await failed(make())).kind == "bad_parameter"
    assert (await failed(make())).kind == "malformed_stream"


def test_a_delta_that_is_no_object_is_not_passed_over() -> None:
    with pytest.raises(BackendError, match="delta"):
        read([{"choices": [{"delta": "text"}]}], "generic")


def test_identifiers_that_are_numbers() -> None:
    call = {"index": True, "id": 5, "function": {"name": 7, "arguments": {"a": 1}}}
    [found] = fold(read([chunk(tool_calls=[call]), STOP], "generic")).tool_calls
    assert (found.id, found.name, found.arguments) == ("5", "7", '{"a": 1}')


@pytest.mark.parametrize(
    "item",
    [
        {"embedding": [1e999]},
        {"embedding": "AADAfw=="},  # not a number, as float32
        {"embedding": []},
        {"embedding": {"a": 1}},
        {"embedding": [10**400]},
        {"embedding": [1.0], "index": "0"},
        {"embedding": [1.0], "index": 1},
        {"embedding": [1.0], "index": -1},
        {"embedding": [1.0], "index": True},
        {"embedding": [1.0], "index": {}},
    ],
)
def test_an_embedding_that_is_none(item: Any) -> None:
    with pytest.raises(BackendError):
        read_embeddings(json.dumps({"data": [item]}).encode(), 0, Cleaner(None))


def test_an_embedding_without_a_number_of_its_own() -> None:
    body = json.dumps({"data": [{"embedding": [1], "index": None}]}).encode()
    assert read_embeddings(body, 0, Cleaner(None)) == [Embedding(0, 0, (1.0,)), Finish(0, "stop")]


# --- mutated answers ----------------------------------------------------------------------------

CHUNKS: list[dict[str, Any]] = [
    {"model": "m-1", "system_fingerprint": "fp", "provider": "p", **chunk("a")},
    chunk("<think>hm</think>a", role="assistant"),
    chunk([{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}, {}]),
    chunk(reasoning_content="why", reasoning="not", signature={"a": 1.5}),
    chunk(
        tool_calls=[
            {
                "index": 0,
                "id": "c",
                "function": {"name": "f", "arguments": "{}"},
                "type": "function",
            }
        ]
    ),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": {"a": [1]}}}]),
    {"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "top": [{"a": -1.5}]}}]},
    {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"logprob": -1}]}}]},
    usage(3, 4, prompt_tokens_details={"cached_tokens": 2}, prompt_cache_hit_tokens=1),
    {"error": {"message": "x", "code": 429, "type": ["y"], "detail": [{"loc": ["a"], "msg": "b"}]}},
    {"object": "error", "message": {"detail": [{"msg": "x", "loc": [1]}]}},
    {"data": [{"embedding": [1.0, 2.0], "index": 0}, {"embedding": "AACAPw=="}], "usage": {}},
    STOP,
]
NASTY: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 0,
    lambda: 10**3000,
    lambda: -(10**30),
    lambda: 1e308,
    lambda: float("nan"),
    lambda: float("-inf"),
    lambda: "",
    lambda: "<think>",
    lambda: "\0\u202e\x1b[31m\uffff",
    lambda: "9" * 5000,
    list,
    dict,
    lambda: [[]],
    lambda: [None, 3, "x", {}],
    lambda: {"": {"": []}},
    lambda: {"error": {"error": None}},
    lambda: json.loads("[" * 150 + "]" * 150),
    lambda: json.loads('{"error":' * 150 + "{}" + "}" * 150),
]
RAW = (b"", b"\\ud800", b"1e999", b"NaN", b"[" * 300, b"9" * 5000, b"\xff", b"{", b'"', b"\0")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with every key in it."""
    keys: Any = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def mutated(value: Any, rng: random.Random) -> bytes:
    """A value with a few of its parts replaced or gone, as JSON, which may be damaged as well."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(places(value)) or [({"": 0}, "")])
        if isinstance(container, dict) and rng.random() < 0.1:
            del container[key]
        else:
            container[key] = rng.choice(NASTY)()
    data = json.dumps(value).encode()
    if rng.random() < 0.15:
        cut = rng.randrange(len(data))
        data = data[:cut] + rng.choice(RAW) + data[cut + rng.randint(0, 3) :]
    return data


def read(chunks: list[Any], vendor: str, body: dict[str, Any] = HI) -> list[Event]:
    operation: Operation = "completion" if "prompt" in body else "chat"
    reader = ChunkReader(VENDORS[vendor], operation, body, Cleaner(None))
    events: list[Event] = []
    for each in chunks:
        events += reader.read(each if isinstance(each, bytes) else json.dumps(each).encode(), 1)
    return events + reader.end(2)


def check(events: list[Event]) -> None:
    """Events as the engine expects them: of the right types, and fit for the journal."""
    for event in events:
        for name, types in TYPES.items():
            if hasattr(event, name):
                assert isinstance(getattr(event, name), types), event
                assert not isinstance(getattr(event, name), bool), event
    assert load_events(dump_events(events)) == tuple(events)
    without_usage = [event for event in events if not isinstance(event, Usage)]
    json.dumps(json.loads(dump_events(without_usage)), allow_nan=False)
    fold(events)


TYPES: dict[str, Any] = {
    "at": int,
    "text": str,
    "index": int,
    "id": str | None,
    "name": str | None,
    "arguments": str,
    "vector": tuple,
    "input_tokens": int,
    "output_tokens": int,
    "cached_tokens": int,
    "data": dict,
    "reason": str,
    "raw": str | None,
}
ROWS = [
    ("generic", HI),
    ("mistral", HI),
    ("transformers_serve", {**HI, "stop": ["a", 3]}),
    ("generic", {"prompt": "a"}),
]


@pytest.mark.parametrize(("vendor", "body"), ROWS, ids=["chat", "parts", "filters", "completion"])
def test_mutated_chunks(vendor: str, body: dict[str, Any]) -> None:
    rng = random.Random(5)
    answered = 0
    for _ in range(1500):
        chunks = [mutated(rng.choice(CHUNKS), rng) for _ in range(rng.randint(1, 3))]
        try:
            check(read([*chunks, STOP], vendor, body))
            answered += 1
        except BackendError as error:
            Cleaner(None).text(error.message).encode()
    assert answered > 100


def test_mutated_replies() -> None:
    rng = random.Random(6)
    for _ in range(3000):
        body = mutated(rng.choice(CHUNKS), rng)
        error = from_response(
            rng.choice((400, 422, 429, 500, 599)), {}, body.decode(errors="replace")
        )
        Cleaner(None).text(error.message).encode()
        try:
            check(read_embeddings(body, 1, Cleaner(None)))
        except BackendError:
            continue
