"""How many more cases would settle an open gate: by hand, and whether so many do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from tests.harness.facts_of import NAN, pair, successes
from tests.harness.test_verdict import PRICE, gate, judged, late, noisy, passes, waits

from exitdrill.measures.base import Pair
from exitdrill.stats import fewest_samples
from exitdrill.verdict import Gate, judge
from exitdrill.verdict.settling import MOST, More

Z95, Z80, Z90 = 1.6448536, 0.8416212, 1.2815516
ALPHA = 0.05
UNLIKELY = (
    "more cases are unlikely to settle it: the estimate lies within one standard error of the "
    "margin"
)


def more_of(found: Gate) -> More:
    """What an open gate says of more cases."""
    assert found.status == "open"
    assert found.more is not None
    assert found.reason.endswith("; " + found.more.text)
    return found.more


def alone(facts: Pair, each: Mapping[str, Any]) -> More:
    """The same, of the only gate."""
    return more_of(judged(facts, each)[0])


# --- the formula --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "lost", "gained", "margin", "total"),
    [
        # s² = .1, no difference, 5 points: (1.645 + .842)² · .1 / .05² = 247.3
        (100, 5, 5, 0.05, 248),
        # 2 points: 1,545.6
        (500, 25, 25, 0.02, 1546),
        # one point worse: s² = .1 − .01², 5 − 1 points to the margin: 6.1826 · .0999 / .04²
        (200, 11, 9, 0.05, 387),
        # two points better, s² = .2 − .02²: … / .07²
        (100, 9, 11, 0.05, 252),
        # 10 points worse where 4 are allowed: it would fail; 6.1826 · (.16 − .01) / .06²
        (100, 13, 3, 0.04, 258),
    ],
)
def test_the_formula_on_worked_figures(
    n: int, lost: int, gained: int, margin: float, total: int
) -> None:
    found = alone(successes(n, lost=lost, gained=gained), gate("success", margin=margin))
    assert (found.total, found.cases) == (total, total - n)
    d0, spread = (gained - lost) / n, (gained + lost) / n - ((gained - lost) / n) ** 2
    assert total == math.ceil((Z95 + Z80) ** 2 * spread / (margin + d0) ** 2)


@pytest.mark.parametrize(
    ("power", "gates", "total"),
    [
        (0.8, 1, 248),
        (0.9, 1, 343),  # (1.645 + 1.282)² · 40
        (0.8, 2, 343),  # each of two gates errs with half of .2
        (0.8, 4, 434),  # (1.645 + 1.645)² · 40 = 432.9: z(1 − .05) twice
    ],
)
def test_power_is_that_of_all_gates_together(power: float, gates: int, total: int) -> None:
    facts = late(successes(100, lost=5, gained=5))
    names = [gate("success", margin=0.05) | {"name": str(number)} for number in range(gates)]
    found = judge([*names, gate("lines", limit=9)], facts, ALPHA, power)  # a cap is no test
    z = NormalDist().inv_cdf(1 - (1 - power) / gates)
    assert more_of(found[0]).total == math.ceil((Z95 + z) ** 2 * 0.1 / 0.05**2)
    assert more_of(found[0]).total == pytest.approx(total, abs=1)


def test_a_candidate_among_several_takes_more() -> None:
    """Each is tested at α/k: (1.960 + .842)² · 40 = 313.9."""
    facts = late(successes(100, lost=5, gained=5))
    (found,) = judge([gate("success", margin=0.05)], facts, ALPHA / 2)
    assert more_of(found).total == 314


def test_clusters_that_are_alike_take_as_many_times_more() -> None:
    """20 clusters of 8: 2 lost, 2 gained, whole. DEFF = 8: eight times 10 % ... of 20 clusters."""
    kinds = np.zeros(20)
    kinds[:2], kinds[2:4] = 1, -1
    success = np.repeat(kinds, 8)[:, np.newaxis]
    facts = pair({"success": np.tile(success != -1, 2)}, {"success": np.tile(success != 1, 2)})
    facts = replace(facts, clusters=np.repeat(np.arange(20), 8))
    found = alone(facts, gate("success", margin=0.15))
    assert found.total == math.ceil((Z95 + Z80) ** 2 * 0.2 * 8 / 0.15**2)


@pytest.mark.parametrize(("lost", "gained", "margin"), [(10, 5, 0.06), (5, 5, 0.03), (13, 3, 0.1)])
def test_within_one_standard_error_more_are_unlikely_to_settle_it(
    lost: int, gained: int, margin: float
) -> None:
    error = math.sqrt(((lost + gained) / 100 - ((gained - lost) / 100) ** 2) / 100)
    facts = successes(100, lost=lost, gained=gained)
    for distance, unlikely in ((0.99 * error, True), (1.01 * error, False)):
        each = gate("success", margin=(lost - gained) / 100 + distance)
        found = alone(facts, each)
        assert (found.text == UNLIKELY) == unlikely
        assert (found.cases is None) == unlikely
    assert abs(margin - (lost - gained) / 100) < 2 * error


def test_no_number_of_cases_is_named_that_nobody_asks() -> None:
    facts = successes(250_000, lost=6_250, gained=6_250)
    found = alone(facts, gate("success", margin=0.00046))
    assert (found.cases, found.total, found.calls, found.money) == (None, None, None, None)
    assert found.text == "no number of cases that anybody asks would settle it"
    assert MOST == 1_000_000


@pytest.mark.parametrize(("n", "lost", "margin"), [(52, 0, 0.05), (55, 0, 0.05), (58, 0, 0.05)])
def test_where_nothing_differed_it_takes_what_is_rare_if_the_margin_were_true(
    n: int, lost: int, margin: float
) -> None:
    """(1 − .05)ⁿ ≤ .05 from 59 cases on; more, as long as the next one may well differ."""
    found = alone(successes(n, lost=lost), gate("success", margin=margin))
    assert found.total is not None
    assert 59 <= found.total < 200
    assert judged(successes(found.total), gate("success", margin=margin))[0].status == "pass"


# --- what they cost -----------------------------------------------------------------------------


def priced(old: float | None, new: float | None, currency: str = "EUR") -> Pair:
    """100 cases, asked twice; every call of an arm costs the same."""
    facts = successes(100, lost=5, gained=5)
    arms = []
    for one, each in ((facts.incumbent, old), (facts.candidate, new)):
        money = np.full((100, 2), NAN if each is None else each)
        price = (
            None if each is None else PRICE | {"currency": "EUR" if one.name == "old" else currency}
        )
        arms.append(replace(one, columns={**one.columns, "money": money}, price=price))
    return replace(facts, incumbent=arms[0], candidate=arms[1])


@pytest.mark.parametrize(
    ("old", "new", "currency", "money"),
    [
        (0.01, 0.02, "EUR", 148 * 2 * 0.03),
        (0.0, 0.0, "EUR", 0.0),
        (None, 0.02, "EUR", None),
        (0.01, None, "EUR", None),
        (0.01, 0.02, "USD", None),
        (NAN, 0.02, "EUR", None),  # a price by the hour
    ],
)
def test_more_cases_cost_calls_and_money(
    old: float | None, new: float | None, currency: str, money: float | None
) -> None:
    found = alone(priced(old, new, currency), gate("success", margin=0.05))
    assert (found.cases, found.calls) == (148, 148 * 4)
    if money is None:
        assert found.money is None
        assert found.text.endswith("(592 calls)")
    else:
        assert found.money == {"amount": pytest.approx(money), "currency": "EUR"}
    if money:
        assert found.text == (
            "about 148 more cases would show that it passes, if what was seen so far holds (592 "
            "calls, about 8.88 EUR)"
        )


def test_three_repeats_cost_three_calls() -> None:
    facts = successes(100, lost=5, gained=5, repeats=3)
    assert alone(facts, gate("success", margin=0.05)).calls == 148 * 6


# --- too few for a percentile, too blunt --------------------------------------------------------


@pytest.mark.parametrize("measure", ["total_p50", "total_p95", "total_p99"])
@pytest.mark.parametrize("bound", [{"margin": 5.0}, {"limit": 9.0}])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_too_few_for_a_percentile_name_the_exact_number(
    measure: str, bound: dict[str, float], alpha: float
) -> None:
    (found,) = judged(waits(1, 1, n=4), gate(measure, **bound), alpha=alpha)
    arms = 2 if "margin" in bound else 1
    needed = fewest_samples(float(f"0.{measure[-2:]}"), 1 - 2 * alpha / arms)
    assert found.cause == "too_few"
    assert more_of(found).total == needed
    assert f"4 cases are too few, it takes {needed}" in found.reason
    for n, status in ((needed - 1, "open"), (needed, "pass")):
        (after,) = judged(waits(1, 1, n=n), gate(measure, **bound), alpha=alpha)
        assert after.status == status


def test_too_few_clusters_for_a_percentile_are_reckoned_in_cases() -> None:
    """12 clusters of 10 cases, and 72 clusters are needed: 720 cases."""
    facts = replace(waits(1, 1, n=120), clusters=np.repeat(np.arange(12), 10))
    (found,) = judged(facts, gate("total_p95", margin=5))
    assert "12 independent clusters of cases are too few, it takes 72" in found.reason
    assert (more_of(found).total, more_of(found).cases) == (720, 600)


def test_cases_without_a_time_are_reckoned_with() -> None:
    """Half of the cases have no time on either arm: it takes twice as many."""
    times = np.ones((100, 2))
    times[:50] = NAN
    facts = pair({"tpot": times}, {"tpot": times})
    (found,) = judged(facts, gate("tpot_p95", margin=5))
    assert "50 cases are too few, it takes 72" in found.reason
    assert more_of(found).total == 144


@pytest.mark.parametrize(("n", "flips"), [(480, 60), (300, 20), (100, 20), (100, 2), (60, 3)])
@pytest.mark.parametrize("margin", [0.02, 0.03])
def test_too_blunt_names_the_number_after_which_it_is_not(
    n: int, flips: int, margin: float
) -> None:
    (found,) = judged(noisy(n, flips), gate("success", margin=margin))
    assert found.cause == "too_blunt"
    total = more_of(found).total
    assert total is not None
    after, before = (
        judged(noisy(each, rounded(each * flips / n)), gate("success", margin=margin))[0]
        for each, rounded in ((round(1.06 * total), math.floor), (round(0.85 * total), math.ceil))
    )
    assert after.cause != "too_blunt"
    assert before.cause == "too_blunt"


@pytest.mark.parametrize(("n", "margin"), [(10, 0.05), (20, 0.05), (30, 0.02), (100, 0.01)])
def test_too_blunt_without_any_noise_names_the_exact_number(n: int, margin: float) -> None:
    (found,) = judged(successes(n), gate("success", margin=margin))
    total = more_of(found).total
    assert total is not None
    causes = [
        judged(successes(e), gate("success", margin=margin))[0].cause for e in (total, total - 1)
    ]
    assert (causes[0] != "too_blunt", causes[1]) == (True, "too_blunt")


def test_too_blunt_for_times_is_reckoned_in_cases_not_in_trials() -> None:
    random = np.random.default_rng(5)

    def drawn(n: int) -> Pair:
        old, new = (random.gamma(4, 0.25, (n, 2)) for _ in range(2))
        return pair({"total": old}, {"total": new})

    (found,) = judged(drawn(150), gate("total_p50", margin=0.1))
    total = more_of(found).total
    assert found.cause == "too_blunt"
    assert total is not None
    causes = [
        judged(drawn(each), gate("total_p50", margin=0.1))[0].cause for each in (2 * total,) * 5
    ]
    assert "too_blunt" not in causes
    causes = [judged(drawn(total // 2), gate("total_p50", margin=0.1))[0].cause for _ in range(5)]
    assert set(causes) <= {"too_blunt", "fails_itself"}


# --- whether so many do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "lost", "gained", "margin"),
    [
        (100, 5, 5, 0.05),
        (200, 11, 9, 0.05),
        (100, 10, 10, 0.07),
        (60, 1, 0, 0.05),
        (55, 0, 0, 0.05),
        (60, 2, 2, 0.06),
        (80, 12, 8, 0.14),
    ],
)
def test_so_many_cases_settle_it_with_about_the_registered_power(
    n: int, lost: int, gained: int, margin: float
) -> None:
    """If what was seen is the truth. Where hardly any case differed, more often."""
    total = alone(successes(n, lost=lost, gained=gained), gate("success", margin=margin)).total
    assert total is not None
    random = np.random.default_rng(n + lost)
    chances = [gained / n, lost / n, 1 - (gained + lost) / n]
    drawn = random.multinomial(total, chances, size=400)
    power = np.mean([passes(int(b), int(c), total, margin) for b, c, _ in drawn])
    assert power > 0.8 - 0.07
    if lost + gained >= 10:
        assert power < 0.8 + 0.07
