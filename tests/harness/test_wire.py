"""Drift on the wire: whether the model calls of an app were answered alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.apps import AGENT, BY_COMMAND, COMMAND, agent, drilled, program, row_of, says
from tests.harness.drills import Log, in_turn, right
from tests.harness.facts_of import BROKEN, NAN, view

from exitdrill.backend import Embedding, Event, Request, Text, ToolCallDelta
from exitdrill.measures import BY_NAME
from exitdrill.records import AppCall, Exchange, Failure
from exitdrill_adapters.scripted import Answer

OTHER = Failure("timeout", "late")


def text(said: str) -> tuple[Event, ...]:
    return (Text(1, said),)


def tools(*calls: tuple[str, str]) -> tuple[Event, ...]:
    return tuple(ToolCallDelta(1, n, f"id{n}", *call) for n, call in enumerate(calls))


def made(*answers: tuple[Event, ...] | Failure) -> list[AppCall]:
    """Calls in this order; their numbers are those of calls that were over in the opposite one."""
    exchanges = [
        Exchange(failure=each) if isinstance(each, Failure) else Exchange(events=each)
        for each in answers
    ]
    return [
        AppCall((0, "arm", 0), -at, "arm", "/v1", 200, at, 0, None, exchange)
        for at, exchange in enumerate(exchanges)
    ][::-1]


FOUND, AGAIN = ("look", '{"a": 1, "b": 2}'), ("look", '{"b":2,"a":1}')
NEXT = ("look", '{"a": "1", "b": 2}')
COLUMNS = [
    # the incumbent's calls, these, whether they were answered alike, and call the same tools
    ([], [], NAN, NAN),
    ([text("a")], [], 0, NAN),
    ([], [text("a")], 0, NAN),
    ([text("a")], [text("a")], 1, NAN),
    ([text('{"a": 1, "b": 2}')], [text('```json\n{"b":2,"a":1}\n```')], 1, NAN),
    ([text("a b")], [text("a  b\n")], 1, NAN),
    ([text("a")], [text("A")], 0, NAN),
    ([text("a"), text("b")], [text("b"), text("a")], 0, NAN),
    ([text("a")], [text("a"), text("a")], 0, NAN),
    ([text("a")], [BROKEN], 0, NAN),
    ([BROKEN], [BROKEN], 1, NAN),
    ([BROKEN], [OTHER], 0, NAN),
    ([text("a")], [BROKEN, text("a")], 0, NAN),
    ([(Embedding(1, 0, (0.5, 1.0)),)], [(Embedding(1, 0, (0.5, 1.0)),)], 1, NAN),
    ([(Embedding(1, 0, (0.5, 1.0)),)], [(Embedding(1, 0, (0.5, 0.9)),)], 0, NAN),
    ([tools(FOUND), text("a")], [tools(AGAIN), text("a")], 1, 1),
    ([tools(FOUND), text("a")], [tools(FOUND), text("b")], 0, 1),
    ([tools(FOUND), text("a")], [tools(NEXT), text("a")], 0, 0),
    ([tools(FOUND), text("a")], [text("a")], 0, 0),
    ([text("a")], [tools(FOUND), text("a")], 0, 0),
    ([tools(FOUND), text("a")], [BROKEN, tools(FOUND), text("a")], 0, 1),
    ([tools(FOUND, NEXT)], [tools(NEXT, FOUND)], 1, 1),
    ([tools(FOUND), tools(NEXT)], [tools(NEXT), tools(FOUND)], 0, 0),
]


@pytest.mark.parametrize(("wanted", "found", "alike", "same_tools"), COLUMNS)
def test_columns(
    wanted: Sequence[tuple[Event, ...] | Failure],
    found: Sequence[tuple[Event, ...] | Failure],
    alike: float,
    same_tools: float,
) -> None:
    trial = replace(view(""), app=True, calls=made(*found), reference_calls=made(*wanted))
    seen = [BY_NAME.columns[name](trial) for name in ("calls_alike", "tool_calls_alike")]
    assert seen == pytest.approx([alike, same_tools], nan_ok=True)


def test_beside_no_trial_of_the_incumbents_nothing_is_measured() -> None:
    trial = replace(view(""), app=True, calls=made(text("a"), tools(FOUND)))
    seen = [BY_NAME.columns[name](trial) for name in ("calls_alike", "tool_calls_alike")]
    assert seen == pytest.approx([NAN, NAN], nan_ok=True)


def other_words(request: Request) -> Answer:
    return says(f"It is {right(request).text}.")


TOLERANT = COMMAND.replace("print(", "import re; print(*re.findall(r'a\\d', ").replace("))", ")))")


def test_the_app_may_hide_what_the_wire_shows(tmp_path: Path) -> None:
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(other_words)}
    result = drilled(program(tmp_path, {"main.py": TOLERANT}), BY_COMMAND, backends=backends)
    assert row_of(result, "drift", "same_content")["candidate"] == 1
    row = row_of(result, "drift", "calls_alike")
    assert (row["incumbent"], row["candidate"], row["estimate"]) == (1, 0, -1)
    assert (row["n"], row["noise"]) == (2, 0)
    none = row_of(result, "drift", "tool_calls_alike")
    assert (none["incumbent"], none["candidate"], none["estimate"]) == (None, None, None)
    assert none["note"].startswith("not measured")


def test_the_noise_is_how_far_the_incumbent_answers_itself_alike(tmp_path: Path) -> None:
    log = Log()
    wavering = log.adapter(in_turn(right, other_words, right))
    backends = {"old": wavering, "new": log.adapter()}
    result = drilled(program(tmp_path, {"main.py": TOLERANT}), BY_COMMAND, backends=backends)
    row = row_of(result, "drift", "calls_alike")
    assert row["noise"] == 0.5, "one of two cases was answered in two ways"
    assert row["incumbent"] == 0.5


def looks_elsewhere(request: Request) -> Answer:
    """Calls its tool with an argument more, and answers the same."""
    found = agent(request)
    calls = [
        (name, json.dumps({**json.loads(arguments), "more": 1}))
        for name, arguments in found.tool_calls
    ]
    return says(found.text, *calls)


def test_an_agent_may_take_another_way_to_the_same_answer(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": AGENT})
    log = Log()
    backends = {"old": log.adapter(agent), "new": log.adapter(looks_elsewhere)}
    result = drilled(folder, BY_COMMAND, "q1", backends=backends)
    assert row_of(result, "drift", "same_content")["candidate"] == 1
    assert row_of(result, "drift", "model_calls")["candidate"] == 2
    assert row_of(result, "drift", "calls_alike")["candidate"] == 0
    row = row_of(result, "drift", "tool_calls_alike")
    assert (row["incumbent"], row["candidate"]) == (1, 0)
