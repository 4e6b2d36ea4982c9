"""Lines needed: those of the smallest change that was found by leaving out parts of the swap.

    lines needed = lines added and removed − those of the hunks that no check needs

What cannot be left out (what the drill itself sets, tests, dependencies) counts as needed.
"""

from __future__ import annotations

from exitdrill.measures.base import Measure, Pair, Row
from exitdrill.measures.change import change_counts
from exitdrill.sentences import checks_of, count_of


def _row(pair: Pair) -> Row:
    found, diff = pair.candidate.smallest, pair.candidate.diff
    if found is None or diff is None:
        return Row(note="not measured: no swap for this candidate, or no exit that was completed")
    if found["status"] != "complete":
        return Row(note=f"not measured: {found['note']}"[:300])
    needless = found["not_needed"]
    number = change_counts(diff).total_lines - sum(hunk["lines"] for hunk in needless)
    if not found["hunks"]:
        return Row(candidate=number, estimate=number, note=found["note"])
    note = (
        f"{len(needless):,} of {count_of(found['hunks'], 'hunk')} not needed by these checks: "
        f"{checks_of(found)}"
    )
    rest = "" if found["minimal"] else "; not all could be tried again, more may not be needed"
    return Row(candidate=number, estimate=number, note=note + rest)


MEASURES = (Measure("lines_needed", "lines needed", "lines", "change", "lower", _row, of_app=True),)
