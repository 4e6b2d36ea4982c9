"""How many cases a gate on a share takes in all, if what was seen so far holds: by its own test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exitdrill.measures.base import Array, Mask, Pair, Row, case_means
from exitdrill.measures.intervals import UNKNOWN, Labels, least_width
from exitdrill.resolution import MOST_EXACT
from exitdrill.stats import USUAL_STAKE, best_stake, largest_design_effect
from exitdrill.stats.power import Betting, critical, fewest_of, paired_settles, share_settles
from exitdrill.verdict.gate import Test

MOST = 2_000_000
"""Cases beyond which nobody looks."""
MOST_COPIES, MOST_COPIED = 12, 50_000
"""What was seen is looked at as if it had been seen so many times, and so many cases, at most."""


@dataclass(frozen=True)
class Seen:
    """A gate on a share as it stands: its value, the one-sided error and the power with which its
    bound is to be refuted, from the side on which the value lies."""

    test: Test
    row: Row
    value: float
    alpha: float
    power: float

    @property
    def distance(self) -> float:
        """How far the value lies from the bound."""
        return abs(self.value - self.test.bound)

    @cached_property
    def error(self) -> float:
        """The standard error of the value."""
        if self.test.relative and self.row.error is not None:
            return self.row.error
        return math.sqrt(self._variance * self._effect(1) / max(self.row.n, 1))

    @cached_property
    def total(self) -> int | None:
        """How many cases in all; None where nobody asks so many."""
        units = self._bets() if self.test.pair.looks is not None else self._cases()
        if units is None:
            return None
        measured = self.row.n / len(self.test.pair.candidate.columns["answered"])
        total = math.ceil(units / measured * (1 - 1e-12)) if measured else MOST
        return total if total <= MOST else None

    # --- judged once --------------------------------------------------------------------------

    def _cases(self) -> float | None:
        """Of which a value is measured, in a drill that is judged once."""
        effective = self._effective()
        if effective is None:
            return None
        total = self._with_clusters(effective)
        if self._labels is None and not self.test.measure.graded:
            return total
        return fewest_of(self._wide_enough, math.ceil(total * (1 - 1e-12)), MOST)

    def _effective(self) -> int | None:
        """The independent ones that its test takes."""
        spread = (critical(self._level) + critical(1 - self.power)) / self.distance
        formula = max(math.ceil(self._variance * spread**2 * (1 - 1e-12)), 1)
        if self.test.measure.graded or formula > MOST_EXACT:
            return formula
        if not self.test.relative:
            share, limit = self.value, self.test.bound
            if share < limit:
                share, limit = 1 - share, 1 - limit
            return fewest_of(lambda n: self._of_share(n, share, limit), formula // 2, MOST)
        better, worse = self._flows if self._side > 0 else self._flows[::-1]
        bound = self._side * self.test.bound
        if not -1 < bound < 1:
            return None
        least = math.ceil(math.log(self._level) / math.log1p(-min(self.distance, 0.99)))
        return fewest_of(
            lambda n: paired_settles(n, better, worse, bound, self._level, self.power),
            max(formula, least),
            2 * MOST_EXACT,
            within=0.02,
        )

    def _of_share(self, n: int, share: float, limit: float) -> bool:
        return 0 <= limit < 1 and share_settles(n, share, limit, self._level, self.power)

    def _with_clusters(self, effective: int) -> float:
        """With how many cases, in clusters, there are so many independent ones.

        How alike the cases of a cluster are is known better the more of them there are: what was
        seen is looked at as if it had been seen again and again.
        """
        if self._labels is None:
            return effective
        n = len(self._labels)
        copies = max(min(MOST_COPIES, MOST_COPIED // n), 1)
        needed = effective * self._effect(1)
        for times in range(2, copies + 1):
            if needed <= (times - 1) * n:
                break
            needed = max(effective * self._effect(times), (times - 1) * n + 1)
        return needed

    def _effect(self, times: int) -> float:
        """The design effect that the test reckons with, had as much been seen so many times."""
        if self._labels is None or self.test.pair.looks is not None:
            return 1.0
        codes = np.unique(self._labels, return_inverse=True)[1]
        many = np.concatenate([codes + number * (codes.max() + 1) for number in range(times)])
        return largest_design_effect(np.tile(self._values, times), many, UNKNOWN * self.alpha)

    def _wide_enough(self, total: int) -> bool:
        """Whether even the least width of an interval (`least_width`) leaves the bound out."""
        least = least_width(self._worth * total, 1 - 2 * self.alpha)
        error = self.error * math.sqrt(len(self._values) / total)
        return bool(least + max(critical(1 - self.power), 0.0) * error < self.distance)

    # --- looked at while it runs --------------------------------------------------------------

    def _bets(self) -> float | None:
        """Of which a value is measured, in a drill that is looked at while it runs.

        Every cluster is bet on as if it were as large as the largest one, and wholly alike.
        """
        looks, bound = self.test.pair.looks, self.test.bound
        if looks is None:
            return None
        if self.test.relative:
            better, worse = self._flows
            stake = best_stake(abs(bound), looks.discordance) if bound else USUAL_STAKE
            values, chances = (-1.0, 0.0, 1.0), (worse, max(1 - better - worse, 0.0), better)
            bet = Betting(values, chances, bound, self.alpha, stake, self._side)
        else:
            share = (1 - self.value, self.value)
            bet = Betting((0.0, 1.0), share, bound, self.alpha, USUAL_STAKE, self._side, 0.0)
        if bet.unsound:
            return None
        units = bet.cases(self.power, looks.every, MOST)
        return None if units is None else units * looks.largest

    # --- what was seen ------------------------------------------------------------------------

    @property
    def _side(self) -> int:
        return 1 if self.value > self.test.bound else -1

    @property
    def _level(self) -> float:
        """What is left of the error: a part of it is for what is not known of clusters."""
        return self.alpha if self._labels is None else self.alpha * (1 - UNKNOWN)

    @cached_property
    def _flows(self) -> tuple[float, float]:
        """The shares of cases that only the candidate, or only the incumbent, gets right; what
        repeats of a case say is averaged, each with each."""
        if self.test.measure.rival:
            won, lost = (float(np.mean(self._values == side)) for side in (1, -1))
            return won, lost
        ours, theirs = _columns(self.test)
        gaps = theirs[:, np.newaxis, :] - ours[:, :, np.newaxis]
        won, lost = (
            float(np.nanmean(np.clip(side * gaps, 0, None), axis=(1, 2)).mean()) for side in (1, -1)
        )
        return won, lost

    @property
    def _variance(self) -> float:
        """Of one case."""
        if self.test.measure.graded:
            return float(np.var(self._values))
        if not self.test.relative:
            return max(self.value * (1 - self.value), 0.0)
        return max(sum(self._flows) - self.value**2, 0.0)

    @cached_property
    def _values(self) -> Array:
        """What is averaged, per case: the difference, or the candidate's value."""
        ours, theirs = (case_means(each) for each in _columns(self.test))
        if not self.test.relative:
            return theirs
        found: Array = 2 * theirs - 1 if self.test.measure.rival else theirs - ours
        return found

    @cached_property
    def _labels(self) -> Labels:
        return self.test.pair.labels(_measured(self.test.pair, self.test.measure.reads))

    @cached_property
    def _worth(self) -> float:
        """What a case is worth of an independent one, if the cases of a cluster are all alike."""
        cases = _measured(self.test.pair, self.test.measure.reads)
        return max(self.test.pair.independent(cases), 1) / max(len(self._values), 1)


def _measured(pair: Pair, column: str) -> Mask:
    arms = (pair.incumbent, pair.candidate)
    found: Mask = ~np.any([np.isnan(arm.columns[column]).all(axis=1) for arm in arms], axis=0)
    return found


def _columns(test: Test) -> tuple[Array, Array]:
    """Both arms' values, of the cases that were measured on both."""
    name = test.measure.reads
    cases = _measured(test.pair, name)
    return test.pair.incumbent.columns[name][cases], test.pair.candidate.columns[name][cases]
