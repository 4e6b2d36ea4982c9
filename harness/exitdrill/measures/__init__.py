"""Measures: functions from the journal to numbers. A new one is a small module and a line here."""

from __future__ import annotations

from difflib import get_close_matches

from exitdrill.measures import (
    agreement,
    calls,
    change,
    code_change,
    cost,
    edits,
    embedding,
    equality,
    excess,
    exit_time,
    fields,
    judged,
    language,
    latency,
    own_delay,
    schema,
    smallest,
    style,
    success,
    throughput,
    tokens,
    tools,
    wire,
    wording,
)
from exitdrill.measures.base import Measure
from exitdrill.measures.registry import Registry
from exitdrill.scenario import GateSpec

MEASURES: tuple[Measure, ...] = (
    *success.MEASURES,
    *calls.MEASURES,
    *wire.MEASURES,
    *agreement.MEASURES,
    *excess.MEASURES,
    *fields.MEASURES,
    *schema.MEASURES,
    *tools.MEASURES,
    *wording.MEASURES,
    *embedding.MEASURES,
    *style.MEASURES,
    *language.MEASURES,
    *judged.MEASURES,
    *latency.MEASURES,
    *throughput.MEASURES,
    *own_delay.MEASURES,
    *cost.MEASURES,
    *tokens.MEASURES,
    *change.MEASURES,
    *code_change.MEASURES,
    *smallest.MEASURES,
    *edits.MEASURES,
    *exit_time.MEASURES,
)
BY_NAME = Registry(MEASURES)
"""All measures, those of installed packages among them."""


def gate_problem(gate: GateSpec) -> str | None:
    """What keeps a gate from being judged, or None."""
    if gate.measure == equality.NAME:
        return f"no gate can be on it: {equality.NEVER}"
    measure = BY_NAME.get(gate.measure)
    if measure is None:
        nearest = get_close_matches(gate.measure, BY_NAME, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"there is no measure of this name; {hint}there are {', '.join(BY_NAME)}"
    if measure.section in {"cost", "change"} and gate.limit is None:
        return "a gate on cost or change is a cap: give it a limit, not a margin"
    if measure.never:
        return f"no gate can be on it: {measure.never}"
    if measure.unit == "share" and max(gate.margin or 0, gate.limit or 0) > 1:
        return f"is a share: write 0.05 for 5 {'points' if gate.limit is None else 'percent'}"
    if vain := _never_fails(gate, measure):
        return f"cannot fail: {vain}"
    if measure.section == "latency" and measure.column is None:
        return (
            "no gate can be on it: it is one number of the whole drill, without an interval; "
            "total_p95 or cost_per_1000 can have one"
        )
    return None


def _never_fails(gate: GateSpec, measure: Measure) -> str | None:
    """Why no candidate could fail a gate, whatever it answers; None where one could."""
    if measure.unit != "share":
        return None
    if gate.margin == 1:
        return "no candidate can be worse by more than 100 points; give a margin below 1"
    if measure.better == "higher" and gate.limit == 0:
        return "no candidate has less than 0 %; give a limit above 0"
    if measure.better == "lower" and gate.limit == 1:
        return "no candidate has more than 100 %; give a limit below 1"
    return None


def sequential_problem(gate: GateSpec) -> str | None:
    """What keeps a gate from being judged at every look at a drill that runs, or None."""
    if gate.measure in NOT_SEQUENTIAL or BY_NAME[gate.measure].name not in _OWN:
        return (
            f"{gate.measure} cannot be judged while the drill runs (--sequential): its values have "
            "no bounds, are not those of single cases, or come at the end; leave the gate out, or "
            "--sequential"
        )
    return None


NOT_SEQUENTIAL = frozenset(
    {
        "call_seconds",
        "edits",
        "embedding_similarity",
        "excess_drift",
        "field_agreement",
        "judge_preference",
        "length",
        "lines_needed",
        "model_calls",
        "time_to_exit",
    }
)
"""Own measures whose intervals are made of all cases at once, or not before the end."""
_OWN = frozenset(measure.name for measure in MEASURES)
