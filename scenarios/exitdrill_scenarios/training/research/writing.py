"""Names, passages and questions, written from the phrases of one split."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from exitdrill_scenarios.research_agent.app.archive import Passage
from exitdrill_scenarios.training.names import letters, syllables
from exitdrill_scenarios.training.phrases import split_choices
from exitdrill_scenarios.training.research.books import (
    HOUSES,
    MADE_PASSAGES,
    MADE_QUESTIONS,
    SPLITS,
    meaningful,
)
from exitdrill_scenarios.training.research.facts import Facts


@cache
def _reserved() -> frozenset[str]:
    """Names that training must never see."""
    held_out = (SPLITS["dev"], SPLITS["workload"])
    return frozenset(name.casefold() for book in held_out for name in book.names())


@cache
def training_words() -> tuple[str, ...]:
    """The lower-case words of the training phrases, each once, in the order of the alphabet."""
    found = {w for p in SPLITS["train"].phrases() for w in re.findall(r"[^\W\d_]{2,}", p)}
    slots = {"inst", "person", "town", "river", "year", "other", "noise", "count"}
    return tuple(sorted(word for word in found - slots if word.islower()))


@cache
def idle_words() -> tuple[str, ...]:
    """Those of them that say nothing of what is asked."""
    return tuple(word for word in training_words() if word not in meaningful())


def invented(rng: random.Random) -> str:
    """A name that nobody bears, and that no other split lists."""
    while True:
        word = letters(rng) if rng.random() < 0.15 else _syllables_or_pieces(rng)
        if word.casefold() not in _reserved():
            return word


def _syllables_or_pieces(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return syllables(rng)
    pieces = []
    for _ in range(rng.choice((1, 2, 2))):
        word = rng.choice(training_words())
        start = rng.randint(0, max(0, len(word) - 3))
        pieces.append(word[start : start + rng.randint(2, 5)])
    return "".join(pieces).capitalize()


def _year(rng: random.Random) -> str:
    return str(rng.randint(1650, 1999))


@dataclass(frozen=True)
class Noise:
    """Which share of phrases is roughened by idle words, and which is made up of them."""

    rough: float = 0.0
    made_up: float = 0.0


NONE = Noise()
Made = tuple[Sequence[str], Sequence[Sequence[str]]] | None
"""The slots and the groups of cues that a phrase may be made up of."""


class Writer:
    """Picks phrases from the book of one split and fills their slots."""

    def __init__(self, rng: random.Random, split: str, noise: Noise = NONE) -> None:
        self.rng, self.book, self.noise = rng, SPLITS[split], noise
        self.used: list[str] = []

    def write(self, phrases: Sequence[str], slots: dict[str, str], made: Made = None) -> str:
        """One phrase, filled; with noise, at times loosened by idle words, or made up of them."""
        noisy = self.noise.made_up
        if made and noisy and self.rng.random() < noisy:
            phrase = self._make_up(*made)
        else:
            phrase = "".join(map(self.rng.choice, split_choices(self.rng.choice(phrases))))
            self.used.append(phrase)
            if self.rng.random() < self.noise.rough:
                phrase = self._loosen(phrase)
        noise = {"noise": _year(self.rng), "count": str(self.rng.randint(2, 900))}
        text = phrase.format_map(noise | slots)
        return text[0].upper() + text[1:]

    def _loosen(self, phrase: str) -> str:
        words = phrase.split(" ")
        for _ in range(self.rng.randint(1, 3)):
            words.insert(self.rng.randint(0, len(words)), self._idle())
        return " ".join(words)

    def _make_up(self, slots: Sequence[str], cues: Sequence[Sequence[str]]) -> str:
        """Slots and cues in any order, with idle words between them."""
        pieces = [*slots, *map(self.rng.choice, cues)]
        self.rng.shuffle(pieces)
        text = " ".join(self._filling())
        for piece in pieces:
            stop = self.rng.random() < 0.12 and text
            text += f"{self.rng.choice(('.', ',', ':')) if stop else ''} {piece}"
            text = " ".join([text, *self._filling()])
        return text.strip() + self.rng.choice((".", ".", "?"))

    def _filling(self) -> list[str]:
        return [self._idle() for _ in range(self.rng.choice((0, 0, 1, 1, 2, 3)))]

    def _idle(self) -> str:
        if self.rng.random() < 0.3:
            return syllables(self.rng).lower()
        return self.rng.choice(idle_words())

    def name(self, listed: Sequence[str]) -> str:
        """One of the book's names; if it has none, an invented one."""
        return self.rng.choice(listed) if listed else invented(self.rng)

    def person(self) -> str:
        """A given name and a family name."""
        return f"{self.name(self.book.given)} {self.name(self.book.family)}"

    def facts(self) -> Facts:
        """A little world."""
        inst = f"{self.name(self.book.houses)} {self.rng.choice(HOUSES)}"
        town, birthplace = self.name(self.book.towns), self.name(self.book.towns)
        rivers = self.name(self.book.rivers), self.name(self.book.rivers)
        year = _year(self.rng)
        return Facts(inst, self.person(), town, rivers[0], year, birthplace, rivers[1])

    def passage(self, id: str, kind: str, facts: Facts, *, filled: float = 0.35) -> Passage:
        """A passage of this kind on these facts, at times with a sentence beside the point."""
        born = {"town": facts.birthplace} if kind == "born" else {}
        slots = {**vars(facts), **born}
        text = self.write(self.book.passages[kind], slots, MADE_PASSAGES[kind])
        if self.rng.random() < filled:
            filler = self.write(self.book.fillers, {"other": self.person()})
            text = f"{filler} {text}" if self.rng.random() < 0.3 else f"{text} {filler}"
        titles = {"born": facts.person, "river": facts.town}
        return Passage(id, titles.get(kind, facts.inst), text)

    def question(self, kind: str, facts: Facts) -> str:
        """A question of this kind on these facts."""
        return self.write(self.book.questions[kind], vars(facts), MADE_QUESTIONS[kind])
