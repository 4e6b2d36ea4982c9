"""JSON answers: how many of their fields agree with the incumbent's, and whether they are JSON.

A field is a leaf with its JSON pointer: what is compared are pairs of (pointer, typed value), the
leaves of nested objects and lists among them. The answer's form does not count: JSON in a code
fence, or between sentences, is read as what it is.
"""

from __future__ import annotations

from typing import Any

from exitdrill.measures.answers import Json, shared_leaves
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.ratios import pooled_row
from exitdrill.measures.shares import share_row


def wanted_json(view: TrialView) -> Json | None:
    """The incumbent's answer as JSON, or None where it is none, or is not there."""
    return None if view.wanted is None else view.wanted.json


def field_agreement(view: TrialView) -> float:
    """F1 of the answer's (pointer, typed value) pairs against the incumbent's.

    2·shared / (ours + theirs): 0 where the answer is no JSON, NaN where the incumbent's is none.
    """
    wanted = wanted_json(view)
    if wanted is None:
        return NAN
    found = _found_json(view)
    if found is None:
        return 0.0
    if found is wanted:
        return 1.0
    return 2 * shared_leaves(wanted.value, found.value) / (wanted.leaves + found.leaves)


def field_count(view: TrialView) -> float:
    """How many fields both answers have together; NaN where the incumbent's is no JSON."""
    wanted = wanted_json(view)
    if wanted is None:
        return NAN
    found = _found_json(view)
    return wanted.leaves + (0 if found is None else found.leaves)


def json_valid(view: TrialView) -> float:
    """1 where the whole answer is strict JSON, as a parser wants it.

    That is an object or a list, or of any type where the request has a schema. NaN where neither
    the request asks for JSON nor the incumbent answered with it.
    """
    asked = _asked_for(view)
    if asked not in ("json_object", "json_schema") and wanted_json(view) is None:
        return NAN
    if view.failed:
        return 0.0
    found = view.said.whole
    if found is None:
        return 0.0
    return float(asked == "json_schema" or isinstance(found.value, dict | list))


def _found_json(view: TrialView) -> Json | None:
    return None if view.failed else view.said.any_json


def _asked_for(view: TrialView) -> Any:
    """The type of the request's response format."""
    wanted = view.case.request.body.get("response_format")
    return wanted.get("type") if isinstance(wanted, dict) else None


MEASURES = (
    Measure(
        "field_agreement",
        "JSON fields as the incumbent's (micro-F1)",
        "share",
        "drift",
        "higher",
        pooled_row("field_agreement", "field_count", "fields"),
        field_agreement,
        strict=True,
        content=True,
        graded=True,
        pooled=True,
        needs={"field_count": field_count},
    ),
    Measure(
        "json_valid",
        "valid JSON where JSON is wanted",
        "share",
        "drift",
        "higher",
        share_row("json_valid", note="the whole answer, as a strict parser wants it"),
        json_valid,
        strict=True,
        content=True,
    ),
)
