"""Looks at a drill while it runs, and says which candidates need not be asked any more.

What is looked at is what the journal holds, by the same measures and gates as at the end; a drill
that is resumed looks again, and sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exitdrill.checkers import Checker
from exitdrill.journal import Journal
from exitdrill.measures.facts import Facts
from exitdrill.verdict import judge


class Monitor:
    """The looks at one drill. ``stops`` says after how many cases a candidate was decided."""

    def __init__(
        self, journal: Journal, plan: Mapping[str, Any], checkers: Mapping[str, Checker]
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._facts = Facts(journal, plan, checkers)
        self._seen = 0
        self.stops: dict[str, int] = journal.input("stops", {})

    def look(self, last: int) -> Mapping[str, int]:
        """Judge all candidates on the first ``last`` cases; the decided ones, as `stops`.

        A candidate is decided once all of its gates are. What is not asked any more for another
        reason (its arm broke off) stays undecided.
        """
        for _ in self._facts.measure(self._seen, last):
            pass
        self._seen = last
        if last == self._journal.size:
            return self.stops  # there is nothing left to be saved
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
