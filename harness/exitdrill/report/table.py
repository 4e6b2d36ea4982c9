"""The cases of a drill, packed into the page: an index, and the answers in blocks.

A block is JSON, compressed (zlib) and written in base64, so that nothing in it can end a script
element; the page inflates the index when it opens and a block when one of its cases is opened.
Bounded in cases, in bytes and in the length of a string, and what is left out is counted.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exitdrill.report import changed, trials, view
from exitdrill.report.survey import Row, Survey, compared
from exitdrill.report.text import LONGEST, clean, shorten, visible

MOST_CASES = 10_000
MOST_BYTES = 25_000_000
"""Of the page that the cases take."""
BLOCK_CASES, BLOCK_BYTES = 200, 3_000_000
LONGEST_ID, LONGEST_HEAD, LONGEST_TAG = 160, 160, 60
MOST_TAGS = 20
MOST_SHOWN = 60
"""Trials of one case that are shown; the rest is counted."""
MOST_GROUPS = 400
"""Distinct changes that the index names; what goes beyond them is named by its kind alone."""

Json = dict[str, Any]


@dataclass
class Table:
    """What the page holds of the cases. ``blocks`` is read to its end before ``index`` is.

    The index is known only once all blocks are written: it says where each begins.
    """

    survey: Survey
    arms: Sequence[str]
    labels: Mapping[trials.Change, str]
    rows: list[list[Any]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    changes: dict[tuple[str, bool], int] = field(default_factory=dict)
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
                    "changes": [list(change) for change in self.changes],
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
        found = {clean(arm): each for arm, each in compared(rows).items()}
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
        kind, where, form = clean(change[0]), clean(change[1]), change[2]
        label = self.labels.get((kind, where, form))
        if label is None:
            whole = len(self.changes) < MOST_GROUPS
            label = changed.change_label(kind, where if whole else None)
        return self._numbered(self.changes, (view.cut(label, LONGEST_ID), form))

    @staticmethod
    def _numbered(known: dict[Any, int], name: Any) -> int:
        return known.setdefault(name, len(known))


def table(survey: Survey, data: Mapping[str, Any]) -> Table:
    """The table of a drill's cases."""
    arms = [data["incumbent"]["name"], *(each["name"] for each in data["candidates"])]
    labels = {
        (group["kind"], group["where"], group["form"]): changed.group_label(group)
        for candidate in data["candidates"]
        for group in (candidate.get("changes") or {}).get("groups", ())
    }
    return Table(survey, arms, labels)


def _detail(rows: Sequence[Row]) -> Json:
    """What is shown of an opened case."""
    first = rows[0]
    return {
        "prompt": _text(first.get("prompt")),
        "expected": _text(first.get("expected")),
        "checker": _text(first.get("checker")),
        "trials": [_trial(row) for row in rows[:MOST_SHOWN]],
        "more": max(0, len(rows) - MOST_SHOWN),
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
        "success": trials.success_of(row),
        "seconds": trials.seconds_of(row),
    }


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
    return [_short(tag, LONGEST_TAG) for tag in found]


def _rounded(number: float | None) -> float | None:
    """Four significant digits: a table shows no more."""
    return None if number is None else float(f"{number:.4g}")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _pack(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode("ascii")
