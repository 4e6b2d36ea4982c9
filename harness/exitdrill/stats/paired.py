"""Two paired proportions: the same cases on both sides, right or wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from exitdrill.stats.base import Array, Counts, Interval, inside

NUISANCE = 120
"""How many shares of discordant pairs the worst case is looked for among."""


def tango_interval(b: float, c: float, n: int, confidence: float = 0.95) -> Interval:
    """The two-sided score interval of the difference (b − c)/n of two paired proportions.

    ``b`` and ``c`` are the discordant counts among ``n`` pairs; where a case has several
    repeats, they may be averages over these. Source: Tango, *Equivalence test and confidence
    interval for the difference in proportions for the paired-sample design*, Statistics in
    Medicine 17 (1998) 891–908. Its example b=1, c=7, n=21 gives (−0.5172, −0.0260).

    Raises `ValueError` where the counts do not fit.
    """
    _check_counts(b, c, n)
    inside(confidence=confidence)
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


def _check_counts(b: float, c: float, n: int) -> None:
    if not (b >= 0 and c >= 0 and n >= 1 and float(n).is_integer() and b + c <= n * (1 + 1e-12)):
        raise ValueError(f"b={b}, c={c} do not fit n={n}")


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


def exact_paired_p(b: float, c: float, n: int, difference: float) -> float:
    """The exact p-value of the hypothesis that the difference is at most ``difference``.

    ``b`` and ``c`` are the discordant counts for and against, among ``n`` pairs. It is the
    probability of Tango's statistic being as large as observed, or larger, if the difference is
    exactly that, in the worst case over the share of discordant pairs, which nobody knows. So a
    test at alpha errs with a probability of at most alpha, however small ``n`` is. That is known of
    whole counts: averages (a case with several repeats) have to be rounded, ``b`` down, ``c`` up.

    Source: the unconditional test with the score statistic, Hsueh, Liu, Chen, *Unconditional exact
    tests for equivalence or noninferiority for paired binary endpoints*, Biometrics 57 (2001)
    478–483. Its worst case is searched for on a grid.

    Raises `ValueError` where the counts do not fit.
    """
    _check_counts(b, c, n)
    if not -1 < difference < 1:
        raise ValueError(f"{difference=} does not lie between -1 and 1")
    return _worst_case(n, difference, _tango_z(b, c, n, difference))


@lru_cache(maxsize=256)
def _worst_case(n: int, difference: float, z: float) -> float:
    """P(statistic >= z) at a difference, in the worst case over the share of discordant pairs."""
    against = np.arange(n + 1)
    least = _least_for(n, against, difference, z)
    low = abs(difference)
    # Denser at the low end: there the counts are few, and a single pair weighs most.
    shares = low + (1 - low) * np.linspace(0, 1, NUISANCE) ** 2
    return max(
        _chance(n, against, least, (s - difference) / 2, (s + difference) / 2) for s in shares
    )


def _least_for(n: int, against: Counts, difference: float, z: float) -> Counts:
    """For each count against: the least count for with which the statistic reaches z.

    It grows with the count for. n + 1 where none does.
    """
    below, above = np.full(n + 1, -1), n - against + 1  # z is reached at ``above``, not ``below``
    for _ in range(int(n + 2).bit_length()):
        middle = (below + above) // 2
        reached = (middle >= 0) & (tango_statistics(middle, against, n, difference) >= z - 1e-9)
        undecided = above - below > 1
        above = np.where(undecided & reached, middle, above)
        below = np.where(undecided & ~reached, middle, below)
    return above


def tango_statistics(b: Counts, c: Counts, n: int, delta: float) -> Array:
    """`_tango_z` of many counts at once."""
    a1 = -b - c + (2 * n - b + c) * delta
    a0 = -c * delta * (1 - delta)
    q21 = (np.sqrt(np.maximum(a1 * a1 - 8 * n * a0, 0.0)) - a1) / (4 * n)
    variance = n * (2 * q21 + delta * (1 - delta))
    numerator = b - c - n * delta
    sure = np.where(numerator == 0, 0.0, np.copysign(np.inf, numerator))
    root = np.sqrt(np.maximum(variance, 0.0))
    found: Array = np.divide(numerator, root, out=sure, where=variance > 0)
    return found


def _chance(n: int, against: Counts, least: Counts, p_against: float, p_for: float) -> float:
    """P(count for >= least of the count against), the counts being of a trinomial."""
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    spread = 9 * math.sqrt(n * p_against * (1 - p_against)) + 10
    near = slice(max(0, int(n * p_against - spread)), min(n, int(n * p_against + spread)) + 1)
    c, k = against[near], least[near]
    ways = gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1)
    chance = np.exp(ways + xlogy(c, p_against) + xlog1py(n - c, -p_against))
    rest = n - c
    given = min(max(p_for, 0.0) / (1 - p_against), 1.0) if p_against < 1 else 0.0
    tail = bdtrc(np.clip(k - 1, 0, None).astype(float), np.maximum(rest, 1), given)
    tail = np.where(k <= 0, 1.0, np.where(k > rest, 0.0, tail))
    return float((chance * tail).sum())
