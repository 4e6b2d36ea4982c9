"""Looking at a drill while it runs, without paying for it with errors: e-processes.

A gambler bets on each new case that the hypothesis is false. If it is true the game is fair, or
worse, so the stake grows to 1/α at any time whatsoever with a probability of at most α (Ville's
inequality). So one may look after every case, and stop at will. Source: Waudby-Smith & Ramdas,
*Estimating means of bounded random variables by betting*, JRSS B 86 (2024) 1–27, arXiv 2010.09686.
Here the stakes are fixed beforehand, several of them side by side: a mean of e-processes is one,
and its value depends on how often each value was seen, so that it takes no pass over all cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from exitdrill.stats.base import (
    Array,
    Counts,
    Floats,
    Interval,
    Labels,
    TooFewSamples,
    inside,
    sorted_samples,
)
from exitdrill.stats.means import cluster_sums

SPREAD = (0.1, 0.5, 1.0, 1.8)
"""Stakes beside the one that is best if all is as expected, as multiples of it. The smallest wins
in the end however many cases differ, where a larger one would lose for ever."""
WEIGHTS = (0.1, 0.25, 0.4, 0.25)
RANK_STAKES, RANK_WEIGHTS = (0.1, 0.4, 0.9), (0.25, 0.5, 0.25)
"""The same for the ranks of a percentile, as shares of the highest stake."""
WIDEST = 0.95
"""The most of all that may be staked: what is left after one loss is never nothing."""
USUAL_STAKE = 0.4
MOST_KINDS, STEPS = 200, 400
"""Of values of more kinds than these each is rounded, to the side that proves less, to one of so
many steps: the work grows with the kinds of values and not with their number."""
GRID, ROUNDS = 17, 6
"""The ends of an interval are looked for on so many points, again and again: exact to 1e-7."""


def best_stake(margin: float, discordance: float) -> float:
    """The share of the highest stake with which a bet against −margin grows fastest if truly there
    is no difference: margin / discordance, of the highest, 1/(1 − margin).

    ``discordance`` is the share of cases in which both sides are expected to differ. Raises
    `ValueError` where one of them is no share.
    """
    inside(margin=margin)
    if not 0 <= discordance <= 1:
        raise ValueError(f"{discordance=} is no share")
    return min(margin * (1 - margin) / max(discordance, 1e-9), WIDEST)


def e_process(values: Floats, mean: float, stake: float = USUAL_STAKE, low: float = 0.0) -> Array:
    """The e-process against "the mean is at most ``mean``", after each of the values.

    The values are at least ``low``, one after the other as they come. It rejects at level α as
    soon as it reaches 1/α. ``stake`` is the share of the highest stake that is expected to be best.

    Raises `ValueError` for a value below ``low`` or that is not finite, a mean that is not above
    it, and a stake that does not lie between 0 and 1.
    """
    inside(stake=stake)
    found = np.asarray(values, dtype=float)
    if not low < mean < math.inf:
        raise ValueError(f"no value can be below {low}, so that no mean of {mean} can be refused")
    if not (np.isfinite(found) & (found >= low)).all():
        raise ValueError(f"values are finite, and not below {low}")
    stakes = stakes_beside(stake) / (mean - low)
    logs = np.cumsum(np.log1p(np.outer(found - mean, stakes)), axis=0)
    return np.exp(np.minimum(mixed(logs), 700.0))


def stakes_beside(best: float) -> Array:
    """The stakes that are registered beside the best one, as shares of the highest."""
    return np.minimum(np.asarray(SPREAD) * best, WIDEST)


def mixed(logs: Array, weights: Sequence[float] = WEIGHTS) -> Array:
    """The log of the mean of e-processes, of the logs of each, along the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    found: Array = top[..., 0] + np.log(np.exp(logs - top) @ np.asarray(weights))
    return found


@dataclass(frozen=True)
class Bets:
    """Bets on a mean: values in the order in which they came, looked at again and again.

    ``sums`` and ``sizes`` are of clusters of cases (each case its own without clusters), at most
    ``largest`` cases each; every value of a case lies between ``low`` and ``high``. ``looks`` are
    the numbers of clusters after which was looked.
    """

    sums: Array
    sizes: Array
    low: float
    high: float
    largest: int
    looks: Sequence[int]

    @classmethod
    def of(
        cls,
        values: Array,
        low: float,
        high: float,
        clusters: Labels | None = None,
        largest: int = 1,
        every: int = 1,
    ) -> Bets:
        """The values of cases in their order, those of a cluster beside each other."""
        labels = np.arange(len(values)) if clusters is None else _in_order(clusters)
        sums = cluster_sums(values, labels)
        sizes = cluster_sums(np.ones(len(values)), labels)
        looks = [*range(every, len(sums), every), len(sums)]
        return cls(sums, sizes, low, high, largest, looks)

    @cached_property
    def _seen(self) -> Mapping[int, tuple[Array, Array]]:
        """For each side: the different (sum, size), how often each had been seen at each look."""
        if len(np.unique(self.sums)) <= MOST_KINDS:
            return dict.fromkeys((1, -1), self._counted(self.sums))
        step = self.largest * (self.high - self.low) / STEPS
        floors, ceilings = (step * each(self.sums / step) for each in (np.floor, np.ceil))
        least, most = self.sizes * self.low, self.sizes * self.high
        sides = {1: np.maximum(floors, least), -1: np.minimum(ceilings, most)}
        return {side: self._counted(sums) for side, sums in sides.items()}

    def _counted(self, sums: Array) -> tuple[Array, Array]:
        kinds, places = np.unique(np.stack([sums, self.sizes], axis=1), axis=0, return_inverse=True)
        counts = np.zeros((len(self.looks), len(kinds)))
        begin = 0
        for row, end in enumerate(self.looks):
            counts[row] = np.bincount(places.ravel()[begin:end], minlength=len(kinds))
            begin = end
        return kinds, counts.cumsum(axis=0)

    def evidence(self, mean: float, stake: float, side: int) -> float:
        """The log of the highest value that the e-process against a mean had at any look.

        ``side`` 1: against "at most ``mean``"; −1: against "at least ``mean``".
        """
        return float(self._evidence(np.array([mean]), stake, side)[0])

    def interval(self, confidence: float, stake: float = USUAL_STAKE) -> Interval:
        """The means that no look refused, at half of 1 − ``confidence`` on each side.

        It holds the true mean at all looks together with at least that confidence, and only ever
        becomes narrower. Raises `TooFewSamples` for no value.
        """
        if not len(self.sums):
            raise TooFewSamples(1, 0)
        needed = math.log(2 / (1 - confidence))
        middle = float(self.sums.sum() / self.sizes.sum())

        def edge(end: float, side: int) -> float:
            return _edge(lambda means: self._evidence(means, stake, side) >= needed, end, middle)

        return edge(self.low, 1), edge(self.high, -1)

    def _evidence(self, means: Array, stake: float, side: int) -> Array:
        """`evidence` of many means at once."""
        room = means - self.low if side > 0 else self.high - means
        kinds, counts = self._seen[side]
        gains = side * (kinds[:, :1] - np.outer(kinds[:, 1], means)) / self.largest
        staked = gains[:, :, np.newaxis] * stakes_beside(stake)
        with np.errstate(divide="ignore", invalid="ignore"):  # where there is no room: see below
            logs = np.log1p(staked / room[:, np.newaxis])
            found = mixed(np.tensordot(counts, logs, axes=1)).max(axis=0)
        found = np.where(room > 0, np.fmax(found, 0.0), np.where(room < 0, math.inf, 0.0))
        evidence: Array = found
        return evidence


def _edge(refused: Callable[[Array], npt.NDArray[np.bool_]], end: float, middle: float) -> float:
    """Where between an end and the middle the refused means stop; the end where none is.

    The middle itself may be refused, by an earlier look: then all are.
    """
    if refused(np.array([middle]))[0]:
        return middle
    outside, inside = end, middle
    for _ in range(ROUNDS):
        grid = np.linspace(outside, inside, GRID)
        known = refused(grid)
        known[0] |= outside != end  # refused in the round before
        last = int(np.flatnonzero(known)[-1]) if known.any() else -1
        if last < 0:
            return end
        outside, inside = float(grid[last]), float(grid[min(last + 1, GRID - 1)])
    return outside


def _in_order(clusters: Labels) -> Labels:
    """The labels numbered as they come."""
    labels = np.asarray(clusters)
    begins = np.concatenate([[True], labels[1:] != labels[:-1]])
    numbered: Labels = np.cumsum(begins) - 1
    return numbered


def percentile_sequence(
    samples: Floats, q: float, confidence: float = 0.95, independent: int | None = None
) -> Interval:
    """The interval of a percentile that holds at all looks together, by order statistics.

    At each rank: would a bet that this many samples (or more, or fewer) lie below the percentile
    have won 1/α? Which ranks these are depends on n alone. ``independent`` is as in
    `percentile_interval`. Raises `TooFewSamples` where no rank is sure enough, and `ValueError` for
    a NaN among the samples.
    """
    inside(q=q, confidence=confidence)
    ordered = sorted_samples(samples)
    n = len(ordered) if independent is None else independent
    needed = math.log(2 / (1 - confidence))
    below = np.arange(n + 1)
    # Against "at most q lie below" (the percentile is no higher), and "at least q do".
    many = _log_e(below, n, q) >= needed
    few = _log_e(n - below, n, 1 - q) >= needed
    if not many.any() or not few.any():
        raise TooFewSamples(least_samples(q, confidence), n)
    high, low = int(np.argmax(many)), int(n - np.argmax(few[::-1]))
    first = low * len(ordered) // n
    last = -(-high * len(ordered) // n) - 1
    return float(ordered[first]), float(ordered[last])


def _log_e(hits: Counts, n: int, q: float) -> Array:
    """The log of the e-process against "hits have a chance of at most q"."""
    stakes = np.asarray(RANK_STAKES) / q
    wins, losses = np.log1p(stakes * (1 - q)), np.log1p(-stakes * q)
    return mixed(np.outer(hits, wins) + np.outer(n - hits, losses), RANK_WEIGHTS)


def fewest_bets(margin: float, alpha: float, stake: float) -> int:
    """After how many cases, none of which differs, `e_process` against −margin reaches 1/alpha.

    Raises `ValueError` for what does not lie between 0 and 1.
    """
    inside(margin=margin, alpha=alpha, stake=stake)
    gains = np.log1p(margin * stakes_beside(stake) / (1 - margin))

    def won(n: int) -> bool:
        return float(mixed(n * gains)) >= math.log(1 / alpha)

    above = 1
    while not won(above):
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if won(middle) else (middle, above)
    return above


def least_samples(q: float, confidence: float) -> int:
    """How many samples `percentile_sequence` takes: as many as it needs if all lie on one side."""
    needed = math.log(2 / (1 - confidence))
    n = 1
    for share in (q, 1 - q):
        while float(_log_e(np.array([n]), n, share)[0]) < needed:
            n += 1
    return n
