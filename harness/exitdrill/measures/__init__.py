"""Measures: functions from the journal to numbers. A new one is a small module and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from exitdrill.measures import agreement, change, cost, latency, success
from exitdrill.measures.base import Measure
from exitdrill.scenario import GateSpec

MEASURES: tuple[Measure, ...] = (
    *success.MEASURES,
    *agreement.MEASURES,
    *latency.MEASURES,
    *cost.MEASURES,
    *change.MEASURES,
)
BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}


def gate_problem(gate: GateSpec) -> str | None:
    """What keeps a gate from being judged, or None."""
    measure = BY_NAME.get(gate.measure)
    if measure is None:
        nearest = get_close_matches(gate.measure, BY_NAME, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"there is no measure of this name; {hint}there are {', '.join(BY_NAME)}"
    if measure.section in {"cost", "change"} and gate.limit is None:
        return "a gate on cost or change is a cap: give it a limit, not a margin"
    return None
