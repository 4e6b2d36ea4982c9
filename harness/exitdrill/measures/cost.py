"""Cost: from a price per token and the usage, or a price per hour and the measured throughput.

It is what answers cost: a failure is no throughput, though its time is paid for; and what a failed
attempt cost by the token is not known, so that it is left out, and counted in the row's note.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures.base import NAN, ArmFacts, Measure, Pair, Row, TrialView, case_means
from exitdrill.stats import mean_interval

SECONDS_PER_HOUR = 3600


def money(view: TrialView) -> float:
    """What a trial cost in the currency of its backend's price; NaN without price or usage."""
    value = view.trial.exchange.money
    return NAN if value is None else value


def input_tokens(view: TrialView) -> float:
    """Tokens of the request, as its backend counts them."""
    return NAN if view.reply.input_tokens is None else view.reply.input_tokens


def output_tokens(view: TrialView) -> float:
    """Tokens of the answer, as its backend counts them."""
    return NAN if view.reply.output_tokens is None else view.reply.output_tokens


def cost_row(pair: Pair) -> Row:
    """Money per 1,000 answered requests on both arms; a difference only within one currency."""
    incumbent, candidate = per_thousand(pair.incumbent), per_thousand(pair.candidate)
    ours, theirs = _currency(pair.incumbent), _currency(pair.candidate)
    if candidate is None:
        why = _unknown(pair.candidate)
        return Row(incumbent=incumbent, note=f"not measured: {why}", unit=_unit(ours or theirs))
    same = incumbent is not None and ours == theirs
    return Row(
        incumbent=incumbent if same else None,
        candidate=candidate,
        estimate=candidate - incumbent if same and incumbent is not None else None,
        n=_counted(pair.candidate),
        note=f"candidate: {_basis(pair.candidate)}; incumbent: {_basis(pair.incumbent)}",
        unit=_unit(theirs),
    )


def per_thousand(arm: ArmFacts) -> float | None:
    """Money per 1,000 answers, or None where it is not known, be it of a single one."""
    if _unknown(arm) or arm.price is None:
        return None
    if _hourly(arm):
        hours = arm.busy_seconds / SECONDS_PER_HOUR
        return float(arm.price["per_hour"]) * hours / arm.busy_answers * 1000
    return float(np.nanmean(arm.columns["money"])) * 1000


def _unknown(arm: ArmFacts) -> str | None:
    """Why an arm's cost is not known."""
    if arm.price is None:
        return "the scenario gives no price"
    answers = int(np.nansum(arm.columns["answered"]))
    if not answers or (_hourly(arm) and not arm.busy_answers):
        return "there was no answer"
    if _hourly(arm):
        return None
    without = answers - _counted(arm)
    return f"{without} of {answers} answers came without usage" if without else None


def _counted(arm: ArmFacts) -> int:
    """How many answers the cost is made from."""
    if _hourly(arm):
        return int(np.nansum(arm.columns["answered"]))
    return int((~np.isnan(arm.columns["money"])).sum())


def _hourly(arm: ArmFacts) -> bool:
    return arm.price is not None and arm.price.get("per_hour") is not None


def tokens_row(column: str) -> Callable[[Pair], Row]:
    """A row of the mean number of tokens. Tokenizers differ: it compares bills, not texts."""

    def row(pair: Pair) -> Row:
        left, right = (case_means(arm.columns[column]) for arm in (pair.incumbent, pair.candidate))
        both = ~np.isnan(left) & ~np.isnan(right)
        n = int(both.sum())
        if n == 0:
            return Row(note="not measured: no usage was reported")
        left, right = left[both], right[both]
        return Row(
            incumbent=float(left.mean()),
            candidate=float(right.mean()),
            estimate=float((right - left).mean()),
            interval=mean_interval(right - left, pair.confidence) if n > 1 else None,
            n=n,
            note="each as its own backend counts",
        )

    return row


def _basis(arm: ArmFacts) -> str:
    if arm.price is None:
        return "no price"
    where = f"{arm.price['source']}, {arm.price['date']}"
    if _hourly(arm):
        rate = arm.busy_answers / arm.busy_seconds if arm.busy_seconds else 0.0
        return (
            f"{arm.price['per_hour']:g} {arm.price['currency']} per hour at the measured "
            f"{rate:.3g} answers/s ({where})"
        )
    left_out = f"; {arm.unpriced} failed attempts whose cost is not known are left out"
    return f"price per token ({where}){left_out if arm.unpriced else ''}"


def _currency(arm: ArmFacts) -> str | None:
    return None if arm.price is None else str(arm.price["currency"])


def _unit(currency: str | None) -> str:
    return f"{currency or 'money'}/1000 requests"


MEASURES = (
    Measure(
        "cost_per_1000",
        "cost of 1,000 requests",
        "money/1000 requests",
        "cost",
        "lower",
        cost_row,
        money,
        "money",
    ),
    Measure(
        "input_tokens",
        "input tokens per request",
        "tokens",
        "cost",
        "lower",
        tokens_row("input_tokens"),
        input_tokens,
    ),
    Measure(
        "output_tokens",
        "output tokens per request",
        "tokens",
        "cost",
        "lower",
        tokens_row("output_tokens"),
        output_tokens,
    ),
)
