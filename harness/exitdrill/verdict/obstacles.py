"""What makes a gate's numbers worthless, or keeps them from passing: each with its own sentence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from exitdrill.measures.base import ArmFacts, Row
from exitdrill.measures.usage import not_timed
from exitdrill.sentences import FINEST, amount, beside, count_of, level
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
    counts = [(arm, answered(arm)[1], arm.columns["answered"].size) for arm in arms]
    lacking = [each for each in counts if each[1] < each[2]]
    blamed = [each for each in lacking if each[0].broken] or lacking
    said = [
        f"{arm.name} completed only {done} of {planned} trials" for arm, done, planned in blamed
    ]
    return ", and ".join(said) or None


def _unanswered(test: Test) -> str | None:
    return None if test.measure.column is None else silent(test.pair.incumbent)


def missed(arm: ArmFacts, column: str) -> str:
    """How many requests failed, of those that were asked."""
    times = arm.columns[column]
    failed, asked = int(np.isinf(times).sum()), int((~np.isnan(times)).sum())
    return f"{_part(arm, failed, asked)} failed or came empty, which counts as infinitely late"


def silent(arm: ArmFacts) -> str | None:
    """An arm that was asked and never answered."""
    answers, asked = answered(arm)
    if not asked or answers:
        return None
    if arm.runs_app:
        return f"on {arm.name} the app answered in none of its {count_of(asked, 'run')}"
    return f"{arm.name} answered none of its {count_of(asked, 'request')}"


def failed(arm: ArmFacts) -> str | None:
    """How many trials of an arm failed, and the error that was met most often."""
    answers, asked = answered(arm)
    if answers == asked:
        return None
    said = silent(arm) or f"{_part(arm, asked - answers, asked)} failed"
    return f"{said}; {arm.errors}" if arm.errors else said


def _part(arm: ArmFacts, number: int, asked: int) -> str:
    """So many of an arm's trials: ``3 of 4 requests to new``, ``3 of 4 runs of the app on new``."""
    if arm.runs_app:
        return f"{number:,} of {count_of(asked, 'run')} of the app on {arm.name}"
    return f"{number:,} of {count_of(asked, 'request')} to {arm.name}"


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
    """An incumbent so bad that the margin reaches to the worst there is: whatever it is, it passes.

    What a ``rival`` lacks the other has. The worst of what is better lower and no share is endless.
    """
    value, share = row.incumbent, test.measure.unit == "share"
    if not test.relative or value is None or test.measure.rival:
        return None
    things = test.measure.things or f"({test.measure.label})"
    what = f"{level(test.measure.unit, value)} {things}"
    if test.sign > 0 and value <= test.margin:
        return f"the incumbent reaches only {what}, so that a candidate with none would pass"
    if test.sign < 0 and share and 1 - value <= test.margin:
        return f"the incumbent has {what}, so that a candidate with nothing else would pass"
    return None


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
    known = beside(amount, unit, half, test.margin)
    return (
        f"with {count_of(noise.n, 'case')} the incumbent is known only to ±{known} against itself, "
        f"and the margin is {amount(unit, test.margin, FINEST)}: the instrument is too blunt; "
        f"{'more cases, or a wider margin, are' if test.margin else 'a wider margin is'} needed"
    )
