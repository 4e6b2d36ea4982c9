"""What the terminal says of a drill that is over: a few lines, and its verdict in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.report import app, fixed, view

LONGEST = 200
"""Characters of the line of the verdict."""
SHORTEST = 60
"""Characters of a reason that is cut, whatever has to stand beside it."""


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """What stands above the verdict: each candidate with its reasons, and what was saved."""
    if first := view.said_first(report):
        yield ""
        yield first
    for each in view.incumbent_failures(report):
        yield ""
        yield each
    for candidate in report["candidates"]:
        yield ""
        yield f"{candidate['name']}: {_word(candidate)}"
        for reason in candidate["verdict"]["reasons"]:
            yield f"  {_line(reason)}"
        for each in view.failures(candidate, candidate["verdict"]["reasons"]):
            yield f"  {each}"
    if run := app.brief(report):
        yield ""
        yield run
        reasons = [each["verdict"]["reasons"] for each in report["candidates"]]
        yield from app.noticed(report, "\n".join(reason for each in reasons for reason in each))
    if early := fixed.early(report):
        yield ""
        yield early


def verdict(report: Mapping[str, Any]) -> str:
    """``verdict: ready (new is ready)``: as many reasons as have room, and how many more.

    That the plan was edited is always among them.
    """
    every = report["verdict"]["reasons"]
    edited = [each for each in every if each.startswith(view.EDITED)]
    reasons = [_line(each) for each in every if each not in edited] or ["no reason was recorded"]
    hidden = _of_candidates(report)
    head = f"verdict: {_word(report)} ("
    for shown in range(len(reasons), 0, -1):
        said = "; ".join(reasons[:shown])
        tail = "; ".join(["", *edited, *_more(len(reasons) - shown + hidden)])
        room = LONGEST - len(f"{head}{tail})")
        if len(said) <= room:
            break
    return f"{head}{view.cut(said, max(room, SHORTEST))}{tail})"


def _word(judged: Mapping[str, Any]) -> str:
    return view.STATUS[judged["verdict"]["status"]][1]


def _line(reason: str) -> str:
    """A reason in one line: what git or a server wrote has several."""
    return " / ".join(line.strip() for line in reason.splitlines() if line.strip())


def _more(number: int) -> list[str]:
    return [f"and {number:,} more, in report.md"] if number else []


def _of_candidates(report: Mapping[str, Any]) -> int:
    """Reasons of candidates that the drill's verdict leaves out: of each it gives the first."""
    status = report["verdict"]["status"]
    if status == "ready":
        return 0
    verdicts = [each["verdict"] for each in report["candidates"]]
    said = [
        [reason for reason in each["reasons"] if not reason.startswith(view.EDITED)]
        for each in verdicts
        if each["status"] == status
    ]
    return sum(max(len(reasons) - 1, 0) for reasons in said)
