"""Throughput: what an arm got done per second of the time in which it was asked.

A replayed answer says nothing of a server's throughput, so that one is enough to leave it out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures.base import ArmFacts, Measure, Pair, Row
from exitdrill.measures.usage import (
    GENERATED,
    REPLAYED,
    came_from_a_cache,
    generated,
    replays,
    token_source,
)

LOOP = (
    "closed loop: as many at once as the backend's concurrency says, the next when one has come "
    "back; with open arrivals it is no more than what arrived"
)

Rate = Callable[[ArmFacts], float]
Why = Callable[[ArmFacts], str | None]


def answers_per_second(arm: ArmFacts) -> float:
    """Answers per second while the arm was asked; meaningless where `not_known` says why."""
    return arm.busy_answers / arm.busy_seconds


def not_known(arm: ArmFacts) -> str | None:
    """Why the throughput of an arm is not known, or None."""
    if count := replays(arm):
        return f"{came_from_a_cache(count)}, which is no throughput"
    if not arm.busy_seconds:
        return "the arm was never busy"
    return None


def tokens_per_second(arm: ArmFacts) -> float:
    """Output tokens per second while the arm was asked, by the mean over its answers."""
    tokens = generated(arm)[arm.columns["answered"] == 1]
    return float(tokens.mean()) * answers_per_second(arm)


def _tokens_not_known(arm: ArmFacts) -> str | None:
    answered = arm.columns["answered"] == 1
    without = int(np.isnan(generated(arm)[answered]).sum())
    if why := not_known(arm):
        return why
    if not answered.any():
        return "there was no answer"
    return f"{without:,} answers came without a count of tokens" if without else None


def _row(rate: Rate, why: Why, formula: Callable[[Pair], str]) -> Callable[[Pair], Row]:
    def row(pair: Pair) -> Row:
        arms = {"incumbent": pair.incumbent, "candidate": pair.candidate}
        reasons = {who: reason for who, arm in arms.items() if (reason := why(arm))}
        rates = {who: rate(arm) for who, arm in arms.items() if who not in reasons}
        said = [f"not measured: {who}: {reason}" for who, reason in reasons.items()]
        if not rates:
            return Row(note="; ".join(dict.fromkeys(said)))
        incumbent, candidate = rates.get("incumbent"), rates.get("candidate")
        gap = None if incumbent is None or candidate is None else candidate - incumbent
        return Row(
            incumbent=incumbent,
            candidate=candidate,
            estimate=gap,
            n=min(arms[who].busy_answers for who in rates),
            note="; ".join([*said, formula(pair), LOOP]),
        )

    return row


def _of_answers(_: Pair) -> str:
    return "answers / seconds in which the arm was asked"


def _of_tokens(pair: Pair) -> str:
    sources = (
        f"{who}: {token_source(arm, arm.columns['answered'] == 1)}"
        for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate))
    )
    return "; ".join(
        ["mean output tokens of an answer x answers / seconds in which the arm was asked", *sources]
    )


MEASURES = (
    Measure(
        "answers_per_second",
        "answers per second",
        "answers/s",
        "latency",
        "higher",
        _row(answers_per_second, not_known, _of_answers),
        needs=REPLAYED,
    ),
    Measure(
        "output_tokens_per_second",
        "output tokens per second",
        "tokens/s",
        "latency",
        "higher",
        _row(tokens_per_second, _tokens_not_known, _of_tokens),
        needs={**REPLAYED, **GENERATED},
    ),
)
