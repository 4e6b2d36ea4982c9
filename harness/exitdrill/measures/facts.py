"""The journal, measured once: every trial's numbers, as columns per arm."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exitdrill.backend import Reply
from exitdrill.checkers import Checker
from exitdrill.journal import Busy, Journal
from exitdrill.measures import MEASURES
from exitdrill.measures.base import ArmFacts, Array, TrialView
from exitdrill.records import Trial
from exitdrill.workload import Case


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
        shape = (journal.size, self._repeats)
        self.columns: dict[str, dict[str, Array]] = {
            arm: {name: np.full(shape, np.nan) for name in _COLUMNS}
            for arm in [self._incumbent, *plan["candidates"]]
        }
        self._unpriced: Counter[str] = Counter()

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
        values = {name: column(view) for name, column in _COLUMNS.items()}
        trial = view.trial
        for name, value in values.items():
            self.columns[trial.arm][name][trial.position, trial.repeat] = value
        self._unpriced[trial.arm] += sum(each.unpriced for each in trial.exchange.attempts)
        return Measured(view, values)


# Several measures may read one column (p50 and p95): it is computed once.
_COLUMNS = {name: column for measure in MEASURES for name, column in measure.columns.items()}
