"""Changes, counted over a whole drill: which ones, how often, and how often by chance.

Memory stays flat, whatever a model puts into its keys: at most `MOST_GROUPS` groups are kept. When
there are more, the rarer half is counted together, a group per kind ("elsewhere"). What is frequent
is not among them; what was, and comes again, is counted from there on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exitdrill.measures.changes import Change, changes
from exitdrill.measures.facts import Measured

MOST_GROUPS = 1_000
MOST_VALUES = 20
MOST_SHOWN = 30
EXAMPLES = 2
VALUES = 3
LONGEST_VALUE = 60
LONGEST_ID = 300

Key = tuple[str, str | None, str, bool]
"""A group: kind, where, label, form."""
TrialChanges = Mapping[tuple[str, int], Sequence[Change]]
"""The changes of each trial of a case, by arm and repeat."""


def key_of(change: Change) -> Key:
    """The group that a change belongs to."""
    return change.kind, change.where, change.label, change.form


@dataclass
class _Group:
    count: int = 0
    lost: int = 0
    gained: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, change: Change, success: tuple[float, float], place: tuple[str, int]) -> None:
        self.count += 1
        self.lost += success == (1.0, 0.0)
        self.gained += success == (0.0, 1.0)
        if len(self.examples) < EXAMPLES:
            case, repeat = place
            shown = {"incumbent": change.before, "candidate": change.after}
            self.examples.append({"case": case[:LONGEST_ID], "repeat": repeat} | shown)
        pair = change.before, change.after
        if max(map(len, pair)) > LONGEST_VALUE:
            return
        if pair in self.values or len(self.values) < MOST_VALUES:
            self.values[pair] += 1

    def merge(self, other: _Group) -> None:
        self.count += other.count
        self.lost += other.lost
        self.gained += other.gained
        self.examples = [*self.examples, *other.examples][:EXAMPLES]


class ArmChanges:
    """The changes of one arm. ``compared`` counts the answers that had one to be compared with."""

    def __init__(self) -> None:
        self.compared = 0
        self._groups: dict[Key, _Group] = {}
        self._rest: dict[Key, _Group] = {}

    def see(
        self, found: Sequence[Change], success: tuple[float, float], place: tuple[str, int]
    ) -> None:
        """Count one answer's changes; ``success`` is the incumbent's and this one's."""
        self.compared += 1
        for change in found:
            self._groups.setdefault(key_of(change), _Group()).add(change, success, place)
        if len(self._groups) > MOST_GROUPS:
            self._shrink()

    def groups(self) -> list[tuple[Key, _Group]]:
        """All groups, the most frequent first; of equally frequent ones, content before form."""
        found = [*self._groups.items(), *self._rest.items()]
        return sorted(found, key=lambda each: (-each[1].count, each[0][3], str(each[0])))

    def often(self, key: Key) -> int | None:
        """How often a change was seen; None where that is no longer known."""
        group = self._groups.get(key) or self._rest.get(key)
        if group is not None:
            return group.count
        return None if self._rest else 0

    def _shrink(self) -> None:
        ranked = sorted(self._groups.items(), key=lambda each: -each[1].count)
        self._groups = dict(ranked[: MOST_GROUPS // 2])
        for (kind, _, _, form), group in ranked[MOST_GROUPS // 2 :]:
            key = (kind, None, f"{kind.replace('_', ' ')}: elsewhere", form)
            self._rest.setdefault(key, _Group()).merge(group)


class Tally:
    """The changes of all arms against the incumbent, and of the incumbent against itself."""

    def __init__(self, incumbent: str, arms: Sequence[str], repeats: int) -> None:
        self._incumbent = incumbent
        self._repeats = repeats
        self._arms = {arm: ArmChanges() for arm in arms}

    def see(self, case: str, trials: Sequence[Measured]) -> TrialChanges:
        """Count the changes of a case's trials, and tell them."""
        ours = {
            each.view.trial.repeat: each.values["success"]
            for each in trials
            if each.view.trial.arm == self._incumbent
        }
        told = {}
        for each in trials:
            trial = each.view.trial
            found = told[trial.arm, trial.repeat] = changes(each.view)
            if each.view.reference is None:
                continue
            of = trial.repeat
            if trial.arm == self._incumbent:
                of = (of + 1) % self._repeats
            success = ours.get(of, math.nan), each.values["success"]
            self._arms[trial.arm].see(found, success, (case, trial.repeat))
        return told

    def count(self, key: Key) -> int:
        """How often a change was seen, all candidates together."""
        arms = (changed for arm, changed in self._arms.items() if arm != self._incumbent)
        return sum(changed.often(key) or 0 for changed in arms)

    def report(self, candidate: str) -> dict[str, Any]:
        """What changed with a candidate, most frequent first, each beside the noise."""
        changed, own = self._arms[candidate], self._arms[self._incumbent]
        groups = changed.groups()
        return {
            "compared": changed.compared,
            "self_compared": own.compared,
            "groups": [_row(key, group, changed, own) for key, group in groups[:MOST_SHOWN]],
            "left_out": max(len(groups) - MOST_SHOWN, 0),
        }


def _row(key: Key, group: _Group, changed: ArmChanges, own: ArmChanges) -> dict[str, Any]:
    kind, where, label, form = key
    often = own.often(key) if own.compared else None
    return {
        "kind": kind,
        "where": where,
        "label": label,
        "form": form,
        "count": group.count,
        "noise": None if often is None else often * changed.compared / own.compared,
        "lost": group.lost,
        "gained": group.gained,
        "examples": group.examples,
        "values": [
            {"incumbent": before, "candidate": after, "count": count}
            for (before, after), count in group.values.most_common(VALUES)
        ],
    }
