"""One exchange: retried where that can help, bounded in time and attempts, all on the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.drills import Say, failing, in_turn, late, request, right

from exitdrill import exchange
from exitdrill.backend import BackendConfig, Edit, Event, Finish, Prepared, Request, Text, Timeouts
from exitdrill.budget import Budget
from exitdrill.errors import TRANSIENT, BackendError, ErrorKind
from exitdrill.exchange import Asker, allowed, collect, refusal
from exitdrill.journal import Journal
from exitdrill.records import Exchange, Spend
from exitdrill.scenario import BackendSpec, PriceSpec
from exitdrill_adapters.scripted import Answer, Error, scripted

Ask = Callable[..., Any]
MS = 1_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(tmp_path / "journal.sqlite") as journal:
        yield journal


@pytest.fixture
def ask(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks a scripted backend once; returns the exchange as the journal has it."""
    monkeypatch.setattr(exchange, "BACKOFF", lambda state: 0.001)

    async def ask_once(
        say: Say,
        *,
        attempts: int = 4,
        late_by: float = 0,
        edits: tuple[Edit, ...] = (),
        **spec: Any,
    ) -> Exchange:
        adapter = scripted(say, edit=lambda _: edits)
        backend_spec = BackendSpec(adapter=adapter, model="m", **spec)
        backend = adapter(BackendConfig("b", "scripted", "m"))
        asker = Asker(backend, backend_spec, journal, Budget(None, Spend()), attempts)
        scheduled = time.monotonic_ns() - int(late_by * 1e9)
        asked = await asker.ask((0, "b", 0), request(), scheduled)
        done, committed = asker.complete(asked)
        await committed
        (trial,) = journal.trials()
        assert trial.exchange == done
        assert trial.state == ("failed" if done.failure else "answered")
        return done

    return ask_once


# --- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(TRANSIENT))
async def test_what_may_pass_is_tried_again(ask: Ask, kind: ErrorKind) -> None:
    done = await ask(in_turn(failing(kind, "later", status=503), failing(kind), right))
    assert done.failure is None
    assert done.reply.text == "a0"
    assert [(a.error, a.status, a.message) for a in done.attempts] == [
        (kind, 503, "later"),
        (kind, None, "no"),
        (None, None, None),
    ]
    times = [moment for a in done.attempts for moment in (a.sent_ns, a.ended_ns)]
    assert times == sorted(times)
    assert done.sent_ns == done.attempts[-1].sent_ns


@pytest.mark.parametrize(
    "kind",
    [
        "auth",
        "bad_parameter",
        "unsupported",
        "template",
        "context_overflow",
        "content_filter",
        "rejected",
        "crashed",
    ],
)
async def test_what_will_not_change_is_tried_once(ask: Ask, kind: ErrorKind) -> None:
    done = await ask(in_turn(failing(kind, "for good"), right))
    assert [a.error for a in done.attempts] == [kind]
    assert done.failure
    assert (done.failure.kind, done.failure.message) == (kind, "for good")


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_number_of_attempts_is_bounded(ask: Ask, journal: Journal, attempts: int) -> None:
    done = await ask(failing("server", "down #"), attempts=attempts)
    assert [a.message for a in done.attempts] == [f"down {n}" for n in range(attempts)]
    assert done.failure
    assert done.failure.message == f"down {attempts - 1}"
    assert journal.spend().calls == attempts


async def test_a_server_is_given_the_time_that_it_asks_for(ask: Ask) -> None:
    done = await ask(in_turn(failing("rate_limit", status=429, retry_after=0.15), right))
    first, second = done.attempts
    assert 150 * MS <= second.sent_ns - first.ended_ns < 1000 * MS
    assert done.sent_ns >= 150 * MS, "the wait belongs to the latency: it runs from the schedule"


@pytest.mark.parametrize("seconds", [-3.0, 0.0])
async def test_a_wait_that_is_over_is_none(ask: Ask, seconds: float) -> None:
    began = time.monotonic()
    done = await ask(in_turn(failing("rate_limit", retry_after=seconds), right))
    assert done.failure is None
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("seconds", [300.5, 86_400.0, float("inf"), float("nan")])
async def test_a_wait_without_end_is_not_waited_for(ask: Ask, seconds: float) -> None:
    done = await ask(in_turn(failing("rate_limit", "tomorrow", retry_after=seconds), right))
    assert [a.error for a in done.attempts] == ["rate_limit"]
    assert done.failure
    assert done.failure.message == "tomorrow"


async def test_events_are_those_of_the_last_attempt(ask: Ask) -> None:
    half = Answer(text="half", error=Error(kind="server", message="broke"))
    done = await ask(in_turn(lambda _: half, right))
    assert done.reply.text == "a0"
    done = await ask(in_turn(lambda _: half, failing("auth")))
    assert done.events == ()


async def test_what_came_before_an_error_is_kept(ask: Ask) -> None:
    half = Answer(text="half", error=Error(kind="server", message="broke"))
    done = await ask(lambda _: half, attempts=2)
    assert done.failure
    assert done.reply.text == "half"
    assert done.reply.finish is None


async def test_latency_is_counted_from_the_schedule(ask: Ask) -> None:
    done = await ask(late(0.02), late_by=1.0)
    assert 1000 * MS <= done.sent_ns < 1500 * MS
    assert done.attempts[0].sent_ns == done.sent_ns
    assert done.attempts[0].ended_ns >= done.sent_ns + 20 * MS


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "timeouts", "message", "text"),
    [
        (
            Answer(text="late", first_after=5),
            {"request": 0.1, "gap": 60},
            "the whole answer took longer than 0.1 s",
            "",
        ),
        (
            Answer(text="abcdefgh", chunks=8, gap=0.05),
            {"request": 0.18, "gap": 60},
            "the whole answer took longer than 0.18 s",
            "abc",
        ),
        (
            Answer(text="ab", chunks=2, gap=5),
            {"request": 60, "gap": 0.1},
            "nothing came for 0.1 s in the middle of the answer",
            "a",
        ),
    ],
    ids=["before the first event", "drop by drop", "in the middle"],
)
async def test_what_takes_too_long_is_ended(
    ask: Ask, answer: Answer, timeouts: dict[str, float], message: str, text: str
) -> None:
    began = time.monotonic()
    done = await ask(lambda _: answer, attempts=2, timeouts=timeouts)
    assert time.monotonic() - began < 2
    assert [(a.error, a.message) for a in done.attempts] == [("timeout", message)] * 2
    assert done.reply.text.startswith(text)


async def test_the_first_event_may_be_queued_for_longer_than_a_gap(ask: Ask) -> None:
    done = await ask(late(0.15), timeouts={"request": 5, "gap": 0.05})
    assert done.failure is None


async def stream(*events: Event, closed: list[bool] | None = None) -> AsyncIterator[Event]:
    try:
        for event in events:
            yield event
        if closed is not None:
            await asyncio.sleep(60)
    finally:
        if closed is not None:
            await asyncio.sleep(0)  # letting go may take a turn
            closed.append(True)


@pytest.mark.parametrize("events", [(), (Text(1, "half"),)])
async def test_a_stream_without_an_end_is_cut_off(events: tuple[Event, ...]) -> None:
    seen: list[Event] = []
    with pytest.raises(BackendError, match="ended before the answer was whole") as caught:
        await collect(stream(*events), Timeouts(), seen)
    assert caught.value.kind == "malformed_stream"
    assert seen == list(events)


async def test_a_request_that_ran_out_of_time_is_cancelled() -> None:
    closed: list[bool] = []
    with pytest.raises(BackendError, match="middle of the answer"):
        await collect(stream(Text(1, "x"), closed=closed), Timeouts(gap=0.05), [])
    assert closed == [True]


async def test_a_timeout_of_the_adapters_own_is_not_called_ours() -> None:
    async def broken() -> AsyncIterator[Event]:
        yield Text(1, "x")
        raise TimeoutError("a socket's")

    with pytest.raises(TimeoutError, match="a socket's"):
        await collect(broken(), Timeouts(), [])


# --- edits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "path", "rules", "good"),
    [
        ("rename", "/max_tokens", ["rename"], True),
        ("rename", "/max_tokens", [], False),
        ("drop", "/seed", ["rename"], False),
        ("drop", "/seed", ["drop"], True),
        ("drop", "/seed", ["drop:/seed"], True),
        ("drop", "/seed", ["transform:/seed"], False),
        ("drop", "/seeds", ["drop:/seed"], False),
        ("drop", "/tools/0/strict", ["drop:/tools"], True),
        ("drop", "/tools/0/strict", ["drop:/tools/"], True),
        ("drop", "/tools", ["drop:/tools/0"], False),
        ("drop", "/seed", ["drop:/"], True),
        ("transform", "/messages/0/role", ["rename", "drop", "transform:/messages"], True),
        ("reject", "/tools", ["rename", "drop", "transform"], False),
        ("reject", "/tools", ["reject", "reject:/tools"], False),
    ],
)
def test_rules_allow_edits(action: Any, path: str, rules: list[str], good: bool) -> None:
    assert allowed(Edit(action, path, "why"), rules) is good


RENAME = Edit("rename", "/max_tokens", "is called max_completion_tokens")
DROP = Edit("drop", "/seed", "has no seed")
REJECT = Edit("reject", "/tools", "cannot call tools")


@pytest.mark.parametrize(
    ("edits", "rules", "words"),
    [
        ((RENAME,), ["rename"], None),
        ((RENAME, DROP), ["rename"], ["/seed: has no seed", "'drop:/seed'"]),
        ((RENAME, DROP), ["rename", "drop:/seed"], None),
        ((REJECT,), ["rename", "drop", "transform"], ["/tools: cannot call tools"]),
    ],
)
async def test_a_case_that_needs_a_forbidden_edit_is_rejected_without_a_call(
    ask: Ask,
    journal: Journal,
    edits: tuple[Edit, ...],
    rules: list[str],
    words: list[str] | None,
) -> None:
    calls: list[Request] = []

    def say(request: Request) -> Answer:
        calls.append(request)
        return right(request)

    done = await ask(say, edits=edits, allow_edits=rules)
    assert done.edits == edits
    if words is None:
        assert done.failure is None
        return
    assert done.failure
    assert done.failure.kind == "rejected"
    assert all(word in done.failure.message for word in words)
    assert (calls, done.attempts, journal.spend()) == ([], (), Spend())


def test_a_request_that_needs_no_edit_is_not_refused() -> None:
    assert refusal(Prepared(request(), {}), []) is None


# --- defects of an adapter ------------------------------------------------------------------------


async def test_a_defect_of_an_adapter_is_raised_and_its_call_stays_charged(
    ask: Ask, journal: Journal
) -> None:
    def say(request: Request) -> Answer:
        raise KeyError("an adapter's mistake")

    with pytest.raises(KeyError):
        await ask(say)
    assert journal.spend().calls == 1
    assert journal.spend().tokens > 0
    assert list(journal.trials()) == []


async def test_answers_of_every_size_and_kind_survive(ask: Ask) -> None:
    for text in ("\ud83d half", "NUL \x00", "\u202eturned\u2066", "x" * 10_000_000, ""):
        done = await ask(lambda _, text=text: Answer(text=text))
        assert done.reply.text == text


async def test_usage_that_nobody_can_have_used_is_charged_as_unknown(
    ask: Ask, journal: Journal
) -> None:
    await ask(lambda _: Answer(text="x", input_tokens=-(10**9), output_tokens=1))
    (first,) = [journal.spend().tokens]
    assert first > 20
    await ask(lambda _: Answer(text="x", input_tokens=10**30, output_tokens=1))
    assert journal.spend().tokens == 2 * first


PRICE = PriceSpec.model_validate(
    {
        "currency": "EUR",
        "date": "2026-11-01",
        "source": "a price list",
        "input_per_million": 1e6,
        "output_per_million": 1e6,
    }
)


@pytest.mark.parametrize(
    ("kinds", "unpriced"),
    [
        ((), []),
        (("server", "timeout"), [True, True]),
        (("rate_limit", "server"), [False, True]),
    ],
)
async def test_an_answer_costs_its_usage_whatever_failed_before_it(
    ask: Ask, journal: Journal, kinds: tuple[ErrorKind, ...], unpriced: list[bool]
) -> None:
    """Right answers report 5 tokens in and 3 out; the budget reckons with the failed calls too."""
    done = await ask(in_turn(*map(failing, kinds), right), price=PRICE)
    assert done.money == 8
    assert [attempt.unpriced for attempt in done.attempts] == [*unpriced, False]
    if any(unpriced):
        assert journal.spend().money > 8 + 20
    else:
        assert journal.spend().money == 8


async def test_what_broke_in_the_middle_is_unpriced_whatever_the_error(ask: Ask) -> None:
    half = Answer(text="half", error=Error(kind="overloaded", message="busy"))
    done = await ask(in_turn(lambda _: half, right))
    assert [attempt.unpriced for attempt in done.attempts] == [True, False]


@pytest.mark.parametrize("text", ["", "half an ans"])
async def test_an_answer_that_ends_in_an_error_is_a_failure(ask: Ask, text: str) -> None:
    done = await ask(lambda _: Answer(text=text, finish="error"), attempts=2)
    assert done.failure
    assert (done.failure.kind, done.failure.message) == (
        "server",
        "the backend ended the answer with 'error'",
    )
    assert (len(done.attempts), done.reply.text) == (2, text)
    done = await ask(in_turn(lambda _: Answer(finish="error"), right))
    assert (done.failure, done.reply.text) == (None, "a0")


@pytest.mark.parametrize("reason", ["content_filter", "length", "other"])
async def test_other_ends_are_answers(ask: Ask, reason: str) -> None:
    done = await ask(lambda _: Answer.model_validate({"text": "", "finish": reason}))
    assert done.failure is None


def test_finish_is_what_makes_an_answer_whole() -> None:
    events: list[Event] = []
    asyncio.run(collect(stream(Finish(1, "stop")), Timeouts(), events))
    assert events == [Finish(1, "stop")]


@pytest.mark.parametrize("fails_first", [False, True])
async def test_what_our_own_journal_takes_is_nobodys_latency(
    ask: Ask, journal: Journal, monkeypatch: pytest.MonkeyPatch, fails_first: bool
) -> None:
    intend = journal.intend

    async def slow(*arguments: Any) -> int:
        await asyncio.sleep(0.1)
        return await intend(*arguments)

    monkeypatch.setattr(journal, "intend", slow)
    overloaded = Answer(error=Error(kind="overloaded", message="busy"))
    answers = iter([overloaded, Answer(text="yes")] if fails_first else [Answer(text="yes")])
    done = await ask(lambda _: next(answers))
    assert done.reply.text == "yes"
    assert done.sent_ns < 50 * MS
    assert all(attempt.ended_ns < 50 * MS for attempt in done.attempts)
