"""The plan is asked in its order, at its pace, and an arm that is broken is left alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.harness.drills import (
    Log,
    Say,
    case_lines,
    cases,
    failing,
    in_turn,
    late,
    request,
    right,
    rows,
    scenario,
)

from exitdrill.backend import Edit, Request
from exitdrill.drill import Result, run
from exitdrill.drillable import check
from exitdrill.errors import ERROR_KINDS, ErrorKind
from exitdrill.plan import Pass, Plan, make_plan
from exitdrill.replay import OF_THE_CASE
from exitdrill.scenario import BackendSpec, BudgetSpec
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer, Error, last_user_text, scripted

ARMS = ("old", "new", "other")


def plan(count: int, **replay: Any) -> Plan:
    log = Log()
    arms = {arm: log.adapter() for arm in ARMS}
    return make_plan(check(scenario(count, replay, **arms)))


def drill(folder: Path, *args: Any, **more: Any) -> Result:
    return run(scenario(*args, **more), out=folder / "drill")


# --- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "block", "repeats"), [(100, 10, 2), (7, 3, 2), (33, 50, 5)])
def test_every_trial_is_planned_once_and_repeats_turn_the_order_around(
    count: int, block: int, repeats: int
) -> None:
    passes = list(plan(count, block=block, repeats=repeats).passes())
    trials = Counter(
        (turn.arm, position, turn.repeat)
        for turn in passes
        for position in range(turn.first, turn.last)
    )
    assert set(trials.values()) == {1}
    assert len(trials) == len(ARMS) * count * repeats
    blocks: dict[int, list[Pass]] = {}
    for turn in passes:
        blocks.setdefault(turn.block, []).append(turn)
    assert [turn.block for turn in passes] == sorted(turn.block for turn in passes)
    for turns in blocks.values():
        orders = [[turn.arm for turn in turns if turn.repeat == n] for n in range(repeats)]
        for before, after in pairwise(orders):
            assert after == before[::-1]


def test_the_order_is_random_per_block_and_follows_from_the_seed() -> None:
    def orders(seed: int) -> list[tuple[str, ...]]:
        passes = list(plan(600, block=10, seed=seed).passes())
        return [
            tuple(turn.arm for turn in passes if turn.block == block and turn.repeat == 0)
            for block in range(60)
        ]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    counts = Counter(orders(1))
    assert len(counts) == 6, "all orders of three arms occur"
    first = Counter(order[0] for order in orders(1))
    assert min(first.values()) > 8, "every arm goes first in its share of the blocks"


def test_the_incumbent_is_asked_at_least_twice() -> None:
    with pytest.raises(ValueError, match="repeats"):
        plan(3, repeats=1)
    assert plan(3).document["replay"]["repeats"] == dict.fromkeys(ARMS, 2)


def test_a_drill_asks_what_was_planned_and_arms_never_overlap(tmp_path: Path) -> None:
    log = Log()
    arms = {arm: log.adapter(late(0.003)) for arm in ARMS}
    result = drill(tmp_path, 24, {"block": 6}, {"concurrency": 4}, **arms)
    assert result.completed
    expected = [
        turn.arm for turn in plan(24, block=6).passes() for _ in range(turn.first, turn.last)
    ]
    assert [call.arm for call in log.calls] == expected
    for arm in ARMS:
        assert Counter(log.users(arm)) == {f"q{n}": 2 for n in range(24)}
    ends: dict[str, int] = {}
    for call in log.calls:
        for arm, end in ends.items():
            assert arm == call.arm or end <= call.began, "two arms were asked at the same time"
        assert call.ended is not None
        ends[call.arm] = max(ends.get(call.arm, 0), call.ended)


# --- the pace -----------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 5, 30])
def test_concurrency_is_reached_and_never_exceeded(tmp_path: Path, concurrency: int) -> None:
    log = Log()
    wide = BackendSpec(adapter=log.adapter(late(0.01)), model="m", concurrency=concurrency)
    narrow = BackendSpec(adapter=log.adapter(), model="m", concurrency=2)
    drill(tmp_path, 40, {"block": 40}, old=wide, new=narrow)
    assert log.most_at_once("old") == concurrency
    assert log.most_at_once("new") <= 2


def test_an_open_loop_asks_at_the_recorded_times(tmp_path: Path) -> None:
    arrivals = [0.3, 0.5, 0.34, 0.42, 0.3]  # not in order, and none at zero
    log = Log()
    arms = {arm: log.adapter(late(0.3)) for arm in ("old", "new")}
    drill(tmp_path, cases(5, arrivals), {"arrivals": "open"}, {"concurrency": 1}, **arms)
    for arm in arms:
        for repeat in range(2):
            calls = log.of(arm)[5 * repeat : 5 * repeat + 5]
            began = {int(call.user[1:]): call.began / 1e9 for call in calls}
            for number, arrival in enumerate(arrivals):
                offset = began[number] - began[0]
                assert offset == pytest.approx(arrival - 0.3, abs=0.1)
    assert log.most_at_once("old") == 5, "an open loop does not wait for answers"


def test_an_open_loop_counts_its_own_lateness_as_latency(tmp_path: Path) -> None:
    def busy(request: Request) -> Answer:
        if last_user_text(request.body) == "q0":
            time.sleep(0.3)
        return right(request)

    log = Log()
    workload = cases(3, [0.0, 0.1, 0.5])
    result = drill(
        tmp_path, workload, {"arrivals": "open"}, old=log.adapter(), new=log.adapter(busy)
    )
    sent = {
        (position, repeat): nanoseconds / 1e9
        for position, repeat, nanoseconds in rows(
            result.folder, "SELECT position, repeat, sent_ns FROM exchanges WHERE arm = 'new'"
        )
    }
    for repeat in range(2):
        assert 0.2 <= sent[1, repeat] < 0.6, "due at 0.1 s, sent at 0.3 s"
        assert sent[2, repeat] < 0.2
    lines = {(line["case"], line["arm"]): line for line in case_lines(result.folder)}
    assert lines["c1", "new"]["measures"]["ttft"] >= 0.2


def test_a_warm_up_is_charged_but_not_measured(tmp_path: Path) -> None:
    log = Log()
    first = in_turn(late(0.2), late(0.2), right)
    result = drill(
        tmp_path,
        5,
        {"warmup": 2, "block": 2},
        {"concurrency": 1},
        old=log.adapter(),
        new=log.adapter(first),
    )
    assert log.users("new")[:4] == ["q0", "q1", "q0", "q1"]
    assert len(log.of("old")) == len(log.of("new")) == 2 + 2 * 5
    assert result.report["drill"]["spend"]["calls"] == 2 * (2 + 2 * 5)
    assert len(case_lines(result.folder)) == 2 * 2 * 5
    slowest = rows(result.folder, "SELECT max(busy_ns) FROM passes WHERE arm = 'new'")
    assert slowest[0][0] < 0.2e9


def test_a_pass_is_on_record_with_what_it_brought_also_when_it_breaks_off(tmp_path: Path) -> None:
    """Nothing is no answer; and a spent budget ends a pass in the middle."""
    log = Log()

    def sometimes(request: Request) -> Answer:
        empty = Answer(input_tokens=1, output_tokens=0)
        return empty if last_user_text(request.body) == "q1" else right(request)

    more = {"budget": BudgetSpec(requests=17)}
    arms = {"old": log.adapter(), "new": log.adapter(sometimes)}
    result = drill(tmp_path, 10, {"block": 10, "warmup": 0}, {"concurrency": 2}, more, **arms)
    assert not result.completed
    trials = dict(rows(result.folder, "SELECT arm, count(*) FROM trials GROUP BY arm"))
    answers = dict(rows(result.folder, "SELECT arm, sum(answers) FROM passes GROUP BY arm"))
    assert sum(trials.values()) == 17
    assert answers == {"old": trials["old"], "new": trials["new"] - 1}
    assert rows(result.folder, "SELECT count(*) FROM passes WHERE busy_ns <= 0") == [(0,)]


def test_a_warm_up_that_fails_does_not_end_anything(tmp_path: Path) -> None:
    log = Log()
    say = in_turn(failing("auth"), right)
    result = drill(tmp_path, 6, {"warmup": 1}, old=log.adapter(), new=log.adapter(say))
    assert result.verdict == "ready"


# --- breaking off -------------------------------------------------------------------------------


def broken_off(result: Result, name: str = "new") -> str | None:
    (candidate,) = (each for each in result.report["candidates"] if each["name"] == name)
    return candidate["status_reason"] if candidate["status"] == "broken_off" else None


@pytest.mark.parametrize("kind", sorted(set(ERROR_KINDS) - OF_THE_CASE))
def test_an_arm_that_keeps_failing_the_same_way_is_broken_off(
    tmp_path: Path, kind: ErrorKind
) -> None:
    log = Log()
    say = failing(kind, "request req_#x9Zq at 10:00:0# took # ms", status=500)
    result = drill(
        tmp_path,
        30,
        {"breaker": 4, "attempts": 1},
        {"concurrency": 1},
        old=log.adapter(),
        new=log.adapter(say),
        other=log.adapter(),
    )
    assert len(log.of("new")) == 4, "not one call more is paid for"
    assert len(log.of("old")) == len(log.of("other")) == 60
    assert broken_off(result) is not None
    assert f"4 times in a row {kind.replace('_', ' ')}" in str(broken_off(result))
    verdicts = {each["name"]: each["verdict"]["status"] for each in result.report["candidates"]}
    # A feature that it lacks is a veto; of the rest nobody knows what it would have answered.
    status = "not_ready" if kind == "unsupported" else "inconclusive"
    assert verdicts == {"new": status, "other": "ready"}
    assert (result.completed, result.verdict, result.exit_code) == (True, "ready", 0)
    asked = [line for line in case_lines(result.folder) if line["arm"] == "new"]
    assert Counter(line["status"] for line in asked) == {"failed": 4, "not_asked": 56}


@pytest.mark.parametrize("kind", sorted(OF_THE_CASE))
def test_errors_of_single_cases_never_end_an_arm(tmp_path: Path, kind: ErrorKind) -> None:
    log = Log()
    result = drill(
        tmp_path, 12, {"breaker": 2}, old=log.adapter(), new=log.adapter(failing(kind, "too much"))
    )
    assert len(log.of("new")) == 24
    assert broken_off(result) is None
    assert result.verdict == "not_ready"


def alternate(*says: Say) -> Say:
    turn = iter(range(10_000))

    def answer(request: Request) -> Answer | str:
        return says[next(turn) % len(says)](request)

    return answer


@pytest.mark.parametrize(
    ("say", "ends"),
    [
        (alternate(failing("server", "a"), right), False),
        (alternate(failing("server", "a"), failing("server", "b")), False),
        (alternate(failing("server", "a", status=500), failing("server", "a")), False),
        (alternate(failing("server", "1 of 2"), failing("server", "7 of 31")), True),
        (alternate(failing("auth", "a"), failing("context_overflow", "b")), True),
    ],
    ids=["a success between", "other words", "other status", "other numbers", "a case between"],
)
def test_what_counts_as_the_same_failure(tmp_path: Path, say: Say, ends: bool) -> None:
    log = Log()
    result = drill(
        tmp_path,
        20,
        {"breaker": 5, "attempts": 1},
        {"concurrency": 1},
        old=log.adapter(),
        new=log.adapter(say),
        other=log.adapter(),
    )
    assert (broken_off(result) is not None) is ends
    assert (len(log.of("new")) == 40) is not ends


def test_a_long_message_does_not_stop_the_clock(tmp_path: Path) -> None:
    log = Log()
    began = time.monotonic()
    say = failing("server", "a" * 300_000)
    drill(tmp_path, 4, {"attempts": 1}, old=log.adapter(), new=log.adapter(say))
    assert time.monotonic() - began < 5


def test_breaking_off_does_not_wait_for_the_rest_of_an_open_loop(tmp_path: Path) -> None:
    log = Log()
    arrivals = [0.0, 0.0, 0.01, 30.0, 60.0]
    began = time.monotonic()
    result = drill(
        tmp_path,
        cases(5, arrivals),
        {"arrivals": "open", "breaker": 3, "attempts": 1},
        old=log.adapter(failing("auth")),
        new=log.adapter(failing("auth")),
    )
    assert time.monotonic() - began < 10
    assert len(log.calls) == 3
    assert not result.completed


def test_calls_that_are_under_way_when_an_arm_breaks_off_are_kept(tmp_path: Path) -> None:
    def say(request: Request) -> Answer | str:
        number = int(last_user_text(request.body)[1:])
        if number < 3:
            return Answer(error=Error(kind="auth", message="no"), first_after=0.02)
        return late(0.1)(request)

    log = Log()
    result = drill(
        tmp_path,
        20,
        {"breaker": 3},
        {"concurrency": 5},
        old=log.adapter(),
        new=log.adapter(say),
        other=log.adapter(),
    )
    lines = [line for line in case_lines(result.folder) if line["arm"] == "new"]
    assert Counter(line["status"] for line in lines) == {
        "failed": 3,
        "answered": len(log.of("new")) - 3,
        "not_asked": 40 - len(log.of("new")),
    }
    assert 5 <= len(log.of("new")) <= 7


# --- edits --------------------------------------------------------------------------------------


def test_a_rejected_case_is_not_called_and_the_others_are(tmp_path: Path) -> None:
    def edit(request: Request) -> tuple[Edit, ...]:
        renamed = Edit("rename", "/max_tokens", "is called max_completion_tokens")
        dropped = Edit("drop", "/seed", "there is none")
        return (renamed, dropped) if "seed" in request.body else (renamed,)

    log = Log()
    some = list(cases(4))
    some[2] = replace(some[2], request=request(2, seed=1))
    result = drill(tmp_path, CaseList(some), old=log.adapter(), new=log.adapter(right, edit))
    assert Counter(log.users("new")) == {"q0": 2, "q1": 2, "q3": 2}
    lines = [line for line in case_lines(result.folder) if line["arm"] == "new"]
    for line in lines:
        rejected = line["case"] == "c2"
        assert (line["status"] == "failed") is rejected
        assert line["attempts"] == (0 if rejected else 1)
        if rejected:
            assert line["error"]["kind"] == "rejected"
            assert "drop:/seed" in line["error"]["message"]
    edits = {
        (edit["action"], edit["path"], edit["allowed"]): edit["count"]
        for edit in result.report["candidates"][0]["edits"]
    }
    assert edits == {("rename", "/max_tokens", True): 8, ("drop", "/seed", False): 2}
    assert result.report["drill"]["spend"]["calls"] == len(log.calls)


# --- afterwards ---------------------------------------------------------------------------------


async def test_a_drill_leaves_no_thread_and_no_task(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    log = Log()
    wide = {"concurrency": 50}
    arms = {"old": log.adapter(late(0.01)), "new": log.adapter(late(0.01))}
    await asyncio.to_thread(drill, tmp_path, 50, None, wide, **arms)
    mine = {thread for thread in threading.enumerate() if "asyncio" not in thread.name}
    assert mine <= before
    assert len(log.calls) == 200
    assert all(call.ended for call in log.calls)


def test_requests_are_not_changed_on_the_way(tmp_path: Path) -> None:
    seen: list[Request] = []

    def say(request: Request) -> Answer:
        seen.append(request)
        return right(request)

    log = Log()
    drill(tmp_path, 3, old=log.adapter(say), new=log.adapter())
    assert all(each in [request(n) for n in range(3)] for each in seen)


def test_a_session_is_replayed_with_its_recorded_context(tmp_path: Path) -> None:
    """Each turn as it was recorded, whatever a backend answered to the turn before."""
    first = [{"role": "user", "content": "q0"}]
    second = [
        *first,
        {"role": "assistant", "content": "recorded"},
        {"role": "user", "content": "q1"},
    ]
    turns = [
        Case(f"c{n}", Request("chat", {"messages": said}), session="s", turn=n)
        for n, said in enumerate((first, second))
    ]
    heard: dict[str, list[Any]] = {"old": [], "new": []}

    def hearing(name: str) -> Any:
        def answer(request: Request) -> str:
            heard[name].append(request.body["messages"])
            return f"{name} says something else"

        return scripted(answer)

    made = scenario(CaseList(turns), old=hearing("old"), new=hearing("new"))
    result = run(made, out=tmp_path / "drill")
    assert result.report["registered"]["clusters"] == {
        "by": "session",
        "count": 1,
        "largest": 2,
        "effective": 1,
    }
    for name, messages in heard.items():
        assert sorted(messages, key=len) == [first, first, second, second], name
