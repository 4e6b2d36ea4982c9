"""Filters over the pieces of a streamed text, for marks that may be split over pieces.

Both give the same result however the text is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

THINK, UNTHINK = "<think>", "</think>"


def overlap(text: str, marks: Sequence[str]) -> int:
    """The length of the longest end of ``text`` with which one of ``marks`` could begin."""
    longest = max(map(len, marks), default=0) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(len(mark) > size and mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


class StopTrimmer:
    """Cuts a text at the first stop string; what may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.matched = False

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        if self.matched:
            return ""
        text = self._held + piece
        # The stop string that is complete first, as a server sees it that looks after each token.
        ends = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.matched, self._held = True, ""
            return text[: min(ends)[1]]
        shown = len(text) - overlap(text, self._stops)
        self._held = text[shown:]
        return text[:shown]

    def flush(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return held


class ThinkSplitter:
    """Separates reasoning in ``<think>`` tags, which counts only at the beginning of an answer."""

    def __init__(self) -> None:
        self._state: Literal["before", "inside", "after"] = "before"
        self._held = ""

    @property
    def over(self) -> bool:
        """Whether all that follows is the answer."""
        return self._state == "after"

    def feed(self, piece: str) -> tuple[str, str]:
        """The reasoning and the answer in this piece."""
        if self._state == "after":
            return "", piece
        text, self._held = self._held + piece, ""
        return self._inside(text) if self._state == "inside" else self._before(text)

    def flush(self) -> tuple[str, str]:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "inside" else ("", held)

    def _before(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        if start.startswith(THINK):
            self._state = "inside"
            return self._inside(start[len(THINK) :])
        if THINK.startswith(start):
            self._held = text
            return "", ""
        self._state = "after"
        return "", text

    def _inside(self, text: str) -> tuple[str, str]:
        reasoning, mark, answer = text.partition(UNTHINK)
        if mark:
            self._state = "after"
            return reasoning, answer
        shown = len(text) - overlap(text, (UNTHINK,))
        self._held = text[shown:]
        return text[:shown], ""
