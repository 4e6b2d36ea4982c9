"""Success: is the answer right, by the case's checker?"""

from __future__ import annotations

from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.calls import LACKS
from exitdrill.measures.shares import share_row


def success(view: TrialView) -> float:
    """1 for a right answer, 0 for a wrong one or an error, NaN where no checker is named.

    Raises `CheckerProblem` where the checker cannot judge.
    """
    if view.checker is None:
        return NAN
    if view.failed:
        return 0.0
    return float(view.checker(view.reply, view.case))


def answered(view: TrialView) -> float:
    """1 for an answer, 0 for an error."""
    return float(not view.failed)


def unsupported(view: TrialView) -> float:
    """1 where the backend cannot take the request as it is, and nobody allowed to change it."""
    exchanges = [view.trial.exchange, *(call.exchange for call in view.calls)]
    failures = [each.failure for each in exchanges if each.failure is not None]
    return float(any(each.kind in LACKS for each in failures))


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
        content=True,
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
    Measure(
        "unsupported",
        "requests that it cannot take as they are",
        "share",
        "drift",
        "lower",
        share_row("unsupported", note="an edit that is not allowed, or a feature that is missing"),
        unsupported,
        things="requests that it cannot take",
    ),
)
