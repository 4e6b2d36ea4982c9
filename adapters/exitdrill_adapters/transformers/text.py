"""From token ids to pieces of text: whole characters, and never past a stop string."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Decode = Callable[[list[int]], str]

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_MOST_HELD = 16
"""Tokens: more than any character needs, so what still ends broken is broken for good."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, and the number of tokens it came from."""

    text: str
    tokens: int


class Detokeniser:
    """Decodes one sequence as it grows.

    A token's text depends on its neighbours (spaces, bytes of one character), so the new text is
    the difference between two decodings of a short window. Text that ends in half a character
    waits for the rest.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._context_text = ""
        self._held: list[int] = []

    def push(self, token: int) -> Piece | None:
        """The text that this token completes, if any."""
        self._held.append(token)
        text = self._decode(self._context + self._held)
        if text.endswith(_BROKEN) and len(self._held) < _MOST_HELD:
            return None
        return self._settle(text)

    def flush(self) -> Piece | None:
        """What is left at the end, with a replacement character for a half one."""
        return self._settle(self._decode(self._context + self._held)) if self._held else None

    def _settle(self, text: str) -> Piece | None:
        new = text[len(self._context_text) :]
        if not new:
            # A special token, say: its count goes to the text that follows.
            return None
        piece = Piece(new, len(self._held))
        self._context, self._held = self._held[-_MOST_HELD:], []
        self._context_text = self._decode(self._context)
        return piece


class StopScanner:
    """Holds back what may be the beginning of a stop string; lets go of whole pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held: list[Piece] = []
        self.stopped = False

    def push(self, piece: Piece) -> Iterator[Piece]:
        """The pieces that are safe to show. After a match, `stopped` is true."""
        if not self._stops:
            yield piece
            return
        self._held.append(piece)
        text = "".join(held.text for held in self._held)
        matches = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        self.stopped = bool(matches)
        safe = min(matches) if matches else len(text) - self._overlap(text)
        yield from self._release(safe)

    def flush(self) -> Iterator[Piece]:
        """What was held back for a stop string that did not come."""
        yield from self._held
        self._held.clear()

    def _overlap(self, text: str) -> int:
        """The length of the longest end of the text that begins a stop string."""
        longest = min(len(text), max(map(len, self._stops)) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0

    def _release(self, safe: int) -> Iterator[Piece]:
        while self._held and safe >= len(self._held[0].text):
            piece = self._held.pop(0)
            safe -= len(piece.text)
            yield piece
        if self.stopped:
            if safe and self._held:
                yield Piece(self._held[0].text[:safe], self._held[0].tokens)
            self._held.clear()
