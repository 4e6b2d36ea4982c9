"""How many more cases an open gate takes."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from exitdrill.measures.base import Mask, Row
from exitdrill.stats import fewest_samples
from exitdrill.verdict.gate import Cause, Test
from exitdrill.verdict.settling import Design, More, Seen, scaled, settles, takes


def more_cases(test: Test, row: Row, cause: Cause | None, design: Design) -> More | None:
    """How many more cases would settle an open gate; None where that is not the question."""
    value, interval = test.compared(row)
    if cause == "undecided" and value is not None and interval is not None:
        good = test.sign * (value - test.bound) > 0
        seen = Seen(value, interval, test.bound, row if test.relative else None)
        return settles(test.pair, seen, design, good=good)
    if cause == "too_few" and test.measure.section == "latency":
        return takes(test.pair, scaled(test.pair, fewest(test) / independent(test)))
    return _sharper(test, design) if cause == "too_blunt" and test.margin else None


def _sharper(test: Test, design: Design) -> More | None:
    """How many more cases would make the instrument fine enough.

    A score interval's half-width is about √(z²·s²·n + z⁴) / (n + z²), s² the variance of one case;
    of what is no share, or where s² is not known, it narrows with the root of n.
    """
    noise, n = test.row(design.alpha, noise=True), independent(test)
    if noise.interval is None or not math.isfinite(width := noise.interval[1] - noise.interval[0]):
        return None
    z2, wanted = NormalDist().inv_cdf(1 - design.alpha) ** 2, test.margin
    needed = 0.0
    if noise.error is not None:
        s2 = noise.error**2 * n
        root = math.sqrt(s2**2 + 4 * wanted**2 * max(1 - s2, 0.0))
        needed = z2 * (s2 + root) / (2 * wanted**2) - z2
    if needed <= n:
        needed = n * (width / (2 * wanted)) ** 2
    return takes(test.pair, scaled(test.pair, needed / n))


def independent(test: Test) -> int:
    """How many independent cases were measured; those of the arm that has fewer."""
    arms, name = (test.pair.incumbent, test.pair.candidate), test.measure.reads
    measured: list[Mask] = [np.any(~np.isnan(arm.columns[name]), axis=1) for arm in arms]
    return max(min(map(test.pair.independent, measured)), 1)


def fewest(test: Test) -> int:
    """The cases that a percentile's interval takes."""
    q = float(f"0.{test.measure.name.rpartition('_p')[2]}")
    two_arms = 2 if test.relative else 1
    sequential = test.pair.looks is not None
    return fewest_samples(q, 1 - 2 * test.alpha / two_arms, sequential=sequential)
