"""How often each change happened, beside how often the incumbent shows it against itself."""

from __future__ import annotations

from collections.abc import Sequence

from exitdrill.report.plots.shapes import Box, Drawing, Line, Shape
from exitdrill.sentences import times

ROW = 16


def bars(
    counts: Sequence[int], noises: Sequence[float | None], full: float | None = None
) -> list[Drawing]:
    """One bar per change, all on one axis from 0, with a tick at the noise.

    ``full`` is the count that fills a bar, by default the largest.
    """
    most = full or max(
        [1.0, *map(float, counts), *(noise for noise in noises if noise is not None)]
    )
    return [_bar(count, noise, most) for count, noise in zip(counts, noises, strict=True)]


def _bar(count: int, noise: float | None, most: float) -> Drawing:
    shapes: list[Shape] = [Box(0, max(0.6, min(1.0, count / most) * 98), 3, ROW - 6, "bar")]
    text = f"{times(count)}; of the incumbent against itself "
    if noise is None:
        return Drawing(tuple(shapes), ROW, f"{text}not known", "bars")
    at = min(1.0, max(0.0, noise) / most) * 98
    shapes.append(Line(at, 0, at, ROW, "noise-tick"))
    return Drawing(tuple(shapes), ROW, f"{text}{noise:,.3g}", "bars")
