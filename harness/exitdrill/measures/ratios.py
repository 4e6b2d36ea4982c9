"""Rows of pooled shares: a sum over all trials by another sum, as in a micro-average.

The column holds each trial's share, between 0 and 1, a second one what that is a share of (how
many things were counted): the value of an arm is Σ share·count / Σ count. It may lie close to
what one long answer says; the interval knows, since its unit is the case.

The interval is the linearised one of a ratio of two means: with R = Σ a / Σ b over cases, case *i*
contributes (a_i − R·b_i) / mean(b) to the estimate, and Student's interval of the mean of these
contributions (of their differences, for two arms on the same cases) is that of R. Source: Cochran,
*Sampling Techniques*, 3rd ed., 6.3; Deng, Knoblich, Lu, *Applying the Delta Method in Metric
Analytics*, KDD 2018, arXiv 1803.06336. Where hardly any case differs it would be empty, or nearly
so; hence it is never narrower than the score interval of as many equally large cases none of which
differs, ± z² / (n + z²), with n = (Σ b)² / Σ b² (Kish).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exitdrill.measures.base import Array, Pair, Row
from exitdrill.measures.shares import NOTHING
from exitdrill.stats import Interval, mean_interval, proportion_interval


def pooled_row(column: str, count: str, things: str) -> Callable[[Pair], Row]:
    """A row of a pooled share; ``things`` names what is counted, for the note.

    A share without a count weighs as one thing.
    """

    def row(pair: Pair) -> Row:
        arms = [
            (arm.columns[column], _counts(arm.columns[column], arm.columns[count]))
            for arm in (pair.incumbent, pair.candidate)
        ]
        both = ~np.isnan(arms[0][0]) & ~np.isnan(arms[1][0])
        ours, theirs = (_Pooled.of(share, counts, both) for share, counts in arms)
        if ours is None or theirs is None:
            return NOTHING
        estimate = theirs.value - ours.value
        n = len(ours.parts)
        return Row(
            incumbent=ours.value,
            candidate=theirs.value,
            estimate=estimate,
            interval=_interval(estimate, theirs.parts - ours.parts, theirs.size, pair.confidence),
            own=theirs.own(pair.confidence),
            n=n,
            noise=_noise(*arms[0]),
            note=f"pooled over {theirs.counted:,.0f} {things} of {n} cases; linearised interval",
        )

    return row


@dataclass(frozen=True)
class _Pooled:
    """One arm: its ratio, what each case contributes to it, and the cases' effective number."""

    value: float
    parts: Array
    size: float
    counted: float

    @classmethod
    def of(cls, share: Array, counts: Array, both: npt.NDArray[np.bool_]) -> _Pooled | None:
        cases = both.any(axis=1)
        whole = np.where(both, counts, 0.0)[cases].sum(axis=1)
        part = np.where(both, share * counts, 0.0)[cases].sum(axis=1)
        total = float(whole.sum())
        if total <= 0:
            return None
        value = float(part.sum()) / total
        parts = (part - value * whole) / whole.mean()
        return cls(value, parts, total**2 / float((whole**2).sum()), total)

    def own(self, confidence: float) -> Interval:
        """The interval of the ratio itself, no narrower than the exact one of a proportion."""
        n = max(int(self.size), 1)
        low, high = proportion_interval(self.value * n, n, confidence)
        inner = _interval(self.value, self.parts, self.size, confidence)
        return max(min(low, inner[0]), 0.0), min(max(high, inner[1]), 1.0)


def _interval(estimate: float, parts: Array, size: float, confidence: float) -> Interval:
    from scipy.stats import norm

    z = float(norm.ppf((1 + confidence) / 2))
    half = z**2 / (size + z**2)
    if len(parts) > 1:
        low, high = mean_interval(parts, confidence)
        half = max(half, (high - low) / 2)
    else:
        half = 1.0  # one case alone says nothing of how cases vary
    return max(estimate - half, -1.0), min(estimate + half, 1.0)


def _counts(share: Array, counts: Array) -> Array:
    found: Array = np.where(np.isnan(counts), 1.0, counts)
    return np.where(np.isnan(share), np.nan, found)


def _noise(share: Array, counts: Array) -> float | None:
    """How far the incumbent is from agreeing with itself."""
    total = float(np.nansum(counts))
    if not total or math.isnan(total):
        return None
    return 1 - float(np.nansum(share * counts)) / total
