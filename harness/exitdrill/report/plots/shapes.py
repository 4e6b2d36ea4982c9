"""The few shapes that plots are made of, and their SVG.

Horizontal places are percent of the width and vertical ones pixels, so that a drawing fills its
place on a phone and on paper while text, dots and strokes keep their size. Colours come from the
page's style sheet, by the name of a shape's kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

INNER = 1000
"""Width and height of the square that a curve is drawn in, before it is stretched."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, from ``x1`` to ``x2``."""

    x1: float
    x2: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A circle of ``radius`` pixels."""

    x: float
    y: float
    kind: str
    radius: float = 4.5


@dataclass(frozen=True, slots=True)
class Label:
    """A text that begins, ends or is centred at ``x``."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"
    kind: str = "tick"


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through ``points``: percent of the width, share of the height (0 is the bottom).

    It lies between ``top`` and ``top + height`` pixels; ``filled`` closes and fills it.
    """

    points: Sequence[tuple[float, float]]
    top: float
    height: float
    kind: str
    filled: bool = False


Shape = Line | Box | Dot | Label | Curve


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes, the height in pixels, and what they say in words."""

    shapes: tuple[Shape, ...]
    height: int
    text: str
    kind: str = "strip"


def beside(x: float) -> Literal["start", "middle", "end"]:
    """How a text at ``x`` stays inside of its drawing."""
    if x < 18:
        return "start"
    return "end" if x > 82 else "middle"


def svg(drawing: Drawing) -> Markup:
    """The drawing as inline SVG, for people who see it and for those who do not."""
    shapes = Markup("").join(_shape(shape) for shape in drawing.shapes)
    return Markup(
        '<svg class="plot {}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(drawing.kind, drawing.height, drawing.text, shapes)


def _shape(shape: Shape) -> Markup:
    match shape:
        case Line():
            return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                shape.kind, _percent(shape.x1), _px(shape.y1), _percent(shape.x2), _px(shape.y2)
            )
        case Box():
            left, right = sorted((shape.x1, shape.x2))
            return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                shape.kind,
                _percent(left),
                _px(shape.y),
                _percent(right - left),
                _px(max(0.0, shape.height)),
            )
        case Dot():
            return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(
                shape.kind, _percent(shape.x), _px(shape.y), _px(shape.radius)
            )
        case Label():
            return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                shape.kind, _percent(shape.x), _px(shape.y), shape.anchor, escape(shape.text)
            )
        case Curve():
            return _curve(shape)


def _curve(curve: Curve) -> Markup:
    """Stretched to the width, which percentages cannot do to a path; its stroke is not."""
    places = " ".join(_place(x, y) for x, y in curve.points)
    tag = "polygon" if curve.filled else "polyline"
    return Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 {size} {size}" '
        'preserveAspectRatio="none"><{tag} class="{kind}" points="{places}"/></svg>'
    ).format(
        _px(curve.top),
        _px(curve.height),
        size=INNER,
        tag=Markup(tag),  # noqa: S704 - one of two words
        kind=curve.kind,
        places=places,
    )


def _place(x: float, y: float) -> str:
    return f"{_short(x * INNER / 100)},{_short((1 - y) * INNER)}"


def _percent(number: float) -> str:
    return f"{_short(number)}%"


def _px(number: float) -> str:
    return _short(number)


def _short(number: float) -> str:
    """At most one decimal; a drawing is never given more, nor anything that is no number."""
    if not math.isfinite(number):
        raise ValueError("a place in a drawing must be a number")
    return f"{number:.1f}".removesuffix(".0")


def merged(groups: Iterable[Iterable[Shape]]) -> tuple[Shape, ...]:
    """The shapes of several groups, in order."""
    return tuple(shape for group in groups for shape in group)
