"""What changed in a candidate's answers: groups of changes as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report.trials import Change as Key
from exitdrill.report.units import quantity
from exitdrill.report.view import NOT_KNOWN, count
from exitdrill.sentences import count_of, times

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


RIGHT = {"lost": "no longer right", "gained": "now right"}
"""What became of answers that changed."""
SPACES = {" ": "·", "\n": "⏎", "\t": "⇥"}
"""How white space is made visible where nothing else changed."""


def key_of(group: Mapping[str, Any]) -> Key:
    """What a group of changes is known by, here and in cases.jsonl."""
    return group["kind"], group["where"], group["label"], group["form"]


def is_rest(group: Mapping[str, Any]) -> bool:
    """Whether it holds the rare changes of a kind together: no trial's change is called so."""
    rest = f"{group['kind'].replace('_', ' ')}: elsewhere"
    return group["where"] is None and group["label"] == rest


def group_label(group: Mapping[str, Any]) -> str:
    """What a group of changes is called."""
    if group["kind"] == "error" and group["label"]:
        return str(group["label"].replace("_", " "))  # an error's kind, which is a word of ours
    return group["label"] or change_label(group["kind"], group["where"])


@dataclass(frozen=True, slots=True)
class Change:
    """A group of changes, as text. ``share`` is of the compared pairs of answers."""

    key: Key
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


def leading(groups: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """The places of the groups to begin with: the most frequent one, then those that lost most.

    They come by frequency, of content and of form alike.
    """
    by_count = sorted(range(len(groups)), key=lambda place: -groups[place]["count"])
    by_loss = sorted(by_count[1:], key=lambda place: -groups[place]["lost"])
    chosen = {*by_count[:1], *by_loss[: most - 1]}
    return [place for place in by_count if place in chosen]


def nothing(candidate: Mapping[str, Any], incumbent: Mapping[str, Any]) -> str:
    """What is to be said of a candidate that shows no change."""
    compared = candidate["changes"]["compared"]
    if compared:
        were = "was" if compared == 1 else "were"
        return f"No answer changed; {count_of(compared, 'pair')} {were} compared."
    for arm, who in ((candidate, "it"), (incumbent, incumbent["name"])):
        if arm.get("answered_trials") == 0:
            return f"Nothing to compare: {who} gave no answer."
    return "Nothing to compare: no request was answered by both."


def _change(group: Mapping[str, Any], compared: int) -> Change:
    noise = group["noise"]
    return Change(
        key=key_of(group),
        label=group_label(group),
        form=group["form"],
        count=count(group["count"]),
        share=quantity("share", [1]).value(group["count"] / compared) if compared else "",
        noise=NOT_KNOWN if noise is None else f"{noise:,.3g}",
        beyond=noise is None or group["count"] > noise,
        right=_right(group),
        examples=tuple(_example(each, group["kind"]) for each in group["examples"]),
        values=tuple(_transition(_example(each, group["kind"])) for each in group["values"]),
    )


def _example(example: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """White space is shown where it is all that changed."""
    if kind != "white_space":
        return example
    return {**example, **{end: _spaces(example[end]) for end in ("incumbent", "candidate")}}


def _spaces(text: str) -> str:
    return "".join(
        SPACES.get(each, f"⟨U+{ord(each):04X}⟩") if each.isspace() else each for each in text
    )


def _right(group: Mapping[str, Any]) -> str:
    """How many of them made a right answer wrong, and the other way round."""
    parts = [f"{count(group[key])} {words}" for key, words in RIGHT.items() if group[key]]
    return ", ".join(parts)


def _transition(value: Mapping[str, Any]) -> str:
    before, after = (value[end] or "(nothing)" for end in ("incumbent", "candidate"))
    least = "at least " if value.get("at_least") else ""
    return f"{before} → {after} ({least}{times(value['count'])})"
