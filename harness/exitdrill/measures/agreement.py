"""Agreement with the incumbent's answer, beside the incumbent's agreement with itself."""

from __future__ import annotations

from typing import Any

from exitdrill.backend import Reply
from exitdrill.checkers import parse_json, same_json
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.shares import disagreement, share_row


def exact_agreement(view: TrialView) -> float:
    """1 where text and tool calls are the same to the letter (tool-call ids aside)."""
    if view.reference is None:
        return NAN
    if view.failed:
        return 0.0
    return float(_content(view.reply) == _content(view.reference))


def field_agreement(view: TrialView) -> float:
    """The share of JSON fields, of either answer, that both have with the same value.

    NaN where the incumbent's answer is not a JSON object.
    """
    wanted = None if view.reference is None else _object(view.reference.text)
    if wanted is None:
        return NAN
    found = None if view.failed else _object(view.reply.text)
    if found is None:
        return 0.0
    names = wanted.keys() | found.keys()
    if not names:
        return 1.0
    same = [
        name in wanted and name in found and same_json(wanted[name], found[name]) for name in names
    ]
    return sum(same) / len(names)


def _content(reply: Reply) -> tuple[Any, ...]:
    calls = tuple((call.name, call.arguments) for call in reply.tool_calls)
    return reply.text, calls, reply.vectors


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = parse_json(text, fences=True)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


MEASURES = (
    Measure(
        "exact_agreement",
        "same answer as the incumbent, to the letter",
        "share",
        "drift",
        "higher",
        share_row("exact_agreement", disagreement),
        exact_agreement,
        strict=True,
    ),
    Measure(
        "field_agreement",
        "JSON fields that agree with the incumbent's",
        "share",
        "drift",
        "higher",
        share_row("field_agreement", disagreement),
        field_agreement,
        strict=True,
    ),
)
