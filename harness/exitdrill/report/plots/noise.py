"""Drift beside the incumbent's own noise: what differs more than the incumbent from itself?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report import view
from exitdrill.report.plots.scale import Scale, few
from exitdrill.report.plots.shapes import Box, Dot, Drawing, Label, Line, Shape, beside
from exitdrill.report.units import quantity

ROW = 26
USUAL = 4
"""Times the usual width: a wider interval goes on beyond the drawing."""
Json = Mapping[str, Any]

SMALL = 0.02
"""What is no difference to speak of: a share's points, else a part of the incumbent's value."""
BEYOND = "beyond its noise"
CLEAR = "a clear difference"
WITHIN = "within its noise"
NONE = "no difference seen"
UNSETTLED = "not settled"
WORDS: Mapping[str, str] = {
    CLEAR: "the interval does not hold 0",
    BEYOND: "and it is larger than the band",
    WITHIN: "the interval holds 0, and lies in the band",
    NONE: f"the interval holds 0, and nothing beyond {SMALL * 100:g} points either way (else "
    f"{SMALL * 100:g} % of the incumbent's value)",
    UNSETTLED: "anything else, and more cases would tell",
}
"""What is found of a difference, and what that means.

The band is how often single answers flip, whichever way; the difference is what is left of gains
and losses. So a difference inside of the band may well be clear.
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """One row: what it is, and what is found of its difference."""

    row: view.Row
    finding: str
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one unit, which share an axis."""

    rows: tuple[Beside, ...]
    axis: Drawing
    left_out: tuple[str, ...]


def groups(rows: Sequence[Json]) -> list[Group]:
    """The rows that have a difference, by unit; those that have none are named."""
    by_unit: dict[str, list[Json]] = {}
    for raw in rows:
        by_unit.setdefault(raw["unit"], []).append(raw)
    return [made for found in by_unit.values() if (made := _group(found)) is not None]


def finding(raw: Json) -> str:
    """Whether there is a difference, and whether it is beyond what the incumbent's answers flip."""
    interval, noise = raw["interval"], raw["noise"]
    if interval is None:
        return UNSETTLED
    low, high = min(interval), max(interval)
    if low > 0 or high < 0:
        return BEYOND if noise is not None and abs(raw["estimate"]) > abs(noise) else CLEAR
    widest = max(-low, high)
    if noise and widest <= abs(noise):
        return WITHIN
    return NONE if widest <= _small(raw) else UNSETTLED


def _small(raw: Json) -> float:
    """What is no difference to speak of, on the scale of a row."""
    if raw["unit"] == "share":
        return SMALL
    return SMALL * abs(float(raw["incumbent"] or 0.0))


def _group(found: Sequence[Json]) -> Group | None:
    drawn = [raw for raw in found if raw["estimate"] is not None]
    if not drawn:
        return None
    numbers = [number for raw in drawn for number in _numbers(raw)]
    scale = Scale.of([0.0, *numbers, *_ends(drawn)])
    return Group(
        rows=tuple(Beside(view.row(raw), finding(raw), _strip(raw, scale)) for raw in drawn),
        axis=_axis(scale, drawn[0]["unit"], numbers),
        left_out=tuple(row.label for row in _without(found) if row.measured),
    )


def _without(found: Sequence[Json]) -> Iterator[view.Row]:
    """The rows that have no difference."""
    return (view.row(raw) for raw in found if raw["estimate"] is None)


def _numbers(raw: Json) -> Iterator[float]:
    yield raw["estimate"]
    if raw["noise"] is not None:
        yield from (raw["noise"], -raw["noise"])


def _ends(drawn: Sequence[Json]) -> Iterator[float]:
    """The ends of intervals that the axis goes to: one of few cases may not squeeze all others."""
    intervals = [raw["interval"] for raw in drawn if raw["interval"] is not None]
    widths = [abs(high / 2 - low / 2) for low, high in intervals]
    usual = sorted(widths)[len(widths) // 2] if widths else 0.0
    for interval, width in zip(intervals, widths, strict=True):
        if width <= USUAL * usual:
            yield from interval


def _strip(raw: Json, scale: Scale) -> Drawing:
    shown = view.row(raw)
    text = (
        f"{shown.label}: candidate − incumbent {shown.estimate}, interval {shown.interval}; "
        f"incumbent against itself {shown.noise}; {finding(raw)}"
    )
    return Drawing(tuple(_shapes(raw, scale)), ROW, text)


def _shapes(raw: Json, scale: Scale) -> Iterator[Shape]:
    zero, middle = scale.at(0.0), ROW / 2
    if raw["noise"] is not None:
        ends = (scale.at(-abs(raw["noise"])), scale.at(abs(raw["noise"])))
        yield Box(*ends, 3, ROW - 6, "noise")
        for end in ends:
            yield Line(end, 3, end, ROW - 3, "noise-end")
    yield Line(zero, 0, zero, ROW, "reference")
    kind = {BEYOND: "beyond", CLEAR: "beyond", UNSETTLED: "unsettled"}.get(finding(raw), "within")
    if raw["interval"] is not None:
        low, high = (scale.at(end) for end in raw["interval"])
        yield Line(low, middle, high, middle, f"interval {kind}")
        for end, at, sign in zip(raw["interval"], (low, high), "‹›", strict=True):
            if not scale.low <= end <= scale.high:  # it goes on beyond the drawing
                yield Label(at, middle + 4, sign, "end" if sign == "‹" else "start")
    yield Dot(scale.at(raw["estimate"]), middle, f"estimate {kind}")


def _axis(scale: Scale, unit: str, numbers: Sequence[float]) -> Drawing:
    written = quantity(unit, numbers)
    places = [(scale.at(tick), tick) for tick in few(scale.ticks())]
    labels = [Label(at, 15, written.allowance(tick), beside(at)) for at, tick in places]
    lines = [Line(at, 0, at, 4, "base") for at, _ in places]
    ends = f"{written.difference(scale.low)} to {written.difference(scale.high)}"
    return Drawing((*lines, *labels), 18, f"Axis: candidate − incumbent, {ends}", "axis")
