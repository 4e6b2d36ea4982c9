"""The journal, measured once: every trial's numbers, as columns per arm."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from exitdrill.app.log import REHEARSAL
from exitdrill.app.summary import exit_seconds, smallest
from exitdrill.backend import Reply
from exitdrill.checkers import Checker, CheckerProblem
from exitdrill.embedder import Embedder, EmbeddingProblem
from exitdrill.journal import Busy, Journal
from exitdrill.judge.record import Judgements
from exitdrill.measures import BY_NAME, embedding
from exitdrill.measures.base import NAN, ArmFacts, Array, Column, Looks, Mask, Pair, TrialView
from exitdrill.measures.calls import Lacking, LeftBehind
from exitdrill.measures.failures import CallErrors, Errors, reason
from exitdrill.measures.judged import PREFERENCE, PROBLEM
from exitdrill.measures.usage import OWN_MEMORY
from exitdrill.records import AppCall, Trial
from exitdrill.workload import Case, cluster_of

if TYPE_CHECKING:
    from exitdrill.code.comparison import CodeChange

MOST_MAKERS = 50
"""A server that names another maker with every answer is not counted further."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One trial with the value of each column."""

    view: TrialView
    values: Mapping[str, float]


class Facts:
    """Columns of all arms, filled by going through `measure`; with ``only``, no others than these
    are."""

    def __init__(
        self,
        journal: Journal,
        plan: Mapping[str, Any],
        checkers: Mapping[str, Checker],
        embedder: Embedder | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._checkers = checkers
        self._embedder = embedder
        self._incumbent: str = plan["incumbent"]
        self._repeats: Mapping[str, int] = plan["replay"]["repeats"]
        # Several measures may read one column (p50 and p95): it is computed once.
        columns = BY_NAME.columns
        self._runs_app = plan.get("app") is not None
        absent = (
            set() if self._runs_app else {each.reads for each in BY_NAME.values() if each.of_app}
        )
        wanted = (set(columns) if only is None else set(only)) - absent
        self._columns = {name: columns[name] for name in columns if name in wanted}
        known = {embedding.PROBLEM: embedding.NO_MODEL} if embedder is None else {}
        self.problems: dict[str, dict[str, str]] = {arm: {**known} for arm in self._repeats}
        """By arm: the columns that raised (a checker's, or an installed measure's), each with its
        first error."""
        # What is never measured takes no memory: one NaN stands for the whole column.
        nothing = np.float64(np.nan)
        self.columns: dict[str, dict[str, Array]] = {
            arm: dict.fromkeys(columns, np.broadcast_to(nothing, (journal.size, repeats)))
            for arm, repeats in self._repeats.items()
        }
        self._labels = np.arange(journal.size) if plan["clusters"]["largest"] > 1 else None
        self._names: dict[str, int] = {}
        self._caveats: dict[str, str] = {}
        self._unpriced: Counter[str] = Counter()
        self.left_behind = {arm: LeftBehind() for arm in self.columns}
        """By arm: the calls of its app that went to the incumbent instead."""
        self.errors = {arm: Errors() for arm in self.columns}
        """By arm: why its trials failed."""
        self.calls = {arm: CallErrors() for arm in self.columns}
        """By arm: the model calls of its app, and why they failed."""
        self.lacking = {arm: Lacking() for arm in self.columns}
        """By arm: what its backend cannot take."""
        self.makers: dict[str, Counter[str]] = {arm: Counter() for arm in self.columns}
        """By arm: who made its answers, as the server tells, and how many."""

    def measure(
        self, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[Case, list[Measured]]]:
        """Each case from ``first`` up to but without ``last``, with its completed trials, measured.

        The columns are whole for these cases at the end.
        """
        by_case = itertools.groupby(
            self._journal.trials(first, last), key=lambda trial: trial.position
        )
        calls = _Calls(self._journal.app_calls(first, last) if self._runs_app else iter(()))
        waiting = next(by_case, None)
        for position, case in self._journal.cases(first, last):
            self._see_cluster(position, case)
            trials: list[Trial] = []
            if waiting is not None and waiting[0] == position:
                trials = list(waiting[1])
                waiting = next(by_case, None)
            views = self._views(case, trials, calls)
            if self._embedder is not None:
                with suppress(EmbeddingProblem):  # the column says so, of each answer
                    self._embedder.prepare(embedding.texts_of(views))
            yield case, [self._measure(view) for view in views]

    @cached_property
    def judgements(self) -> Judgements | None:
        """What the drill's judge said, and what comes of it; None where there is no judge."""
        found = Judgements.of(self._journal, self._plan)
        if found is None:
            return None
        if found.reason is not None:
            for problems in self.problems.values():
                problems[PROBLEM] = found.reason
        if found.agreeing is not None:
            self._caveats[PREFERENCE] = found.agreeing
        return found

    def pair(self, candidate: str, alpha: float, asked: int | None = None) -> Pair:
        """A candidate beside the incumbent, with two-sided intervals at 1 − 2·alpha.

        Of the first ``asked`` cases: by default all, or as many as it took to decide.
        """
        cases = slice(self.asked(candidate) if asked is None else asked)
        incumbent, other = (self.arm(name).take(cases) for name in (self._incumbent, candidate))
        labels = None if self._labels is None else self._labels[cases]
        return Pair(incumbent, other, 1 - 2 * alpha, labels, looks=self._looks())

    def asked(self, candidate: str) -> int:
        """How many cases a candidate had to be asked: fewer than planned where it was decided."""
        stops: dict[str, int] = self._journal.input("stops", {})
        return stops.get(candidate, self._journal.size)

    def was_asked(self, arm: str) -> Mask:
        """Which cases an arm was asked at least once, with an answer or an error in the end."""
        found: Mask = np.any(~np.isnan(self.columns[arm]["answered"]), axis=1)
        return found

    def whole_clusters(self, last: int) -> int:
        """How many of the first ``last`` cases belong to clusters that are complete."""
        if self._labels is None or last == len(self._labels):
            return last
        names = self._names
        _, following = next(self._journal.cases(last, last + 1))
        name = self._cluster(following)
        if name is None or name not in names:
            return last
        return int(np.argmax(self._labels == names[name]))

    def _looks(self) -> Looks | None:
        if self._plan["mode"] != "sequential":
            return None
        clusters = self._plan["clusters"]
        every = max(1, self._plan["replay"]["block"] // clusters["largest"])
        return Looks(every, clusters["largest"], self._plan["discordance"])

    def _see_cluster(self, position: int, case: Case) -> None:
        if self._labels is None:
            return
        name = self._cluster(case)
        number = position if name is None else self._names.setdefault(name, position)
        self._labels[position] = number

    def _cluster(self, case: Case) -> str | None:
        return cluster_of(case, self._plan["clusters"]["by"], runs_app=self._runs_app)

    def arm(self, name: str) -> ArmFacts:
        """One arm's facts."""
        busy = self._journal.busy().get(name, Busy())
        swap = self._journal.input("swaps", {}).get(name, {})
        return ArmFacts(
            name=name,
            columns=self.columns[name],
            busy_answers=busy.answers,
            busy_seconds=busy.seconds,
            concurrency=self._plan["backends"][name]["concurrency"],
            arrivals=self._plan["replay"]["arrivals"],
            delay=busy.delay,
            unpriced=self._unpriced[name],
            problems=self.problems[name],
            price=self._plan["backends"][name]["price"],
            diff=swap.get("diff"),
            code=_code_of(swap),
            classes=self._journal.input("classes", {}),
            runs_app=self._runs_app,
            exit_seconds=self._exit_seconds(name),
            smallest=smallest(self._journal, name),
            caveats=self._caveats,
            errors=self.errors[name].first,
            broken=bool(self._journal.input("arms", {}).get(name, {}).get("reason")),
        )

    def ever_right(self, arm: str) -> bool:
        """Whether any answer of an arm was right; where nobody judges, whether there was any."""
        answered, success = (self.columns[arm][name] for name in ("answered", "success"))
        judged = success[(answered == 1) & ~np.isnan(success)]
        return bool((judged > 0).any() if judged.size else (answered == 1).any())

    def _exit_seconds(self, arm: str) -> float | None:
        seconds = exit_seconds(self._journal, self._plan, arm)
        return seconds if self.ever_right(arm) else None

    def _views(self, case: Case, trials: Sequence[Trial], calls: _Calls) -> list[TrialView]:
        made = {(trial.arm, trial.repeat): calls.of(trial) for trial in trials}
        replies = [self._reply(trial, made) for trial in trials]
        answers = {
            (trial.arm, trial.repeat): reply
            for trial, reply in zip(trials, replies, strict=True)
            if trial.exchange.failure is None
        }
        checker = self._checkers[case.checker] if case.checker else None
        judged = self.judgements.of_case(trials) if self.judgements else {}
        return [
            TrialView(
                trial,
                case,
                reply,
                checker,
                answers.get(self._reference(trial)),
                answers.get((trial.arm, (trial.repeat + 1) % self._repeats[trial.arm])),
                judged.get((trial.arm, trial.repeat)),
                self._embedder.similarity if self._embedder else None,
                self._runs_app,
                made[trial.arm, trial.repeat],
                made.get(self._reference(trial)),
            )
            for trial, reply in zip(trials, replies, strict=True)
        ]

    def _reference(self, trial: Trial) -> tuple[str, int]:
        return self._incumbent, reference_of(trial, self._incumbent, self._repeats)

    def _reply(self, trial: Trial, made: Mapping[tuple[str, int], Sequence[AppCall]]) -> Reply:
        """A trial's answer; that of an app's own memory is marked as replayed."""
        reply = trial.exchange.reply
        if not self._runs_app or trial.exchange.failure or made[trial.arm, trial.repeat]:
            return reply
        known = any(calls for (arm, _), calls in made.items() if arm == trial.arm)
        if known or (trial.arm, trial.position) in self._rehearsed:
            return replace(reply, replayed=OWN_MEMORY)
        return reply

    @cached_property
    def _rehearsed(self) -> frozenset[tuple[str, int]]:
        """The cases that made calls on a candidate before its first trial: their numbers stand in
        the place of the repeat."""
        calls = self._journal.app_calls(REHEARSAL, REHEARSAL + 1)
        return frozenset((arm, position) for _, arm, position in (call.key for call in calls))

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
        for reply in (view.reply, *(call.exchange.reply for call in view.calls)):
            self._see_maker(trial.arm, reply)
        self.left_behind[trial.arm].see(view)
        self.calls[trial.arm].see(view)
        if view.failed:
            self.errors[trial.arm].see(reason(view))
        self.lacking[trial.arm].see(view)
        return Measured(view, values)

    def _see_maker(self, arm: str, reply: Reply) -> None:
        makers, names = self.makers[arm], reply.made_by or {}
        said = ", ".join(f"{name} {value}" for name, value in sorted(names.items()))
        if said and (said in makers or len(makers) < MOST_MAKERS):
            makers[said] += 1

    def _value(self, name: str, column: Column, view: TrialView) -> float:
        """A column's value. What a stranger's code raises must not cost the whole report."""
        problems = self.problems[view.trial.arm]
        try:
            return float(column(view))
        except CheckerProblem as problem:
            problems.setdefault(name, f"the checker {view.case.checker!r} raised: {problem}"[:300])
        except EmbeddingProblem as problem:
            problems.setdefault(name, problem.message)
        except Exception as error:
            if name not in BY_NAME.installed:
                raise
            problems.setdefault(name, f"{name} raised {type(error).__name__}: {error}"[:300])
        return NAN


class _Calls:
    """The calls of an app beside its trials, both in the same order: read as they are needed."""

    def __init__(self, calls: Iterator[AppCall]) -> None:
        self._calls = calls
        self._next = next(calls, None)

    def of(self, trial: Trial) -> tuple[AppCall, ...]:
        """The calls of a trial; trials are asked for in their order."""
        key, found = (trial.position, trial.arm, trial.repeat), []
        while self._next is not None and self._next.key <= key:
            if self._next.key == key:
                found.append(self._next)
            self._next = next(self._calls, None)
        return tuple(found)


def reference_of(trial: Trial, incumbent: str, repeats: Mapping[str, int]) -> int:
    """The incumbent's repeat that a trial is compared with: for its own the next one."""
    return (trial.repeat + (trial.arm == incumbent)) % repeats[incumbent]


def _code_of(swap: Mapping[str, Any]) -> CodeChange | None:
    """What a swap changes in the code; None where that was not compared."""
    if "code" not in swap:
        return None
    from exitdrill.code.comparison import CodeChange  # it costs what only a drill with a swap needs

    return CodeChange.from_json(swap["code"])
