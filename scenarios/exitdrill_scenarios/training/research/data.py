"""Questions to be looked up, and the right way to look them up, in small invented worlds.

Everything is a function of (split, seed), as for the tickets: the same on every platform.
"""

# ruff: noqa: S311 (nothing secret is drawn here)

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from exitdrill_scenarios.research_agent.app.archive import Passage
from exitdrill_scenarios.training.phrases import expand
from exitdrill_scenarios.training.research.books import KINDS, SPLITS, Book
from exitdrill_scenarios.training.research.facts import Facts, Hop, at_birth, hops
from exitdrill_scenarios.training.research.writing import NONE, Noise, Writer

SYSTEM_PROMPT = "Look up what is asked. Answer with the name or year and its source."
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Find passages in the archive.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}


@dataclass(frozen=True)
class Look:
    """One search, and what it found."""

    query: str
    found: tuple[Passage, ...]


@dataclass(frozen=True)
class Inquiry:
    """A question, the searches that answer it, and the answer with its source."""

    kind: str
    question: str
    looks: tuple[Look, ...]
    answer: str
    phrases: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _Archive:
    """What a search in a world of one question finds: the right passage and mostly a wrong one."""

    def __init__(self, writer: Writer, facts: Facts) -> None:
        self.writer, self.rng, self.facts = writer, writer.rng, facts
        self.passages: dict[tuple[str, str], Passage] = {}

    def get(self, kind: str, facts: Facts) -> Passage:
        """The passage of this kind; asked for again, the same one."""
        key = (kind, facts.town if kind == "river" else facts.inst)
        if key not in self.passages:
            taken = {passage.id for passage in self.passages.values()}
            id = next(i for i in iter(self._id, "") if i not in taken)
            self.passages[key] = self.writer.passage(id, kind, facts)
        return self.passages[key]

    def _id(self) -> str:
        return f"d{self.rng.randint(1, 10 ** self.rng.choice((1, 2, 2, 2, 3)) - 1)}"

    def look(self, hop: Hop) -> Look:
        """The search for one step, with what it finds in the order in which it finds it."""
        here = at_birth(self.facts) if hop.subject == self.facts.birthplace else self.facts
        found = [self.get(hop.passage, here)]
        for _ in range(self.rng.choice((0, 1, 1, 1, 1, 1, 2))):
            other = self._beside(hop, here)
            if other not in found:
                found.insert(self.rng.choice((0, len(found), len(found))), other)
        return Look(hop.query, tuple(found))

    def _beside(self, hop: Hop, here: Facts) -> Passage:
        """A passage that names what was searched for, or has nothing to do with it."""
        if self.rng.random() < 0.2:
            stranger = self.writer.facts()
            return self.get(self.rng.choice(("director", "place", "born", "river")), stranger)
        at_home = here is self.facts
        near = {
            "director": "place",
            "place": "director",
            "born": "director",
            "river": "place" if at_home else "born",
        }
        return self.get(near[hop.passage], self.facts)


def inquiries(
    split: str, seed: int, *, noise: Noise = NONE, kinds: Sequence[str] = KINDS
) -> Iterator[Inquiry]:
    """Inquiries without end, each a function of its number alone."""
    for number in count():
        yield _inquiry(random.Random(f"research/{split}/{seed}/{number}"), split, noise, kinds)


def _inquiry(rng: random.Random, split: str, noise: Noise, kinds: Sequence[str]) -> Inquiry:
    writer = Writer(rng, split, noise)
    kind, facts = rng.choice(kinds), writer.facts()
    archive = _Archive(writer, facts)
    steps = hops(kind, facts)
    question = writer.question(kind, facts)
    looks = tuple(archive.look(hop) for hop in steps)
    last = steps[-1]
    here = at_birth(facts) if last.subject == facts.birthplace else facts
    answer = cited(last.learnt, archive.get(last.passage, here).id)
    return Inquiry(kind, question, looks, answer, tuple(writer.used), tuple(vars(facts).values()))


def cited(learnt: str, source: str) -> str:
    """The answer in the one form that is right."""
    return f"{learnt} [{source}]"


def shown(found: Sequence[Passage]) -> str:
    """What the tool says: as the app says it, to the letter."""
    return "\n".join(f"[{passage.id}] {passage.text}" for passage in found)


def turns(inquiry: Inquiry, system: str | None = SYSTEM_PROMPT) -> list[dict[str, Any]]:
    """The whole conversation, in OpenAI's form."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": inquiry.question})
    for number, look in enumerate(inquiry.looks):
        arguments = json.dumps({"query": look.query}, ensure_ascii=False)
        function = {"name": "search", "arguments": arguments}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": shown(look.found)})
    return [*messages, {"role": "assistant", "content": inquiry.answer}]


# --- what is kept apart -------------------------------------------------------------------------


def overlap(one: str, two: str) -> dict[str, set[str]]:
    """What two splits share: nothing, if all is well."""
    first, second = SPLITS[one], SPLITS[two]

    def expanded(book: Book) -> set[str]:
        return {text.casefold() for phrase in book.phrases() for text in expand(phrase)}

    names = {name.casefold() for name in first.names()}
    return {
        "phrases": expanded(first) & expanded(second),
        "names": names & {name.casefold() for name in second.names()},
    }
