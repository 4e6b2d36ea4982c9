"""Where an interval lies against its margin, as numbers for a small drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exitdrill.report.view import Gate, is_comparison, threshold

WIDTH = 200.0
PADDING = 0.12


@dataclass(frozen=True, slots=True)
class Bar:
    """Positions from 0 to `WIDTH`; the allowed side of the limit is shaded."""

    low: float
    high: float
    estimate: float | None
    zero: float
    limit: float
    shade: float
    shade_width: float
    text: str


def bar(raw: Mapping[str, Any], shown: Gate) -> Bar | None:
    """The drawing of a gate; None where there is nothing to draw."""
    limit, interval = threshold(raw), raw["interval"]
    if limit is None or interval is None or not is_comparison(raw):
        return None
    marks: list[float] = [
        0.0,
        limit,
        *interval,
        *([] if raw["estimate"] is None else [raw["estimate"]]),
    ]
    left, right = min(marks), max(marks)
    # Divided first: the span of two huge numbers may not be a number.
    span = (right / WIDTH - left / WIDTH) * (1 + 2 * PADDING) or 1.0

    def place(number: float) -> float:
        return round(WIDTH * PADDING / (1 + 2 * PADDING) + number / span - left / span, 1)

    at = place(limit)
    higher_is_better = raw["kind"] == "non_inferiority"
    return Bar(
        low=place(min(interval)),
        high=place(max(interval)),
        estimate=None if raw["estimate"] is None else place(raw["estimate"]),
        zero=place(0.0),
        limit=at,
        shade=at if higher_is_better else 0.0,
        shade_width=round(WIDTH - at, 1) if higher_is_better else at,
        text=f"Interval {shown.interval}; margin {shown.margin}; {shown.status}",
    )
