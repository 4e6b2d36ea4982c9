"""What the report says of an app that was run."""

from __future__ import annotations

from typing import Any

from exitdrill.report import app


def arm(name: str, passed: bool | None = None, **steps: float) -> dict[str, Any]:
    """An arm of the report's section on the app."""
    return {
        "name": name,
        "tests": None if passed is None else {"passed": passed, "seconds": 1.0, "said": ""},
        "failure": None,
        "strays": 0,
        "steps": [{"step": step, "seconds": seconds} for step, seconds in steps.items()],
        "seconds": sum(steps.values()) if steps else None,
    }


def report(*arms: dict[str, Any], back: dict[str, Any] | None = None) -> dict[str, Any]:
    """A report whose incumbent is the first arm."""
    section = {
        "how": "serve",
        "command": "app",
        "contained": True,
        "test": None,
        "arms": list(arms),
        "way_back": back,
    }
    return {"incumbent": {"name": arms[0]["name"]}, "app": section}


def test_each_exit_step_by_step_in_the_order_in_which_they_were_taken() -> None:
    data = report(
        arm("old", copy=9.0),
        arm("a", apply=0.5, start=2.0),
        arm("b", provision=3.0, apply=0.25, tests=1.5, start=2.0),
        arm("c"),
    )
    assert app.steps(data) == [
        ["step", "a", "b"],
        ["provision", "not taken", "3 s"],
        ["apply", "500 ms", "250 ms"],
        ["tests", "not taken", "1.5 s"],
        ["start", "2 s", "2 s"],
        ["the whole exit", "2.5 s", "6.75 s"],
    ]


def test_no_exit_no_table_and_no_app_no_word() -> None:
    assert app.steps(report(arm("old", copy=9.0), arm("a"))) is None
    for function in (app.steps, app.sentences, app.brief):
        assert function({"incumbent": {"name": "old"}, "app": None}) is None


def test_on_which_arms_the_apps_own_tests_fail() -> None:
    said = app.sentences(report(arm("old", True), arm("a", False), arm("b", True), arm("c")))
    assert said is not None
    assert said[1:3] == ["The app's own tests pass on old, b.", "The app's own tests FAIL on a."]


def test_in_one_sentence_whether_it_came_back() -> None:
    back = {"steps": [], "cases": 5, "right": 4, "not_judged": 0, "failure": None}
    assert app.brief(report(arm("old"), back=back)) == (
        "The app itself was run. The way back: the app as it was, on old again: "
        "4 of 5 answers right."
    )
    assert app.brief(report(arm("old"))) == "The app itself was run. The way back was not taken."
