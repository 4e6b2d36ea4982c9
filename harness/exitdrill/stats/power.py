"""How often a gate is settled by so many cases: by the very tests that the verdict uses.

The formula of `sample_size_paired` is an approximation. With few cases that differ the exact test
is coarser, and whoever looks again and again needs more; here the former is reckoned outcome by
outcome, the latter by drilling some thousand times from a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from exitdrill.stats.base import Array, Counts
from exitdrill.stats.paired import exact_paired_p, tango_statistics
from exitdrill.stats.sequential import mixed, stakes_beside

PATHS, LOOKS = 2_000, 128
"""Drills that are simulated, and at most so many looks at each: fewer looks only cost power."""
SEED = 4
FEW_PATHS = 400
"""Drills that are simulated to find out how many cases are enough."""


def paired_settles(
    n: int, better: float, worse: float, difference: float, alpha: float, power: float
) -> bool:
    """Whether n cases refute "the difference is at most ``difference``" with that power, by
    `exact_paired_p`.

    Shares ``better`` and ``worse`` of the cases are right on one side only. The outcomes are lined
    up by Tango's statistic, the clearest first; the one at which their chances add up to the power
    has to be refuted, and then all before it are.
    """
    gained, lost, chances = _outcomes(n, better, worse)
    z = tango_statistics(gained, lost, n, difference)
    order = np.argsort(-z, kind="stable")
    place = int(np.searchsorted(np.cumsum(chances[order]), power * (1 - 1e-9)))
    if place >= len(order):
        return False
    last = order[place]
    if z[last] <= critical(alpha):
        return False
    return exact_paired_p(float(gained[last]), float(lost[last]), n, difference) <= alpha


def share_settles(n: int, share: float, limit: float, alpha: float, power: float) -> bool:
    """Whether n cases refute "the share is at most ``limit``" with that power, by
    `proportion_interval`, if ``share`` is the true one."""
    from scipy.special import bdtrc

    def refuted(count: int) -> bool:
        return float(bdtrc(count - 1.0, n, limit)) < alpha

    below, above = 0, n + 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if refuted(middle) else (middle, above)
    return above <= n and float(bdtrc(above - 1.0, n, share)) >= power * (1 - 1e-9)


def fewest_of(
    enough: Callable[[int], bool], start: int, most: int, within: float = 0.002
) -> int | None:
    """About the fewest cases that are enough, at least ``start``; None where ``most`` are not.

    ``within`` is the share of them by which there may be too many.
    """
    above, step = max(start, 1), 1.04
    if enough(above):
        return above
    below, above = above, min(above + 1, most)
    while not enough(above):
        if above >= most:
            return None
        below, above = above, min(math.ceil(above * step), most)
        step = min(step**2, 2.0)
    while above - below > max(above * within, 1):
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def smallest_of(enough: Callable[[float], bool]) -> float:
    """The smallest margin that is enough, to a hundredth of a point; 1 where none is."""
    below, above = 0.0, 1.0
    while above - below > 1e-4 * min(above * 10, 1):
        middle = (below + above) / 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


@dataclass(frozen=True)
class Betting:
    """A bet on a mean, case by case, as `Bets` makes it: what a case gives, and with what chances.

    Refuted is "at most ``mean``" with ``side`` 1, "at least" with −1, as soon as what is won
    reaches 1/alpha. Every value lies between ``low`` and 1.
    """

    values: tuple[float, ...]
    chances: tuple[float, ...]
    mean: float
    alpha: float
    stake: float
    side: int = 1
    low: float = -1.0

    @property
    def unsound(self) -> bool:
        """Whether there is nothing to bet on: no value can lie beyond the mean."""
        return not self.low < self.mean < 1

    def power(self, n: int, every: int = 1) -> float:
        """How often so many cases refute it, of which is looked at after every so many.

        Simulated: exact to about one point in a hundred.
        """
        counts = _drilled(self.chances, n, every, PATHS)
        won = mixed(counts @ self._logs()).max(axis=1)
        return float(np.mean(won >= math.log(1 / self.alpha)))

    def cases(self, power: float, every: int, most: int) -> int | None:
        """About how many cases refute it that often; None where ``most`` are not enough."""
        logs, needed = self._logs(), math.log(1 / self.alpha)
        growth = float((np.asarray(self.chances) @ logs).max())
        if growth <= 0:
            return None
        if max(self.chances) >= 1:  # nothing is left to chance
            steps = logs[int(np.argmax(self.chances))]
            return fewest_of(lambda n: bool(mixed(n * steps) >= needed), int(needed / growth), most)
        horizon = int(2 * (needed + 2) / growth) + 2 * every
        while horizon < 8 * most:
            counts = _drilled(self.chances, horizon, every, FEW_PATHS)
            won = np.maximum.accumulate(mixed(counts @ logs), axis=1) >= needed
            often = won.mean(axis=0) >= power
            if often.any():
                found = int(_ends(horizon, every)[int(np.argmax(often))])
                return found if found <= most else None
            horizon *= 2
        return None

    def _logs(self) -> Array:
        """What each value does to the logarithm of each stake."""
        room = self.mean - self.low if self.side > 0 else 1 - self.mean
        gains = self.side * (np.asarray(self.values) - self.mean) / room
        logs: Array = np.log1p(np.outer(gains, stakes_beside(self.stake)))
        return logs


@lru_cache(maxsize=4)
def _drilled(chances: tuple[float, ...], n: int, every: int, paths: int) -> Array:
    """How often each value was seen at each look: (drills, looks, values)."""
    ends = _ends(n, every)
    drawn = np.random.default_rng(SEED).multinomial(
        np.diff(ends, prepend=0), chances, size=(paths, len(ends))
    )
    seen: Array = drawn.cumsum(axis=1).astype(float)
    seen.flags.writeable = False
    return seen


def _ends(n: int, every: int) -> Counts:
    """After how many cases is looked."""
    step = max(every, -(-n // LOOKS))
    return np.append(np.arange(step, n, step), n)


def critical(alpha: float) -> float:
    """z(1 − α)."""
    from scipy.special import ndtri

    return float(ndtri(1 - alpha))


def _outcomes(n: int, better: float, worse: float) -> tuple[Counts, Counts, Array]:
    """The counts for and against that are likely at all, with the chance of each."""
    from scipy.special import gammaln, xlogy

    gained, lost = (each.ravel() for each in np.meshgrid(_near(n, better), _near(n, worse)))
    fit = gained + lost <= n
    gained, lost = gained[fit], lost[fit]
    same = n - gained - lost
    ways = gammaln(n + 1) - gammaln(gained + 1) - gammaln(lost + 1) - gammaln(same + 1)
    logs = ways + xlogy(gained, better) + xlogy(lost, worse)
    logs = logs + xlogy(same, max(1 - better - worse, 0.0))
    return gained, lost, np.exp(logs)


def _near(n: int, share: float) -> Counts:
    spread = 6 * math.sqrt(n * share * (1 - share)) + (8 if share else 0)
    return np.arange(max(0, int(n * share - spread)), min(n, int(n * share + spread)) + 1)
