"""What a model said or a file holds, made safe to look at: visible, bounded, still text."""

from __future__ import annotations

import re
from typing import Any

LONGEST = 4_000
"""Characters of one string that a report shows; the whole is in cases.jsonl."""
DEEPEST = 24

# Characters that reorder, hide or fake text, or that XML and UTF-8 cannot hold: controls (tab and
# newline aside), bidirectional and zero-width ones, invisible operators, tags and selectors that
# can smuggle data, lone surrogates, non-characters. An answer must not look like another one.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000)
    )
    + "]"
)


def visible(text: str) -> str:
    """The text with every character that cannot be seen replaced by its code, as in ⟨U+202E⟩."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def shorten(text: str, limit: int = LONGEST) -> str:
    """The beginning of a long text, and how much was left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [{len(text) - limit:,} more characters not shown]"


def clean(value: Any, depth: int = 0) -> Any:
    """A JSON value, all its strings and keys visible and bounded.

    Done once, to the whole document: a renderer cannot forget it.
    """
    if isinstance(value, str):
        return visible(shorten(value))
    if not isinstance(value, dict | list):
        return value
    if depth >= DEEPEST:
        return "… [nested deeper than is shown]"
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    return {visible(shorten(key, 200)): clean(item, depth + 1) for key, item in value.items()}
