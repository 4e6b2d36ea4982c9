"""Cost over the requests of a month: both curves with their bands, and where they cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report.plots.scale import Scale, compact, few
from exitdrill.report.plots.shapes import Box, Curve, Drawing, Label, Line, Shape, beside

HEIGHT, TOP = 168, 8
MOST_STEPS = 60
"""Servers that are drawn as steps; more of them look like a line."""
WITHOUT_END = 1e6
"""Requests a month that are drawn where no number of the drill's suggests an end of the axis."""
HUGE = 1e300
Json = Mapping[str, Any]
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Monthly:
    """What one arm costs in a month.

    ``capacity`` is in requests of one server at the middle of its utilisation; ``low`` and
    ``high`` are the ends of its band: a factor of the price, and a factor of the capacity.
    """

    per_request: float
    fixed: float
    capacity: float | None
    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def of(cls, raw: Json) -> Monthly:
        """The cost as report.json has it."""
        cheap, dear = sorted(raw["band"]["price"])
        poor, good = sorted(raw["band"]["utilisation"] or (1.0, 1.0))
        middle = poor / 2 + good / 2 or 1.0
        capacity = raw["capacity_per_month"]
        return cls(
            per_request=raw["per_request"],
            fixed=raw["fixed_per_month"],
            capacity=capacity if capacity is not None and capacity > 0 else None,
            low=(cheap, good / middle),
            high=(dear, poor / middle),
        )

    def at(self, volume: float, corner: tuple[float, float] = (1.0, 1.0)) -> float:
        """Money for so many requests, at the middle or at an end of the band."""
        return self._money(volume, max(1.0, self._servers(volume, corner[1])), corner[0])

    def points(self, end: float, corner: tuple[float, float] = (1.0, 1.0)) -> Points:
        """(requests, money) from 0 to ``end``: steps at the capacity, else a straight line."""
        steps = self._servers(end, corner[1]) if self.fixed else 1.0
        if self.capacity is None or steps <= 1 or steps > MOST_STEPS:
            return [(0.0, self.at(0.0, corner)), (end, self.at(end, corner))]
        made = [(0.0, self.at(0.0, corner))]
        for servers in range(1, int(steps)):
            edge = self.capacity * corner[1] * servers
            made += [(edge, self._money(edge, more, corner[0])) for more in (servers, servers + 1)]
        return [*made, (end, self.at(end, corner))]

    def _money(self, volume: float, servers: float, price: float) -> float:
        return _finite((self.fixed * servers + self.per_request * volume) * price)

    def _servers(self, volume: float, room: float) -> float:
        if self.capacity is None or room <= 0 or self.capacity * room == 0:
            return 1.0
        return float(math.ceil(_finite(volume / (self.capacity * room)) - 1e-9))


def volume(raw: Json, names: tuple[str, str]) -> Drawing:
    """The curves of the incumbent and the candidate; ``raw`` is a candidate's ``volume``."""
    arms = (Monthly.of(raw["incumbent"]), Monthly.of(raw["candidate"]))
    even = raw["break_even"] or {}
    end = _end(arms, even)
    top = max(arm.at(end, corner) for arm in arms for corner in ((1.0, 1.0), arm.high))
    across, up = Scale(0.0, end), Scale(0.0, top if top > 0 else 1.0)
    shapes = [*_even(even, across), *_grid(across, up, raw["currency"])]
    for arm, kind in zip(arms, ("incumbent", "candidate"), strict=True):
        shapes += _arm(arm, end, kind, (across, up))
    text = f"Cost per month over requests per month, up to {end:,.0f}. " + "; ".join(
        f"{name}: {arm.at(end):,.2f} {raw['currency']} there"
        for name, arm in zip(names, arms, strict=True)
    )
    crossing = even.get("text")
    said = f"{text}. {crossing}" if crossing else text
    return Drawing(tuple(shapes), TOP + HEIGHT + 18, said, "chart")


def _arm(arm: Monthly, end: float, kind: str, scales: tuple[Scale, Scale]) -> Iterator[Shape]:
    low, high = (_placed(arm.points(end, corner), scales) for corner in (arm.low, arm.high))
    yield Curve([*low, *reversed(high)], TOP, HEIGHT, f"band {kind}", filled=True)
    yield Curve(_placed(arm.points(end), scales), TOP, HEIGHT, f"curve {kind}")


def _placed(points: Points, scales: tuple[Scale, Scale]) -> Points:
    across, up = scales
    return [(across.at(volume), up.at(money) / 100) for volume, money in points]


def _even(even: Json, across: Scale) -> Iterator[Shape]:
    """Where own hosting becomes the cheaper one: the expected volume and its band."""
    low, expected, high = (even.get(key) for key in ("low", "expected", "high"))
    bottom = TOP + HEIGHT
    if low is not None:
        far = 100.0 if high is None else across.at(high)
        yield Box(across.at(low), far, TOP, HEIGHT, "even-band")
    if expected is not None:
        at = across.at(expected)
        yield Line(at, TOP, at, bottom, "even")
        side = 1.0 if at < 60 else -1.0
        text = f"break-even {compact(expected)}"
        yield Label(at + side, TOP + 12, text, "start" if side > 0 else "end", "tick strong")


def _grid(across: Scale, up: Scale, currency: str) -> Iterator[Shape]:
    bottom = TOP + HEIGHT
    yield Line(0, bottom, 100, bottom, "base")
    for tick in few(across.ticks()):
        at = across.at(tick)
        yield Line(at, bottom, at, bottom + 4, "base")
        yield Label(at, bottom + 15, compact(tick), beside(at))
    for tick in few(up.ticks())[1:]:
        y = bottom - HEIGHT * up.at(tick) / 100
        yield Line(0, y, 100, y, "grid")
        yield Label(0, y - 3, f"{compact(tick)} {currency[:8]}", "start")


def _end(arms: Sequence[Monthly], even: Json) -> float:
    """Where the axis ends: beyond every crossing, else at twice what one server takes."""
    low, expected, high = (even.get(key) for key in ("low", "expected", "high"))
    crossings = [number * 2.0 for number in (expected or low,) if number is not None]
    if crossings and high is not None:
        crossings.append(min(high * 1.15, crossings[0] * 2))  # not so far that the rest is squeezed
    capacities = [2 * arm.capacity for arm in arms if arm.capacity is not None and arm.fixed]
    end = _finite(max(crossings or capacities or [WITHOUT_END]))
    return end if end > 1e-300 else WITHOUT_END


def _finite(number: float) -> float:
    """What two huge numbers make may be no number; a drawing ends long before."""
    return max(-HUGE, min(HUGE, number)) if not math.isnan(number) else 0.0
