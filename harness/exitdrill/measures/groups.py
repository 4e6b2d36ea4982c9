"""Changes, counted over a whole drill: which ones, how often, and how often by chance.

Memory stays bounded, whatever a model puts into its keys: at most `MOST_GROUPS` groups are kept.
When there are more, the rarer half is counted together, a group per kind ("elsewhere"). What is
frequent is not among them; what was, and comes again, is counted from there on. What is counted are
answers, each once per group, so that a group remembers which they were: a bit for each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from exitdrill.measures.changes import Change, changes
from exitdrill.measures.facts import Measured, reference_of

MOST_GROUPS = 1_000
MOST_VALUES = 20
MOST_SHOWN = 30
EXAMPLES = 2
VALUES = 3
LONGEST_VALUE = 60
LONGEST_ID = 300
BITS = 4_096
"""Answers of a set that are kept in one number."""

Key = tuple[str, str | None, str, bool]
"""A group: kind, where, label, form."""
TrialChanges = Mapping[tuple[str, int], Sequence[Change]]
"""The changes of each trial of a case, by arm and repeat."""


def key_of(change: Change) -> Key:
    """The group that a change belongs to."""
    return change.kind, change.where, change.label, change.form


class Answers:
    """A set of answers by their number, a bit for each."""

    def __init__(self) -> None:
        self._bits: Counter[int] = Counter()

    def __len__(self) -> int:
        return sum(map(int.bit_count, self._bits.values()))

    def add(self, number: int) -> None:
        """Put an answer in."""
        self._bits[number // BITS] |= 1 << number % BITS

    def update(self, other: Answers) -> None:
        """Put all answers of another set in."""
        for place, bits in other._bits.items():
            self._bits[place] |= bits

    def shared(self, other: Answers) -> int:
        """How many are in both sets."""
        return sum((bits & other._bits[place]).bit_count() for place, bits in self._bits.items())


class Frequent:
    """The most frequent of many values, in the memory of `MOST_VALUES`.

    A new value takes the place of the rarest one, and its count, of which it may have none itself:
    what is told is the rest, so often at least. What makes up more than a `MOST_VALUES`-th of all
    is there for certain. Source: Metwally, Agrawal, El Abbadi, *Efficient computation of frequent
    and top-k elements in data streams* ("space saving"), ICDT 2005.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._inherited: Counter[tuple[str, str]] = Counter()

    def add(self, value: tuple[str, str]) -> None:
        """Count a value."""
        if value not in self._counts and len(self._counts) >= MOST_VALUES:
            rarest = min(self._counts, key=self._counts.__getitem__)
            self._inherited.pop(rarest, None)
            self._inherited[value] = self._counts[value] = self._counts.pop(rarest)
        self._counts[value] += 1

    def most(self) -> Counter[tuple[str, str]]:
        """How often each was seen, at least."""
        return self._counts - self._inherited

    def exact(self, value: tuple[str, str]) -> bool:
        """Whether a value's count is all of it: it never had to take another one's place."""
        return value not in self._inherited


@dataclass
class _Group:
    """A change, with the answers that show it. ``count`` is their number."""

    count: int = 0
    answers: Answers = field(default_factory=Answers)
    examples: list[dict[str, Any]] = field(default_factory=list)
    values: Frequent = field(default_factory=Frequent)

    def add(self, change: Change, answer: int, place: tuple[str, int]) -> None:
        self.count += 1
        self.answers.add(answer)
        if len(self.examples) < EXAMPLES:
            case, repeat = place
            shown = {"incumbent": change.before, "candidate": change.after}
            self.examples.append({"case": case[:LONGEST_ID], "repeat": repeat} | shown)
        pair = change.before, change.after
        if max(map(len, pair)) <= LONGEST_VALUE:
            self.values.add(pair)

    def merge(self, other: _Group) -> None:
        self.answers.update(other.answers)
        self.count = len(self.answers)
        self.examples = [*self.examples, *other.examples][:EXAMPLES]


class ArmChanges:
    """The changes of one arm. ``compared`` counts the answers that had one to be compared with.

    Of these, ``lost`` became wrong and ``gained`` became right.
    """

    def __init__(self) -> None:
        self.compared = 0
        self.lost = Answers()
        self.gained = Answers()
        self._groups: dict[Key, _Group] = {}
        self._rest: dict[Key, _Group] = {}

    def see(
        self, found: Sequence[Change], success: tuple[float, float], place: tuple[str, int]
    ) -> None:
        """Count one answer's changes; ``success`` is the incumbent's and this one's."""
        answer = self.compared
        self.compared += 1
        if success == (1.0, 0.0):
            self.lost.add(answer)
        if success == (0.0, 1.0):
            self.gained.add(answer)
        for key, change in {key_of(each): each for each in found}.items():
            self._groups.setdefault(key, _Group()).add(change, answer, place)
        if len(self._groups) > MOST_GROUPS:
            self._shrink()

    def groups(self) -> list[tuple[Key, _Group]]:
        """All groups, the most frequent first; of equally frequent ones, content before form."""
        found = [*self._groups.items(), *self._rest.items()]
        return sorted(found, key=lambda each: (-each[1].count, each[0][3], str(each[0])))

    def often(self, key: Key, among: ArmChanges | None = None) -> int | None:
        """How many answers show a change; None where that is no longer known.

        What lies elsewhere for another arm, ``among``, is what that has no group of its own for.
        """
        if among is not None and key in among._rest:
            return self._often_elsewhere(key, among)
        group = self._groups.get(key) or self._rest.get(key)
        if group is not None:
            return group.count
        return None if _elsewhere(key) in self._rest else 0

    def _often_elsewhere(self, rest: Key, among: ArmChanges) -> int:
        """How many answers show some change of that kind that the other arm counts as elsewhere."""
        answers = Answers()
        for key, group in chain(self._groups.items(), self._rest.items()):
            if _elsewhere(key) == rest and key not in among._groups:
                answers.update(group.answers)
        return len(answers)

    def _shrink(self) -> None:
        ranked = sorted(self._groups.items(), key=lambda each: -each[1].count)
        self._groups = dict(ranked[: MOST_GROUPS // 2])
        for key, group in ranked[MOST_GROUPS // 2 :]:
            self._rest.setdefault(_elsewhere(key), _Group()).merge(group)


def _elsewhere(key: Key) -> Key:
    """The group that counts a change which has none of its own any more."""
    kind, _, _, form = key
    return kind, None, f"{kind.replace('_', ' ')}: elsewhere", form


class Tally:
    """The changes of all arms against the incumbent, and of the incumbent against itself."""

    def __init__(self, incumbent: str, repeats: Mapping[str, int]) -> None:
        self._incumbent = incumbent
        self._repeats = repeats
        self.arms = {arm: ArmChanges() for arm in repeats}

    def see(self, case: str, trials: Sequence[Measured]) -> TrialChanges:
        """Count the changes of a case's trials, and tell them."""
        ours = {
            each.view.trial.repeat: each.values
            for each in trials
            if each.view.trial.arm == self._incumbent
        }
        told = {}
        for each in trials:
            trial = each.view.trial
            wanted = ours.get(reference_of(trial, self._incumbent, self._repeats), {})
            found = changes(each.view, wanted.get("refused") == 1)
            told[trial.arm, trial.repeat] = found
            if each.view.reference is None:
                continue
            success = wanted.get("success", math.nan), each.values["success"]
            self.arms[trial.arm].see(found, success, (case, trial.repeat))
        return told

    def count(self, key: Key) -> int:
        """How often a change was seen, all candidates together."""
        arms = (changed for arm, changed in self.arms.items() if arm != self._incumbent)
        return sum(changed.often(key) or 0 for changed in arms)

    def report(self, candidate: str) -> dict[str, Any]:
        """What changed with a candidate, most frequent first, each beside the noise."""
        changed, own = self.arms[candidate], self.arms[self._incumbent]
        groups = changed.groups()
        return {
            "compared": changed.compared,
            "self_compared": own.compared,
            "groups": [_row(key, group, changed, own) for key, group in groups[:MOST_SHOWN]],
            "left_out": max(len(groups) - MOST_SHOWN, 0),
        }


def _row(key: Key, group: _Group, changed: ArmChanges, own: ArmChanges) -> dict[str, Any]:
    kind, where, label, form = key
    often = own.often(key, changed) if own.compared else None
    return {
        "kind": kind,
        "where": where,
        "label": label,
        "form": form,
        "count": group.count,
        "noise": None if often is None else often * changed.compared / own.compared,
        "lost": group.answers.shared(changed.lost),
        "gained": group.answers.shared(changed.gained),
        "examples": group.examples,
        "values": [
            {"incumbent": pair[0], "candidate": pair[1], "count": count}
            | ({} if group.values.exact(pair) else {"at_least": True})
            for pair, count in group.values.most().most_common(VALUES)
        ],
    }
