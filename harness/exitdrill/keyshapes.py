"""What looks like a secret in a text whose secrets nobody knows, as in the diff of an app.

A key whose issuer documents its format, a password in a URL, a value that stands under a name that
says so, and every value of a ``.env`` file. Masked within the line, so that lines can be counted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from exitdrill.environment import looks_secret
from exitdrill.redaction import MASK

NOT_SHOWN = "(not shown)"
"""What stands for a value of a ``.env`` file, which need not be a key."""
_SHORTEST_KEY = 16
_LEAST_ENTROPY = 3.0
"""Bits per character; a random text of 16 characters has more, most words and paths less."""
_SHORTEST_PASSWORD = 4

_B = r"(?<![A-Za-z0-9])"
_DIGIT = r"(?=[\w.-]{0,200}\d)"  # bounded: a text may begin a thousand keys
FORMATS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("eyj",), _B + r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*"),
    (("sk-", "pk-", "rk-"), _B + rf"[spr]k-{_DIGIT}[\w-]{{16,}}"),
    (("sk_", "pk_", "rk_", "whsec_"), _B + r"(?:[spr]k_(?:live|test)_|whsec_)\w{8,}"),
    (("akia", "asia", "aroa"), _B + r"(?:AKIA|ASIA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    (("gh", "github_pat"), _B + r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})"),
    (("glpat-", "glrt-", "gldt-"), _B + r"gl(?:pat|rt|dt)-[\w.-]{16,}"),
    (("hf_", "gsk_", "npm_", "r8_"), _B + rf"(?:hf|gsk|npm|r8)_{_DIGIT}[A-Za-z\d]{{16,}}"),
    (("fw_",), _B + rf"fw_{_DIGIT}[A-Za-z\d]{{16,}}"),
    (("csk-", "xai-", "pplx-", "nvapi-"), _B + rf"(?:csk|xai|pplx|nvapi)-{_DIGIT}[\w-]{{16,}}"),
    (("aiza",), _B + r"AIza[\w-]{30,}"),
    (("ya29.",), _B + r"ya29\.[\w-]{16,}"),
    (("xox", "xapp-"), _B + r"(?:xox[abeoprs]|xapp)-[\w-]{10,}"),
    (("hooks.slack.com",), r"(?<=hooks\.slack\.com/services/)[\w/]{20,}"),
    (("sg.",), _B + r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    (("pypi-", "dop_v1_", "shpat_", "lin_api_", "hvs.", "tvly-"),
     _B + r"(?:pypi-|dop_v1_|shpat_|lin_api_|hvs\.|tvly-)[\w-]{16,}"),
)  # fmt: skip
"""Documented formats of keys: marks (in small letters) of which one must be in the text, and the
pattern."""

_COMPILED = [(marks, re.compile(pattern)) for marks, pattern in FORMATS]
_IN_URL = re.compile(r":(?:\\?/){2}[^\s/?#@:\"'<>\\]*:([^\s/?#@\"'<>\\{$%][^\s/?#@\"'<>\\]*)@")
_IN_QUERY = re.compile(
    r"(?i)[?&](?:[\w.-]{0,80}(?:key|token|secret|password|passwd|pwd|auth|signature|credential)"
    r"|sig|code)=([^\s\"'`,;&#<>{}()\[\]\\$%]{6,})"
)
_NAME = r"(?<![\w.-])([A-Za-z_][\w.-]{0,80})"
_QUOTED = re.compile(
    _NAME + r"(?:[\"'`]\s*,|[\"'`]?\]?(?:\s*:\s*[\w.\[\]| ]{1,40}?)?\s*(?::=|=>|=|:))"
    r"\s*[A-Za-z]{0,2}([\"'`])((?:(?!\2)[^\n]){4,500})\2"
)
_BARE = re.compile(_NAME + r"\s*[=:]\s*([^\s\"'`,;()\[\]{}<>&#.$][^\s\"'`,;()\[\]{}<>&#]{3,500})")
_DATA = frozenset({"yaml", "yml", "toml", "ini", "cfg", "conf", "properties", "tfvars"})
_DATA_FILES = frozenset({".netrc", ".pgpass", ".npmrc", ".pypirc"})
"""Where a value needs no quotes to be one."""
_PASSWORD = re.compile(r"(?i)SECRET|PASSWORD|PASSWD|PASSPHRASE|PASSWORT|._PWD$|(^|_)PASS$")
_VARIABLE = re.compile(r"(\s*#?\s*(?:export\s+)?[A-Za-z_][\w.]*\s*[=:]\s*)(.*)", re.DOTALL)
_BEGIN, _END = re.compile(r"-----BEGIN [A-Z\d ]*PRIVATE KEY"), "-----END "
_CODED = re.compile(r"\s*[\"']?[A-Za-z0-9+/]{60,}={0,2}[\"']?\s*")


def mask(text: str, *, data: bool = False) -> str:
    """The text with what looks like a secret masked; ``data`` where values stand without quotes."""
    places = sorted({place for place in _places(text, data=data) if place[0] < place[1]})
    pieces, end = [], 0
    for start, stop in places:
        if start >= end:
            pieces += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*pieces, text[end:]])


def mask_json(value: Any) -> Any:
    """A JSON value with what looks like a secret masked in its texts."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: mask_json(each) for key, each in value.items()}
    return [mask_json(each) for each in value] if isinstance(value, list) else value


def mask_diff(diff: str) -> str:
    """A diff of git's with what looks like a secret masked; no line is added or taken away."""
    file, lines = _File(), []
    for line in diff.split("\n"):
        if line.startswith("diff --git "):  # no line of a hunk begins so
            file = _File()
        lines.append(file.line(line))
    return "\n".join(lines)


def is_key(text: str) -> bool:
    """Whether a text holds a key of a documented format."""
    return next(_of_format(text), None) is not None


def password_in_url(text: str) -> bool:
    """Whether a text holds a URL with a password in it: ``://user:password@``."""
    return _IN_URL.search(text) is not None


# --- a diff -------------------------------------------------------------------------------------


class _File:
    """What is known of the file that the lines of a diff are in."""

    def __init__(self) -> None:
        self._in_head = True
        self._names: set[str] = set()
        self._in_key = {"+": False, "-": False}
        """Whether a private key has begun and not ended, in the file after and before."""

    def line(self, line: str) -> str:
        """The next line, masked."""
        if line.startswith("@@"):
            self._in_head, self._in_key = False, {"+": False, "-": False}
            return self._hunk(line)
        if self._in_head:
            if line.startswith(("--- ", "+++ ")):
                self._names.add(line[4:].strip().strip('"').rpartition("/")[2].lower())
            return line
        return line if line[:1] in {"", "\\"} else line[0] + self._masked(line[0], line[1:])

    def _hunk(self, line: str) -> str:
        """The head of a hunk, behind which git quotes the line of a function, or what it takes for
        one."""
        head, mark, quoted = line[2:].partition("@@")
        return f"@@{head}{mark}{self._content(quoted)}"

    def _masked(self, sign: str, text: str) -> str:
        sides = "+-" if sign == " " else sign
        inside = any(self._in_key.get(side) for side in sides)
        if begins := _BEGIN.search(text):
            inside = True
            text = text[: begins.start()] + MASK + text[begins.end() :]
        over = _END in text
        for side in sides:
            self._in_key[side] = inside and not over
        if begins or (inside and over):
            return MASK
        return MASK if inside or _CODED.fullmatch(text) else self._content(text)

    def _content(self, text: str) -> str:
        if self._is_any(".env", ".env.*", "*.env", ".envrc", "*.envrc"):
            return _variable(text)
        return mask(text, data=self._is_data())

    def _is_data(self) -> bool:
        return any(n in _DATA_FILES or n.rpartition(".")[2] in _DATA for n in self._names)

    def _is_any(self, *globs: str) -> bool:
        return any(fnmatchcase(name, glob) for name in self._names for glob in globs)


def _variable(line: str) -> str:
    """A line of a ``.env`` file without what it sets."""
    text, ending = (line[:-1], "\r") if line.endswith("\r") else (line, "")
    if found := _VARIABLE.fullmatch(text):
        return f"{found[1]}{NOT_SHOWN if found[2].strip() else ''}{ending}"
    if not text.strip() or text.lstrip().startswith("#"):
        return mask(text, data=True) + ending
    return NOT_SHOWN + ending  # of a value of several lines


# --- places in a text ---------------------------------------------------------------------------


def _places(text: str, *, data: bool) -> Iterator[tuple[int, int]]:
    yield from _of_format(text)
    if "//" in text or "\\/" in text:
        yield from (found.span(1) for found in _IN_URL.finditer(text))
        yield from (found.span(1) for found in _IN_QUERY.finditer(text))
    for found in _QUOTED.finditer(text):
        if _is_secret(found[1], found[3], literal=True):
            yield found.span(3)
    for found in _BARE.finditer(text):
        if _is_secret(found[1], found[2], literal=data):
            yield found.span(2)


def _of_format(text: str) -> Iterator[tuple[int, int]]:
    lowered = text.lower()
    for marks, pattern in _COMPILED:
        if any(mark in lowered for mark in marks):
            yield from (found.span() for found in pattern.finditer(text))


def _is_secret(name: str, value: str, *, literal: bool) -> bool:
    """Whether a value is one, by the name that it stands under; ``literal``: no expression."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(".", "_")
    if not looks_secret(words) or value[0] in "${<%" or any(map(str.isspace, value)):
        return False
    if literal and _PASSWORD.search(words):
        return len(value) >= _SHORTEST_PASSWORD
    return (
        len(value) >= _SHORTEST_KEY
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and _entropy(value) >= _LEAST_ENTROPY
    )


def _entropy(text: str) -> float:
    """Bits per character, by how often each occurs."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
