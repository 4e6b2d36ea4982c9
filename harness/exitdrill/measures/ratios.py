"""Rows of pooled shares: a sum over all trials by another sum, as in a micro-average.

The column holds each trial's share, between 0 and 1, a second one what that is a share of (how
many things were counted): the value of an arm is Σ share·count / Σ count. It may lie close to
what one long answer says; the interval knows, since its unit is the case.

The interval is the linearised one of a ratio of two means: with R = Σ a / Σ b over cases, case *i*
contributes (a_i − R·b_i) / mean(b) to the estimate, and Student's interval of the mean of these
contributions (of their differences, for two arms on the same cases) is that of R; where a gate
decides, it is no narrower than the cluster bootstrap's. Source: Cochran,
*Sampling Techniques*, 3rd ed., 6.3; Deng, Knoblich, Lu, *Applying the Delta Method in Metric
Analytics*, KDD 2018, arXiv 1803.06336. Where hardly any case differs it would be empty, or nearly
so; hence it is never narrower than what as many equally large cases allow, or clusters, of which
none differs (`measures.intervals.least_width`), n = (Σ b)² / Σ b² (Kish).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exitdrill.measures.base import Array, Pair, Row, case_means
from exitdrill.measures.intervals import Labels, mean_between, widened, worth
from exitdrill.measures.shares import NOTHING
from exitdrill.stats import (
    Interval,
    TooFewSamples,
    bootstrap_interval,
    cluster_sums,
    proportion_interval,
)
from exitdrill.stats.means import resampled


def pooled_row(column: str, count: str, things: str) -> Callable[[Pair], Row]:
    """A row of a pooled share; ``things`` names what is counted, for the note.

    A share without a count weighs as one thing.
    """

    def row(pair: Pair) -> Row:
        arms = [
            (arm.columns[column], _counts(arm.columns[column], arm.columns[count]))
            for arm in (pair.incumbent, pair.candidate)
        ]
        cases = ~np.any([np.isnan(share).all(axis=1) for share, _ in arms], axis=0)
        labels = pair.labels(cases)
        ours, theirs = (_Pooled.of(share[cases], each[cases], labels) for share, each in arms)
        if ours is None or theirs is None:
            return NOTHING
        n = int(cases.sum())
        interval, method = _difference(pair, ours, theirs)
        return Row(
            incumbent=ours.value,
            candidate=theirs.value,
            estimate=theirs.value - ours.value,
            interval=interval,
            own=theirs.own(pair.confidence),
            n=n,
            noise=_noise(*arms[0]),
            note=f"pooled over {theirs.counted:,.0f} {things} of {n} cases; {method}",
        )

    return row


@dataclass(frozen=True)
class _Pooled:
    """One arm: its ratio, and the sums of each case. ``counted`` is over all repeats."""

    value: float
    part: Array
    whole: Array
    counted: float
    labels: Labels

    @classmethod
    def of(cls, share: Array, counts: Array, labels: Labels) -> _Pooled | None:
        whole, part = case_means(counts), case_means(share * counts)
        total = float(whole.sum())
        if total <= 0:
            return None
        value = float(part.sum()) / total
        return cls(value, part, whole, float(np.nansum(counts)), labels)

    @property
    def parts(self) -> Array:
        """What each case contributes to the ratio."""
        contributed: Array = (self.part - self.value * self.whole) / self.whole.mean()
        return contributed

    def own(self, confidence: float) -> Interval:
        """The interval of the ratio itself, no narrower than the exact one of a proportion."""
        inner, effective = _interval(self.value, self.parts, self, confidence)
        n = max(worth(self.whole, None) * effective / len(self.whole), 1.0)
        low, high = proportion_interval(min(self.value, 1.0) * n, n, confidence)
        return max(min(low, inner[0]), 0.0), min(max(high, inner[1]), 1.0)


def _difference(pair: Pair, ours: _Pooled, theirs: _Pooled) -> tuple[Interval, str]:
    estimate = theirs.value - ours.value
    # A/A: both halves say the same of two repeats, and what two draws of it vary is not seen.
    apart = theirs.parts - ours.parts if pair.two_arms else math.sqrt(2) * ours.parts
    linear, _ = _interval(estimate, apart, theirs, pair.confidence)
    labels = np.arange(len(ours.part)) if ours.labels is None else ours.labels
    n, differing = len(np.unique(labels)), len(np.unique(labels[apart != 0]))
    if pair.bound is None or not (pair.two_arms and resampled(differing, n)):
        return linear, "linearised interval"
    sums = [
        np.stack([cluster_sums(each, labels) for each in (ours_, theirs_)])
        for ours_, theirs_ in ((ours.part, theirs.part), (ours.whole, theirs.whole))
    ]
    low, high = bootstrap_interval(sums[0], sums[1], pair.confidence)
    said = f"cluster bootstrap (BCa) of {n:,} clusters, no narrower than the linearised interval"
    return (float(np.fmin(low, linear[0])), float(np.fmax(high, linear[1]))), said


def _interval(
    estimate: float, parts: Array, arm: _Pooled, confidence: float
) -> tuple[Interval, float]:
    """The linearised interval, in [-1, 1], and how many independent cases it is worth."""
    try:
        (low, high), effective = mean_between(parts, arm.labels, confidence)
    except TooFewSamples:  # one case alone says nothing of how cases vary
        return (max(estimate - 1, -1.0), min(estimate + 1, 1.0)), 1.0
    half, size = (high - low) / 2, worth(arm.whole, arm.labels)
    low, high = widened((estimate - half, estimate + half), estimate, size, confidence)
    return (max(low, -1.0), min(high, 1.0)), effective


def _counts(share: Array, counts: Array) -> Array:
    found: Array = np.where(np.isnan(counts), 1.0, counts)
    return np.where(np.isnan(share), np.nan, found)


def _noise(share: Array, counts: Array) -> float | None:
    """How far the incumbent is from agreeing with itself."""
    total = float(np.nansum(counts))
    if not total or math.isnan(total):
        return None
    return 1 - float(np.nansum(share * counts)) / total
