"""Drift beyond noise: how much further apart two sides are than each is from itself."""

from __future__ import annotations

import numpy as np

from exitdrill.stats.base import Array, Floats, Interval, TooFewSamples
from exitdrill.stats.clusters import AnyLabels, Codes, cluster_codes
from exitdrill.stats.means import mean_interval

ROUNDING = 1e-9
"""How far a distance may be out of [0, 1] and still be taken for its end."""


def energy_excess(
    between: Floats,
    within_x: Floats,
    within_y: Floats,
    confidence: float = 0.95,
    clusters: AnyLabels | None = None,
) -> tuple[float, Interval]:
    """The mean excess drift 2·d(A,B) − d(A,A′) − d(B,B′) of all cases, and its interval.

    The arguments are the mean distances of each case, in [0, 1]: between the sides, and between
    different repeats of one side. In expectation the excess is zero where both sides answer alike,
    however noisy they are; an estimate may be negative. With a distance of 0 for same and 1 for
    different it is Σ(p − q)² over the answers, so positive wherever these differ; as much holds of
    any distance of strong negative type. Source: Székely & Rizzo, *Energy statistics*, Journal of
    Statistical Planning and Inference 143 (2013) 1249–1272.

    The interval is Student's on the totals of clusters (a case is its own where ``clusters`` is
    None), linearised, as in `mean_interval`; never narrower than ± 2·z²/(n + z²), n the number of
    clusters; and clipped to [−2, 2]. The least width is there because the plain interval is a point
    where no case differs, as if n cases had shown that none ever can. Tango's interval without a
    discordant pair leaves z²/(n + z²) for the share that may, and each adds at most 2.

    Cases with a NaN are left out. Raises `TooFewSamples` where fewer than two clusters remain, and
    `ValueError` where lengths differ or a distance is not in [0, 1].
    """
    excess, codes = _read(between, within_x, within_y, clusters)
    count = len(np.unique(codes))
    if count < 2:
        raise TooFewSamples(2, count)
    mean = float(excess.mean())
    low, high = mean_interval(excess, confidence, codes)
    half = max((high - low) / 2, _floor(count, confidence))
    return mean, (max(mean - half, -2.0), min(mean + half, 2.0))


def _read(
    between: Floats, within_x: Floats, within_y: Floats, clusters: AnyLabels | None
) -> tuple[Array, Codes]:
    """The excess and the cluster of each case that was measured."""
    b, x, y = (np.asarray(each, dtype=float) for each in (between, within_x, within_y))
    codes = np.arange(len(b)) if clusters is None else cluster_codes(clusters)
    if not len(b) == len(x) == len(y) == len(codes):
        raise ValueError(f"{len(b)}, {len(x)}, {len(y)} distances of {len(codes)} cases")
    if any((each < -ROUNDING).any() or (each > 1 + ROUNDING).any() for each in (b, x, y)):
        raise ValueError("distances lie between 0 and 1")
    excess = 2 * b - x - y
    measured = ~np.isnan(excess)
    return excess[measured], codes[measured]


def _floor(count: int, confidence: float) -> float:
    from scipy.special import ndtri

    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    return 2 * z2 / (count + z2)
