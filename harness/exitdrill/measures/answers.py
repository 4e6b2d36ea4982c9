"""One answer, read once: whether it is JSON, and what form that stands in.

An answer is taken for JSON where an object or a list is all of it, stands in a code fence, or, as
an object, makes up at least half of the text. What is longer than `LONGEST_JSON` is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from exitdrill.checkers import FENCE, parse_json, same_json

LONGEST_JSON = 1_000_000
"""Characters of an answer that is still read as JSON."""
LONGEST_KEPT = 20_000
"""Characters of an answer that is kept for the next arms and repeats of its case."""
LONGEST_PROSE = 200
"""Characters of prose that are enough to know its language."""
LEAST_LETTERS = 20
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Json:
    """An object or a list in an answer; ``text`` is its own part of the answer."""

    value: dict[str, Any] | list[Any]
    text: str
    fenced: bool = False
    prose: bool = False

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
    def words(self) -> str:
        """The text without what is form only: a code fence around it, and white space."""
        return _SPACE.sub(" ", _unfenced(self._body)).strip()

    @cached_property
    def prose(self) -> str:
        """What it says in sentences, as far as it takes to know its language; "" for hardly any.

        That is the text, or in JSON those strings that have three words at least.
        """
        json = self.json
        said = self.text[:LONGEST_PROSE] if json is None else _sentences(json.value)
        return said if sum(map(str.isalpha, said)) >= LEAST_LETTERS else ""

    @cached_property
    def _body(self) -> str:
        return self.text.strip()


def answer_of(text: str) -> Answer:
    """The answer with that text; one that is asked for again soon is not read again."""
    return _kept(text) if len(text) <= LONGEST_KEPT else Answer(text)


@lru_cache(maxsize=32)
def _kept(text: str) -> Answer:
    return Answer(text)


def _sentences(value: Any) -> str:
    """The beginning of what a JSON value says in sentences."""
    said, length = [], 0
    for text in _strings(value):
        if text.count(" ", 0, LONGEST_PROSE) < 2:
            continue
        said.append(text[:LONGEST_PROSE])
        length += len(text)
        if length >= LONGEST_PROSE:
            break
    return " ".join(said)[:LONGEST_PROSE]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for child in children_of(value):
        yield from _strings(child)


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
    whole = _unfenced(body)
    if whole is not body:
        yield from _read(whole.strip(), fenced=True)
    before, _, rest = body.partition(FENCE)
    inside, _, after = rest.partition(FENCE)
    inner = inside.partition("\n")[2].strip()
    yield from _read(inner, fenced=True, prose=bool(before or after.strip()))


def _read(text: str, *, fenced: bool = False, prose: bool = False) -> Iterator[Json]:
    try:
        value = parse_json(text)
    except ValueError:
        return
    if isinstance(value, dict | list):
        yield Json(value, text, fenced, prose)


def _unfenced(body: str) -> str:
    if body.startswith(FENCE) and body.endswith(FENCE) and "\n" in body:
        return body[body.index("\n") : -len(FENCE)]
    return body
