"""The budget is kept before a call is made, whatever is under way."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.harness.drills import Log, Say, cases, failing, late, request, right, rows, scenario

from exitdrill.backend import Reply, Request, ToolCall
from exitdrill.budget import Budget, charge, charge_failed, money, reply_money, worst_case
from exitdrill.drill import Result, run
from exitdrill.errors import ERROR_KINDS, BackendError, BudgetSpent, ErrorKind, ScenarioError
from exitdrill.records import Spend
from exitdrill.scenario import BackendSpec, BudgetSpec, PriceSpec
from exitdrill.workload import CaseList
from exitdrill_adapters.scripted import Answer, Error

DAY = date(2026, 11, 1)
PRICE = PriceSpec(
    currency="EUR", input_per_million=1000, output_per_million=4000, date=DAY, source="made up"
)
CACHED = PRICE.model_copy(update={"cached_per_million": 100.0})
HOURLY = PriceSpec(currency="EUR", per_hour=3, date=DAY, source="made up")
WORST = worst_case(request(0), PRICE)


def test_what_is_withheld_is_left_for_others() -> None:
    budget = Budget(BudgetSpec(requests=5), Spend(1))
    with budget.withheld(Spend(3)):
        budget.reserve(Spend(1))
        with pytest.raises(BudgetSpent):
            budget.reserve(Spend(1))
    assert budget.spent == Spend(2)
    budget.reserve(Spend(3))


def tight(folder: Path, say: Say, limits: dict[str, Any], **more: Any) -> tuple[Result, Log]:
    """A drill of 64 calls at once on two priced backends; ``say`` answers for the incumbent."""
    log = Log()
    spec = {"concurrency": 64, "price": PRICE} | more.pop("spec", {})
    budget = BudgetSpec(**limits)
    arms = {"old": log.adapter(say), "new": log.adapter(say)}
    drilled = scenario(100, more.pop("replay", None), spec, {"budget": budget}, **arms)
    return run(drilled, out=folder / "drill"), log


# --- the drill ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 63, 64, 65, 150, 399])
def test_the_number_of_requests_is_kept_to_the_last_one(tmp_path: Path, limit: int) -> None:
    result, log = tight(tmp_path, late(0.005), {"requests": limit})
    assert len(log.calls) == limit
    assert all(call.ended for call in log.calls), "calls that are under way are let finish"
    assert result.report["drill"]["spend"]["calls"] == limit
    assert (result.completed, result.exit_code, result.verdict) == (False, 4, "inconclusive")
    stopped = result.report["drill"]["stopped"]
    assert f"the budget is {limit} of requests" in stopped or f"budget is {limit}" in stopped
    answered = rows(result.folder, "SELECT count(*) FROM trials WHERE state = 'answered'")
    assert answered == [(limit,)], "what was paid is measured"


def test_a_budget_that_suffices_is_not_in_the_way(tmp_path: Path) -> None:
    result, log = tight(tmp_path, right, {"requests": 400, "tokens": 400 * WORST.tokens})
    assert (len(log.calls), result.completed, result.verdict) == (400, True, "ready")


def unknown(request: Request) -> Answer:
    """An answer without usage: charged at the worst case."""
    return Answer(text=right(request).text, first_after=0.002)


def failed(request: Request) -> Answer:
    """An answer that broke: nobody knows what it cost."""
    return Answer(text="a", error=Error(kind="server", message="broke", retry_after=0.0))


def used_up(request: Request) -> Answer:
    """An answer that costs all it can."""
    worst = worst_case(request, None).tokens
    return Answer(text="x", input_tokens=worst - 20, output_tokens=20, first_after=0.002)


@pytest.mark.parametrize("say", [unknown, failed, used_up, right])
@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"tokens": 3_000}, "tokens"),
        ({"money": 5.0, "currency": "EUR"}, "money"),
        ({"money": 0.0, "currency": "EUR"}, "money"),
        ({"tokens": 10}, "tokens"),
    ],
)
def test_tokens_and_money_are_never_exceeded(
    tmp_path: Path, say: Say, limits: dict[str, Any], field: str
) -> None:
    result, log = tight(tmp_path, say, limits, replay={"breaker": 1000})
    limit = limits[field]
    spent = result.report["drill"]["spend"]
    amount = spent["tokens"] if field == "tokens" else spent["money"]["amount"]
    assert amount <= limit * (1 + 1e-9)
    assert not result.completed
    assert "the next call could bring the drill to" in result.report["drill"]["stopped"]
    # What the calls really made can have cost, at their own prices, stays within the limit too.
    cheapest = 8 if say is right else min(WORST.tokens, worst_case(request(99), None).tokens)
    price = money(PRICE, 5, 3) if say is right else WORST.money
    assert len(log.calls) * (cheapest if field == "tokens" else price) <= limit * (1 + 1e-9)
    if limit < WORST.tokens and field == "tokens":
        assert log.calls == []


def test_retries_and_the_warm_up_are_charged_as_well(tmp_path: Path) -> None:
    say = failing("overloaded", retry_after=0.0)
    result, log = tight(tmp_path, say, {"requests": 30}, replay={"warmup": 3, "breaker": 1000})
    assert len(log.calls) == 30
    assert result.report["drill"]["stopped"].startswith("the next call could bring")
    states = rows(result.folder, "SELECT state, count(*) FROM calls GROUP BY state")
    assert dict(states) == {"done": 30}


def test_a_resumed_drill_goes_on_with_what_is_left(tmp_path: Path) -> None:
    result, log = tight(tmp_path, late(0.002), {"requests": 150})
    spec = {"concurrency": 64, "price": PRICE}
    arms = {"old": log.adapter(), "new": log.adapter()}
    same = scenario(100, None, spec, {"budget": BudgetSpec(requests=150)}, **arms)
    again = run(same, resume=result.folder)
    assert len(log.calls) == 150, "the budget is that of the drill and not of each run"
    assert not again.completed


def test_open_loop_sleepers_do_not_hold_up_a_spent_budget(tmp_path: Path) -> None:
    log = Log()
    workload = cases(4, [0.0, 0.01, 0.02, 60.0])
    drilled = scenario(
        workload,
        {"arrivals": "open"},
        None,
        {"budget": BudgetSpec(requests=2)},
        old=log.adapter(),
        new=log.adapter(),
    )
    result = run(drilled, out=tmp_path / "drill")
    assert len(log.calls) == 2
    assert not result.completed


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "outside this machine, so the drill needs a"),
        ({"budget": BudgetSpec(money=1.0, currency="EUR")}, "needs the price"),
    ],
)
def test_what_is_outside_needs_a_budget_that_can_be_kept(more: dict[str, Any], words: str) -> None:
    log = Log()
    with pytest.raises(ScenarioError, match=words):
        run(scenario(2, more=more, old=log.adapter(local=False), new=log.adapter()))
    assert log.calls == []


def test_an_answer_without_end_cannot_be_budgeted() -> None:
    log = Log()
    endless = request(0)
    endless = Request("chat", {"messages": endless.body["messages"]})
    workload = CaseList([type(each)("c", endless) for each in cases(1)])
    drilled = scenario(
        workload, more={"budget": BudgetSpec(tokens=10)}, old=log.adapter(), new=log.adapter()
    )
    with pytest.raises(ScenarioError, match="sets no max_tokens"):
        run(drilled)


def test_hourly_prices_cost_nothing_per_call(tmp_path: Path) -> None:
    log = Log()
    old = BackendSpec(adapter=log.adapter(), model="m", price=HOURLY)
    result = run(scenario(3, old=old, new=log.adapter()), out=tmp_path / "drill")
    assert rows(result.folder, "SELECT DISTINCT money FROM exchanges WHERE arm = 'old'") == [
        (None,)
    ]


# --- the parts ----------------------------------------------------------------------------------


def test_a_reservation_counts_until_it_is_settled() -> None:
    budget = Budget(BudgetSpec(tokens=100), Spend(3, 40, 0.0))
    budget.reserve(Spend(1, 60, 0.0))
    with pytest.raises(BudgetSpent, match=r"to 101 tokens, and the budget is 100"):
        budget.reserve(Spend(1, 1, 0.0))
    budget.settle(Spend(1, 60, 0.0), Spend(1, 10, 0.0))
    assert budget.spent == Spend(4, 50, 0.0)
    budget.reserve(Spend(1, 50, 0.0))


def test_sums_of_money_do_not_fail_by_a_rounding_error() -> None:
    budget = Budget(BudgetSpec(money=0.3, currency="EUR"), Spend())
    for _ in range(3):
        budget.reserve(Spend(1, 0, 0.1))
    with pytest.raises(BudgetSpent, match=r"to 0\.4 EUR, and the budget is 0\.3"):
        budget.reserve(Spend(1, 0, 0.1))


def test_without_limits_everything_is_counted_and_nothing_refused() -> None:
    budget = Budget(None, Spend())
    budget.reserve(Spend(10**9, 10**15, 1e12))
    assert budget.spent == Spend(10**9, 10**15, 1e12)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 7),
        ({}, 0),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, 35),
        ({"max_tokens": 7, "prompt": ["a", "b"]}, 14),
        ({"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        ({"max_tokens": 7, "prompt": [[1, 2], [3]], "n": 2}, 28),
    ],
)
def test_the_worst_case_is_every_answer_at_its_limit(body: dict[str, Any], output: int) -> None:
    body = {"prompt": "p"} | body
    with_output = worst_case(Request("completion", body), PRICE)
    without = worst_case(Request("completion", {"prompt": body["prompt"]}), PRICE)
    assert with_output.tokens - without.tokens == output
    assert with_output.money - without.money == pytest.approx(output * 4000 / 1e6)


@pytest.mark.parametrize(
    "text", ["word ", "日本語", "\x00", "\ud83d", "🦜"], ids=["en", "ja", "nul", "half", "bird"]
)
def test_no_prompt_has_more_tokens_than_its_worst_case(text: str) -> None:
    size = len((text * 50).encode("utf-8", "surrogatepass"))
    messages = [{"role": "user", "content": text * 50}]
    plain = worst_case(Request("chat", {"messages": messages}), None)
    tools = worst_case(Request("chat", {"messages": messages, "tools": [{"a": text * 50}]}), None)
    assert plain.tokens > size
    assert tools.tokens > plain.tokens + size


@pytest.mark.parametrize(
    ("reply", "price", "amount"),
    [
        (Reply(input_tokens=100, output_tokens=10), PRICE, 0.14),
        (Reply(input_tokens=100, output_tokens=10, cached_tokens=50), PRICE, 0.14),
        (Reply(input_tokens=100, output_tokens=10, cached_tokens=50), CACHED, 0.095),
        (Reply(input_tokens=100, output_tokens=10, cached_tokens=500), CACHED, 0.05),
        (Reply(input_tokens=100, output_tokens=10), HOURLY, None),
        (Reply(input_tokens=100, output_tokens=10), None, None),
        (Reply(text="no usage"), PRICE, None),
        (Reply(text="x", input_tokens=100, output_tokens=0), PRICE, None),
        (Reply(input_tokens=100, output_tokens=10, usage_source="recounted"), PRICE, None),
    ],
)
def test_an_answer_costs_what_its_usage_says(
    reply: Reply, price: PriceSpec | None, amount: float | None
) -> None:
    found = reply_money(reply, price)
    assert found is None if amount is None else math.isclose(found or 0, amount)


def test_unknown_usage_is_charged_at_the_worst_case() -> None:
    assert charge(Reply(text="x"), WORST, PRICE) == WORST
    assert charge(Reply(input_tokens=5), WORST, PRICE) == WORST
    for said in ({"text": "x"}, {"reasoning": "x"}, {"tool_calls": (ToolCall("1", "f", "{}"),)}):
        none = Reply(input_tokens=5, output_tokens=0, **said)
        assert charge(none, WORST, PRICE) == WORST, "nothing is said without a token"
    assert charge(Reply(input_tokens=5, output_tokens=0), WORST, PRICE).tokens == 5


def test_what_is_only_recounted_is_charged_all_the_same() -> None:
    counted = Reply(text="x", input_tokens=100, output_tokens=10, usage_source="recounted")
    assert charge(counted, WORST, PRICE) == Spend(1, 110, money(PRICE, 100, 10))


REFUSED = {
    "auth",
    "bad_parameter",
    "unsupported",
    "template",
    "context_overflow",
    "rate_limit",
    "overloaded",
    "unreachable",
    "rejected",
    "left_behind",
}


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_only_what_was_refused_outright_is_free(kind: ErrorKind) -> None:
    error = BackendError(kind, "no")
    free = Spend(1, 0, 0.0)
    assert charge_failed(error, False, WORST) == (free if kind in REFUSED else WORST)
    assert charge_failed(error, True, WORST) == WORST
