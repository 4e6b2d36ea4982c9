"""Time to exit: from a candidate that is not there yet to an app that was checked on it.

It is the drill's own time for the steps that it takes; what people need is not in it.
"""

from __future__ import annotations

from exitdrill.measures.base import Measure, Pair, Row

NOTE = "all steps of the exit together, the checks included; what people take is not in it"
NOT_COMPLETED = (
    "not measured: the exit was not completed (a call still went to the incumbent, or none was "
    "answered by the candidate), or no answer was right"
)


def _row(pair: Pair) -> Row:
    seconds = pair.candidate.exit_seconds
    if seconds is None:
        return Row(note=NOT_COMPLETED)
    return Row(candidate=seconds, estimate=seconds, note=NOTE)


MEASURES = (Measure("time_to_exit", "time to exit", "s", "change", "lower", _row, of_app=True),)
