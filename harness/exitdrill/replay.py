"""Drives a plan through the backends: pass after pass, so that no two arms overlap in time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from exitdrill.backend import Backend, Request
from exitdrill.budget import Budget
from exitdrill.delay import watching
from exitdrill.errors import BudgetSpent, DrillStopped, ErrorKind, NoCandidateLeft
from exitdrill.exchange import Asker
from exitdrill.gist import gist
from exitdrill.journal import Journal, PassUnderWay
from exitdrill.monitor import Monitor
from exitdrill.plan import Pass, Plan
from exitdrill.progress import Watcher
from exitdrill.records import Exchange, Failure, Key
from exitdrill.scenario import BackendSpec
from exitdrill.workload import Case

WARMUP = -1
"""The position that the calls of a warm-up have in the journal; they are charged, not measured."""

OF_THE_CASE: frozenset[ErrorKind] = frozenset(
    {"rejected", "context_overflow", "content_filter", "template"}
)
"""Errors that say something of the case and not of the arm: they never break it off."""


class Asks(Protocol):
    """Who asks one arm: its backend (`exitdrill.exchange.Asker`), or its app."""

    async def ask(self, key: Key, request: Request, scheduled_ns: int | None = None) -> Any:
        """One exchange, counted from ``scheduled_ns``; by default from now.

        Raises `DrillStopped`.
        """

    async def dismiss(self, asked: Any) -> None:
        """Charge an exchange that is not measured."""

    def complete(
        self, asked: Any, under_way: PassUnderWay | None = None
    ) -> tuple[Exchange, asyncio.Future[None]]:
        """Commit an exchange with its trial and its pass; the future is that of the commit."""


@dataclass
class Arm:
    """One backend in a drill, ready to be asked. ``broken`` says why it was broken off.

    ``asks`` is who asks it, where that is not a plain `Asker`.
    """

    name: str
    backend: Backend
    spec: BackendSpec
    broken: str | None = None
    asks: Asks | None = None


@dataclass
class Breaker:
    """Ends an arm that keeps failing the same way, instead of paying for it."""

    limit: int
    streak: list[Key] = field(default_factory=list)
    signature: tuple[str, int | None, str] | None = None

    def see(self, key: Key, failure: Failure | None) -> bool:
        """Count a trial; True where the arm has to be broken off."""
        if failure is not None and failure.kind in OF_THE_CASE:
            return False
        signature = None if failure is None else _signature(failure)
        if signature != self.signature:
            self.signature, self.streak = signature, []
        if signature is not None:
            self.streak.append(key)
        return len(self.streak) >= self.limit


class Replay:
    """One execution of a plan, or of what a journal lacks of it.

    With a ``monitor`` it is looked at after every block.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        arms: Sequence[Arm],
        budget: Budget,
        watcher: Watcher,
        monitor: Monitor | None = None,
    ) -> None:
        replay = plan.document["replay"]
        self._plan = plan
        self._journal = journal
        self._arms: Mapping[str, Arm] = {arm.name: arm for arm in arms}
        self._budget = budget
        self._watcher = watcher
        self._monitor = monitor
        self._decided: set[str] = set()
        self._compared: int | None = None
        """The last block in which the incumbent was asked."""
        self._open_loop = replay["arrivals"] == "open"
        self._warmup: int = replay["warmup"]
        self._warm: set[str] = set()
        self._over = asyncio.Event()
        """Set when the pass under way shall ask nothing more."""
        self._under_way: PassUnderWay | None = None
        self._commits: list[asyncio.Future[None]] = []
        """What the pass under way has completed, as far as it may not be written yet."""
        self._askers: Mapping[str, Asks] = {
            arm.name: arm.asks or Asker(arm.backend, arm.spec, journal, budget, replay["attempts"])
            for arm in arms
        }
        self._at_once: Mapping[str, int] = {
            arm.name: plan.document["backends"][arm.name]["concurrency"] for arm in arms
        }
        self._runs_app = plan.document["app"] is not None
        self._breakers = {arm.name: Breaker(replay["breaker"]) for arm in arms}

    async def run(self) -> None:
        """Complete every trial of the plan, but those of arms that break off.

        Raises `DrillStopped` where it cannot go on: the budget is spent, the journal cannot be
        written, the incumbent broke off, or no candidate is left.
        """
        for last, turns in itertools.groupby(self._plan.passes(), key=lambda turn: turn.last):
            for turn in turns:
                await self._turn(turn)
            if self._is_decided(last):
                return

    async def _turn(self, turn: Pass) -> None:
        arm = self._arms.get(turn.arm)
        if arm is None or arm.broken is not None or turn.arm in self._decided:
            return
        await self._pass(arm, turn)
        if turn.arm == self._plan.arms[0]:
            self._compared = turn.block
        self._check_arms(turn)

    def _is_decided(self, last: int) -> bool:
        """Look at what there is, if the plan wants that: has nobody to be asked any more?"""
        if self._monitor is None:
            return False
        for name, asked in self._monitor.look(last).items():
            if name not in self._decided:
                self._decided.add(name)
                self._watcher.note(f"{name}: all gates are decided, after {asked:,} cases")
        waiting = {name for name, arm in self._arms.items() if arm.broken is None}
        return waiting - self._decided <= {self._plan.arms[0]}

    def _check_arms(self, turn: Pass) -> None:
        incumbent = self._plan.arms[0]
        broken = {arm.name: arm.broken for arm in self._arms.values() if arm.broken}
        if incumbent in broken:
            raise DrillStopped(f"the incumbent {incumbent!r} broke off: {broken[incumbent]}")
        others = self._arms.keys() - {incumbent}
        if not others or not others <= broken.keys():
            return
        if self._compared == turn.block or not any(map(self._may_lack, others)):
            raise NoCandidateLeft("no candidate is left: each broke off")

    def _may_lack(self, name: str) -> bool:
        """Whether a broken arm may lack what it was asked for: that says something as soon as the
        incumbent was asked the same. What an app makes of a refusal is an error of its own."""
        signature = self._breakers[name].signature
        return self._runs_app or (signature is not None and signature[0] == "unsupported")

    async def _pass(self, arm: Arm, turn: Pass) -> None:
        completed = self._journal.completed(arm.name, turn.repeat, turn.first, turn.last)
        cases = [
            (position, case)
            for position, case in self._journal.cases(turn.first, turn.last)
            if position not in completed
        ]
        if not cases:
            return
        await self._warm_up(arm)
        self._over = asyncio.Event()
        self._under_way = PassUnderWay(turn.block, arm.name, turn.repeat, time.monotonic_ns())
        run = self._open if self._open_loop else self._closed
        try:
            async with watching(self._under_way.delay):
                await run(arm, turn, cases)
        finally:
            await self._committed()

    async def _committed(self) -> None:
        """Wait until all that this pass has completed is written."""
        commits, self._commits = self._commits, []
        for outcome in await asyncio.gather(*commits, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _warm_up(self, arm: Arm) -> None:
        if arm.name in self._warm:
            return
        self._warm.add(arm.name)
        for number, (_, case) in enumerate(self._journal.cases(0, self._warmup)):
            key = (WARMUP, arm.name, number)
            asked = await self._askers[arm.name].ask(key, self._request(case))
            await self._askers[arm.name].dismiss(asked)

    async def _closed(self, arm: Arm, turn: Pass, cases: Sequence[tuple[int, Case]]) -> None:
        """A fixed number of requests at a time; each is due when it can be sent."""
        waiting = iter(cases)

        async def work() -> None:
            for position, case in waiting:
                if self._over.is_set():
                    return
                await self._trial(arm, turn, position, case, None)

        await gather([work() for _ in range(min(self._at_once[arm.name], len(cases)))])

    async def _open(self, arm: Arm, turn: Pass, cases: Sequence[tuple[int, Case]]) -> None:
        """Each request at its recorded time, however many are under way."""
        loop_start, start = asyncio.get_running_loop().time(), time.monotonic_ns()
        first = min(case.arrival or 0.0 for _, case in cases)

        async def due(position: int, case: Case) -> None:
            offset = (case.arrival or 0.0) - first
            await self._sleep(loop_start + offset - asyncio.get_running_loop().time())
            if not self._over.is_set():
                await self._trial(arm, turn, position, case, start + int(offset * 1e9))

        await gather([due(position, case) for position, case in cases])

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the moment when this pass has nothing more to ask."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def _trial(
        self, arm: Arm, turn: Pass, position: int, case: Case, scheduled_ns: int | None
    ) -> None:
        key = (position, arm.name, turn.repeat)
        asker = self._askers[arm.name]
        try:
            asked = await asker.ask(key, self._request(case), scheduled_ns)
        except BudgetSpent:
            self._over.set()
            raise
        except Exception as error:  # a defect of an adapter, somebody's or ours: say where
            error.add_note(f"in arm {arm.name!r} ({arm.spec.adapter_name}), case {case.id!r}")
            raise
        exchange, committed = asker.complete(asked, self._under_way)
        self._commits.append(committed)
        await self._judge(arm, key, exchange)
        self._watcher.done(arm.name, exchange.failure is not None, self._budget.spent)

    def _request(self, case: Case) -> Request:
        return case.run if self._runs_app else case.request

    async def _judge(self, arm: Arm, key: Key, exchange: Exchange) -> None:
        breaker = self._breakers[arm.name]
        if not breaker.see(key, exchange.failure) or exchange.failure is None:
            return
        await self._journal.trip(breaker.streak)
        if arm.broken is None:
            failure = exchange.failure
            self._over.set()
            times, said = len(breaker.streak), gist(failure.message)
            arm.broken = f"{times} times in a row {failure.kind}: {said}"
            self._watcher.note(f"{arm.name} broke off: {arm.broken}")


def _signature(failure: Failure) -> tuple[str, int | None, str]:
    # Numbers and ids differ between two failures that are the same.
    return failure.kind, failure.status, re.sub(r"\w+", _without_number, failure.message)


def _without_number(word: re.Match[str]) -> str:
    return "#" if any(map(str.isdigit, word[0])) else word[0]


async def gather(coroutines: Sequence[Coroutine[None, None, None]]) -> None:
    """Run all, and raise the first failure as it is, not in a group.

    A spent budget lets the calls that are under way come back, for they are paid; anything else
    cancels them.
    """
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(isinstance(_error(task), BudgetSpent) for task in tasks):
            await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        error = _error(task)
        if error is not None:
            raise error


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
