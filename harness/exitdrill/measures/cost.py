"""Cost: from a price per token and the usage, or a price per hour and the measured throughput.

    per answer = price per hour / (3600 · answers/s · utilisation)

A server runs all month and has work for a share of it: the middle of the price's ``utilisation``.

It is what answers cost: a failure is no throughput, though its time is paid for, nor is an answer
without any content; and what a failed attempt cost by the token is not known, so that it is left
out, and counted in the row's note. An answer from a cache or a recording costs what it would have
cost, by its usage; by the hour it says nothing. By the token it takes a reported usage: what is
counted with a tokenizer's file is less than what is billed. By the hour it takes a closed loop:
open arrivals do not show what a server can do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures import throughput
from exitdrill.measures.base import NAN, ArmFacts, Measure, Pair, Row, TrialView
from exitdrill.measures.latency import ttft
from exitdrill.measures.success import success
from exitdrill.measures.usage import (
    REPLAYED,
    came_from_a_cache,
    counted_output_tokens,
    remembered,
    replays,
)
from exitdrill.scenario import USUAL_UTILISATION
from exitdrill.sentences import level

SECONDS_PER_HOUR = 3600

Money = Callable[[ArmFacts], float]
Why = Callable[[ArmFacts], str | None]


def money(view: TrialView) -> float:
    """What a trial cost in the currency of its backend's price; NaN without price or usage."""
    value = view.trial.exchange.money
    return NAN if value is None or remembered(view) else value


def per_answer(arm: ArmFacts) -> float:
    """Money per answer; meaningless where `not_known` says why."""
    if hourly(arm):
        hours = arm.busy_seconds / SECONDS_PER_HOUR / (sum(utilisation(arm)) / 2)
        return float((arm.price or {})["per_hour"]) * hours / arm.busy_answers
    return float(np.nanmean(arm.columns["money"]))


def per_right_answer(arm: ArmFacts) -> float:
    """All that the answers cost, over the right ones."""
    answers, right = _answers(arm), float(np.nansum(arm.columns["success"]))
    return per_answer(arm) * answers / right


def not_known(arm: ArmFacts) -> str | None:
    """Why an arm's cost is not known, be it of a single answer."""
    if arm.price is None:
        return "the scenario gives no price"
    answers = _answers(arm)
    if not answers or (hourly(arm) and not arm.busy_answers):
        return "there was no answer"
    if hourly(arm):
        return throughput.capacity_not_known(arm)
    if arm.runs_app and replays(arm):
        return f"{came_from_a_cache(arm)}, which does not say what it costs"
    without = answers - _counted(arm)
    if not without:
        return None
    why = f"{without} of {answers} answers came without a reported usage"
    if np.isnan(arm.columns["counted_output_tokens"]).all():
        return why
    return f"{why}, and what is counted with its own tokenizer is less than what is billed"


def _right_not_known(arm: ArmFacts) -> str | None:
    answered, judged = arm.columns["answered"] == 1, arm.columns["success"]
    unjudged, answers = int(np.isnan(judged[answered]).sum()), _answers(arm)
    if why := not_known(arm):
        return why
    if unjudged:
        return f"{unjudged} of {answers} answers could not be judged"
    return None if np.nansum(judged) else "no answer was right"


def hourly(arm: ArmFacts) -> bool:
    """Whether an arm is paid by the hour."""
    return arm.price is not None and arm.price.get("per_hour") is not None


def utilisation(arm: ArmFacts) -> tuple[float, float]:
    """The share of a month in which a server has work, at the least and at the most."""
    low, high = (arm.price or {}).get("utilisation") or USUAL_UTILISATION
    return float(low), float(high)


def currency(arm: ArmFacts) -> str | None:
    """What an arm is paid in."""
    return None if arm.price is None else str(arm.price["currency"])


def _row(of: Money, why: Why, factor: int, things: str, formula: str) -> Callable[[Pair], Row]:
    """A row of money per so many things; a difference only within one currency."""

    def known(arm: ArmFacts) -> float | None:
        return None if why(arm) else of(arm) * factor

    def row(pair: Pair) -> Row:
        incumbent, candidate = known(pair.incumbent), known(pair.candidate)
        ours, theirs = currency(pair.incumbent), currency(pair.candidate)
        if candidate is None:
            unit = f"{ours or theirs or 'money'}/{things}"
            return Row(incumbent=incumbent, note=f"not measured: {why(pair.candidate)}", unit=unit)
        same = incumbent is not None and ours == theirs
        ends = {"candidate": _basis(pair.candidate)}
        ends["incumbent"] = why(pair.incumbent) or _basis(pair.incumbent)
        if incumbent is not None and not same:
            figure = level(str(ours), incumbent)
            ends["incumbent"] = f"{figure}, which is not compared; {ends['incumbent']}"
        return Row(
            incumbent=incumbent if same else None,
            candidate=candidate,
            estimate=candidate - incumbent if same and incumbent is not None else None,
            n=_counted(pair.candidate),
            note="; ".join([*([formula] if formula else []), *map(": ".join, ends.items())]),
            unit=f"{theirs}/{things}",
        )

    return row


def _answers(arm: ArmFacts) -> int:
    """How many answers there are to pay for."""
    return int(throughput.came(arm).sum() if hourly(arm) else np.nansum(arm.columns["answered"]))


def _counted(arm: ArmFacts) -> int:
    """How many answers the cost is made from."""
    return _answers(arm) if hourly(arm) else int((~np.isnan(arm.columns["money"])).sum())


def _basis(arm: ArmFacts) -> str:
    price = arm.price or {}
    where = f"{price['source']}, {price['date']}"
    if hourly(arm):
        rate = level("answers/s", throughput.answers_per_second(arm))
        hour = level(f"{price['currency']} per hour", price["per_hour"])
        poor, good = utilisation(arm)
        share = f"{(poor + good) / 2 * 100:.3g} % of the time at work"
        asked = f"{arm.concurrency:,} at once"
        asked += ", the app's own time included: the server may do more" if arm.runs_app else ""
        said = f"{hour} at the measured {rate} ({asked}), {share} ({where})"
        return "; ".join([said, *throughput.empties(arm)])
    notes = [f"price per token ({where})"]
    if arm.unpriced:
        notes.append(f"{arm.unpriced} failed attempts whose cost is not known are left out")
    if replays(arm):
        notes.append(f"{came_from_a_cache(arm)}, priced as if made now")
    return "; ".join(notes)


def _measure(name: str, label: str, unit: str, row: Callable[[Pair], Row]) -> Measure:
    needs = {
        **REPLAYED,
        "success": success,
        "ttft": ttft,
        "counted_output_tokens": counted_output_tokens,
    }
    return Measure(name, label, f"money/{unit}", "cost", "lower", row, money, "money", needs=needs)


MEASURES = (
    _measure(
        "cost_per_request",
        "cost of a request",
        "request",
        _row(per_answer, not_known, 1, "request", ""),
    ),
    _measure(
        "cost_per_1000",
        "cost of 1,000 requests",
        "1000 requests",
        _row(per_answer, not_known, 1000, "1000 requests", ""),
    ),
    _measure(
        "cost_per_right_answer",
        "cost of a right answer",
        "right answer",
        _row(
            per_right_answer,
            _right_not_known,
            1,
            "right answer",
            "cost of all answers / right answers",
        ),
    ),
)
