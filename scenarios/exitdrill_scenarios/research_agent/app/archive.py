"""The archive: short passages, and a search that needs nothing but them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TITLE = 2.0
"""How much more a word counts in a title than in the text."""


@dataclass(frozen=True)
class Passage:
    """One text; its title is what it is about."""

    id: str
    title: str
    text: str


def load(path: Path) -> list[Passage]:
    """The passages of a file, one JSON object per line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Passage(**json.loads(line)) for line in lines if line]


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"\w+", text.casefold())


class Archive:
    """Passages, ranked by the words that they share with a query: rare ones weigh more."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = list(passages)
        self._held = [(set(words(p.title)), set(words(p.text))) for p in passages]
        seen = Counter(word for title, text in self._held for word in title | text)
        self._weight = {word: math.log(1 + len(passages) / n) for word, n in seen.items()}

    def search(self, query: str, most: int) -> list[Passage]:
        """The best passages, the best first; those that share no word are left out."""
        asked = dict.fromkeys(words(query))
        scored = [
            (sum(self._scores(asked, *held)), -place) for place, held in enumerate(self._held)
        ]
        best = sorted(scored, reverse=True)[:most]
        return [self._passages[-place] for score, place in best if score > 0]

    def _scores(self, asked: dict[str, None], title: set[str], text: set[str]) -> Iterator[float]:
        for word in asked:
            if word in title:
                yield TITLE * self._weight[word]
            elif word in text:
                yield self._weight[word]
