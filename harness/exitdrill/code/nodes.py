"""How many nodes of the syntax trees changed, formatting and comments ignored.

Each file is the sequence of `tokens`. Between the two versions of a file

    nodes = (tokens inserted + tokens deleted) / 2, rounded up

in the shortest edit script of the two sequences. A node that is inserted or deleted counts one,
and so does one whose label changes (a name, a value, an operator): it is 0 where the trees are the
same, and only there, and never more than the edit distance of the two trees with unit costs. What
moved within its file counts as deleted and inserted. Source: Akutsu, *A relation between edit
distance for ordered trees and edit distance for Euler strings*, Information Processing Letters 100
(2006).

A file that was moved or renamed is compared with the one that it was: files that are on one side
only are paired where their trees are the same, else where they have at least half of their nodes
in common. A file that has no partner counts all of its nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exitdrill.code.parsing import Unparsable
from exitdrill.code.sources import Source
from exitdrill.code.tokens import Labels, tokens

Sources = Mapping[str, Source]
MOST_STEPS = 20_000_000_000
"""Of one comparison: the product of the lengths of what differs, about ten seconds."""
SMALL = 4_000
"""Tokens that may differ for the quick way: its time grows with them, not with the product."""
MOST_PAIRS = 2_500
"""Files that are looked at as partners of each other; beyond, only those that are the same are."""
LEAST_ALIKE = 0.5


@dataclass(frozen=True)
class Nodes:
    """The nodes that changed by file (those with 0 are left out); why a file was not measured.

    ``touched`` are the paths whose trees differ, on either side, and those that are not measured.
    """

    changed: Mapping[str, int] = field(default_factory=dict)
    not_measured: Mapping[str, str] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Side:
    """One version of a file that differs."""

    path: str
    language: str
    tokens: Sequence[int]


def changed_nodes(before: Sources, after: Sources) -> Nodes:
    """Compare the code of two versions of an app."""
    return _Comparison(before, after).run()


class _Comparison:
    def __init__(self, before: Sources, after: Sources) -> None:
        self._before = before
        self._after = after
        self._labels = Labels()
        self._steps = 0
        self._changed: Counter[str] = Counter()
        self._problems: dict[str, str] = {}
        self._touched: set[str] = set()

    def run(self) -> Nodes:
        both = self._before.keys() & self._after.keys()
        for path in sorted(both):
            self._compare_versions(self._before[path], self._after[path])
        self._compare_moved(
            [self._before[path] for path in sorted(self._before.keys() - both)],
            [self._after[path] for path in sorted(self._after.keys() - both)],
        )
        return Nodes(dict(self._changed), self._problems, frozenset(self._touched))

    def _compare_versions(self, old: Source, new: Source) -> None:
        if old.data is not None and old.data == new.data:
            return
        sides = self._side(old), self._side(new)
        if sides[0] and sides[1]:
            self._count(sides[0], sides[1])

    def _side(self, source: Source) -> _Side | None:
        try:
            return _Side(source.path, source.language, tokens(source, self._labels))
        except Unparsable as problem:
            self._not_measured(source.path, str(problem))
            return None

    def _not_measured(self, path: str, why: str) -> None:
        self._problems[path] = why
        self._touched.add(path)

    def _count(self, old: _Side, new: _Side) -> None:
        if old.tokens == new.tokens:
            return
        self._touched |= {old.path, new.path}
        distance = self._distance(old.tokens, new.tokens)
        if distance is None:
            self._not_measured(new.path, "changed too much, and is too long, to be compared")
        else:
            self._changed[new.path] += -(-distance // 2)

    def _distance(self, old: Sequence[int], new: Sequence[int]) -> int | None:
        """Tokens inserted and deleted; None where finding out would take too long."""
        from rapidfuzz.distance import Indel

        found = Indel.distance(old, new, score_cutoff=SMALL)  # quick where little has changed
        if found <= SMALL:
            return found
        steps = _steps(old, new)
        if self._steps + steps > MOST_STEPS:
            return None
        self._steps += steps
        return Indel.distance(old, new)

    # --- files on one side only -----------------------------------------------------------------

    def _compare_moved(self, gone: list[Source], come: list[Source]) -> None:
        gone, come = self._without_same_bytes(gone, come)
        old = [side for side in map(self._side, gone) if side]
        new = [side for side in map(self._side, come) if side]
        self._touched |= {side.path for side in (*old, *new)}
        for first, second in list(_partners(old, new)):
            old.remove(first)
            new.remove(second)
            self._count(first, second)
        for side in (*old, *new):
            self._changed[side.path] += len(side.tokens) // 2

    def _without_same_bytes(
        self, gone: list[Source], come: list[Source]
    ) -> tuple[list[Source], list[Source]]:
        """Those that were not just moved; what was may be in any language."""
        places: dict[tuple[str, bytes], list[Source]] = {}
        for source in gone:
            if source.data is not None:
                places.setdefault((source.language, source.data), []).append(source)
        left, kept = list(gone), []
        for source in come:
            same = places.get((source.language, source.data or b""), [])
            if source.data is not None and same:
                partner = same.pop()
                left.remove(partner)
                self._touched |= {source.path, partner.path}
            else:
                kept.append(source)
        return left, kept


def _partners(old: Sequence[_Side], new: Sequence[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """Pairs of files, the most alike first; each file is in one of them at most."""
    by_tree: dict[tuple[str, tuple[int, ...]], list[_Side]] = {}
    for side in old:
        by_tree.setdefault((side.language, tuple(side.tokens)), []).append(side)
    left = []
    for side in new:
        same = by_tree.get((side.language, tuple(side.tokens)))
        if same:
            yield same.pop(), side
        else:
            left.append(side)
    unmatched = [side for sides in by_tree.values() for side in sides]
    if len(unmatched) * len(left) <= MOST_PAIRS:
        yield from _alike(unmatched, left)


def _alike(old: Sequence[_Side], new: Sequence[_Side]) -> Iterator[tuple[_Side, _Side]]:
    labels = {id(side): Counter(each for each in side.tokens if each) for side in (*old, *new)}
    scored = [
        (_likeness(labels[id(first)], labels[id(second)]), i, j)
        for i, first in enumerate(old)
        for j, second in enumerate(new)
        if first.language == second.language
    ]
    done: set[tuple[str, int]] = set()
    for score, i, j in sorted(scored, key=lambda each: (-each[0], each[1], each[2])):
        if score >= LEAST_ALIKE and not done & {("old", i), ("new", j)}:
            done |= {("old", i), ("new", j)}
            yield old[i], new[j]


def _likeness(first: Counter[int], second: Counter[int]) -> float:
    """The share of the nodes that two files have in common, from 0 to 1."""
    return 2 * (first & second).total() / max(1, first.total() + second.total())


# --- the edit script ----------------------------------------------------------------------------


def _steps(old: Sequence[int], new: Sequence[int]) -> int:
    """The product of the lengths of what differs, once common ends are cut off."""
    start = _common(old, new)
    end = min(_common(old[::-1], new[::-1]), min(len(old), len(new)) - start)
    return (len(old) - start - end) * (len(new) - start - end)


def _common(old: Sequence[int], new: Sequence[int]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(old), len(new)))
