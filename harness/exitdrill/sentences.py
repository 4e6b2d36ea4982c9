"""What a gate's numbers mean, in one plain sentence that needs no statistics to be understood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exitdrill.stats import Interval

_WORDS = {"share": ("more", "fewer", "as many"), "s": ("longer", "shorter", "as long")}
_OTHER_WORDS = ("more", "less", "as much")
FINEST = 6
"""Digits beyond the usual ones in which a limit is written, and a value close to it may be."""
SAME = 1e-9
"""The part of a limit by which a value that is the limit may miss it, for it was reckoned."""


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
    wrong = fewer if figures.better == "higher" else more

    def difference(value: float) -> str:
        word = more if value > 0 else fewer
        if word != wrong:
            return f"{amount(figures.unit, abs(value))} {word}"
        return f"{beside(amount, figures.unit, abs(value), figures.margin)} {word}"

    def end(value: float) -> str:
        return "no difference" if value == 0 else difference(value)

    value = figures.value
    if value == 0:
        head = f"{equal}{things} as the incumbent"
    else:
        head = f"{difference(value)}{things} than the incumbent"
    allowed = f"allowed are {amount(figures.unit, figures.margin, FINEST)} {wrong}"
    bound = -figures.margin if figures.better == "higher" else figures.margin
    return _told(figures, head, end, allowed, status, bound)


def limited(figures: Figures, status: str) -> str:
    """Against a limit, where the value is an estimate: "94.2 % right answers (at worst …)"."""

    def end(value: float) -> str:
        return beside(level, figures.unit, value, figures.margin)

    things = f" {figures.things}" if figures.things else ""
    limit = level(figures.unit, figures.margin, FINEST)
    needed = f"at least {limit} is required"
    if figures.better == "lower":
        needed = f"at most {limit} is allowed"
    head = end(figures.value) + things
    return _told(figures, head, end, needed, status, figures.margin)


def counted(value: float, limit: float, unit: str, *, kept: bool) -> str:
    """Against a limit, where the value is what it is: "52 lines, within the limit of 60 lines"."""
    word = "within" if kept else "beyond"
    shown = beside(level, unit, value, limit)
    return f"{shown}, {word} the limit of {level(unit, limit, FINEST)}"


def beside(written: Callable[[str, float, int], str], unit: str, value: float, limit: float) -> str:
    """A value with as many digits as it takes to read otherwise than the limit that it is not.

    ``written`` is `amount` or `level`.
    """
    if math.isclose(value, limit, rel_tol=SAME):
        return written(unit, limit, FINEST)
    known = written(unit, limit, FINEST)
    texts = (written(unit, value, finer) for finer in range(FINEST + 1))
    told = next((text for text in texts if text != known), None)
    return told or f"a little {'more' if value > limit else 'less'} than {known}"


def amount(unit: str, value: float, finer: int = 0) -> str:
    """A difference without its sign: ``2.1 points``, ``320 ms``; with so many digits more."""
    if unit != "share":
        return level(unit, value, finer)
    if not math.isfinite(value):
        return "any number of points"
    text = _percentage(value, finer)
    return f"{text} point" if text == "1" else f"{text} points"


def level(unit: str, value: float, finer: int = 0) -> str:
    """A value: ``94.2 %``, ``320 ms``, ``60 lines``, ``0.0512 EUR per 1,000 requests``; with so
    many digits more."""
    if not math.isfinite(value):
        return "a missed deadline"
    if unit == "share":
        return f"{_percentage(value, finer)} %"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{_digits(value * 1000, finer)} ms"
    text = _digits(value, finer)
    return f"{text} {_one(unit) if text == '1' else unit.replace('/1000 ', ' per 1,000 ')}"


def _one(unit: str) -> str:
    """The unit of one thing: ``call``, ``dependency``; of a second it is ``s``."""
    if unit.endswith("ies"):
        return f"{unit[:-3]}y"
    return unit[:-1] if unit.isalpha() and unit.endswith("s") and len(unit) > 1 else unit


def count_of(number: int, thing: str) -> str:
    """So many of a thing: ``1 case``, ``1,200 cases``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def times_run(number: int) -> str:
    """So many runs of the app: how many calls each makes is not known beforehand."""
    return f"{count_of(number, 'run')} of the app"


def checks_of(found: Mapping[str, Any]) -> str:
    """The checks that a hunk was left out of: ``the app's own tests and 3 cases``."""
    tests = ["the app's own tests"] if found["tests"] else []
    return " and ".join([*tests, *([count_of(found["cases"], "case")] if found["cases"] else [])])


def times(number: int) -> str:
    """How often: ``once``, ``1,200 times``."""
    return "once" if number == 1 else count_of(number, "time")


def _told(
    figures: Figures,
    head: str,
    end: Callable[[float], str],
    needed: str,
    status: str,
    bound: float,
) -> str:
    low, high = figures.interval
    higher = figures.better == "higher"
    worst, best = (low, high) if higher else (high, low)
    if status == "pass":
        return f"{head} (at worst {end(worst)}); {needed}"
    if status == "fail":
        return f"{head} (at best {end(best)}); {needed}"
    if best < bound if higher else best > bound:  # Holm's procedure asks for more than one gate's
        unclear = "missed, but not clearly enough where several gates are tested: not settled"
        return f"{head} (at best {end(best)}); {needed}: {unclear}"
    possible = f"anything from {end(worst)} to {end(best)} is possible"
    edge = bound and math.isclose(worst, bound, rel_tol=SAME)  # it takes less than what is allowed
    why = ", for that edge itself is not ruled out" if edge else ""
    return f"{head}, but {possible}; {needed}: not settled{why}"


def _percentage(share: float, finer: int = 0) -> str:
    text = f"{share * 100:.{1 + finer}f}"
    if share and not float(text):  # too small for one decimal: it must not read as nothing
        return _digits(share * 100)
    if share < 1 and float(text) == 100 and finer < FINEST:  # nor may nearly all read as all
        return _percentage(share, finer + 1)
    return text.rstrip("0").rstrip(".")


def _digits(value: float, finer: int = 0) -> str:
    """Three significant digits, never fewer than the integer has; with so many more."""
    if value == 0:
        return "0"
    decimals = max(0, 2 + finer - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
