"""Money and tokens: rows on hand-made arms, and the volume from which own hosting is cheaper."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.harness.facts_of import BROKEN, INF, NAN, arm, pair, view
from tests.harness.scenes import TOML, scene

from exitdrill.backend import MOST_TOKENS, Reply
from exitdrill.drillable import check
from exitdrill.measures import BY_NAME
from exitdrill.measures.base import ArmFacts, Pair, Row
from exitdrill.measures.volume import volume
from exitdrill.plan import make_plan
from exitdrill.scenario import PriceSpec, load
from exitdrill.verdict import judge

Json = dict[str, Any]


def row(measure: str, facts: Pair) -> Row:
    """What a measure says of two arms."""
    return BY_NAME[measure].row(facts)


def price(**how: Any) -> Json:
    """A price as it stands in a plan."""
    known = {"currency": "EUR", "date": "2026-11-01", "source": "a price list"}
    return PriceSpec.model_validate(known | how).model_dump(mode="json")


PER_TOKEN = price(input_per_million=1, output_per_million=1)
PER_HOUR = price(per_hour=3.6)
ALWAYS_BUSY = price(per_hour=3.6, utilisation=[1, 1])


def api(money: float, **more: Any) -> ArmFacts:
    """An arm that is paid by the token; each answer costs the same."""
    columns = {"money": np.full((4, 2), money)} | more.pop("columns", {})
    return arm("api", columns, **({"price": PER_TOKEN} | more))


def own(rate: float, **more: Any) -> ArmFacts:
    """An arm that is paid by the hour, with so many answers per second."""
    columns = {"money": np.full((4, 2), NAN)} | more.pop("columns", {})
    busy = {"busy_answers": 8, "busy_seconds": 8 / rate}
    return arm("own", columns, **({"price": PER_HOUR} | busy | more))


# --- money --------------------------------------------------------------------------------------


def test_a_request_a_thousand_and_a_right_answer() -> None:
    """0.002 each by the token; 3.60 an hour at two a second are 0.0005; half of them are right."""
    half = {"columns": {"success": np.array([[1.0, 0]] * 4)}}
    facts = Pair(api(0.002, **half), own(2.0, price=ALWAYS_BUSY, **half), 0.9)
    for measure, ours, theirs, unit in (
        ("cost_per_request", 0.002, 0.0005, "EUR/request"),
        ("cost_per_1000", 2.0, 0.5, "EUR/1000 requests"),
        ("cost_per_right_answer", 0.004, 0.001, "EUR/right answer"),
    ):
        found = row(measure, facts)
        assert found.incumbent == pytest.approx(ours)
        assert found.candidate == pytest.approx(theirs)
        assert found.estimate == pytest.approx(theirs - ours)
        assert (found.unit, found.n, found.interval) == (unit, 8, None)
    assert "cost of all answers / right answers" in (row("cost_per_right_answer", facts).note or "")


def test_a_server_that_waits_for_work_is_paid_all_the_same() -> None:
    """The middle of 30 to 80 %; what the break-even reckons with, the cost per request does too."""
    facts = Pair(api(0.002), own(2.0), 0.9)
    found = row("cost_per_request", facts)
    assert found.candidate == pytest.approx(3.6 / 3600 / 2 / 0.55)
    assert "2 answers/s (1 at once), 55 % of the time at work" in (found.note or "")
    told = volume(facts)
    assert told is not None
    own_cost = told["candidate"]
    full = own_cost["fixed_per_month"] / own_cost["capacity_per_month"]
    assert found.candidate == pytest.approx(full)


def test_errors_are_paid_by_the_right_answers() -> None:
    """Two of eight failed, and took their time; three of the six are right."""
    answered = np.array([[1.0, 1], [1, 1], [1, 1], [0, 0]])
    right = np.array([[1.0, 1], [1, 0], [0, 0], [0, 0]])
    columns = {"columns": {"answered": answered, "success": right}}
    theirs = own(2.0, price=ALWAYS_BUSY, **columns, busy_answers=6)  # 6 in 4 s
    found = row("cost_per_right_answer", Pair(api(0.002, **columns), theirs, 0.9))
    assert found.candidate == pytest.approx(3.6 / 3600 * 4 / 3)
    assert found.n == 6


@pytest.mark.parametrize(
    ("success", "why"),
    [
        (np.zeros((4, 2)), "no answer was right"),
        (np.full((4, 2), NAN), "8 of 8 answers could not be judged"),
        (np.array([[1, 1], [1, 1], [1, 1], [1, NAN]]), "1 of 8 answers could not be judged"),
    ],
)
@pytest.mark.parametrize("made", [api, own])
def test_a_cost_per_right_answer_that_is_not_known(made: Any, success: Any, why: str) -> None:
    theirs = made(0.5, columns={"success": success})
    found = row("cost_per_right_answer", Pair(api(0.1), theirs, 0.9))
    assert (found.candidate, found.estimate, found.n) == (None, None, 0)
    assert found.note == f"not measured: {why}"
    assert row("cost_per_request", Pair(api(0.1), theirs, 0.9)).candidate is not None


def test_replayed_answers_are_no_throughput_and_cost_their_tokens() -> None:
    some = {"columns": {"replayed": np.array([[1.0, 1], [0, 0], [0, 0], [0, 0]])}}
    found = row("cost_per_request", Pair(api(0.1, **some), own(2.0, **some), 0.9))
    assert found.candidate is None
    assert found.note == (
        "not measured: 2 answers came from a cache or a recording, which is no throughput"
    )
    found = row("cost_per_request", Pair(api(0.1), api(0.2, **some), 0.9))
    assert found.candidate == pytest.approx(0.2)
    assert "2 answers came from a cache or a recording, priced as if made now" in (found.note or "")


def test_why_the_incumbent_has_no_cost_is_said() -> None:
    found = row("cost_per_request", Pair(api(NAN), own(2.0), 0.9))
    assert (found.incumbent, found.estimate) == (None, None)
    assert "incumbent: 8 of 8 answers came without a reported usage" in (found.note or "")


def test_what_is_only_counted_has_no_price() -> None:
    """A tokenizer's file knows neither the template nor what stayed hidden."""
    counted = {"columns": {"counted_output_tokens": np.full((4, 2), 5.0)}}
    found = row("cost_per_1000", Pair(api(0.1), api(NAN, **counted), 0.9))
    assert (found.candidate, found.estimate) == (None, None)
    assert (found.note or "").startswith(
        "not measured: 8 of 8 answers came without a reported usage, and what is counted with its "
        "own tokenizer is less than what is billed"
    )


def test_nothing_is_no_answer_that_an_hour_is_shared_by() -> None:
    """Two of eight came without any content: 6 in 4 s, all of them right."""
    times = np.ones((4, 2))
    times[0] = INF
    columns = {"columns": {"ttft": times, "success": np.where(np.isinf(times), 0.0, 1.0)}}
    theirs = own(2.0, price=ALWAYS_BUSY, **columns, busy_answers=6)
    for measure in ("cost_per_request", "cost_per_right_answer"):
        found = row(measure, Pair(api(0.002), theirs, 0.9))
        assert found.candidate == pytest.approx(3.6 / 3600 * 4 / 6)
        assert found.n == 6
        assert "2 answers without any content left out" in (found.note or "")
    silent = own(2.0, columns={"ttft": np.full((4, 2), INF)}, busy_answers=0)
    assert row("cost_per_request", Pair(api(0.002), silent, 0.9)).note == (
        "not measured: there was no answer"
    )


def test_open_arrivals_do_not_show_what_a_server_can_do() -> None:
    facts = Pair(api(0.1), replace(own(10.5), arrivals="open"), 0.9)
    found = row("cost_per_request", facts)
    assert found.candidate is None
    assert "with open arrivals it is not known what the server can do" in (found.note or "")
    told = volume(facts)
    assert told is not None
    assert told["candidate"]["capacity_per_month"] is None
    assert told["break_even"]["expected"] is None
    assert told["break_even"]["text"].startswith("not known: own: with open arrivals")
    assert "10.5 answers/s" not in told["note"]


def test_how_many_at_once_stands_with_the_capacity() -> None:
    facts = Pair(api(0.1), replace(own(2.0), concurrency=12), 0.9)
    assert "2 answers/s (12 at once)" in (row("cost_per_request", facts).note or "")
    told = volume(facts)
    assert told is not None
    assert "2 answers/s (as measured, 12 at once)" in told["note"]


# --- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "used", "counted"),
    [
        (Reply(input_tokens=9, output_tokens=4, usage_source="reported"), (9, 4), (NAN, NAN)),
        (
            Reply(
                input_tokens=9,
                output_tokens=4,
                usage_source="recounted",
                recounted_input_tokens=9,
                recounted_output_tokens=4,
            ),
            (NAN, NAN),  # what is counted is less than what is billed
            (9, 4),
        ),
        (
            Reply(
                input_tokens=MOST_TOKENS,
                output_tokens=0,
                usage_source="reported",
                recounted_input_tokens=7,
                recounted_output_tokens=4,
            ),
            (MOST_TOKENS, 0),
            (7, 4),
        ),
        (
            Reply(text="so much", input_tokens=9, output_tokens=0, usage_source="reported"),
            (NAN, NAN),  # that is no usage
            (NAN, NAN),
        ),
        (Reply(), (NAN, NAN), (NAN, NAN)),
    ],
)
def test_both_counts_stand_beside_each_other(
    reply: Reply, used: tuple[float, float], counted: tuple[float, float]
) -> None:
    columns = {**BY_NAME["input_tokens"].columns, **BY_NAME["counted_output_tokens"].columns}
    values = {name: column(view(reply)) for name, column in columns.items()}
    assert [values[f"{name}_tokens"] for name in ("input", "output")] == pytest.approx(
        used, nan_ok=True
    )
    assert [values[f"counted_{name}_tokens"] for name in ("input", "output")] == pytest.approx(
        counted, nan_ok=True
    )
    of_an_error = [column(view(reply, failure=BROKEN)) for column in columns.values()]
    assert np.isnan(of_an_error).all()


def usage(reported: Any, counted: Any) -> Json:
    """The columns of both counts of output tokens."""
    columns = {"output_tokens": np.array(reported, float)}
    columns["counted_output_tokens"] = np.array(counted, float)
    return columns


@pytest.mark.parametrize(
    ("reported", "counted", "told"),
    [
        (134, 100, "it reports 1.34 times what its own tokenizer counts"),
        (110, 100, None),
        (111, 100, "1.11 times"),
        (90, 100, None),
        (50, 100, "0.5 times"),
        (0, 100, "0 times"),
        (MOST_TOKENS, 1, "1,000,000,000 times"),
        (0, 0, None),
        (5, 0, "it reports tokens where its own tokenizer counts none"),
        (100, NAN, None),
    ],
)
def test_a_bill_that_differs_from_the_own_count_is_said(
    reported: float, counted: float, told: str | None
) -> None:
    facts = pair(
        usage([[100.0, 100]], [[100.0, 100]]), usage([[reported] * 2] * 3, [[counted] * 2] * 3)
    )
    for measure in ("output_tokens", "counted_output_tokens"):
        note = row(measure, replace(facts, incumbent=facts.candidate)).note or ""
        assert ("reports" in note) == (told is not None), note
        assert told is None or told in note.partition("candidate: ")[2]


@pytest.mark.parametrize("measure", ["output_tokens", "counted_output_tokens"])
@pytest.mark.parametrize("partly", ["incumbent", "candidate"])
def test_a_mean_is_not_made_of_a_handful_of_answers(measure: str, partly: str) -> None:
    some = np.full((25, 2), NAN)
    some[0, 0] = 3
    whole, part = usage(np.full((25, 2), 5), np.full((25, 2), 5)), usage(some, some)
    found = row(measure, pair(part, whole) if partly == "incumbent" else pair(whole, part))
    assert getattr(found, partly) is None
    assert found.estimate is None
    assert f"{partly}: 49 of 50 answers came without a" in (found.note or "")
    answered = np.where(np.isnan(some), 0.0, 1.0)  # the others are errors: they have no tokens
    found = row(measure, pair(whole, part | {"answered": answered}))
    assert (found.candidate, found.n) == (3, 1)


def test_a_cap_on_tokens_does_not_pass_on_a_handful_of_answers() -> None:
    some = np.full((25, 2), NAN)
    some[0, 0] = 3
    whole = usage(np.full((25, 2), 5), np.full((25, 2), NAN))
    spec = {"name": "short", "measure": "output_tokens", "margin": None, "limit": 10}
    (gate,) = judge([spec], pair(whole, usage(some, some)), 0.05, 50)
    assert (gate.status, gate.estimate) == ("open", None)
    assert "49 of 50 answers came without a reported usage" in gate.reason
    (gate,) = judge([spec], pair(whole, whole), 0.05, 50)
    assert gate.status == "pass"


def test_a_count_of_one_arm_is_shown_alone() -> None:
    none = usage([[10.0, 10]], [[NAN, NAN]])
    some = usage([[12.0, 12]], [[8.0, 10]])
    found = row("counted_output_tokens", pair(none, some))
    assert (found.incumbent, found.candidate, found.estimate, found.n) == (None, 9, None, 1)
    assert (found.note or "").startswith("no case has a count on both arms: incumbent: 2 of 2")
    found = row("counted_output_tokens", pair(some, none))
    assert (found.incumbent, found.candidate) == (9, None)
    assert (found.note or "").startswith("not measured: candidate: 2 of 2 answers came without")


# --- volume -------------------------------------------------------------------------------------


def test_the_break_even_by_hand() -> None:
    """Own hosting: 0.10 an hour are 73 a month. The API: 0.0001 a request. 730,000 requests.

    One server takes 10 answers/s, which are 26.28 million a month, 14.454 million at 55 %.
    """
    facts = Pair(api(0.0001), own(10.0, price=price(per_hour=0.1)), 0.9)
    found = volume(facts)
    assert found is not None
    json.dumps(found, allow_nan=False)
    assert found["currency"] == "EUR"
    assert found["incumbent"] == {
        "per_request": pytest.approx(0.0001),
        "fixed_per_month": 0,
        "capacity_per_month": None,
        "band": {"price": [0.75, 1.25], "utilisation": None},
    }
    assert found["candidate"] == {
        "per_request": 0,
        "fixed_per_month": pytest.approx(73),
        "capacity_per_month": pytest.approx(14_454_000),
        "band": {"price": [0.75, 1.25], "utilisation": [0.3, 0.8]},
    }
    even = found["break_even"]
    assert even["expected"] == pytest.approx(730_000)
    assert even["low"] == pytest.approx(730_000 * 0.75 / 1.25)
    assert even["high"] == pytest.approx(730_000 * 1.25 / 0.75)
    assert even["text"] == (
        "own is cheaper from 730,000 requests a month on (at best from 438,000, at worst from "
        "1,220,000)"
    )
    for part in (
        "V* = fixed per month / (price per request of the API − variable cost of own hosting)",
        "73 EUR / (0.0001 EUR − 0)",
        "0.1 EUR per hour x 730 h",
        "10 answers/s (as measured, 1 at once) x 3600 x 730 x utilisation",
        "Staff, idle replicas, storage and traffic are not in it",
    ):
        assert part in found["note"]
    other_way = volume(Pair(facts.candidate, facts.incumbent, 0.9))
    assert other_way is not None
    assert other_way["break_even"] == even


def exact(per_request: float, rate: float, **how: Any) -> Json:
    """The break-even at prices without a band, and one utilisation."""
    theirs = price(**({"per_hour": 1.0, "band": 0, "utilisation": [0.5, 0.5]} | how))
    ours = PER_TOKEN | {"band": 0}
    found = volume(Pair(api(per_request, price=ours), own(rate, price=theirs), 0.9))
    assert found is not None
    even: Json = found["break_even"]
    return even


def test_without_a_band_there_is_one_number() -> None:
    even = exact(0.001, 10.0)
    assert [even[key] for key in ("low", "expected", "high")] == pytest.approx([730_000] * 3)


def test_an_api_that_is_cheaper_than_a_full_server_is_never_undercut() -> None:
    """One answer a second, half of the time: 1.314 million a month for 730, 0.000556 each."""
    even = exact(0.0005, 1.0)
    assert (even["low"], even["expected"], even["high"]) == (None, None, None)
    assert even["text"] == (
        "never: even at the best end of the band a request costs 0.000556 EUR on a server of own "
        "that works 50 % of the time, and 0.0005 EUR at the API"
    )
    assert exact(730 / 1_314_000, 1.0)["expected"] is None  # as dear is not cheaper
    assert exact(0.0, 1.0)["text"].startswith("never")


@pytest.mark.parametrize(
    ("per_request", "expected", "for_good"),
    [
        # A server takes 1.314 million for 730; two of them, just beyond that, cost 1,460.
        (0.0012, 608_333, None),  # 1,577 at the API: two servers are cheaper at once
        (0.0010, 730_000, "1,460,000"),  # 1,314: cheaper again up to 1.46 million
        (0.0008, 912_500, "2,740,000"),  # the third server costs 2,190 against 2,102
    ],
)
def test_beyond_its_capacity_a_second_server_is_needed(
    per_request: float, expected: float, for_good: str | None
) -> None:
    even = exact(per_request, 1.0)
    assert even["expected"] == pytest.approx(expected, abs=1)
    assert ("takes another server" in even["text"]) == (for_good is not None)
    if for_good:
        assert "beyond 1,310,000 it takes another server" in even["text"]
        assert even["text"].endswith(f"for good it is cheaper from {for_good} on")
        volumes = np.linspace(1, 8e6, 80_001)
        dearer = np.ceil(volumes / 1_314_000) * 730 >= volumes * per_request
        assert volumes[dearer].max() == pytest.approx(float(for_good.replace(",", "")), rel=0.005)


@pytest.mark.parametrize(
    ("per_request", "known", "text"),
    [
        (0.0006, [True, True, False], "at worst never"),
        (0.00045, [True, False, False], "not in the middle of the band"),
        (0.0002, [False, False, False], "never"),
    ],
)
def test_the_ends_of_the_band_may_have_none(
    per_request: float, known: list[bool], text: str
) -> None:
    """One answer a second for 1.00 an hour: 0.000505 each at 55 %, 0.000260 at the best end."""
    found = volume(Pair(api(per_request), own(1.0, price=price(per_hour=1.0)), 0.9))
    assert found is not None
    even = found["break_even"]
    assert [even[key] is not None for key in ("low", "expected", "high")] == known
    assert text in even["text"]


def test_what_costs_nothing_is_cheaper_at_once() -> None:
    assert exact(0.001, 1.0, per_hour=0)["expected"] == 0


@pytest.mark.parametrize("per_request", [5e-324, 1e-300, 1e15])
@pytest.mark.parametrize("hour", [0, 5e-324, 1e12])
@pytest.mark.parametrize("rate", [1e-6, 1e6])
def test_a_volume_is_always_json(per_request: float, hour: float, rate: float) -> None:
    found = volume(Pair(api(per_request), own(rate, price=price(per_hour=hour, band=0.99)), 0.9))
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "facts",
    [
        Pair(api(0.1), own(1.0, price=None), 0.9),
        Pair(api(NAN), own(1.0), 0.9),
        Pair(api(0.1), own(1.0, price=PER_HOUR | {"currency": "USD"}), 0.9),
        Pair(own(1.0), api(0.1, columns={"answered": np.zeros((4, 2))}), 0.9),
    ],
)
def test_unknown_costs_have_no_volume(facts: Pair) -> None:
    assert volume(facts) is None


@pytest.mark.parametrize("facts", [Pair(api(1), api(2), 0.9), Pair(own(1.0), own(2.0), 0.9)])
def test_two_of_a_kind_have_no_break_even(facts: Pair) -> None:
    found = volume(facts)
    assert found is not None
    assert found["break_even"] is None
    assert "no break-even" in found["note"]


def test_a_throughput_that_is_not_known_leaves_the_break_even_open() -> None:
    found = volume(Pair(api(0.1), own(1.0, columns={"replayed": np.ones((4, 2))}), 0.9))
    assert found is not None
    assert found["candidate"]["capacity_per_month"] is None
    even = found["break_even"]
    assert (even["low"], even["expected"], even["high"]) == (None, None, None)
    assert even["text"].startswith("not known: own: 8 answers came from a cache or a recording")


HOURLY = """
[backends.new.price]
currency = "EUR"
per_hour = 1.0
date = 2026-11-01
source = "a list"
"""


def test_the_band_is_in_the_plan(tmp_path: Path) -> None:
    plans = [
        make_plan(check(load(scene(tmp_path / str(number), toml=TOML + HOURLY + more))))
        for number, more in enumerate(["", "band = 0.1", "utilisation = [0.2, 0.8]"])
    ]
    prices = [plan.document["backends"]["new"]["price"] for plan in plans]
    assert [each["band"] for each in prices] == [0.25, 0.1, 0.25]
    assert [each["utilisation"] for each in prices] == [[0.3, 0.8], [0.3, 0.8], [0.2, 0.8]]
    assert len({plan.document["backends"]["old"]["price"] for plan in plans}) == 1
    found = [volume(Pair(api(0.01), own(1.0, price=each), 0.9)) for each in prices]
    assert [each["candidate"]["band"] for each in found if each] == [
        {"price": [0.75, 1.25], "utilisation": [0.3, 0.8]},
        {"price": [0.9, 1.1], "utilisation": [0.3, 0.8]},
        {"price": [0.75, 1.25], "utilisation": [0.2, 0.8]},
    ]


def test_a_plan_from_before_the_band_has_the_usual_one() -> None:
    old = {key: value for key, value in PER_HOUR.items() if key not in ("band", "utilisation")}
    token = {key: value for key, value in PER_TOKEN.items() if key not in ("band", "utilisation")}
    before = volume(Pair(api(0.001, price=token), own(1.0, price=old), 0.9))
    assert before == volume(Pair(api(0.001), own(1.0), 0.9))
