"""What a plan's gates can tell apart, before anything is asked: the smallest effect, the fewest
cases."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from exitdrill.measures import BY_NAME
from exitdrill.sentences import amount, level
from exitdrill.stats import best_stake, detectable_effect, fewest_bets, fewest_samples


@dataclass(frozen=True)
class Resolution:
    """One gate: how many cases (or clusters) it has, and how many it takes at the least.

    ``smallest`` is the smallest margin that so many cases settle with the plan's power, if its
    ``discordance`` is right and both sides are truly equal; None where that is not known
    beforehand (a time: it depends on how times vary), or where there is no margin.
    """

    gate: str
    unit: str
    margin: float | None
    limit: float | None
    cases: int
    at_least: int
    smallest: float | None = None

    @property
    def sampled(self) -> bool:
        """Whether the gate rests on a sample; a count or a price does not."""
        return self.at_least > 0


def resolutions(plan: Mapping[str, Any]) -> list[Resolution]:
    """What each gate of a plan (the content of plan.json) can tell apart."""
    sampled = sum(_is_sampled(gate) for gate in plan["gates"])
    return [_resolution(gate, plan, sampled) for gate in plan["gates"]]


def resolution_warnings(plan: Mapping[str, Any]) -> Iterator[str]:
    """The gates whose margin is finer than the workload can resolve."""
    for each in resolutions(plan):
        head = f"the gate {each.gate!r}"
        if each.sampled and each.cases < each.at_least:
            yield (
                f"{head} cannot pass: it takes {each.at_least:,} cases at the least, and "
                f"there are {each.cases:,}{_of_clusters(plan)}"
            )
        elif each.smallest is not None and each.margin is not None and each.smallest > each.margin:
            yield (
                f"{head} is likely to stay open: its margin of {amount(each.unit, each.margin)} is "
                f"finer than what {each.cases:,} cases resolve{_of_clusters(plan)}, "
                f"{amount(each.unit, each.smallest)} (power {level('share', plan['power'])}, if "
                f"{level('share', plan['discordance'])} of the cases are right on one side only)"
            )


def _resolution(gate: Mapping[str, Any], plan: Mapping[str, Any], gates: int) -> Resolution:
    measure = BY_NAME[gate["measure"]]
    alpha, margin = plan["alpha_per_candidate"], gate["margin"]
    cases = plan["clusters"]["count"]
    head = gate["name"], measure.unit, margin, gate["limit"], cases
    if not _is_sampled(gate):
        return Resolution(*head, at_least=0)
    if measure.section == "latency":
        q = float(f"0.{measure.name.rpartition('_p')[2]}")
        two_arms = 1 if margin is None else 2  # each at half the error
        sequential = plan["mode"] == "sequential"
        return Resolution(*head, fewest_samples(q, 1 - 2 * alpha / two_arms, sequential=sequential))
    if margin is None or measure.unit != "share":
        return Resolution(*head, at_least=2)
    smallest = detectable_effect(cases, plan["discordance"], alpha, plan["power"], gates)
    fewest = _fewest_bets if plan["mode"] == "sequential" else _fewest
    return Resolution(*head, fewest(margin, alpha, plan["discordance"]), min(smallest, 1.0))


def _is_sampled(gate: Mapping[str, Any]) -> bool:
    return gate["margin"] is not None or BY_NAME[gate["measure"]].section in {"drift", "latency"}


def _fewest(margin: float, alpha: float, _: float) -> int:
    """The cases with which a gate passes where none of them differs.

    Tango's interval has to lie inside the margin, and the exact test has to agree: it asks how
    often no case would differ if a share of ``margin`` of them did, (1 − margin)ⁿ. A margin of
    nothing at all is never shown, by however many cases.
    """
    if not 0 < margin < 1:
        return 1 if margin else sys.maxsize
    z = NormalDist().inv_cdf(1 - alpha)
    tango = math.floor(z * z * (1 - margin) / margin) + 1
    return max(tango, math.ceil(math.log(alpha) / math.log(1 - margin)))


def _fewest_bets(margin: float, alpha: float, discordance: float) -> int:
    """The same for a drill that is looked at while it runs: until the bet has won 1/alpha."""
    if not 0 < margin < 1:
        return 1 if margin else sys.maxsize
    return fewest_bets(margin, alpha, best_stake(margin, discordance))


def _of_clusters(plan: Mapping[str, Any]) -> str:
    return "" if plan["clusters"]["largest"] == 1 else " clusters that are independent"
