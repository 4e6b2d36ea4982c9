"""How many more cases would settle an open gate, and what they would cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from exitdrill.measures.base import ArmFacts, Pair
from exitdrill.sentences import count_of, level, times_run
from exitdrill.stats import Interval

MOST = 1_000_000
"""Cases that nobody asks: more than these are as good as never."""


@dataclass(frozen=True)
class More:
    """How many cases, in all and more than there were, would settle a gate; with what they cost.

    ``cases`` None: more of them are unlikely to settle it. ``money`` is None where a price is
    missing, or is by the hour. Where the app is run, ``calls`` are runs of it.
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

    def goal(self, *, good: bool) -> Goal:
        """What is to be shown of a gate. All gates have to pass, each errs with a part of 1 − power
        for it; of those that fail the first one settles it, at α/k by Holm."""
        if good:
            return Goal(self.alpha, 1 - (1 - self.power) / self.gates, PASSES)
        return Goal(self.alpha / self.gates, self.power, FAILS)


@dataclass(frozen=True)
class Goal:
    """With which one-sided error and which power something is to be shown, and what that is."""

    alpha: float
    power: float
    what: str


UNLIKELY = (
    "more cases are unlikely to settle it: the estimate lies within one standard error of the "
    "margin"
)
NOBODY = "no number of cases that anybody asks would settle it"
PASSES, FAILS = "show that it passes", "show that it fails"
PROVISO = ", if what was seen so far holds"


def unlikely(text: str = UNLIKELY) -> More:
    """For a gate that more cases are not likely to settle."""
    return More(None, None, None, None, text)


def settles(
    pair: Pair, value: float, interval: Interval, bound: float, goal: Goal, z: float
) -> More:
    """For a gate on what is no share: (z(1−α) + z(1−β/k))² · s² · DEFF / (Δ + d₀)².

    s² · DEFF is n times the square of the standard error that the interval shows, of which ``z``
    are half of its width, towards the bound where its other end is infinite.
    """
    distance, side = abs(value - bound), _side(value, interval, bound)
    width = interval[1] - interval[0]
    error = (width / 2 if math.isfinite(width) else side) / z
    if not math.isfinite(error) or distance <= error:
        return unlikely()
    total = _times(pair, goal, error / distance)
    if total <= cases_of(pair):  # the interval reaches further to one side than to the other
        total = _times(pair, goal, side / z / distance)
    return takes(pair, total, goal.what, PROVISO)


def _times(pair: Pair, goal: Goal, relative_error: float) -> int:
    """The cases at which an error, now so many times the distance, is small enough."""
    normal = NormalDist()
    zs = normal.inv_cdf(1 - goal.alpha) + normal.inv_cdf(goal.power)
    return scaled(pair, (zs * relative_error) ** 2)


def _side(value: float, interval: Interval, bound: float) -> float:
    """How far the interval reaches towards the bound."""
    low, high = interval
    return high - value if bound > value else value - low


def takes(pair: Pair, total: int, what: str = "let it be judged", proviso: str = "") -> More:
    """For a gate that so many cases in all would settle."""
    asked = cases_of(pair)
    cases = max(total - asked, 1)
    if cases > MOST:
        return unlikely(NOBODY)
    calls = cases * sum(_repeats(arm) for arm in (pair.incumbent, pair.candidate))
    money = _money(pair, cases)
    cost = times_run(calls) if pair.candidate.runs_app else count_of(calls, "call")
    if money is not None:
        cost += f", about {level(money['currency'], money['amount'])}"
    about = "about" if proviso else "at least"
    text = f"{about} {_more(pair, cases)} would {what}{proviso} ({cost})"
    return More(cases, cases + asked, calls, money, text)


def _more(pair: Pair, cases: int) -> str:
    """So many more cases, and clusters where there are any."""
    said = count_of(cases, "more case")
    if pair.clusters is None:
        return said
    clusters = math.ceil(cases * len(np.unique(pair.clusters)) / cases_of(pair))
    return f"{said} ({count_of(clusters, 'more cluster')})"


def scaled(pair: Pair, factor: float) -> int:
    """So many times the cases that there were."""
    return math.ceil(cases_of(pair) * factor * (1 - 1e-12))


def cases_of(pair: Pair) -> int:
    """How many cases were to be asked."""
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
