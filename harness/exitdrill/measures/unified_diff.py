"""Reads a unified diff, git's or another program's.

Lines end with a line feed and nothing else (a form feed or a carriage return is content), and
within a hunk its counts decide what a line is: a removed ``-- x`` looks like a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_GIT_HEAD = re.compile(r'diff --git ("?)a/(?P<path>.*)\1 \1b/(?P=path)\1$')
_ESCAPE = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
    b'"': b'"',
    b"\\": b"\\",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a diff adds (``mark`` is ``+``) or removes (``-``), by its number from 1."""

    mark: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file in a diff."""

    path: str
    added: int
    removed: int
    lines: tuple[Line, ...] = field(default=(), compare=False, repr=False)


def parse_diff(diff: str) -> Iterator[FileChange]:
    """The files of a unified diff, in its order."""
    path = ""
    lines: list[Line] = []
    old = new = old_left = new_left = 0
    for line in diff.split("\n"):
        if old_left > 0 or new_left > 0:
            mark = line[:1]
            if mark in {"+", "-"}:
                lines.append(Line(mark, new if mark == "+" else old, line[1:]))
            # an empty line is a context line whose blank an editor has stripped
            was, is_ = mark in {"-", " ", "", "\r"}, mark in {"+", " ", "", "\r"}
            old, old_left, new, new_left = old + was, old_left - was, new + is_, new_left - is_
        elif hunk := _HUNK.match(line):
            old, old_left, new, new_left = (int(number or 1) for number in hunk.groups())
        elif _starts_file(line, path, len(lines)):
            if path:
                yield _file(path, lines)
            path, lines = _named_in(line), []
        elif line.startswith(("+++ ", "rename to ", "copy to ")):
            path = _named_in(line) or path
    if path:
        yield _file(path, lines)


def _file(path: str, lines: Sequence[Line]) -> FileChange:
    added = sum(line.mark == "+" for line in lines)
    return FileChange(path, added, len(lines) - added, tuple(lines))


def _starts_file(line: str, path: str, counted: int) -> bool:
    """A new file begins with git's line, or in a plain diff with ``---`` after the last hunk."""
    return line.startswith("diff --git ") or (line.startswith("--- ") and (not path or counted > 0))


def _named_in(line: str) -> str:
    """The path that a header names; empty for ``/dev/null``, or where the line alone can't tell."""
    if line.startswith("diff --git "):
        head = _GIT_HEAD.match(line)  # of a rename, whose names differ, a later line has the name
        if head is None:
            return "?"
        return _unquote(head[1] + head["path"] + head[1])
    name = re.sub(r"^(\+\+\+|---|rename to|copy to) ", "", line).split("\t")[0].rstrip("\r")
    name = _unquote(name)
    if name == "/dev/null":
        return ""
    prefixed = line.startswith(("+++ b/", "--- a/", '+++ "b/', '--- "a/'))
    return name[2:] if prefixed else name


def _unquote(name: str) -> str:
    """A path as git writes it when it holds a quote, a tab or a control character."""
    if len(name) < 2 or name[0] != '"' or name[-1] != '"':
        return name
    return _ESCAPE.sub(_unescape, name[1:-1].encode()).decode("utf-8", "replace")


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _ESCAPES[code]
