"""Looking while it runs: e-processes, their published example, and their error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from exitdrill.stats import (
    Bets,
    TooFewSamples,
    best_stake,
    e_process,
    fewest_samples,
    percentile_sequence,
)

Array = npt.NDArray[np.float64]
MARGIN, DISCORDANT = 0.05, 0.1
STAKE = best_stake(MARGIN, DISCORDANT)


def paired(chance: np.random.Generator, n: int, difference: float) -> Array:
    """Differences of so many cases, a tenth of them discordant."""
    gained, lost = (DISCORDANT + difference) / 2, (DISCORDANT - difference) / 2
    drawn = chance.random(n)
    return np.where(drawn < gained, 1.0, np.where(drawn < gained + lost, -1.0, 0.0))


def test_the_example_of_the_literature_stops_as_soon() -> None:
    """Five points, a tenth discordant, truly equal: with stakes that adapt, 266 cases in the
    median. Stakes that are registered for just that take no more."""
    chance = np.random.default_rng(2010_09686)
    stops = []
    for _ in range(300):
        reached = e_process(paired(chance, 1_500, 0.0), -MARGIN, STAKE, -1.0) >= 1 / 0.05
        stops.append(int(np.argmax(reached)) + 1 if reached.any() else 1_500)
    assert 200 <= np.median(stops) <= 266


def test_at_the_margin_it_is_fooled_in_a_twentieth_at_most_however_often_one_looks() -> None:
    chance = np.random.default_rng(1)
    drills = 800
    fooled = sum(
        bool((e_process(paired(chance, 600, -MARGIN), -MARGIN, STAKE, -1.0) >= 20).any())
        for _ in range(drills)
    )
    assert fooled / drills <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / drills)


def test_a_bet_is_fair() -> None:
    """If the hypothesis is true the stake keeps its mean: over all outcomes of a few coins."""
    for n in (1, 2, 6):
        tosses = np.array(list(np.ndindex(*(2,) * n)), dtype=float)
        ends = [e_process(row, 0.5)[-1] for row in tosses]
        assert np.mean(ends) == pytest.approx(1)


@pytest.mark.parametrize("clusters", [None, 4])
def test_the_interval_holds_the_truth_at_all_looks(clusters: int | None) -> None:
    chance = np.random.default_rng(3)
    missed = 0
    for _ in range(250):
        values = paired(chance, 240, -0.03)
        labels = None
        if clusters:
            values = np.repeat(values[::clusters], clusters)
            labels = np.repeat(np.arange(240 // clusters), clusters)
        looks = [
            Bets.of(values[:n], -1, 1, _first(labels, n), clusters or 1) for n in (80, 160, 240)
        ]
        intervals = [each.interval(0.9, STAKE) for each in looks]
        missed += not all(low <= -0.03 <= high for low, high in intervals)
        widths = [high - low for low, high in intervals]
        assert widths == sorted(widths, reverse=True)
    assert missed / 250 <= 0.1 + 2.6 * math.sqrt(0.09 / 250)


def _first(labels: npt.NDArray[np.int64] | None, n: int) -> npt.NDArray[np.int64] | None:
    return None if labels is None else labels[:n]


def test_the_interval_is_where_the_bet_is_refused() -> None:
    values = paired(np.random.default_rng(5), 400, 0.0)
    bets = Bets.of(values, -1, 1)
    low, high = bets.interval(0.9, STAKE)
    for mean, side, refused in (
        (low - 1e-4, 1, True),
        (low + 1e-4, 1, False),
        (high + 1e-4, -1, True),
        (high - 1e-4, -1, False),
    ):
        assert (bets.evidence(mean, STAKE, side) >= math.log(20)) is refused
    process = e_process(values, low - 1e-4, STAKE, -1.0)
    assert bets.evidence(low - 1e-4, STAKE, 1) == pytest.approx(math.log(process.max()))


def test_few_values_say_nothing_and_none_are_an_error() -> None:
    low, high = Bets.of(np.zeros(1), -1, 1).interval(0.9, STAKE)
    assert low < -0.95
    assert high > 0.95
    with pytest.raises(TooFewSamples):
        Bets.of(np.zeros(0), -1, 1).interval(0.9)
    with pytest.raises(ValueError, match="no mean"):
        e_process([0.5], 0.0)


@pytest.mark.parametrize(("q", "confidence"), [(0.95, 0.9), (0.5, 0.9), (0.95, 0.99)])
def test_a_percentile_that_holds_at_all_looks(q: float, confidence: float) -> None:
    chance = np.random.default_rng(7)
    truth = -math.log(1 - q)
    missed = 0
    drills = 250
    for _ in range(drills):
        samples = chance.exponential(size=600)
        looks = [percentile_sequence(samples[:n], q, confidence) for n in (250, 400, 600)]
        missed += not all(low <= truth <= high for low, high in looks)
    tail = 1 - confidence
    assert missed / drills <= tail + 2.6 * math.sqrt(tail / drills)


def test_a_percentile_needs_more_samples_for_all_looks_than_for_one() -> None:
    many = fewest_samples(0.95, 0.9, sequential=True)
    assert many > fewest_samples(0.95, 0.9) == 59
    samples = np.arange(float(many))
    low, high = percentile_sequence(samples, 0.95, 0.9)
    assert low < high == many - 1
    with pytest.raises(TooFewSamples) as few:
        percentile_sequence(samples[:-1], 0.95, 0.9)
    assert (few.value.needed, few.value.n) == (many, many - 1)


def test_repeats_are_no_further_samples_of_a_percentile() -> None:
    samples = np.arange(200.0)
    assert percentile_sequence(np.repeat(samples, 3), 0.5, 0.9, independent=200) == pytest.approx(
        percentile_sequence(samples, 0.5, 0.9)
    )
