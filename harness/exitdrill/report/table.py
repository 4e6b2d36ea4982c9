"""The cases of a drill, packed into the page: an index, and the answers in blocks.

A block is JSON, compressed (zlib) and written in base64, so that nothing in it can end a script
element; the page inflates the index when it opens and a block when one of its cases is opened.
Bounded in cases, in bytes and in the length of a string, and what is left out is counted.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exitdrill.report import changed, trials, view
from exitdrill.report.survey import Row, Survey, compared
from exitdrill.report.text import LONGEST, clean, shorten, visible
from exitdrill.sentences import level

MOST_CASES = 10_000
MOST_BYTES = 25_000_000
"""Of the page that the cases take."""
BLOCK_CASES, BLOCK_BYTES = 200, 3_000_000
LONGEST_ID, LONGEST_HEAD, LONGEST_TAG = 160, 160, 60
MOST_TAGS = 20
MOST_CALLS, LONGEST_CALL = 20, 400
"""Model calls of a trial that are shown, and the characters of each."""
MOST_SHOWN = 60
"""Trials of one case that are shown; the rest is counted."""
MOST_GROUPS = 400
"""Distinct changes that the index names; what goes beyond them is named by its kind alone."""
EMPTY = "(empty)"

Json = dict[str, Any]


@dataclass
class Table:
    """What the page holds of the cases. ``blocks`` is read to its end before ``index`` is.

    The index is known only once all blocks are written: it says where each begins.
    """

    survey: Survey
    arms: Sequence[str]
    delays: Mapping[str, float]
    changes: dict[trials.Change, int]
    """Their numbers in the index: the groups of report.json first, so that a link can name one."""
    unlabelled: Mapping[trials.Change, trials.Change | None]
    """What a change without a label is, None where groups of several labels may be meant."""
    rows: list[list[Any]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)

    def blocks(self) -> Iterator[str]:
        """The details of the cases, most deserving first, as long as there is room."""
        chosen = self.survey.ordered()[:MOST_CASES]
        room = MOST_BYTES
        block: list[str] = []
        size = 0
        for position, rows in zip(chosen, self.survey.cases(chosen), strict=True):
            detail = _compact(_detail(rows))
            if block and (len(block) == BLOCK_CASES or size + len(detail) > BLOCK_BYTES):
                made = self._packed(block)
                room -= len(made)
                yield made
                block, size = [], 0
            if room <= 0:
                break
            row = self._row(position, rows)
            room -= len(_compact(row))
            self.rows.append(row)
            block.append(detail)
            size += len(detail)
        if block:
            yield self._packed(block)

    def number(self, key: trials.Change) -> int | None:
        """The number in the index of a group of report.json; None where no case can be found."""
        return self.changes.get(key)

    def index(self) -> str:
        """What the page needs to list, search, filter and sort the cases."""
        total = len(self.survey.ranks)
        return _pack(
            _compact(
                {
                    "arms": list(self.arms),
                    "total": total,
                    "left_out": total - len(self.rows),
                    "starts": self.starts,
                    "tags": list(self.tags),
                    "changes": self._named(),
                    "rows": self.rows,
                }
            )
        )

    def _packed(self, block: Sequence[str]) -> str:
        self.starts.append(len(self.rows) - len(block))
        return _pack(f"[{','.join(block)}]")

    def _row(self, position: int, rows: Sequence[Row]) -> list[Any]:
        """[number, id, beginning of the request, tags, [one entry per candidate]]."""
        first = rows[0]
        found = compared(rows, self.delays)
        return [
            position + 1,
            _short(first.get("case"), LONGEST_ID),
            _short(first.get("prompt"), LONGEST_HEAD),
            [self._numbered(self.tags, tag) for tag in _tags(first)],
            [self._entry(found.get(arm)) for arm in self.arms[1:]],
        ]

    def _entry(self, found: trials.Compared | None) -> list[Any] | None:
        """[flags, success of both, seconds of both, changes]."""
        if found is None:
            return None
        changes = dict.fromkeys(self._change(change) for change in found.changes)
        numbers = [_rounded(number) for number in (*found.success, *found.seconds)]
        return [int(found.flags), *numbers, list(changes)]

    def _change(self, change: trials.Change) -> int:
        kind, where, label, form = (clean(part) for part in change)
        key = kind, where, label, form
        if label is None:
            key = self.unlabelled.get(key) or key
        if key not in self.changes and len(self.changes) >= MOST_GROUPS:
            key = kind, None, None, form
        return self._numbered(self.changes, key)

    def _named(self) -> list[tuple[str, bool]]:
        """What each change is called; those of one name in several places say where."""
        labels = [
            label or changed.change_label(kind, where) for kind, where, label, _ in self.changes
        ]
        often = Counter(labels)
        return [
            (
                view.cut(f"{label} ({where or kind})" if often[label] > 1 else label, LONGEST_ID),
                form,
            )
            for label, (kind, where, _, form) in zip(labels, self.changes, strict=True)
        ]

    @staticmethod
    def _numbered(known: dict[Any, int], name: Any) -> int:
        return known.setdefault(name, len(known))


def table(survey: Survey, data: Mapping[str, Any]) -> Table:
    """The table of a drill's cases."""
    candidates = data["candidates"]
    arms = [data["incumbent"]["name"], *(each["name"] for each in candidates)]
    groups = [
        group
        for candidate in candidates
        for group in (candidate.get("changes") or {}).get("groups", ())
        if not changed.is_rest(group)
    ]
    numbers: dict[trials.Change, int] = {}
    unlabelled: dict[trials.Change, trials.Change | None] = {}
    for key in map(changed.key_of, groups):
        numbers.setdefault(key, len(numbers))
        kind, where, _, form = key
        if unlabelled.setdefault((kind, where, None, form), key) != key:
            unlabelled[kind, where, None, form] = None
    delays = {each["name"]: _delay(data["incumbent"], each) for each in candidates}
    return Table(survey, arms, delays, numbers, unlabelled)


def _delay(*arms: Mapping[str, Any]) -> float:
    """How late the drill itself was while it asked both arms, in seconds."""
    known: list[float] = [arm["delay"]["p99"] for arm in arms if arm.get("delay")]
    return max(known if len(known) == len(arms) else [*known, trials.OWN_DELAY])


def _detail(rows: Sequence[Row]) -> Json:
    """What is shown of an opened case."""
    first = rows[0]
    return {
        "prompt": _text(first.get("prompt")),
        "expected": _text(first.get("expected")),
        "checker": _text(first.get("checker")),
        "trials": [_trial(row) for row in rows[:MOST_SHOWN]],
        "more": max(0, len(rows) - MOST_SHOWN),
        "app": any("calls" in row for row in rows),
    }


def _trial(row: Row) -> Json:
    error = row.get("error")
    edits = row.get("edits")
    return {
        "arm": clean(row["arm"]),
        "repeat": row["repeat"] if isinstance(row.get("repeat"), int) else 0,
        "status": _text(row.get("status")),
        "answer": _text(row.get("answer")),
        "reasoning": _text(row.get("reasoning")),
        "tools": _text(row.get("tool_calls") or None),
        "finish": _text(row.get("finish")),
        "error": _error(error) if isinstance(error, dict) else None,
        "edits": [_edit(edit) for edit in edits[:20]] if isinstance(edits, list) else [],
        "calls": [_call(call, row) for call in trials.calls_of(row)[:MOST_CALLS]],
        "success": trials.success_of(row),
        "seconds": trials.seconds_of(row),
    }


def _call(call: Mapping[str, Any], row: Row) -> tuple[str, bool]:
    """A model call in a line, and whether something is amiss with it."""
    left = call["to"] != row["arm"]
    tokens = " + ".join(str(call.get(end)) for end in ("input_tokens", "output_tokens"))
    parts = [
        f"STILL CALLS {call['to']}" if left else "",
        str(call.get("path")),
        str(call.get("model") or ""),
        str(call.get("status")),
        f"{call.get('error')}: {call.get('message') or ''}" if call.get("error") else "",
        _took(call.get("seconds")),
        f"{tokens} tokens" if "None" not in tokens else "",
    ]
    said = " · ".join(part for part in parts if part)
    return _short(said, LONGEST_CALL), left or bool(call.get("error"))


def _took(seconds: Any) -> str:
    """A time, where it is one: a line of cases.jsonl may hold anything."""
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return level("s", seconds) if known else ""


def _error(error: Mapping[str, Any]) -> str:
    return _text(f"{error.get('kind')}: {error.get('message')}") or ""


def _edit(edit: Any) -> str:
    if not isinstance(edit, dict):
        return _text(edit) or ""
    return _short(f"{edit.get('action')} {edit.get('path')}: {edit.get('detail')}", 300)


def _text(value: Any) -> str | None:
    """Any JSON value as text that can be seen, at most `LONGEST` characters of it."""
    if value is None:
        return None
    if not isinstance(value, str):
        value = json.dumps(clean(value), ensure_ascii=False, indent=1)
    return visible(shorten(value, LONGEST))


def _short(value: Any, limit: int) -> str:
    """The beginning of a text in one line."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    # Cut first: only a little of it is needed, and it may be 10 MB long.
    line = " ".join(text[: 4 * limit].split())
    return visible(view.cut(line, limit))


def _tags(row: Row) -> list[str]:
    tags = row.get("tags")
    found = tags[:MOST_TAGS] if isinstance(tags, list) else []
    return [_short(tag, LONGEST_TAG) or EMPTY for tag in found]


def _rounded(number: float | None) -> float | None:
    """Four significant digits: a table shows no more."""
    return None if number is None else float(f"{number:.4g}")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _pack(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode("ascii")
