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


def test_an_exit_that_was_not_completed_says_so() -> None:
    data = report(arm("old"), arm("a", apply=0.5) | {"completed": False}, arm("b", apply=2.0))
    steps = app.steps(data)
    assert steps is not None
    assert steps[-1] == ["the whole exit", "not completed; so far 500 ms", "2 s"]


def test_what_nobody_may_overlook_of_the_calls() -> None:
    calls = {"made": 1_200, "failed": 7, "error": "7 times: overloaded (503): busy"}
    data = report(
        arm("old") | {"calls": {"made": 4, "failed": 0, "error": None}},
        arm("a") | {"calls": calls, "strays": 1},
        arm("b"),
    )
    found = app.noticed(data)
    assert found[0] == (
        "a: 7 of 1,200 model calls of the app failed; 7 times: overloaded (503): busy"
    )
    assert found[1].startswith("a: 1 call of the app named no trial")
    assert len(found) == 2
    said = app.sentences(data)
    assert said is not None
    assert [each for each in said if each.startswith("a: ")] == found


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


def test_an_app_that_was_not_run_is_not_called_run() -> None:
    data = report(arm("old"))
    data["incumbent"]["completed_trials"] = 0
    assert app.brief(data) == "The app was not run on any case. The way back was not taken."
    assert (app.sentences(data) or [""])[0].startswith("The app itself was to be run as a server")
    data["candidates"] = [{"name": "a", "completed_trials": 1}]
    assert (app.brief(data) or "").startswith("The app itself was run.")


def test_an_error_that_a_verdict_says_is_not_said_once_more() -> None:
    calls = {"made": 3, "failed": 2, "error": "2 times: rejected: /top_k: there is none"}
    arm = {"name": "new", "strays": 0, "floods": 0, "calls": calls}
    data = {"incumbent": {"name": "old"}, "app": {"arms": [arm]}}
    short = "new: 2 of 3 model calls of the app failed"
    assert app.noticed(data) == [f"{short}; {calls['error']}"]
    assert app.noticed(data, "veto: the first for /top_k: there is none") == [short]
