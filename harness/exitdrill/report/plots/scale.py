"""From measured numbers, of any size, to places in a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOG_FROM = 20.0
"""The ratio of the largest to the smallest number from which an axis is logarithmic."""
MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high``, as percent of a width, with ``padding`` percent each side.

    Numbers beyond it are drawn at its ends.
    """

    low: float
    high: float
    log: bool = False
    padding: float = 0.0

    @classmethod
    def of(cls, numbers: Iterable[float], padding: float = 6.0) -> Scale:
        """The linear axis that holds all these numbers."""
        found = [float(number) for number in numbers] or [0.0]
        return cls(*_apart(min(found), max(found)), padding=padding)

    @classmethod
    def of_times(cls, numbers: Iterable[float]) -> Scale:
        """An axis for positive numbers: logarithmic where they differ much, else from 0."""
        found = [float(number) for number in numbers] or [0.0]
        low, high = min(found), max(found)
        # Divided by the smaller: the other way round a huge number is no number any more.
        if low > 0 and low / high < 1 / LOG_FROM:
            return cls(low, high, log=True)
        return cls(*_apart(min(low, 0.0), high))

    def at(self, number: float) -> float:
        """The place of a number, in percent."""
        share = min(1.0, max(0.0, self._share(number)))
        return self.padding + share * (100 - 2 * self.padding)

    def ticks(self) -> list[float]:
        """A few round numbers on the axis."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)

    def _share(self, number: float) -> float:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(max(number, self.low)) - low) / ((high - low) or 1.0)
        # Halved: the span of two huge numbers of different signs may not be a number.
        return (number / 2 - self.low / 2) / (self.high / 2 - self.low / 2)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Two ends that differ by enough to divide by."""
    if high / 2 - low / 2 > abs(low) * 1e-12 + 1e-300:
        return low, high
    step = abs(low) * 0.1 or 1.0
    if math.isinf(high + step):
        return low - step, high
    return low, high + step


def _ticks(low: float, high: float) -> list[float]:
    span = (high / 2 - low / 2) / (MOST_TICKS - 1) * 2
    if math.isinf(span) or span < 1e-300:
        return [low, high]
    size = 10.0 ** math.floor(math.log10(span))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= span * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step + 1e-9)
    if last - first > 2 * MOST_TICKS or math.isinf(step):
        return [low, high]
    return [
        number for number in (count * step for count in range(first, last + 1)) if number >= low
    ]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    factors: Sequence[int] = (1, 2, 5) if last - first < 3 else (1,)
    every = 1 + (last - first) // MOST_TICKS
    powers = range(first, last + 1, every)
    made = [factor * 10.0**power for power in powers for factor in factors]
    return [number for number in made if low <= number <= high] or [low, high]


def few(ticks: Sequence[float], most: int = 4) -> Sequence[float]:
    """So many of them that their labels do not touch in a narrow drawing."""
    return ticks[:: max(1, -(-len(ticks) // most))]


def compact(number: float) -> str:
    """``12``, ``3.4k``, ``1.2M``, ``5e+12``: a number that takes little room."""
    size = abs(number)
    if size >= 999.5e9:
        return f"{number:.2g}"
    for least, factor, suffix in ((999.5e6, 1e9, "bn"), (999.5e3, 1e6, "M"), (999.5, 1e3, "k")):
        if size >= least:
            return f"{number / factor:.3g}{suffix}"
    return f"{number:.3g}"
