"""Shifts of class balance: how often each class is answered, on either side.

A class is the value of a JSON field, the name of the tool that is called, or a whole answer of a
few words. A model that says "high" more often than another is no worse for it case by case, and yet
fills another queue: what is compared here are shares, not answers. It describes, and gates nothing.
Why: class balance and formatting dominate naive figures of drift (arXiv 2307.09009).

What is compared is like with like: a field counts in the cases where both arms answered and both
have it, each such case as one on either side, its answers (repeats, elements of a list, several
calls) in equal parts. So neither failures, nor missing fields, nor unlike repeats are a shift.

Memory is bounded whatever a model says: what a candidate says counts only where the incumbent has
the field, and at most `MOST_FIELDS` fields of the incumbent are looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exitdrill.measures.differences import LONGEST_KEY, LONGEST_POINTER

if TYPE_CHECKING:
    from exitdrill.measures.base import TrialView
    from exitdrill.measures.facts import Measured

MOST_FIELDS = 200
"""Fields of the incumbent that are looked at, the first ones."""
MOST_CLASSES = 20
"""Values of a field on the incumbent's side; one that has more is no class, and stays none."""
MOST_VALUES = 50
"""Values of a field that are counted one by one on any side; those after are `OTHER`."""
LEAST_RETURNS = 2
"""How many cases there are to each of a field's values, at least: classes come again."""
LONGEST_VALUE = 60
LONGEST_NAME = 100
"""Characters of a tool's name."""
LONGEST_ANSWER = 200
"""Characters of a whole answer that may be a class, with its white space and code fence."""
MOST_WORDS = 3
LARGEST = 1_000
"""Whole numbers from here on are no classes."""
MOST_SHOWN = 10
VALUES = 5
NOTHING = 1e-9
"""A difference of shares that is one of rounding only."""
OTHER = "(something else)"
"""What is no class among a field's values: a long text, a large number, a fraction."""
ANSWER, TOOL = "answer", "tool"
"""What is no JSON field; a field's JSON pointer begins with a slash."""

Key = str | int
"""A class as it is told; of what is none, a hash, so that the incumbent's can be told apart."""
Said = Mapping[str, Counter[Key]]
"""The classes of one answer, by field."""
Shares = dict[str, float]


class Balance:
    """How often each class is answered by the incumbent and by each candidate."""

    def __init__(self, incumbent: str, repeats: Mapping[str, int]) -> None:
        self._incumbent = incumbent
        self._known: dict[str, set[Key] | None] = {}
        self._cut = False
        self._fields: dict[str, dict[str, _Field]] = {
            arm: {} for arm in repeats if arm != incumbent
        }

    def see(self, trials: Sequence[Measured]) -> None:
        """Count the answers of one case, with its completed trials."""
        views: dict[str, list[TrialView]] = {arm: [] for arm in self._fields}
        ours: list[tuple[int, Said]] = []
        for each in trials:
            trial = each.view.trial
            if each.view.failed:
                continue
            if trial.arm == self._incumbent:
                ours.append((trial.repeat, self._own(each.view)))
            else:
                views[trial.arm].append(each.view)
        wanted = {where for _, said in ours for where in said}
        wanted = {where for where in wanted if self._known[where] is not None}
        if not wanted:
            return
        for arm, answers in views.items():
            self._pair(self._fields[arm], wanted, ours, [_said(view, wanted) for view in answers])

    def report(self, candidate: str) -> dict[str, Any]:
        """The ``balance`` of a candidate, the largest shift first, and what was left out of it."""
        fields = self._fields[candidate].items()
        rows = [each.row(where) for where, each in fields if self._is_class(where, each)]
        beyond = [row for row in rows if row["shift"] > (row["noise"] or 0) + NOTHING]
        beyond.sort(key=lambda row: (-row["shift"], row["where"]))
        return {
            "balance": beyond[:MOST_SHOWN],
            "balance_left_out": {
                "within_noise": len(rows) - len(beyond),
                "more": max(len(beyond) - MOST_SHOWN, 0),
                "not_looked_at": self._cut,
            },
        }

    def _own(self, view: TrialView) -> Said:
        """The classes of an answer of the incumbent's, which decides what is a class."""
        found: dict[str, Counter[Key]] = {}
        for where, key in _keys(view):
            if where not in self._known and len(self._known) >= MOST_FIELDS:
                self._cut = True
                continue
            known = self._known.setdefault(where, set())
            if known is None:
                continue
            known.add(key)
            if len(known) > MOST_CLASSES:
                self._drop(where)
            found.setdefault(where, Counter())[key] += 1
        return found

    def _drop(self, where: str) -> None:
        self._known[where] = None
        for fields in self._fields.values():
            fields.pop(where, None)

    def _pair(
        self,
        fields: dict[str, _Field],
        wanted: Iterable[str],
        ours: Sequence[tuple[int, Said]],
        theirs: Sequence[Said],
    ) -> None:
        """Count a case for one candidate, where both have a field."""
        for where in wanted:
            found = [said[where] for said in theirs if where in said]
            if found:
                mine = [(repeat, said[where]) for repeat, said in ours if where in said]
                fields.setdefault(where, _Field()).add(mine, found)

    def _is_class(self, where: str, each: _Field) -> bool:
        """Whether a field's values come again: names and texts of a small drill do not."""
        return LEAST_RETURNS * len(self._known[where] or ()) <= each.both.cases


@dataclass
class _Sides:
    """Two sides of the same cases; the shares of either add up to ``cases``."""

    cases: int = 0
    left: Shares = field(default_factory=dict)
    right: Shares = field(default_factory=dict)

    def add(self, left: Sequence[Counter[Key]], right: Sequence[Counter[Key]]) -> None:
        self.cases += 1
        _spread(self.left, left)
        _spread(self.right, right)

    def moved(self) -> dict[str, tuple[float, float]]:
        """The share of each value on either side, those that differ most first."""
        both = {
            value: (self._share(self.left, value), self._share(self.right, value))
            for value in self.left.keys() | self.right.keys()
        }
        return dict(sorted(both.items(), key=lambda each: (-_difference(each[1]), each[0])))

    def distance(self) -> float:
        """The total variation distance of both sides, from 0 to 1."""
        return min(1.0, sum(map(_difference, self.moved().values())) / 2)

    def _share(self, side: Shares, value: str) -> float:
        return min(1.0, side.get(value, 0.0) / self.cases)  # thirds may add up to more than 1


@dataclass
class _Field:
    """A field of one candidate's: beside the incumbent's, and the incumbent's beside itself."""

    answers: int = 0
    both: _Sides = field(default_factory=_Sides)
    own: _Sides = field(default_factory=_Sides)

    def add(self, ours: Sequence[tuple[int, Counter[Key]]], theirs: list[Counter[Key]]) -> None:
        self.answers += len(theirs)
        self.both.add([said for _, said in ours], theirs)
        even, odd = ([said for repeat, said in ours if repeat % 2 == rest] for rest in (0, 1))
        if even and odd:
            self.own.add(even, odd)

    def row(self, where: str) -> dict[str, Any]:
        moved = [(value, ends) for value, ends in self.both.moved().items() if _differ(ends)]
        return {
            "where": where,
            "shift": self.both.distance(),
            "noise": self.own.distance() if self.own.cases else None,
            "n": self.answers,
            "values": [
                {"value": value, "incumbent": ours, "candidate": theirs}
                for value, (ours, theirs) in moved[:VALUES]
            ],
        }


def _spread(shares: Shares, answers: Sequence[Counter[Key]]) -> None:
    """Add a case's answers, which together weigh 1."""
    for counts in answers:
        whole = counts.total() * len(answers)
        for key, count in counts.items():
            value = key if isinstance(key, str) else OTHER
            if value not in shares and len(shares) >= MOST_VALUES:
                value = OTHER
            shares[value] = shares.get(value, 0.0) + count / whole


def _difference(ends: tuple[float, float]) -> float:
    return abs(ends[0] - ends[1])


def _differ(ends: tuple[float, float]) -> bool:
    return _difference(ends) > NOTHING


# --- one answer ---------------------------------------------------------------------------------


def _said(view: TrialView, wanted: Iterable[str]) -> Said:
    """The classes of a candidate's answer in fields that the incumbent has."""
    found: dict[str, Counter[Key]] = {}
    for where, key in _keys(view):
        if where not in wanted:
            continue
        counts = found.setdefault(where, Counter())
        counts[key if key in counts or len(counts) < MOST_VALUES else 0] += 1
    return found


def _keys(view: TrialView) -> Iterator[tuple[str, Key]]:
    """All that may be a class in an answer, with where it stands."""
    for call in view.reply.tool_calls:
        yield TOOL, call.name if len(call.name) <= LONGEST_NAME else hash(call.name)
    if view.said.json is not None:
        for pointer, value in _scalars(view.said.json.value):
            yield pointer, _key(value)
        return
    text = view.said.words if len(view.reply.text) <= LONGEST_ANSWER else ""
    if text and len(text) <= LONGEST_VALUE and text.count(" ") < MOST_WORDS:
        yield ANSWER, text


def _key(value: Any) -> Key:
    """true is not 1, "1" is not 1; 1.0 is 1, since JSON knows one kind of number."""
    if isinstance(value, str):
        short = len(value) <= LONGEST_VALUE
        return json.dumps(value, ensure_ascii=False) if short else hash(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(int(value)) if abs(value) < LARGEST and value == int(value) else hash(value)


def _scalars(value: Any) -> Iterator[tuple[str, Any]]:
    """What is neither an object nor a list in a JSON value, with its pointer (RFC 6901).

    Indices are ``*``; what lies below a long key or pointer is passed over.
    """
    waiting = [iter([("", value)])]
    while waiting:
        pointer, each = next(waiting[-1], (None, None))
        if pointer is None:
            waiting.pop()
        elif isinstance(each, dict | list):
            waiting.append(_children(pointer, each))
        else:
            yield pointer, each


def _children(pointer: str, value: Any) -> Iterator[tuple[str, Any]]:
    if len(pointer) > LONGEST_POINTER:
        return
    if isinstance(value, list):
        below = f"{pointer}/*"
        yield from ((below, each) for each in value)
        return
    for key, each in value.items():
        if len(key) <= LONGEST_KEY:
            yield f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", each
