"""Numbers as people read them: one scale and one precision for a row, so that its cells compare."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exitdrill.sentences import FINEST, SAME

NOT_MEASURED = "not measured"
SHARE = " %"
LEAST, MOST = 1e-9, 1e15
"""Numbers that can still be read without an exponent."""
_MONEY = re.compile(r"^[A-Z]{3}\b")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How the numbers of one row are written.

    ``suffix`` follows a value, ``step`` a difference of two values. ``heading`` is the unit where
    cells do not carry it.
    """

    factor: float
    decimals: int
    suffix: str
    step: str
    heading: str = ""

    def beside(self, limit: float, numbers: Iterable[float | None]) -> Quantity:
        """The same with as many decimals as it takes for these not to read like the limit."""
        known = [n for n in numbers if n is not None and not math.isclose(n, limit, rel_tol=SAME)]
        finer = [replace(self, decimals=self.decimals + more) for more in range(FINEST)]
        told = (each for each in finer if not any(each._reads_like(limit, n) for n in known))
        return next(told, self)

    def value(self, number: float | None) -> str:
        """A number, or the words that it was not measured."""
        if number is None:
            return NOT_MEASURED
        if self._is_nearly_all(number):  # it may not read as all
            return replace(self, decimals=self.decimals + 1).value(number)
        return self._digits(number) + self.suffix

    def difference(self, number: float | None) -> str:
        """A signed number: candidate - incumbent."""
        return NOT_MEASURED if number is None else self._signed(number) + self.step

    def spread(self, number: float | None) -> str:
        """A difference without a direction: noise."""
        return NOT_MEASURED if number is None else self._digits(number) + self.step

    def interval(self, pair: Sequence[float] | None) -> str:
        """Two signed numbers."""
        if pair is None:
            return NOT_MEASURED
        low, high = pair
        return f"{self._signed(low)} to {self._signed(high)}{self.step}"

    def limit(self, number: float) -> str:
        """A value that somebody set: all the digits that it has, and none that it has not."""
        return self._set(number) + self.suffix

    def allowance(self, number: float) -> str:
        """A signed difference that somebody set."""
        return f"{'+' if number > 0 else ''}{self._set(number)}{self.step}"

    def range(self, pair: Sequence[float]) -> str:
        """Two values of one end."""
        low, high = pair
        return f"{self._digits(low)} to {self._digits(high)}{self.suffix}"

    def _set(self, number: float) -> str:
        scaled = number * self.factor
        return f"{'−' if scaled < 0 else ''}{_plain(abs(scaled), 10)}"

    def _is_nearly_all(self, number: float) -> bool:
        """Whether it is a share below 100 % that reads like 100 %."""
        if self.suffix != SHARE or number >= 1 or math.isclose(number, 1, rel_tol=SAME):
            return False
        return round(number * self.factor, self.decimals) == self.factor

    def _reads_like(self, limit: float, number: float) -> bool:
        shown = round(number * self.factor, self.decimals)
        return math.isclose(shown, limit * self.factor, rel_tol=SAME)

    def _signed(self, number: float) -> str:
        digits = self._digits(number)
        return digits if number <= 0 else f"+{digits}"

    def _digits(self, number: float) -> str:
        scaled = number * self.factor
        if scaled == 0:
            return "0"
        size = abs(scaled)
        text = f"{size:,.{self.decimals}f}"
        if size < 10 ** (1 - self.decimals) and not math.isclose(float(text), size):
            text = _plain(size, 2)  # too small for the row: two digits are what it needs to be read
        return text if scaled > 0 else f"−{text}"


def _plain(size: float, digits: int) -> str:
    """At most so many significant digits, without zeros at the end."""
    if not LEAST <= size < MOST:
        return f"{size:.{digits}g}"
    text = f"{size:,.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(
    unit: str, numbers: Iterable[float | None], leading: Iterable[float | None] = ()
) -> Quantity:
    """The way to write these numbers, which share a unit.

    ``leading`` are those that decide the scale, all of them by default. Units are not a closed
    list: one that is not known is written beside the row.
    """
    known = [number for number in numbers if number is not None]
    deciding = [number for number in leading if number] or known
    biggest = max((abs(number) for number in deciding), default=0.0)
    if unit == "share":
        return Quantity(100, 1, SHARE, " points")
    if unit == "s" and biggest < 1:
        return Quantity(1000, _decimals(biggest * 1000), " ms", " ms")
    if unit == "s":
        return Quantity(1, max(2, _decimals(biggest)), " s", " s")
    heading = unit.replace("/1000 ", " per 1,000 ")
    if all(float(number).is_integer() for number in known):
        return Quantity(1, 0, "", "", heading)
    least = 2 if _MONEY.match(unit) else 0
    return Quantity(1, max(least, _decimals(biggest)), "", "", heading)


def _decimals(biggest: float) -> int:
    """Decimals that leave three significant digits to the biggest number of a row."""
    if biggest == 0:
        return 0
    return min(12, max(0, 2 - math.floor(math.log10(biggest))))
