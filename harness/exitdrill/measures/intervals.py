"""The intervals of shares and of means between 0 and 1, one value per case.

A pair that is only described has the plain score interval. Where a gate decides (`Pair.bound`) its
error holds in the worst case; with `Pair.looks` it holds at all looks together. Where cases come in
clusters, their number is the effective one, n over the design effect: the largest that can be, but
for a tenth of the error, which is taken off the test's. Sources of the latter: Rao & Scott, *A
simple method for the analysis of clustered binary data*, Biometrics 48 (1992) 577–585; Berger &
Boos, *P values maximized over a confidence set for the nuisance parameter*, JASA 89 (1994)
1012–1016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from exitdrill.measures.base import Array, Looks, Pair
from exitdrill.stats import (
    Bets,
    Interval,
    TooFewSamples,
    best_stake,
    bootstrap_interval,
    cluster_sums,
    clustered_standard_error,
    exact_paired_p,
    largest_design_effect,
    mean_interval,
    proportion_interval,
    tango_interval,
)
from exitdrill.stats.means import MOST_RESAMPLED

Labels = npt.NDArray[np.int64] | None
UNKNOWN = 0.1
"""The share of the error that is for what is not known: how alike the cases of a cluster are."""


@dataclass(frozen=True)
class Shares:
    """Two arms' values per case (means over repeats), what the candidate ``gained`` and ``lost``.

    ``labels`` are the cases' clusters, None where each is alone.
    """

    ours: Array
    theirs: Array
    gained: Array
    lost: Array
    labels: Labels

    @property
    def n(self) -> int:
        """How many cases there are."""
        return len(self.ours)


def difference(pair: Pair, shares: Shares, *, graded: bool) -> tuple[Interval, str]:
    """The interval of the mean of theirs − ours, and how it was made.

    ``graded`` values are any between 0 and 1; others are 0 or 1, or a mean of these over repeats.
    """
    if pair.looks is not None:
        return _sequence(pair, pair.looks, shares), "betting e-process"
    if graded and pair.bound is not None and shares.n > 1:
        return _bootstrapped(pair, shares)
    return _score(pair, shares)


def own(pair: Pair, values: Array, labels: Labels) -> Interval:
    """The interval of the mean of one arm's values."""
    if pair.looks is not None:
        return _bets(pair.looks, values, 0.0, labels).interval(pair.confidence)
    effect, confidence = _effective(values, labels, pair.confidence)
    n = len(values) / effect
    return proportion_interval(float(values.mean()) * n, n, confidence)


def standard_error(pair: Pair, shares: Shares) -> float | None:
    """The standard error of the mean of theirs − ours, by clusters where there are any.

    None where it says nothing: of fewer than two cases or clusters, or of a drill that is looked at
    while it runs, whose intervals are wider for it.
    """
    labels = np.arange(shares.n) if shares.labels is None else shares.labels
    if pair.looks is not None or len(np.unique(labels)) < 2:
        return None
    return clustered_standard_error(shares.theirs - shares.ours, labels)


def widened(interval: Interval, estimate: float, n: float, confidence: float) -> Interval:
    """An interval no narrower than the score interval of n cases of which none differs.

    ± z² / (n + z²): where hardly any case differs, what is computed from the differences is empty.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z**2 / (n + z**2)
    low, high = (
        value if np.isfinite(value) else fallback
        for value, fallback in zip(interval, (estimate, estimate), strict=True)
    )
    return max(min(low, estimate - half), -1.0), min(max(high, estimate + half), 1.0)


def _score(pair: Pair, shares: Shares) -> tuple[Interval, str]:
    effect, confidence = _effective(shares.theirs - shares.ours, shares.labels, pair.confidence)
    n = max(int(shares.n / effect), 1)
    scale = n / shares.n
    gained, lost = float(shares.gained.sum()) * scale, float(shares.lost.sum()) * scale
    interval = tango_interval(gained, lost, n, confidence)
    said = "Tango's interval"
    if shares.labels is not None:
        clusters = len(np.unique(shares.labels))
        said += f" of {n:,} effective cases in {clusters:,} clusters"
    if pair.bound is None:
        return interval, said
    return _exact(interval, (gained, lost, n), pair.bound, (1 - confidence) / 2), said + ", exact"


def _exact(
    interval: Interval, counts: tuple[float, float, int], bound: float, alpha: float
) -> Interval:
    """The interval with the bound in it, unless the exact test refuses that."""
    (gained, lost, n), (low, high) = counts, interval
    if low > bound > -1 and exact_paired_p(gained, lost, n, bound) > alpha:
        low = bound
    if high < bound < 1 and exact_paired_p(lost, gained, n, -bound) > alpha:
        high = bound
    return low, high


def mean_between(values: Array, labels: Labels, confidence: float) -> tuple[Interval, float]:
    """Student's interval of a mean, and the effective number of cases.

    Raises `TooFewSamples` for fewer than two cases, or clusters.
    """
    n = len(values)
    if labels is None:
        return mean_interval(values, confidence), n
    from scipy.special import stdtrit

    clusters = len(np.unique(labels))
    if clusters < 2:
        raise TooFewSamples(2, clusters)
    effect, confidence = _effective(values, labels, confidence)
    quantile = float(stdtrit(clusters - 1, (1 + confidence) / 2))
    half = quantile * float(values.std(ddof=1)) * math.sqrt(effect / n)
    mean = float(values.mean())
    return (mean - half, mean + half), n / effect


def _bootstrapped(pair: Pair, shares: Shares) -> tuple[Interval, str]:
    """Means: the cluster bootstrap, no narrower than Student's interval, which is safe for few."""
    gaps = shares.theirs - shares.ours
    labels = np.arange(shares.n) if shares.labels is None else shares.labels
    n = len(np.unique(labels))
    if n < 2:
        return (-1.0, 1.0), "one cluster alone says nothing of how clusters vary"
    (low, high), effective = mean_between(gaps, shares.labels, pair.confidence)
    said = f"Student's interval of {effective:,.0f} effective cases"
    if n <= MOST_RESAMPLED:
        sums = np.stack([cluster_sums(each, labels) for each in (shares.ours, shares.theirs)])
        sizes = cluster_sums(np.ones(shares.n), labels)
        drawn = bootstrap_interval(sums, np.stack([sizes, sizes]), pair.confidence)
        low, high = float(np.fmin(low, drawn[0])), float(np.fmax(high, drawn[1]))
        said = f"cluster bootstrap (BCa) of {n:,} clusters, no narrower than {said}"
    return widened((low, high), float(gaps.mean()), effective, pair.confidence), said


def _sequence(pair: Pair, looks: Looks, shares: Shares) -> Interval:
    bets = _bets(looks, shares.theirs - shares.ours, -1.0, shares.labels)
    if not pair.bound:
        return bets.interval(pair.confidence)
    return bets.interval(pair.confidence, best_stake(abs(pair.bound), looks.discordance))


def _bets(looks: Looks, values: Array, low: float, labels: Labels) -> Bets:
    return Bets.of(values, low, 1.0, labels, looks.largest, looks.every)


def _effective(values: Array, labels: Labels, confidence: float) -> tuple[float, float]:
    """The largest design effect that can be, and the confidence that is left for the rest."""
    if labels is None:
        return 1.0, confidence
    error = UNKNOWN * (1 - confidence) / 2
    return largest_design_effect(values, labels, error), 1 - (1 - confidence) * (1 - UNKNOWN)
