"""Waiting: both distributions as one curve each, and the paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report import view
from exitdrill.report.plots.scale import Scale, few
from exitdrill.report.plots.shapes import Box, Curve, Dot, Drawing, Label, Line, Shape, beside
from exitdrill.report.units import NOT_MEASURED, Quantity, quantity

HEIGHT, TOP = 132, 8
STRIP = 30
READ_AT = (50, 95)
"""The percentiles whose lines are drawn, so that they can be read off the curves."""
Json = Mapping[str, Any]
Quantiles = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Times:
    """One time: its curves, its paired differences, and what is said of either."""

    label: str
    curves: Drawing
    missed: tuple[str, ...]
    paired: Drawing | None
    paired_text: str
    axis: str


def times(candidate: Json, incumbent: str) -> list[Times]:
    """What is drawn of each distribution; nothing where none was recorded."""
    found = candidate.get("distributions") or ()
    return [_times(each, (incumbent, candidate["name"])) for each in found]


def _times(raw: Json, names: tuple[str, str]) -> Times:
    ends: tuple[Quantiles, Quantiles] = (raw["incumbent"], raw["candidate"])
    known = [value for end in ends for value in end if value is not None]
    scale = Scale.of_times(known)
    written = quantity(raw["unit"], known, [_at(end, 50) for end in ends])
    missed = tuple(
        f"{name}: {share:.0f} % missed (no answer in time, or none)"
        for name, end in zip(names, ends, strict=True)
        if (share := _missed(end)) > 0
    )
    label = raw["label"] or raw["name"]
    return Times(
        label=label,
        curves=_curves(ends, scale, written, f"{label}. {_words(ends, names, written)}"),
        missed=missed,
        paired=_paired(raw["paired"], written, label),
        paired_text=_paired_words(raw["paired"], written),
        axis="logarithmic axis" if scale.log else "linear axis",
    )


def _curves(
    ends: tuple[Quantiles, Quantiles], scale: Scale, written: Quantity, text: str
) -> Drawing:
    shapes = [*_grid(scale, written)]
    for end, kind in zip(ends, ("incumbent", "candidate"), strict=True):
        points = _points(end, scale)
        if points:
            shapes.append(Curve(points, TOP, HEIGHT, f"curve {kind}"))
    return Drawing(tuple(shapes), TOP + HEIGHT + 18, text, "chart")


def _grid(scale: Scale, written: Quantity) -> Iterator[Shape]:
    bottom = TOP + HEIGHT
    for percent in READ_AT:
        y = TOP + HEIGHT * (1 - percent / 100)
        yield Line(0, y, 100, y, "grid")
        yield Label(0, y - 3, f"p{percent}", "start")
    yield Line(0, bottom, 100, bottom, "base")
    for tick in few(scale.ticks()):
        at = scale.at(tick)
        yield Line(at, bottom, at, bottom + 4, "base")
        yield Label(at, bottom + 15, _exact(written, tick), beside(at))


def _points(quantiles: Quantiles, scale: Scale) -> list[tuple[float, float]]:
    last = len(quantiles) - 1 or 1
    return [
        (scale.at(value), number / last)
        for number, value in enumerate(quantiles)
        if value is not None
    ]


def _paired(paired: Sequence[float], written: Quantity, label: str) -> Drawing | None:
    """The middle half as a box, 5 to 95 % as a line, the median as a dot, and zero."""
    low, lower, median, upper, high = (_at(paired, q) for q in (5, 25, 50, 75, 95))
    if low is None or lower is None or median is None or upper is None or high is None:
        return None
    scale = Scale.of([0.0, low, high], padding=8.0)
    zero, middle = scale.at(0.0), 13.0
    shapes: list[Shape] = [
        Line(zero, 1, zero, STRIP - 4, "reference"),
        Line(scale.at(low), middle, scale.at(high), middle, "whisker"),
        Box(scale.at(lower), scale.at(upper), middle - 6, 12, "half"),
        Dot(scale.at(median), middle, "estimate plain", 4.0),
        Label(zero, STRIP + 8, "0: as fast", beside(zero)),
    ]
    at = scale.at(low if abs(low) > abs(high) else high)
    if abs(at - zero) > 30:  # else the two texts would overlap
        end = low if abs(low) > abs(high) else high
        shapes.append(Label(at, STRIP + 8, written.difference(end), beside(at)))
    text = f"{label}, candidate − incumbent of the same case: {_paired_words(paired, written)}"
    return Drawing(tuple(shapes), STRIP + 12, text, "strip")


def _paired_words(paired: Sequence[float], written: Quantity) -> str:
    median = _at(paired, 50)
    if median is None:
        return f"{NOT_MEASURED}: no case was answered by both"
    low, high = (written.difference(_at(paired, q)) for q in (5, 95))
    faster = sum(value < 0 for value in paired) / len(paired)
    return (
        f"median {written.difference(median)}; 5 to 95 %: {low} to {high}; "
        f"faster in {faster * 100:.0f} % of the cases"
    )


def _words(ends: tuple[Quantiles, Quantiles], names: tuple[str, str], written: Quantity) -> str:
    said = (
        f"{name}: "
        + ", ".join(
            f"p{q} {view.MISSED if (value := _at(end, q)) is None else written.value(value)}"
            for q in READ_AT
        )
        for name, end in zip(names, ends, strict=True)
    )
    return "; ".join(said)


def _missed(quantiles: Quantiles) -> float:
    """Percent of the samples that missed their deadline, to the resolution of the quantiles."""
    return 100 * sum(value is None for value in quantiles) / (len(quantiles) or 1)


def _at(quantiles: Quantiles, percent: int) -> float | None:
    if not quantiles:
        return None
    return quantiles[round(percent / 100 * (len(quantiles) - 1))]


def _exact(written: Quantity, tick: float) -> str:
    """A round number, without the decimals that the row's other numbers need."""
    return f"{tick * written.factor:,.6g}{written.suffix}"
