"""Asks the judge, once the replay is over: every pair in both orders, and the labels.

It is asked as any arm is: within the budget, with retries, each answer journaled as soon as it is
there, so that a resumed drill asks only what is missing. Whatever becomes of it costs the drill
nothing else: a judge that is not there, or breaks off, leaves its own measure unmeasured.
"""

from __future__ import annotations

import asyncio
import itertools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from exitdrill.arms import starting_one
from exitdrill.backend import Request
from exitdrill.budget import Budget
from exitdrill.drillable import Drillable
from exitdrill.errors import BackendError, BudgetSpent, DrillStopped, ServerFailed
from exitdrill.exchange import Asker
from exitdrill.journal import Journal
from exitdrill.judge.check import Label
from exitdrill.judge.question import LABELS, ORDERS, arm_of, in_order, question_of, request_of
from exitdrill.judge.record import pairs_of
from exitdrill.plan import Plan
from exitdrill.progress import Watcher
from exitdrill.records import Failure, Key
from exitdrill.replay import Arm, Breaker, gather
from exitdrill.scenario import Scenario

MOST_COMMITS = 1_000
"""Answers that may wait to be written before the next is asked."""


async def ask_judge(
    drillable: Drillable, plan: Plan, journal: Journal, watcher: Watcher, currency: str | None
) -> None:
    """Ask the scenario's judge, if it has one, whatever it was not asked before.

    Raises `DrillStopped` where the budget is spent, or the journal cannot be written.
    """
    judge = drillable.scenario.judge
    if judge is None:
        return
    task = _Task.of(drillable, plan, journal)
    record = _Record(journal, journal.input("judge", {}).get("description"))
    if not task.left:
        record.put("complete" if task.total else "not_asked")
        return
    record.put("not_started", "the judge was not started")
    async with AsyncExitStack() as stack:
        arm = await _started(drillable.scenario, stack, record, watcher)
        if arm is None:
            return
        record.put("broken_off", "the judge was interrupted")
        watcher.end()
        watcher.begin({arm.name: task.total}, {arm.name: task.total - task.left}, currency)
        watcher.known({}, journal.spend())
        budget = Budget(drillable.scenario.budget, journal.spend())
        try:
            reason = await _Session(task, arm, plan.document["replay"], budget, watcher).run()
        except DrillStopped as stop:
            record.put("broken_off", f"the judge was stopped: {stop}")
            raise
    if reason is None:
        record.put("complete")
    else:
        record.put("broken_off", f"the judge broke off: {reason}")


@dataclass
class _Record:
    """What the journal knows of the judge: what it is, how far it got, and why no further."""

    journal: Journal
    description: Mapping[str, Any] | None

    def put(self, status: str, reason: str | None = None) -> None:
        """Say how far it got; it judged all that it had to where there is no reason."""
        said = {"description": self.description, "status": status, "reason": reason}
        self.journal.put_inputs({"judge": said})


async def _started(
    scenario: Scenario, stack: AsyncExitStack, record: _Record, watcher: Watcher
) -> Arm | None:
    """The judge, started; None where it cannot be, or turns out to be what it would judge."""
    name = scenario.called[-1]
    watcher.note(f"starting {name}, the judge …")
    starting = starting_one(scenario, name, record.journal, record.description)
    try:
        arm, description = await stack.enter_async_context(starting)
    except (BackendError, ServerFailed) as error:
        record.put("not_started", f"the judge could not be started: {error}")
        watcher.note(f"{name} could not be started: {error}")
        return None
    record.description = description
    same = _same_weights(description, record.journal.input("arms", {}))
    if same is None:
        return arm
    record.put("refused", f"the judge was refused: it has the same weights as {same!r}")
    watcher.note(f"{name} is no judge: it has the same weights as {same!r}")
    return None


def _same_weights(judge: Mapping[str, Any], arms: Mapping[str, Any]) -> str | None:
    """The arm whose weights the judge has; None where none is known to have them."""
    ours = judge["weights_sha256"]
    known = {name: arm.get("description") or {} for name, arm in arms.items()}
    same = (name for name, each in known.items() if each.get("weights_sha256") == ours)
    return None if ours is None else next(same, None)


@dataclass(frozen=True)
class _Task:
    """What the judge is to be asked. ``due`` holds the positions by arm, ``done`` those that were
    asked before, by arm and order."""

    journal: Journal
    incumbent: str
    labels: Sequence[Label]
    max_tokens: int
    due: Mapping[str, Sequence[int]]
    done: Mapping[tuple[str, int], set[int]]

    @classmethod
    def of(cls, drillable: Drillable, plan: Plan, journal: Journal) -> _Task:
        judge, incumbent = plan.document["judge"], plan.document["incumbent"]
        due: dict[str, array[int]] = {}
        by_case = itertools.groupby(journal.trials(), key=lambda trial: trial.position)
        for position, trials in by_case:
            for arm, sides in pairs_of(list(trials), incumbent).items():
                if sides.settled is None:
                    due.setdefault(arm_of(arm), array("q")).append(position)
        labels = drillable.labels.rows if drillable.labels and due else ()
        if labels:
            due[LABELS] = array("q", range(len(labels)))
            journal.put_inputs({"judge_labels": [each.label for each in labels]})
        beyond = max(journal.size, len(labels))
        done = {
            (arm, order): journal.completed(arm, order, 0, beyond)
            for arm in due
            for order in ORDERS
        }
        return cls(journal, incumbent, labels, judge["max_tokens"], due, done)

    @property
    def total(self) -> int:
        """How many questions there are."""
        return len(ORDERS) * sum(map(len, self.due.values()))

    @property
    def left(self) -> int:
        """How many of them were not asked."""
        return self.total - sum(map(len, self.done.values()))

    def keys(self) -> Iterator[Key]:
        """What was not asked."""
        for arm, positions in self.due.items():
            for position, order in itertools.product(positions, ORDERS):
                if position not in self.done[arm, order]:
                    yield position, arm, order

    def request(self, key: Key) -> Request:
        """What is asked, read from the journal when its turn has come: answers may be long."""
        position, arm, order = key
        if arm == LABELS:
            label = self.labels[position]
            texts = in_order(order, label.first, label.second)
            return request_of(label.question, *texts, self.max_tokens)
        ((_, case),) = self.journal.cases(position, position + 1)
        pairs = pairs_of(self.journal.trials_of(position), self.incumbent)
        sides = next(sides for name, sides in pairs.items() if arm_of(name) == arm)
        texts = in_order(order, sides.left, sides.right or "")
        return request_of(question_of(case), *texts, self.max_tokens)


class _Session:
    """One execution of a task by a judge that was started."""

    def __init__(
        self, task: _Task, arm: Arm, replay: Mapping[str, Any], budget: Budget, watcher: Watcher
    ) -> None:
        self._task = task
        self._arm = arm
        self._budget = budget
        self._watcher = watcher
        self._asker = Asker(arm.backend, arm.spec, task.journal, budget, replay["attempts"])
        self._breaker = Breaker(replay["breaker"])
        self._commits: list[asyncio.Future[None]] = []
        self._over = False

    async def run(self) -> str | None:
        """Ask all that is left; returns why it broke off, where it did."""
        keys = self._task.keys()

        async def work() -> None:
            for key in keys:
                await self._ask(key)
                if self._over:
                    return

        try:
            await gather([work() for _ in range(self._arm.spec.concurrency)])
        finally:
            await self._committed()
        return self._arm.broken

    async def _ask(self, key: Key) -> None:
        try:
            asked = await self._asker.ask(key, self._task.request(key))
        except BudgetSpent:
            self._over = True
            raise
        exchange, committed = self._asker.complete(asked)
        self._commits.append(committed)
        await self._judge(key, exchange.failure)
        self._watcher.done(self._arm.name, exchange.failure is not None, self._budget.spent)
        if len(self._commits) > MOST_COMMITS:
            await self._committed()

    async def _judge(self, key: Key, failure: Failure | None) -> None:
        if not self._breaker.see(key, failure) or failure is None:
            return
        self._over = True
        await self._task.journal.trip(self._breaker.streak)
        if self._arm.broken is None:
            times = len(self._breaker.streak)
            self._arm.broken = f"{times} times in a row {failure.kind}: {failure.message}"
            self._watcher.note(f"{self._arm.name} broke off as a judge: {self._arm.broken}")

    async def _committed(self) -> None:
        """Wait until all that was completed is written."""
        commits, self._commits = self._commits, []
        for outcome in await asyncio.gather(*commits, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
