"""Events fold into one answer, whatever pieces they came in; and into the journal and back."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest

from exitdrill.backend import (
    Embedding,
    Event,
    Finish,
    MadeBy,
    Opaque,
    Reasoning,
    Replayed,
    Reply,
    Started,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
    find_adapter,
    fold,
)
from exitdrill.errors import AdapterError
from exitdrill.records import dump_events, load_events

EVENTS: list[tuple[str, Sequence[Event], dict[str, Any]]] = [
    ("nothing", [], {}),
    (
        "a text in pieces",
        [Started(1), Text(3, "a"), Text(5, "b"), Finish(6, "stop", "eos")],
        {
            "text": "ab",
            "finish": "stop",
            "finish_raw": "eos",
            "started_at": 1,
            "first_at": 3,
            "last_at": 6,
        },
    ),
    (
        "an empty first piece is no first token",
        [Text(1, ""), Text(7, "x"), Finish(8, "length")],
        {"text": "x", "finish": "length", "first_at": 7, "last_at": 8},
    ),
    (
        "reasoning counts as the first content",
        [Reasoning(2, "hm"), Text(9, "x")],
        {"text": "x", "reasoning": "hm", "first_at": 2, "last_at": 9},
    ),
    (
        "two tool calls, interleaved and out of order",
        [
            ToolCallDelta(2, 1, "id1", "second", "{"),
            ToolCallDelta(3, 0, "id0", "first", '{"a"'),
            ToolCallDelta(4, 1, None, None, "}"),
            ToolCallDelta(5, 0, arguments=":1}"),
            Finish(6, "tool_calls"),
        ],
        {
            "tool_calls": (ToolCall("id0", "first", '{"a":1}'), ToolCall("id1", "second", "{}")),
            "finish": "tool_calls",
            "first_at": 2,
            "last_at": 6,
        },
    ),
    (
        "vectors in the order of their index",
        [Embedding(2, 1, (3.0,)), Embedding(3, 0, (1.0, 2.0)), Finish(4, "stop")],
        {"vectors": ((1.0, 2.0), (3.0,)), "finish": "stop", "first_at": 2, "last_at": 4},
    ),
    (
        "the last usage is the one that counts, and nobody waits for it",
        [
            Usage(1, 5, 0),
            Text(2, "x"),
            Finish(3, "stop"),
            Usage(9, 5, 7, "reported", 2),
        ],
        {
            "text": "x",
            "finish": "stop",
            "input_tokens": 5,
            "output_tokens": 7,
            "cached_tokens": 2,
            "usage_source": "reported",
            "first_at": 2,
            "last_at": 3,
        },
    ),
    (
        "what is billed is what is reported; the own count stands beside it",
        [Text(1, "x"), Usage(2, 5, 9, "recounted"), Finish(3, "stop"), Usage(4, 6, 8)],
        {
            "text": "x",
            "finish": "stop",
            "input_tokens": 6,
            "output_tokens": 8,
            "usage_source": "reported",
            "recounted_input_tokens": 5,
            "recounted_output_tokens": 9,
            "first_at": 1,
            "last_at": 3,
        },
    ),
    (
        "an answer from a cache",
        [Replayed(0, "x-cache: HIT"), Text(1, "x"), Finish(3, "stop")],
        {"text": "x", "finish": "stop", "replayed": "x-cache: HIT", "first_at": 1, "last_at": 3},
    ),
    (
        "who made it",
        [Text(1, "x"), Finish(3, "stop"), MadeBy(3, {"model": "m-2026-11"})],
        {
            "text": "x",
            "finish": "stop",
            "made_by": {"model": "m-2026-11"},
            "first_at": 1,
            "last_at": 3,
        },
    ),
    (
        "impossible counts are no usage",
        [Text(1, "x"), Usage(2, -1_000_000, 3), Usage(2, 3, 10**40), Finish(3, "stop")],
        {"text": "x", "finish": "stop", "first_at": 1, "last_at": 3},
    ),
    (
        "what only the vendor understands",
        [Opaque(1, MappingProxyType({"signature": "…"})), Text(2, "x")],
        {"text": "x", "first_at": 2, "last_at": 2},
    ),
    (
        "half characters, NUL, and what turns text around",
        [Text(1, "\ud83d"), Text(2, "\x00\u202eabc"), Finish(3, "stop")],
        {"text": "\ud83d\x00\u202eabc", "finish": "stop", "first_at": 1, "last_at": 3},
    ),
]


@pytest.mark.parametrize(
    ("events", "reply"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS]
)
def test_events_fold_into_one_answer(events: Sequence[Event], reply: dict[str, Any]) -> None:
    assert fold(events) == Reply(**reply)


@pytest.mark.parametrize("events", [row[1] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_events_come_back_from_the_journal_as_they_were(events: Sequence[Event]) -> None:
    text = dump_events(events)
    assert text.isascii()
    assert load_events(text) == tuple(events)
    assert fold(load_events(text)) == fold(events)


def test_an_unknown_adapter_is_answered_with_those_that_are_there() -> None:
    told = r"'opnai'; did you mean 'openai'. installed are .*openai.*scripted"
    with pytest.raises(AdapterError, match=told):
        find_adapter("opnai")
