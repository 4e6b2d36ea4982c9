"""What a question can be about, and the steps from it to its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a question can be about: an institution, who leads it, and where both come from."""

    inst: str
    person: str
    town: str
    river: str
    year: str
    birthplace: str
    birth_river: str


@dataclass(frozen=True)
class Hop:
    """One step: what is looked up, in which kind of passage about whom, and what is learnt."""

    subject: str
    word: str
    passage: str
    learnt: str

    @property
    def query(self) -> str:
        """What to search for."""
        return f"{self.subject} {self.word}"


def hops(kind: str, facts: Facts) -> tuple[Hop, ...]:
    """The steps from a question of this kind to its answer."""
    director = Hop(facts.inst, "director", "director", facts.person)
    town = Hop(facts.inst, "town", "place", facts.town)
    born = Hop(facts.person, "born", "born", facts.birthplace)
    ways = {
        "director": (director,),
        "town": (town,),
        "founded": (Hop(facts.inst, "founded", "place", facts.year),),
        "born": (born,),
        "river": (Hop(facts.town, "river", "river", facts.river),),
        "director born": (director, born),
        "town river": (town, Hop(facts.town, "river", "river", facts.river)),
        "born river": (born, Hop(facts.birthplace, "river", "river", facts.birth_river)),
    }
    return ways[kind]


def at_birth(facts: Facts) -> Facts:
    """The same facts as seen from where the person was born."""
    return Facts(**(vars(facts) | {"town": facts.birthplace, "river": facts.birth_river}))
