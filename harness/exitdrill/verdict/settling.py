"""How many more cases would settle an open gate, and what they would cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from exitdrill.measures.base import ArmFacts, Pair, Row
from exitdrill.sentences import level
from exitdrill.stats import Interval

FEW_DIFFERING = 10
"""Cases that differ below which their share is hardly known."""
MOST = 1_000_000
"""Cases that nobody asks: more than these are as good as never."""


@dataclass(frozen=True)
class More:
    """How many cases, in all and more than there were, would settle a gate; with what they cost.

    ``cases`` None: more of them are unlikely to settle it. ``money`` is None where a price is
    missing, or is by the hour.
    """

    cases: int | None
    total: int | None
    calls: int | None
    money: dict[str, Any] | None
    text: str


@dataclass(frozen=True)
class Design:
    """What was registered: one-sided error, power, the number of gates that are tested."""

    alpha: float
    power: float
    gates: int


@dataclass(frozen=True)
class Seen:
    """What an open gate rests on: its value, the interval that it is judged on, its bound.

    ``row`` is that of the difference, None for a limit on the candidate's own value.
    """

    value: float
    interval: Interval
    bound: float
    row: Row | None = None


def settles(pair: Pair, seen: Seen, design: Design, *, good: bool) -> More:
    """For a gate whose interval holds its bound: (z(1−α) + z(1−β/k))² · s² · DEFF / (Δ + d₀)².

    s² · DEFF is n times the square of the standard error; where that is not known, it is the one
    that the interval shows. ``good`` says on which side of the bound the estimate lies.
    """
    z = NormalDist().inv_cdf(1 - design.alpha)
    error = _error(seen, z)
    distance = abs(seen.value - seen.bound)
    if not math.isfinite(error) or distance <= error:
        return More(
            None,
            None,
            None,
            None,
            "more cases are unlikely to settle it: the estimate lies within one standard error of "
            "the margin",
        )
    total = _planned(pair, seen, design, error / distance)
    if total <= _cases(pair):  # so few that the interval is far wider than the standard error
        total = _times(pair, design, _side(seen) / z / distance)
    return takes(
        pair,
        total,
        "show that it passes" if good else "show that it fails",
        ", if what was seen so far holds",
    )


def _planned(pair: Pair, seen: Seen, design: Design, relative_error: float) -> int:
    """The formula. Where hardly any case differed, one more that does is reckoned with, and what it
    takes at the least if none does: (1 − Δ)ⁿ ≤ α."""
    row = seen.row
    if row is None or row.differing is None or row.differing >= FEW_DIFFERING:
        return _times(pair, design, relative_error)
    distance = abs(seen.value - seen.bound)
    labels = pair.clusters
    units = row.n if labels is None else min(len(np.unique(labels)), row.n)
    least = math.log(design.alpha) / math.log1p(-min(distance, 0.99)) / units
    padded = _times(pair, design, math.hypot(relative_error, 1 / units / distance))
    return max(padded, scaled(pair, least))


def _times(pair: Pair, design: Design, relative_error: float) -> int:
    """The cases at which an error, now so many times the distance, is small enough."""
    normal = NormalDist()
    zs = normal.inv_cdf(1 - design.alpha) + normal.inv_cdf(1 - (1 - design.power) / design.gates)
    return scaled(pair, (zs * relative_error) ** 2)


def _error(seen: Seen, z: float) -> float:
    """The standard error of the value."""
    if seen.row is not None and seen.row.error is not None:
        return seen.row.error
    return (seen.interval[1] - seen.interval[0]) / (2 * z)


def _side(seen: Seen) -> float:
    """How far the interval reaches towards the bound."""
    low, high = seen.interval
    return high - seen.value if seen.bound > seen.value else seen.value - low


def takes(pair: Pair, total: int, what: str = "let it be judged", proviso: str = "") -> More:
    """For a gate that so many cases in all would settle."""
    asked = _cases(pair)
    cases = max(total - asked, 1)
    if cases > MOST:
        return More(None, None, None, None, "no number of cases that anybody asks would settle it")
    calls = cases * sum(_repeats(arm) for arm in (pair.incumbent, pair.candidate))
    money = _money(pair, cases)
    cost = f"{calls:,} calls"
    if money is not None:
        cost += f", about {level(money['currency'], money['amount'])}"
    about = "about " if proviso else "at least "
    noun = "case" if cases == 1 else "cases"
    text = f"{about}{cases:,} more {noun} would {what}{proviso} ({cost})"
    return More(cases, cases + asked, calls, money, text)


def scaled(pair: Pair, factor: float) -> int:
    """So many times the cases that there were."""
    return math.ceil(_cases(pair) * factor * (1 - 1e-12))


def _cases(pair: Pair) -> int:
    return len(pair.candidate.columns["answered"])


def _repeats(arm: ArmFacts) -> int:
    return int(arm.columns["answered"].shape[1])


def _money(pair: Pair, cases: int) -> dict[str, Any] | None:
    """What so many cases cost on both arms, by what their calls cost so far."""
    arms = (pair.incumbent, pair.candidate)
    currencies = {(arm.price or {}).get("currency") for arm in arms}
    each = [arm.columns["money"] for arm in arms]
    if len(currencies) != 1 or None in currencies or any(np.isnan(one).all() for one in each):
        return None
    amount = cases * sum(
        float(np.nanmean(money)) * _repeats(arm) for arm, money in zip(arms, each, strict=True)
    )
    return {"amount": amount, "currency": currencies.pop()}
