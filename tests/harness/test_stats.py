"""Intervals: published figures, exact coverage, the edges of their domain."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from exitdrill import stats
from exitdrill.stats import (
    TooFewSamples,
    mean_interval,
    percentile,
    percentile_interval,
    proportion_interval,
    tango_interval,
)

INF, NAN = math.inf, math.nan
Z95, Z90 = (float(scipy_stats.norm.ppf(each)) for each in (0.975, 0.95))


# --- Tango --------------------------------------------------------------------------------------


def test_tango_reproduces_the_published_example() -> None:
    low, high = tango_interval(1, 7, 21)
    assert (round(low, 4), round(high, 4)) == (-0.5172, -0.0260)


@pytest.mark.parametrize("n", [1, 2, 21, 480])
@pytest.mark.parametrize(("confidence", "z"), [(0.95, Z95), (0.9, Z90)])
def test_tango_at_its_edges_has_closed_forms(n: int, confidence: float, z: float) -> None:
    """Solved by hand: without discordant pairs z² = nΔ/(1−Δ); with all of them in one direction
    z² = n(1−Δ)/(1+Δ)."""
    none = z**2 / (n + z**2)
    all_one_way = (n - z**2) / (n + z**2)
    assert tango_interval(0, 0, n, confidence) == pytest.approx((-none, none), abs=1e-8)
    assert tango_interval(n, 0, n, confidence) == pytest.approx((all_one_way, 1), abs=1e-8)
    assert tango_interval(0, n, n, confidence) == pytest.approx((-1, -all_one_way), abs=1e-8)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_tango_holds_the_estimate_and_is_symmetrical(n: int) -> None:
    for b, c in product(range(n + 1), repeat=2):
        if b + c > n:
            continue
        low, high = tango_interval(b, c, n, 0.9)
        assert -1 <= low <= (b - c) / n <= high <= 1, (b, c)
        assert tango_interval(c, b, n, 0.9) == pytest.approx((-high, -low), abs=1e-8), (b, c)
        wide_low, wide_high = tango_interval(b, c, n, 0.99)
        assert wide_low <= low + 1e-9, (b, c)
        assert wide_high >= high - 1e-9, (b, c)


def test_tango_moves_with_its_counts_also_between_whole_ones() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        n = int(random.integers(2, 300))
        b, c = random.dirichlet([1, 1, 3])[:2] * (n - 1)
        low, high = tango_interval(b, c, n, 0.9)
        more_low, more_high = tango_interval(b + 0.5, c, n, 0.9)
        less_low, less_high = tango_interval(b, c + 0.5, n, 0.9)
        assert less_low <= low <= more_low, (b, c, n)
        assert less_high <= high <= more_high, (b, c, n)


def test_tango_bounds_solve_the_score_equation() -> None:
    """Restricted maximum likelihood found numerically, not by Tango's formula: at each bound the
    score statistic is the critical value."""
    n, b, c = 60, 4, 11

    def score(delta: float) -> float:
        p12 = np.linspace(max(0, delta), (1 + delta) / 2, 200_001)[1:-1]
        p21 = p12 - delta
        likelihood = b * np.log(p12) + c * np.log(p21) + (n - b - c) * np.log(1 - p12 - p21)
        q12, q21 = (each[likelihood.argmax()] for each in (p12, p21))
        return float((b - c - n * delta) / math.sqrt(n * (q12 + q21 - delta**2)))

    low, high = tango_interval(b, c, n, 0.9)
    assert score(low) == pytest.approx(Z90, abs=1e-3)
    assert score(high) == pytest.approx(-Z90, abs=1e-3)


@pytest.mark.parametrize("n", [10, 25])
def test_tango_covers_the_truth_about_as_often_as_it_says(n: int) -> None:
    """Exact coverage of the 90 % interval, by summing the trinomial distribution over a grid.

    A score interval is approximate: on average it must reach its 90 %, and nowhere fall far below
    (the worst of this grid are 0.882 and 0.880; a Wald interval falls to 0.50 there).
    """
    counts = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    intervals = np.array([tango_interval(b, c, n, 0.9) for b, c in counts])
    ways = np.array([(b, c, n - b - c) for b, c in counts])
    coverages = []
    for p12, p21 in product((0.02, 0.05, 0.1, 0.2, 0.3, 0.4), repeat=2):
        chance = scipy_stats.multinomial.pmf(ways, n, [p12, p21, 1 - p12 - p21])
        delta = p12 - p21
        coverages.append(chance[(intervals[:, 0] <= delta) & (delta <= intervals[:, 1])].sum())
    assert np.mean(coverages) >= 0.9
    assert min(coverages) >= 0.875


@pytest.mark.parametrize(("b", "c", "n"), [(1, 1, 0), (-1, 0, 5), (0, -0.1, 5), (3, 3, 5)])
def test_tango_refuses_counts_that_do_not_fit(b: float, c: float, n: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        tango_interval(b, c, n)


# --- percentiles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "q", "expected"),
    [
        ([3, 1, 2], 0.5, 2),
        ([4, 1, 3, 2], 0.5, 2),
        (range(1, 101), 0.95, 95),
        (range(1, 101), 0.99, 99),
        (range(1, 21), 0.95, 19),
        ([7], 0.95, 7),
        ([1] * 95 + [INF] * 5, 0.95, 1),
        ([1] * 94 + [INF] * 6, 0.95, INF),
        ([INF], 0.5, INF),
    ],
)
def test_percentile(samples: list[float], q: float, expected: float) -> None:
    assert percentile(samples, q) == expected


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(TooFewSamples):
        percentile([], 0.5)


def test_percentile_interval_has_the_published_ranks() -> None:
    samples = np.random.default_rng(2).permutation(np.arange(1, 201))
    assert percentile_interval(samples, 0.95) == (184, 197)


@pytest.mark.parametrize(
    ("q", "confidence", "needed"),
    [
        (0.95, 0.95, 72),
        (0.99, 0.95, 368),
        (0.95, 0.9, 59),  # the one-sided 95 % bound
        (0.99, 0.9, 299),
        (0.05, 0.95, 72),
    ],
)
def test_percentile_interval_is_refused_below(q: float, confidence: float, needed: int) -> None:
    low, high = percentile_interval(range(needed), q, confidence)
    assert low <= percentile(range(needed), q) <= high
    with pytest.raises(TooFewSamples, match=f"at least {needed} samples, has {needed - 1}") as few:
        percentile_interval(range(needed - 1), q, confidence)
    assert (few.value.needed, few.value.n) == (needed, needed - 1)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95])
def test_percentile_interval_covers_at_least_what_it_says(q: float) -> None:
    """Exact: ranks l and u hold the percentile with the chance that l ≤ Bin(n, q) < u."""
    for n in range(90, 400, 7):
        low, high = percentile_interval(range(1, n + 1), q)
        assert scipy_stats.binom.cdf(low - 1, n, q) <= 0.025, n
        assert scipy_stats.binom.sf(high - 1, n, q) <= 0.025 + 1e-12, n


def test_percentile_interval_of_repeats_is_that_of_their_cases() -> None:
    """Two repeats that say the same thing twice are no more information than one."""
    once = np.random.default_rng(3).exponential(size=200)
    twice = np.concatenate([once, once])
    expected = percentile_interval(once, 0.95)
    assert percentile_interval(twice, 0.95, independent=200) == expected
    narrow = percentile_interval(twice, 0.95)
    assert narrow[1] - narrow[0] < expected[1] - expected[0]
    with pytest.raises(TooFewSamples):
        percentile_interval(twice[:80], 0.95, independent=40)


def test_percentile_interval_ends_at_infinity_where_too_many_are_missing() -> None:
    assert percentile_interval([1] * 195 + [INF] * 5, 0.95) == (1, INF)
    assert percentile_interval([1] * 100 + [INF] * 100, 0.95) == (INF, INF)


# --- means and proportions ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_mean_interval_is_scipys(seed: int, confidence: float) -> None:
    values = np.random.default_rng(seed).normal(size=seed * 7 + 2)
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert mean_interval(values, confidence) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("values", [[], [1.0]])
def test_a_mean_of_fewer_than_two_has_no_interval(values: list[float]) -> None:
    with pytest.raises(TooFewSamples):
        mean_interval(values)


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (479, 480)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_proportion_interval_is_scipys(successes: int, n: int, confidence: float) -> None:
    expected = scipy_stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert proportion_interval(successes, n, confidence) == pytest.approx(tuple(expected))


def test_proportion_interval_rises_between_whole_successes() -> None:
    bounds = np.array([proportion_interval(each / 4, 12) for each in range(49)])
    assert (np.diff(bounds, axis=0) >= 0).all()


def test_a_proportion_of_nothing_is_refused() -> None:
    with pytest.raises(TooFewSamples):
        proportion_interval(0, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.tango_interval(1, 7, 21, NAN),
        lambda: stats.tango_interval(1, 7, math.inf),  # type: ignore[arg-type]  # that is asked
        lambda: stats.tango_interval(NAN, 7, 21),
        lambda: stats.exact_paired_p(NAN, 1, 10, -0.05),
        lambda: stats.exact_paired_p(1, 1, 10, -1),
        lambda: stats.percentile([1, NAN], 0.5),
        lambda: stats.percentile([1, 2], 1),
        lambda: stats.percentile_interval([*range(200), NAN], 0.5),
        lambda: stats.percentile_interval(range(200), 0.5, 2),
        lambda: stats.percentile_interval(range(200), 0.5, independent=201),
        lambda: stats.percentile_sequence([*range(200), NAN], 0.5),
        lambda: stats.fewest_samples(0.0),
        lambda: stats.fewest_samples(0.5, 1.0),
        lambda: stats.mean_interval([1, 2, 3], 1),
        lambda: stats.mean_interval([1, 2, 3], clusters=[1, 2]),
        lambda: stats.proportion_interval(5, 3),
        lambda: stats.proportion_interval(NAN, 3),
        lambda: stats.proportion_interval(1, NAN),
        lambda: stats.bootstrap_interval(np.ones((2, 5)), np.ones((2, 5)), 1),
        lambda: stats.e_process([NAN], 0.5),
        lambda: stats.e_process([-1], 0.5),
        lambda: stats.e_process([1], 0.5, stake=-1),
        lambda: stats.e_process([1], math.inf),
        lambda: stats.best_stake(0, 0.1),
        lambda: stats.best_stake(0.1, NAN),
        lambda: stats.fewest_bets(0.05, 0.05, 0),
        lambda: stats.largest_design_effect([0, 1, 1], [1, 1, 2], 0),
    ],
)
def test_what_is_out_of_range_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call()
