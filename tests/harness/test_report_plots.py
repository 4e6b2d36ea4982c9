"""Plots: where things lie, and that no number of a report can break a drawing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness import report_sample as sample
from tests.harness.report_sample import rendered

from exitdrill.report.plots import Box, Dot, Drawing, Label, Line, Scale, compact, svg
from exitdrill.report.plots.changes import bars
from exitdrill.report.plots.classes import parts
from exitdrill.report.plots.latency import times
from exitdrill.report.plots.margins import panels
from exitdrill.report.plots.noise import (
    BEYOND,
    CLEAR,
    NONE,
    UNSETTLED,
    WITHIN,
    WORDS,
    finding,
    groups,
)
from exitdrill.report.plots.volume import Monthly, volume

HUGE = 1.7e308


@pytest.mark.parametrize(
    ("numbers", "number", "place"),
    [
        ([0, 10], 5, 50),
        ([0, 10], 10, 94),
        ([0, 10], 1e9, 94),  # beyond the axis: at its end
        ([-HUGE, HUGE], 0, 50),
        ([5e-324], 5e-324, 6),
        ([3], 3, 6),
        ([HUGE], HUGE, 94),
        ([-HUGE], -HUGE, 6),
        ([], 0, 6),
    ],
)
def test_a_place_is_always_one(numbers: list[float], number: float, place: float) -> None:
    scale = Scale.of(numbers)
    assert scale.at(number) == pytest.approx(place)
    assert all(math.isfinite(tick) for tick in scale.ticks())


@pytest.mark.parametrize(
    ("numbers", "log", "ticks"),
    [
        ([0.5, 2.0], False, [0, 0.5, 1, 1.5, 2]),
        ([0.0, 100.0], False, [0, 20, 40, 60, 80, 100]),
        ([0.005, 0.2], True, [0.005, 0.01, 0.02, 0.05, 0.1, 0.2]),
        ([1e-6, 1.0], True, [1e-6, 1e-4, 1e-2, 1]),
        ([5e-324, HUGE], True, None),
        ([0.0], False, None),
    ],
)
def test_axes_of_times(numbers: list[float], log: bool, ticks: list[float] | None) -> None:
    scale = Scale.of_times(numbers)
    assert scale.log is log
    assert ticks is None or scale.ticks() == pytest.approx(ticks)
    assert 1 < len(scale.ticks()) <= 12


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (12, "12"), (3400, "3.4k"), (1.234e6, "1.23M"), (5e9, "5bn"), (HUGE, "1.7e+308")],
)
def test_compact(number: float, text: str) -> None:
    assert compact(number) == text


def test_svg_is_escaped_and_takes_no_number_that_is_none() -> None:
    drawing = Drawing((Line(0, 0, 100, 5, "grid"),), 9, '"><script>')
    assert svg(drawing) == (
        '<svg class="plot strip" width="100%" height="9" role="img" '
        'aria-label="&#34;&gt;&lt;script&gt;">'
        '<line class="grid" x1="0%" y1="0" x2="100%" y2="5"/></svg>'
    )
    with pytest.raises(ValueError, match="must be a number"):
        svg(Drawing((Dot(math.nan, 0, "estimate"),), 9, ""))


def of_kind(drawing: Drawing | None, kind: type[Any], name: str) -> list[Any]:
    """The shapes of a drawing of that type and kind."""
    assert drawing is not None
    return [
        shape for shape in drawing.shapes if isinstance(shape, kind) and name in shape.kind.split()
    ]


def test_margins_shade_the_side_where_a_gate_passes() -> None:
    found = {panel.title: panel for panel in panels(sample.report())}
    success = found["success: Right answers"]
    assert success.rule == "candidate − incumbent, to pass ≥ −5 points"
    assert [mark.gate.status for mark in success.marks] == ["pass", "fail", "open"]
    passed, failed, _ = (mark.drawing for mark in success.marks)
    (zone,) = of_kind(passed, Box, "allowed")
    (inside,), (outside,) = (of_kind(each, Dot, "estimate") for each in (passed, failed))
    assert zone.x2 == 100
    assert outside.x < zone.x1 < inside.x
    limited = found["lines: Lines changed"].marks[0]
    (zone,) = of_kind(limited.drawing, Box, "allowed")
    assert zone.x2 == 0
    veto = found["tools"]
    assert (veto.rule, veto.marks[0].drawing, veto.above) == ("must hold", None, None)


def two_of_which_one_broke_off(broken: tuple[str, ...]) -> dict[str, Any]:
    """A report of two candidates; the first was asked 11 cases, of which the incumbent got 10."""
    data = sample.report()
    data["candidates"] = data["candidates"][:2]
    data["incumbent"]["success"] = 0.7917
    for candidate, share in zip(data["candidates"], (10 / 11, 0.7917), strict=True):
        candidate["status"] = "broken_off" if candidate["name"] in broken else "complete"
        success = next(row for row in candidate["drift"] if row["name"] == "success")
        success["incumbent"] = share
    return data


@pytest.mark.parametrize("broken", [1, 2])
def test_the_incumbents_figure_is_that_of_all_of_its_cases(broken: int, tmp_path: Path) -> None:
    first, second = (each["name"] for each in sample.report()["candidates"][:2])
    data = two_of_which_one_broke_off((first, second)[:broken])
    incumbent = data["incumbent"]["name"]
    page = rendered(tmp_path, "report.html", data)
    summary = page[page.index('<h2 id="summary">') :]
    row = summary[summary.index(f"{incumbent}<small>incumbent") :]
    assert "79.2" in row[: row.index("</tr>")]
    assert "90.9" not in row[: row.index("</tr>")]
    assert row.count(f"{incumbent} on the same cases: 90.9") == 1
    success = next(panel for panel in panels(data) if panel.title.startswith("success"))
    (label,) = of_kind(success.above, Label, "tick")
    assert "79.2" in label.text
    one, other = (mark.other for mark in success.marks)
    assert one is not None
    assert (one.startswith("90.9"), other) == (True, None)


@pytest.mark.parametrize(
    ("estimate", "interval", "noise", "expected"),
    [
        (-0.1, [-0.15, -0.08], 0.02, BEYOND),
        (-0.1, [-0.15, -0.01], 0.02, BEYOND),
        (-0.14, [-0.22, -0.06], 0.26, CLEAR),  # net, though single answers flip more often
        (0.03, [0.02, 0.04], None, CLEAR),
        (-0.01, [-0.03, 0.01], 0.02, UNSETTLED),
        (0.01, [-0.01, 0.025], 0.03, WITHIN),
        (0.01, None, 0.02, UNSETTLED),
        (0.0, [-0.69, 0.69], 0.0, UNSETTLED),  # two cases
        (0.0, [-0.69, 0.69], None, UNSETTLED),
        (0.0, [-0.009, 0.009], 0.0, NONE),
        (0.0, [-0.009, 0.009], None, NONE),
        (0.0, [0.0, 0.0], 0.0, NONE),
        (0.0, [0.0, 0.0], 0.2, WITHIN),
    ],
)
def test_what_is_found_of_a_difference(
    estimate: float, interval: list[float] | None, noise: float | None, expected: str
) -> None:
    raw = {"estimate": estimate, "interval": interval, "noise": noise, "unit": "share"}
    assert finding(raw) == expected
    assert expected in WORDS


@pytest.mark.parametrize(
    ("incumbent", "expected"), [(100.0, NONE), (40.0, UNSETTLED), (None, UNSETTLED)]
)
def test_what_is_small_depends_on_the_incumbent(incumbent: float | None, expected: str) -> None:
    raw = {"estimate": 0.1, "interval": [-1, 1.5], "noise": 0.0, "unit": "characters"}
    assert finding(raw | {"incumbent": incumbent}) == expected


def test_noise_names_what_has_no_difference() -> None:
    (group,) = groups(sample.report()["candidates"][0]["drift"])
    assert [each.row.name for each in group.rows] == ["success", "exact"]
    assert group.left_out == ("Likeness of answers (chrF)",)
    assert groups([sample.row("x", "share", "X", (None,) * 6)]) == []


def test_one_wide_interval_does_not_squeeze_the_others() -> None:
    rows = [
        sample.row(f"r{n}", "share", f"R{n}", (0.9, 0.8, -0.1, [-0.12, -0.08], 400, 0.01))
        for n in range(5)
    ]
    wide = sample.row("wide", "share", "Wide", (1.0, 1.0, 0.0, [-0.9, 0.9], 1, 0.0))
    (group,) = groups([*rows, wide])
    (line,) = of_kind(group.rows[0].drawing, Line, "interval")
    assert line.x2 - line.x1 > 5
    ends = [shape.text for shape in group.rows[-1].drawing.shapes if isinstance(shape, Label)]
    assert ends == ["‹", "›"]


def test_latency_says_what_missed() -> None:
    ready, slow, without = sample.report()["candidates"]
    (first, *_, last) = times(ready, "vendor")
    assert first.axis == "logarithmic axis"
    assert last.axis == "linear axis"
    assert "vendor: p50 412 ms" in first.curves.text
    assert "faster in 100 % of the cases" in first.paired_text
    (missed,) = times(slow, "vendor")
    assert missed.missed == ("other-vendor: 6 % missed (no answer in time, or none)",)
    assert "p95 missed" in missed.curves.text
    assert times(without, "vendor") == []
    unpaired = slow | {"distributions": [slow["distributions"][0] | {"paired": []}]}
    (found,) = times(unpaired, "vendor")
    assert found.paired is None
    assert found.paired_text == "not measured: no case was answered by both"


def test_cost_takes_a_step_with_each_server() -> None:
    own = Monthly.of(sample.volume()["candidate"])
    assert own.at(1) == own.at(900_000) == 730
    assert own.at(900_001) == 1460
    assert own.at(450_000, own.high) == pytest.approx(730 * 1.1)
    assert own.at(550_000, own.high) == pytest.approx(1460 * 1.1)  # poorly used, it takes less
    assert [money for _, money in own.points(2_000_000)] == [730, 730, 1460, 1460, 2190, 2190]
    api = Monthly.of(sample.volume()["incumbent"])
    assert api.points(1000) == [(0, 0), (1000, pytest.approx(1.9))]


def test_cost_marks_the_break_even_and_its_band() -> None:
    drawing = volume(sample.volume(), ("vendor", "mistral-local"))
    (band,), (line,) = of_kind(drawing, Box, "even-band"), of_kind(drawing, Line, "even")
    assert band.x1 < line.x1 < band.x2
    assert "mistral-local is cheaper from 384,000 requests" in drawing.text
    nothing = volume(sample.volume() | {"break_even": None}, ("vendor", "mistral-local"))
    assert not of_kind(nothing, Line, "even")


def test_classes_name_what_is_untouched() -> None:
    found = parts(sample.report()["candidates"][0]["change"])
    assert found
    assert [(part.label, part.value) for part in found.shown] == [
        ("configuration", "7"),
        ("code", "5"),
    ]
    assert found.untouched == ("prompt", "schema")
    assert parts(sample.report()["candidates"][1]["change"]) is None


def test_bars_have_a_tick_at_the_noise() -> None:
    full, half = bars([100, 50], [200.0, None])
    (bar,), (tick,) = of_kind(full, Box, "bar"), of_kind(full, Line, "noise-tick")
    assert bar.x2 == pytest.approx(49)
    assert tick.x1 == 98
    assert not of_kind(half, Line, "noise-tick")
    assert half.text == "50 times; of the incumbent against itself not known"


def test_leading_bars_have_one_scale(tmp_path: Path) -> None:
    """702 of 800 pairs fill a bar; of 80 pairs, 35 are the half of that."""
    data = sample.report()
    counts = 35, 0.0, 0, 0
    data["candidates"][2]["changes"] = {
        **{"compared": 80, "self_compared": 40, "left_out": 0},
        "groups": [sample.group("wording", None, "another wording", counts)],
    }
    page = rendered(tmp_path, "report.html", data)
    look = page.partition('id="what-changed"')[2].partition("</section>")[0]
    assert "A full bar is 87.8 % of the compared pairs, for all candidates alike" in look
    widths = re.findall(r'<rect class="bar" x="0%" y="3" width="([0-9.]+)%"', look)
    assert widths[3:] == ["98", "16.5", "0.8", "48.9"]


# --- whatever the numbers are -------------------------------------------------------------------


def changed(node: Any, change: Callable[[float], float]) -> Any:
    """The same report with other numbers; whole ones are counts, and stay."""
    if isinstance(node, dict):
        return {key: changed(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [changed(item, change) for item in node]
    return change(node) if isinstance(node, float) else node


@pytest.mark.parametrize(
    "change",
    [
        lambda _: 0.0,
        lambda _: -1.0,
        lambda _: HUGE,
        lambda number: math.copysign(HUGE, number),
        lambda number: -number,
        lambda number: number * 1e300,
        lambda number: number * 1e-300,
        lambda _: 5e-324,
        lambda number: HUGE if number > 0.5 else -HUGE,
    ],
)
def test_no_number_breaks_a_drawing(tmp_path: Path, change: Callable[[float], float]) -> None:
    data = changed(sample.report(), change)
    data["incumbent"]["success"] = None
    page = rendered(tmp_path, "report.html", data)
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) > 20
    for drawing in drawings:
        places = re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height|points)="([^"]*)"', drawing)
        assert re.fullmatch(r"[-0-9.,% ]*", " ".join(places))


def test_what_is_not_there_is_not_measured(tmp_path: Path) -> None:
    data = sample.report()
    for candidate in data["candidates"]:
        candidate |= {"changes": None, "distributions": [], "volume": None, "delay": None}
        candidate |= {"gates": [], "change": []}
    data["incumbent"]["delay"] = None
    page = rendered(tmp_path, "report.html", json.loads(json.dumps(data)))
    for words in (
        "Not measured: this report.json does not say what changed.",
        "Distributions of the times: not measured.",
        "Cost over volume: not measured.",
        "No gate was judged.",
    ):
        assert page.count(words) >= 3
