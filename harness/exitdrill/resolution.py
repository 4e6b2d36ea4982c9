"""What a plan's gates can tell apart, before anything is asked: the smallest effect, the fewest
cases.

Reckoned with the tests that the verdict uses (`stats.power`). What clusters are worth is reckoned
as if the cases of one were all alike: how alike they are nobody knows beforehand.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

from exitdrill.measures import BY_NAME
from exitdrill.measures.base import Measure
from exitdrill.measures.intervals import UNKNOWN
from exitdrill.sentences import amount, count_of, level
from exitdrill.stats import (
    USUAL_STAKE,
    best_stake,
    detectable_effect,
    exact_paired_p,
    fewest_bets,
    fewest_samples,
    sample_size_paired,
)
from exitdrill.stats.power import Betting, fewest_of, paired_settles, smallest_of

NEVER = sys.maxsize
"""The fewest cases of a gate that no number of them lets pass."""
MOST_EXACT = 5_000
"""Cases beyond which the formula says the same as the exact test."""
MOST = 1_000_000_000
"""Cases that nobody asks: more than these are as good as never."""


@dataclass(frozen=True)
class Resolution:
    """One gate: how many cases (or clusters) it has, and how many it takes at the least.

    ``smallest`` is the smallest margin that so many cases settle with the plan's power, if its
    ``discordance`` is right and both sides are truly equal; None where that is not known
    beforehand (of times and scores: it depends on how these vary), or where there is no margin.
    With fewer cases than ``sharp`` not even a better candidate passes; None where it makes no
    difference.
    """

    gate: str
    unit: str
    margin: float | None
    limit: float | None
    cases: int
    at_least: int
    smallest: float | None = None
    sharp: int | None = None

    @property
    def hopeless(self) -> str | None:
        """That a gate cannot pass with so few cases; None where it can."""
        if self.cases >= self.at_least:
            return None
        if self.sharp is None or self.cases < self.sharp:
            return "cannot pass"
        return "cannot pass unless the candidate is better"

    @property
    def sampled(self) -> bool:
        """Whether the gate rests on a sample; a count or a price does not."""
        return self.at_least > 0

    @property
    def never(self) -> str | None:
        """Why no number of cases lets the gate pass; None where one does."""
        if self.at_least < NEVER:
            return None
        if self.limit is None:
            return "no number of cases shows a margin of nothing"
        return f"no number of cases shows a limit of {level(self.unit, self.limit)}"


@dataclass(frozen=True)
class Test:
    """How a gate on a share with a margin is tested: one-sided ``alpha``, the ``power`` of so many
    ``gates`` together, at which ``discordance``.

    With ``every`` it is looked at after so many cases each time. A share that is a mean is
    ``graded``, and ``pooled`` where it is one over the things in all cases.
    """

    alpha: float
    power: float
    gates: int
    discordance: float
    every: int | None = None
    graded: bool = False
    pooled: bool = False

    def settles(self, n: int, margin: float) -> bool:
        """Whether so many cases show a margin with the power, where both sides are equal."""
        if not 0 < margin < 1:
            return margin > 0
        if n < self.sharp(margin):
            return False
        half, beta = self.discordance / 2, (1 - self.power) / self.gates
        if self.every is not None:
            stake = best_stake(margin, self.discordance)
            chances = half, 1 - 2 * half, half
            bet = Betting((-1.0, 0.0, 1.0), chances, -margin, self.alpha, stake)
            return bet.power(n, self.every) >= 1 - beta
        if n > MOST_EXACT:
            return self.formula(n) <= margin
        return paired_settles(n, half, half, -margin, self.alpha, 1 - beta)

    def formula(self, n: int) -> float:
        """The smallest margin, by the normal approximation."""
        return detectable_effect(n, self.discordance, self.alpha, self.power, self.gates)

    def fewest(self, margin: float) -> int:
        """The cases with which a margin is shown if none of them differs: it has to be rare that
        none does if a share of ``margin`` of them did, (1 − margin)ⁿ, and the test has to agree.
        """
        least = self.sharp(margin)
        if not 0 < margin < 1 or self.every is not None:
            return least
        least = max(least, _rare(margin, self.alpha))
        while not self.graded and least <= MOST_EXACT:
            if exact_paired_p(0, 0, least, -margin) <= self.alpha:
                break
            least += 1
        return least

    def sharp(self, margin: float) -> int:
        """The cases with which an incumbent without any noise is known as finely as a margin.

        Of bets: until they have won 1/alpha. A margin of nothing is never shown, by however many.
        """
        if not 0 < margin < 1:
            return 1 if margin else NEVER
        if self.every is not None:
            return fewest_bets(margin, self.alpha, best_stake(margin, self.discordance))
        if self.pooled:
            return _rare(margin, self.alpha)
        z = NormalDist().inv_cdf(1 - self.alpha)
        return math.floor(z * z * (1 - margin) / margin) + 1


def resolutions(plan: Mapping[str, Any]) -> list[Resolution]:
    """What each gate of a plan (the content of plan.json) can tell apart."""
    return [_resolution(gate, plan) for gate in plan["gates"]]


def resolution_warnings(plan: Mapping[str, Any]) -> Iterator[str]:
    """The gates whose margin is finer than the workload can resolve."""
    for each in resolutions(plan):
        head = f"the gate {each.gate!r}"
        if each.never is not None:
            yield f"{head} cannot pass: {each.never}"
        elif each.sampled and each.hopeless:
            there = "there is" if each.cases == 1 else "there are"
            yield (
                f"{head} {each.hopeless}: it takes {units(each.at_least, plan)} at the least, and "
                f"{there} {each.cases:,}"
            )
        elif each.smallest is not None and each.margin is not None and each.smallest > each.margin:
            verb = "resolves" if each.cases == 1 else "resolve"
            yield (
                f"{head} is likely to stay open: its margin of {amount(each.unit, each.margin)} is "
                f"finer than what {units(each.cases, plan)} {verb}, "
                f"{amount(each.unit, each.smallest)} (power {level('share', plan['power'])}, if "
                f"{level('share', plan['discordance'])} of the cases are right on one side only)"
            )


def units(count: int, plan: Mapping[str, Any]) -> str:
    """So many cases, or clusters where there are any."""
    return count_of(count, "independent cluster" if _clustered(plan) else "case")


def cases_that_resolve(each: Resolution, plan: Mapping[str, Any]) -> int | None:
    """How many cases (or clusters) resolve a gate's margin with the plan's power, where both sides
    are truly equal, and never fewer than it takes at all. None where no number of them does."""
    if each.at_least == NEVER:
        return None
    if each.smallest is None or not each.margin:
        return each.at_least
    test, margin = _test(_gate_of(each, plan), plan), each.margin
    if margin >= 1:
        return each.at_least
    formula = sample_size_paired(test.discordance, margin, test.alpha, test.power, test.gates)
    start = max(each.at_least, min(formula, MOST) // 2)
    return fewest_of(lambda n: test.settles(n, margin), start, MOST)


def _gate_of(each: Resolution, plan: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(gate for gate in plan["gates"] if gate["name"] == each.gate)
    return found


def _resolution(gate: Mapping[str, Any], plan: Mapping[str, Any]) -> Resolution:
    measure = BY_NAME[gate["measure"]]
    head = gate["name"], measure.unit, gate["margin"], gate["limit"], _cases(measure, plan)
    if not _is_sampled(gate):
        return Resolution(*head, at_least=0)
    alpha, margin = plan["alpha_per_candidate"], gate["margin"]
    if measure.quantile is not None:
        two_arms = 1 if margin is None else 2  # each at half the error
        confidence, sequential = 1 - 2 * alpha / two_arms, plan["mode"] == "sequential"
        fewest = fewest_samples(measure.quantile, confidence, sequential=sequential)
        return Resolution(*head, fewest)
    if measure.unit != "share":
        return Resolution(*head, at_least=2)
    if margin is None:
        return Resolution(*head, _fewest_for(measure, gate["limit"], plan))
    test, whole = _test(gate, plan), _test(gate, plan, whole=True)
    sharp = whole.sharp(margin)
    if _clustered(plan) and whole.every is None and 0 < margin < 1:
        sharp = _rare(margin, alpha)  # the least width of an interval of clusters
    # How much scores vary nobody knows beforehand: the discordance is that of right and wrong.
    smallest = None if test.graded else _smallest(test, _cases(measure, plan))
    return Resolution(*head, whole.fewest(margin), smallest, sharp=sharp)


def _cases(measure: Measure, plan: Mapping[str, Any]) -> int:
    """The cases that a gate has, or what its clusters are worth.

    Bets are made on clusters as if all were as large as the largest one.
    """
    if plan["mode"] == "sequential" and measure.quantile is None:
        return int(plan["workload"]["asked"] // plan["clusters"]["largest"])
    return int(plan["clusters"]["effective"])


def _test(gate: Mapping[str, Any], plan: Mapping[str, Any], *, whole: bool = False) -> Test:
    """How a gate is tested. With clusters a part of the error is for what is not known of them; of
    the ``whole`` one less cannot pass, whatever is found."""
    alpha, every = plan["alpha_per_candidate"], None
    if plan["mode"] == "sequential":
        every = max(1, plan["replay"]["block"] // plan["clusters"]["largest"])
    elif _clustered(plan) and not whole:
        alpha *= 1 - UNKNOWN
    gates = sum(_is_sampled(each) for each in plan["gates"])
    at = plan["power"], gates, plan["discordance"], every
    measure = BY_NAME[gate["measure"]]
    return Test(alpha, *at, measure.graded, measure.pooled)


@lru_cache(maxsize=64)
def _smallest(test: Test, cases: int) -> float:
    """The smallest margin that so many cases settle; at most 1."""
    if test.every is None and cases > MOST_EXACT:
        return min(max(test.formula(cases), smallest_of(lambda m: cases >= test.fewest(m))), 1.0)
    return smallest_of(lambda margin: test.settles(cases, margin))


def _fewest_for(measure: Measure, limit: float, plan: Mapping[str, Any]) -> int:
    """The cases with which a limit is kept for sure where all are as they should be."""
    room = 1 - limit if measure.better == "higher" else limit
    if not 0 < room < 1:
        return 1 if room > 0 else NEVER
    alpha = plan["alpha_per_candidate"]
    if plan["mode"] == "sequential":
        return fewest_bets(room, alpha, USUAL_STAKE)
    return _rare(room, alpha * (1 - UNKNOWN) if _clustered(plan) else alpha)


def _rare(share: float, alpha: float) -> int:
    """Of how many cases it is rare that none is of such a share: (1 − share)ⁿ ≤ alpha."""
    return math.ceil(math.log(alpha) / math.log1p(-share))


def _clustered(plan: Mapping[str, Any]) -> bool:
    return bool(plan["clusters"]["largest"] > 1)


def _is_sampled(gate: Mapping[str, Any]) -> bool:
    return gate["margin"] is not None or BY_NAME[gate["measure"]].section in {"drift", "latency"}
