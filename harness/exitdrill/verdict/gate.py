"""A gate: what is judged of it, and what it has to be judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from exitdrill.measures import own_delay
from exitdrill.measures.base import Measure, Pair, Row, finite
from exitdrill.stats import Interval
from exitdrill.verdict.settling import More

GateStatus = Literal["pass", "fail", "open"]
GateKind = Literal["non_inferiority", "bound", "cap"]
"""Against the incumbent: ``non_inferiority`` where higher is better, ``bound`` where lower is. A
``cap`` is a limit on the candidate's own value."""
Cause = Literal[
    "raised",
    "broken_off",
    "no_answers",
    "replayed",
    "half_measured",
    "fails_itself",
    "too_blunt",
    "too_few",
    "not_measured",
    "own_delay",
    "vacuous",
    "undecided",
]
"""Why a gate is open: a checker or a measure raised; an arm was not asked all that was planned, or
answered nothing; answers came from a cache; some were measured on one side only; the incumbent
fails against itself; it is known too bluntly; there are too few cases for an interval; nothing was
measured; the drill's own delay could decide; the incumbent is so bad that nothing would pass too;
the interval holds the margin."""


@dataclass(frozen=True)
class Gate:
    """A gate, judged. ``interval`` is two-sided at 1 − 2·alpha, in candidate − incumbent.

    ``own_interval`` is that of the candidate's value alone: a limit is judged on it. ``cause`` says
    why it is open, ``more`` how many cases would settle it, ``method`` how the interval was made.
    """

    name: str
    measure: str
    unit: str
    kind: GateKind
    better: Literal["higher", "lower"]
    margin: float
    estimate: float | None
    interval: Interval | None
    n: int
    status: GateStatus
    reason: str
    own_interval: Interval | None = None
    cause: Cause | None = None
    more: More | None = None
    method: str | None = None
    clusters: int | None = None


@dataclass(frozen=True)
class Test:
    """A gate before judgement, at one-sided ``alpha``. ``sign`` is 1 where higher is better."""

    spec: Mapping[str, Any]
    measure: Measure
    pair: Pair
    alpha: float

    @property
    def sign(self) -> int:
        return 1 if self.measure.better == "higher" else -1

    @property
    def relative(self) -> bool:
        """Whether the margin is against the incumbent."""
        return self.spec["margin"] is not None

    @property
    def sampled(self) -> bool:
        """Whether it is judged on an interval. What lines were changed is counted, and a cost is
        that of this workload as it was asked: both are compared with their limit."""
        return self.relative or self.measure.section in {"drift", "latency"}

    @property
    def margin(self) -> float:
        """What the scenario wrote."""
        return float(self.spec["margin"] if self.relative else self.spec["limit"])

    @property
    def bound(self) -> float:
        """The worst value that is still good, on the scale of what is compared."""
        return -self.sign * self.margin if self.relative else self.margin

    @cached_property
    def _rows(self) -> dict[tuple[float, bool], Row]:
        return {}

    def row(self, alpha: float, *, noise: bool = False) -> Row:
        """The measure's row with intervals at one-sided ``alpha``; made once.

        ``noise``: A/A, the row of the incumbent against itself.
        """
        key = alpha, noise
        if key not in self._rows:
            pair = self.judged_at(alpha)
            self._rows[key] = self.measure.row(pair.noise_pair() if noise else pair)
        return self._rows[key]

    def judged_at(self, alpha: float) -> Pair:
        """The pair with intervals at one-sided ``alpha`` that decide at the gate's bound."""
        return self.pair.at(1 - 2 * alpha, self.bound if self.relative else None)

    def compared(self, row: Row) -> tuple[float | None, Interval | None]:
        """The value and the interval that the bound applies to."""
        if self.relative:
            return row.estimate, row.interval
        value = finite(row.candidate)
        if self.sampled:
            return value, row.own
        return value, None if value is None else (value, value)

    def resolved(self, interval: Interval, alpha: float) -> Interval:
        """The interval that is judged: for a time, widened by what the drill's own delay may have
        added to what was measured."""
        ends = own_delay.bounds(self.measure, self.judged_at(alpha))
        if ends is None:
            return interval
        low, high = (self.compared(self.measure.row(end))[1] for end in ends)
        return (low[0] if low else -math.inf, high[1] if high else math.inf)

    def kept(self, value: float) -> bool:
        """Whether a value keeps its limit, which may be reached; sums of money are rounded."""
        return self.sign * (value - self.bound) >= -1e-9 * abs(self.bound)

    def good(self, interval: Interval) -> bool:
        """Whether all of the interval is on the good side. A limit itself is allowed, where a
        margin is what is not."""
        low, high = interval
        if not self.relative:
            return low >= self.bound if self.sign > 0 else high <= self.bound
        return low > self.bound if self.sign > 0 else high < self.bound

    def bad(self, interval: Interval) -> bool:
        """Whether all of the interval is on the bad side."""
        low, high = interval
        return high < self.bound if self.sign > 0 else low > self.bound


def bound_of(measure: Measure, spec: Mapping[str, Any] | None) -> float | None:
    """The difference at which a gate on a measure decides; None where it has no margin."""
    if spec is None or spec["margin"] is None:
        return None
    return -float(spec["margin"]) if measure.better == "higher" else float(spec["margin"])
