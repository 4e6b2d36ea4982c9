"""The smallest change: which hunks of a swap can be left out, with every check still passing.

After the exit, hunks are left out one by one, and stay out where the checks pass without them,
until nothing more can be left out: the last phase of delta debugging (A. Zeller and R. Hildebrandt,
"Simplifying and isolating failure-inducing input", IEEE Transactions on Software Engineering 28(2),
2002). What is left is 1-minimal: without any one of its hunks a check fails. The checks are the
app's own tests, a handful of cases that were right in every trial, and that no call goes to the
incumbent; they are run once with the whole swap first. Each run has a copy of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from exitdrill.app.arm import AppAsker, app_of
from exitdrill.app.exiting import brief, installed, is_right
from exitdrill.app.log import Log
from exitdrill.app.parts import (
    MOST_CASES,
    MOST_HUNKS,
    MOST_RUNS,
    UNDER_WAY,
    Parts,
    parts_of,
    pending,
)
from exitdrill.budget import Budget
from exitdrill.checkers import Checker
from exitdrill.code.hunks import Hunk, undo
from exitdrill.errors import BudgetSpent, DrillStopped, StorageFailed
from exitdrill.journal import Journal
from exitdrill.progress import Watcher
from exitdrill.replay import Arm
from exitdrill.scenario import Scenario
from exitdrill.sentences import count_of
from exitdrill.swap import AppliedSwap, SwapFailed
from exitdrill.workload import Case

POSITION = -5
"""That of these runs in the journal: they are charged, not measured."""
MOST_LOOKED_AT = 200
"""Cases among which those are looked for that were right."""
LEAST_SECONDS = 30.0
TIMES_AS_LONG = 5
"""As long as that, or as the checks took with the whole swap, they may take without a hunk."""


async def find_smallest(
    scenario: Scenario,
    arms: Sequence[Arm],
    journal: Journal,
    budget: Budget,
    watcher: Watcher,
    checkers: Mapping[str, Checker],
) -> None:
    """Find out of each candidate that made its exit which hunks it does not need.

    What keeps it from that is on the record: all else was measured by then.
    """
    waiting = pending(scenario, journal)
    for arm in arms:
        if arm.name not in waiting or arm.broken is not None:
            continue
        with tempfile.TemporaryDirectory(prefix="exitdrill-") as folder:
            try:
                parts = parts_of(scenario, arm.name, Path(folder))
            except SwapFailed as error:  # it could be applied before: its ref may be gone
                _found(Log(journal), arm.name, None).end("not_measured", brief(error.message))
                continue
            found = _found(Log(journal), arm.name, parts.hunks)
            await _Search(scenario, arm, found, budget, checkers, parts).run(watcher)


# --- the search ---------------------------------------------------------------------------------


@dataclass
class _Found:
    """What is known so far, in the journal as soon as it is known."""

    log: Log
    record: dict[str, Any]

    def known(self, without: Sequence[int]) -> bool | None:
        """Whether the checks pass without these hunks; None where that was not tried."""
        runs = self.record["runs"]
        return next((run["why"] is None for run in runs if run["without"] == [*without]), None)

    def add(self, without: Sequence[int], why: str | None, seconds: float) -> None:
        """Keep what came of a run; ``why`` it failed, None where it did not."""
        self.record["runs"].append({"without": [*without], "why": why, "seconds": seconds})
        self.log.put()

    def end(self, status: str, note: str | None = None) -> None:
        """Nothing more will be tried."""
        self.record |= {"status": status, "note": note}
        self.log.put()


def _found(log: Log, name: str, hunks: Sequence[Hunk] | None) -> _Found:
    """The record of a candidate: the one that was begun, or a new one."""
    known = log.of(name)
    shown = None if hunks is None else [_shown(hunk) for hunk in hunks]
    record = known.get("smallest")
    if record is None or record["hunks"] != shown:
        record = {"status": UNDER_WAY, "note": None, "hunks": shown, "runs": []}
        record |= {"tests": False, "cases": 0, "not_needed": [], "minimal": False}
        known["smallest"] = record
    return _Found(log, record)


def _shown(hunk: Hunk) -> dict[str, Any]:
    """A hunk as the journal gives it back."""
    return asdict(hunk) | {"old": hunk.old and [*hunk.old], "new": hunk.new and [*hunk.new]}


@dataclass
class _Search:
    """One candidate's hunks, tried."""

    scenario: Scenario
    arm: Arm
    found: _Found
    budget: Budget
    checkers: Mapping[str, Checker]
    parts: Parts

    async def run(self, watcher: Watcher) -> None:
        """Try, as far as it goes; the record says then what came of it."""
        record, hunks = self.found.record, self.parts.hunks
        tested = self.found.log.of(self.arm.name)["tests"]
        cases = self._right_cases()
        record |= {"tests": bool(tested and tested["passed"]), "cases": len(cases)}
        if hunks is None:
            self.found.end("not_measured", f"more than {MOST_HUNKS} files were changed")
        elif not hunks:
            record["minimal"] = True
            self.found.end("complete", "there is nothing that could be left out")
        elif not record["tests"] and not cases:
            self.found.end("not_measured", "no test of the app's and no case could be a check")
        else:
            watcher.note(
                f"{self.arm.name}: looking for what the exit does not need, in "
                f"{count_of(len(hunks), 'hunk')} …"
            )
            await self._as_far_as_it_goes(cases, len(hunks))

    async def _as_far_as_it_goes(self, cases: Sequence[tuple[int, Case]], count: int) -> None:
        try:
            await self._leave_out(cases, count)
        except StorageFailed:
            raise
        except (DrillStopped, SwapFailed, OSError) as error:  # no check failed: it was not made
            self.found.end("stopped", brief(str(error)))

    async def _leave_out(self, cases: Sequence[tuple[int, Case]], count: int) -> None:
        """Leave out one hunk after the other, until none of the rest can be."""
        record = self.found.record
        if not await self._passes([], cases):
            why = record["runs"][0]["why"]
            note = f"the checks failed when they were run once more with the whole swap: {why}"
            self.found.end("not_measured", note)
            return
        out: list[int] = []
        kept, needed = deque(range(count)), 0  # so many in a row could not be left out
        for _ in range(MOST_RUNS):
            if needed == len(kept):
                break
            number = kept.popleft()
            if await self._passes(sorted([*out, number]), cases):
                out.append(number)
                record["not_needed"] = sorted(out)
                needed = 0
            else:
                kept.append(number)
                needed += 1
        record["minimal"] = needed == len(kept)
        self.found.end("complete")

    async def _passes(self, without: Sequence[int], cases: Sequence[tuple[int, Case]]) -> bool:
        known = self.found.known(without)
        if known is not None:
            return known
        began = time.monotonic()
        why = await self._failed(without, cases)
        self.found.add(without, why, time.monotonic() - began)
        return why is None

    async def _failed(
        self, without: Sequence[int], cases: Sequence[tuple[int, Case]]
    ) -> str | None:
        """Why a check failed without these hunks; None where all pass."""
        assert self.parts.hunks is not None
        hunks = [self.parts.hunks[number] for number in without]
        stuck: list[str] = []

        def alter(applied: AppliedSwap) -> AppliedSwap:
            try:
                return _undone(applied, hunks, self.parts)
            except SwapFailed as error:
                stuck.append(brief(str(error)))
                return applied

        journal, most = self.found.log.journal, self._seconds()
        try:
            async with (
                asyncio.timeout(most),
                app_of(self.scenario, self.arm, journal, self.budget, alter) as asker,
            ):
                return stuck[0] if stuck else await self._tried(asker, cases)
        except TimeoutError:
            return f"the checks took longer than {most:,.1f} s"

    async def _tried(self, asker: AppAsker, cases: Sequence[tuple[int, Case]]) -> str | None:
        try:
            return await self._checked(asker, cases, len(self.found.record["runs"]))
        except (BudgetSpent, StorageFailed):
            raise
        except DrillStopped as error:  # its tests, or the app, cannot be run; or a call not made
            return brief(asker.hide(str(error)))

    def _seconds(self) -> float | None:
        """How long a run may take: an app that lacks a hunk may hang."""
        runs = self.found.record["runs"]
        return max(LEAST_SECONDS, TIMES_AS_LONG * runs[0]["seconds"]) if runs else None

    async def _checked(
        self, asker: AppAsker, cases: Sequence[tuple[int, Case]], run: int
    ) -> str | None:
        """The checks, the cheapest first, up to the first that fails."""
        first = run * (MOST_CASES + 1)
        if why := await installed(asker, []):
            return why
        if self.found.record["tests"]:
            tested = await asker.test((POSITION, asker.name, first))
            if tested is not None and not tested.passed:
                return f"the app's own tests fail: {tested.brief}"
            if why := _strayed(asker):
                return why
        if cases:
            await asker.start()
        for number, (_, case) in enumerate(cases, first + 1):
            asked = await asker.ask((POSITION, asker.name, number), case.run)
            if is_right(asked.exchange, case, self.checkers) is not True:
                return f"the answer to the case {case.id!r} is not right"
            if why := _strayed(asker):
                return why
        return None

    def _right_cases(self) -> list[tuple[int, Case]]:
        """The first handful that this candidate had right in every trial."""
        journal, found = self.found.log.journal, []
        for position, case in list(journal.cases(0, min(MOST_LOOKED_AT, journal.size))):
            trials = [each for each in journal.trials_of(position) if each.arm == self.arm.name]
            judged = [is_right(each.exchange, case, self.checkers) for each in trials]
            if judged and all(each is True for each in judged):
                found.append((position, case))
            if len(found) == MOST_CASES:
                break
        return found


def _strayed(asker: AppAsker) -> str | None:
    """A call that went to the incumbent, or whose owner nobody knows."""
    if asker.ledger.left_behind:
        return "a call went to the incumbent"
    return "a call named no trial" if asker.ledger.strays else None


def _undone(applied: AppliedSwap, hunks: Sequence[Hunk], parts: Parts) -> AppliedSwap:
    """A copy with the swap, without some hunks. Raises `SwapFailed`."""
    names = {hunk.path for hunk in hunks if hunk.change == "variable"}
    undo([hunk for hunk in hunks if hunk.change != "variable"], parts.before, applied.path)
    set_ = {name: value for name, value in applied.environment.items() if name not in names}
    back = {name: value for name, value in parts.environment.items() if name in names}
    return replace(applied, environment=set_ | back)
