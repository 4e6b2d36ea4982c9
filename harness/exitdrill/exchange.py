"""One exchange: a request put to a backend, with retries, timeouts and a budget, on the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from exitdrill.backend import Backend, Edit, Event, Finish, Prepared, Reply, Request, Timeouts, fold
from exitdrill.budget import Budget, charge, charge_failed, is_free, reply_money, worst_case
from exitdrill.errors import BackendError
from exitdrill.journal import Journal, PassUnderWay
from exitdrill.records import Attempt, Exchange, Failure, Key, Spend, TrialState
from exitdrill.scenario import BackendSpec, PriceSpec

LONGEST_WAIT = 300.0
"""Seconds. A server that asks for more than this is not waited for."""

BACKOFF = wait_random_exponential(multiplier=0.5, max=30)

Tell = Callable[[Event], Awaitable[None]]
"""Hears each event as it comes. While it waits, the backend is not called silent."""


def allowed(edit: Edit, rules: list[str]) -> bool:
    """Whether a scenario's rules (``"drop"``, ``"drop:/seed"``) allow an edit."""
    if edit.action == "reject":
        return False
    return any(rule == edit.action or _covers(rule, f"{edit.action}:{edit.path}") for rule in rules)


def _covers(rule: str, edit: str) -> bool:
    return ":" in rule and (edit == rule or edit.startswith(rule.rstrip("/") + "/"))


def forbidden(prepared: Prepared, rules: list[str]) -> Edit | None:
    """The first edit of a request that nobody allowed."""
    return next((edit for edit in prepared.edits if not allowed(edit, rules)), None)


def refusal(prepared: Prepared, rules: list[str]) -> BackendError | None:
    """The error of a request that needs an edit which nobody allowed."""
    edit = forbidden(prepared, rules)
    if edit is None:
        return None
    message = f"{edit.path}: {edit.detail}"
    if edit.action != "reject":
        message += f" (the scenario does not allow the edit '{edit.action}:{edit.path}')"
    return BackendError("rejected", message)


@dataclass
class Asker:
    """Puts requests to one arm's backend: `ask`, then `complete`."""

    backend: Backend
    spec: BackendSpec
    journal: Journal
    budget: Budget
    attempts: int
    timeouts: Timeouts = field(init=False)

    def __post_init__(self) -> None:
        self.timeouts = Timeouts(**self.spec.timeouts.model_dump())

    async def ask(self, key: Key, request: Request, scheduled_ns: int | None = None) -> _Asked:
        """One exchange, counted from ``scheduled_ns`` on the monotonic clock.

        Without it the exchange is due now; the time that our own journal takes is taken off.

        Raises `BudgetSpent` before a call that could exceed the budget, and `StorageFailed`.
        """
        prepared = self.backend.prepare(request)
        most = worst_case(request, self.spec.price)
        asked = _Asked(prepared, scheduled_ns, key=key, most=most)
        refused = refusal(prepared, self.spec.allow_edits)
        if refused is not None:
            asked.error = refused
            return asked
        try:
            await self._attempt(asked)
        except BackendError as error:
            await self._retry(asked, error)
        return asked

    async def _retry(self, asked: _Asked, first: BackendError) -> None:
        """Let tenacity see the first failure as if it had been there: only who fails needs it."""
        failed = [first]

        async def attempt() -> None:
            if failed:
                raise failed.pop()
            await self._attempt(asked)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.attempts),
            wait=_wait,
            retry=retry_if_exception(_worth_another),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            await retrying(attempt)
        except BackendError as error:
            asked.error = error

    async def _attempt(self, asked: _Asked) -> None:
        before = time.monotonic_ns()
        await self._settle(asked)
        self.budget.reserve(asked.most)
        asked.call = await self.journal.intend(asked.key, len(asked.attempts), asked.most)
        asked.spent = asked.most
        now = time.monotonic_ns()
        due = before if asked.scheduled_ns is None else asked.scheduled_ns
        asked.scheduled_ns = due + (now - before)  # what our own journal takes is nobody's latency
        try:
            reply = await asked.attempt(self.backend, self.timeouts, now)
            asked.spent = charge(reply, asked.most, self.spec.price)
        except BackendError as error:
            asked.spent = charge_failed(error, bool(asked.events), asked.most)
            raise

    async def _settle(self, asked: _Asked) -> None:
        """Settle the attempt before this one; the last is settled together with its trial."""
        if asked.call is not None:
            self.budget.settle(asked.most, asked.spent)
            await self.journal.settle(asked.call, asked.spent)
            asked.call = None

    async def dismiss(self, asked: _Asked) -> None:
        """Charge an exchange that is not measured."""
        await self._settle(asked)

    def complete(
        self, asked: _Asked, under_way: PassUnderWay | None = None
    ) -> tuple[Exchange, asyncio.Future[None]]:
        """Commit an exchange with its trial and its pass; the future is that of the commit.

        The next call need not wait for it: its intent is committed later, or together with this.
        """
        exchange = asked.exchange(self.spec.price)
        settled = None
        if asked.call is not None:
            self.budget.settle(asked.most, asked.spent)
            settled = (asked.call, asked.spent)
        state: TrialState = "failed" if exchange.failure else "answered"
        if under_way is not None:
            under_way.answers += asked.answered
        return exchange, self.journal.complete(asked.key, state, exchange, settled, under_way)


@dataclass
class Asking:
    """An exchange in the making: who owns retries and money calls `attempt` as often as needed.

    ``scheduled_ns`` is on the monotonic clock; None until it is known.
    """

    prepared: Prepared
    scheduled_ns: int | None = None
    attempts: list[Attempt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reply: Reply | None = None
    error: BackendError | None = None
    sent_ns: int = 0

    @property
    def answered(self) -> bool:
        """Whether something came, and all of it: nothing is no answer, however quick."""
        reply = self.reply
        return self.error is None and reply is not None and reply.first_at is not None

    async def attempt(
        self, backend: Backend, timeouts: Timeouts, now: int, tell: Tell | None = None
    ) -> Reply:
        """One call, on the record. ``now`` is the monotonic clock, as the caller has just read it.

        Raises `BackendError`.
        """
        self.error, self.events, self.reply = None, [], None
        scheduled = self.scheduled_ns = now if self.scheduled_ns is None else self.scheduled_ns
        self.sent_ns = now - scheduled
        try:
            await collect(backend.stream(self.prepared), timeouts, self.events, tell)
            self.reply = fold(self.events)
        except BackendError as error:
            self.error = error
            raise
        except asyncio.CancelledError:
            self._given_up()
            raise
        finally:
            self.attempts.append(_attempt(self, time.monotonic_ns() - scheduled))
        return self.reply

    def _given_up(self) -> None:
        """Whoever asked has gone; what was whole by then was answered all the same."""
        if any(isinstance(event, Finish) for event in self.events):
            self.reply = fold(self.events)
        else:
            self.error = BackendError("cancelled", "given up before the answer was whole")

    def exchange(self, price: PriceSpec | None) -> Exchange:
        """The record of it."""
        return Exchange(
            edits=self.prepared.edits,
            events=tuple(self.events),
            failure=Failure.of(self.error) if self.error else None,
            attempts=tuple(self.attempts),
            sent_ns=self.sent_ns,
            money=reply_money(self.reply, price) if self.reply else None,
        )


@dataclass(kw_only=True)
class _Asked(Asking):
    """An exchange in the making that is charged to a budget, and intended in a journal."""

    key: Key
    most: Spend
    call: int | None = None
    spent: Spend = field(default_factory=Spend)


async def collect(
    stream: AsyncIterator[Event],
    timeouts: Timeouts,
    events: list[Event],
    tell: Tell | None = None,
) -> None:
    """Append a stream's events to a list, within the timeouts; ``tell`` hears each of them.

    The gap counts between events, not before the first: until then a request may be queued.
    Raises `BackendError`: the stream's own, ``timeout``, ``malformed_stream`` where the stream ends
    without saying that the answer is whole, ``server`` where it says that it ended in an error;
    ``cancelled`` where ``tell`` takes longer than a gap.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeouts.request
    # An async generator must be closed for its request to be cancelled.
    async with aclosing(cast("AsyncGenerator[Event, None]", stream)) as source:
        try:
            async with asyncio.timeout_at(end) as deadline:
                silence = _Silence(deadline, timeouts.gap)
                try:
                    async for event in source:
                        events.append(event)
                        silence.broken()
                        if tell is not None:
                            silence.ours = True
                            await tell(event)
                            silence.ours = False
                            silence.broken()
                finally:
                    silence.end()
        except TimeoutError:
            if not deadline.expired():
                raise  # not ours: a defect of the adapter's, as any other stray exception
            which = f"the whole answer took longer than {timeouts.request:g} s"
            if silence.ours:
                raise BackendError("cancelled", "whoever asked did not read on") from None
            if loop.time() < end:
                which = f"nothing came for {timeouts.gap:g} s in the middle of the answer"
            raise BackendError("timeout", which) from None
    finishes = [event for event in events if isinstance(event, Finish)]
    if not finishes:
        raise BackendError("malformed_stream", "the stream ended before the answer was whole")
    if finishes[-1].reason == "error":
        word = finishes[-1].raw or "error"
        raise BackendError("server", f"the backend ended the answer with {word!r}")


class _Silence:
    """Lets a deadline pass when nothing was heard for ``gap`` seconds since something was.

    One timer looks after many events: to move a deadline at each of them costs as much as all else
    that is done for an event. ``ours`` says that whoever listens is busy with the last one.
    """

    __slots__ = ("_deadline", "_gap", "_heard", "_loop", "_timer", "ours")

    def __init__(self, deadline: asyncio.Timeout, gap: float) -> None:
        self._deadline = deadline
        self._gap = gap
        self._loop = asyncio.get_running_loop()
        self._heard = 0.0
        self.ours = False
        self._timer: asyncio.TimerHandle | None = None

    def broken(self) -> None:
        """Something was heard."""
        self._heard = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._heard + self._gap, self._look)

    def end(self) -> None:
        """Nothing more is listened for."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        due = self._heard + self._gap
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
        elif not self._deadline.expired():
            self._deadline.reschedule(self._loop.time())


def _attempt(asked: Asking, ended_ns: int) -> Attempt:
    error = asked.error
    return Attempt(
        sent_ns=asked.sent_ns,
        ended_ns=ended_ns,
        error=error.kind if error else None,
        status=error.status if error else None,
        message=error.message if error else None,
        unpriced=error is not None and not is_free(error, bool(asked.events)),
    )


def _worth_another(error: BaseException) -> bool:
    return (
        isinstance(error, BackendError)
        and error.transient
        and (error.retry_after or 0) <= LONGEST_WAIT
    )


def _wait(state: RetryCallState) -> float:
    """What the server asked for, or else exponential backoff with jitter."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, BackendError) and error.retry_after is not None:
        return max(0.0, error.retry_after)
    return float(BACKOFF(state))
