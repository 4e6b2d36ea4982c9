"""What the report says of what an exit needs in the app; nothing about markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report.text import shorten
from exitdrill.sentences import count_of

Json = Mapping[str, Any]
LONGEST_NAME = 200
MOST_CALLING = 10
"""Places beside a missed call that are named in a sentence; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is coupled to a vendor, in words."""

    where: str
    what: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What an exit needs: first what nobody may overlook, then all of it."""

    first: list[str]
    said: list[str]
    places: list[Place]
    more_places: int
    diff: str
    more_lines: int


def needs(candidate: Json) -> Needs | None:
    """What a candidate's exit needs; None where it has no swap, or the report is older."""
    found = candidate.get("exit_needs")
    if found is None:
        return None
    places, diff = found["places"], found["diff"]
    return Needs(
        first=[*map(_refused, found["refused"]), *_calling(found["calling"])],
        said=[*_lines(candidate), *_places(places), *_modules(found["modules"])],
        places=[_place(each) for each in places["shown"]],
        more_places=places["left_out"],
        diff="\n".join(diff["shown"]),
        more_lines=diff["left_out"],
    )


def _refused(refused: Json) -> str:
    name = shorten(refused["name"], LONGEST_NAME)
    where = ", ".join(map(_after, refused["places"]))
    return f"refused: {name}: {where or 'no place in the code was found that names it'}"


def _calling(calling: Json | None) -> Iterator[str]:
    if calling is None:
        return
    shown = calling["shown"]
    rest = calling["left_out"] + max(0, len(shown) - MOST_CALLING)
    named = "; ".join(f"{_after(each)} {_what(each)}" for each in shown[:MOST_CALLING])
    more = f"; and {rest:,} more" if rest else ""
    yield (
        "a call still goes to the incumbent; places that the swap left and that a call can come "
        f"from: {named or 'none was found'}{more}"
    )


def _lines(candidate: Json) -> Iterator[str]:
    """How many lines, and what of them is in environment variables."""
    row = next((each for each in candidate["change"] if each["name"] == "lines"), None)
    if row is not None and row["candidate"] is not None:
        beside = f": {row['note']}" if row["note"] else ""
        yield f"{count_of(round(row['candidate']), 'line')} added and removed{beside}."


def _places(places: Json) -> Iterator[str]:
    if places["before"] is None:
        yield f"Places coupled to a vendor: not measured: {places['note']}"
        return
    tests = ""
    if places["tests_before"] or places["tests_after"]:
        tests = f"; in its tests {places['tests_before']:,} → {places['tests_after']:,}"
    yield (
        f"Places coupled to a vendor, before → after the swap: {places['before']:,} → "
        f"{places['after']:,}{tests}."
    )
    if places["note"]:
        yield f"Not all files could be looked at for such places: {places['note']}"


def _modules(modules: Json) -> Iterator[str]:
    if modules["touched"] is None:
        yield f"Modules changed: not measured: {modules['note']}"
        return
    yield f"Modules changed: {_listed(modules['touched'])}."
    yield f"Modules that import them: {_listed(modules['affected'])}."
    if modules["note"]:
        yield f"Not all of the modules are known: {modules['note']}"


def _listed(names: Json) -> str:
    shown: Sequence[str] = names["shown"]
    rest = [f"{names['left_out']:,} more"] if names["left_out"] else []
    return ", ".join([*(shorten(each, LONGEST_NAME) for each in shown), *rest]) or "none"


def _place(place: Json) -> Place:
    path = shorten(place["path"], LONGEST_NAME)
    before, after = place["before"], place["after"]
    lines = f"{before} → {after}" if before and after and before != after else after or before
    tests = " (in tests)" if place["test"] else ""
    return Place(f"{path}:{lines}{tests}", _what(place), place["state"], place["reason"])


def _after(place: Json) -> str:
    return f"{shorten(place['path'], LONGEST_NAME)}:{place['after']}"


def _what(place: Json) -> str:
    return f"{place['kind']} {place['what']}"


def left_out(number: int, thing: str) -> str:
    """How many are not shown; empty where all are."""
    return f"Not shown: {count_of(number, thing)}." if number else ""
