"""Clusters, and drift beyond noise: definitions, coverage, the edges of their domain."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats

from exitdrill.stats import (
    TooFewSamples,
    clustered_standard_error,
    design_effect,
    effective_size,
    energy_excess,
    mean_interval,
)

NAN = math.nan


# --- the standard error -------------------------------------------------------------------------


def _triple_sum(values: npt.NDArray[np.float64], labels: Sequence[Hashable]) -> float:
    centred = values - values.mean()
    total = sum(
        centred[i] * centred[j]
        for i in range(len(values))
        for j in range(len(values))
        if labels[i] == labels[j]
    )
    return math.sqrt(total) / len(values)


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_standard_error_is_the_triple_sum(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=40)
    labels = [("session", None, 3, "a")[each] for each in random.integers(0, 4, 40)]
    assert clustered_standard_error(values, labels) == pytest.approx(_triple_sum(values, labels))


def test_with_clusters_of_one_it_is_the_plain_standard_error() -> None:
    values = np.random.default_rng(10).normal(size=50)
    plain = float(values.std()) / math.sqrt(50)
    assert clustered_standard_error(values, range(50)) == pytest.approx(plain)


def test_by_hand() -> None:
    """Deviations ½, ½, −½, −½ in two clusters: totals 1 and −1, √2 / 4."""
    assert clustered_standard_error([1, 1, 0, 0], "aabb") == pytest.approx(math.sqrt(2) / 4)
    assert clustered_standard_error([1, 0, 1, 0], "aabb") == 0


def test_what_is_said_many_times_is_said_once() -> None:
    once = np.random.default_rng(11).normal(size=30)
    labels = np.tile(np.arange(30), 4)
    expected = clustered_standard_error(once, range(30))
    assert clustered_standard_error(np.tile(once, 4), labels) == pytest.approx(expected)
    assert design_effect(np.tile(once, 4), labels) == pytest.approx(4)


def test_it_covers_clustered_means() -> None:
    """60 clusters of five that are alike within: ± 1.96 of them hold the mean 95 % of the time, and
    of the plain ones far less often."""
    random = np.random.default_rng(12)
    labels = np.repeat(np.arange(60), 5)
    held = plain = 0
    for _ in range(600):
        values = random.normal(size=60)[labels] + 0.5 * random.normal(size=300)
        mean = abs(float(values.mean()))
        held += mean <= 1.96 * clustered_standard_error(values, labels)
        plain += mean <= 1.96 * clustered_standard_error(values, range(300))
    assert held / 600 == pytest.approx(0.945, abs=0.025)
    assert plain / 600 < 0.75


@pytest.mark.parametrize(("values", "labels"), [([], []), ([1.0], "a"), ([1.0, 0.0, 1.0], "aaa")])
def test_one_cluster_has_no_standard_error(values: list[float], labels: str) -> None:
    with pytest.raises(TooFewSamples, match="at least 2"):
        clustered_standard_error(values, labels)


@pytest.mark.parametrize(
    ("values", "labels", "said"),
    [([1, 2], "a", "2 values have 1 labels"), ([1, NAN], "ab", "finite")],
)
def test_what_does_not_fit_is_refused(values: list[float], labels: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        clustered_standard_error(values, labels)
    with pytest.raises(ValueError, match=said):
        design_effect(values, labels)


# --- the design effect --------------------------------------------------------------------------


def test_the_design_effect_is_the_ratio_of_variances() -> None:
    random = np.random.default_rng(13)
    labels = np.repeat(np.arange(40), 3)
    values = random.normal(size=40)[labels] + random.normal(size=120)
    ratio = clustered_standard_error(values, labels) / clustered_standard_error(values, range(120))
    assert design_effect(values, labels) == pytest.approx(ratio**2)
    assert design_effect(values, range(120)) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_design_effect_is_one_plus_icc(share: float) -> None:
    random = np.random.default_rng(14)
    labels = np.repeat(np.arange(5_000), 4)
    common = math.sqrt(share) * random.normal(size=5_000)[labels]
    values = common + math.sqrt(1 - share) * random.normal(size=20_000)
    assert design_effect(values, labels) == pytest.approx(1 + 3 * share, abs=0.1)


def test_it_is_never_below_one() -> None:
    assert design_effect([1, 0, 1, 0], "aabb") == 1


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        ([0, 0, 0, 0], "aabb", 2),
        ([0.1] * 6, "aaabbc", 14 / 6),
        ([0.3] * 3, "abc", 1),
        ([1, 0, 1], "aaa", 3),  # one cluster
        ([1], "a", 1),
    ],
)
def test_where_nothing_can_be_estimated_it_is_the_worst(
    values: list[float], labels: str, expected: float
) -> None:
    assert design_effect(values, labels) == pytest.approx(expected)


def test_nothing_has_no_design_effect() -> None:
    with pytest.raises(TooFewSamples):
        design_effect([], [])


# --- energy distance ----------------------------------------------------------------------------


def test_the_excess_of_a_discrete_distance_is_the_squared_difference() -> None:
    """All pairs of two known distributions, with 0 for the same answer and 1 for another."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    between, x, y = (1 - float(a @ b) for a, b in ((p, q), (p, p), (q, q)))
    estimate, _ = energy_excess([between] * 9, [x] * 9, [y] * 9)
    assert estimate == pytest.approx(float(((p - q) ** 2).sum()))


def test_it_is_students_interval_where_that_is_wider() -> None:
    random = np.random.default_rng(15)
    b, x, y = random.random((3, 400))
    estimate, interval = energy_excess(b, x, y, 0.9)
    assert estimate == pytest.approx(float((2 * b - x - y).mean()))
    assert interval == pytest.approx(mean_interval(2 * b - x - y, 0.9))
    labels = [f"session {each // 4}" for each in range(400)]
    _, (low, high) = energy_excess(b, x, y, 0.9, labels)
    error = clustered_standard_error(2 * b - x - y, labels) * math.sqrt(100 / 99)
    assert high - low == pytest.approx(2 * float(scipy_stats.t.ppf(0.95, 99)) * error)


@pytest.mark.parametrize(("n", "confidence"), [(2, 0.95), (50, 0.95), (1_000, 0.9)])
def test_where_no_case_differs_the_interval_is_not_empty(n: int, confidence: float) -> None:
    zero = np.zeros(n)
    estimate, (low, high) = energy_excess(zero, zero, zero, confidence)
    z2 = float(scipy_stats.norm.ppf((1 + confidence) / 2)) ** 2
    assert estimate == 0
    assert (low, high) == pytest.approx((-2 * z2 / (n + z2), 2 * z2 / (n + z2)))
    _, (few_low, few_high) = energy_excess(zero, zero, zero, confidence, np.arange(n) // (n // 2))
    assert few_high - few_low >= high - low


def test_it_is_clipped() -> None:
    estimate, (low, high) = energy_excess([1, 1, 1], [0, 0, 0], [0, 0, 0])
    assert (estimate, high) == (2, 2)
    assert -2 < low < 2
    estimate, (low, high) = energy_excess([0, 0], [1, 1], [1, 1])
    assert (estimate, low) == (-2, -2)


def test_cases_that_were_not_measured_are_left_out() -> None:
    random = np.random.default_rng(16)
    columns = random.random((3, 30))
    gaps = columns.copy()
    gaps[[0, 1, 2], [4, 9, 20]] = NAN
    measured = np.delete(np.arange(30), [4, 9, 20])
    labels = np.arange(30) // 3
    for clusters, left in ((None, None), (labels, labels[measured])):
        b, x, y = columns[:, measured]
        expected = energy_excess(b, x, y, clusters=left)
        found = energy_excess(gaps[0], gaps[1], gaps[2], clusters=clusters)
        assert found[0] == pytest.approx(expected[0])
        assert found[1] == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("column", "clusters"),
    [([], None), ([0.1], None), ([0.1, NAN], None), ([0.1, 0.2], "aa"), ([0.1, NAN], "ab")],
)
def test_fewer_than_two_clusters_are_refused(column: list[float], clusters: str | None) -> None:
    with pytest.raises(TooFewSamples, match="at least 2"):
        energy_excess(column, column, column, clusters=clusters)


@pytest.mark.parametrize(
    ("between", "clusters", "said"),
    [
        ([0.1], None, "distances of 1 cases"),
        ([0.1, 1.2], None, "between 0 and 1"),
        ([-0.1, 0.2], None, "between 0 and 1"),
        ([0.1, math.inf], None, "between 0 and 1"),
        ([0.1, 0.2], "abc", "distances of 3 cases"),
    ],
)
def test_distances_that_do_not_fit_are_refused(
    between: list[float], clusters: str | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        energy_excess(between, [0, 0], [0, 0], clusters=clusters)


def test_what_is_out_only_by_rounding_is_taken() -> None:
    rounded = [-1e-16, 1 + 1e-15]
    assert energy_excess(rounded, rounded, rounded)[0] == pytest.approx(0)


def _distances(
    random: np.random.Generator, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of cases that answer right with the chances p and q, two repeats a side."""
    a, b = (random.random((2, len(p))) < chance for chance in (p, q))
    across = np.mean([one != other for one in a for other in b], axis=0)
    return across, (a[0] != a[1]).astype(float), (b[0] != b[1]).astype(float)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_interval_covers_the_truth(size: int, shift: float) -> None:
    """Noisy sides, alike or shifted, in clusters that share their chances: Σ(p − q)² over right and
    wrong is 2·shift² for each case; shifts vary by cluster."""
    random = np.random.default_rng(17)
    held = 0
    for _ in range(500):
        labels = np.repeat(np.arange(60), size)
        p = random.uniform(0.4, 0.9, 60)[labels]
        q = p - shift * random.integers(0, 2, 60)[labels]
        b, x, y = _distances(random, p, q)
        _, (low, high) = energy_excess(b, x, y, clusters=labels)
        held += low <= shift**2 <= high  # half of the clusters have 2·shift²
    assert held / 500 >= 0.93


@pytest.mark.parametrize(
    ("sizes", "worth"), [([5, 5, 5], 3), ([1], 1), ([8, 1, 1], 100 / 66), ([100, 1], 1.02)]
)
def test_a_large_cluster_is_most_of_what_is_known(sizes: list[float], worth: float) -> None:
    assert effective_size(sizes) == pytest.approx(worth, rel=1e-3)
