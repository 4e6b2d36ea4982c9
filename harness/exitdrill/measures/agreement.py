"""Agreement with the incumbent's answer, beside the incumbent's agreement with itself."""

from __future__ import annotations

from typing import Any

from exitdrill.backend import Reply
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.form import same_answer
from exitdrill.measures.shares import disagreement, share_row


def same_content(view: TrialView) -> float:
    """1 where the answer says the same as the incumbent's, whatever its form (see `form`)."""
    if view.reference is None or view.wanted is None:
        return NAN
    if view.failed:
        return 0.0
    return float(same_answer(view.reference, view.reply, (view.wanted, view.said)))


def exact_agreement(view: TrialView) -> float:
    """1 where text and tool calls are the same to the letter (tool-call ids aside)."""
    if view.reference is None:
        return NAN
    if view.failed:
        return 0.0
    return float(_content(view.reply) == _content(view.reference))


def _content(reply: Reply) -> tuple[Any, ...]:
    calls = tuple((call.name, call.arguments) for call in reply.tool_calls)
    return reply.text, calls, reply.vectors


MEASURES = (
    Measure(
        "same_content",
        "same content as the incumbent, form aside",
        "share",
        "drift",
        "higher",
        share_row(
            "same_content",
            disagreement,
            "code fences, prose around JSON, white space (but how fenced code is indented), key "
            "order and escapes do not count",
        ),
        same_content,
        strict=True,
        content=True,
    ),
    Measure(
        "exact_agreement",
        "same answer as the incumbent, to the letter",
        "share",
        "drift",
        "higher",
        share_row("exact_agreement", disagreement),
        exact_agreement,
        strict=True,
        content=True,
    ),
)
