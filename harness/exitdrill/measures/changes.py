"""What changed in an answer against the incumbent's: a short list, in plain words.

An answer that differs shows all of its changes: how it ended, its form, its fields or its wording,
its tool calls. JSON is compared by fields and form, a text by wording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exitdrill.backend import Reply, ToolCall
from exitdrill.measures import schema
from exitdrill.measures.answers import Answer, Json
from exitdrill.measures.base import TrialView
from exitdrill.measures.differences import MOST_TOLD, Difference, differences
from exitdrill.measures.form import (
    Form,
    forms_of_calls,
    forms_of_json,
    forms_of_text,
    json_of_both,
    same_text,
)
from exitdrill.measures.language import told_apart
from exitdrill.measures.style import is_empty, is_refusal
from exitdrill.measures.tools import Matching, arguments_of, match

LONGEST = 300
"""Characters of each text in a change."""
BEFORE_IT = 60
"""Characters that are shown before the place where two texts begin to differ."""
LONGER = 2.0
"""How many times as long a text must be to be called so."""
LEAST_LONGER = 100
"""Characters that it must be longer at least."""

_FIELD = {
    "field_changed": "another value",
    "field_missing": "missing",
    "field_added": "added",
    "field_type": "another type",
}
_FORM: dict[Form, tuple[str, str]] = {
    "code_fence": ("{what} in a code fence", "{what} no longer in a code fence"),
    "fence_word": ("{what}: another word on the code fence", ""),
    "prose_around": ("prose around the JSON", "no prose around the JSON any more"),
    "white_space": ("{what}: other white space", ""),
    "key_order": ("{what}: keys in another order", ""),
    "escapes": ("{what}: strings or numbers spelled in another way", ""),
}
_OUTSIDE = {"code_fence", "fence_word", "prose_around"}
"""Forms that lie outside the JSON itself."""
_MORE = "more changes than are looked at"


@dataclass(frozen=True)
class Change:
    """One change. ``where`` is a JSON pointer with ``*`` for indices, or a tool's name.

    ``label`` says it in words, ``before`` and ``after`` what the incumbent and this answer have.
    ``form``: only the form changed, not the content.
    """

    kind: str
    label: str
    where: str | None = None
    before: str = ""
    after: str = ""
    form: bool = False


def changes(view: TrialView, refused: bool | None = None) -> list[Change]:
    """What changed in an answer; nothing where there is no answer to compare it with.

    ``refused`` says whether the reference is a refusal; without it, the reference's reply tells, in
    which a vendor's own message of refusal does not stand.
    """
    if view.reference is None or view.wanted is None:
        return []
    failure = view.trial.exchange.failure
    if failure is not None:
        before = _cut(view.reference.text)
        label = f"no answer: {failure.kind.replace('_', ' ')}"
        return [Change("error", label, before=before, after=_cut(failure.message))]
    if _alike(view.reference, view.reply):
        return []
    return [
        *_ending(view, view.wanted, refused),
        *_text(view, view.wanted),
        *_calls(view.reference, view),
        *_vectors(view.reference, view.reply),
    ]


def _alike(wanted: Reply, found: Reply) -> bool:
    return (
        wanted.text == found.text
        and wanted.finish == found.finish
        and wanted.tool_calls == found.tool_calls
        and wanted.vectors == found.vectors
    )


# --- how it ended -------------------------------------------------------------------------------


def _ending(view: TrialView, wanted: Answer, refused: bool | None) -> Iterator[Change]:
    reference, reply = view.reference, view.reply
    assert reference is not None
    ends = (reference.finish or "unknown", reply.finish or "unknown")
    if ends[0] != ends[1]:
        yield Change("finish", _ended(*ends), before=ends[0], after=ends[1])
    shown = _cut(reference.text), _cut(reply.text)
    before = is_refusal(reference, wanted) if refused is None else refused
    after = is_refusal(reply, view.said, view.trial.exchange.events)
    if before != after:
        yield Change("refusal", "a refusal" if after else "no refusal any more", None, *shown)
    if is_empty(reply) != is_empty(reference):
        yield Change("length", "empty" if is_empty(reply) else "not empty any more", None, *shown)
    spoken = told_apart(wanted, view.said)
    if spoken:
        label = f"another language: {spoken[1]} instead of {spoken[0]}"
        yield Change("language", label, None, *shown)


def _ended(before: str, after: str) -> str:
    if after == "length":
        return "answer cut off (length)"
    if before == "length":
        return "no longer cut off (length)"
    return f"finish reason: {after} instead of {before}".replace("_", " ")


# --- what it says -------------------------------------------------------------------------------


def _text(view: TrialView, wanted: Answer) -> Iterator[Change]:
    found = view.said
    if wanted.text == found.text:
        return
    both = json_of_both(wanted, found)
    if both is not None:
        yield from _json(view, *both)
        return
    parts = (_cut(wanted.text), _cut(found.text))
    if wanted.json is not None:
        yield Change("not_json", "no JSON", None, *parts)
    elif found.json is not None:
        yield Change("became_json", "JSON instead of text", None, *parts)
    elif same_text(wanted, found):
        yield from (_form(kind, now, parts, "text") for kind, now in forms_of_text(wanted, found))
    elif wanted.words and found.words:
        yield from _wording(wanted, found)
    elif not is_empty(view.reply) and not is_empty(view.reference or view.reply):
        label = "text that was not there" if found.words else "no text any more"
        yield Change("wording", label, None, *parts)


def _json(view: TrialView, wanted: Json, found: Json) -> Iterator[Change]:
    told = [] if wanted.text == found.text else differences(wanted.value, found.value)
    yield from map(_field, told[:MOST_TOLD])
    if len(told) > MOST_TOLD:
        yield Change("field_changed", _MORE)
    yield from _schema(view, wanted, found)
    parts = (_cut(wanted.text), _cut(found.text))
    whole = tuple(_cut(each.text) for each in (view.wanted, view.said) if each is not None)
    forms = list(forms_of_json(wanted, found, alike=not told))
    if not told and not forms:  # what is left lies outside the JSON
        forms = [("prose_around" if found.prose else "white_space", True)]
    for kind, now in forms:
        shown = whole if kind in _OUTSIDE else parts
        yield _form(kind, now, (shown[0], shown[1]), "JSON")


def _field(each: Difference) -> Change:
    place = each.pointer[1:] or "the whole answer"
    label = _cut(f"{place}: {_FIELD[each.kind]}")
    return Change(each.kind, label, each.pointer, _cut(each.before), _cut(each.after))


def _schema(view: TrialView, wanted: Json, found: Json) -> Iterator[Change]:
    assert view.wanted is not None
    if schema.satisfies(view.case, view.wanted) and schema.satisfies(view.case, view.said) is False:
        label = "breaks the schema that was asked for"
        yield Change("schema", label, None, _cut(wanted.text), _cut(found.text))


def _form(form: Form, now: bool, parts: tuple[str, str], what: str) -> Change:
    kind = "code_fence" if form == "fence_word" else form
    label = _FORM[form][0 if now else 1].format(what=what)
    return Change(kind, label, None, *parts, form=True)


def _wording(wanted: Answer, found: Answer) -> Iterator[Change]:
    parts = _around(wanted.text, found.text)
    if wanted.words == found.words:
        yield Change("wording", "code indented in another way", None, *parts)
        return
    if wanted.words.casefold() == found.words.casefold():
        yield Change("letter_case", "another letter case", None, *parts)
        return
    yield Change("wording", "another wording", None, *parts)
    short, long = sorted((len(wanted.words), len(found.words)))
    if long >= LONGER * short and long - short >= LEAST_LONGER:
        longer = len(found.words) > len(wanted.words)
        label = "more than twice as long" if longer else "less than half as long"
        before, after = (f"{len(each.words):,} characters" for each in (wanted, found))
        yield Change("length", label, None, before, after)


# --- tool calls ---------------------------------------------------------------------------------


def _calls(wanted: Reply, view: TrialView) -> Iterator[Change]:
    found = view.reply
    if not wanted.tool_calls and not found.tool_calls:
        return
    matched = match(wanted.tool_calls, found.tool_calls)
    told: dict[tuple[str, str], Change] = {}
    for change in _matched(matched):
        if len(told) == MOST_TOLD and (change.kind, change.label) not in told:
            told["tool_arguments", _MORE] = Change("tool_arguments", _MORE)
            break
        told.setdefault((change.kind, change.label), change)
    yield from told.values()
    if forms_of_calls(wanted, found):
        before, after = (_cut(_written(each.tool_calls)) for each in (wanted, found))
        label = "tool calls written in another way"
        yield Change("white_space", label, None, before, after, form=True)


def _matched(calls: Matching) -> Iterator[Change]:
    for call in calls.missing:
        name = _cut(call.name, 100)
        yield Change("tool_missing", f"{name}: not called", name, _cut(call.arguments), "")
    for call in calls.added:
        name = _cut(call.name, 100)
        yield Change("tool_added", f"{name}: called in addition", name, "", _cut(call.arguments))
    for ours, theirs in calls.differing:
        yield from _arguments(ours, theirs)


def _arguments(wanted: ToolCall, found: ToolCall) -> Iterator[Change]:
    name = _cut(wanted.name, 100)
    ours, theirs = arguments_of(wanted), arguments_of(found)
    if not isinstance(ours.value, dict) or not isinstance(theirs.value, dict):
        broken = isinstance(ours.value, dict)
        label = f"{name}: arguments are no JSON object" if broken else f"{name}: other arguments"
        yield Change("tool_arguments", label, name, _cut(ours.text), _cut(theirs.text))
        return
    for each in differences(ours.value, theirs.value):
        label = _cut(f"{name}, {each.pointer[1:] or 'arguments'}: {_FIELD[each.kind]}")
        yield Change("tool_arguments", label, name, _cut(each.before), _cut(each.after))


def _written(calls: tuple[ToolCall, ...]) -> str:
    return "; ".join(f"{call.name}({call.arguments[:LONGEST]})" for call in calls[:3])


def _vectors(wanted: Reply, found: Reply) -> Iterator[Change]:
    if wanted.vectors == found.vectors or not wanted.vectors or not found.vectors:
        return
    ours, theirs = ([len(each) for each in reply.vectors] for reply in (wanted, found))
    label = "another vector" if ours == theirs else "a vector of another length"
    before, after = (f"{lengths[0]} numbers" for lengths in (ours, theirs))
    yield Change("wording", label, None, before, after)


# --- texts --------------------------------------------------------------------------------------


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _around(left: str, right: str) -> tuple[str, str]:
    """Both texts from shortly before the place where they begin to differ."""
    if max(len(left), len(right)) <= LONGEST:
        return left, right
    start = max(_common(left, right) - BEFORE_IT, 0)
    head = "…" if start else ""
    return _cut(head + left[start : start + LONGEST]), _cut(head + right[start : start + LONGEST])


def _common(left: str, right: str) -> int:
    """How many characters two texts begin with in common: by halves, since slices compare fast."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
