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

from exitdrill.measures.base import Looks, Pair
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


COARSER = 1.15
"""The exact test takes up to so many times the cases of the formula, where few differ."""


@pytest.mark.parametrize(
    ("n", "lost", "gained", "margin", "formula", "total"),
    [
        # s² = .1, no difference, 5 points: (1.645 + .842)² · .1 / .05² = 247.3
        (100, 5, 5, 0.05, 248, 274),
        # 2 points: 1,545.6
        (500, 25, 25, 0.02, 1546, 1573),
        # one point worse: s² = .1 − .01², 5 − 1 points to the margin: 6.1826 · .0999 / .04²
        (200, 11, 9, 0.05, 387, 414),
        # two points better, s² = .2 − .02²: … / .07²
        (100, 9, 11, 0.05, 252, 261),
        # 10 points worse where 4 are allowed: it would fail; 6.1826 · (.16 − .01) / .06²
        (100, 13, 3, 0.04, 258, 262),
    ],
)
def test_the_formula_on_worked_figures_and_what_the_exact_test_takes(
    n: int, lost: int, gained: int, margin: float, formula: int, total: int
) -> None:
    found = alone(successes(n, lost=lost, gained=gained), gate("success", margin=margin))
    assert found.total == pytest.approx(total, rel=0.02)
    assert found.cases == (found.total or 0) - n
    d0, spread = (gained - lost) / n, (gained + lost) / n - ((gained - lost) / n) ** 2
    assert formula == math.ceil((Z95 + Z80) ** 2 * spread / (margin + d0) ** 2)
    assert formula <= total <= COARSER * formula


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
    formula = math.ceil((Z95 + z) ** 2 * 0.1 / 0.05**2)
    assert formula == pytest.approx(total, abs=1)
    assert formula <= (more_of(found[0]).total or 0) <= COARSER * formula


def test_a_failure_among_several_gates_takes_more_by_holm() -> None:
    """One failure settles it, so that its power is the registered one; its error is α/k."""
    facts = late(successes(100, lost=13, gained=3))
    names = [gate("success", margin=0.04)]
    names += [gate("answered", margin=0.3) | {"name": str(number)} for number in range(3)]
    one, four = judge(names[:1], facts, ALPHA)[0], judge(names, facts, ALPHA)[0]
    z = NormalDist().inv_cdf(1 - ALPHA / 4)
    assert one.more is not None
    assert four.more is not None
    assert "show that it fails" in four.more.text
    formula = math.ceil((z + Z80) ** 2 * (0.16 - 0.1**2) / 0.06**2)
    assert formula <= (four.more.total or 0) <= COARSER * formula
    assert (four.more.total or 0) > 1.3 * (one.more.total or 0)


def test_a_candidate_among_several_takes_more() -> None:
    """Each is tested at α/k: (1.960 + .842)² · 40 = 313.9."""
    facts = late(successes(100, lost=5, gained=5))
    (found,) = judge([gate("success", margin=0.05)], facts, ALPHA / 2)
    assert 314 <= (more_of(found).total or 0) <= 1.15 * 314


def test_clusters_that_are_alike_take_as_many_times_more() -> None:
    """20 clusters of 8: 2 lost, 2 gained, whole. DEFF = 8, and a tenth of the error is for it."""
    kinds = np.zeros(20)
    kinds[:2], kinds[2:4] = 1, -1
    success = np.repeat(kinds, 8)[:, np.newaxis]
    facts = pair({"success": np.tile(success != -1, 2)}, {"success": np.tile(success != 1, 2)})
    facts = replace(facts, clusters=np.repeat(np.arange(20), 8))
    found = alone(facts, gate("success", margin=0.15))
    z = NormalDist().inv_cdf(1 - 0.9 * ALPHA)
    formula = math.ceil((z + Z80) ** 2 * 0.2 * 8 / 0.15**2)
    assert found.total is not None
    assert formula <= found.total <= 1.2 * formula
    assert found.cases is not None
    clusters = math.ceil(found.cases / 8)
    assert found.text.startswith(f"about {found.cases} more cases ({clusters} more clusters) would")


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


@pytest.mark.parametrize("n", [10, 30, 52, 58])
def test_where_nothing_differed_it_takes_what_is_rare_if_the_margin_were_true(n: int) -> None:
    """(1 − .05)ⁿ ≤ .05 from 59 cases on, also where the instrument is still too blunt."""
    found = alone(successes(n), gate("success", margin=0.05))
    assert found.total == 59
    noun = "case" if n == 58 else "cases"
    assert found.text.startswith(f"about {59 - n} more {noun} would show that it passes")
    for total, status in ((58, "open"), (59, "pass")):
        assert judged(successes(total), gate("success", margin=0.05))[0].status == status


@pytest.mark.parametrize(
    ("measure", "ours", "limit", "total"),
    [
        ("success", 1, 0.95, 59),
        ("success", 1, 0.99, 299),
        ("refused", 0, 0.05, 59),
        ("chrf", 1, 0.95, 59),
    ],
)
def test_a_limit_that_all_cases_keep_names_the_exact_number(
    measure: str, ours: float, limit: float, total: int
) -> None:
    def of(n: int) -> Pair:
        return pair({measure: np.full((n, 2), ours)}, {measure: np.full((n, 2), ours)})

    assert alone(of(50), gate(measure, limit=limit)).total == total
    for n, status in ((total - 1, "open"), (total, "pass")):
        assert judged(of(n), gate(measure, limit=limit))[0].status == status


@pytest.mark.parametrize(
    ("measure", "value", "bound", "said"),
    [
        ("success", 1, {"margin": 0}, "a margin of nothing"),
        ("success", 1, {"limit": 1}, "a limit of 100 %"),
        ("refused", 0, {"limit": 0}, "a limit of 0 %"),
    ],
)
def test_what_no_number_of_cases_shows_is_said(
    measure: str, value: float, bound: dict[str, float], said: str
) -> None:
    facts = pair({measure: np.full((50, 2), value)}, {measure: np.full((50, 2), value)})
    found = alone(facts, gate(measure, **bound))
    assert (found.cases, found.text) == (None, f"no number of cases shows {said}")


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
        (0.01, 0.02, "EUR", 175 * 2 * 0.03),
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
    assert (found.cases, found.calls) == (175, 175 * 4)
    if money is None:
        assert found.money is None
        assert found.text.endswith("(700 calls)")
    else:
        assert found.money == {"amount": pytest.approx(money), "currency": "EUR"}
    if money:
        assert found.text == (
            "about 175 more cases would show that it passes, if what was seen so far holds (700 "
            "calls, about 10.5 EUR)"
        )


def test_more_cases_of_an_app_are_runs_of_it() -> None:
    facts = priced(None, None)
    facts = replace(facts, candidate=replace(facts.candidate, runs_app=True))
    found = alone(facts, gate("success", margin=0.05))
    assert found.text.endswith("(700 runs of the app)")


def test_three_repeats_cost_three_calls() -> None:
    facts = successes(100, lost=5, gained=5, repeats=3)
    assert alone(facts, gate("success", margin=0.05)).calls == 175 * 6


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
def test_too_blunt_names_the_number_that_settles_it(n: int, flips: int, margin: float) -> None:
    """Not only one with which the instrument is fine enough: nobody wants to be sent twice."""
    (found,) = judged(noisy(n, flips), gate("success", margin=margin))
    assert found.cause == "too_blunt"
    total = more_of(found).total
    assert total is not None
    (after,) = judged(noisy(total, math.floor(total * flips / n)), gate("success", margin=margin))
    assert after.status == "pass"
    (before,) = judged(noisy(total // 8, total // 8 * flips // n), gate("success", margin=margin))
    assert before.status == "open"


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


# --- an end that is a failed request ------------------------------------------------------------


@pytest.mark.parametrize("bound", [{"margin": 4.0}, {"limit": 4.0}])
@pytest.mark.parametrize(("n", "missed"), [(200, 8), (400, 16)])
def test_an_interval_that_ends_at_a_failed_request_says_so(
    n: int, missed: int, bound: dict[str, float]
) -> None:
    def drawn(count: int) -> Pair:
        chance = np.random.default_rng(3)
        old, new = (np.exp(0.3 * chance.normal(size=(count, 2))) for _ in range(2))
        new[: count * missed // n] = np.inf
        return pair({"total": old}, {"total": new})

    (found,) = judged(drawn(n), gate("total_p95", **bound))
    said = more_of(found)
    assert (
        f"the interval has no end, since {2 * missed} of {2 * n} requests to new failed or came "
        "empty, which counts as infinitely late; about "
    ) in said.text
    assert "if no larger share of the requests fails by then" in said.text
    assert said.total is not None
    assert said.total > 1000
    (after,) = judged(drawn(round(1.02 * said.total)), gate("total_p95", **bound))
    assert after.status == "pass"


def test_one_cluster_alone_says_nothing_of_others() -> None:
    lengths = np.arange(40.0)[:, np.newaxis] + np.ones((1, 2))
    facts = pair({"length": lengths}, {"length": lengths + 1})
    facts = replace(facts, clusters=np.zeros(40, dtype=np.int64))
    for found in judged(facts, gate("length", margin=90), gate("length", limit=90)):
        assert found.status == "open"
        assert found.more is None or "one standard error" not in found.more.text


def test_near_a_limit_is_said_of_the_limit() -> None:
    found = alone(successes(50, lost=2), gate("success", limit=0.95))
    assert found.text == UNLIKELY.replace("the margin", "the limit")


# --- whether so many do -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [32, 64])
def test_of_a_drill_that_is_looked_at_it_is_what_the_bets_take(n: int) -> None:
    def of(count: int) -> Pair:
        return replace(successes(count), looks=Looks(32, 1, 0.1))

    for each in (gate("success", margin=0.05), gate("success", limit=0.95)):
        total = alone(of(n), each).total
        assert total is not None
        assert [judged(of(m), each)[0].status for m in (total - 1, total)] == ["open", "pass"]


def test_so_many_cases_settle_a_drill_that_is_looked_at() -> None:
    """Differing twice as often as the plan expects, whose stakes are bet."""
    chance = np.random.default_rng(4)

    def drawn(n: int, half: float) -> Pair:
        kinds = chance.choice([-1, 0, 1], p=[half, 1 - 2 * half, half], size=(n, 1))
        old, new = np.tile(kinds != 1, 2), np.tile(kinds != -1, 2)
        return replace(pair({"success": old}, {"success": new}), looks=Looks(32, 1, 0.1))

    kinds = chance.permutation(np.repeat([-1, 0, 1], [10, 80, 10]))
    old, new = (np.tile((kinds != side)[:, np.newaxis], 2) for side in (1, -1))
    seen = replace(pair({"success": old}, {"success": new}), looks=Looks(32, 1, 0.1))
    each = gate("success", margin=0.12)
    total = alone(seen, each).total
    assert total is not None
    found = [judged(drawn(total, 0.1), each)[0].status for _ in range(120)]
    assert 0.7 < np.mean([status == "pass" for status in found]) < 0.92


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
    """If what was seen is the truth. Where hardly any case differs, chances come in steps."""
    total = alone(successes(n, lost=lost, gained=gained), gate("success", margin=margin)).total
    assert total is not None
    random = np.random.default_rng(n + lost)
    chances = [gained / n, lost / n, 1 - (gained + lost) / n]
    drawn = random.multinomial(total, chances, size=400)
    power = np.mean([passes(int(b), int(c), total, margin) for b, c, _ in drawn])
    assert power > 0.8 - 0.07
    if lost + gained >= 10:
        assert power < 0.8 + 0.07
