"""What the report says of an app that was run, in plain sentences; nothing about markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exitdrill.report.smallest import needed, needless
from exitdrill.report.text import shorten
from exitdrill.sentences import count_of, level

HOW = {
    "command": "by the command",
    "function": "by its function",
    "serve": "as a server",
}
LONGEST_COMMAND = 160


def sentences(data: Mapping[str, Any]) -> list[str] | None:
    """How the app was run and what its exit took; None where it was not run."""
    app = data.get("app")
    return None if app is None else list(_sentences(app, data["incumbent"]["name"], _ran(data)))


def _ran(data: Mapping[str, Any]) -> bool:
    """Whether the app was run on any case; an older report does not count its trials."""
    arms = [data["incumbent"], *data.get("candidates", ())]
    return any(arm.get("completed_trials", 1) for arm in arms)


def steps(data: Mapping[str, Any]) -> list[list[str]] | None:
    """How long each step of each exit took, as a table: its head, and then a row per step.

    None where there was no exit.
    """
    arms = [arm for arm in (data.get("app") or {}).get("arms", ()) if arm["seconds"] is not None]
    exits = [arm for arm in arms if arm["name"] != data["incumbent"]["name"]]
    if not exits:
        return None
    took = [{step["step"]: step["seconds"] for step in arm["steps"]} for arm in exits]
    rows = [[name, *(_seconds(each.get(name)) for each in took)] for name in _in_order(exits)]
    whole = ["the whole exit", *map(_whole, exits)]
    return [["step", *(arm["name"] for arm in exits)], *rows, whole]


def _whole(arm: Mapping[str, Any]) -> str:
    """The sum of an exit's steps; an older report does not say whether it was completed."""
    seconds = level("s", arm["seconds"])
    return seconds if arm.get("completed", True) else f"not completed; so far {seconds}"


def _in_order(exits: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all steps, each once; those that not every exit has stand where they were."""
    names: list[str] = []
    for arm in exits:
        at = 0
        for step in arm["steps"]:
            if step["step"] not in names:
                names.insert(at, step["step"])
            at = names.index(step["step"]) + 1
    return names


def _seconds(seconds: float | None) -> str:
    return "not taken" if seconds is None else level("s", seconds)


def brief(data: Mapping[str, Any]) -> str | None:
    """That the app was run, and whether it came back, in one sentence."""
    app = data.get("app")
    if app is None:
        return None
    head = "The app itself was run." if _ran(data) else "The app was not run on any case."
    return f"{head} {_way_back(app['way_back'], data['incumbent']['name'], False)}"


def noticed(data: Mapping[str, Any], said: str = "") -> list[str]:
    """What nobody may overlook of the model calls that the app made, each in a sentence; without
    an error that was ``said``."""
    arms, left = (data.get("app") or {}).get("arms", ()), data["incumbent"]["name"]
    return [
        each for arm in arms for each in (*_calls(arm, said), *_strays(arm, left), *_floods(arm))
    ]


def _calls(arm: Mapping[str, Any], said: str = "") -> Iterator[str]:
    calls = arm.get("calls")
    if calls and calls["failed"]:
        made = count_of(calls["made"], "model call")
        error = calls["error"] or ""
        message = error.split(": ", 2)[-1]  # after how often, and of which kind
        why = f"; {error}" if error and message not in said else ""
        yield f"{arm['name']}: {calls['failed']:,} of {made} of the app failed{why}"


def _strays(arm: Mapping[str, Any], incumbent: str) -> Iterator[str]:
    if arm["strays"]:
        yield (
            f"{arm['name']}: {count_of(arm['strays'], 'call')} of the app named no trial, or one "
            "that was over, and got no answer: it has to pass the header X-Exitdrill-Trial on to "
            "its model calls, and to make none after it has answered."
            f"{_left(arm.get('strays_left', 0), incumbent)}"
        )


def _floods(arm: Mapping[str, Any]) -> Iterator[str]:
    if arm.get("floods"):
        yield (
            f"{arm['name']}: the app wrote without end while no trial was there to say so, and "
            f"was ended: {count_of(arm['floods'], 'time')}."
        )


def _sentences(app: Mapping[str, Any], incumbent: str, ran: bool) -> Iterator[str]:
    command = shorten(app["command"], LONGEST_COMMAND)
    was = "was run" if ran else "was to be run"
    yield f"The app itself {was} {HOW[app['how']]}: {command}. {_contained(app['contained'])}"
    yield from _tests(app["arms"])
    for arm in app["arms"]:
        if arm["failure"] is not None:
            yield f"{arm['name']}: {arm['failure']}"
        yield from _calls(arm)
        yield from _strays(arm, incumbent)
        yield from _floods(arm)
        if arm.get("smallest") is not None:
            yield f"{arm['name']}: {needless(arm['smallest'])}"
            yield from (f"{arm['name']}: {each}" for each in needed(arm["smallest"]))
    yield _way_back(app["way_back"], incumbent, True)


def _left(count: int, incumbent: str) -> str:
    return f" {count_of(count, 'call')} of them went to {incumbent}." if count else ""


def _tests(arms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """On which arms the app's own tests pass, and on which they do not, and how."""
    passed = [arm["name"] for arm in arms if arm["tests"] and arm["tests"]["passed"]]
    if passed:
        yield f"The app's own tests pass on {', '.join(passed)}."
    for arm in arms:
        if arm["tests"] and not arm["tests"]["passed"]:
            brief = arm["tests"].get("brief")
            why = f": {brief}" if brief else "."
            yield f"The app's own tests FAIL on {arm['name']}{why}"


def tests_said(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What failing tests wrote, as far as it was kept: the arm's name, and the text."""
    arms = (data.get("app") or {}).get("arms", ())
    return [
        (arm["name"], arm["tests"]["said"])
        for arm in arms
        if arm["tests"] and not arm["tests"]["passed"]
    ]


def _contained(contained: bool | None) -> str:
    if contained is None:
        return "Whether it could be contained is not known."
    if contained:
        return "It could write to its own copy and to a folder of its own only."
    return "It was not contained: this platform cannot keep it from writing elsewhere."


def _steps(steps: list[Mapping[str, Any]], seconds: float) -> str:
    each = ", ".join(f"{step['step']} {level('s', step['seconds'])}" for step in steps)
    return f"{level('s', seconds)} ({each})"


def _way_back(back: Mapping[str, Any] | None, incumbent: str, timed: bool) -> str:
    if back is None:
        return "The way back was not taken."
    if back["failure"] is not None:
        return f"The way back failed: {back['failure']}"
    seconds = sum(step["seconds"] for step in back["steps"])
    judged = back["cases"] - back["not_judged"]
    right = f"{back['right']:,} of {count_of(judged, 'answer')} right" if judged else "not judged"
    said = f"The way back: the app as it was, on {incumbent} again: {right}"
    return f"{said}, in {_steps(back['steps'], seconds)}." if timed else f"{said}."
