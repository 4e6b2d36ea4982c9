"""The intervals of shares and of means between 0 and 1, one value per case.

A pair that is only described has the plain score interval. Where a gate decides (`Pair.bound`) its
error holds in the worst case; with `Pair.looks` it holds at all looks together. Where cases come in
clusters, their number is the effective one, n over the design effect: the largest that is not
refuted, at a tenth of the error, which is taken off the test's. That is reckoned from how much
clusters differ; of clusters that go wrong as a whole, and seldom, there may be none to be seen. So
an interval is never narrower than what as many clusters allow of which none differs
(`least_width`). Sources: Rao & Scott, *A simple method for the analysis of clustered binary data*,
Biometrics 48 (1992) 577–585; Berger & Boos, *P values maximized over a confidence set for the
nuisance parameter*, JASA 89 (1994) 1012–1016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    effective_size,
    exact_paired_p,
    largest_design_effect,
    mean_interval,
    proportion_interval,
    tango_interval,
)
from exitdrill.stats.means import resampled

Labels = npt.NDArray[np.int64] | None
UNKNOWN = 0.1
"""The share of the error that is for what is not known: how alike the cases of a cluster are."""


@dataclass(frozen=True)
class Shares:
    """Two arms' values per case (means over repeats), what the candidate ``gained`` and ``lost``.

    ``gaps`` are what they differ by. ``labels`` are the cases' clusters, None where each is alone.
    """

    ours: Array
    theirs: Array
    gained: Array
    lost: Array
    gaps: Array
    labels: Labels

    @classmethod
    def itself(cls, values: Array, labels: Labels) -> Shares:
        """A/A of values that say how far an arm agrees with itself, which two halves of it share.

        What two independent draws of it would differ by is not seen, but bounded: their variance in
        a case is at most that over all cases, so that ``gained`` and ``lost`` are both that.
        """
        off = values - values.mean()
        gaps = np.clip(math.sqrt(2) * off, -1, 1)
        return cls(values, values, off**2, off**2, gaps, labels)

    @property
    def n(self) -> int:
        """How many cases there are."""
        return len(self.ours)

    @property
    def differing(self) -> int:
        """How many cases differ between the arms."""
        return int(np.count_nonzero(self.gaps))


def difference(pair: Pair, shares: Shares, *, graded: bool) -> tuple[Interval, str]:
    """The interval of the mean of theirs − ours, and how it was made.

    ``graded`` values are any between 0 and 1; others are 0 or 1, or a mean of these over repeats.
    """
    if pair.looks is not None:
        return _sequence(pair, pair.looks, shares), "betting e-process"
    if graded and pair.bound is not None and shares.n > 1 and pair.two_arms:
        (low, high), said = mean_gap(pair, shares.ours, shares.theirs, shares.labels)
        return (max(low, -1.0), min(high, 1.0)), said
    return _score(pair, shares)


def own(pair: Pair, values: Array, labels: Labels) -> Interval:
    """The interval of the mean of one arm's values."""
    if pair.looks is not None:
        return _bets(pair.looks, values, 0.0, labels).interval(pair.confidence)
    effect, confidence = _effective(values, labels, pair.confidence)
    n, mean = len(values) / effect, float(values.mean())
    interval = proportion_interval(mean * n, n, confidence)
    if labels is None:
        return interval
    low, high = widened(interval, mean, worth(np.ones(len(values)), labels), pair.confidence)
    return max(low, 0.0), min(high, 1.0)


def standard_error(pair: Pair, shares: Shares) -> float | None:
    """The standard error of the mean of theirs − ours, by clusters where there are any.

    None where it says nothing: of fewer than two cases or clusters, or of a drill that is looked at
    while it runs, whose intervals are wider for it.
    """
    labels = np.arange(shares.n) if shares.labels is None else shares.labels
    if pair.looks is not None or len(np.unique(labels)) < 2:
        return None
    return clustered_standard_error(shares.gaps, labels)


def worth(weights: Array, labels: Labels) -> float:
    """How many independent cases of equal weight some cases are worth, if those of a cluster are
    all alike."""
    return effective_size(weights if labels is None else cluster_sums(weights, labels))


def least_width(n: float, confidence: float) -> float:
    """By how much n independent cases of which none differs still may differ: 1 − α^(1/n).

    If a share p of all cases differs, wholly, the chance that none of n does is (1 − p)ⁿ.
    """
    return 1 - float(((1 - confidence) / 2) ** (1 / n))


def widened(
    interval: Interval, estimate: float, n: float, confidence: float, most: float = 1.0
) -> Interval:
    """An interval no narrower than what n cases allow of which none differs (`least_width`).

    Where hardly any case differs, what is computed from the differences is empty, or NaN. ``most``
    is by how much a case can differ. Of an estimate that is not finite it is NaN.
    """
    if not math.isfinite(estimate):
        return math.nan, math.nan
    half = most * least_width(n, confidence)
    low, high = (value if np.isfinite(value) else estimate for value in interval)
    return min(low, estimate - half), max(high, estimate + half)


def _score(pair: Pair, shares: Shares) -> tuple[Interval, str]:
    effect, confidence = _effective(shares.gaps, shares.labels, pair.confidence)
    n = max(int(shares.n / effect), 1)
    scale = n / shares.n
    gained, lost = float(shares.gained.sum()) * scale, float(shares.lost.sum()) * scale
    interval = tango_interval(gained, lost, n, confidence)
    said = "Tango's interval"
    if pair.bound is not None:
        interval = _exact(interval, (gained, lost, n), pair.bound, (1 - confidence) / 2)
    if shares.labels is not None:
        clusters = len(np.unique(shares.labels))
        said += f" of {n:,} effective cases in {clusters:,} clusters"
        size, estimate = worth(np.ones(shares.n), shares.labels), (gained - lost) / n
        low, high = widened(interval, estimate, size, pair.confidence)
        interval = max(low, -1.0), min(high, 1.0)
    return interval, said if pair.bound is None else f"{said}, exact"


def _exact(
    interval: Interval, counts: tuple[float, float, int], bound: float, alpha: float
) -> Interval:
    """The interval with the bound in it, unless the exact test refuses that."""
    (gained, lost, n), (low, high) = counts, interval
    if low > bound > -1 and _refuted(gained, lost, n, bound) > alpha:
        low = bound
    if high < bound < 1 and _refuted(lost, gained, n, -bound) > alpha:
        high = bound
    return low, high


def _refuted(gained: float, lost: float, n: int, bound: float) -> float:
    """The exact test's p-value, of counts rounded to the safe side: whole ones, not averages."""
    gains = math.floor(gained + 1e-9)
    return exact_paired_p(gains, min(math.ceil(lost - 1e-9), n - gains), n, bound)


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


def mean_gap(
    pair: Pair, ours: Array, theirs: Array, labels: Labels, most: float = 1.0
) -> tuple[Interval, str]:
    """The interval of a difference of means, and how it was made: the cluster bootstrap, no
    narrower than Student's interval, which is safe for few. ``most`` is by how much a case can
    differ."""
    gaps = theirs - ours
    codes = np.arange(len(gaps)) if labels is None else labels
    n, differing = len(np.unique(codes)), len(np.unique(codes[gaps != 0]))
    if n < 2:
        return (-math.inf, math.inf), "one cluster alone says nothing of how clusters vary"
    (low, high), effective = mean_between(gaps, labels, pair.confidence)
    said = f"Student's interval of {effective:,.0f} effective cases"
    if resampled(differing, n):
        sums = np.stack([cluster_sums(each, codes) for each in (ours, theirs)])
        sizes = cluster_sums(np.ones(len(gaps)), codes)
        drawn = bootstrap_interval(sums, np.stack([sizes, sizes]), pair.confidence)
        low, high = float(np.fmin(low, drawn[0])), float(np.fmax(high, drawn[1]))
        said = f"cluster bootstrap (BCa) of {n:,} clusters, no narrower than {said}"
    size = worth(np.ones(len(gaps)), labels)
    return widened((low, high), float(gaps.mean()), size, pair.confidence, most), said


def _sequence(pair: Pair, looks: Looks, shares: Shares) -> Interval:
    bets = _bets(looks, shares.gaps, -1.0, shares.labels)
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
