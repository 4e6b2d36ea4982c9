"""A few cases to look at: first those that were lost, then the changed, then the rest.

All repeats of a case are looked at; shown is one that tells why the case is.

Among the lost and the changed, the most frequent changes of content come first, each with a case in
turn, so that a look at the selection is a look at what changed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exitdrill.caserows import prompt_of, text_of
from exitdrill.measures.facts import Measured
from exitdrill.measures.groups import Key, TrialChanges, key_of
from exitdrill.report.text import LONGEST, shorten
from exitdrill.workload import Case

SELECTED = 40
POOL = 200
"""Cases of each kind that are kept until it is known which changes are frequent."""
OF_EACH = 3
"""Cases of one change that are kept however many others there are."""
LONGEST_SHOWN = LONGEST - 60  # with the note of the cut, a report does not cut it once more
KINDS = ("lost", "changed", "wrong everywhere", "unchanged")

Json = dict[str, Any]


@dataclass(frozen=True)
class _Kept:
    """A case that may be shown, with the changes of content in it."""

    row: Json
    keys: tuple[Key, ...]


class Selection:
    """Cases of a drill, chosen while they pass; memory stays flat."""

    def __init__(self, incumbent: str) -> None:
        self._incumbent = incumbent
        self._pools: dict[str, list[_Kept]] = {kind: [] for kind in KINDS}
        self._kept: Counter[tuple[str, Key]] = Counter()
        self._seen = 0

    def see(self, case: Case, trials: Sequence[Measured], changes: TrialChanges) -> None:
        """Keep the case, if it may have to be shown."""
        self._seen += 1
        why, repeat = self._why(trials)
        keys = tuple(self._content(changes))
        if not self._has_room(why, keys):
            return
        self._kept.update((why, key) for key in keys)
        row = {
            "case": case.id,
            "prompt": prompt_of(case),
            "expected": _shown(case.expected),
            "tags": list(case.tags),
            "why": why,
            "answers": [_answer(each) for each in trials if each.view.trial.repeat == repeat],
        }
        self._pools[why].append(_Kept(row, keys))

    def rows(self, count: Callable[[Key], int]) -> Json:
        """The selection, with how many cases it leaves out; ``count`` says how often a change is
        seen in the whole drill."""
        ordered = [row for pool in self._pools.values() for row in _in_turn(pool, count)]
        return {"shown": ordered[:SELECTED], "left_out": self._seen - min(SELECTED, len(ordered))}

    def _has_room(self, why: str, keys: Sequence[Key]) -> bool:
        size = len(self._pools[why])
        rare = any(self._kept[why, key] < OF_EACH for key in keys)
        return size < SELECTED or (size < POOL and rare)

    def _content(self, changes: TrialChanges) -> Iterator[Key]:
        told = {
            key_of(change): None
            for (arm, _), each in changes.items()
            for change in each
            if arm != self._incumbent and not change.form
        }
        yield from told

    def _why(self, trials: Sequence[Measured]) -> tuple[str, int]:
        """Why a case may have to be shown, and the first repeat that tells."""
        ours = {
            each.view.trial.repeat: each
            for each in trials
            if each.view.trial.arm == self._incumbent
        }
        others = [each for each in trials if each.view.trial.arm != self._incumbent]
        for why, told in (("lost", _lost), ("changed", _changed)):
            for each in others:
                repeat = each.view.trial.repeat
                if repeat in ours and told(ours[repeat], each):
                    return why, repeat
        wrong = ours and all(each.values["success"] == 0 for each in trials)
        return ("wrong everywhere" if wrong else "unchanged"), 0


def _lost(wanted: Measured, found: Measured) -> bool:
    """Whether a right answer became a wrong one, or none."""
    return wanted.values["success"] == 1 and found.values["success"] == 0


def _changed(wanted: Measured, found: Measured) -> bool:
    """Whether an answer is another one, or only one of the two is there."""
    return wanted.view.failed != found.view.failed or found.values["exact_agreement"] == 0


def _in_turn(pool: Sequence[_Kept], count: Callable[[Key], int]) -> list[Json]:
    """The cases of each change in turn, the most frequent change first; then those with none."""
    waiting: defaultdict[Key | None, deque[_Kept]] = defaultdict(deque)
    often = {key: count(key) for kept in pool for key in kept.keys}
    for kept in pool:
        waiting[max(kept.keys, key=lambda key: often[key], default=None)].append(kept)
    last = waiting.pop(None, deque())
    turns = [waiting[key] for key in sorted(waiting, key=lambda key: -often[key] if key else 0)]
    rows = []
    while any(turns):
        rows += [turn.popleft().row for turn in turns if turn]
    return rows + [kept.row for kept in last]


def _answer(each: Measured) -> Json:
    trial, reply = each.view.trial, each.view.reply
    success = each.values["success"]
    failure = trial.exchange.failure
    return {
        "arm": trial.arm,
        "repeat": trial.repeat,
        "answer": _shown(reply.text),
        "tool_calls": _shown([asdict(call) for call in reply.tool_calls]),
        "error": asdict(failure) | {"message": _shown(failure.message)} if failure else None,
        "success": None if math.isnan(success) else bool(success),
    }


def _shown(value: Any) -> Any:
    """A JSON value as the selection shows it: whole, or the beginning of its text."""
    text = text_of(value)
    return value if len(text) <= LONGEST_SHOWN else shorten(text, LONGEST_SHOWN)
