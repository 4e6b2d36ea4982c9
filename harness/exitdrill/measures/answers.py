"""One answer, read once: whether it is JSON, and what form that stands in.

An answer is taken for JSON where an object or a list is all of it, stands in a code fence, or, as
an object, makes up at least half of the text. What is longer than `LONGEST_JSON` is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from textwrap import dedent
from typing import Any

from exitdrill.checkers import FENCE, parse_json, same_json

LONGEST_JSON = 1_000_000
"""Characters of an answer that is still read as JSON."""
LONGEST_KEPT = 20_000
"""Characters of an answer that is kept for the next arms and repeats of its case."""
LONGEST_PROSE = 200
"""Characters of prose that are enough to know its language."""
LEAST_LETTERS = 20
LONGEST_WORD = 60
"""Characters of the word that may stand beside an opening fence."""
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[\w.+#-]*")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)
"""Letters of scripts without spaces: Thai, Lao, Burmese, Khmer, kana, Han."""
OF_UNSPACED = 4
"""As how many letters one of those counts: it says as much as a syllable, or a word."""


@dataclass(frozen=True)
class Json:
    """JSON in an answer; ``text`` is its own part of the answer, ``word`` stands on its fence."""

    value: Any
    text: str
    fenced: bool = False
    prose: bool = False
    word: str = ""

    @cached_property
    def leaves(self) -> int:
        """How many leaves the value has."""
        return leaves(self.value)


class Answer:
    """The text of an answer, looked at from several sides, each only when it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def json(self) -> Json | None:
        """The answer as JSON, or None where it is text."""
        found = self.any_json
        if found is None or not found.prose or 2 * len(found.text) >= len(self._body):
            return found
        return None

    @cached_property
    def any_json(self) -> Json | None:
        """The JSON in the answer, however much prose stands around it."""
        if len(self.text) > LONGEST_JSON:
            return None
        return next(_found(self._body), None)

    @cached_property
    def whole(self) -> Json | None:
        """All of the answer as one JSON value of any type, as a strict parser takes it."""
        found = self.any_json
        if found is not None and not found.fenced and not found.prose:
            return found
        if self._body[:1] in {"{", "["} or len(self.text) > LONGEST_JSON:
            return None
        return next(_read(self._body, object), None)

    @cached_property
    def words(self) -> str:
        """The text without what is form only: a code fence around it, and white space."""
        fenced = _fenced(self._body)
        return _SPACE.sub(" ", fenced[1] if fenced else self._body).strip()

    @cached_property
    def fence_word(self) -> str | None:
        """The word on the fence around all of the answer; None where there is no such fence."""
        fenced = _fenced(self._body)
        return fenced[0] if fenced else None

    @cached_property
    def indents(self) -> list[list[str]]:
        """How the lines of code are indented, by code fence."""
        return [_indents(code) for code in self._body.split(FENCE)[1::2]]

    @cached_property
    def sample(self) -> str:
        """The beginning of what it says, in sentences if it has any, else in whatever strings."""
        if self._sentences or self.json is None:
            return self._sentences
        return _beginning(strings_of(self.json.value))

    @cached_property
    def prose(self) -> str:
        """What it says in sentences, as far as it takes to know its language; "" for hardly any."""
        return self._sentences if weight(self._sentences) >= LEAST_LETTERS else ""

    @cached_property
    def _sentences(self) -> str:
        """The beginning of the text, or of the sentences among the strings of JSON."""
        if self.json is None:
            return self._body[:LONGEST_PROSE]
        return _beginning(filter(_is_sentence, strings_of(self.json.value)))

    @cached_property
    def _body(self) -> str:
        return self.text.strip()


def answer_of(text: str) -> Answer:
    """The answer with that text; one that is asked for again soon is not read again."""
    return _kept(text) if len(text) <= LONGEST_KEPT else Answer(text)


@lru_cache(maxsize=32)
def _kept(text: str) -> Answer:
    return Answer(text)


def weight(text: str) -> int:
    """How much a text says, in letters of an alphabet."""
    return sum(map(str.isalpha, text)) + (OF_UNSPACED - 1) * len(_UNSPACED.findall(text))


def _is_sentence(text: str) -> bool:
    """Whether a string has three words at least, or is as long without spaces."""
    text = text[:LONGEST_PROSE]
    return text.count(" ") >= 2 or OF_UNSPACED * len(_UNSPACED.findall(text)) >= LEAST_LETTERS


def _beginning(texts: Iterable[str]) -> str:
    """The beginning of some texts, one after the other."""
    said, length = [], 0
    for text in texts:
        said.append(text[:LONGEST_PROSE])
        length += len(text)
        if length >= LONGEST_PROSE:
            break
    return " ".join(said)[:LONGEST_PROSE]


def strings_of(value: Any) -> Iterator[str]:
    """All strings in a JSON value, keys aside."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        waiting.extend(reversed(children_of(each)))


def leaves(value: Any) -> int:
    """How many leaves a JSON value has; an empty object or list is one."""
    children = children_of(value)
    return sum(map(leaves, children)) if children else 1


def children_of(value: Any) -> list[Any]:
    """The values in an object or a list; none of anything else."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def shared_leaves(left: Any, right: Any) -> int:
    """How many (pointer, typed value) pairs are leaves of both values.

    true is not 1, "1" is not 1; 1.0 is 1, since JSON knows one kind of number.
    """
    if isinstance(left, dict) and isinstance(right, dict) and left and right:
        return sum(shared_leaves(left[name], right[name]) for name in left if name in right)
    if isinstance(left, list) and isinstance(right, list) and left and right:
        return sum(map(shared_leaves, left, right))
    if children_of(left) or children_of(right):
        return 0
    return int(same_json(left, right))


def _found(body: str) -> Iterator[Json]:
    """The JSON of an answer, tried from the whole to a part."""
    if body[:1] in {"{", "["}:
        yield from _read(body)
    if FENCE in body:
        yield from _in_fence(body)
    start, end = body.find("{"), body.rfind("}")
    if 0 <= start < end and end - start + 1 < len(body):
        yield from _read(body[start : end + 1], prose=True)


def _in_fence(body: str) -> Iterator[Json]:
    """The JSON in a code fence around all of the answer, or in the first one."""
    whole = _fenced(body)
    if whole:
        yield from _read(whole[1], fenced=True, word=whole[0])
    before, _, rest = body.partition(FENCE)
    inside, _, after = rest.partition(FENCE)
    word, inner = _opened(inside)
    yield from _read(inner, fenced=True, word=word, prose=bool(before or after.strip()))


def _read(text: str, types: Any = (dict, list), **form: Any) -> Iterator[Json]:
    """The JSON that a text is, if its value is of these types."""
    try:
        value = parse_json(text)
    except ValueError:
        return
    if isinstance(value, types):
        yield Json(value, text.strip(), **form)


def _fenced(body: str) -> tuple[str, str] | None:
    """The word on the code fence around all of an answer, and what stands inside."""
    if body.startswith(FENCE) and body.endswith(FENCE) and "\n" in body:
        return _opened(body[len(FENCE) : -len(FENCE)])
    return None


def _opened(inside: str) -> tuple[str, str]:
    """What follows an opening fence: the word beside it, and the rest.

    More than a word is no name of a language: it belongs to the rest.
    """
    line, newline, rest = inside.partition("\n")
    word = line.strip()
    if newline and len(word) <= LONGEST_WORD and _WORD.fullmatch(word):
        return word, rest
    return "", inside


def _indents(code: str) -> list[str]:
    """The white space before each line of code that is not blank, less what all of them have."""
    lines = dedent(code.partition("\n")[2]).split("\n")
    return [line[: len(line) - len(line.lstrip())] for line in lines if line.strip()]
