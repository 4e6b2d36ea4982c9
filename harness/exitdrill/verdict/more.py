"""How many more cases an open gate takes."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from exitdrill.measures.base import Mask, Row
from exitdrill.measures.intervals import UNKNOWN
from exitdrill.sentences import level
from exitdrill.stats import Interval, fewest_samples
from exitdrill.stats.power import fewest_of
from exitdrill.verdict.gate import Cause, Test
from exitdrill.verdict.needed import Seen
from exitdrill.verdict.obstacles import missed
from exitdrill.verdict.settling import (
    MOST,
    NOBODY,
    PROVISO,
    UNLIKELY,
    Design,
    More,
    scaled,
    settles,
    takes,
    unlikely,
)

BETTING = " in a drill that is looked at while it runs; without --sequential it may take fewer"
UNKNOWN_WHEN = "more cases make it finer; of a drill that is looked at, how many is not known"
ALONE = "one cluster says nothing of how clusters vary: it takes cases of other ones"


def more_cases(test: Test, row: Row, cause: Cause | None, design: Design) -> More | None:
    """How many more cases would settle an open gate; None where that is not the question."""
    if cause == "undecided":
        return _undecided(test, row, design)
    if cause == "too_few" and test.measure.quantile is not None:
        return takes(test.pair, scaled(test.pair, fewest(test) / independent(test)))
    if cause != "too_blunt":
        return None
    return _sharper(test, row, design) if test.margin else unlikely(_never(test))


def _undecided(test: Test, row: Row, design: Design) -> More | None:
    value, interval = test.compared(row)
    if value is None or interval is None:
        return None
    distance = test.sign * (value - test.bound)
    share = test.measure.unit == "share"
    if share and distance >= 0 and (never := _never(test)):
        return unlikely(never)
    if math.isinf(_facing(value, interval, test.bound)):
        return (
            _endless(test, design.alpha) if test.measure.quantile is not None else unlikely(ALONE)
        )
    goal = design.goal(good=distance > 0)
    if row.differing is None and not test.measure.graded:
        z = NormalDist().inv_cdf(1 - design.alpha)
        found = settles(test.pair, value, interval, test.bound, goal, z)
        return unlikely(_near(test)) if found.text == UNLIKELY else found
    seen = Seen(test, row, value, goal.alpha, goal.power)
    if seen.distance <= max(seen.error, 1e-12):
        return unlikely(_near(test))
    if seen.total is None:
        return unlikely(NOBODY if test.pair.looks is None else NOBODY + BETTING)
    return takes(test.pair, seen.total, goal.what, PROVISO)


def _near(test: Test) -> str:
    return UNLIKELY if test.relative else UNLIKELY.replace("the margin", "the limit")


def _never(test: Test) -> str:
    """Why no number of cases lets a gate pass; "" where one may."""
    if test.relative:
        return "" if test.margin else "no number of cases shows a margin of nothing"
    ends = (1.0 if test.sign > 0 else 0.0) if test.measure.unit == "share" else math.nan
    if test.margin != ends:
        return ""
    return f"no number of cases shows a limit of {level(test.measure.unit, test.margin)}"


# --- an end that is a failed request ------------------------------------------------------------


def _facing(value: float, interval: Interval, bound: float) -> float:
    """The end of the interval that lies towards the bound."""
    return interval[1] if bound > value else interval[0]


def _endless(test: Test, alpha: float) -> More:
    """A percentile whose interval ends at requests that failed.

    Their share is smaller than what the percentile leaves out, so that with more cases the end is a
    time: as soon as the rank of that end is below theirs.
    """
    upper = test.bound > (test.compared(test.row(alpha))[0] or 0.0)
    arm = test.pair.candidate if upper or not test.relative else test.pair.incumbent
    times = arm.columns[test.measure.reads]
    failed, asked = int(np.isinf(times).sum()), int((~np.isnan(times)).sum())
    said = f"the interval has no end, since {missed(arm, test.measure.reads)}"
    q, tail = _percentile(test), alpha / (2 if test.relative else 1)
    units = None
    if test.pair.looks is None:
        start = independent(test) + 1
        units = fewest_of(lambda n: _ends(n, failed / asked, q, tail), start, MOST)
    if units is None:
        return unlikely(f"{said}: more cases do not settle it unless a smaller share of them fails")
    total = scaled(test.pair, units / independent(test))
    more = takes(
        test.pair, total, "give it one", ", if no larger share of the requests fails by then"
    )
    return More(more.cases, more.total, more.calls, more.money, f"{said}; {more.text}")


def _ends(n: int, failed: float, q: float, tail: float) -> bool:
    """Whether the upper end of a percentile's interval of n samples is none of those that failed:
    the binomial's quantile of 1 − tail, and one more, is a rank below theirs."""
    from scipy.special import bdtr

    rank = math.floor((1 - failed) * n) - 1
    return rank >= 0 and float(bdtr(float(rank), n, q)) >= 1 - tail


# --- an instrument that is too blunt ------------------------------------------------------------


def _sharper(test: Test, row: Row, design: Design) -> More | None:
    """How many more cases would make the instrument fine enough, and settle it where that is known:
    nobody wants to be sent back twice."""
    noise = test.row(design.alpha, noise=True)
    if noise.interval is None or not math.isfinite(noise.interval[1] - noise.interval[0]):
        return None
    if test.pair.looks is not None and noise.differing != 0:
        return unlikely(UNKNOWN_WHEN)
    sharp = takes(test.pair, _fine_enough(test, noise, design), proviso=PROVISO)
    then = _undecided(test, row, design)
    if sharp.total is None or then is None or then.total is None or then.total < sharp.total:
        return sharp
    return then


def _fine_enough(test: Test, noise: Row, design: Design) -> int:
    """After how many cases in all the incumbent is known as finely as the margin.

    A score interval's half-width is about √(z²·s²·n + z⁴) / (n + z²), s² the variance of one case;
    of what is no share, or where s² is not known, it narrows with the root of n.
    """
    wanted, n = test.margin, independent(test)
    alpha = design.alpha * (1 if test.pair.clusters is None else 1 - UNKNOWN)
    z2 = NormalDist().inv_cdf(1 - alpha) ** 2
    if test.pair.looks is not None:
        itself = replace(test, pair=test.pair.noise_pair())
        return Seen(itself, noise, 0.0, design.alpha, 0.5).total or MOST * 2
    needed, low, high = 0.0, *(noise.interval or (0.0, 0.0))
    if noise.error is not None:
        s2 = noise.error**2 * n
        root = math.sqrt(s2**2 + 4 * wanted**2 * max(1 - s2, 0.0))
        needed = z2 * (s2 + root) / (2 * wanted**2) - z2
    if test.pair.clusters is not None and 0 < wanted < 1:  # their intervals have a least width
        needed = max(needed, math.log(design.alpha) / math.log1p(-wanted))
    if needed <= n:
        needed = n * ((high - low) / (2 * wanted)) ** 2
    return scaled(test.pair, needed / n)


def independent(test: Test) -> int:
    """How many independent cases were measured; those of the arm that has fewer."""
    arms, name = (test.pair.incumbent, test.pair.candidate), test.measure.reads
    measured: list[Mask] = [np.any(~np.isnan(arm.columns[name]), axis=1) for arm in arms]
    return max(min(map(test.pair.independent, measured)), 1)


def fewest(test: Test) -> int:
    """The cases that a percentile's interval takes."""
    two_arms = 2 if test.relative else 1
    sequential = test.pair.looks is not None
    return fewest_samples(_percentile(test), 1 - 2 * test.alpha / two_arms, sequential=sequential)


def _percentile(test: Test) -> float:
    assert test.measure.quantile is not None
    return test.measure.quantile
