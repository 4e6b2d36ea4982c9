"""What a program said, cut to what helps: how it begins, and above all how it ends."""

from __future__ import annotations

LONGEST = 260
"""Characters."""
_HEAD, _TAIL = 70, 180
_BREAK = " / "
"""Between two lines that are written in one."""


def gist(said: str) -> str:
    """A text in one line of at most `LONGEST` characters: of an error the end is what helps."""
    lines = (" ".join(line.split()) for line in said.splitlines())
    whole = _BREAK.join(line for line in lines if line).replace(f":{_BREAK}", ": ")
    if len(whole) <= LONGEST:
        return whole
    return f"{_before(whole[:_HEAD])} … {_after(whole[-_TAIL:])}"


def _before(text: str) -> str:
    """As far as whole words go."""
    return text.rpartition(" ")[0] or text


def _after(text: str) -> str:
    """From where a line, or a word, begins."""
    for mark in (_BREAK, " "):
        if mark in text:
            return text.partition(mark)[2]
    return text
