"""Where two JSON values differ: pointers, with what stands there on either side.

Elements of lists are compared by position, and their pointers have ``*`` for the index: what
differs in one field of ten elements is one difference. What is missing, or of another type, is one
difference as a whole. All elements of a list are looked at together, so that a long list hides
nothing that comes after it. Bounded: at most `MOST_TOLD` differences are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from exitdrill.checkers import same_json

FieldKind = Literal["field_changed", "field_missing", "field_added", "field_type"]
MOST_TOLD = 100
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
    """The places where two JSON values differ, each kind once per pointer.

    There is one more than `MOST_TOLD` where more differ than are told.
    """
    told: dict[tuple[str, str], Difference] = {}
    for kind, pointer, before, after in _walk([(wanted, found)], ""):
        if (kind, pointer) not in told:
            told[kind, pointer] = Difference(kind, pointer, _text(before), _text(after))
        if len(told) > MOST_TOLD:
            break
    return list(told.values())


class _Nothing:
    """Where a field is missing."""


_NOTHING = _Nothing()
_Pair = tuple[Any, Any]
_Step = tuple[FieldKind, str, Any, Any]


def _walk(pairs: Iterable[_Pair], pointer: str) -> Iterator[_Step]:
    """The first of each kind of difference between the values at a pointer, and below it."""
    seen: set[FieldKind] = set()
    below: dict[str, list[_Pair]] = {}
    for ours, theirs in pairs:
        kind = _kind(ours, theirs)
        if kind and kind not in seen:
            seen.add(kind)
            yield kind, pointer, ours, theirs
        for key, *pair in _children(ours, theirs):
            below.setdefault(_child(pointer, key), []).append((pair[0], pair[1]))
    for child, inner in below.items():
        yield from _walk(inner, child)


def _kind(ours: Any, theirs: Any) -> FieldKind | None:
    """How two values differ; None where they are the same, or both objects, or both lists."""
    if ours is _NOTHING:
        return "field_added"
    if theirs is _NOTHING:
        return "field_missing"
    types = type_of(ours), type_of(theirs)
    if types[0] != types[1]:
        return "field_changed" if "null" in types else "field_type"
    alike = types[0] in {"object", "array"} or same_json(ours, theirs)
    return None if alike else "field_changed"


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


def _child(pointer: str, key: str) -> str:
    """The JSON pointer (RFC 6901) of a child, cut where it is long."""
    short = key if len(key) <= LONGEST_KEY else key[: LONGEST_KEY - 1] + "…"
    longer = f"{pointer}/{short.replace('~', '~0').replace('/', '~1')}"
    return longer if len(longer) <= LONGEST_POINTER else longer[: LONGEST_POINTER - 1] + "…"


def _text(value: Any) -> str:
    return "" if value is _NOTHING else json.dumps(value, ensure_ascii=False)
