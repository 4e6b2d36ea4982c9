"""What the terminal says of a drill that is over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness import report_sample

from exitdrill.report import terminal, view


def report(status: str, reasons: list[str], **candidates: tuple[str, list[str]]) -> dict[str, Any]:
    """A drill's verdict, and those of its candidates."""
    return {
        "verdict": {"status": status, "reasons": reasons},
        "incumbent": {"first": None},
        "sequential": None,
        "candidates": [
            {"name": name, "verdict": {"status": each, "reasons": said}}
            for name, (each, said) in candidates.items()
        ],
    }


LONG = "a reason " * 40


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (report("ready", ["a is ready"], a=("ready", ["x", "y"])), "verdict: ready (a is ready)"),
        (
            report("ready", ["a is ready", "b is ready"]),
            "verdict: ready (a is ready; b is ready)",
        ),
        (
            report("not_ready", ["a: x"], a=("not_ready", ["x", "y", "z"])),
            "verdict: not ready (a: x; and 2 more, in report.md)",
        ),
        (
            report(
                "inconclusive",
                ["a: x", f"c: {LONG}"],
                a=("inconclusive", ["x", "y"]),
                b=("not_ready", ["x", "y"]),
                c=("inconclusive", [LONG]),
            ),
            "verdict: inconclusive (a: x; and 2 more, in report.md)",
        ),
        (report("inconclusive", []), "verdict: inconclusive (no reason was recorded)"),
        (
            report("not_ready", ["git said\n  error: x\n"]),
            "verdict: not ready (git said / error: x)",
        ),
    ],
)
def test_the_verdict_is_one_line_of_as_many_reasons_as_have_room(
    given: dict[str, Any], line: str
) -> None:
    assert terminal.verdict(given) == line


def test_a_long_reason_is_cut_and_what_is_hidden_is_counted() -> None:
    line = terminal.verdict(report("not_ready", [LONG, LONG], a=("not_ready", [LONG, "x"])))
    assert len(line) == terminal.LONGEST
    assert line.endswith("…; and 2 more, in report.md)")


def test_that_the_plan_was_edited_is_never_left_out() -> None:
    note = f"{view.EDITED}the scenario (gates); judged are the registered gates"
    given = report("not_ready", [LONG, LONG, note], a=("not_ready", [LONG, "x", note]))
    line = terminal.verdict(given)
    assert len(line) == terminal.LONGEST
    assert line.endswith(f"…; {note}; and 2 more, in report.md)")
    alone = report("inconclusive", [note])
    assert terminal.verdict(alone) == f"verdict: inconclusive (no reason was recorded; {note})"


def test_what_was_saved_stands_above_the_verdict() -> None:
    given = report_sample.report() | {"sequential": report_sample.sequential()}
    *_, last = terminal.lines(given)
    assert last.startswith("Stopped early: ")
    assert "2,112 calls (73 %" in last
    assert not any("Stopped early" in line for line in terminal.lines(report("ready", ["a"])))


def test_a_reason_of_several_lines_is_one_line() -> None:
    given = report("not_ready", [], a=("not_ready", ["veto: it does not apply.\nerror: main.py:1"]))
    assert "  veto: it does not apply. / error: main.py:1" in list(terminal.lines(given))
