"""Means and single proportions."""

from __future__ import annotations

import math

import numpy as np

from exitdrill.stats.base import Array, Floats, Interval, Labels, TooFewSamples, inside

RESAMPLES = 4_999
MOST_RESAMPLED, MOST_IF_FEW_DIFFER, FEW = 2_000, 5_000, 500
"""Clusters beyond which the mean is as good as normal, and a bootstrap only slow; of those that
differ at all, fewer than `FEW` are not as good as normal yet."""


def mean_interval(
    differences: Floats, confidence: float = 0.95, clusters: Labels | None = None
) -> Interval:
    """Student's interval of a mean, one value per case.

    Where cases come in ``clusters`` (a label for each) their sums are what is independent: the
    standard error is that of a ratio of cluster totals, with as many degrees of freedom as there
    are clusters less one. Source: Cochran, *Sampling Techniques*, 3rd ed., 6.3 and 9A; it is
    `clustered_standard_error` times √(G/(G − 1)).

    Of values that are not finite it is NaN. Raises `TooFewSamples` for fewer than two cases, or
    clusters, and `ValueError` where the labels do not fit.
    """
    from scipy.special import stdtrit

    inside(confidence=confidence)
    values = np.asarray(differences, dtype=float)
    mean = float(values.mean()) if len(values) else math.nan
    totals = values - mean if clusters is None else cluster_sums(values - mean, clusters)
    n = len(totals)
    if n < 2:
        raise TooFewSamples(2, n)
    error = math.sqrt(float((totals**2).sum()) * n / (n - 1)) / len(values)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    return mean - half, mean + half


def cluster_sums(values: Array, clusters: Labels) -> Array:
    """The sum of the values of each cluster, in the order of the labels.

    Raises `ValueError` where there are not as many labels as values.
    """
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(places, weights=values).astype(float)


def resampled(differing: int, clusters: int) -> bool:
    """Whether `bootstrap_interval` is worth its time for so many clusters, so many of which differ
    between the sides: where these are few among many, a mean is not as good as normal yet."""
    return 1 < clusters <= (MOST_IF_FEW_DIFFER if differing < FEW else MOST_RESAMPLED)


def bootstrap_interval(
    parts: Array, wholes: Array, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The cluster bootstrap's interval (BCa) of a difference of two ratios.

    ``parts`` and ``wholes`` have the shape (2, clusters): for each side the sums of each cluster,
    so that Σ parts / Σ wholes is a side's mean over cases. What is drawn again, with replacement,
    are clusters, both sides of one together. Where every draw is alike, or too few clusters differ
    for BCa to say anything, it is empty or NaN: see to a least width.

    Source: Efron, *Better bootstrap confidence intervals*, JASA 82 (1987) 171–185, by
    `scipy.stats.bootstrap`; drawn from a fixed ``seed``, and from the clusters in the order of
    their sums, so that the same answers always have the same interval, in whatever order they
    came. Raises `TooFewSamples` for fewer than two clusters.
    """
    import warnings

    from scipy.stats import DegenerateDataWarning, bootstrap

    inside(confidence=confidence)
    n = parts.shape[1]
    if n < 2:
        raise TooFewSamples(2, n)
    order = np.lexsort((*parts, *wholes))
    parts, wholes = parts[:, order], wholes[:, order]

    def difference(ours: Array, us: Array, theirs: Array, them: Array, axis: int) -> Array:
        found: Array = theirs.sum(axis) / them.sum(axis) - ours.sum(axis) / us.sum(axis)
        return found

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            (parts[0], wholes[0], parts[1], wholes[1]),
            difference,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // n),
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def proportion_interval(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """The exact (Clopper–Pearson) interval of one proportion, by quantiles of the beta.

    ``successes`` may be an average over repeats, ``n`` an effective number of cases. Raises
    `TooFewSamples` for none, and `ValueError` where they do not fit.
    """
    from scipy.special import betaincinv

    inside(confidence=confidence)
    if n == 0:
        raise TooFewSamples(1, 0)
    if not 0 <= successes <= n * (1 + 1e-12):
        raise ValueError(f"{successes=} do not fit {n=}")
    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high
