"""Throughput: what an arm got done per second of the time in which it was asked.

A replayed answer says nothing of a server's throughput, so that one is enough to leave it out. An
answer without any content is none, as for the latencies. With open arrivals the throughput is that
of the load: what the server could do is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from exitdrill.measures.base import ArmFacts, Measure, Pair, Row
from exitdrill.measures.latency import ttft
from exitdrill.measures.usage import (
    GENERATED,
    REPLAYED,
    came_from_a_cache,
    generated,
    more_than_arrived,
    replays,
    token_source,
)

Rate = Callable[[ArmFacts], float]
Why = Callable[[ArmFacts], str | None]


def answers_per_second(arm: ArmFacts) -> float:
    """Answers per second while the arm was asked; meaningless where `not_known` says why."""
    return arm.busy_answers / arm.busy_seconds


def not_known(arm: ArmFacts) -> str | None:
    """Why the throughput of an arm is not known, or None."""
    if replays(arm):
        return f"{came_from_a_cache(arm)}, which is no throughput"
    if not arm.busy_seconds:
        return "the arm was never busy"
    return None


def capacity_not_known(arm: ArmFacts) -> str | None:
    """Why it is not known what an arm's server can do, or None: then its throughput is that."""
    if arm.arrivals == "open":
        return "with open arrivals it is not known what the server can do"
    return not_known(arm)


def came(arm: ArmFacts) -> npt.NDArray[np.bool_]:
    """Which trials brought an answer with content: without any, its time is a missed deadline."""
    mask: npt.NDArray[np.bool_] = (arm.columns["answered"] == 1) & ~np.isinf(arm.columns["ttft"])
    return mask


def empties(arm: ArmFacts) -> Iterator[str]:
    """A word about the answers that are not counted, where there are any."""
    if count := int(np.nansum(arm.columns["answered"])) - int(came(arm).sum()):
        yield f"{count:,} {'answer' if count == 1 else 'answers'} without any content left out"


def tokens_per_second(arm: ArmFacts) -> float:
    """Output tokens per second while the arm was asked, by the mean over its answers."""
    tokens = generated(arm)[came(arm)]
    return float(tokens.mean()) * answers_per_second(arm)


def _tokens_not_known(arm: ArmFacts) -> str | None:
    tokens = generated(arm)[came(arm)]
    without = int(np.isnan(tokens).sum())
    if why := not_known(arm):
        return why
    if not len(tokens):
        return "there was no answer"
    return f"{without:,} answers came without a count of what arrived" if without else None


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
            note="; ".join([*said, formula(pair), *_load(arms)]),
        )

    return row


def _load(arms: Mapping[str, ArmFacts]) -> Iterator[str]:
    """What the arms were asked, and what of their answers is left out."""
    for who, arm in arms.items():
        load = f"closed loop, {arm.concurrency:,} at once"
        if arm.arrivals == "open":
            load = "the rate at which requests arrived, if the server kept up with them"
        yield "; ".join([f"{who}: {load}", *empties(arm)])


def _of_answers(_: Pair) -> str:
    return "answers / seconds in which the arm was asked"


def _of_tokens(pair: Pair) -> str:
    sources = (
        f"{who}: {token_source(arm, came(arm))}"
        for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate))
    )
    return "; ".join(
        [
            "mean output tokens of an answer x answers / seconds in which the arm was asked",
            *sources,
            *more_than_arrived(pair),
        ]
    )


MEASURES = (
    Measure(
        "answers_per_second",
        "answers per second",
        "answers/s",
        "latency",
        "higher",
        _row(answers_per_second, not_known, _of_answers),
        needs={**REPLAYED, "ttft": ttft},
    ),
    Measure(
        "output_tokens_per_second",
        "output tokens per second",
        "tokens/s",
        "latency",
        "higher",
        _row(tokens_per_second, _tokens_not_known, _of_tokens),
        needs={**REPLAYED, **GENERATED, "ttft": ttft},
    ),
)
