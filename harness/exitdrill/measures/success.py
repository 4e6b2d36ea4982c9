"""Success: is the answer right, by the case's checker?"""

from __future__ import annotations

from exitdrill.checkers import CheckerProblem
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.shares import share_row


def success(view: TrialView) -> float:
    """1 for a right answer, 0 for a wrong one or an error, NaN where nobody can judge."""
    if view.checker is None:
        return NAN
    if view.failed:
        return 0.0
    try:
        return float(view.checker(view.reply, view.case))
    except CheckerProblem:
        return NAN


def answered(view: TrialView) -> float:
    """1 for an answer, 0 for an error."""
    return float(not view.failed)


MEASURES = (
    Measure(
        "success",
        "right answers",
        "share",
        "drift",
        "higher",
        share_row("success"),
        success,
        things="right answers",
        strict=True,
    ),
    Measure(
        "answered",
        "answered without an error",
        "share",
        "drift",
        "higher",
        share_row("answered"),
        answered,
        things="answers without an error",
    ),
)
