"""The journal, measured once: every trial's numbers, as columns per arm."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exitdrill.backend import Reply
from exitdrill.checkers import Checker
from exitdrill.journal import Busy, Journal
from exitdrill.measures import BY_NAME
from exitdrill.measures.base import NAN, ArmFacts, Array, Column, TrialView
from exitdrill.records import Trial
from exitdrill.workload import Case

MOST_MAKERS = 50
"""A server that names another maker with every answer is not counted further."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One trial with the value of each column."""

    view: TrialView
    values: Mapping[str, float]


class Facts:
    """Columns of all arms, filled by going through `measure`."""

    def __init__(
        self, journal: Journal, plan: Mapping[str, Any], checkers: Mapping[str, Checker]
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._checkers = checkers
        self._incumbent: str = plan["incumbent"]
        self._repeats: int = plan["replay"]["repeats"]
        # Several measures may read one column (p50 and p95): it is computed once.
        self._columns = dict(BY_NAME.columns)
        self.problems: dict[str, str] = {}
        """Columns of installed measures that raised, with their first error."""
        # What is never measured takes no memory: one NaN stands for the whole column.
        nothing = np.broadcast_to(np.float64(np.nan), (journal.size, self._repeats))
        self.columns: dict[str, dict[str, Array]] = {
            arm: dict.fromkeys(self._columns, nothing)
            for arm in [self._incumbent, *plan["candidates"]]
        }
        self._unpriced: Counter[str] = Counter()
        self.makers: dict[str, Counter[str]] = {arm: Counter() for arm in self.columns}
        """By arm: who made its answers, as the server tells, and how many."""

    def measure(self) -> Iterator[tuple[Case, list[Measured]]]:
        """Each case with its completed trials, measured; the columns are whole at the end."""
        by_case = itertools.groupby(self._journal.trials(), key=lambda trial: trial.position)
        waiting = next(by_case, None)
        for position, case in self._journal.cases():
            trials: list[Trial] = []
            if waiting is not None and waiting[0] == position:
                trials = list(waiting[1])
                waiting = next(by_case, None)
            yield case, [self._measure(view) for view in self._views(case, trials)]

    def arm(self, name: str) -> ArmFacts:
        """One arm's facts."""
        busy = self._journal.busy().get(name, Busy())
        swaps = self._journal.input("swaps", {})
        return ArmFacts(
            name=name,
            columns=self.columns[name],
            busy_answers=busy.answers,
            busy_seconds=busy.seconds,
            concurrency=self._plan["backends"][name]["concurrency"],
            arrivals=self._plan["replay"]["arrivals"],
            delay=busy.delay,
            unpriced=self._unpriced[name],
            price=self._plan["backends"][name]["price"],
            diff=swaps.get(name, {}).get("diff"),
            classes=self._journal.input("classes", {}),
        )

    def _views(self, case: Case, trials: Sequence[Trial]) -> list[TrialView]:
        replies = [trial.exchange.reply for trial in trials]
        references = {
            trial.repeat: reply
            for trial, reply in zip(trials, replies, strict=True)
            if trial.arm == self._incumbent and trial.exchange.failure is None
        }
        checker = self._checkers[case.checker] if case.checker else None
        return [
            TrialView(trial, case, reply, checker, self._reference(trial, references))
            for trial, reply in zip(trials, replies, strict=True)
        ]

    def _reference(self, trial: Trial, references: Mapping[int, Reply]) -> Reply | None:
        repeat = trial.repeat
        if trial.arm == self._incumbent:
            repeat = (repeat + 1) % self._repeats
        return references.get(repeat)

    def _measure(self, view: TrialView) -> Measured:
        values = {name: self._value(name, column, view) for name, column in self._columns.items()}
        trial = view.trial
        columns = self.columns[trial.arm]
        for name, value in values.items():
            if math.isnan(value):
                continue
            if not columns[name].flags.writeable:
                columns[name] = np.full(columns[name].shape, np.nan)
            columns[name][trial.position, trial.repeat] = value
        self._unpriced[trial.arm] += sum(each.unpriced for each in trial.exchange.attempts)
        self._see_maker(view)
        return Measured(view, values)

    def _see_maker(self, view: TrialView) -> None:
        makers, names = self.makers[view.trial.arm], view.reply.made_by or {}
        said = ", ".join(f"{name} {value}" for name, value in sorted(names.items()))
        if said and (said in makers or len(makers) < MOST_MAKERS):
            makers[said] += 1

    def _value(self, name: str, column: Column, view: TrialView) -> float:
        """A column's value. What a stranger's column raises must not cost the whole report."""
        if name not in BY_NAME.installed:
            return column(view)
        try:
            return float(column(view))
        except Exception as error:
            self.problems.setdefault(name, f"{name} raised {type(error).__name__}: {error}"[:300])
            return NAN
