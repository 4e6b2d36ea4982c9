"""JSON as its standard has it: no NaN, no duplicate keys, no lone surrogates, nothing bottomless.

Python's own reader accepts them all, and each comes back later as something worse.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

DEEPEST = 200
"""How many objects and lists may lie in each other: what is deeper can be read, but nothing that
follows (comparing, writing) could go down so far."""

EXACT = 2**53
"""Up to here a float holds every whole number."""


class StrictJSONError(ValueError):
    """The text is not strict JSON; the message says why, in a user's words."""


def loads(text: str) -> Any:
    """The value of one JSON text.

    Raises `StrictJSONError`.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"not valid JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise StrictJSONError("nested too deeply") from None
    except StrictJSONError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise StrictJSONError(f"not usable JSON: {error}") from None
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_depth(value)
    if "\\ud" in text.lower():
        _refuse_lone_surrogates(value)
    return value


def canonical(value: Any) -> str:
    """The one text that stands for a value, whatever the order of its keys; for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def typed_key(value: Any) -> str:
    """One text for all JSON values that are the same: true is not 1, 1.0 is."""
    return canonical(_whole(value))


def _whole(value: Any) -> Any:
    """The value with whole numbers written in one way.

    That is as an integer where a float holds all of them, beyond as a float where it is one: the
    digits of 1e308 would fill four lines.
    """
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= EXACT else value
    if not isinstance(value, int) or abs(value) <= EXACT:
        return value
    try:
        near = float(value)
    except OverflowError:
        return value
    return near if near == value else value


def _refuse_constant(name: str) -> Any:
    raise StrictJSONError(f"{name} is not JSON; write null, or leave the key out")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise StrictJSONError(f"key {twice!r} stands twice in one object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise StrictJSONError("a number is too large")
    return number


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
    raise StrictJSONError(f"nested too deeply (more than {DEEPEST} levels)")


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StrictJSONError("a \\ud… escape that is half a character") from None
