"""What the report says of the hunks of a swap that no check needs; nothing about markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.report.text import shorten
from exitdrill.sentences import checks_of, count_of, level, times

LONGEST_NAME = 100
LONGEST_TEXT = 200
LONGEST_WHY = 120
MOST_NEEDED = 8
MOST_HUNKS = 5
"""Those that are named; the rest is counted."""


def needless(found: Mapping[str, Any]) -> str:
    """Which hunks of the swap no check needs."""
    out = [_hunk(hunk) for hunk in found["not_needed"]]
    rest = [f"{len(out) - MOST_HUNKS:,} more"] if len(out) > MOST_HUNKS else []
    named = "; ".join([*out[:MOST_HUNKS], *rest])
    if found["status"] != "complete":
        how = "not measured" if found["status"] == "not_measured" else "not found out to the end"
        so_far = f" Not needed, as far as it went: {named}." if out else ""
        return f"which hunks of the swap are needed was {how}: {found['note']}.{so_far}"
    if not found["hunks"]:
        return f"of the swap {found['note']}."
    checks = (
        f"{checks_of(found)}, and no call to the incumbent; "
        f"run {times(found['runs'])} in {level('s', found['seconds'])}, apart from the exit"
    )
    again = "" if found["minimal"] else " Not all could be tried again: more may not be needed."
    of_all = count_of(found["hunks"], "hunk")
    if not out:
        return f"each hunk of the swap is needed ({of_all}, left out one by one: {checks}).{again}"
    return (
        f"{len(out):,} of {of_all} of the swap not needed by these checks ({checks}): {named}."
        f"{again}"
    )


def needed(found: Mapping[str, Any] | None) -> Iterator[str]:
    """Each hunk that is needed, with the check that failed without it; that tests were not tried.

    An older report has nothing of it.
    """
    hunks = found.get("needed", ()) if found else ()
    for hunk in hunks[:MOST_NEEDED]:
        why = shorten(hunk.get("why") or "a check fails", LONGEST_WHY)
        yield f"needed: {_hunk(hunk)}; without it {why}"
    if len(hunks) > MOST_NEEDED:
        yield f"needed: {count_of(len(hunks) - MOST_NEEDED, 'more hunk')}"
    if found and found.get("tests_changed"):
        files = count_of(found["tests_changed"], "file")
        yield f"hunks in tests were not tried, for tests are the checks: {files} of the swap"


def _hunk(hunk: Mapping[str, Any]) -> str:
    """Where a hunk is, and its lines."""
    lines = hunk.get("text")
    shown = shorten(" ⏎ ".join(map(_without_indent, lines)), LONGEST_TEXT) if lines else ""
    return f"{_where(hunk)}: “{shown}”" if shown else _where(hunk)


def _without_indent(line: str) -> str:
    return line[:1] + line[1:].strip()


def _where(hunk: Mapping[str, Any]) -> str:
    """Where a hunk is: by its lines after the change, where it has any."""
    name = shorten(hunk["path"], LONGEST_NAME)
    if hunk["change"] == "variable":
        return f"the variable {name}"
    if hunk["new"] is None:
        moved = f" from {shorten(hunk['was'], LONGEST_NAME)}" if hunk["was"] else ""
        return f"{name} ({hunk['change']}{moved})"
    if hunk["new"][1]:
        return f"{name}:{_lines(hunk['new'])}"
    return f"{name}:{_lines(hunk['old'])} before the swap, removed"


def _lines(lines: list[int]) -> str:
    first, count = lines
    return f"{first}" if count == 1 else f"{first}-{first + count - 1}"
