"""Whether two arms' texts come from one distribution: MMD² with the Hamming kernel.

A description, never a gate: an exit to another model nearly always fails a test of equality, and a
test that is not failed shows no equality. Source: Gao, Liang & Guestrin, *Model equality testing*,
arXiv 2410.20247.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from exitdrill.measures.base import Row
from exitdrill.stats import mmd_hamming

if TYPE_CHECKING:
    from exitdrill.measures.facts import Measured

NAME = "mmd_hamming"
LABEL = "texts letter by letter: distance of their distributions (MMD², Hamming kernel)"
NEVER = (
    "an exit to another model nearly always fails a test of equality, so that this describes and "
    "never gates (arXiv 2410.20247)"
)
MOST_CASES = 500
"""Cases that are compared, the first ones: each is kept in memory with all its answers."""
LONGEST = 1_000
"""Characters of a text that are compared."""

_Case = tuple[list[str], list[str]]


class Texts:
    """The texts of the first cases that every repeat of both arms answered, by candidate.

    Cases without any text on either side (tool calls, vectors) are not among them. In memory are at
    most `MOST_CASES` × repeats texts of `LONGEST` characters of each arm, and of the incumbent once
    more for each candidate that is compared by other cases.
    """

    def __init__(self, incumbent: str, repeats: Mapping[str, int]) -> None:
        self._incumbent = incumbent
        self._repeats = repeats
        self._cases: dict[str, list[_Case]] = {arm: [] for arm in repeats if arm != incumbent}

    def see(self, trials: Sequence[Measured]) -> None:
        """Keep the texts of one case, with its completed trials, where they are wanted."""
        waiting = [arm for arm, cases in self._cases.items() if len(cases) < MOST_CASES]
        if not waiting:
            return
        texts: dict[str, list[str]] = {arm: [] for arm in self._repeats}
        for each in trials:
            if not each.view.failed:
                texts[each.view.trial.arm].append(each.view.reply.text[:LONGEST])
        whole = {arm for arm, found in texts.items() if len(found) == self._repeats[arm]}
        ours = texts[self._incumbent]
        for arm in waiting:
            if {arm, self._incumbent} <= whole and any((*ours, *texts[arm])):
                self._cases[arm].append((ours, texts[arm]))

    def row(self, candidate: str) -> Row:
        """How far a candidate's texts are from the incumbent's; an estimate, and its p-value."""
        cases = self._cases[candidate]
        if not cases:
            why = "no case has text that both arms gave in every repeat"
            return Row(note=f"not measured: {why}; {NEVER}")
        found = mmd_hamming([ours for ours, _ in cases], [theirs for _, theirs in cases])
        said = (
            f"p = {found.p_value:.3g} for both answering alike (permutation test); of the first "
            f"{found.prompts:,} cases with text that every repeat answered, the first {LONGEST:,} "
            f"characters"
        )
        return Row(estimate=found.value, n=found.prompts, note=f"{said}; {NEVER}")
