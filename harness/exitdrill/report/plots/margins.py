"""Every gate against its margin, all candidates in one panel: one look says ready or not, and why.

No gate or measure is known by name: what is drawn follows from the kind of a gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report import view
from exitdrill.report.plots.scale import Scale
from exitdrill.report.plots.shapes import (
    Box,
    Dot,
    Drawing,
    Label,
    Line,
    Shape,
    beside,
    merged,
)
from exitdrill.report.units import NOT_MEASURED

ROW = 34
AXIS = 16
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """One candidate in a panel; ``number`` is its place among the candidates, from 1.

    ``other`` is the incumbent's figure that it is compared with, where it is another than the one
    that stands over the rows.
    """

    number: int
    name: str
    gate: view.Gate
    interval: str | None
    drawing: Drawing | None
    other: str | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One gate: the candidates' marks on one axis."""

    title: str
    rule: str
    above: Drawing | None
    below: Drawing | None
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A gate as it is and as text, and where it lies on its axis."""

    number: int
    name: str
    raw: Json
    gate: view.Gate
    limit: float | None
    reference: float | None
    interval: tuple[float, float] | None

    @property
    def numbers(self) -> Iterator[float]:
        """Everything that the axis has to hold."""
        known = (self.limit, self.reference, self.raw["estimate"], *(self.interval or ()))
        return (number for number in known if number is not None)


def panels(data: Json) -> list[Panel]:
    """One panel per gate, in the order in which they are judged."""
    by_name: dict[str, list[_Judged]] = {}
    for number, candidate in enumerate(data["candidates"], start=1):
        for raw in candidate["gates"]:
            by_name.setdefault(raw["name"], []).append(_judged(number, raw, candidate))
    known, incumbent = view.references(data), data["incumbent"]["name"]
    return [_panel(found, incumbent, known) for found in by_name.values()]


def _judged(number: int, raw: Json, candidate: Json) -> _Judged:
    gate = view.gate(raw, candidate)
    compared = view.is_comparison(raw)
    row = view.raw_row(raw["measure"], candidate)
    interval = raw["interval"] if compared else raw.get("own_interval")
    return _Judged(
        number=number,
        name=candidate["name"],
        raw=raw,
        gate=gate,
        limit=view.threshold(raw),
        # A comparison is drawn around the incumbent; a limit, beside its value where it has one.
        reference=0.0 if compared else (row or {}).get("incumbent"),
        interval=None if interval is None else (min(interval), max(interval)),
    )


def _panel(found: Sequence[_Judged], incumbent: str, known: Mapping[str, view.Reference]) -> Panel:
    first = next((each for each in found if each.gate.row), found[0])
    limited = next((each for each in found if each.limit is not None), None)
    scale = Scale.of([0.0, *(number for each in found for number in each.numbers)])
    ends = any(each.limit is not None for each in found)
    title = first.gate.name
    if first.gate.row and first.gate.row.label.lower() != title.lower():
        title = f"{title}: {first.gate.row.label}"
    return Panel(
        title=f"{title} ({first.gate.unit})" if first.gate.unit else title,
        rule=_rule(first),
        above=_above(found, scale, incumbent, known) if ends else None,
        below=None if limited is None else _below(limited, scale),
        marks=tuple(_mark(each, scale, known) for each in found),
    )


def _rule(judged: _Judged) -> str:
    if judged.raw["kind"] == "veto":
        return "must hold"
    if judged.limit is None:
        return "no margin was set"
    if view.is_comparison(judged.raw):
        return f"candidate − incumbent, to pass {judged.gate.margin}"
    return f"the candidate's own value, to pass {judged.gate.margin}"


def _above(
    found: Sequence[_Judged], scale: Scale, incumbent: str, known: Mapping[str, view.Reference]
) -> Drawing | None:
    """The name and value of the reference line, over the rows."""
    first = next((each for each in found if each.reference is not None), None)
    if first is None or first.reference is None:
        return None
    reference = known.get(first.gate.name)
    value = "" if reference is None else f" {reference.text}"
    # A comparison's line is where nothing differs; that of a limit, where the incumbent lies.
    own = None if reference is None or view.is_comparison(first.raw) else reference.value
    at = scale.at(first.reference if own is None else own)
    text = f"{view.cut(incumbent, 24)}{value}"
    return Drawing((Label(at, 12, text, beside(at)),), AXIS, f"Reference line: {text}", "axis")


def _below(judged: _Judged, scale: Scale) -> Drawing | None:
    """The limit, under the rows."""
    if judged.limit is None:
        return None
    at = scale.at(judged.limit)
    word = "margin" if view.is_comparison(judged.raw) else "limit"
    text = f"{word} {judged.gate.margin}"
    return Drawing((Label(at, 12, text, beside(at), "tick strong"),), AXIS, text, "axis")


def _mark(judged: _Judged, scale: Scale, known: Mapping[str, view.Reference]) -> Mark:
    gate = judged.gate
    other = view.other_reference(gate, known)
    drawing = _strip(judged, scale)
    return Mark(judged.number, judged.name, gate, _known(gate.interval), drawing, other)


def _known(interval: str) -> str | None:
    return None if interval in {NOT_MEASURED, view.DOES_NOT_APPLY} else interval


def _strip(judged: _Judged, scale: Scale) -> Drawing | None:
    if judged.limit is None:
        return None
    gate = judged.gate
    text = (
        f"{judged.name}, {gate.name}: {gate.estimate}, interval {gate.interval}, "
        f"{gate.margin} to pass; {gate.said}"
    )
    shapes = merged((_zone(judged, scale), _interval(judged, scale), _estimate(judged, scale)))
    return Drawing(shapes, ROW, text)


def _zone(judged: _Judged, scale: Scale) -> Iterator[Shape]:
    """Where a candidate passes, the reference and the limit."""
    if judged.limit is None:
        return
    limit = scale.at(judged.limit)
    yield Box(limit, 100 if view.higher_is_better(judged.raw) else 0, 0, ROW, "allowed")
    if judged.reference is not None:
        at = scale.at(judged.reference)
        yield Line(at, 0, at, ROW, "reference")
    yield Line(limit, 0, limit, ROW, "limit")


def _interval(judged: _Judged, scale: Scale) -> Iterator[Shape]:
    if judged.interval is None:
        return
    low, high = (scale.at(end) for end in judged.interval)
    middle, kind = ROW / 2, f"interval {judged.gate.status}"
    yield Line(low, middle, high, middle, kind)
    for end in (low, high):
        yield Line(end, middle - 4, end, middle + 4, kind)


def _estimate(judged: _Judged, scale: Scale) -> Iterator[Shape]:
    estimate = judged.raw["estimate"]
    if estimate is not None:
        yield Dot(scale.at(estimate), ROW / 2, f"estimate {judged.gate.status}")
