"""What the report says of an app that was run, in plain sentences; nothing about markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.report.text import shorten
from exitdrill.sentences import count_of, level

HOW = {
    "command": "by the command",
    "function": "by its function",
    "serve": "as a server, started by",
}
LONGEST_COMMAND = 160


def sentences(data: Mapping[str, Any]) -> list[str] | None:
    """How the app was run and what its exit took; None where it was not run."""
    app = data.get("app")
    return None if app is None else list(_sentences(app, data["incumbent"]["name"]))


def _sentences(app: Mapping[str, Any], incumbent: str) -> Iterator[str]:
    command = shorten(app["command"], LONGEST_COMMAND)
    yield f"The app itself was run: {HOW[app['how']]} {command}. {_contained(app['contained'])}"
    for arm in app["arms"]:
        if arm["tests"] is not None:
            state = "pass" if arm["tests"]["passed"] else "FAIL"
            yield f"{arm['name']}: the app's own tests {state}."
        if arm["failure"] is not None:
            yield f"{arm['name']}: {arm['failure']}"
        if arm["strays"]:
            yield (
                f"{arm['name']}: {count_of(arm['strays'], 'call')} of the app named no trial, and "
                "got no answer: it has to pass the header X-Exitdrill-Trial on to its model calls."
            )
        if arm["name"] != incumbent and arm["seconds"] is not None:
            yield f"{arm['name']}: the exit took {_steps(arm['steps'], arm['seconds'])}."
    yield _way_back(app["way_back"], incumbent)


def _contained(contained: bool | None) -> str:
    if contained is None:
        return "Whether it could be contained is not known."
    if contained:
        return "It could write to its own copy and to a folder of its own only."
    return "It was not contained: this platform cannot keep it from writing elsewhere."


def _steps(steps: list[Mapping[str, Any]], seconds: float) -> str:
    each = ", ".join(f"{step['step']} {level('s', step['seconds'])}" for step in steps)
    return f"{level('s', seconds)} ({each})"


def _way_back(back: Mapping[str, Any] | None, incumbent: str) -> str:
    if back is None:
        return "The way back was not taken."
    if back["failure"] is not None:
        return f"The way back failed: {back['failure']}"
    seconds = sum(step["seconds"] for step in back["steps"])
    judged = back["cases"] - back["not_judged"]
    right = f"{back['right']:,} of {count_of(judged, 'answer')} right" if judged else "not judged"
    return (
        f"The way back: the app as it was, on {incumbent} again: {right}, in "
        f"{_steps(back['steps'], seconds)}."
    )
