"""The app of one arm, ready to be run: its copy, its ways to the models, and who asks it.

`AppAsker` stands in the place of `exitdrill.exchange.Asker`: a trial is a run of the app, and its
exchange is the app's answer; the exchanges with the models are recorded beside it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from exitdrill.app.calls import START, Ledger, TrialCalls
from exitdrill.app.closed import LEAST_VERSION
from exitdrill.app.complaints import summed_up
from exitdrill.app.confine import landlock_version
from exitdrill.app.copies import copy_of
from exitdrill.app.folders import work_folder
from exitdrill.app.home import Home
from exitdrill.app.process import FILLED, FLOOD, Ended
from exitdrill.app.running import CommandRunner, Ran, Runner
from exitdrill.app.served import ServedRunner
from exitdrill.app.ways import Entrance, Ways
from exitdrill.backend import Event, Finish, Request, Text
from exitdrill.budget import Budget
from exitdrill.errors import DrillStopped, ServerFailed
from exitdrill.journal import Journal, PassUnderWay
from exitdrill.records import Attempt, Exchange, Failure, Key, TrialState
from exitdrill.redaction import Redactor
from exitdrill.replay import Arm
from exitdrill.scenario import AppRunSpec, PriceSpec, Scenario
from exitdrill.swap import AppliedSwap

MOST_OF_TESTS = 1_900
"""Characters of each stream of the app's own tests that are kept."""
TESTS = -2
"""The position that the calls of the app's own tests have in the journal."""


@dataclass(frozen=True)
class Tested:
    """What came of the app's own tests, or of installing it: whether that passed, the seconds, what
    it said. ``brief`` is of that what helps, in one line."""

    passed: bool
    seconds: float
    said: str
    brief: str

    @classmethod
    def of(cls, ended: Ended, limit: float, hide: Callable[[str], str]) -> Tested:
        """What came of a command that had so many seconds."""
        output = ended.output.decode("utf-8", "replace").strip()[-MOST_OF_TESTS:]
        errors = ended.errors[-MOST_OF_TESTS:]
        ways = {"timeout": f"took longer than {limit:g} s", "flood": FLOOD, "filled": FILLED}
        how = ways.get(ended.why, ended.exit)
        said = "\n".join(part for part in (how, output, errors) if part)
        found = f"{how}: {summed_up(output, errors)}"
        passed = ended.why == "itself" and ended.code == 0
        return cls(passed, ended.seconds, hide(said), hide(found))


@dataclass(frozen=True)
class AskedApp:
    """A trial that was run."""

    key: Key
    exchange: Exchange


@dataclass
class AppAsker:
    """Runs one arm's app: `ask`, then `complete`."""

    name: str
    spec: AppRunSpec
    home: Home
    ways: Ways
    ledger: Ledger
    journal: Journal
    runner: Runner
    entrance: Entrance | None = None
    """That of an app that is served and names no trials."""

    async def ask(self, key: Key, request: Request, scheduled_ns: int | None = None) -> AskedApp:
        """One run, counted from ``scheduled_ns`` on the monotonic clock; by default from now.

        Raises `BudgetSpent` where a call could have exceeded the budget, and other `DrillStopped`.
        """
        calls = self._calls(key)
        now = time.monotonic_ns()
        sent_ns = 0 if scheduled_ns is None else now - scheduled_ns
        entrance = self._let_in(calls)
        try:
            ran = await self.runner.run(request.body["input"], entrance, calls.stop)
        finally:
            await self._let_out(entrance, calls)
        self._check(calls)
        hide = Redactor.of([*entrance.secrets, *self.home.passed.values()])
        return AskedApp(key, _exchange(ran, calls, sent_ns, hide, self.ledger.prices[self.name]))

    async def dismiss(self, asked: AskedApp) -> None:
        """A run that is not measured: its calls are charged already."""

    def complete(
        self, asked: AskedApp, under_way: PassUnderWay | None = None
    ) -> tuple[Exchange, asyncio.Future[None]]:
        """Commit a trial, after all its calls; the future is that of the commit."""
        exchange = asked.exchange
        state: TrialState = "failed" if exchange.failure else "answered"
        if under_way is not None:
            under_way.answers += exchange.failure is None and exchange.reply.first_at is not None
        return exchange, self.journal.complete(asked.key, state, exchange, None, under_way)

    async def start(self) -> None:
        """Start an app that is served; its calls meanwhile are charged, and no trial's. Of another
        one only the program has to be there.

        Raises `ServerFailed`, or `BudgetSpent` and other `DrillStopped` that a call came upon.
        """
        if self.spec.serve is None:
            await self.runner.start()
            return
        calls = self._calls((START, self.name, 0))
        entrance = self._let_in(calls)
        self.ledger.starting = calls
        try:
            await self.runner.start()
        except ServerFailed:
            self._check(calls)
            raise
        finally:
            await self.ways.settled(None)  # of an app that names its trials by a header
            self.ledger.starting = None
            await self._let_out(entrance, calls)
        self._check(calls)

    async def test(self, key: Key | None = None) -> Tested | None:
        """Run the app's own tests; None where it has none."""
        if self.spec.test is None:
            return None
        calls = self._calls(key or (TESTS, self.name, 0))
        entrance = self._let_in(calls, anew=True)
        try:
            ended = await self.home.run(
                self.spec.test, b"", entrance, self.spec.test_seconds, calls.stop
            )
        finally:
            await self._let_out(entrance, calls)
        self._check(calls)
        return Tested.of(
            ended,
            self.spec.test_seconds,
            Redactor.of([*entrance.secrets, *self.home.passed.values()]),
        )

    async def install(self) -> Tested | None:
        """Install what the app depends on; None where nothing says how. Raises `ServerFailed`."""
        if self.spec.install is None:
            return None
        seconds = self.spec.install_seconds
        return Tested.of(await self.home.install(self.spec.install, seconds), seconds, self.hide)

    def hide(self, text: str) -> str:
        """The text without what would let somebody in at the gateways, and what was passed on."""
        keys = self.entrance.secrets if self.entrance else self.ways.keys
        return Redactor.of([*keys, *self.home.passed.values()])(text)

    def _calls(self, key: Key) -> TrialCalls:
        position, arm, repeat = key
        return TrialCalls(key, f"{arm} {position} {repeat}", time.monotonic_ns())

    def _let_in(self, calls: TrialCalls, *, anew: bool = False) -> Entrance:
        self.ledger.open(calls)
        if self.entrance is None or anew:
            return self.ways.open(calls.owner)
        self.ways.assign(self.entrance, calls.owner)
        return self.entrance

    def _check(self, calls: TrialCalls) -> None:
        """Raise what ends the drill, where a call came upon it."""
        self.ways.check()
        if calls.stopped is not None:
            raise calls.stopped

    async def _let_out(self, entrance: Entrance, calls: TrialCalls) -> None:
        await self.ways.shut(entrance, calls.owner)
        await self.ledger.close(calls)


def _exchange(
    ran: Ran, calls: TrialCalls, sent_ns: int, hide: Redactor, price: PriceSpec | None
) -> Exchange:
    """A run as an exchange: its answer or its error, and what its calls used."""
    at = int(ran.seconds * 1e9)
    error = ran.error
    failure = None if error is None else Failure(error.kind, hide(error.message), error.status)
    attempt = Attempt(
        sent_ns=sent_ns,
        ended_ns=sent_ns + at,
        error=failure.kind if failure else None,
        status=failure.status if failure else None,
        message=failure.message if failure else None,
        unpriced=calls.sums.unpriced,
    )
    usage = calls.sums.usage(at)
    events: list[Event] = [Text(at, hide(ran.text))] if ran.text else []
    events += [usage] if usage else []
    events += [] if failure else [Finish(at, "stop")]
    return Exchange(
        events=tuple(events),
        failure=failure,
        attempts=(attempt,),
        sent_ns=sent_ns,
        money=None if failure or not _by_token(price) else calls.sums.money,
    )


def _by_token(price: PriceSpec | None) -> bool:
    """Whether the price is one per token: without any call an answer costs nothing then."""
    return price is not None and price.per_hour is None


@asynccontextmanager
async def app_of(
    scenario: Scenario,
    arm: Arm,
    journal: Journal,
    budget: Budget,
    alter: Callable[[AppliedSwap], AppliedSwap] = lambda applied: applied,
) -> AsyncIterator[AppAsker]:
    """An arm's app, copied, with the swap applied and its gateways open; not yet started.

    ``alter`` changes the copy before anything runs there. Raises `SwapFailed`.
    """
    spec = scenario.app_run
    assert spec is not None
    if spec.connect is not None and landlock_version() < LEAST_VERSION:
        raise DrillStopped(
            "app.run.connect takes Landlock as in Linux 6.7: it is not to be had here"
        )
    limits = scenario.budget
    bounded = limits is not None and (limits.money is not None or limits.tokens is not None)
    prices = {name: backend.price for name, backend in scenario.backends.items()}
    ledger = Ledger(journal, budget, prices, bounded)
    ways = Ways(arm.name, arm.backend, scenario.backends, scenario.incumbent, ledger)
    async with AsyncExitStack() as stack:
        work = stack.enter_context(work_folder())
        scratch = work / "scratch"
        scratch.mkdir()
        applied = alter(copy_of(scenario, arm.name, work))
        await stack.enter_async_context(ways)
        passed = {name: os.environ[name] for name in spec.pass_ if name in os.environ}
        journal.hide([*ways.keys, *passed.values()])
        home = Home(applied.path, scratch, applied.environment, passed, spec.connect)
        entrance, runner = _runner(spec, home, ways, arm.name)
        stack.push_async_callback(runner.stop)
        yield AppAsker(arm.name, spec, home, ways, ledger, journal, runner, entrance)


def _runner(spec: AppRunSpec, home: Home, ways: Ways, name: str) -> tuple[Entrance | None, Runner]:
    if spec.serve is None:
        return None, CommandRunner(spec, home)
    if spec.header:
        return None, ServedRunner(spec, home, ways.common)
    entrance = ways.open(f"{name}, between two trials")
    return entrance, ServedRunner(spec, home, entrance)
