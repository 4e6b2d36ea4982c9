"""The app makes the exit: step by step, each timed and on the record, and then the way back.

For each arm: its copy with the swap applied, its dependencies, the app's own tests, the first right
answer. A candidate whose app cannot be installed, does not start, or whose tests fail where they
passed before, is asked nothing more. After the replay the app goes back to the incumbent, as it was
before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from exitdrill.app.arm import AppAsker, app_of
from exitdrill.app.folders import remove_abandoned
from exitdrill.app.log import REHEARSAL, Log
from exitdrill.budget import Budget
from exitdrill.checkers import Checker, CheckerProblem
from exitdrill.errors import DrillStopped, ServerFailed, StorageFailed
from exitdrill.journal import Journal
from exitdrill.progress import Watcher
from exitdrill.records import Exchange
from exitdrill.replay import Arm
from exitdrill.scenario import Scenario
from exitdrill.workload import Case

WAY_BACK = -4
"""The position in the journal of runs that are no trials: they are charged, not measured."""
LONGEST_LINE = 200
"""Characters."""
HANDFUL = 5
"""Cases that are tried until one is right, and those of the way back."""
LATE_SECONDS = 1.0
"""How long served apps stay when the last one has answered: what they still ask is seen."""
COPY, APPLY = "copy the app", "apply the swap"
DEPENDENCIES, TESTS, START = "dependencies", "the app's own tests", "start the app"
FIRST = "first right answer"
NOT_INSTALLED = "the app's dependencies cannot be installed"


@asynccontextmanager
async def running(
    scenario: Scenario,
    arms: Sequence[Arm],
    journal: Journal,
    budget: Budget,
    watcher: Watcher,
    checkers: Mapping[str, Checker],
) -> AsyncIterator[list[Arm]]:
    """The arms whose apps are ready to be run, the incumbent first.

    Raises `DrillStopped` where the incumbent's is not.
    """
    log = Log(journal)
    remove_abandoned()
    async with AsyncExitStack() as stack:
        ready = []
        for arm in sorted(arms, key=lambda each: each.name != scenario.incumbent):
            exit_ = _Exit(scenario, arm, log, budget, watcher, checkers)
            asker = await exit_.ready(stack)
            if asker is not None:
                arm.asks = asker
                ready.append(arm)
            log.put()
        try:
            yield ready
            if scenario.app_run is not None and scenario.app_run.serve is not None:
                await asyncio.sleep(LATE_SECONDS)
        finally:
            _count_strays(ready, journal)


def _count_strays(arms: Sequence[Arm], journal: Journal) -> None:
    """Note what belongs to no trial."""
    log = Log(journal)
    for arm in arms:
        if isinstance(arm.asks, AppAsker):
            _note_strays(log, arm.asks)
            known = log.of(arm.name)
            known["kept"] = arm.asks.home.kept.possible
            known["floods"] = known.get("floods", 0) + arm.asks.runner.floods
    log.put()


def _note_strays(log: Log, asker: AppAsker) -> None:
    known, ledger = log.of(asker.name), asker.ledger
    known["strays"] += ledger.strays
    left = ledger.strayed.total() - ledger.strayed[asker.name]
    known["strays_left"] = known.get("strays_left", 0) + left


async def go_back(
    scenario: Scenario,
    arm: Arm,
    journal: Journal,
    budget: Budget,
    checkers: Mapping[str, Checker],
) -> None:
    """Undo the exit: the app as it was, on the incumbent again; a handful of cases is checked.

    What keeps it from that is on the record: all else was measured by then.
    """
    log = Log(journal)
    if log.back is not None:
        return
    log.back = {"steps": [], "cases": 0, "right": 0, "not_judged": 0, "failure": None}
    try:
        found = await _undone(scenario, arm, log, budget, checkers)
    except StorageFailed:
        raise
    except DrillStopped as error:
        log.back["failure"] = brief(str(error))
    else:
        log.back["cases"] = len(found)
        log.back["right"], log.back["not_judged"] = found.count(True), found.count(None)
    log.put()


async def _undone(
    scenario: Scenario, arm: Arm, log: Log, budget: Budget, checkers: Mapping[str, Checker]
) -> list[bool | None]:
    """The steps of the way back; which of a handful of cases are right."""
    journal, steps = log.journal, (log.back or {})["steps"]
    async with AsyncExitStack() as stack:
        with _step(steps, "undo the swap"):
            asker = await stack.enter_async_context(app_of(scenario, arm, journal, budget))
        failure = await installed(asker, steps)
        if failure is not None:
            raise DrillStopped(failure)
        if asker.spec.serve is not None:
            with _step(steps, START):
                await asker.start()
        with _step(steps, "check a handful of cases"):
            found = [
                is_right(exchange, case, checkers)
                async for case, exchange in _tried(asker, journal, WAY_BACK)
            ]
        _note_strays(log, asker)
        return found


@dataclass
class _Exit:
    """One arm's way to where its app can be run."""

    scenario: Scenario
    arm: Arm
    log: Log
    budget: Budget
    watcher: Watcher
    checkers: Mapping[str, Checker]

    async def ready(self, stack: AsyncExitStack) -> AppAsker | None:
        """The app, running; None where it failed, which the log says then."""
        name, known = self.arm.name, self.log.of(self.arm.name)
        again = bool(known["steps"])
        steps: list[dict[str, Any]] = [] if again else known["steps"]
        with _step(steps, APPLY if name != self.scenario.incumbent else COPY):
            asker = await stack.enter_async_context(
                app_of(self.scenario, self.arm, self.log.journal, self.budget)
            )
        if known["failure"] is None:
            known["failure"] = await installed(asker, steps)
        if known["failure"] is None and known["tests"] is None:
            await self._test(asker, known, steps)
        if known["failure"] is None:
            await self._start(asker, known, steps)
        if known["failure"] is not None:
            self.watcher.note(f"{name}: {known['failure']}")
            if name == self.scenario.incumbent:
                failure, known["failure"] = known["failure"], None  # it is tried again
                raise DrillStopped(f"the incumbent {name!r}: {failure}")
            return None
        if not again and name != self.scenario.incumbent:
            await self._rehearse(asker, known)
        return asker

    async def _test(
        self, asker: AppAsker, known: dict[str, Any], steps: list[dict[str, Any]]
    ) -> None:
        if asker.spec.test is None:
            return
        self.watcher.note(f"{self.arm.name}: running the app's own tests …")
        with _step(steps, TESTS):
            try:
                tested = await asker.test()
            except ServerFailed as error:
                known["failure"] = f"the app's own tests cannot be run: {brief(str(error))}"
                return
        known["tests"] = None if tested is None else asdict(tested)
        before = self.log.of(self.scenario.incumbent)["tests"]
        passed_before = before is None or before["passed"]
        candidate = self.arm.name != self.scenario.incumbent
        if tested is not None and not tested.passed and candidate and passed_before:
            known["failure"] = f"the app's own tests fail after the swap: {tested.brief}"
        if tested is not None and not tested.passed and not candidate:
            self.watcher.note(
                "note: the app's own tests fail on the incumbent already, so that they can say "
                f"nothing of an exit: {tested.brief}"
            )

    async def _start(
        self, asker: AppAsker, known: dict[str, Any], steps: list[dict[str, Any]]
    ) -> None:
        """A command runs with each case anew: of it only the program has to be there."""
        taken: list[dict[str, Any]] = [] if asker.spec.serve is None else steps
        with _step(taken, START):
            try:
                await asker.start()
            except ServerFailed as error:
                known["failure"] = f"the app does not start: {brief(asker.hide(str(error)))}"

    async def _rehearse(self, asker: AppAsker, known: dict[str, Any]) -> None:
        """Run a handful of cases, until one is right."""
        began = time.monotonic()
        async for case, exchange in _tried(asker, self.log.journal, REHEARSAL):
            if is_right(exchange, case, self.checkers) in (True, None) and not exchange.failure:
                judged = case.checker is not None
                name = FIRST if judged else "first answer (nobody says what is right)"
                known["steps"].append({"step": name, "seconds": time.monotonic() - began})
                return


async def installed(asker: AppAsker, steps: list[dict[str, Any]]) -> str | None:
    """Install what the app depends on; why that failed, None where it did not."""
    if asker.spec.install is None:
        return None
    with _step(steps, DEPENDENCIES):
        try:
            done = await asker.install()
        except ServerFailed as error:
            return f"{NOT_INSTALLED}: {brief(str(error))}"
    return None if done is None or done.passed else f"{NOT_INSTALLED}: {done.brief}"


async def _tried(
    asker: AppAsker, journal: Journal, position: int
) -> AsyncIterator[tuple[Case, Exchange]]:
    """The first few cases, run one after the other."""
    for number, case in journal.cases(0, min(HANDFUL, journal.size)):
        asked = await asker.ask((position, asker.name, number), case.run)
        yield case, asked.exchange


def is_right(exchange: Exchange, case: Case, checkers: Mapping[str, Checker]) -> bool | None:
    """Whether an answer is right; None where nobody can say."""
    if exchange.failure is not None:
        return False
    if case.checker is None:
        return None
    try:
        return bool(checkers[case.checker](exchange.reply, case))
    except CheckerProblem:
        return None


def brief(said: str) -> str:
    """What a program said, as one line: how it begins, and how it ends."""
    lines = [line.strip()[:LONGEST_LINE] for line in said.splitlines() if line.strip()]
    return " … ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))


@contextmanager
def _step(steps: list[dict[str, Any]], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    steps.append({"step": name, "seconds": time.monotonic() - began})
