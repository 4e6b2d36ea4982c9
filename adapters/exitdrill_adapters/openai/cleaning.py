"""Keeps the key out of every text that a server chose and that is not the answer itself.

A server may echo what it was sent: in an error, a header, a finish reason, its list of models; and
not only as it is, but as JSON or a URL quotes it. So a text is cleaned first, then put on one line,
then cut. Bytes that were cut before anybody could clean them end in ``…`` (see `beginning`): what
stands before that mark may be the first half of a key, and is taken out too.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from exitdrill_adapters.openai.pieces import overlap

MAX_MESSAGE = 500
MASK = "[key]"
_CUT = "…"
_MOST_CLEANED = 65_536
"""Characters of a text that are looked at; far more than are ever shown."""
_SHORTEST = 4
"""Characters. What is shorter is no key, nor says much of one."""
_SHORTEST_CODED = 8
"""Characters. The base64 of a shorter key might be part of any word."""
_SHORTEST_ANY_CASE = 12
"""Characters. A shorter one may be a filler, such as EMPTY, which is also a word."""
_LARGEST = 2**53
"""Integers beyond it are not the same number to every reader of JSON."""


class Cleaner:
    """Cleans texts of one key, or where there is none, only caps them."""

    __slots__ = ("_bare", "_pattern")

    def __init__(self, secret: SecretStr | None) -> None:
        key = "" if secret is None else secret.get_secret_value()
        forms = _forms(key) if len(key) >= _SHORTEST else set()
        self._bare = {_bare(form) for form in forms}
        self._pattern: re.Pattern[str] | None = None
        if forms:
            flags = re.IGNORECASE if len(key) >= _SHORTEST_ANY_CASE else 0
            patterns = sorted(set(map(_pattern, forms)), key=len, reverse=True)
            self._pattern = re.compile("|".join(patterns), flags)

    def text(self, text: str, limit: int = MAX_MESSAGE) -> str:
        """``text`` without the key, on one line, and of at most ``limit`` characters."""
        if len(text) > _MOST_CLEANED:
            text = text[:_MOST_CLEANED] + _CUT
        text = text.encode(errors="replace").decode()  # half a character is no text to a database
        # Again at the end: a key may hold spaces.
        text = self._without(" ".join(self._without(text).split()))
        return text if len(text) <= limit else text[: limit - 1] + _CUT

    def value(self, value: Any) -> Any:
        """A JSON value with the key taken out of every string in it; nothing is cut."""
        if isinstance(value, str):
            return self._without(value)
        if isinstance(value, Mapping):
            return {self._without(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _without(self, text: str) -> str:
        if self._pattern is None:
            return text
        text = self._pattern.sub(MASK, text)
        return self._without_half(text[:-1]) + _CUT if text.endswith(_CUT) else text

    def _without_half(self, text: str) -> str:
        """A text that was cut, without the beginning of a key at its end."""
        size = overlap(_bare(text), tuple(self._bare))
        if size < _SHORTEST:
            return text
        # The size counts no backslashes; those within are dropped with the rest.
        places = [place for place, letter in enumerate(text) if letter != "\\"]
        return text[: places[-size]].rstrip("\\") + MASK


def beginning(data: bytes, limit: int) -> str:
    """The first ``limit`` bytes of a text; it ends in ``…`` where that is not all."""
    text = data[:limit].decode(errors="replace")
    return text if len(data) <= limit else text + _CUT


def finite(value: Any) -> Any:
    """A JSON value with None for the numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is a string, or a number that every reader of JSON understands."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, int) and abs(value) <= _LARGEST)


# --- the forms of a key -------------------------------------------------------------------------


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _coded(characters: str, text: str) -> str:
    return re.sub(characters, lambda found: f"\\u{ord(found[0]):04x}", text)


_QUOTED: tuple[Callable[[str], str], ...] = (
    _as_json,
    lambda text: _as_json(text).replace("/", "\\/"),  # PHP
    lambda text: _coded("[<>&]", _as_json(text)),  # Go
    lambda text: _coded("[<>&'\"+`]", text.replace("\\", "\\\\")),  # .NET
    lambda text: text.replace("\\", "\\\\"),  # repr
    lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    html.escape,
)


def _forms(key: str) -> set[str]:
    """A key as it is and as it may be quoted, also twice: an error that quotes an error."""
    once = {key, *(quoted(key) for quoted in _QUOTED)}
    forms = once | {quoted(form) for form in once for quoted in _QUOTED}
    if len(key) >= _SHORTEST_CODED:
        forms.update(_in_base64(key.encode()), (key.encode().hex(),))
    return forms


def _pattern(form: str) -> str:
    """Matches a form however often it was escaped: each time adds backslashes."""
    pieces = [re.sub("[\"'/]", r"\\\\*\g<0>", re.escape(piece)) for piece in re.split(r"\\+", form)]
    return r"\\+".join(pieces)


def _bare(text: str) -> str:
    return text.replace("\\", "").lower()


def _in_base64(key: bytes) -> Iterator[str]:
    """What base64 makes of a key, wherever it begins in what is encoded ("Bearer …", say).

    Without the characters at either end that also depend on what stands beside it.
    """
    for before in range(3):
        coded = base64.b64encode(bytes(before) + key).decode()
        inner = coded[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
