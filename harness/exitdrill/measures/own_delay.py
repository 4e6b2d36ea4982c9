"""The drill's own delay beside the latencies, and how far it leaves them open.

A time that the drill measures is the server's and what the drill itself was late: between nothing
and, by its own looks at the clock, *d* (their p99). So the server's own time lies between the
measured one less *d* and the measured one. A time per token is the distance of two such moments,
shared by its tokens, so that it may be off to both sides by its share of *d*. Where nobody looked,
*d* is not known, and the server's time may be anything down to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from exitdrill.delay import PERIOD
from exitdrill.measures.base import ArmFacts, Array, Measure, Pair, Row
from exitdrill.measures.usage import generated
from exitdrill.sentences import level

LATE = 0.99
"""The share of the looks at the clock that ``d`` is not less than."""
WAITS = frozenset({"ttft", "total", "queued"})
"""Columns that hold seconds since the scheduled send."""
METHOD = (
    f"how late a sleep of {PERIOD * 1000:.0f} ms woke up in the drill's own event loop, again and "
    "again while the arm was asked (rounded up, by 9 % at most); the times above hold it; n: looks "
    "at the clock"
)


def bounds(measure: Measure, pair: Pair) -> tuple[Pair, Pair] | None:
    """The pair with all times at the bound that favours the candidate, and at the other one.

    None for a measure that is not of the drill's own clock.
    """
    if not concerns(measure):
        return None
    column = measure.reads
    (ours_low, ours_high), (theirs_low, theirs_high) = (
        _bounds(arm, column) for arm in (pair.incumbent, pair.candidate)
    )
    return (
        replace(pair, incumbent=ours_high, candidate=theirs_low),
        replace(pair, incumbent=ours_low, candidate=theirs_high),
    )


def concerns(measure: Measure) -> bool:
    """Whether a measure is a time by the drill's own clock."""
    return measure.section == "latency" and measure.reads in WAITS | {"tpot"}


def _bounds(arm: ArmFacts, column: str) -> tuple[ArmFacts, ArmFacts]:
    times, late = arm.columns[column], _late(arm)
    if column in WAITS:
        return _with(arm, column, _less(times, late)), arm
    shares = late / np.fmax(generated(arm) - 1, 1)  # 1 where the tokens are not known
    return _with(arm, column, _less(times, shares)), _with(arm, column, times + shares)


def _with(arm: ArmFacts, column: str, values: Array) -> ArmFacts:
    return replace(arm, columns={**arm.columns, column: values})


def _less(times: Array, late: Array | float) -> Array:
    """Times less a delay, not below zero; a missed deadline stays one."""
    known = np.isfinite(times)
    less: Array = np.where(known, np.maximum(np.where(known, times, 0.0) - late, 0.0), times)
    return less


def _late(arm: ArmFacts) -> float:
    """Seconds, infinite where it is not known."""
    known = arm.delay.percentile(LATE)
    return math.inf if known is None else known


def unresolved(pair: Pair, *, relative: bool) -> str:
    """Why a gate is open that the drill's own delay may decide."""
    arms = (pair.incumbent, pair.candidate) if relative else (pair.candidate,)
    late = max(map(_late, arms))
    if math.isinf(late):
        return (
            "how late the drill itself was while it measured is not known (it was over before a "
            "look at the clock was), so that this cannot be resolved"
        )
    return (
        f"the drill itself was up to {level('s', late)} late while it measured "
        f"(p{LATE * 100:.0f}), so that this cannot be resolved; run it on an idler machine or with "
        "less concurrency"
    )


def _row(q: float) -> Callable[[Pair], Row]:
    def row(pair: Pair) -> Row:
        arms = (pair.incumbent, pair.candidate)
        ours, theirs = (arm.delay.percentile(q) for arm in arms)
        if ours is None and theirs is None:
            return Row(note="not measured: no arm was asked for long enough to look at the clock")
        both = ours is not None and theirs is not None
        return Row(
            incumbent=ours,
            candidate=theirs,
            n=min(arm.delay.n for arm in arms if arm.delay.n),
            note=METHOD if both else f"{METHOD}; one arm only",
        )

    return row


MEASURES = tuple(
    Measure(
        f"own_delay_p{q * 100:.0f}",
        f"the drill's own delay, p{q * 100:.0f}",
        "s",
        "latency",
        "lower",
        _row(q),
    )
    for q in (0.5, 0.99)
)
