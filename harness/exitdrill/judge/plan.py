"""What a plan registers of its judge: who it is, what it is told, what it can use up at most."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from exitdrill.budget import money as price_of
from exitdrill.budget import worst_case
from exitdrill.drillable import Drillable
from exitdrill.judge.question import (
    LONGEST_ANSWER,
    LONGEST_TOKEN,
    MOST_BYTES,
    ORDERS,
    prompt_sha256,
    question_of,
    request_of,
)
from exitdrill.records import Spend
from exitdrill.workload import Case, output_limit

NOTHING = Spend()


def registered(drillable: Drillable, asked: int, backend: Mapping[str, Any]) -> dict[str, Any]:
    """The judge's part of ``plan.json``; ``backend`` is its backend's.

    ``calls`` are those at most: every case of every candidate, and of the incumbent against itself,
    in both orders, and the labels.
    """
    spec = drillable.scenario.judge
    assert spec is not None, "only a plan with a judge registers one"
    labels = len(drillable.labels.rows) if drillable.labels else 0
    pairs = asked * len(drillable.scenario.arms) + labels
    return {
        "name": spec.backend,
        "backend": dict(backend),
        "max_tokens": spec.max_tokens,
        "prompt_sha256": prompt_sha256(),
        "labels": labels,
        "labels_sha256": drillable.labels.sha256 if drillable.labels else None,
        "calls": len(ORDERS) * pairs,
    }


def most_of_judge(drillable: Drillable, asked: int) -> Spend:
    """What the judge can use up at most, if each call succeeds at once."""
    spec = drillable.scenario.judge
    if spec is None:
        return NOTHING
    price = drillable.scenario.backends[spec.backend].price
    arms, orders = len(drillable.scenario.arms), len(ORDERS)
    calls, tokens, money = 0, 0, 0.0

    def add(question: str, length: int, times: int) -> None:
        nonlocal calls, tokens, money
        bare = worst_case(request_of(question, "", "", spec.max_tokens), price)
        answers = 2 * length * MOST_BYTES
        calls += times
        tokens += times * (bare.tokens + answers)
        money += times * (bare.money + price_of(price, answers, 0))

    for case in itertools.islice(drillable.workload, asked):
        add(question_of(case), _longest(case), arms * orders)
    for label in drillable.labels.rows if drillable.labels else ():
        longest = max(len(label.first), len(label.second))
        add(label.question, min(longest, LONGEST_ANSWER), orders)
    return Spend(calls, tokens, money)


def _longest(case: Case) -> int:
    """How many characters of an answer to a case a judge can be shown."""
    limit = output_limit(case.request.body)
    return min(LONGEST_ANSWER, LONGEST_TOKEN * (limit or LONGEST_ANSWER))
