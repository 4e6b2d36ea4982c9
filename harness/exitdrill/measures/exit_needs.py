"""What an exit needs, place by place: the couplings, what was refused, the modules and the diff.

All of it is on record; nothing is measured here. Lists are bounded, and what they leave out is
counted.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exitdrill.measures.base import ArmFacts
from exitdrill.measures.change import class_of

if TYPE_CHECKING:
    from exitdrill.code.comparison import CodeChange
    from exitdrill.code.coupling import Site

Json = dict[str, Any]

MOST_PLACES = 50
MOST_NAMES = 50
MOST_REFUSED = 20
MOST_LINES = 200
MOST_CHARACTERS = 20_000
LONGEST_LINE = 1_000
CALLING = ("import", "call", "host")
"""Kinds of places that a call can come from."""
_ORDER = ("gone", "came", "stays")


def exit_needs(arm: ArmFacts, refused: Iterable[str], calls_left: bool) -> Json | None:
    """The report's ``exit_needs`` of a candidate; None where it has no swap.

    ``refused`` are the JSON pointers of edits that were not allowed. ``calls_left``: whether a
    call still went to the incumbent.
    """
    if arm.diff is None:
        return None
    places = _Places(arm.code, arm.classes)
    return {
        "places": places.report(),
        "refused": [places.refused(path) for path in [*dict.fromkeys(refused)][:MOST_REFUSED]],
        "calling": _bounded(places.calling()) if calls_left and places.known else None,
        "modules": _modules(arm.code, arm.classes),
        "diff": _bounded_diff(arm.diff),
    }


class _Places:
    """The places coupled to a vendor, before and after."""

    def __init__(self, code: CodeChange | None, classes: Mapping[str, Sequence[str]]) -> None:
        self.known = False
        self._all: list[Json] = []
        self._note = _why_not(code)
        if code is None or code.sites_before is None or code.sites_after is None:
            return
        self.known = True
        before, after = code.sites_before, code.sites_after
        tests = _tests({site.path for site in (*before.found, *after.found)}, classes)
        found = [_place(*ends, tests) for ends in _paired(before.found, after.found)]
        self._all = sorted(found, key=_rank)
        problems = {**before.not_measured, **after.not_measured}
        self._note = "; ".join(f"{path} {problems[path]}" for path in [*problems][:3]) or None
        if len(problems) > 3:
            self._note = f"{self._note} (and {len(problems) - 3:,} more)"

    def report(self) -> Json:
        """All places, those of the app before those of its tests."""
        app = [each for each in self._all if not each["test"]]
        return {
            **_bounded(self._all),
            "before": _count(app, "before") if self.known else None,
            "after": _count(app, "after") if self.known else None,
            "tests_before": _count(self._all, "before") - _count(app, "before"),
            "tests_after": _count(self._all, "after") - _count(app, "after"),
            "note": self._note,
        }

    def refused(self, path: str) -> Json:
        """A refused parameter, and the places that name it after the swap."""
        names = [part for part in path.split("/") if part and part != "*"]
        name = names[0] if names else path
        found = [
            each
            for each in self._all
            if each["kind"] == "parameter"
            and each["after"] is not None
            and name in each["what"].split()
        ]
        return {"path": path, "name": name, "places": found[:MOST_PLACES]}

    def calling(self) -> list[Json]:
        """The places of the app, left as they were, that a call can come from."""
        return [
            each
            for each in self._all
            if each["state"] == "stays" and each["kind"] in CALLING and not each["test"]
        ]


def _why_not(code: CodeChange | None) -> str | None:
    if code is None:
        return "the drill was made before code was compared"
    return code.problem


def _paired(
    before: Sequence[Site], after: Sequence[Site]
) -> Iterator[tuple[Site | None, Site | None]]:
    """Each place with itself after the swap, in whichever line that is."""
    left: dict[tuple[str, str, str], deque[Site]] = defaultdict(deque)
    for site in after:
        left[site.path, site.kind, site.what].append(site)
    for site in before:
        same = left[site.path, site.kind, site.what]
        yield site, same.popleft() if same else None
    for rest in left.values():
        yield from ((None, site) for site in rest)


def _place(before: Site | None, after: Site | None, tests: Collection[str]) -> Json:
    site = after or before
    assert site is not None
    return {
        "path": site.path,
        "before": before and before.line,
        "after": after and after.line,
        "state": "gone" if after is None else "came" if before is None else "stays",
        "kind": site.kind,
        "vendor": site.vendor,
        "what": site.what,
        "reason": site.reason,
        "test": site.path in tests,
    }


def _rank(place: Json) -> tuple[bool, int, str, int]:
    line = place["before"] or place["after"]
    return place["test"], _ORDER.index(place["state"]), place["path"], line


def _count(places: Iterable[Json], end: str) -> int:
    return sum(each[end] is not None for each in places)


def _tests(paths: Iterable[str], classes: Mapping[str, Sequence[str]]) -> set[str]:
    return {path for path in paths if class_of(path, classes) == "test"}


def _bounded(items: Sequence[Any], most: int = MOST_PLACES) -> Json:
    return {"shown": list(items[:most]), "left_out": max(0, len(items) - most)}


def _modules(code: CodeChange | None, classes: Mapping[str, Sequence[str]]) -> Json:
    """The modules that the swap touches, and those that import them; tests are left out."""
    found = None if code is None else code.modules
    if found is None:
        return {"touched": None, "affected": None, "note": _why_not(code)}
    tests = _tests({*found.touched, *found.affected}, classes)
    touched, affected = (
        _bounded([path for path in paths if path not in tests], MOST_NAMES)
        for paths in (found.touched, found.affected)
    )
    problems = {**found.uncounted, **found.unknown}
    note = next((f"{path} {why}" for path, why in problems.items()), None)
    return {"touched": touched, "affected": affected, "note": note}


def _bounded_diff(diff: str) -> Json:
    """The beginning of a diff, line by line."""
    lines = diff.removesuffix("\n").split("\n") if diff else []
    shown: list[str] = []
    left = MOST_CHARACTERS
    for line in lines[:MOST_LINES]:
        cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
        left -= len(cut) + 1
        if left < 0:
            break
        shown.append(cut)
    return {"shown": shown, "left_out": len(lines) - len(shown)}
