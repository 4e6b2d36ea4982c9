"""What makes a gate's numbers worthless, or keeps them from passing: each with its own sentence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from exitdrill.measures.base import ArmFacts, Row
from exitdrill.measures.usage import not_timed
from exitdrill.sentences import amount, level
from exitdrill.verdict.gate import Cause, Test


def obstacle(test: Test) -> tuple[Cause, str] | None:
    """What makes the gate's numbers worthless, the first of it."""
    return next(((cause, said) for cause, said in _obstacles(test) if said), None)


def _obstacles(test: Test) -> Iterator[tuple[Cause, str | None]]:
    """What keeps a gate open whatever its numbers are, in the order in which it is said."""
    yield "raised", _raised(test)
    yield "broken_off", _missing(test)
    yield "no_answers", _unanswered(test)
    yield "replayed", _replayed(test)
    yield "half_measured", _half_measured(test)
    yield "fails_itself", _fails_itself(test)
    yield "too_blunt", _blunt(test)


def _raised(test: Test) -> str | None:
    """A checker, or an installed measure, that raised: what it would have said nobody knows."""
    for arm in (test.pair.incumbent, test.pair.candidate):
        completed = ~np.isnan(arm.columns["answered"])
        for name in test.measure.columns:
            if name in arm.problems and np.isnan(arm.columns[name][completed]).any():
                return f"not every answer of {arm.name} could be judged: {arm.problems[name]}"
    return None


def _missing(test: Test) -> str | None:
    """Trials that were planned and not completed: what is there may not be like what is not.

    Where a candidate broke off, the incumbent was rightly not asked what was left.
    """
    if test.measure.column is None:
        return None
    arms = (test.pair.incumbent, test.pair.candidate)
    for arm in sorted(arms, key=lambda arm: not arm.broken):
        _, completed = answered(arm)
        if completed < arm.columns["answered"].size:
            planned = arm.columns["answered"].size
            return f"{arm.name} completed only {completed} of {planned} trials"
    return None


def _unanswered(test: Test) -> str | None:
    return None if test.measure.column is None else silent(test.pair.incumbent)


def silent(arm: ArmFacts) -> str | None:
    """An arm that was asked and never answered."""
    answers, asked = answered(arm)
    return f"{arm.name} answered none of its {asked} requests" if asked and not answers else None


def answered(arm: ArmFacts) -> tuple[int, int]:
    """How many trials were answered, of how many that were completed."""
    answered = arm.columns["answered"]
    return int(np.nansum(answered)), int(np.count_nonzero(~np.isnan(answered)))


def _replayed(test: Test) -> str | None:
    """Answers that were not made now, on however many arms: what they took is not known."""
    return "; ".join(not_timed(test.pair)) or None if test.measure.section == "latency" else None


def _half_measured(test: Test) -> str | None:
    """Trials that count on one arm only: what is left out may be what is bad."""
    if not test.measure.strict:
        return None
    name = test.measure.reads
    share = np.all if test.measure.rival else np.mean  # one value per case, or one per trial
    ours, theirs = (
        share(np.isnan(arm.columns[name]), axis=1)
        for arm in (test.pair.incumbent, test.pair.candidate)
    )
    count = int(np.count_nonzero(ours != theirs))
    if not count:
        return None
    verb = "judged" if test.measure.section == "drift" else "timed"
    return f"the answers to {count} of {len(ours)} cases could be {verb} on one side only"


def _fails_itself(test: Test) -> str | None:
    """A/A: an incumbent that fails the gate against itself is no measure of anything."""
    if not test.relative:
        return None
    noise = test.row(test.alpha, noise=True)
    if noise.interval is None:
        return None
    low, high = noise.interval
    if not (test.bad((low, high)) or test.bad((-high, -low))):  # which repeats come first is chance
        return None
    return "the incumbent fails this gate against itself: the instrument is too blunt"


def vacuous(test: Test, row: Row) -> str | None:
    """An incumbent so bad that the margin reaches down to nothing: whatever answers would pass."""
    if test.sign < 0 or row.incumbent is None or row.incumbent > test.margin:
        return None
    if test.measure.rival:  # what it lacks the candidate has
        return None
    what = level(test.measure.unit, row.incumbent)
    things = test.measure.things or "that itself"
    return f"the incumbent reaches only {what} {things}, so that a candidate with none would pass"


def _blunt(test: Test) -> str | None:
    """A/A: an incumbent that differs that much from itself cannot be compared this finely."""
    if not test.relative:
        return None
    noise, row = test.row(test.alpha, noise=True), test.row(test.alpha)
    if noise.interval is None:
        return None if row.interval is None else "the incumbent's own noise could not be measured"
    half = (noise.interval[1] - noise.interval[0]) / 2
    if half <= test.margin:
        return None
    unit = test.measure.unit
    known, margin = amount(unit, half), amount(unit, test.margin)
    more = "more than " if known == margin else ""  # by less than is shown
    return (
        f"with {noise.n} {'case' if noise.n == 1 else 'cases'} the incumbent is known only to "
        f"{more}±{known} against itself, and the margin is {margin}: the instrument is too blunt; "
        "more cases, or a wider margin, are needed"
    )
