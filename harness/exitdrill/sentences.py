"""What a gate's numbers mean, in one plain sentence that needs no statistics to be understood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from exitdrill.stats import Interval

_WORDS = {"share": ("more", "fewer", "as many"), "s": ("longer", "shorter", "as long")}
_OTHER_WORDS = ("more", "less", "as much")


@dataclass(frozen=True)
class Figures:
    """The numbers of a gate, with what they count. ``interval`` is that of ``value``."""

    value: float
    interval: Interval
    margin: float
    unit: str
    better: Literal["higher", "lower"]
    things: str = ""


def compared(figures: Figures, status: str) -> str:
    """Against the incumbent: "2.1 points fewer right answers than the incumbent (at worst …)"."""
    more, fewer, equal = _WORDS.get(figures.unit, _OTHER_WORDS)
    things = f" {figures.things}" if figures.things else ""

    def difference(value: float) -> str:
        return f"{amount(figures.unit, abs(value))} {more if value > 0 else fewer}"

    def end(value: float) -> str:
        return "no difference" if value == 0 else difference(value)

    value = figures.value
    if value == 0:
        head = f"{equal}{things} as the incumbent"
    else:
        head = f"{difference(value)}{things} than the incumbent"
    wrong = fewer if figures.better == "higher" else more
    allowed = f"allowed are {amount(figures.unit, figures.margin)} {wrong}"
    return _told(head, *_worst_first(figures, end), allowed, status)


def limited(figures: Figures, status: str) -> str:
    """Against a limit, where the value is an estimate: "94.2 % right answers (at worst …)"."""

    def end(value: float) -> str:
        return level(figures.unit, value)

    things = f" {figures.things}" if figures.things else ""
    limit = level(figures.unit, figures.margin)
    needed = f"at least {limit} is required"
    if figures.better == "lower":
        needed = f"at most {limit} is allowed"
    head = end(figures.value) + things
    return _told(head, *_worst_first(figures, end), needed, status)


def counted(value: float, limit: float, unit: str, *, kept: bool) -> str:
    """Against a limit, where the value is what it is: "52 lines, within the limit of 60 lines"."""
    word = "within" if kept else "beyond"
    return f"{level(unit, value)}, {word} the limit of {level(unit, limit)}"


def amount(unit: str, value: float) -> str:
    """A difference without its sign: ``2.1 points``, ``320 ms``."""
    if unit != "share":
        return level(unit, value)
    if not math.isfinite(value):
        return "any number of points"
    text = _percentage(value)
    return f"{text} point" if text == "1" else f"{text} points"


def level(unit: str, value: float) -> str:
    """A value: ``94.2 %``, ``320 ms``, ``60 lines``, ``0.0512 EUR per 1,000 requests``."""
    if not math.isfinite(value):
        return "a missed deadline"
    if unit == "share":
        return f"{_percentage(value)} %"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} {unit.replace('/1000 ', ' per 1,000 ')}"


def count_of(number: int, thing: str) -> str:
    """So many of a thing: ``1 case``, ``1,200 cases``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _worst_first(figures: Figures, end: Callable[[float], str]) -> tuple[str, str]:
    low, high = figures.interval
    worst, best = (low, high) if figures.better == "higher" else (high, low)
    return end(worst), end(best)


def _told(head: str, worst: str, best: str, needed: str, status: str) -> str:
    if status == "pass":
        return f"{head} (at worst {worst}); {needed}"
    if status == "fail":
        return f"{head} (at best {best}); {needed}"
    return f"{head}, but anything from {worst} to {best} is possible; {needed}: not settled"


def _percentage(share: float) -> str:
    text = f"{share * 100:.1f}"
    if share and not float(text):  # too small for one decimal: it must not read as nothing
        return _digits(share * 100)
    return text.removesuffix(".0")


def _digits(value: float) -> str:
    """Three significant digits, never fewer than the integer has."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
