"""Support tickets and the answers expected of a model, drawn from phrase books.

Everything is a function of (split, seed): the same seed gives the same tickets on every platform,
because only `random.Random` seeded with a string is used, and lists are never taken from sets.
"""

# ruff: noqa: S311, SIM905 (nothing secret is drawn here; word lists as words)

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from . import phrases_dev, phrases_train, phrases_wide, phrases_workload
from .names import letters, syllables
from .phrases import PRIORITIES, TOPICS, Book, expand, split_choices

SYSTEM_PROMPT = "Extract customer, topic, priority and reference from the ticket. Answer in JSON."
KEYS = ("customer", "topic", "priority", "reference")
LANGUAGES = ("en", "de")
SPLITS = {"train": phrases_train, "dev": phrases_dev, "workload": phrases_workload}

_QUESTIONS = ("Where", "When", "How", "Why", "Could", "Can ", "Wo ", "Wann", "Wie ")
_LETTERS = "ABCDEFGHJKLMNPRSTVWXZ"
_FILLERS = {
    "en": (
        "already again really actually simply also even somehow obviously apparently sadly well so "
        "then here there perhaps indeed still just always often certainly however too quite almost "
        "maybe "
        "the a this that my your with for from and or of to in on as by all some any more other"
    ).split(),
    "de": (
        "schon wieder wirklich eigentlich einfach auch sogar irgendwie offenbar leider also dann "
        "hier dort vielleicht doch noch gerade immer oft sicher aber ja etwa fast wohl "
        "der die das den ein eine mein meine mit von und oder zu in auf als bei alle mehr andere"
    ).split(),
}
# What tells a customer or a reference from other names and numbers.
_CUES = {
    "en": {
        "intros": (
            "I am",
            "my name",
            "name",
            "customer",
            "this is",
            "called",
            "hello from",
            "me as",
        ),
        "signoffs": (
            "regards",
            "wishes",
            "thanks",
            "thank you",
            "greetings",
            "from",
            "yours",
            "day",
        ),
        "refs": ("reference", "case", "ticket", "case number", "ticket number", "the reference"),
    },
    "de": {
        "intros": ("ich bin", "mein Name", "Name", "Kunde", "Kundin", "hier", "heiße", "mich als"),
        "signoffs": ("Grüße", "Gruß", "danke", "Grüßen", "Dank", "von", "Ihr", "Ihre", "Tag"),
        "refs": ("Referenz", "Vorgang", "Ticket", "Vorgangsnummer", "Ticketnummer", "Aktenzeichen"),
    },
}
_PARTICLES = ("von", "de", "van")
_NEGATIONS = frozenset(
    "no not never nothing nobody cannot without nicht nie nichts niemand kein keine ohne".split()
)
_MONTHS = {
    "en": (
        "January February March April May June July August September October November December"
    ).split(),
    "de": (
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
    ).split(),
}


@dataclass(frozen=True)
class Ticket:
    """One ticket, what is expected of its answer, and the phrases that it was made of."""

    text: str
    expected: dict[str, str]
    language: str
    phrases: tuple[str, ...]
    names: tuple[str, ...]


def answer(expected: dict[str, str]) -> str:
    """The one right answer, byte for byte."""
    return json.dumps({key: expected[key] for key in KEYS}, ensure_ascii=False)


def messages(text: str, system: str | None = SYSTEM_PROMPT) -> list[dict[str, str]]:
    """The conversation that asks for one ticket."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": text}]


# --- what fills the slots -------------------------------------------------------------------


@cache
def _reserved() -> frozenset[str]:
    """Name parts that training must never see."""
    held_out = (phrases_dev, phrases_workload)
    return frozenset(part.casefold() for book in held_out for part in (*book.GIVEN, *book.FAMILY))


@cache
def _training_words() -> tuple[str, ...]:
    """The lower-case words of the training phrases, each once, in the order of the alphabet."""
    phrases = (
        p for book in phrases_train.BOOKS.values() for p in (*book.frames(), *book.wordings())
    )
    found = {word for phrase in phrases for word in re.findall(r"[^\W\d_]{3,}", phrase)}
    return tuple(sorted(word for word in found if word.islower()))


@cache
def _frame_words(language: str) -> tuple[str, ...]:
    """The words, nouns and all, around the names and references of the training frames."""
    book = phrases_train.BOOKS[language]
    phrases = (
        *book.greetings,
        *book.intros,
        *book.signoffs,
        *book.refs,
        *book.both,
        *book.closings,
    )
    found = {word for phrase in phrases for word in re.findall(r"[^\W\d_]+", phrase)}
    return tuple(sorted(found - {"name", "ref"}))


def _fragments(rng: random.Random) -> str:
    """Pieces of ordinary words in a row: gives each entry of the tokenizer its turn in a name."""
    pieces = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        word = rng.choice(_training_words())
        size = rng.randint(2, 5)
        start = rng.randint(0, max(0, len(word) - size))
        pieces.append(word[start : start + size])
    return "".join(pieces).capitalize()


def _invented(rng: random.Random, rough: int) -> str:
    while True:
        if rough and rng.random() < 0.5:
            word = _fragments(rng)
        else:
            word = letters(rng) if rng.random() < 0.15 else syllables(rng)
        if rng.random() < 0.04:
            word = rng.choice(("O'", "Mc", "De", "Al-")) + word
        if rng.random() < 0.05:
            word = f"{word}-{syllables(rng)}"
        if word.casefold() not in _reserved():
            return word


def _name_part(rng: random.Random, split: str, listed: list[str], rough: int) -> str:
    if split == "train" and rng.random() < 0.8:
        return _invented(rng, rough)
    return rng.choice(listed)


def person(rng: random.Random, split: str, *, rough: int = 0) -> str:
    """A full name; sometimes with a middle part."""
    source = SPLITS[split]
    lists = (source.GIVEN, source.FAMILY)
    given, family = (_name_part(rng, split, listed, rough) for listed in lists)
    middle = rng.choice(_PARTICLES) + " " if rng.random() < 0.04 else ""
    return f"{given} {middle}{family}"


def _digits(rng: random.Random, count: int) -> str:
    return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(count - 1))


def _capitals(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(count))


def number(rng: random.Random) -> str:
    """A reference number in one of the formats in use."""
    kind = rng.randrange(7)
    if kind <= 1:
        return f"{_capitals(rng, 2)}-{_digits(rng, 5)}"
    if kind == 2:
        return f"{_capitals(rng, 3)}-{_digits(rng, 4)}-{_digits(rng, 2)}"
    if kind == 3:
        return f"#{_digits(rng, 6)}"
    if kind == 4:
        return f"{_digits(rng, 4)}/{_digits(rng, 5)}"
    if kind == 5:
        return f"{_capitals(rng, 2)}{_digits(rng, 6)}"
    return f"{_capitals(rng, 1)}{_digits(rng, 4)}.{_digits(rng, 2)}"


def _order(rng: random.Random) -> str:
    """An order number: mostly bare digits, sometimes as like a reference as can be."""
    return number(rng) if rng.random() < 0.3 else _digits(rng, rng.choice((5, 6, 7, 8)))


def _amount(rng: random.Random, language: str) -> str:
    whole, cents = rng.randint(3, 2400), rng.randint(0, 99)
    if language == "de":
        return rng.choice((f"{whole},{cents:02d} €", f"{whole},{cents:02d} Euro", f"{whole} Euro"))
    return rng.choice(
        (
            f"€{whole}.{cents:02d}",
            f"${whole}",
            f"{whole}.{cents:02d} euros",
            f"£{whole}.{cents:02d}",
        )
    )


def _date(rng: random.Random, language: str) -> str:
    day, month = rng.randint(1, 28), rng.randint(1, 12)
    name = _MONTHS[language][month - 1]
    if language == "de":
        return rng.choice((f"{day}. {name}", f"{day:02d}.{month:02d}.", f"{day}.{month}.2026"))
    return rng.choice((f"{day} {name}", f"{name} {day}", f"2026-{month:02d}-{day:02d}"))


def _phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"0{_digits(rng, 3)} {_digits(rng, 7)}",
            f"+4{rng.randint(0, 9)} {_digits(rng, 2)} {_digits(rng, 7)}",
        )
    )


# --- from phrases to tickets ----------------------------------------------------------------


class _Writer:
    """Picks phrases from one book, keeps note of them, and fills their slots."""

    def __init__(self, rng: random.Random, split: str, language: str, rough: int) -> None:
        self.rng, self.split, self.language, self.rough = rng, split, language, rough
        self.book: Book = SPLITS[split].BOOKS[language]
        self.used: list[str] = []
        self.names: list[str] = []

    def pick(self, phrases: tuple[str, ...]) -> str:
        """One expansion of one of the phrases, slots still open."""
        parts = split_choices(self.rng.choice(phrases))
        phrase = "".join(self.rng.choice(options) for options in parts)
        self.used.append(phrase)
        return phrase

    def frame(self, kind: str) -> str:
        """A frame of the book; for a rough ticket loosened, or made up around a cue."""
        if self.rough and kind in _CUES[self.language] and self.rng.random() < 0.4:
            phrase = self.invent(kind)
        else:
            phrase = self.pick(getattr(self.book, kind))
            if not self.rough:
                return phrase
            phrase = self.loosen(phrase)
        self.used.append(phrase)
        return phrase

    def filling(self, most: int) -> list[str]:
        """Up to so many words that say nothing."""
        rng = self.rng
        sources = (
            lambda: rng.choice(_FILLERS[self.language]),
            lambda: rng.choice(_frame_words(self.language)),
            lambda: _babble(rng),
        )
        return [rng.choice(sources)() for _ in range(rng.randint(0, most))]

    def noise(self) -> str:
        """A sentence that says nothing at all; what is unknown must not be taken for a cue."""
        rng = self.rng
        words = [*self.filling(4), _babble(rng), *self.filling(4)]
        for _ in range(rng.randint(0, 2)):
            words.insert(rng.randint(0, len(words)), _babble(rng).capitalize())
            words.insert(rng.randint(0, len(words)), _babble(rng))
        sentence = " ".join(words)
        return sentence[0].upper() + sentence[1:] + rng.choice((".", ".", ".", "!", "?"))

    def invent(self, kind: str) -> str:
        """A frame with nothing in it but a cue and filling: the cue may stand anywhere."""
        rng = self.rng
        slot = "{ref}" if kind == "refs" else "{name}"
        cues = _CUES[self.language][kind]
        if self.rough > 1:
            cues += phrases_wide.CUES[self.language].get(kind, ())
        cue = [rng.choice(cues)] if rng.random() < 0.8 else []
        before = [*self.filling(3), *cue, *self.filling(3)] or ["a"]
        start = " ".join(before)
        start = start[0].upper() + start[1:]
        if kind == "signoffs":
            return start + rng.choice(("\n", ",\n", " ", ", ")) + slot
        link = rng.choice((" ", " ", " ", ": ", ", "))
        return " ".join([start + link + slot, *self.filling(3)]) + "."

    def loosen(self, phrase: str) -> str:
        """The frame with words or signs put between its own words and its slots."""
        rng = self.rng
        for slot in ("{name}", "{ref}", "{person}", "{order}"):
            if rng.random() < 0.3:
                phrase = phrase.replace(slot, " ".join([*self.filling(2), slot]))
            if rng.random() < 0.2 and not phrase.endswith(slot):
                phrase = phrase.replace(slot, " ".join([slot, *self.filling(2)]))
            if rng.random() < 0.15:
                phrase = phrase.replace(f" {slot}", rng.choice((f", {slot},", f": {slot}")))
        return phrase

    def priority(self, level: str) -> str:
        """A sentence that tells the priority."""
        phrase = self._priority(level)
        if self.rough < 2 or self.rng.random() < 0.4:
            return phrase
        if self.rng.random() < 0.3:
            return self.blend(phrase, self._priority(level))
        words = phrase.split(" ")
        for word in self.filling(3):
            words.insert(self.rng.randint(1, len(words)), word)
        return " ".join(words)

    def _priority(self, level: str) -> str:
        phrases = self.book.priorities[level]
        if self.rough > 1 and self.rng.random() < 0.6:
            phrases = phrases_wide.PRIORITIES[self.language][level]
        return self.pick(phrases)

    def blend(self, first: str, second: str) -> str:
        """Half or more of each of two phrases, or most words of one: what is left must do."""
        head, tail = first.split(" "), second.split(" ")
        if self.rng.random() < 0.3:
            head = [word for word in head if self.keeps(word)] or head
            tail = []
        cut = self.rng.randint((len(head) + 1) // 2, len(head))
        skip = self.rng.randint(0, len(tail) // 2)
        if self.rough > 1 and not _NEGATIONS.isdisjoint(word.lower() for word in tail[:skip]):
            skip = 0
        phrase = " ".join(head[:cut] + tail[skip:])
        self.used.append(phrase)
        return phrase

    def keeps(self, word: str) -> bool:
        """Whether a word survives the shortening: most do, and negations in wide tickets always."""
        return (self.rough > 1 and word.lower() in _NEGATIONS) or self.rng.random() < 0.75

    def name(self) -> str:
        self.names.append(person(self.rng, self.split, rough=self.rough))
        return self.names[-1]

    def distractor(self) -> str:
        rng, phrase = self.rng, self.pick(self.book.distractors)
        while self.used.count(phrase) > 1:  # nobody says the same thing twice
            self.used.remove(phrase)
            phrase = self.pick(self.book.distractors)
        other = self.name() if "{person}" in phrase else ""
        # half of the other people go by one name only
        if other and rng.random() < 0.5:
            other = other.split()[-1]
        if self.rough:
            phrase = self.loosen(phrase)
        return phrase.format(
            person=other,
            amount=_amount(rng, self.language),
            date=_date(rng, self.language),
            phone=_phone(rng),
            order=_order(rng),
        )


def _core(writer: _Writer, problem: str, name: str, ref: str) -> list[str]:
    """The sentences that state problem, reference and name once; their order is free."""
    layout = writer.rng.randrange(5)
    if layout == 0:
        return [f"{problem}.", writer.frame("both").format(name=name, ref=ref)]
    if layout <= 2:
        head = writer.frame("heads").format(problem=problem, ref=ref)
        return [head] if layout == 1 else [head, writer.frame("intros").format(name=name)]
    ref_sentence = writer.frame("refs").format(ref=ref)
    sentences = [f"{problem}.", ref_sentence]
    return sentences if layout == 3 else [*sentences, writer.frame("intros").format(name=name)]


def roughen(rng: random.Random, text: str, language: str) -> str:
    """Add, drop and swap a few words, none of them a name, a number or a negation.

    Sentences seen whole are learned whole; this makes the model look for the words that matter.
    """
    words = text.split(" ")
    for _ in range(rng.randint(0, 6)):
        place = rng.randrange(len(words))
        word = words[place]
        if not (word.isalpha() and word.islower()) or word in _PARTICLES:
            continue  # names, numbers and ends of sentences stay as they are
        kind = rng.random()
        if kind < 0.6:
            filler = rng.choice(_FILLERS[language]) if rng.random() < 0.6 else _babble(rng)
            words.insert(place, filler)
        elif word in _NEGATIONS:
            continue
        elif kind < 0.8:
            del words[place]
        elif words[place - 1].isalpha() and words[place - 1].islower():
            words[place - 1 : place + 1] = word, words[place - 1]
    return " ".join(words)


def _babble(rng: random.Random) -> str:
    return syllables(rng).lower()


def _asked(sentence: str, problem: str) -> str:
    """A problem that is a question ends like one."""
    if problem.startswith(_QUESTIONS):
        return sentence.replace(f"{problem}.", f"{problem}?")
    return sentence


def _is_heading(sentence: str) -> bool:
    """A subject line can only stand first."""
    return sentence.startswith(("Subject:", "Betreff:"))


def write(
    rng: random.Random, split: str, language: str, topic: str, priority: str, *, rough: int = 0
) -> Ticket:
    """One ticket of the given kind.

    A rough one (1) is worded as no phrase book has it, and a wide one (2) knows more priorities.
    """
    writer = _Writer(rng, split, language, rough)
    book = writer.book
    name, ref = writer.name(), number(rng)
    problem = writer.pick(book.problems[topic])
    if rough and rng.random() < 0.5:
        problem = writer.blend(problem, writer.pick(book.problems[topic]))
    sentences = _core(writer, problem, name, ref)
    if priority != "normal" or rng.random() < 0.4:
        sentences.append(writer.priority(priority))
        if rough and rng.random() < 0.25:
            sentences[-1] += " " + writer.priority(priority)
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2))):
        sentences.append(writer.distractor())
    if rough > 1:
        sentences += [writer.noise() for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    sentences = [_asked(sentence, problem) for sentence in sentences]
    rng.shuffle(sentences)
    sentences.sort(key=lambda sentence: not _is_heading(sentence))
    if rng.random() < 0.2:
        wide = rough > 1 and rng.random() < 0.5
        sentences.append(writer.pick(phrases_wide.CLOSINGS[language] if wide else book.closings))
    text = " ".join(sentences)
    if rng.random() < 0.5 and not _is_heading(text):
        greeting = writer.pick(book.greetings)
        if rough > 1 and rng.random() < 0.3:
            greeting = writer.noise()[:-1] + ","
        text = greeting + rng.choice((" ", "\n")) + text
    if not any(name in sentence for sentence in sentences):
        text += "\n" + writer.frame("signoffs").format(name=name)
    if rough:
        text = roughen(rng, text, language)
    expected = dict(zip(KEYS, (name, topic, priority, ref), strict=True))
    return Ticket(text, expected, language, tuple(writer.used), tuple(writer.names))


def tickets(split: str, seed: int, start: int = 0, *, rough: int = 0) -> Iterator[Ticket]:
    """Training tickets without end, each drawn at random; number n depends on n alone."""
    while True:
        rng = random.Random(f"exitdrill/{split}/{seed}/{start}")
        language, topic = rng.choice(LANGUAGES), rng.choice(TOPICS)
        yield write(rng, split, language, topic, rng.choice(PRIORITIES), rough=rough)
        start += 1


def balanced(split: str, seed: int, count: int) -> list[Ticket]:
    """`count` different tickets, balanced over languages, topics and priorities, in mixed order."""
    # languages innermost: a count that is no multiple of all kinds is still balanced in them
    kinds = [(lang, topic, prio) for prio in PRIORITIES for topic in TOPICS for lang in LANGUAGES]
    result: list[Ticket] = []
    customers: set[str] = set()
    attempt = 0
    while len(result) < count:
        rng = random.Random(f"exitdrill/{split}/balanced/{seed}/{attempt}")
        ticket = write(rng, split, *kinds[len(result) % len(kinds)])
        attempt += 1
        if ticket.expected["customer"] not in customers:
            customers.add(ticket.expected["customer"])
            result.append(ticket)
    random.Random(f"exitdrill/{split}/order/{seed}").shuffle(result)
    return result


# --- what must be disjoint ------------------------------------------------------------------


def _all_expansions(phrases: Iterable[str]) -> set[str]:
    return {_normal(text) for phrase in phrases for text in expand(phrase)}


def _normal(phrase: str) -> str:
    """Case, outer punctuation and spacing do not make two phrases different."""
    return " ".join(phrase.casefold().split()).strip(".,!;: ")


def _vocabulary(split: str) -> dict[str, set[str]]:
    """All frames, wordings and name parts of a split."""
    source = SPLITS[split]
    books = list(source.BOOKS.values())
    frames = [phrase for book in books for phrase in book.frames()]
    wordings = [phrase for book in books for phrase in book.wordings()]
    if split == "train":
        frames += [phrase for phrases in phrases_wide.CLOSINGS.values() for phrase in phrases]
        levels = [level for book in phrases_wide.PRIORITIES.values() for level in book.values()]
        wordings += [phrase for phrases in levels for phrase in phrases]
    return {
        "frames": _all_expansions(frames),
        "wordings": _all_expansions(wordings),
        "names": {part.casefold() for part in (*source.GIVEN, *source.FAMILY)},
    }


# A signature of nothing but the name, or "name (number)", is not a phrase that anybody could avoid.
_BARE = {"{name}"}


def overlap(first: str = "train", second: str = "workload") -> dict[str, set[str]]:
    """What two splits share, exhaustively; every set must be empty."""
    one, two = _vocabulary(first), _vocabulary(second)
    return {kind: (one[kind] & two[kind]) - _BARE for kind in one}


def leaked(seen: Iterable[Ticket], held_out: Iterable[Ticket]) -> dict[str, set[str]]:
    """The same over written tickets: what of `held_out` occurs anywhere in the texts of `seen`."""
    seen = list(seen)
    held_out = list(held_out)
    seen_phrases = {_normal(phrase) for ticket in seen for phrase in ticket.phrases}
    seen_words = {
        word for ticket in seen for name in ticket.names for word in name.casefold().split()
    }
    phrases = {_normal(phrase) for ticket in held_out for phrase in ticket.phrases} - _BARE
    words = {
        word for ticket in held_out for name in ticket.names for word in name.casefold().split()
    }
    texts = {ticket.text for ticket in seen}
    return {
        "texts": {ticket.text for ticket in held_out if ticket.text in texts},
        "phrases": phrases & seen_phrases,
        "names": (words & seen_words) - set(_PARTICLES),
    }
