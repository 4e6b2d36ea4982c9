"""Percentiles, by order statistics."""

from __future__ import annotations

import math

from exitdrill.stats.base import Floats, Interval, TooFewSamples, inside, sorted_samples
from exitdrill.stats.sequential import least_samples


def percentile(samples: Floats, q: float) -> float:
    """The smallest sample that at least the share ``q`` of all samples does not exceed.

    Infinite samples (missed deadlines) count as the largest. Raises `TooFewSamples` for none, and
    `ValueError` for a NaN among them.
    """
    inside(q=q)
    ordered = sorted_samples(samples)
    if not len(ordered):
        raise TooFewSamples(1, 0)
    return float(ordered[max(math.ceil(q * len(ordered) - 1e-9), 1) - 1])


def percentile_interval(
    samples: Floats, q: float, confidence: float = 0.95, independent: int | None = None
) -> Interval:
    """The interval of a percentile by order statistics: which ranks of a Bin(n, q) hold it.

    Free of any assumption on the shape of the distribution. Source: David & Nagaraja, *Order
    Statistics*, 3rd ed., 7.1. With n=200 and q=0.95 these are the ranks 184 and 197. Where samples
    come in groups that may be alike (repeats of a case), ``independent`` says how many groups:
    the ranks are those of so many samples, spread over all.

    Raises `TooFewSamples` where no rank is sure enough (two-sided 95 %: 72 samples for p95, 368
    for p99), and `ValueError` for a NaN among the samples.
    """
    inside(q=q, confidence=confidence)
    ordered = sorted_samples(samples)
    n = len(ordered) if independent is None else independent
    if n > len(ordered):
        raise ValueError(f"{n} independent samples of {len(ordered)}")
    tail = (1 - confidence) / 2
    needed = _fewest(tail, q)
    if n < needed:
        raise TooFewSamples(needed, n)
    low = max(_binomial_quantile(tail, n, q), 1)  # P(X < low) <= tail
    high = min(_binomial_quantile(1 - tail, n, q) + 1, n)
    first = (low - 1) * len(ordered) // n  # without groups: low - 1
    last = -(-high * len(ordered) // n) - 1  # without groups: high - 1
    return float(ordered[first]), float(ordered[last])


def fewest_samples(q: float, confidence: float = 0.95, *, sequential: bool = False) -> int:
    """How many samples `percentile_interval` takes, or `percentile_sequence`."""
    inside(q=q, confidence=confidence)
    return least_samples(q, confidence) if sequential else _fewest((1 - confidence) / 2, q)


def _fewest(tail: float, q: float) -> int:
    return math.ceil(math.log(tail) / math.log(max(q, 1 - q)))


def _binomial_quantile(chance: float, n: int, q: float) -> int:
    """The smallest k with P(X <= k) >= chance, for X of Bin(n, q)."""
    from scipy.special import bdtr, bdtrik

    k = math.ceil(float(bdtrik(chance, n, q)))
    return k - 1 if k > 0 and float(bdtr(k - 1, n, q)) >= chance else k
