"""What became of a case: its trials side by side, as far as a table of cases needs them.

Lines of cases.jsonl come in as they are. What is not there, or is not what it should be, is not
known; it never stops a report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

SUCCESS, SECONDS = "success", "total"
"""The two measures that a table of cases knows by name: right or wrong, and how long it took."""
SLOWER = 1.5
"""How many times as long as the incumbent a slower answer takes."""
OWN_DELAY = 0.001
"""Seconds below which two times are not told apart, where the drill's own delay is not known."""

Trial = Mapping[str, Any]
Change = tuple[str, str | None, str | None, bool]
"""(kind, where, label, whether it is one of form only); an older cases.jsonl has no labels."""


class Flag(IntFlag):
    """What can be said of a candidate's answers to a case; the table filters by it."""

    FAILED = 1
    LOST = 2
    GAINED = 4
    CHANGED = 8
    FORM = 16
    SLOWER = 32
    EDITED = 64
    SILENT = 128
    NOT_ASKED = 256
    LEFT = 512


WORDS: Mapping[Flag, tuple[str, str]] = {
    Flag.FAILED: ("failed", "in a repeat there was no answer, or one that its checker calls wrong"),
    Flag.LOST: ("lost", "right less often than the incumbent was"),
    Flag.GAINED: ("gained", "right more often than the incumbent was"),
    Flag.CHANGED: ("changed", "in a repeat the content differs from the incumbent's answer"),
    Flag.FORM: ("form only", "it differs, but in nothing except its form"),
    Flag.SLOWER: (
        "slower",
        f"it took more than {SLOWER:g} times as long as the incumbent, longer by more than the "
        "incumbent's own repeats are apart, and by more than the drill's own delay (p99 of either "
        f"backend; {OWN_DELAY * 1000:g} ms where it is not known); means over the repeats that "
        "were answered",
    ),
    Flag.EDITED: ("edited", "the request had to be edited for this backend"),
    Flag.LEFT: ("calls the incumbent", "the app still made a call to the backend that it has left"),
}
"""The flags that one can filter by: a word, and what it means."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One candidate's trials of a case beside the incumbent's."""

    flags: Flag
    success: tuple[float | None, float | None]
    seconds: tuple[float | None, float | None]
    changes: tuple[Change, ...]


def compare(ours: Sequence[Trial], theirs: Sequence[Trial], delay: float = OWN_DELAY) -> Compared:
    """The incumbent's trials of a case (``ours``) and a candidate's.

    ``delay`` is how late the drill itself was, in seconds.
    """
    success = (_mean(_measured(ours, SUCCESS)), _mean(_measured(theirs, SUCCESS)))
    times = (_measured(ours, SECONDS), _measured(theirs, SECONDS))
    changes = tuple(dict.fromkeys(_changes(theirs)))
    flags = _outcome(theirs) | _right(success) | _differs(ours, theirs, changes)
    if _slower(*times, delay):
        flags |= Flag.SLOWER
    return Compared(flags, success, (_mean(times[0]), _mean(times[1])), changes)


def rank(compared: Sequence[Compared]) -> int:
    """How much a case deserves to be looked at; 0 is the most."""
    flags = Flag(0)
    for each in compared:
        flags |= each.flags
    order = (Flag.LEFT, Flag.LOST, Flag.SILENT, Flag.CHANGED, Flag.GAINED, Flag.FAILED, Flag.FORM)
    found = (number for number, flag in enumerate(order) if flags & flag)
    return next(found, len(order))


def _outcome(trials: Sequence[Trial]) -> Flag:
    flags = Flag(0)
    for trial in trials:
        if trial.get("status") == "not_asked":
            flags |= Flag.NOT_ASKED
        elif trial.get("status") == "failed" or isinstance(trial.get("error"), dict):
            flags |= Flag.FAILED | Flag.SILENT
        elif _number(trial, SUCCESS) == 0:
            flags |= Flag.FAILED
        if trial.get("edits"):
            flags |= Flag.EDITED
        if any(call.get("to") != trial.get("arm") for call in calls_of(trial)):
            flags |= Flag.LEFT
    return flags if trials else Flag.NOT_ASKED


def _right(success: tuple[float | None, float | None]) -> Flag:
    ours, theirs = success
    if ours is None or theirs is None or ours == theirs:
        return Flag(0)
    return Flag.LOST if theirs < ours else Flag.GAINED


def _differs(ours: Sequence[Trial], theirs: Sequence[Trial], changes: Sequence[Change]) -> Flag:
    if changes:
        return Flag.FORM if all(form for *_, form in changes) else Flag.CHANGED
    if any("changes" in trial for trial in theirs):
        return Flag(0)
    # Written before changes were recorded.
    references = {_key(trial.get("repeat")): trial for trial in ours}
    pairs = [(references.get(_key(trial.get("repeat"))), trial) for trial in theirs]
    unlike = any(
        reference is not None and _said(reference) != _said(trial)
        for reference, trial in pairs
        if _answered(trial) and (reference is None or _answered(reference))
    )
    return Flag.CHANGED if unlike else Flag(0)


def _slower(ours: Sequence[float], theirs: Sequence[float], delay: float) -> bool:
    before, after = _mean(ours), _mean(theirs)
    if before is None or after is None:
        return False
    return after > SLOWER * before and after - before > max(delay, max(ours) - min(ours))


def _changes(trials: Sequence[Trial]) -> Iterator[Change]:
    for trial in trials:
        found = trial.get("changes")
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict) and isinstance(each.get("kind"), str):
                where, label = (_text(each.get(key)) for key in ("where", "label"))
                yield each["kind"], where, label, bool(each.get("form"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _answered(trial: Trial) -> bool:
    return trial.get("status") == "answered"


def _said(trial: Trial) -> tuple[Any, Any]:
    return trial.get("answer"), trial.get("tool_calls")


def _key(repeat: Any) -> int | None:
    return repeat if isinstance(repeat, int) else None


def calls_of(trial: Trial) -> list[Mapping[str, Any]]:
    """The model calls of an app that was run; none where recorded requests were replayed."""
    calls = trial.get("calls")
    found = calls if isinstance(calls, list) else []
    return [call for call in found if isinstance(call, dict) and isinstance(call.get("to"), str)]


def seconds_of(trial: Trial) -> float | None:
    """How long a trial took, None where that is not known."""
    return _number(trial, SECONDS)


def success_of(trial: Trial) -> float | None:
    """What the checker said of a trial, None where it said nothing."""
    return _number(trial, SUCCESS)


def _measured(trials: Sequence[Trial], name: str) -> list[float]:
    return [number for trial in trials if (number := _number(trial, name)) is not None]


def _number(trial: Trial, name: str) -> float | None:
    measures = trial.get("measures")
    value = measures.get(name) if isinstance(measures, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _mean(numbers: Sequence[float]) -> float | None:
    if not numbers:
        return None
    mean = math.fsum(number / len(numbers) for number in numbers)
    return mean if math.isfinite(mean) else None
