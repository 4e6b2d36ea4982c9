"""The gates of a candidate, judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from exitdrill.measures import BY_NAME, own_delay
from exitdrill.measures.base import Pair, Row
from exitdrill.sentences import Figures, compared, count_of, counted, limited
from exitdrill.verdict.gate import Cause, Gate, GateKind, GateStatus, Test
from exitdrill.verdict.more import fewest, independent, more_cases
from exitdrill.verdict.obstacles import missed, obstacle, vacuous
from exitdrill.verdict.settling import Design

OF_THIS = "for this workload as it was asked"
"""What a cap on cost is about: it has no interval, and makes no claim about other requests."""


def judge(
    specs: Sequence[Mapping[str, Any]], pair: Pair, alpha: float, power: float = 0.8
) -> list[Gate]:
    """The gates of one candidate, each at ``alpha`` (one-sided).

    ``specs`` are the plan's gates. The columns of the pair have a place for every trial that was
    planned. ``power`` is for how many more cases an open gate would take.
    """
    tests = [Test(spec, BY_NAME[spec["measure"]], pair, alpha) for spec in specs]
    failed = _failed(tests, alpha, _is_bad)
    doubtful = _failed(tests, alpha, _looks_bad) - failed
    design = Design(alpha, power, max(sum(test.sampled for test in tests), 1))
    return [
        _gate(test, number in failed, number in doubtful, design)
        for number, test in enumerate(tests)
    ]


def _failed(tests: Sequence[Test], alpha: float, bad: Callable[[Test, float], bool]) -> set[int]:
    """Which gates fail, by Holm's step-down procedure over those that are tested on a sample.

    Money and lines are compared, not tested (the cost is that of this workload as it was asked): no
    correction is due. What the drill's own delay leaves in doubt is not rejected, so that no other
    gate is judged at a milder level for it.
    """
    failed = {n for n, test in enumerate(tests) if not test.sampled and bad(test, alpha)}
    sampled = {n for n, test in enumerate(tests) if test.sampled}
    while sampled:
        level = alpha / len(sampled)
        rejected = {n for n in sampled if bad(tests[n], level)}
        if not rejected:
            return failed
        failed |= rejected
        sampled -= rejected
    return failed


def _looks_bad(test: Test, alpha: float) -> bool:
    """Whether a gate is missed for certain, by what was measured."""
    value, interval = test.compared(test.row(alpha))
    if not test.sampled:
        return value is not None and not test.kept(value)
    return interval is not None and not any(map(math.isnan, interval)) and test.bad(interval)


def _is_bad(test: Test, alpha: float) -> bool:
    """Whether it is also missed without what the drill itself was late, and by numbers that are
    worth something: a gate that stays open leaves no other one a milder level."""
    if not _looks_bad(test, alpha) or obstacle(test):
        return False
    _, interval = test.compared(test.row(alpha))
    return interval is None or not test.sampled or test.bad(test.resolved(interval, alpha))


def _gate(test: Test, failed: bool, doubtful: bool, design: Design) -> Gate:
    row = test.row(design.alpha)
    value, _ = test.compared(row)
    status, cause, reason = _judged(test, row, failed, doubtful)
    more = more_cases(test, row, cause, design)
    labels = test.pair.clusters
    return Gate(
        name=test.spec["name"],
        measure=test.measure.name,
        unit=row.unit or test.measure.unit,
        kind=_kind(test),
        better=test.measure.better,
        margin=test.margin,
        estimate=value,
        interval=row.interval if test.relative else None,
        n=row.n,
        status=status,
        reason=reason if more is None else f"{reason}; {more.text}",
        own_interval=row.own,
        cause=cause,
        more=more,
        method=row.note if test.sampled else None,
        clusters=None if labels is None else len(np.unique(labels)),
    )


def _judged(
    test: Test, row: Row, failed: bool, doubtful: bool
) -> tuple[GateStatus, Cause | None, str]:
    """A gate's status, why it is open, and the reason. What makes its numbers worthless comes
    first."""
    value, interval = test.compared(row)
    if found := obstacle(test):
        return "open", *found
    if failed:
        return "fail", None, _said(test, row, "fail")
    if doubtful and own_delay.concerns(test.measure):
        return "open", "own_delay", own_delay.unresolved(test.pair, relative=test.relative)
    if value is None or interval is None:
        return "open", *_unknown(test, row)
    if empty := vacuous(test, row):
        return "open", "vacuous", empty
    if not (test.good(interval) if test.sampled else test.kept(value)):
        return "open", "undecided", _said(test, row, "open")
    if test.sampled and not test.good(test.resolved(interval, test.alpha)):
        return "open", "own_delay", own_delay.unresolved(test.pair, relative=test.relative)
    return "pass", None, _said(test, row, "pass")


def _unknown(test: Test, row: Row) -> tuple[Cause, str]:
    """Why there is no value, or no interval."""
    if late := _endless(test, row):
        return "undecided", late
    note = row.note or "not measured"
    if not note.startswith("no interval"):
        return "not_measured", note
    if test.relative or test.measure.quantile is None:
        return "too_few", note
    n, needed = independent(test), fewest(test)  # one arm alone needs fewer than the row's two
    clustered = test.pair.clusters is not None
    units = count_of(n, "independent cluster" if clustered else "case")
    return (
        "too_few",
        f"no interval: {units} {'is' if n == 1 else 'are'} too few, it takes {needed:,}",
    )


def _endless(test: Test, row: Row) -> str | None:
    """A percentile that is no time, because it is a request that failed."""
    values = [(test.pair.candidate, row.candidate), (test.pair.incumbent, row.incumbent)]
    for arm, value in values if test.relative else values[:1]:
        if test.measure.quantile is not None and value is not None and math.isinf(value):
            said = missed(arm, test.measure.reads)
            return f"the {test.measure.label} of {arm.name} is no time: {said}"
    return None


def _said(test: Test, row: Row, status: GateStatus) -> str:
    """What the gate's numbers mean, and what has to be known beside them."""
    sentence, caveat = _sentence(test, row, status), test.pair.candidate.caveats
    beside = caveat.get(test.measure.reads)
    return f"{sentence}; {beside}" if beside else sentence


def _sentence(test: Test, row: Row, status: GateStatus) -> str:
    """What the gate's numbers mean, in plain words."""
    value, interval = test.compared(row)
    unit = row.unit or test.measure.unit
    if value is None or interval is None:
        return f"too many requests missed their deadline ({row.note})"
    if not test.sampled:
        said = counted(value, test.margin, unit, kept=test.kept(value))
        return f"{said}, {OF_THIS}" if test.measure.section == "cost" else said
    measure = test.measure
    figures = Figures(value, interval, test.margin, unit, measure.better, measure.things)
    return (compared if test.relative else limited)(figures, status)


def _kind(test: Test) -> GateKind:
    if not test.relative:
        return "cap"
    return "non_inferiority" if test.sign > 0 else "bound"
