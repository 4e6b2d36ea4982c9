"""The error of a gate at its margin: exact where counts are small, and with clusters of cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats
from tests.harness.facts_of import pair, successes, width
from tests.harness.test_verdict import gate, judged, late, statuses

from exitdrill.measures import BY_NAME
from exitdrill.measures.base import Pair, Row
from exitdrill.measures.intervals import least_width
from exitdrill.stats import mean_interval, tango_interval
from exitdrill.stats.means import resampled
from exitdrill.verdict import judge

ALPHA = 0.05
Numbers = npt.NDArray[np.float64]


def row_at(facts: Pair, margin: float, measure: str = "success") -> Row:
    """A measure's row with the interval that a gate of this margin is judged on."""
    return BY_NAME[measure].row(replace(facts, bound=-margin))


def low_of(facts: Pair, margin: float, measure: str = "success") -> float:
    """The lower end of that interval."""
    interval = row_at(facts, margin, measure).interval
    assert interval is not None
    return interval[0]


# --- exact where counts are small ---------------------------------------------------------------


def outcomes_that_pass(n: int, margin: float) -> list[tuple[int, int]]:
    """Of all (gained, lost) among n cases, those with which the gate passes."""
    return [
        (gained, lost)
        for gained in range(n + 1)
        for lost in range(n + 1 - gained)
        if low_of(successes(n, lost, gained, repeats=1), margin) > -margin
    ]


@pytest.mark.parametrize(
    ("n", "margin"), [(10, 0.3), (14, 0.2), (20, 0.1), (20, 0.25), (30, 0.1), (30, 0.3), (60, 0.05)]
)
def test_no_truth_at_the_margin_passes_more_often_than_it_may(n: int, margin: float) -> None:
    """The sum over all outcomes, at the worst share of discordant cases, and beyond the margin."""
    passing = outcomes_that_pass(n, margin)
    chances = []
    for loss in (margin, 1.1 * margin, 1.5 * margin):
        for discordant in np.linspace(loss, 1, 81):
            gained, lost = (discordant - loss) / 2, (discordant + loss) / 2
            each = scipy_stats.multinomial(n, [gained, lost, max(1 - gained - lost, 0)])
            counts = [(b, c, n - b - c) for b, c in passing]
            chances.append(float(each.pmf(counts).sum()) if counts else 0.0)
    assert max(chances) <= ALPHA + 1e-9
    if n >= 20 and margin >= 0.1:
        assert max(chances) > 0.02  # it is not safe by never passing


def test_tangos_interval_alone_would_pass_more_often() -> None:
    """52 cases without a difference: (1 − .05)^52 = 6.9 %. It takes 59."""
    assert tango_interval(0, 0, 52, 0.9)[0] > -0.05
    assert ALPHA < (1 - 0.05) ** 52
    lows = [low_of(successes(n, repeats=1), 0.05) for n in (52, 58, 59)]
    assert lows[:2] == [-0.05, -0.05]
    assert lows[2] > -0.05


# --- clusters -----------------------------------------------------------------------------------


def repeated(facts: Pair, times: int) -> Pair:
    """Each case so many times, as a cluster."""
    arms = []
    for one in (facts.incumbent, facts.candidate):
        columns = {name: np.repeat(column, times, axis=0) for name, column in one.columns.items()}
        arms.append(replace(one, columns=columns))
    labels = np.repeat(np.arange(len(facts.incumbent.columns["answered"])), times)
    return Pair(arms[0], arms[1], facts.confidence, labels)


@pytest.mark.parametrize(("n", "lost", "gained"), [(60, 6, 3), (60, 0, 0), (200, 30, 10)])
@pytest.mark.parametrize("size", [2, 8])
def test_whole_clusters_that_are_alike_are_so_many_single_cases(
    n: int, lost: int, gained: int, size: int
) -> None:
    single = successes(n, lost, gained, repeats=1)
    margin = 0.3
    found, alone = row_at(repeated(single, size), margin), row_at(single, margin)
    assert found.n == n * size
    assert found.estimate == pytest.approx(alone.estimate)
    least = 2 * least_width(n, 0.9)  # with hardly any difference, clusters may hide more
    assert width(found.interval) == pytest.approx(max(width(alone.interval), least), rel=0.08)
    assert width(found.interval) >= width(alone.interval)
    assert f"{n} effective cases in {n} clusters" in (found.note or "")


def test_clusters_of_one_are_no_clusters() -> None:
    facts = successes(100, 6, 3)
    labelled = replace(facts, clusters=np.arange(100))
    assert row_at(labelled, 0.2).interval == row_at(facts, 0.2).interval


def test_one_cluster_says_nothing() -> None:
    facts = replace(successes(100), clusters=np.zeros(100, dtype=np.int64))
    assert low_of(facts, 0.5) <= -0.5
    (found,) = judged(facts, gate("success", margin=0.5))
    assert found.status == "open"


def clustered(
    random: np.random.Generator, clusters: int, icc: float, discordant: float, margin: float
) -> Pair:
    """Clusters of 8 whose cases are alike (Dirichlet-multinomial: beta-binomial for each kind), the
    candidate worse by the margin in truth."""
    chances = np.array([(discordant - margin) / 2, (discordant + margin) / 2, 1 - discordant])
    if icc:
        weights = np.maximum(chances * (1 - icc) / icc, 1e-12)
        each = random.dirichlet(weights, clusters)
    else:
        each = np.tile(chances, (clusters, 1))
    ends = np.repeat(each.cumsum(axis=1), 8, axis=0)
    kinds = (random.random((clusters * 8, 1)) > ends).sum(axis=1)[:, np.newaxis]
    facts = pair({"success": kinds != 0}, {"success": kinds != 1})
    return replace(facts, clusters=np.repeat(np.arange(clusters), 8))


def most(chance: float, trials: int) -> float:
    """The chance and three standard errors of its simulation."""
    return chance + 3 * math.sqrt(chance * (1 - chance) / trials)


@pytest.mark.parametrize("icc", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("discordant", "margin"), [(0.2, 0.1), (0.3, 0.1)])
def test_clusters_at_the_margin_pass_in_a_twentieth(
    icc: float, discordant: float, margin: float
) -> None:
    random = np.random.default_rng([7, int(icc * 10), int(discordant * 10)])
    drills = 600
    lows = [low_of(clustered(random, 30, icc, discordant, margin), margin) for _ in range(drills)]
    assert sum(low > -margin for low in lows) / drills <= most(ALPHA, drills)


def test_without_their_clusters_they_would_pass_more_often() -> None:
    random = np.random.default_rng(9)
    passed = 0
    for _ in range(200):
        facts = replace(clustered(random, 30, 0.3, 0.2, 0.1), clusters=None)
        passed += low_of(facts, 0.1) > -0.1
    assert passed / 200 > 2 * ALPHA


def test_a_noisy_incumbent_at_the_margin_passes_in_a_twentieth() -> None:
    """Both arms sample, three times each; the candidate is ten points worse at every case."""
    random = np.random.default_rng(12)
    drills, passed = 300, 0
    for _ in range(drills):
        chances = random.uniform(0.3, 1, (100, 1))
        old = random.random((100, 3)) < chances
        new = random.random((100, 3)) < chances - 0.1
        facts = late(pair({"success": old}, {"success": new}))
        passed += judge([gate("success", margin=0.1)], facts, ALPHA)[0].status == "pass"
    assert passed / drills <= most(ALPHA, drills)


@pytest.mark.parametrize("largest", [8, 70, 420])
def test_one_large_cluster_is_no_many_independent_cases(largest: int) -> None:
    """79 clusters of 8 and a larger one; whole clusters take the same time. The interval of the
    median, at half the error on each side, misses it in a twentieth at most."""
    sizes = np.r_[np.full(79, 8), largest]
    labels = np.repeat(np.arange(80), sizes)
    random = np.random.default_rng(largest)
    drills, missed = 400, np.zeros(2)
    for _ in range(drills):
        times = random.random(80)[labels][:, np.newaxis]
        facts = replace(pair({"total": times}, {"total": times}), clusters=labels)
        own = BY_NAME["total_p50"].row(facts).own
        assert own is not None
        missed += own[1] < 0.5, own[0] > 0.5
    assert missed.max() / drills <= most(ALPHA, drills)


# --- means --------------------------------------------------------------------------------------


def graded(measure: str, n: int, size: int, seed: int) -> Pair:
    """Values between 0 and 1, in clusters of a size with a mean of their own."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n // size), size)
    shift = random.normal(0, 0.1, n // size)[labels]
    old, new = (np.clip(random.beta(8, 2, n) + each, 0, 1) for each in (0 * shift, shift))
    scale = 400 if measure == "length" else 1
    facts = pair({measure: scale * old[:, np.newaxis]}, {measure: scale * new[:, np.newaxis]})
    return replace(facts, clusters=labels) if size > 1 else facts


@pytest.mark.parametrize("measure", ["chrf", "edit_similarity", "length"])
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_bootstrap_is_never_narrower_than_students_interval(
    measure: str, size: int, seed: int
) -> None:
    facts = graded(measure, 60 * size, size, seed)
    gaps = (facts.candidate.columns[measure] - facts.incumbent.columns[measure])[:, 0]
    low, high = mean_interval(gaps, 0.9, facts.clusters)
    interval = row_at(facts, 0.1, measure).interval
    assert interval is not None
    assert interval[0] <= low + 1e-12
    assert interval[1] >= high - 1e-12
    arms = [arm.columns[measure].mean() for arm in (facts.incumbent, facts.candidate)]
    typical = float(np.mean(arms)) if measure == "length" else 1.0
    assert width(interval) < max(2 * (high - low), 2.001 * typical * least_width(60, 0.9))


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_pooled_shares_too(size: int, seed: int) -> None:
    facts = graded("field_agreement", 60, size, seed)
    decided, described = (
        row_at(facts, 0.1, "field_agreement"),
        BY_NAME["field_agreement"].row(facts),
    )
    assert decided.interval is not None
    assert described.interval is not None
    assert decided.interval[0] <= described.interval[0]
    assert decided.interval[1] >= described.interval[1]
    assert "bootstrap" in (decided.note or "")


@pytest.mark.parametrize("measure", ["chrf", "field_agreement"])
@pytest.mark.parametrize("n", [12, 40])
def test_graded_values_at_the_margin_pass_in_a_twentieth(measure: str, n: int) -> None:
    """Most cases are alike and a few lose much: what a plain interval of a mean is too bold for."""
    random = np.random.default_rng([5, n])
    drills, passed, margin = 150, 0, 0.1
    for _ in range(drills):
        lost = np.where(random.random(n) < 0.25, random.uniform(0.2, 0.6, n), 0.0)
        facts = pair({measure: np.ones((n, 1))}, {measure: (1 - lost)[:, np.newaxis]})
        passed += low_of(facts, margin, measure) > -margin
    assert passed / drills <= most(ALPHA, drills)


@pytest.mark.parametrize(("sessions", "size"), [(20, 40), (30, 15), (58, 20)])
@pytest.mark.parametrize("measure", ["success", "chrf"])
def test_sessions_that_are_lost_as_a_whole_are_reckoned_with(
    measure: str, sessions: int, size: int
) -> None:
    """A twentieth of them, and a little noise everywhere: how much clusters differ does not show it
    while none is lost, which is chance."""
    random = np.random.default_rng([8, sessions])
    drills, passed, margin, noise = 100, 0, 0.05, 0.03
    for _ in range(drills):
        labels = np.repeat(np.arange(sessions), size)
        old, new = (random.random((2, len(labels), 2)) >= noise).astype(float)
        new[(random.random(sessions) < margin / (1 - noise))[labels]] = 0
        facts = replace(pair({measure: old}, {measure: new}), clusters=labels)
        passed += low_of(facts, margin, measure) > -margin
    assert passed / drills <= most(ALPHA, drills)


def test_the_order_of_the_cases_decides_nothing() -> None:
    facts = graded("chrf", 60, 1, 3)
    turned = np.random.default_rng(1).permutation(60)
    arms = [
        replace(arm, columns={name: column[turned] for name, column in arm.columns.items()})
        for arm in (facts.incumbent, facts.candidate)
    ]
    other = Pair(arms[0], arms[1], facts.confidence)
    assert row_at(other, 0.1, "chrf").interval == row_at(facts, 0.1, "chrf").interval


def test_few_graded_values_that_differ_among_many_are_drawn_again() -> None:
    """Five of 2,500 cases are lost wholly: the mean is far from normal."""
    assert [resampled(5, 2_500), resampled(2_000, 2_500), resampled(2_000, 2_000)] == [1, 0, 1]
    lost = np.zeros(2_500)
    lost[:5] = 1
    facts = pair({"chrf": np.ones((2_500, 1))}, {"chrf": 1 - lost[:, np.newaxis]})
    found = row_at(facts, 0.1, "chrf")
    assert "bootstrap" in (found.note or "")
    assert found.interval is not None
    assert found.interval[0] < mean_interval(-lost, 0.9)[0] - 0.0001


def test_a_mean_of_lengths_is_drawn_again_too() -> None:
    """A twentieth of the answers is ten times as long."""
    random = np.random.default_rng(3)
    drills, passed = 150, 0
    for _ in range(drills):
        new = np.where(random.random((120, 1)) < 0.05, 1000.0, 100.0)
        facts = pair({"length": np.full((120, 1), 100.0)}, {"length": new})
        passed += statuses(judge([gate("length", margin=45)], facts, ALPHA)) == ["pass"]
    assert passed / drills <= most(ALPHA, drills)


@pytest.mark.parametrize(
    ("n", "repeats", "margin", "noise"), [(11, 20, 0.2, 0.01), (5, 20, 0.3, 0.02)]
)
def test_averages_over_repeats_keep_the_error_too(
    n: int, repeats: int, margin: float, noise: float
) -> None:
    random = np.random.default_rng(5)
    drills, passed = 400, 0
    for _ in range(drills):
        old = (random.random((n, repeats)) >= noise).astype(float)
        new = np.repeat(random.random((n, 1)) >= margin + noise, 2, axis=1).astype(float)
        facts = pair({"success": old}, {"success": new})
        passed += low_of(facts, margin) > -margin
    assert passed / drills <= most(ALPHA, drills)


# --- several gates, several candidates ----------------------------------------------------------


def test_several_gates_that_are_all_at_their_margins_hardly_ever_fail_by_chance() -> None:
    """Each would fail at 5 %; with Holm's correction any of the four does."""
    random = np.random.default_rng(21)
    names = ["success", "exact_agreement", "answered", "refused"]
    margins = dict(zip(names, (0.1, 0.1, 0.1, 0.1), strict=True))
    drills, failed = 200, 0
    for _ in range(drills):
        old, new = {}, {}
        for name in names:
            kinds = random.choice(3, size=(150, 1), p=[0.05, 0.15, 0.8])
            worse = BY_NAME[name].better == "higher"
            old[name], new[name] = kinds != (0 if worse else 1), kinds != (1 if worse else 0)
        facts = late(
            pair(
                {n: np.tile(c, 2) for n, c in old.items()},
                {n: np.tile(c, 2) for n, c in new.items()},
            )
        )
        gates = [gate(name, margin=margins[name]) for name in names]
        found = judge(gates, facts, ALPHA)
        failed += "fail" in statuses([each for each in found if each.cause != "no_answers"])
    assert failed / drills <= most(ALPHA, drills)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_one_of_several_candidates_at_the_margin_slips_through_in_a_twentieth(k: int) -> None:
    random = np.random.default_rng(k)
    drills, slipped = 120, 0
    for _ in range(drills):
        for _ in range(k):
            kinds = random.choice(3, size=(120, 1), p=[0.05, 0.15, 0.8])
            facts = replace(
                pair({"success": kinds != 0}, {"success": kinds != 1}),
                confidence=1 - 2 * ALPHA / k,
            )
            if low_of(facts, 0.1) > -0.1:
                slipped += 1
                break
    assert slipped / drills <= most(ALPHA, drills)
