"""Looks at a drill while it runs, and says which candidates need not be asked any more.

What is looked at is what the journal holds, by the same measures and gates as at the end; a drill
that is resumed looks again, and sees the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.checkers import Checker
from exitdrill.journal import Journal
from exitdrill.measures import BY_NAME
from exitdrill.measures.facts import Facts
from exitdrill.verdict import judge

ALWAYS = {"answered", "money"}
"""Columns that are read whatever the gates are."""
SPARSE = 0.05
"""Of many cases it is not worth while to look at all again after every few more."""


def looks(asked: int, block: int) -> Iterator[int]:
    """After how many cases is looked: after each block, later on after a twentieth more."""
    last = block
    while last < asked:
        yield last
        last += max(block, int(last * SPARSE) // block * block)


class Monitor:
    """The looks at one drill. ``stops`` says after how many cases a candidate was decided."""

    def __init__(
        self, journal: Journal, plan: Mapping[str, Any], checkers: Mapping[str, Checker]
    ) -> None:
        self._journal = journal
        self._plan = plan
        judged = {name for gate in plan["gates"] for name in BY_NAME[gate["measure"]].columns}
        self._facts = Facts(journal, plan, checkers, only=judged | ALWAYS)
        self._seen = 0
        self._looks = frozenset(looks(journal.size, plan["replay"]["block"]))
        self.stops: dict[str, int] = journal.input("stops", {})

    def look(self, last: int) -> Mapping[str, int]:
        """Judge all candidates on the first ``last`` cases; the decided ones, as `stops`.

        A candidate is decided once all of its gates are. What is not asked any more for another
        reason (its arm broke off) stays undecided.
        """
        if last not in self._looks:  # after the last block there is nothing left to be saved
            return self.stops
        for _ in self._facts.measure(self._seen, last):
            pass
        self._seen = last
        asked = self._facts.whole_clusters(last)
        fresh = {name: asked for name in self._undecided() if asked and self._decided(name, asked)}
        if fresh:
            self.stops = {**self.stops, **fresh}
            self._journal.put_inputs({"stops": self.stops})
        return self.stops

    def _undecided(self) -> list[str]:
        return [name for name in self._plan["candidates"] if name not in self.stops]

    def _decided(self, name: str, asked: int) -> bool:
        alpha = self._plan["alpha_per_candidate"]
        gates = judge(self._plan["gates"], self._facts.pair(name, alpha, asked), alpha)
        return bool(gates) and all(gate.status != "open" for gate in gates)
