"""What a measure is made of.

A measure has a *column*, a number per trial, and a *row*, what is reported of a pair of arms. It
sees what the journal holds and nothing else. NaN in a column means "not measured"; an infinite
latency means that the deadline was missed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from exitdrill.backend import Reply
from exitdrill.checkers import Checker
from exitdrill.delay import Delays
from exitdrill.judge.question import Outcome
from exitdrill.measures.answers import Answer, answer_of
from exitdrill.records import AppCall, Trial
from exitdrill.stats import Interval, effective_size
from exitdrill.workload import Case

if TYPE_CHECKING:  # the comparison of code costs what only a drill with a swap needs
    from exitdrill.code.comparison import CodeChange

Section = Literal["drift", "latency", "cost", "change"]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NAN = math.nan
ALL = slice(None)


@dataclass(frozen=True)
class TrialView:
    """One completed trial as a column sees it.

    ``reference`` is the incumbent's answer that it is compared with, None where there is none;
    for a trial of the incumbent itself, that is its answer in another repeat. ``sibling`` is the
    arm's own answer in its next repeat, ``judgement`` what a judge said of it beside the
    incumbent's, where one was to be asked. ``embed`` says how alike two texts are to an embedding
    model, None where the scenario names none. ``app`` says that the answer is that of an app that
    was run; ``calls`` are those that it made, ``reference_calls`` those of the incumbent's trial.
    """

    trial: Trial
    case: Case
    reply: Reply
    checker: Checker | None
    reference: Reply | None
    sibling: Reply | None = None
    judgement: Outcome | None = None
    embed: Callable[[str, str], float] | None = None
    app: bool = False
    calls: Sequence[AppCall] = ()
    reference_calls: Sequence[AppCall] | None = None

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of an answer."""
        return self.trial.exchange.failure is not None

    @cached_property
    def said(self) -> Answer:
        """The answer's text, read once for all measures."""
        return answer_of(self.reply.text)

    @cached_property
    def wanted(self) -> Answer | None:
        """The reference's text; None where there is no reference."""
        if self.reference is None:
            return None
        same = self.reference.text == self.reply.text
        return self.said if same else answer_of(self.reference.text)


@dataclass(frozen=True)
class ArmFacts:
    """One arm, measured. Each column has the shape (cases, repeats of this arm).

    ``busy_answers`` is how many answers with content came in the ``busy_seconds`` of all passes,
    with at most ``concurrency`` requests at once, or with ``arrivals`` "open" as many as were due;
    ``delay`` is how late the drill's own clock was meanwhile; ``unpriced`` counts the failed
    attempts whose cost is not known; ``problems`` are the columns that raised, with their first
    error; ``caveats`` are what has to be said beside a gate, by the name of its column; ``broken``
    says whether it broke off, or could not be started; ``diff`` and ``code`` are what its swap
    changes in the app, ``runs_app`` says whether that was run, ``exit_seconds`` how long its exit
    took, and ``smallest`` what of the swap no check needs; ``errors`` is the error that its trials
    met most often, with its count.
    """

    name: str
    columns: Mapping[str, Array]
    busy_answers: int = 0
    busy_seconds: float = 0.0
    concurrency: int = 1
    arrivals: Literal["closed", "open"] = "closed"
    delay: Delays = field(default_factory=Delays)
    unpriced: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)
    price: Mapping[str, Any] | None = None
    diff: str | None = None
    code: CodeChange | None = None
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    broken: bool = False
    runs_app: bool = False
    exit_seconds: float | None = None
    smallest: Mapping[str, Any] | None = None
    caveats: Mapping[str, str] = field(default_factory=dict)
    errors: str | None = None

    def take(self, cases: slice = ALL, repeats: slice = ALL) -> ArmFacts:
        """The arm as if it had been asked only these cases, and repeats."""
        columns = {name: column[cases, repeats] for name, column in self.columns.items()}
        return dataclasses.replace(self, columns=columns)


@dataclass(frozen=True)
class Looks:
    """A drill that is looked at while it runs: after every so many clusters of cases.

    ``largest`` is the size of the largest cluster of the whole workload, ``discordance`` the share
    of cases that the plan expects to differ.
    """

    every: int = 1
    largest: int = 1
    discordance: float = 0.1


@dataclass(frozen=True)
class Pair:
    """A candidate beside the incumbent. ``confidence`` is that of the two-sided intervals.

    ``clusters`` says which cases belong together (a label each; None: every case is alone).
    ``bound`` is the difference at which a gate decides, where it does: there the interval keeps its
    error exactly. With ``looks`` it keeps it at all looks together.
    """

    incumbent: ArmFacts
    candidate: ArmFacts
    confidence: float
    clusters: npt.NDArray[np.int64] | None = None
    bound: float | None = None
    looks: Looks | None = None

    @property
    def two_arms(self) -> bool:
        """Whether it is not A/A, the incumbent beside itself."""
        return self.incumbent.name != self.candidate.name

    def at(self, confidence: float, bound: float | None = None) -> Pair:
        """The same pair with intervals of another confidence, to decide at a bound."""
        return dataclasses.replace(self, confidence=confidence, bound=bound)

    def noise_pair(self) -> Pair:
        """A/A: the incumbent's odd repeats in the candidate's place, the even ones in its own.

        So what drifts over the day is shared by both.
        """
        return dataclasses.replace(
            self,
            incumbent=self.incumbent.take(repeats=slice(0, None, 2)),
            candidate=self.incumbent.take(repeats=slice(1, None, 2)),
        )

    def labels(self, cases: Mask) -> npt.NDArray[np.int64] | None:
        """The clusters of some cases; None where each of them is alone."""
        if self.clusters is None:
            return None
        found = self.clusters[cases]
        return found if len(np.unique(found)) < len(found) else None

    def independent(self, cases: Mask) -> int:
        """How many independent cases some cases are worth, if those of a cluster are all alike.

        The number of clusters where these are of one size; a cluster that holds most of the cases
        is most of what is known.
        """
        labels, n = self.labels(cases), int(np.count_nonzero(cases))
        if labels is None:
            return n
        sizes = np.unique(labels, return_counts=True)[1]
        return int(effective_size(sizes.astype(float)))


@dataclass(frozen=True)
class Row:
    """What is reported of a pair. None means "not measured"; ``note`` says why, or how. An infinite
    value is a missed deadline.

    ``estimate`` and ``interval`` are candidate − incumbent, ``own`` is the interval of the
    candidate's value alone, ``noise`` how much the incumbent differs from itself, ``n`` the number
    of cases or samples. ``error`` is the standard error of the estimate, ``differing`` how many
    cases it rests on (those that are not alike on both arms), where that is known.
    """

    incumbent: float | None = None
    candidate: float | None = None
    estimate: float | None = None
    interval: Interval | None = None
    own: Interval | None = None
    n: int = 0
    noise: float | None = None
    note: str | None = None
    unit: str | None = None
    error: float | None = None
    differing: int | None = None


Column = Callable[[TrialView], float]


@dataclass(frozen=True)
class Measure:
    """A named measure. ``better`` says which direction is good; a gate needs to know.

    ``unit`` may be overridden by a row (money has its currency there). ``things`` is what is
    counted, in the plural, for a gate's sentence. With ``strict`` a gate stays open where a trial
    was measured on one arm and not on the other: what is left out may be what is bad. ``needs`` are
    further columns that the row reads. A ``rival`` measure is a preference: each arm has one value
    per case, and what the incumbent lacks the candidate has. ``never`` says why no gate can be on
    it, where none can. One with ``content`` says whether the answers say what they should, and not
    only what they look like. One ``of_app`` is there only where the app is run. A ``graded`` share
    is judged as a mean, of any value between 0 and 1 per case; a ``pooled`` one is one over the
    things in all cases. Of a percentile ``quantile`` says which, as a share.
    """

    name: str
    label: str
    unit: str
    section: Section
    better: Literal["higher", "lower"]
    row: Callable[[Pair], Row]
    column: Column | None = None
    column_name: str | None = None
    things: str = ""
    strict: bool = False
    needs: Mapping[str, Column] = field(default_factory=dict)
    rival: bool = False
    never: str = ""
    content: bool = False
    of_app: bool = False
    graded: bool = False
    pooled: bool = False
    quantile: float | None = None

    @property
    def columns(self) -> Mapping[str, Column]:
        """All columns that the row is made from, by name."""
        own = {self.reads: self.column} if self.column else {}
        return {**own, **self.needs}

    @property
    def reads(self) -> str:
        """The name of the column that the row is made from."""
        return self.column_name or self.name


def finite(value: float | None) -> float | None:
    """The value where it is a number; None for NaN and infinity, which JSON cannot say."""
    return None if value is None or not math.isfinite(value) else float(value)


def case_means(column: Array) -> Array:
    """The mean over repeats per case; NaN where a case has no measured repeat."""
    counts = np.sum(~np.isnan(column), axis=1)
    sums = np.nansum(column, axis=1)
    means: Array = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
