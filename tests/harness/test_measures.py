"""Each measure's column on hand-made trials, each row on hand-made columns."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.harness.facts_of import BROKEN, INF, NAN, arm, call, pair, successes, view, width

from exitdrill.backend import Reply
from exitdrill.budget import reply_money
from exitdrill.checkers import Checker, CheckerProblem, exact
from exitdrill.measures import BY_NAME, MEASURES, gate_problem
from exitdrill.measures.base import Column, Pair, Row, TrialView
from exitdrill.scenario import GateSpec, PriceSpec
from exitdrill.stats import percentile_interval, proportion_interval, tango_interval

RIGHT: Checker = exact()
Columns = dict[str, list[list[float]]]


def problem(_: Reply, __: object) -> bool:
    """A checker that cannot judge."""
    raise CheckerProblem("no idea")


def value(measure: str, trial: TrialView) -> float:
    """What a measure's column says of a trial."""
    column: Column | None = BY_NAME[measure].column
    assert column is not None
    return column(trial)


def row(measure: str, facts: Pair) -> Row:
    """What a measure says of two arms."""
    return BY_NAME[measure].row(facts)


# --- columns: drift -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (view("yes", checker=RIGHT, expected="yes"), 1),
        (view(" yes\n", checker=RIGHT, expected="yes"), 1),
        (view("no", checker=RIGHT, expected="yes"), 0),
        (view("", checker=RIGHT, expected="yes"), 0),
        (view("yes", checker=RIGHT, expected="yes", failure=BROKEN), 0),  # said before it broke
        (view("", checker=problem, failure=BROKEN), 0),  # nobody has to judge an error
        (view("yes"), NAN),
        (view("yes", failure=BROKEN), NAN),
    ],
)
def test_success(trial: TrialView, expected: float) -> None:
    assert value("success", trial) == pytest.approx(expected, nan_ok=True)


def test_a_checker_that_cannot_judge_is_no_wrong_answer() -> None:
    with pytest.raises(CheckerProblem, match="no idea"):
        value("success", view("yes", checker=problem))


def test_answered() -> None:
    assert value("answered", view("")) == 1
    assert value("answered", view("half an ans", failure=BROKEN)) == 0


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (view("a", reference="a"), 1),
        (view("a", reference="A"), 0),
        (view("a", reference="a "), 0),
        (view("", reference=""), 1),
        (view("a"), NAN),
        (view("a", reference="a", failure=BROKEN), 0),
        (view("a", failure=BROKEN), NAN),
        (view(call("f", "{}", "id1"), reference=call("f", "{}", "id2")), 1),
        (view(call("f", "{}"), reference=call("g", "{}")), 0),
        (view(call("f", '{"x":1}'), reference=call("f", '{"x": 1}')), 0),  # to the letter
        (view(Reply(reasoning="so"), reference=Reply(reasoning="or so")), 1),
        (view(Reply(vectors=((1.0, 2.0),)), reference=Reply(vectors=((1.0, 2.5),))), 0),
    ],
)
def test_exact_agreement(trial: TrialView, expected: float) -> None:
    assert value("exact_agreement", trial) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1),
        ('{"a": 1, "b": 3}', '{"a": 1, "b": 2}', 0.5),
        ('{"a": 1}', '{"a": 1, "b": 2}', 2 / 3),
        ('{"a": 1, "b": 2, "c": 3, "d": 4}', '{"a": 1}', 2 / 5),
        ('{"a": -5}', '{"a": "-5"}', 0),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 3]}}', 0.5),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [2, 1]}}', 0),  # a list has an order
        ('{"a": {}, "b": 1}', '{"a": {}, "b": 2}', 0.5),  # what is empty is a leaf
        ('{"a": {}}', '{"a": []}', 0),
        ('{"a": {}}', '{"a": {"b": 1}}', 0),
        ("[]", "[]", 1),
        ('{"a": true}', '{"a": 1}', 0),
        ('{"a": false}', '{"a": 0}', 0),
        ('{"a": 1.0}', '{"a": 1}', 1),
        ('{"a": "1"}', '{"a": 1}', 0),
        ('{"a": null}', "{}", 0),
        ('{"a": [1, {"b": true}]}', '{"a": [1, {"b": 1}]}', 0.5),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1),
        ('{"a": 1}', '```\n{"a": 1}\n```', 1),
        ("{}", "{}", 1),
        ("no JSON", '{"a": 1}', 0),
        ('[{"a": 1}]', '{"a": 1}', 0),
        ('{"a": NaN}', '{"a": 1}', 0),
        ('{"a": 1}', "no JSON", NAN),
        ('{"a": 1}', "[1]", 0),
        ('Sure! {"a": 1}. Anything else?', '{"a": 1}', 1),  # its form is not its content
        ('{"a": 1}', 'A long story with a little JSON in it, {"a": 1}, is a text.', NAN),
    ],
)
def test_field_agreement(answer: str, reference: str, expected: float) -> None:
    trial = view(answer, reference=reference)
    assert value("field_agreement", trial) == pytest.approx(expected, nan_ok=True)


def test_field_agreement_of_an_error_is_none_and_without_reference_unknown() -> None:
    assert value("field_agreement", view('{"a": 1}', reference='{"a": 1}', failure=BROKEN)) == 0
    assert math.isnan(value("field_agreement", view('{"a": 1}')))


# --- columns: latency and cost ------------------------------------------------------------------

SECOND = 1_000_000_000


def timed(first: float | None, last: float | None, tokens: int | None, **more: Any) -> Reply:
    """A long reply with times in seconds."""
    at = [None if each is None else int(each * SECOND) for each in (first, last)]
    return Reply(
        first_at=at[0], last_at=at[1], input_tokens=5, output_tokens=tokens, text="x" * 400, **more
    )


@pytest.mark.parametrize(
    ("reply", "waited", "ttft", "tpot", "total"),
    [
        # The published example: TTFT .5 s, end to end 2.5 s, 101 tokens → 20 ms per token.
        (timed(0.5, 2.5, 101), 0, 0.5, 0.020, 2.5),
        (timed(0.5, 2.5, 101), 3, 3.5, 0.020, 5.5),  # retried: the user waited since the schedule
        (timed(0.5, 2.5, 2), 0, 0.5, 2.0, 2.5),
        (timed(0.5, 2.5, 1), 0, 0.5, NAN, 2.5),
        (timed(0.5, 2.5, 0), 0, 0.5, NAN, 2.5),
        (timed(0.5, 2.5, None), 0, 0.5, NAN, 2.5),
        (timed(0.5, 0.5, 101), 0, 0.5, NAN, 0.5),  # all at once: nobody saw it being generated
        (timed(0.5, 0.5009, 101), 0, 0.5, NAN, 0.5009),
        (timed(0.5, 0.502, 101), 0, 0.5, 0.00002, 0.502),
        (timed(0.5, 2.5, 404), 0, 0.5, 2 / 403, 2.5),  # a byte each, and marks
        (timed(0.5, 2.5, 405), 0, 0.5, NAN, 2.5),  # not all of them can have arrived
        (timed(None, 2.5, 5), 0, INF, INF, INF),  # an empty answer is not a fast one
        (timed(None, None, None), 0, INF, INF, INF),
    ],
)
def test_times(reply: Reply, waited: int, ttft: float, tpot: float, total: float) -> None:
    trial = view(reply, sent_ns=waited * SECOND)
    for column, expected in (("ttft", ttft), ("tpot", tpot), ("total", total)):
        for q in ("p50", "p95"):
            assert value(f"{column}_{q}", trial) == pytest.approx(expected, nan_ok=True), column


@pytest.mark.parametrize("column", ["ttft_p95", "tpot_p95", "total_p95"])
def test_a_failure_is_a_missed_deadline(column: str) -> None:
    assert value(column, view(timed(0.5, 2.5, 101), failure=BROKEN)) == INF


def test_the_queue_ends_where_the_backend_says_so() -> None:
    assert value("queued_p50", view(Reply(started_at=SECOND // 4), sent_ns=SECOND)) == 1.25
    assert math.isnan(value("queued_p50", view(timed(0.5, 2.5, 3))))


def test_usage_and_money() -> None:
    trial = view(Reply(input_tokens=12, output_tokens=0), money=0.25)
    columns = ("input_tokens", "output_tokens", "cost_per_1000")
    assert [value(column, trial) for column in columns] == [12, 0, 0.25]
    assert all(math.isnan(value(column, view("x"))) for column in columns)


PRICE = {"currency": "EUR", "date": "2026-11-01", "source": "a price list"}
PER_TOKEN = PRICE | {"input_per_million": 2, "output_per_million": 10}
PER_HOUR = PRICE | {"per_hour": 3.6, "utilisation": [1, 1]}


@pytest.mark.parametrize(
    ("price", "reply", "expected"),
    [
        (PER_TOKEN, Reply(input_tokens=1000, output_tokens=100), 0.003),
        (PER_TOKEN, Reply(input_tokens=1000, output_tokens=0), 0.002),
        (PER_TOKEN, Reply(input_tokens=1000, output_tokens=100, cached_tokens=600), 0.003),
        (
            PER_TOKEN | {"cached_per_million": 0.5},
            Reply(input_tokens=1000, output_tokens=100, cached_tokens=600),
            0.0021,
        ),
        (PER_TOKEN, Reply(text="no usage"), None),
        (PER_TOKEN, Reply(text="x", input_tokens=1000, output_tokens=0), None),  # that is none
        (PER_TOKEN, Reply(input_tokens=1000, output_tokens=1, usage_source="recounted"), None),
        (PER_HOUR, Reply(input_tokens=1000, output_tokens=100), None),
        (None, Reply(input_tokens=1000, output_tokens=100), None),
    ],
)
def test_the_price_table(
    price: dict[str, Any] | None, reply: Reply, expected: float | None
) -> None:
    spec = None if price is None else PriceSpec.model_validate(price)
    assert reply_money(reply, spec) == (None if expected is None else pytest.approx(expected))


# --- rows: shares -------------------------------------------------------------------------------


def test_a_share_is_compared_case_by_case() -> None:
    found = row("success", successes(21, lost=7, gained=1).at(0.95))
    assert found.incumbent == pytest.approx(20 / 21)
    assert found.candidate == pytest.approx(14 / 21)
    assert found.estimate == pytest.approx(-6 / 21)
    assert found.interval is not None
    assert [round(end, 4) for end in found.interval] == [-0.5172, -0.0260]  # Tango's example
    assert found.own == pytest.approx(proportion_interval(14, 21, 0.95))
    assert (found.n, found.noise) == (21, 0)
    assert "7 lost, 1 gained" in (found.note or "")


def test_repeats_are_averaged_into_the_counts() -> None:
    found = row(
        "success",
        pair(
            {"success": [[1, 1], [1, 1], [1, 0], [0, 0]]},
            {"success": [[0, 0], [1, 0], [1, 1], [0, 0]]},
        ),
    )
    assert found.interval == pytest.approx(tango_interval(0.5, 1.5, 4, 0.9))
    assert found.estimate == pytest.approx(-0.25)
    assert (found.n, found.noise) == (4, 0.25)


def test_what_was_not_measured_on_both_arms_does_not_count() -> None:
    found = row(
        "success",
        pair(
            {"success": [[1, 1], [1, NAN], [NAN, NAN], [0, 1]]},
            {"success": [[NAN, 0], [0, 1], [1, 1], [NAN, NAN]]},
        ),
    )
    assert (found.n, found.incumbent, found.candidate) == (2, 1, 0.25)  # cases 0 and 1
    assert found.estimate == -0.75


@pytest.mark.parametrize("measure", [each.name for each in MEASURES])
def test_nothing_measured_is_said_and_has_no_numbers(measure: str) -> None:
    nothing = row(measure, pair({"answered": [[1, 1]]}, {"answered": [[1, 1]]}))
    assert (nothing.estimate, nothing.interval) == (
        (0, nothing.interval) if measure == "answered" else (None, None)
    )
    if measure != "answered":
        assert (nothing.candidate, nothing.own, nothing.n) == (None, None, 0)
        assert (nothing.note or "").startswith("not measured")


def test_agreement_stands_beside_the_incumbents_disagreement_with_itself() -> None:
    """With two repeats each is compared with the other, so both columns are alike: the noise is
    how often they differ, not how these two figures do (which is never)."""
    found = row(
        "exact_agreement",
        pair(
            {"exact_agreement": [[1, 1], [1, 1], [0, 0], [1, 1]]},
            {"exact_agreement": [[1, 1], [0, 0], [0, 0], [1, 1]]},
        ),
    )
    assert (found.incumbent, found.candidate, found.noise) == (0.75, 0.5, 0.25)
    assert found.estimate == -0.25


def test_parts_of_an_answer_count_as_parts_of_a_case() -> None:
    found = row(
        "chrf",
        pair(
            {"chrf": np.ones((40, 2))},
            {"chrf": np.tile([0.75, 1.0], (40, 1))},
        ),
    )
    assert found.estimate == pytest.approx(-0.125)
    assert found.interval == pytest.approx(tango_interval(0, 5, 40, 0.9))


def test_no_difference_in_few_cases_is_no_certainty() -> None:
    """Student's interval would be empty here."""
    same = {"chrf": np.ones((5, 2))}
    assert width(row("chrf", pair(same, same)).interval) > 0.5


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_of_averages_is_never_too_narrow(seed: int) -> None:
    """Values between 0 and 1 vary less than 0 and 1 do, so Tango's interval holds them: it is
    never narrower than the interval of the case means by their own standard error."""
    random = np.random.default_rng(seed)
    old, new = random.beta(2, 1, (300, 3)), random.beta(2, 1.2, (300, 3))
    found = row("chrf", pair({"chrf": old}, {"chrf": new}))
    differences = (new - old).mean(axis=1)
    assert found.estimate == pytest.approx(differences.mean())
    assert width(found.interval) > 2 * 1.645 * differences.std(ddof=1) / math.sqrt(300)


# --- rows: pooled shares -------------------------------------------------------------------------


def fields(share: Any, counts: Any) -> dict[str, Any]:
    """An arm's F1 of each answer's fields, and how many there are."""
    return {"field_agreement": np.array(share, float), "field_count": np.array(counts, float)}


def test_fields_are_pooled_over_all_answers() -> None:
    """Micro-F1: two shared fields of four, and sixteen of sixteen."""
    found = row(
        "field_agreement",
        pair(
            fields([[1, 1], [1, 1]], [[4, 4], [16, 16]]),
            fields([[0.5, 0.5], [1, 1]], [[4, 4], [16, 16]]),
        ),
    )
    assert found.incumbent == 1
    assert found.candidate == pytest.approx(18 / 20)
    assert found.estimate == pytest.approx(-0.1)
    assert (found.n, found.noise) == (2, 0)
    assert "pooled over 40 fields of 2 cases" in (found.note or "")


def test_the_interval_of_a_pooled_share_is_the_linearised_one() -> None:
    """By hand: contributions (a_i − R·b_i) / mean(b), Student's interval of their mean."""
    random = np.random.default_rng(6)
    counts = random.integers(1, 30, (400, 1)).repeat(2, axis=1)
    shares = random.beta(3, 1, (400, 1)).repeat(2, axis=1)
    found = row("field_agreement", pair(fields(np.ones((400, 2)), counts), fields(shares, counts)))
    whole, part = 2 * counts[:, 0], 2 * counts[:, 0] * shares[:, 0]
    ratio = part.sum() / whole.sum()
    parts = (part - ratio * whole) / whole.mean()
    half = 1.6487 * parts.std(ddof=1) / 20  # t of 399 degrees at 95 %
    assert found.interval == pytest.approx((ratio - 1 - half, ratio - 1 + half), abs=1e-5)


def test_a_pooled_share_without_any_difference_is_no_certainty() -> None:
    same = fields(np.ones((50, 2)), np.full((50, 2), 8))
    found = row("field_agreement", pair(same, same))
    least = 1 - 0.05 ** (1 / 50)
    assert found.interval == pytest.approx((-least, least), abs=1e-4)
    assert found.own is not None
    assert found.own[0] == pytest.approx(0.05 ** (1 / 50), abs=1e-4)
    one = fields([[1, 1]], [[8, 8]])
    assert row("field_agreement", pair(one, one)).interval == (-1, 1)


def test_one_long_answer_weighs_what_it_says_but_is_one_case() -> None:
    """Nine tenths of all fields stand in a single answer: the interval is hardly of any use."""
    counts = np.full((50, 2), 2.0)
    counts[0] = 900
    found = row(
        "field_agreement", pair(fields(np.ones((50, 2)), counts), fields(np.ones((50, 2)), counts))
    )
    assert width(found.interval) > 1


def test_the_interval_of_a_pooled_share_holds_its_level() -> None:
    random = np.random.default_rng(7)
    missed = 0
    for _ in range(300):
        counts = random.integers(2, 12, (80, 1)).repeat(2, axis=1)
        broken = random.random((80, 1)) < 0.1  # a tenth of the answers shares no field
        shares = np.where(broken, 0.0, 1.0).repeat(2, axis=1)
        found = row(
            "field_agreement", pair(fields(np.ones((80, 2)), counts), fields(shares, counts))
        )
        assert found.interval is not None
        missed += not found.interval[0] <= -0.1 <= found.interval[1]
    assert missed <= 30 + 2.5 * math.sqrt(300 * 0.1 * 0.9)


def test_length_is_the_mean_over_cases() -> None:
    found = row("length", pair({"length": [[10, 20], [30, 30]]}, {"length": [[20, 20], [NAN, 50]]}))
    assert (found.incumbent, found.candidate, found.estimate) == (22.5, 35, 12.5)
    assert (found.n, found.noise) == (2, 5)


# --- rows: latency ------------------------------------------------------------------------------


def test_a_percentile_is_of_all_trials_and_its_interval_of_the_cases() -> None:
    random = np.random.default_rng(4)
    old, new = random.exponential(1, (120, 2)), random.exponential(2, (120, 2))
    found = row("total_p95", pair({"total": old}, {"total": new}))
    assert found.incumbent == np.sort(old.ravel())[227]
    assert found.candidate == np.sort(new.ravel())[227]
    assert found.n == 240
    ours = percentile_interval(old.ravel(), 0.95, 0.95, independent=120)
    theirs = percentile_interval(new.ravel(), 0.95, 0.95, independent=120)
    assert found.interval == pytest.approx((theirs[0] - ours[1], theirs[1] - ours[0]))
    assert found.own == percentile_interval(new.ravel(), 0.95, 0.9, independent=120)
    assert found.noise == pytest.approx(abs(np.sort(old[:, 0])[113] - np.sort(old[:, 1])[113]))
    assert "last event − scheduled send" in (found.note or "")


def test_a_percentile_where_too_many_failed_is_a_missed_deadline() -> None:
    times = np.ones((100, 2))
    some, many = times.copy(), times.copy()
    some[:5], many[:6] = INF, INF
    fine = row("ttft_p95", pair({"ttft": times}, {"ttft": some}))
    assert (fine.candidate, fine.estimate) == (1, 0)
    bad = row("ttft_p95", pair({"ttft": times}, {"ttft": many}))
    assert (bad.candidate, bad.estimate, bad.n) == (INF, None, 200)
    assert "12 of 200 of the candidate failed or came empty" in (bad.note or "")
    other = row("ttft_p95", pair({"ttft": many}, {"ttft": times}))
    assert (other.incumbent, other.estimate) == (INF, None)
    assert "12 of 200 of the incumbent failed" in (other.note or "")
    assert row("ttft_p50", pair({"ttft": times}, {"ttft": many})).candidate == 1


def test_an_arm_that_only_failed_missed_its_deadlines() -> None:
    never = np.full((100, 2), INF)
    for ours in (never, np.full((100, 2), NAN)):
        found = row("ttft_p95", pair({"ttft": ours}, {"ttft": never}))
        assert (found.candidate, found.estimate, found.interval) == (INF, None, None)
        assert "200 of 200 of the candidate failed or came empty" in (found.note or "")


def test_too_few_cases_have_a_percentile_but_no_interval() -> None:
    few = {"ttft": np.ones((71, 2))}
    found = row("ttft_p95", pair(few, few))
    assert (found.estimate, found.interval) == (0, None)
    assert "71 cases are too few, it takes 72" in (found.note or "")
    enough = {"ttft": np.ones((72, 2))}
    assert row("ttft_p95", pair(enough, enough)).interval == (0, 0)


def test_unmeasured_times_are_left_out() -> None:
    times = np.ones((80, 2))
    times[:4, 0] = NAN
    found = row("tpot_p50", pair({"tpot": times}, {"tpot": times}))
    assert (found.n, found.candidate) == (156, 1)


def test_the_interval_of_a_percentiles_difference_holds_its_level() -> None:
    """Repeats that are as alike as can be, equal arms: the 90 % interval misses the truth at most
    in 10 % of the drills (it is conservative: in far fewer)."""
    random = np.random.default_rng(5)
    missed = own_missed = 0
    truth = -math.log(0.05)
    for _ in range(400):
        old, new = (np.tile(random.exponential(1, (100, 1)), 2) for _ in range(2))
        found = row("total_p95", pair({"total": old}, {"total": new}))
        assert found.interval is not None
        assert found.own is not None
        missed += not found.interval[0] <= 0 <= found.interval[1]
        own_missed += not found.own[0] <= truth <= found.own[1]
    assert missed <= 40
    assert own_missed <= 40 + 2.5 * math.sqrt(400 * 0.1 * 0.9)


# --- rows: cost ---------------------------------------------------------------------------------


def costs(
    ours: dict[str, Any] | None,
    theirs: dict[str, Any] | None,
    money: tuple[float, float] = (0.001, 0.002),
) -> Pair:
    """Two arms of 3 x 2 trials at a price each."""
    old, new = (
        arm(name, {"money": np.full((3, 2), each)}, price=price, busy_answers=6, busy_seconds=12.0)
        for name, price, each in (("old", ours, money[0]), ("new", theirs, money[1]))
    )
    return Pair(old, new, 0.9)


def test_cost_per_token_is_the_mean_of_what_trials_cost() -> None:
    found = row("cost_per_1000", costs(PER_TOKEN, PER_TOKEN))
    assert found.incumbent == pytest.approx(1)
    assert found.candidate == pytest.approx(2)
    assert found.estimate == pytest.approx(1)
    assert (found.n, found.unit) == (6, "EUR/1000 requests")
    assert "a price list, 2026-11-01" in (found.note or "")


def test_cost_per_hour_is_shared_by_the_measured_throughput() -> None:
    """3.60 an hour at 6 answers in 12 s: 0.002 an answer."""
    found = row("cost_per_1000", costs(PER_TOKEN, PER_HOUR, (0.001, NAN)))
    assert found.candidate == pytest.approx(2)
    assert found.n == 6
    assert "3.6 EUR per hour at the measured 0.5 answers/s" in (found.note or "")


def test_failures_are_no_throughput() -> None:
    """Two of six answered in 12 s: the hour is shared by a third as many."""
    facts = costs(PER_HOUR, PER_HOUR)
    answered = np.array([[1.0, 1], [0, 0], [0, 0]])
    columns = {**facts.candidate.columns, "answered": answered}
    silent = replace(facts.candidate, columns=columns, busy_answers=2)
    found = row("cost_per_1000", replace(facts, candidate=silent))
    assert found.incumbent == pytest.approx(2)
    assert found.candidate == pytest.approx(6)
    assert found.n == 2
    assert "at the measured 0.167 answers/s" in (found.note or "")


@pytest.mark.parametrize("price", [PER_HOUR, PER_TOKEN])
def test_who_answered_nothing_has_no_cost(price: dict[str, Any]) -> None:
    facts = costs(price, price)
    columns = {**facts.candidate.columns, "answered": np.zeros((3, 2))}
    found = row(
        "cost_per_1000", replace(facts, candidate=replace(facts.candidate, columns=columns))
    )
    assert found.candidate is None
    assert found.note == "not measured: there was no answer"


def test_attempts_of_unknown_cost_are_left_out_and_counted() -> None:
    facts = costs(PER_TOKEN, PER_TOKEN)
    facts = replace(facts, candidate=replace(facts.candidate, unpriced=7))
    found = row("cost_per_1000", facts)
    assert found.candidate == pytest.approx(2)
    candidate, incumbent = (found.note or "").split("; incumbent")
    assert "; 7 failed attempts whose cost is not known are left out" in candidate
    assert "left out" not in incumbent


def test_currencies_are_not_subtracted() -> None:
    found = row("cost_per_1000", costs(PER_TOKEN | {"currency": "USD"}, PER_TOKEN))
    assert (found.incumbent, found.estimate) == (None, None)
    assert found.candidate == pytest.approx(2)
    assert found.unit == "EUR/1000 requests"
    assert "incumbent: 1 USD, which is not compared; price per token" in (found.note or "")


@pytest.mark.parametrize(
    ("price", "money", "why"),
    [
        (None, NAN, "the scenario gives no price"),
        (PER_TOKEN, NAN, "6 of 6 answers came without a reported usage"),
    ],
)
def test_an_unknown_cost_is_said(price: dict[str, Any] | None, money: float, why: str) -> None:
    found = row("cost_per_1000", costs(PER_TOKEN, price, (0.001, money)))
    assert (found.candidate, found.estimate) == (None, None)
    assert found.note == f"not measured: {why}"


def test_a_cost_is_not_guessed_from_some_of_the_answers() -> None:
    money = np.full((3, 2), 0.001)
    money[0, 0] = NAN
    answered = np.ones((3, 2))
    facts = pair({"money": money}, {"money": money, "answered": answered}, price=PER_TOKEN)
    why = "not measured: 1 of 6 answers came without a reported usage"
    assert row("cost_per_1000", facts).note == why
    answered[0, 0] = 0  # that one was an error: it has no usage to report
    facts = pair({"money": money}, {"money": money, "answered": answered}, price=PER_TOKEN)
    found = row("cost_per_1000", facts)
    assert found.candidate == pytest.approx(1)
    assert found.n == 5


def test_tokens_are_compared_case_by_case() -> None:
    ours: Columns = {
        "output_tokens": [[10, 12], [20, 20], [NAN, NAN]],
        "answered": [[1, 1], [1, 1], [0, 0]],
    }
    theirs: Columns = {
        "output_tokens": [[13, 13], [NAN, 26], [5, 5]],
        "answered": [[1, 1], [0, 1], [1, 1]],
    }
    found = row("output_tokens", pair(ours, theirs))
    assert (found.incumbent, found.candidate, found.estimate, found.n) == (15.5, 19.5, 4, 2)


# --- gates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"measure": "success", "margin": 0.1}, None),
        ({"measure": "success", "limit": 0.9}, None),
        ({"measure": "cost_per_1000", "limit": 1}, None),
        ({"measure": "sucess", "margin": 0.1}, "did you mean 'success'?"),
        ({"measure": "success", "margin": 5}, "is a share: write 0.05 for 5 points"),
        ({"measure": "success", "limit": 95}, "is a share: write 0.05 for 5 percent"),
        ({"measure": "cost_per_1000", "margin": 1}, "give it a limit, not a margin"),
        ({"measure": "lines", "margin": 1}, "give it a limit, not a margin"),
        ({"measure": "success", "margin": 1}, "cannot fail: no candidate can be worse by more"),
        ({"measure": "refused", "margin": 1}, "cannot fail: no candidate can be worse by more"),
        ({"measure": "chrf", "margin": 1}, "cannot fail: no candidate can be worse by more"),
        ({"measure": "judge_preference", "margin": 1}, "cannot fail: no candidate can be worse"),
        ({"measure": "success", "limit": 0}, "cannot fail: no candidate has less than 0 %"),
        ({"measure": "edit_similarity", "limit": 0}, "cannot fail: no candidate has less than 0 %"),
        ({"measure": "refused", "limit": 1}, "cannot fail: no candidate has more than 100 %"),
        ({"measure": "success", "margin": 0.99}, None),
        ({"measure": "success", "limit": 1}, None),
        ({"measure": "refused", "limit": 0}, None),
        ({"measure": "excess_drift", "limit": 0.1}, "no gate can be on it: it is a difference"),
        ({"measure": "length", "margin": 1}, None),
    ],
)
def test_gates_that_cannot_be_judged(spec: dict[str, Any], problem: str | None) -> None:
    found = gate_problem(GateSpec.model_validate(spec))
    assert found is None if problem is None else problem in (found or "")
