"""``exitdrill plan``: what a drill will ask, what it can cost, and what it can tell apart.

A plan in, lines of text out; nothing is called.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.app.parts import runs_more
from exitdrill.drillable import Drillable
from exitdrill.measures import BY_NAME
from exitdrill.measures.base import Measure
from exitdrill.plan import Plan, most, most_of, warnings
from exitdrill.records import Spend
from exitdrill.report.text import shorten
from exitdrill.resolution import (
    Resolution,
    cases_that_resolve,
    resolution_warnings,
    resolutions,
    units,
)
from exitdrill.scenario import Scenario
from exitdrill.sentences import amount, count_of, level
from exitdrill.workload import Case, output_limit

LONGEST_SETTING = 120
"""Characters of a request's settings that are shown: they may be anything."""
MODES = {
    "fixed": "fixed: every case is asked, and the gates are judged once, at the end",
    "sequential": (
        "sequential: the gates are judged after each block, and a candidate is asked no more once "
        "all of them are decided"
    ),
}
PUBLISH = (
    "Whoever publishes this hash before the run can show afterwards that nothing was chosen "
    "later: not the gates, their margins and their error, not the cases, and not how often they "
    "are asked. The run writes the same plan.json, unless the scenario, its files or these options "
    "are changed."
)


@dataclass(frozen=True)
class Amount:
    """Money as far as it is known; ``currency`` None where nothing is billed by the token.

    ``words`` say it then, ``beside`` what of it is in no sum.
    """

    money: float
    currency: str | None
    words: str = ""
    beside: str = ""

    def __str__(self) -> str:
        return self.words or f"{self.money:,.4f} {self.currency}"


def lines(drillable: Drillable, plan: Plan) -> Iterator[str]:
    """All that can be said of a plan before the first call, a line each."""
    document = plan.document
    asked, cases = document["workload"]["asked"], document["workload"]["cases"]
    head = f"{document['scenario']}: {document['title']}" if document["title"] else None
    yield head or document["scenario"]
    there = f"{asked:,} of {count_of(cases, 'case')}"
    yield f"{there}, asked of {len(plan.arms)} arms; nothing was called"
    yield ""
    yield from _spend(drillable, plan)
    yield ""
    yield from _design(drillable.scenario, plan)
    yield ""
    yield from _gates(plan)
    told = set(resolution_warnings(document))
    yield from (f"note: {each}" for each in warnings(drillable, plan) if each not in told)
    yield ""
    yield f"plan.json: sha256 {plan.sha256}"
    yield PUBLISH


# --- what it costs ------------------------------------------------------------------------------


def _spend(drillable: Drillable, plan: Plan) -> Iterator[str]:
    scenario = drillable.scenario
    if plan.document["app"] is not None:
        yield from _runs(scenario, plan)
        yield from _bounds(scenario)
        return
    rows = [("arm", "repeats", "calls", "most tokens", "most money")]
    costs = []
    for arm in plan.arms:
        spend = most_of(plan, arm)
        costs.append(_cost(drillable, arm, spend))
        rows.append((arm, f"{_repeats(plan, arm)}", *_figures(spend), str(costs[-1])))
    if scenario.judge is not None:
        name = scenario.judge.backend
        costs.append(_cost(drillable, name, plan.judging))
        rows.append((f"{name} (judge)", "", *_figures(plan.judging), str(costs[-1])))
    rows.append(("in all", "", *_figures(most(plan)), _sum(costs)))
    yield from _table(rows)
    yield "That is the most if each call succeeds at once, warm-up included; retries come on top."
    endless = next(_endless(drillable, plan), None)
    if endless is not None:
        yield (
            f"The case {endless.id!r} sets no max_tokens: of such cases only the request is "
            "counted here, so that it may be more."
        )
    yield from _bounds(scenario)


def _runs(scenario: Scenario, plan: Plan) -> Iterator[str]:
    """How often an app is run; what it asks for in its turn nobody knows."""
    rows = [("arm", "repeats", "runs of the app")]
    rows += [(arm, f"{_repeats(plan, arm)}", f"{most_of(plan, arm).calls:,}") for arm in plan.arms]
    yield from _table(rows)
    yield (
        "How many calls the app makes in a run, and what they cost, is not known beforehand. The "
        "first right answer of each candidate, and the way back, take a few runs more."
    )
    yield from runs_more(scenario, plan.document["workload"]["asked"])


def _bounds(scenario: Scenario) -> Iterator[str]:
    if scenario.budget is not None:
        limits = scenario.budget.model_dump(exclude_none=True)
        said = ", ".join(f"{key} {value}" for key, value in limits.items())
        yield f"The budget bounds all of it: {said}."


def _endless(drillable: Drillable, plan: Plan) -> Iterator[Case]:
    """The cases whose answers may be of any length."""
    asked = itertools.islice(drillable.workload, plan.document["workload"]["asked"])
    return (
        case
        for case in asked
        if case.request.operation != "embedding" and output_limit(case.request.body) is None
    )


def _figures(spend: Spend) -> tuple[str, str]:
    return f"{spend.calls:,}", f"{spend.tokens:,}"


def _cost(drillable: Drillable, name: str, spend: Spend) -> Amount:
    """What one backend can cost at most, for all that is known."""
    price = drillable.scenario.backends[name].price
    if price is not None and price.per_hour is None:
        return Amount(spend.money, price.currency)
    if price is not None:
        words = f"{price.per_hour:,.6g} {price.currency} per hour"
        return Amount(0.0, None, words, "what is billed by the hour")
    if drillable.backends[name].local:
        return Amount(0.0, None, "free")
    return Amount(0.0, None, "not known: no price", "what has no price")


def _sum(costs: Sequence[Amount]) -> str:
    """All that is billed, by currency, and what is not known of it."""
    sums: dict[str, float] = {}
    for cost in costs:
        if cost.currency is not None:
            sums[cost.currency] = sums.get(cost.currency, 0.0) + cost.money
    billed = [str(Amount(money, currency)) for currency, money in sums.items()]
    rest = list(dict.fromkeys(cost.beside for cost in costs if cost.beside))
    return " + ".join([*billed, *rest]) or "free"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = [name.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(figures, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


# --- how it is done -----------------------------------------------------------------------------


def _design(scenario: Scenario, plan: Plan) -> Iterator[str]:
    document = plan.document
    count = len(document["candidates"])
    share = level("share", document["alpha_per_candidate"])
    each = f", {share} for each of {count} candidates" if count > 1 else ""
    yield f"mode: {MODES[document['mode']]}"
    yield f"alpha: {level('share', document['alpha'])}, one-sided{each}"
    yield (
        f"power: {level('share', document['power'])}, if {_discordance(document)} are right on one "
        "side only"
    )
    for arm in plan.arms:
        yield f"repeats of {arm}: {_repeats(plan, arm)}, {_why(scenario, plan, arm)}"
    yield f"clusters: {_clusters(document['clusters'])}"
    yield f"sampling settings: {_settings(document['workload']['sampling'])}"


def _discordance(document: Mapping[str, Any]) -> str:
    return f"{level('share', document['discordance'])} of the cases"


def _repeats(plan: Plan, arm: str) -> int:
    return int(plan.document["replay"]["repeats"][arm])


def _why(scenario: Scenario, plan: Plan, arm: str) -> str:
    """Why an arm is asked so often."""
    if scenario.backends[arm].repeats is not None:
        return f"as [backends.{arm}] says"
    if scenario.replay.repeats is not None:
        return "as [replay] says"
    if plan.census is None or plan.census.samples[arm]:
        return "because its answers are drawn at random, or may be (sampling)"
    return "because its answers are not drawn at random (greedy)"


def _clusters(found: Mapping[str, Any]) -> str:
    by = {"session": "by session", "request": "by equal requests"}.get(
        found["by"], f"by {found['by']}"
    )
    if found["largest"] == 1:
        count = found["count"]
        every = "the only case" if count == 1 else f"every one of {count:,} cases"
        return f"{by}: {every} is independent"
    said = f"{by}: {found['count']:,}, the largest of {found['largest']:,} cases"
    if found["effective"] < found["count"]:
        said += f"; as they differ in size, worth {found['effective']:,}"
    return f"{said}; each is reckoned as if its cases were all alike"


def _settings(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{_setting(row['settings'])}: {count_of(row['cases'], 'case')}" for row in rows
    )


def _setting(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "others"
    if not found:
        return "none named"
    said = ", ".join(f"{key} {json.dumps(value)}" for key, value in found.items())
    return shorten(said, LONGEST_SETTING)


# --- what it can tell apart ---------------------------------------------------------------------


def _gates(plan: Plan) -> Iterator[str]:
    document = plan.document
    found = resolutions(document)
    for gate, each in zip(document["gates"], found, strict=True):
        measure = BY_NAME[gate["measure"]]
        yield f"gate {each.gate!r}: {_what(measure, each, document)}"
        if not each.sampled:
            yield "  counted or computed, not drawn from a sample: any limit can be resolved"
            continue
        yield f"  {_cases(each, document)}; {_smallest(each)}"
        yield f"  {_resolved(each, document)}"
    if plan.sequential and any(each.sampled for each in found):
        yield (
            "note: a drill that is looked at while it runs takes more cases than one that is "
            "judged once, at the end; the figures above allow for it"
        )


def _what(measure: Measure, each: Resolution, document: Mapping[str, Any]) -> str:
    """What a gate tests, in words."""
    name, unit = f"{measure.label} ({measure.name})", _unit(measure, document)
    if each.limit is not None:
        bound = "at least" if measure.better == "higher" else "at most"
        return f"{name} of the candidate, {bound} {level(unit, each.limit)}"
    margin = amount(unit, each.margin or 0.0)
    if measure.better == "higher":
        return f"{name}, at most {margin} below the incumbent's"
    return f"{name}, at most {margin} above the incumbent's"


def _unit(measure: Measure, document: Mapping[str, Any]) -> str:
    """The unit, of money with its currency, where there is one."""
    prices = (document["backends"][name]["price"] for name in document["candidates"])
    currencies = {price["currency"] for price in prices if price}
    return measure.unit.replace("money", currencies.pop() if len(currencies) == 1 else "money")


def _cases(each: Resolution, document: Mapping[str, Any]) -> str:
    there = units(each.cases, document)
    if each.never is not None:
        return there
    return f"{there}, of at least {each.at_least:,} that it takes"


def _smallest(each: Resolution) -> str:
    if each.smallest is None:
        return "the smallest effect that can be detected is not known beforehand"
    if each.smallest >= 1:
        return "no effect can be detected"
    return f"the smallest effect that can be detected: {amount(each.unit, each.smallest)}"


def _resolved(each: Resolution, document: Mapping[str, Any]) -> str:
    """Whether the workload can resolve a gate's margin, and what would."""
    if each.never is not None:
        return f"cannot pass: {each.never}"
    if each.hopeless:
        few = "independent clusters" if document["clusters"]["largest"] > 1 else "cases"
        return f"{each.hopeless}: there are too few {few}{_enough(each, document)}"
    if each.smallest is None or each.margin is None:
        measure = "limit" if each.margin is None else "margin"
        return f"whether the workload resolves the {measure} depends on how much the answers vary"
    margin = amount(each.unit, each.margin)
    if each.smallest > each.margin:
        return (
            f"likely to stay open: the margin of {margin} is finer than the workload can resolve"
            f"{_enough(each, document)}"
        )
    return f"the workload can resolve the margin of {margin}"


def _enough(each: Resolution, document: Mapping[str, Any]) -> str:
    """How many cases would do."""
    needed = cases_that_resolve(each, document)
    if needed is None:
        return ", and no number of cases that anybody asks would do"
    if each.smallest is None:
        return f"; it takes {units(needed, document)} at the least"
    return f"; {units(needed, document)} would"
