"""The model calls of an app, each charged, recorded and attributed to its trial.

Before a call goes to the backend it is reserved in the budget and intended in the journal; when it
is over its row is written and its cost settled in one. So a crash at any moment loses nothing that
was paid for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from exitdrill.backend import Reply, Request, Usage, UsageSource
from exitdrill.budget import Budget, charge, charge_failed, worst_case
from exitdrill.errors import BackendError, DrillStopped
from exitdrill.gateway import Call
from exitdrill.journal import Journal
from exitdrill.records import AppCall, Exchange, Key, Spend
from exitdrill.scenario import PriceSpec
from exitdrill.workload import output_limit

START = -6
"""The position that the calls of a served app have in the journal while it starts."""


@dataclass
class Sums:
    """What the answers to calls add up to; None where it is not known of one of them."""

    answers: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cached_tokens: int = 0
    counted: bool = False
    money: float | None = 0.0
    unpriced: bool = False
    """Whether there are failed calls that may have cost something."""

    def add(self, exchange: Exchange) -> None:
        """Add a call."""
        self.unpriced |= any(attempt.unpriced for attempt in exchange.attempts)
        if exchange.failure is not None:
            return
        reply = exchange.reply
        self.answers += 1
        self.money = _plus(self.money, exchange.money)
        self._count(reply)

    def usage(self, at: int) -> Usage | None:
        """The tokens of all answers together."""
        if not self.answers or self.input_tokens is None or self.output_tokens is None:
            return None
        source: UsageSource = "recounted" if self.counted else "reported"
        given, made = self.input_tokens, self.output_tokens
        return Usage(at, given, made, source, self.cached_tokens)

    def _count(self, reply: Reply) -> None:
        given, made = reply.input_tokens, reply.output_tokens
        known = self.input_tokens is not None and self.output_tokens is not None
        if given is None or made is None or not known:
            self.input_tokens = self.output_tokens = None
            return
        self.input_tokens = (self.input_tokens or 0) + given
        self.output_tokens = (self.output_tokens or 0) + made
        self.cached_tokens += reply.cached_tokens
        self.counted |= reply.usage_source == "recounted"


def _plus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


@dataclass
class TrialCalls:
    """What an app asks in the course of one trial."""

    key: Key
    owner: str
    began_ns: int
    made: int = 0
    sums: Sums = field(default_factory=Sums)
    commits: list[asyncio.Future[None]] = field(default_factory=list)
    stopped: DrillStopped | None = None
    """Why the drill cannot go on: a call was not let through."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def give_up(self, error: DrillStopped) -> None:
        """Let no more calls through, and have the app ended."""
        self.stopped = self.stopped or error
        self.stop.set()


@dataclass
class Ledger:
    """Charges and records the calls of one arm's app.

    ``prices`` are by the backend that a call goes to. With ``bounded`` the budget needs every call
    to say how long its answer may be. ``strays`` counts the calls that named no trial, or one that
    was over: they are not let through, for nobody could say whose they are; ``strayed`` says how
    many went where, those to another backend at the start included. What names no trial while the
    app starts is let through: it is ``starting``'s. ``left_behind`` counts the calls of trials that
    went to another backend than the arm's.
    """

    journal: Journal
    budget: Budget
    prices: Mapping[str, PriceSpec | None]
    bounded: bool
    strays: int = 0
    left_behind: int = 0
    starting: TrialCalls | None = None
    strayed: Counter[str] = field(default_factory=Counter)
    _trials: dict[str, TrialCalls] = field(default_factory=dict)
    _intended: dict[tuple[str, int], tuple[int, Spend]] = field(default_factory=dict)

    def open(self, calls: TrialCalls) -> None:
        """Expect calls of a trial."""
        self._trials[calls.owner] = calls

    async def close(self, calls: TrialCalls) -> None:
        """Expect no more of them, and wait until all are written."""
        del self._trials[calls.owner]
        await asyncio.gather(*calls.commits)

    async def admit(self, to: str, call: Call) -> None:
        """Let a call through, or raise `DrillStopped`."""
        calls, request = self._whose(call), call.request
        if calls is None or request is None:
            raise DrillStopped(
                "this call names no trial: pass X-Exitdrill-Trial on to it; without it calls are "
                "let through only while the app starts for the first time"
            )
        if calls.stopped is not None:
            raise calls.stopped
        if to != calls.key[1]:
            return  # to what was left behind: nobody answers, and nothing is paid
        try:
            await self._admit(to, calls, call.id, request)
        except DrillStopped as error:
            calls.give_up(error)
            raise

    async def _admit(self, to: str, calls: TrialCalls, call_id: str, request: Request) -> None:
        endless = request.operation != "embedding" and output_limit(request.body) is None
        if self.bounded and endless:
            raise DrillStopped(
                "the app made a call without max_tokens, so a budget of tokens or money cannot be "
                "kept; set it in the app, or bound the drill by requests"
            )
        body = {name: value for name, value in request.body.items() if name != "n"}
        most = worst_case(Request(request.operation, body), self.prices[to])
        for choice in range(request.body.get("n") or 1):
            self.budget.reserve(most)
            number = await self.journal.intend(calls.key, calls.made, most)
            self._intended[call_id, choice] = (number, most)

    def record(self, to: str, call: Call) -> None:
        """Put a call on the record, and settle what it cost."""
        calls = self._whose(call)
        if calls is None:  # it was refused, or went on when the app had started
            self._settled(to, call)
            self._stray(to)
            return
        if calls.key[0] == START and to != calls.key[1]:
            self._stray(to)
        made = AppCall(
            key=calls.key,
            number=calls.made,
            to=to,
            path=call.path,
            status=call.status,
            received_ns=call.received_ns - calls.began_ns,
            choice=call.choice,
            request=call.request,
            exchange=call.exchange,
        )
        calls.made += 1
        self.left_behind += to != calls.key[1]
        calls.sums.add(call.exchange)
        settled = self._settled(to, call)
        calls.commits.append(self.journal.called(made, settled))

    def _whose(self, call: Call) -> TrialCalls | None:
        if call.owner is None and call.request is not None:
            return self.starting
        return self._trials.get(call.owner or "")

    def _stray(self, to: str) -> None:
        self.strays += 1
        self.strayed[to] += 1

    def _settled(self, to: str, call: Call) -> tuple[int, Spend] | None:
        intended = self._intended.pop((call.id, call.choice), None)
        if intended is None:
            return None
        number, most = intended
        spent = _spent(call.exchange, most, self.prices[to])
        self.budget.settle(most, spent)
        return number, spent


def _spent(exchange: Exchange, most: Spend, price: PriceSpec | None) -> Spend:
    failure = exchange.failure
    if failure is None:
        return charge(exchange.reply, most, price)
    return charge_failed(BackendError(failure.kind, ""), bool(exchange.events), most)
