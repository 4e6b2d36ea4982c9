"""The exact test of paired proportions, and the bootstrap of means."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from exitdrill.stats import (
    TooFewSamples,
    bootstrap_interval,
    exact_paired_p,
    mean_interval,
    tango_interval,
)
from exitdrill.stats.paired import _tango_z


def outcomes(n: int) -> list[tuple[int, int]]:
    """All discordant counts that n pairs can have."""
    return [(b, c) for b, c in product(range(n + 1), repeat=2) if b + c <= n]


def chance(b: int, c: int, n: int, p: float, q: float) -> float:
    """P(b, c) of a trinomial."""
    ways = math.factorial(n) // (math.factorial(b) * math.factorial(c) * math.factorial(n - b - c))
    return float(ways * p**b * q**c * max(1 - p - q, 0.0) ** (n - b - c))


@pytest.mark.parametrize(("n", "difference"), [(6, -0.3), (10, -0.2), (12, 0.1), (15, -0.05)])
def test_the_p_value_is_that_of_all_outcomes_summed_up(n: int, difference: float) -> None:
    shares = abs(difference) + (1 - abs(difference)) * np.linspace(0, 1, 40)
    for b, c in outcomes(n)[:: max(1, n // 3)]:
        z = _tango_z(b, c, n, difference)
        as_far = [each for each in outcomes(n) if _tango_z(*each, n, difference) >= z - 1e-9]
        worst = max(
            sum(chance(*each, n, (s + difference) / 2, (s - difference) / 2) for each in as_far)
            for s in shares
        )
        assert exact_paired_p(b, c, n, difference) == pytest.approx(worst, abs=0.003)


@pytest.mark.parametrize(("n", "margin"), [(10, 0.3), (20, 0.2), (30, 0.1), (40, 0.2)])
@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_a_test_at_alpha_errs_in_alpha_at_most_however_few_the_cases(
    n: int, margin: float, alpha: float
) -> None:
    refused = [each for each in outcomes(n) if exact_paired_p(*each, n, -margin) <= alpha]
    for share in np.linspace(margin, 1, 57):
        lost, gained = (share + margin) / 2, (share - margin) / 2
        error = sum(chance(*each, n, gained, lost) for each in refused)
        assert error <= alpha + 5e-4, share


def test_tango_alone_errs_more_often() -> None:
    """Why the exact test is needed: 20 cases, 7 points, all of them discordant."""
    n, margin = 20, 0.07
    passing = [each for each in outcomes(n) if tango_interval(*each, n, 0.9)[0] > -margin]
    error = sum(chance(*each, n, (1 - margin) / 2, (1 + margin) / 2) for each in passing)
    assert error > 0.07
    exact = [each for each in passing if exact_paired_p(*each, n, -margin) <= 0.05]
    assert sum(chance(*each, n, (1 - margin) / 2, (1 + margin) / 2) for each in exact) <= 0.05


def test_many_cases_come_near_to_the_normal_approximation() -> None:
    low, _ = tango_interval(2_400, 2_600, 50_000, 0.9)
    assert exact_paired_p(2_400, 2_600, 50_000, low) == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize(
    ("b", "c", "n", "difference"),
    [(-1, 0, 5, 0.1), (3, 3, 5, 0.1), (0, 0, 0, 0.1), (1, 1, math.inf, 0.1)],
)
def test_counts_that_do_not_fit(b: int, c: int, n: int, difference: float) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        exact_paired_p(b, c, n, difference)


# --- the bootstrap ------------------------------------------------------------------------------


def test_the_bootstrap_of_symmetrical_values_is_near_to_students_interval() -> None:
    gaps = np.random.default_rng(1).normal(0.1, 0.2, 200)
    parts, wholes = np.stack([np.zeros(200), gaps]), np.ones((2, 200))
    assert bootstrap_interval(parts, wholes, 0.9) == pytest.approx(
        mean_interval(gaps, 0.9), abs=0.002
    )


def test_the_bootstrap_leans_to_the_long_tail() -> None:
    gaps = np.where(np.arange(100) < 8, -1.0, 0.0)
    parts, wholes = np.stack([np.zeros(100), gaps]), np.ones((2, 100))
    low, high = bootstrap_interval(parts, wholes, 0.9)
    assert -0.08 - low > high + 0.08


def test_the_bootstrap_draws_clusters_and_is_the_same_each_time() -> None:
    """A ratio: both sides' sums of a cluster are drawn together."""
    chance = np.random.default_rng(2)
    wholes = chance.integers(1, 9, (1, 60)).astype(float).repeat(2, axis=0)
    parts = wholes * chance.uniform(0.5, 1, (2, 60))
    first = bootstrap_interval(parts, wholes, 0.9)
    assert first == bootstrap_interval(parts, wholes, 0.9)
    estimate = parts[1].sum() / wholes[1].sum() - parts[0].sum() / wholes[0].sum()
    assert first[0] < estimate < first[1]
    wider = bootstrap_interval(parts, wholes, 0.99)
    assert wider[0] < first[0] < first[1] < wider[1]


def test_one_cluster_is_too_few() -> None:
    with pytest.raises(TooFewSamples):
        bootstrap_interval(np.ones((2, 1)), np.ones((2, 1)))


def test_students_interval_of_clusters_is_that_of_their_sums() -> None:
    gaps = np.repeat([0.5, -0.5, 0.25, 0.0], 3)
    labels = np.repeat(np.arange(4), 3)
    assert mean_interval(gaps, 0.9, labels) == pytest.approx(mean_interval(gaps[::3], 0.9))
    assert mean_interval(gaps, 0.9, np.arange(12)) == pytest.approx(mean_interval(gaps, 0.9))
