"""JSON as its standard has it: no NaN, no duplicate keys, no lone surrogates.

Python's own reader accepts all three, and each comes back later as something worse.
"""

from __future__ import annotations

import json
from typing import Any


class StrictJSONError(ValueError):
    """The text is not strict JSON; the message says why, in a user's words."""


def loads(text: str) -> Any:
    """The value of one JSON text.

    Raises `StrictJSONError`.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"not valid JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise StrictJSONError("nested too deeply") from None
    except StrictJSONError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise StrictJSONError(f"not usable JSON: {error}") from None
    if "\\ud" in text.lower():
        _refuse_lone_surrogates(value)
    return value


def canonical(value: Any) -> str:
    """The one text that stands for a value, whatever the order of its keys; for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _refuse_constant(name: str) -> Any:
    raise StrictJSONError(f"{name} is not JSON; write null, or leave the key out")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise StrictJSONError(f"key {twice!r} stands twice in one object")
    return value


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StrictJSONError("a \\ud… escape that is half a character") from None
