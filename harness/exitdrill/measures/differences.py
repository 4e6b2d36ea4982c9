"""Where two JSON values differ: pointers, with what stands there on either side.

Elements of lists are compared by position, and their pointers have ``*`` for the index: what
differs in one field of ten elements is one difference. What is missing, or of another type, is one
difference as a whole. Bounded: at most `MOST_SEEN` differing places are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from exitdrill.checkers import same_json

FieldKind = Literal["field_changed", "field_missing", "field_added", "field_type"]
MOST_SEEN = 1_000
MOST_TOLD = 50
LONGEST_KEY = 60
LONGEST_POINTER = 300


@dataclass(frozen=True)
class Difference:
    """One differing place; ``before`` and ``after`` are JSON texts, "" where nothing is there."""

    kind: FieldKind
    pointer: str
    before: str
    after: str


def differences(wanted: Any, found: Any) -> list[Difference]:
    """The places where two JSON values differ, each kind once per pointer."""
    told: dict[tuple[str, str], Difference] = {}
    for number, (kind, path, before, after) in enumerate(_walk(wanted, found, [])):
        pointer = _pointer(path)
        if (kind, pointer) not in told:
            told[kind, pointer] = Difference(kind, pointer, _text(before), _text(after))
        if number + 1 >= MOST_SEEN or len(told) >= MOST_TOLD:
            break
    return list(told.values())


class _Nothing:
    """Where a field is missing."""


_NOTHING = _Nothing()
_Step = tuple[FieldKind, list[str], Any, Any]


def _walk(wanted: Any, found: Any, path: list[str]) -> Iterator[_Step]:
    """Each differing place; ``path`` is one list that is changed on the way."""
    for key, ours, theirs in _children(wanted, found):
        path.append(key)
        if ours is _NOTHING:
            yield "field_added", path, ours, theirs
        elif theirs is _NOTHING:
            yield "field_missing", path, ours, theirs
        else:
            yield from _walk(ours, theirs, path)
        path.pop()
    types = type_of(wanted), type_of(found)
    if types[0] == types[1] and types[0] in {"object", "array"}:
        return
    if types[0] != types[1] and "null" not in types:
        yield "field_type", path, wanted, found
    elif not same_json(wanted, found):
        yield "field_changed", path, wanted, found


def _children(wanted: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """The children of two objects, or of two lists, side by side."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            yield name, value, found.get(name, _NOTHING)
        for name, value in found.items():
            if name not in wanted:
                yield name, _NOTHING, value
    elif isinstance(wanted, list) and isinstance(found, list):
        for position in range(max(len(wanted), len(found))):
            yield "*", _at(wanted, position), _at(found, position)


def _at(values: list[Any], position: int) -> Any:
    return values[position] if position < len(values) else _NOTHING


def type_of(value: Any) -> str:
    """The name that JSON has for a value's type."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    for kind, name in ((str, "string"), (dict, "object"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null"


def _pointer(path: list[str]) -> str:
    """The JSON pointer (RFC 6901), cut where it is long."""
    said = []
    for key in path[: LONGEST_POINTER // 2]:
        short = key if len(key) <= LONGEST_KEY else key[: LONGEST_KEY - 1] + "…"
        said.append(short.replace("~", "~0").replace("/", "~1"))
    pointer = "".join(f"/{key}" for key in said)
    return pointer if len(pointer) <= LONGEST_POINTER else pointer[: LONGEST_POINTER - 1] + "…"


def _text(value: Any) -> str:
    return "" if value is _NOTHING else json.dumps(value, ensure_ascii=False)
