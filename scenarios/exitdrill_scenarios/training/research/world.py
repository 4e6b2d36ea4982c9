"""The world of a held-out split: its archive, and the questions that can be answered from it."""

# ruff: noqa: S311 (nothing secret is drawn here)

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exitdrill_scenarios.research_agent.app.archive import Archive, Passage
from exitdrill_scenarios.training.research.books import DOUBLE, HOUSES, SINGLE
from exitdrill_scenarios.training.research.data import Inquiry, Look, cited
from exitdrill_scenarios.training.research.facts import Facts, hops
from exitdrill_scenarios.training.research.writing import Writer

FOUND = 2
"""How many passages a search of the app's finds at most."""
SEEDS = {"dev": 1, "workload": 8}


@dataclass(frozen=True)
class World:
    """An archive and what is asked of it."""

    passages: tuple[Passage, ...]
    inquiries: tuple[Inquiry, ...]


def world(split: str, *, single: int = 12, double: int = 20) -> World:
    """The world of a split, with at most so many questions of each kind of one and two searches."""
    rng = random.Random(f"research/world/{split}/{SEEDS[split]}")
    writer = Writer(rng, split)
    facts = _facts(writer)
    sources = _sources(writer, facts)
    passages = tuple(sorted(sources.values(), key=lambda passage: int(passage.id[1:])))
    archive = Archive(passages)
    wanted = [*((kind, single) for kind in SINGLE), *((kind, double) for kind in DOUBLE)]
    inquiries = [
        _inquiry(writer, kind, each, sources, archive)
        for kind, most in wanted
        for each in _some(rng, facts, most)
    ]
    rng.shuffle(inquiries)
    return World(passages, tuple(inquiries))


def _some(rng: random.Random, facts: Sequence[Facts], most: int) -> list[Facts]:
    return rng.sample(list(facts), min(most, len(facts)))


def _facts(writer: Writer) -> list[Facts]:
    """One institution and one person for each town; nobody leads one where they were born."""
    rng, book = writer.rng, writer.book

    def mixed(names: Sequence[str]) -> list[str]:
        return rng.sample(list(names), len(names))

    towns, rivers = mixed(book.towns), mixed(book.rivers)
    people = [" ".join(pair) for pair in zip(mixed(book.given), mixed(book.family), strict=True)]
    river_of = dict(zip(towns, rivers, strict=True))
    births = [*towns[5:], *towns[:5]]
    return [
        Facts(
            f"{house} {rng.choice(HOUSES)}",
            person,
            town,
            river_of[town],
            str(rng.randint(1650, 1999)),
            birthplace,
            river_of[birthplace],
        )
        for house, person, town, birthplace in zip(
            mixed(book.houses), people, towns, births, strict=True
        )
    ]


Sources = Mapping[tuple[str, str], Passage]


def _sources(writer: Writer, facts: Sequence[Facts]) -> Sources:
    """Four passages for each of the facts, by kind and by what they are about."""
    kinds = ("director", "place", "born", "river")
    ids = writer.rng.sample(range(1, 4 * len(facts) + 1), 4 * len(facts))
    written = [
        (kind, writer.passage(f"d{ids.pop()}", kind, each)) for each in facts for kind in kinds
    ]
    return {(kind, passage.title): passage for kind, passage in written}


def _inquiry(
    writer: Writer, kind: str, facts: Facts, sources: Sources, archive: Archive
) -> Inquiry:
    steps = hops(kind, facts)
    looks = tuple(Look(hop.query, tuple(archive.search(hop.query, FOUND))) for hop in steps)
    last = steps[-1]
    source = sources[last.passage, last.subject]
    question = writer.question(kind, facts)
    return Inquiry(kind, question, looks, cited(last.learnt, source.id))


def lost(made: World) -> Iterator[Inquiry]:
    """Inquiries whose right searches do not find what is asked: there must be none."""
    for inquiry in made.inquiries:
        last = inquiry.looks[-1]
        if not any(inquiry.answer.endswith(f"[{passage.id}]") for passage in last.found):
            yield inquiry
