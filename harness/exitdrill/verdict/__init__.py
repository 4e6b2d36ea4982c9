"""Gates in, verdict out.

A gate is judged on intervals: it passes when the whole one-sided interval lies on the good side
of its margin, fails when it lies on the bad side (after Holm's correction over the gates of a
candidate, because a single failure suffices), and is open in between. What was not measured is
open, never a pass. With k candidates each is tested at alpha/k. Sources: research on
non-inferiority tests; Holm, *A simple sequentially rejective multiple test procedure*,
Scandinavian Journal of Statistics 6 (1979) 65–70.

Before anything else the incumbent is held against itself (A/A): where it fails a gate, or is known
less finely than the margin, the instrument is too blunt and the gate is open, whatever the
candidate did. An open gate has a *cause*, each with its own sentence, and says how many more cases
would settle it.

A candidate that failed to answer more than half of its requests is not compared: whatever gates
pass, it is inconclusive at best, and not ready where one fails. With an incumbent that answered
nothing there is nothing to compare with: every gate on trials is open. A verdict "ready" says what
it rests on: its gates, the shares of right answers and of answers on both sides, and whether any
gate is on what the answers say.

A time is the server's and the drill's own delay (`measures.own_delay`). A gate on one is judged on
the interval of what the server's own times may have been, so that it stays open where the drill's
delay could change its answer.
"""

from exitdrill.verdict.answer import (
    Verdict,
    all_not_ready,
    overall,
    past_the_drill,
    rates,
    unanswered,
    verdict_of,
)
from exitdrill.verdict.gate import Cause, Gate, GateKind, GateStatus, bound_of
from exitdrill.verdict.judging import judge
from exitdrill.verdict.obstacles import failed

__all__ = [
    "Cause",
    "Gate",
    "GateKind",
    "GateStatus",
    "Verdict",
    "all_not_ready",
    "bound_of",
    "failed",
    "judge",
    "overall",
    "past_the_drill",
    "rates",
    "unanswered",
    "verdict_of",
]
