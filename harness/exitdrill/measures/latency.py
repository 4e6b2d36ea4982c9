"""Latency, from the scheduled send time: retries count, and a failure is a missed deadline.

So is an answer without any content: nothing is not a fast answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from exitdrill.measures.base import NAN, ArmFacts, Array, Measure, Pair, Row, TrialView, finite
from exitdrill.stats import Interval, TooFewSamples, percentile, percentile_interval

NANO = 1e-9
AT_ONCE = 10e-6
"""Seconds per token: what came faster than this was not generated while we watched."""


def ttft(view: TrialView) -> float:
    """Seconds from the scheduled send to the first event with content."""
    first = view.reply.first_at
    if view.failed or first is None:
        return math.inf
    return (view.trial.exchange.sent_ns + first) * NANO


def tpot(view: TrialView) -> float:
    """Seconds per output token after the first; NaN below two, and where all came at once."""
    reply = view.reply
    if view.failed or reply.first_at is None or reply.last_at is None:
        return math.inf
    if reply.output_tokens is None or reply.output_tokens < 2:
        return NAN
    each = (reply.last_at - reply.first_at) * NANO / (reply.output_tokens - 1)
    return NAN if each < AT_ONCE else each


def total(view: TrialView) -> float:
    """Seconds from the scheduled send to the last event."""
    reply = view.reply
    if view.failed or reply.first_at is None or reply.last_at is None:
        return math.inf
    return (view.trial.exchange.sent_ns + reply.last_at) * NANO


def queued(view: TrialView) -> float:
    """Seconds from the scheduled send to the start of work, where the backend knows it."""
    started = view.reply.started_at
    return NAN if started is None else (view.trial.exchange.sent_ns + started) * NANO


def percentile_row(column: str, q: float, formula: str) -> Callable[[Pair], Row]:
    """A row of a percentile over all trials.

    Repeats of a case may be alike, so the intervals are as wide as those of so many cases. That of
    the difference takes the worst of both arms' order-statistic intervals, each at half the error,
    which is conservative; where an arm misses too many deadlines its end is infinite.
    """

    def row(pair: Pair) -> Row:
        left, right = _samples(pair.incumbent, column), _samples(pair.candidate, column)
        if not len(left) or not len(right):
            return _one_sided(left, right, q, formula)
        incumbent, candidate = percentile(left, q), percentile(right, q)
        both = math.isfinite(incumbent) and math.isfinite(candidate)
        inner = 1 - (1 - pair.confidence) / 2
        notes = [formula, *_missed(left, right, q)]
        interval = own = None
        try:
            theirs = _interval(pair.candidate, column, q, inner)
            interval = _difference(theirs, _interval(pair.incumbent, column, q, inner))
        except TooFewSamples as few:
            notes.insert(0, f"no interval: {few.n} cases are too few, it takes {few.needed}")
        with suppress(TooFewSamples):  # one arm alone needs fewer
            own = _interval(pair.candidate, column, q, pair.confidence)
        return Row(
            incumbent=incumbent,
            candidate=candidate,
            estimate=candidate - incumbent if both else None,
            interval=interval,
            own=own,
            n=min(len(left), len(right)),
            noise=_noise(pair.incumbent, column, q),
            note="; ".join(notes),
        )

    return row


def _one_sided(left: Array, right: Array, q: float, formula: str) -> Row:
    """The row of a time that at most one of the arms has; nothing can be compared."""
    incumbent, candidate = (
        percentile(samples, q) if len(samples) else None for samples in (left, right)
    )
    if incumbent is None and candidate is None:
        return Row(note="not measured: no trial has this time")
    note = "; ".join([formula, "one arm only", *_missed(left, right, q)])
    return Row(incumbent, candidate, n=len(left) + len(right), note=note)


def _difference(theirs: Interval, ours: Interval) -> Interval | None:
    """The ends of theirs − ours; None where both are infinite, so that nobody can say."""
    low, high = theirs[0] - ours[1], theirs[1] - ours[0]
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def _missed(left: Array, right: Array, q: float) -> Iterator[str]:
    for who, samples in (("incumbent", left), ("candidate", right)):
        missed = int(np.isinf(samples).sum())
        if missed > (1 - q) * len(samples):
            yield f"{missed} of {len(samples)} of the {who} failed or came empty: a missed deadline"


def _samples(arm: ArmFacts, column: str) -> Array:
    values = arm.columns[column].ravel()
    return values[~np.isnan(values)]


def _interval(arm: ArmFacts, column: str, q: float, confidence: float) -> Interval:
    cases = int((~np.isnan(arm.columns[column])).any(axis=1).sum())
    return percentile_interval(_samples(arm, column), q, confidence, independent=cases)


def _noise(arm: ArmFacts, column: str, q: float) -> float | None:
    halves = [_samples(arm.repeat(number), column) for number in (0, 1)]
    if not all(map(len, halves)):
        return None
    return finite(abs(percentile(halves[0], q) - percentile(halves[1], q)))


def _measures() -> tuple[Measure, ...]:
    made = []
    for column, name, function, formula in (
        ("ttft", "time to first token", ttft, "first event with content − scheduled send"),
        (
            "tpot",
            "time per output token",
            tpot,
            "(last event − first) / (output tokens − 1); not measured where all came at once",
        ),
        ("total", "total time", total, "last event − scheduled send"),
        ("queued", "time in the queue", queued, "start of work − scheduled send, where known"),
    ):
        for q in (0.5, 0.95):
            label = f"{name}, p{q * 100:.0f}"
            row = percentile_row(column, q, formula)
            short = f"{column}_p{q * 100:.0f}"
            made.append(
                Measure(short, label, "s", "latency", "lower", row, function, column, strict=True)
            )
    return tuple(made)


MEASURES = _measures()
