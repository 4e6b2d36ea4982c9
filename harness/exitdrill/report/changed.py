"""What changed in a candidate's answers: groups of changes as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exitdrill.report.units import quantity
from exitdrill.report.view import NOT_KNOWN, count

KINDS: Mapping[str, str] = {
    "error": "no answer",
    "finish": "ended for another reason",
    "refusal": "refused",
    "language": "another language",
    "not_json": "no longer JSON",
    "became_json": "became JSON",
    "schema": "no longer as the schema has it",
    "field_changed": "another value",
    "field_missing": "field missing",
    "field_added": "field added",
    "field_type": "another type",
    "tool_missing": "tool not called",
    "tool_added": "another tool called",
    "tool_arguments": "other arguments",
    "wording": "other words",
    "length": "another length",
    "code_fence": "code fence",
    "prose_around": "prose around it",
    "white_space": "white space",
    "key_order": "order of keys",
    "escapes": "escapes",
    "letter_case": "letter case",
}
"""Kinds of changes in words, for a trial's change that no group names; a new kind names itself."""


def change_label(kind: str, where: str | None) -> str:
    """``another value: /urgent``."""
    said = KINDS.get(kind, kind.replace("_", " "))
    return f"{said}: {where}" if where else said


def group_label(group: Mapping[str, Any]) -> str:
    """What a group of changes is called."""
    return group["label"] or change_label(group["kind"], group["where"])


@dataclass(frozen=True, slots=True)
class Change:
    """A group of changes, as text. ``share`` is of the compared pairs of answers."""

    label: str
    form: bool
    count: str
    share: str
    noise: str
    beyond: bool
    right: str
    examples: tuple[Mapping[str, Any], ...]
    values: tuple[str, ...]


def changes(candidate: Mapping[str, Any]) -> list[Change] | None:
    """What changed in a candidate's answers, most frequent first; None where nobody looked."""
    found = candidate.get("changes")
    if found is None:
        return None
    return [_change(group, found["compared"]) for group in found["groups"]]


def _change(group: Mapping[str, Any], compared: int) -> Change:
    noise = group["noise"]
    return Change(
        label=group_label(group),
        form=group["form"],
        count=count(group["count"]),
        share=quantity("share", [1]).value(group["count"] / compared) if compared else "",
        noise=NOT_KNOWN if noise is None else f"{noise:,.3g}",
        beyond=noise is None or group["count"] > noise,
        right=_right(group),
        examples=tuple(group["examples"]),
        values=tuple(_transition(value) for value in group["values"]),
    )


def _right(group: Mapping[str, Any]) -> str:
    """How many of them made a right answer wrong, and the other way round."""
    parts = [f"{count(group[key])} {key}" for key in ("lost", "gained") if group[key]]
    return ", ".join(parts)


def _transition(value: Mapping[str, Any]) -> str:
    return f"{value['incumbent']} → {value['candidate']} ({count(value['count'])} times)"
