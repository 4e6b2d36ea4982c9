"""Drift on the wire: whether an app's model calls were answered alike, one after the other.

What the app answered may stay the same while its models say something else, and the other way
round; so both are reported. Calls are compared in the order in which they came, whatever became of
the trial. Of the trials of a case only are the calls in memory, and of a trial only a number stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from exitdrill.measures.answers import answer_of
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.form import same_answer
from exitdrill.measures.shares import disagreement, share_row
from exitdrill.measures.tools import arguments_of
from exitdrill.records import AppCall

Step = list[tuple[str, str]]
"""The tools that one answer calls, each with its arguments, in an order of their own."""


def calls_alike(view: TrialView) -> float:
    """1 where as many calls as the incumbent's trial made were answered alike, each in its turn.

    NaN where neither made any.
    """
    if view.reference_calls is None:
        return NAN
    wanted, found = (_in_order(calls) for calls in (view.reference_calls, view.calls))
    if not wanted and not found:
        return NAN
    if len(wanted) != len(found):
        return 0.0
    return float(all(_alike(*pair) for pair in zip(wanted, found, strict=True)))


def tool_calls_alike(view: TrialView) -> float:
    """1 where the models had the app call the same tools with the same arguments, step by step.

    How many calls that took, and what was said beside it, does not count. NaN where neither the
    incumbent's trial nor this one was told to call any tool.
    """
    if view.reference_calls is None:
        return NAN
    wanted, found = _steps(view.reference_calls), _steps(view.calls)
    return float(wanted == found) if wanted or found else NAN


def _in_order(calls: Sequence[AppCall]) -> list[AppCall]:
    """Calls as they came: their numbers say in which order they were over."""
    return sorted(calls, key=lambda call: (call.received_ns, call.choice))


def _alike(wanted: AppCall, found: AppCall) -> bool:
    """Whether two calls got the same answer, form aside, or failed in the same way."""
    errors = [
        None if (failed := call.exchange.failure) is None else failed.kind
        for call in (wanted, found)
    ]
    if any(errors):
        return errors[0] == errors[1]
    ours, theirs = wanted.exchange.reply, found.exchange.reply
    return same_answer(ours, theirs, (answer_of(ours.text), answer_of(theirs.text)))


def _steps(calls: Sequence[AppCall]) -> list[Step]:
    replies = (call.exchange.reply for call in _in_order(calls) if call.exchange.failure is None)
    return [
        sorted((tool.name, arguments_of(tool).key) for tool in reply.tool_calls)
        for reply in replies
        if reply.tool_calls
    ]


MEASURES = (
    Measure(
        "calls_alike",
        "model calls of the app answered as the incumbent answers them",
        "share",
        "drift",
        "higher",
        share_row(
            "calls_alike",
            disagreement,
            "as many calls, and each answered alike in its turn: content form aside, tool calls by "
            "name and typed arguments",
        ),
        calls_alike,
        strict=True,
        of_app=True,
    ),
    Measure(
        "tool_calls_alike",
        "same tool calls asked of the app, step by step",
        "share",
        "drift",
        "higher",
        share_row(
            "tool_calls_alike",
            disagreement,
            "name and typed arguments; within one answer in any order",
        ),
        tool_calls_alike,
        strict=True,
        of_app=True,
    ),
)
