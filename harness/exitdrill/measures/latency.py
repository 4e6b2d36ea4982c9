"""Latency, from the scheduled send time: retries count, and a failure is a missed deadline.

So is an answer without any content: nothing is not a fast answer. An answer that was not made now,
but came from a cache or a recording, has no time at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from exitdrill.measures.base import (
    NAN,
    ArmFacts,
    Array,
    Column,
    Mask,
    Measure,
    Pair,
    Row,
    TrialView,
    finite,
)
from exitdrill.measures.usage import (
    GENERATED,
    REPLAYED,
    generated_tokens,
    more_than_arrived,
    not_timed,
    token_source,
)
from exitdrill.stats import (
    Interval,
    TooFewSamples,
    percentile,
    percentile_interval,
    percentile_sequence,
)

NANO = 1e-9
AT_ONCE = 10e-6
"""Seconds per token: what came faster than this was not generated while we watched."""
PERCENTILES = (0.5, 0.95, 0.99)


def ttft(view: TrialView) -> float:
    """Seconds from the scheduled send to the first event with content.

    NaN for the answer of an app: it comes in one piece.
    """
    since = _since_schedule(view, view.reply.first_at)
    return NAN if view.app and not math.isinf(since) else since


def tpot(view: TrialView) -> float:
    """Seconds per output token after the first; NaN below two, and where all came at once.

    Tokens are counted by the backend's own tokenizer, or else as reported, where so many can have
    arrived.
    """
    reply = view.reply
    if view.failed:
        return math.inf
    if reply.replayed is not None:
        return NAN
    if reply.first_at is None or reply.last_at is None:
        return math.inf
    tokens = generated_tokens(view)
    if math.isnan(tokens) or tokens < 2:
        return NAN
    each = (reply.last_at - reply.first_at) * NANO / (tokens - 1)
    return NAN if each < AT_ONCE else each


def total(view: TrialView) -> float:
    """Seconds from the scheduled send to the last event."""
    reply = view.reply
    return _since_schedule(view, None if reply.first_at is None else reply.last_at)


def queued(view: TrialView) -> float:
    """Seconds from the scheduled send to the start of work, where the backend knows it."""
    started = view.reply.started_at
    if started is None or view.reply.replayed is not None:
        return NAN
    return (view.trial.exchange.sent_ns + started) * NANO


def _since_schedule(view: TrialView, at: int | None) -> float:
    if view.failed:
        return math.inf
    if view.reply.replayed is not None:
        return NAN
    return math.inf if at is None else (view.trial.exchange.sent_ns + at) * NANO


@dataclass(frozen=True)
class Time:
    """A time that is measured per trial; ``formula`` is printed beside it."""

    column: str
    label: str
    function: Column
    formula: str


TIMES = (
    Time("ttft", "time to first token", ttft, "first event with content − scheduled send"),
    Time(
        "tpot",
        "time per output token",
        tpot,
        "(last event − first) / (output tokens − 1); not measured where all came at once",
    ),
    Time("total", "total time", total, "last event − scheduled send"),
    Time("queued", "time in the queue", queued, "start of work − scheduled send, where known"),
)


def percentile_row(time: Time, q: float) -> Callable[[Pair], Row]:
    """A row of a percentile over all trials.

    Repeats of a case may be alike, and the cases of a cluster, so the intervals are as wide as
    those of so many cases, or equally large clusters. That of the difference takes the worst of
    both arms' order-statistic intervals, each at half the error, which is conservative; where an
    arm misses too many deadlines its end is infinite.
    """
    column = time.column

    def row(pair: Pair) -> Row:
        left, right = samples(pair.incumbent, column), samples(pair.candidate, column)
        if not len(left) or not len(right):
            return _one_sided(pair, time, q)
        incumbent, candidate = percentile(left, q), percentile(right, q)
        both = math.isfinite(incumbent) and math.isfinite(candidate)
        inner = 1 - (1 - pair.confidence) / 2
        notes = [*_method(pair, time), *_missed(left, right, q), *_left_out(pair, time)]
        interval = own = None
        try:
            theirs = _interval(pair, pair.candidate, column, q, inner)
            interval = _difference(theirs, _interval(pair, pair.incumbent, column, q, inner))
            notes.append("order statistics" + (" that hold at all looks" if pair.looks else ""))
        except TooFewSamples as few:
            units = "cases" if pair.clusters is None else "independent clusters of cases"
            notes.insert(0, f"no interval: {few.n} {units} are too few, it takes {few.needed}")
        with suppress(TooFewSamples):  # one arm alone needs fewer
            own = _interval(pair, pair.candidate, column, q, pair.confidence)
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


def samples(arm: ArmFacts, column: str) -> Array:
    """All measured times of an arm; infinite ones are missed deadlines.

    None at all where most of its answers have no time of this kind: a percentile of the others, and
    of the failures, would be nobody's.
    """
    values = arm.columns[column].ravel()
    untimed, answers = _untimed(arm, column)
    return values[:0] if untimed > answers / 2 else values[~np.isnan(values)]


def _untimed(arm: ArmFacts, column: str) -> tuple[int, int]:
    """How many answers have no such time, of how many."""
    answered = arm.columns["answered"] == 1
    return int(np.isnan(arm.columns[column][answered]).sum()), int(answered.sum())


def _one_sided(pair: Pair, time: Time, q: float) -> Row:
    """The row of a time that at most one of the arms has; nothing can be compared."""
    arms = {"incumbent": pair.incumbent, "candidate": pair.candidate}
    times = {who: samples(arm, time.column) for who, arm in arms.items()}
    found = {who: percentile(each, q) for who, each in times.items() if len(each)}
    why = [f"{who}: {_no_time(arms[who], time)}" for who in arms if who not in found]
    head = "one arm only" if "candidate" in found else "not measured"
    notes = [f"{head}: {'; '.join(why)}", *_method(pair, time)]
    left, right = times.values()
    notes += [*_missed(left, right, q), *_left_out(pair, time)]
    n = len(left) + len(right)
    return Row(found.get("incumbent"), found.get("candidate"), n=n, note="; ".join(notes))


def _no_time(arm: ArmFacts, time: Time) -> str:
    untimed, answers = _untimed(arm, time.column)
    if not untimed:
        return "no trial has this time"
    return f"{untimed:,} of {answers:,} answers have no such time"


def _left_out(pair: Pair, time: Time) -> Iterator[str]:
    yield from not_timed(pair)
    if time.column == "tpot":
        yield from more_than_arrived(pair)


def _method(pair: Pair, time: Time) -> Iterator[str]:
    """The formula, and whose tokens it is about."""
    yield time.formula
    if time.column != "tpot":
        return
    for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate)):
        measured = np.isfinite(arm.columns["tpot"])
        if measured.any():
            yield f"{who}: {token_source(arm, measured)}"


def _difference(theirs: Interval, ours: Interval) -> Interval | None:
    """The ends of theirs − ours; None where both are infinite, so that nobody can say."""
    low, high = theirs[0] - ours[1], theirs[1] - ours[0]
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def _missed(left: Array, right: Array, q: float) -> Iterator[str]:
    for who, times in (("incumbent", left), ("candidate", right)):
        missed = int(np.isinf(times).sum())
        if missed > (1 - q) * len(times):
            yield f"{missed} of {len(times)} of the {who} failed or came empty: a missed deadline"


def _interval(pair: Pair, arm: ArmFacts, column: str, q: float, confidence: float) -> Interval:
    timed: Mask = np.any(~np.isnan(arm.columns[column]), axis=1, keepdims=False)
    independent = pair.independent(timed)
    found = percentile_interval if pair.looks is None else percentile_sequence
    return found(samples(arm, column), q, confidence, independent=independent)


def _noise(arm: ArmFacts, column: str, q: float) -> float | None:
    halves = [samples(arm.take(repeats=slice(n, None, 2)), column) for n in (0, 1)]
    if not all(map(len, halves)):
        return None
    return finite(abs(percentile(halves[0], q) - percentile(halves[1], q)))


def _measure(time: Time, q: float) -> Measure:
    short = f"p{q * 100:.0f}"
    return Measure(
        f"{time.column}_{short}",
        f"{time.label}, {short}",
        "s",
        "latency",
        "lower",
        percentile_row(time, q),
        time.function,
        time.column,
        strict=True,
        needs={**REPLAYED, **GENERATED} if time.column == "tpot" else REPLAYED,
        quantile=q,
    )


MEASURES = tuple(_measure(time, q) for time in TIMES for q in PERCENTILES)
