"""Cases that come in clusters (sessions, templates) and may be alike within."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from exitdrill.stats.base import Array, Floats, TooFewSamples, inside
from exitdrill.stats.means import cluster_sums

AnyLabels = Iterable[Hashable]
FEW = 20
"""Clusters below which nobody can tell how alike their cases are."""
Codes = npt.NDArray[np.int64]


def clustered_standard_error(differences: Floats, clusters: AnyLabels) -> float:
    """The standard error of the mean of ``differences``, one per case, whose errors may go
    together within a cluster.

    (1/n) · √(Σ_c Σ_i Σ_j d_ic d_jc), with d centred on the mean. Source: Miller, *Adding error bars
    to evals*, arXiv 2411.00640. The two inner sums are the square of the cluster's total: no pair
    is ever formed. With clusters of one it is the plain standard error (divisor n). It rests on
    many clusters: with few it is too small, by a factor of about √(1 − 1/clusters).

    ``clusters`` names the cluster of each case. Raises `TooFewSamples` for fewer than two clusters,
    whose error cannot be seen, and `ValueError` where the labels do not fit or a value is not
    finite.
    """
    values, codes = _read(differences, clusters)
    count = _count(codes)
    if count < 2:
        raise TooFewSamples(2, count)
    totals = cluster_sums(values - values.mean(), codes)
    return math.sqrt(float(totals @ totals)) / len(values)


def design_effect(differences: Floats, clusters: AnyLabels) -> float:
    """How many times more cases are needed because they come in clusters: the variance of the mean
    with clusters over that without, and never below 1.

    Below 1 an estimate would claim that clusters inform better than independent cases, mostly by
    chance. Where nothing can be estimated (all cases gave the same, or there is one cluster), it
    is the worst case, of clusters wholly alike within: the size of the cluster of a typical case,
    Σm²/n over the sizes m. Source: Kish, *Survey Sampling* (1965); with clusters of one size m it
    is 1 + (m − 1) · ICC.

    Raises `TooFewSamples` for none, `ValueError` as `clustered_standard_error` does.
    """
    values, codes = _read(differences, clusters)
    if not len(values):
        raise TooFewSamples(1, 0)
    sizes = np.bincount(codes).astype(float)
    if len(sizes) < 2 or values.min() == values.max():
        return float(sizes @ sizes) / len(values)
    centred = values - values.mean()
    totals = cluster_sums(centred, codes)
    return max(float(totals @ totals) / float(centred @ centred), 1.0)


def largest_design_effect(differences: Floats, clusters: AnyLabels, error: float) -> float:
    """A design effect that the true one exceeds with a probability of at most ``error``.

    1 + (Σm²/n − 1) · ICC, with the upper end of the analysis of variance's interval of the
    intraclass correlation. An estimate is too small as often as too large, and most of all where
    the few clusters that were lost are few by luck: a test that believes it errs too often. With
    fewer than `FEW` clusters the end is not to be trusted either, and clusters count as wholly
    alike. Source: Searle, *Linear Models* (1971), 9.9, for clusters of one size; Donner & Wells, *A
    comparison of confidence interval methods for the intraclass correlation coefficient*,
    Biometrics 42 (1986) 401–412, for the mean size of unequal ones.

    Raises as `design_effect` does.
    """
    from scipy.special import fdtri

    inside(error=error)
    values, codes = _read(differences, clusters)
    if not len(values):
        raise TooFewSamples(1, 0)
    sizes = np.bincount(codes).astype(float)
    n, count = len(values), len(sizes)
    typical = float(sizes @ sizes) / n
    means = cluster_sums(values, codes) / sizes
    within = float(((values - means[codes]) ** 2).sum())
    if count < FEW or n == count or within <= 1e-12 * n:
        return typical
    size = (n - typical) / (count - 1)
    between = float((sizes * (means - values.mean()) ** 2).sum())
    ratio = (between / (count - 1)) / (within / (n - count))
    largest = ratio / float(fdtri(count - 1, n - count, error)) - 1
    return 1 + (typical - 1) * min(max(largest / (size + largest), 0.0), 1.0)


def effective_size(weights: Floats) -> float:
    """How many clusters of equal weight some clusters are worth: (Σ w)² / Σ w².

    So many independent cases are theirs, if those of a cluster are all alike; the weights are their
    sizes. Source: Kish, *Survey Sampling* (1965).
    """
    found = np.asarray(weights, dtype=float)
    return float(found.sum()) ** 2 / float(found @ found)


def cluster_codes(clusters: AnyLabels) -> Codes:
    """The labels as numbers from 0, by first appearance; labels need not be comparable."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(each, len(known)) for each in clusters], dtype=np.int64)


def _read(differences: Floats, clusters: AnyLabels) -> tuple[Array, Codes]:
    values, codes = np.asarray(differences, dtype=float), cluster_codes(clusters)
    if values.shape != codes.shape:
        raise ValueError(f"{len(values)} values have {len(codes)} labels of clusters")
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite have no standard error")
    return values, codes


def _count(codes: Codes) -> int:
    return int(codes.max()) + 1 if len(codes) else 0
