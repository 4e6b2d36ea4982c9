"""Lines changed by class: which part of the app the exit touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report import view
from exitdrill.report.plots.shapes import Box, Drawing

ROW = 16
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One class of what changed, as text and as a bar."""

    label: str
    value: str
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes that changed, the largest first; those that did not; the names of their rows."""

    shown: tuple[Part, ...]
    untouched: tuple[str, ...]
    names: frozenset[str]


def parts(rows: Sequence[Json]) -> Parts | None:
    """The change of an app by class; None where it was not measured.

    A class is a row whose label ends with its unit after a colon, as in ``prompt: lines``: the one
    thing that is known of labels here, as a total and its parts look alike otherwise.
    """
    found = [
        (view.row(raw), float(raw["candidate"]))
        for raw in rows
        if raw["candidate"] is not None and raw["label"].endswith(f": {raw['unit']}")
    ]
    if not found:
        return None
    touched = sorted((each for each in found if each[1] > 0), key=lambda each: -each[1])
    most = max((value for _, value in touched), default=1.0)
    return Parts(
        shown=tuple(_part(row, value / most) for row, value in touched),
        untouched=tuple(_class_of(row) for row, value in found if value <= 0),
        names=frozenset(row.name for row, _ in found),
    )


def _part(row: view.Row, share: float) -> Part:
    label = _class_of(row)
    bar = Box(0, max(0.6, share * 100), 2, ROW - 4, "bar")
    text = f"{label}: {row.candidate} {row.unit}".strip()
    return Part(label, row.candidate, Drawing((bar,), ROW, text, "bars"))


def _class_of(row: view.Row) -> str:
    """The label without its unit: ``code`` of ``code: lines``."""
    return row.label.partition(":")[0]
