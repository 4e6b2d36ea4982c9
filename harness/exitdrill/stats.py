"""Intervals and tests as plain functions, each with its source.

Of scipy only `scipy.special` is used, where it is needed: `scipy.stats` takes five times as long to
import as everything that is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = Sequence[float] | npt.NDArray[np.float64]
Interval = tuple[float, float]


class TooFewSamples(ValueError):
    """The sample is too small for what was asked; ``needed`` says how many it takes."""

    def __init__(self, needed: int, n: int) -> None:
        super().__init__(f"needs at least {needed} samples, has {n}")
        self.needed = needed
        self.n = n


def tango_interval(b: float, c: float, n: int, confidence: float = 0.95) -> Interval:
    """The two-sided score interval of the difference (b − c)/n of two paired proportions.

    ``b`` and ``c`` are the discordant counts among ``n`` pairs; where a case has several
    repeats, they may be averages over these. Source: Tango, *Equivalence test and confidence
    interval for the difference in proportions for the paired-sample design*, Statistics in
    Medicine 17 (1998) 891–908. Its example b=1, c=7, n=21 gives (−0.5172, −0.0260).

    Raises `ValueError` where the counts do not fit.
    """
    if n < 1 or b < 0 or c < 0 or b + c > n * (1 + 1e-12):
        raise ValueError(f"b={b}, c={c} do not fit n={n}")
    critical = NormalDist().inv_cdf((1 + confidence) / 2)
    estimate = (b - c) / n
    edge = 1 - 1e-12

    def bound(sign: int) -> float:
        # The statistic falls as delta grows, from above to below the critical value.
        end = -sign * edge
        if sign * (_tango_z(b, c, n, end) - sign * critical) < 0:
            return float(-sign)
        inner = min(max(estimate, -edge), edge)
        return _root(lambda delta: sign * _tango_z(b, c, n, delta) - critical, end, inner)

    return bound(1), bound(-1)


def _root(function: Callable[[float], float], above: float, below: float) -> float:
    """Where a monotone function is zero, which is positive at one end and not at the other."""
    for _ in range(60):  # each halves what is left of an interval shorter than 2
        middle = (above + below) / 2
        above, below = (middle, below) if function(middle) > 0 else (above, middle)
    return (above + below) / 2


def _tango_z(b: float, c: float, n: int, delta: float) -> float:
    """Tango's score statistic for the hypothesis that the difference is ``delta``."""
    a2 = 2.0 * n
    a1 = -b - c + (2 * n - b + c) * delta
    a0 = -c * delta * (1 - delta)
    q21 = (math.sqrt(max(a1 * a1 - 4 * a2 * a0, 0.0)) - a1) / (2 * a2)
    variance = n * (2 * q21 + delta * (1 - delta))
    numerator = b - c - n * delta
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def percentile(samples: Floats, q: float) -> float:
    """The smallest sample that at least the share ``q`` of all samples does not exceed.

    Infinite samples (missed deadlines) count as the largest. Raises `TooFewSamples` for none.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
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
    for p99).
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    n = len(ordered) if independent is None else independent
    tail = (1 - confidence) / 2
    needed = math.ceil(math.log(tail) / math.log(max(q, 1 - q)))
    if n < needed:
        raise TooFewSamples(needed, n)
    low = max(_binomial_quantile(tail, n, q), 1)  # P(X < low) <= tail
    high = min(_binomial_quantile(1 - tail, n, q) + 1, n)
    first = (low - 1) * len(ordered) // n  # without groups: low - 1
    last = -(-high * len(ordered) // n) - 1  # without groups: high - 1
    return float(ordered[first]), float(ordered[last])


def _binomial_quantile(chance: float, n: int, q: float) -> int:
    """The smallest k with P(X <= k) >= chance, for X of Bin(n, q)."""
    from scipy.special import bdtr, bdtrik

    k = math.ceil(float(bdtrik(chance, n, q)))
    return k - 1 if k > 0 and float(bdtr(k - 1, n, q)) >= chance else k


def mean_interval(differences: Floats, confidence: float = 0.95) -> Interval:
    """Student's interval of a mean, one value per independent case.

    Raises `TooFewSamples` for fewer than two.
    """
    from scipy.special import stdtrit

    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n < 2:
        raise TooFewSamples(2, n)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return mean - half, mean + half


def proportion_interval(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """The exact (Clopper–Pearson) interval of one proportion, by quantiles of the beta.

    ``successes`` may be an average over repeats. Raises `TooFewSamples` for none.
    """
    from scipy.special import betaincinv

    if n < 1:
        raise TooFewSamples(1, n)
    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high
