"""Tool calls: the same functions with the same arguments, in whatever order.

Arguments are compared as typed JSON values: "-5" is not 5, and no text is normalised. Arguments
that are no JSON, or longer than an answer that is read as JSON, are compared to the letter.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill import strictjson
from exitdrill.backend import ToolCall
from exitdrill.measures.answers import LONGEST_JSON
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.shares import disagreement, share_row
from exitdrill.strictjson import typed_key


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call: their value where they are JSON, and the key they compare by."""

    text: str
    value: Any
    key: str


@dataclass(frozen=True)
class Matching:
    """Two lists of calls, matched: alike, of one name with other arguments, on one side only."""

    alike: Sequence[tuple[ToolCall, ToolCall]]
    differing: Sequence[tuple[ToolCall, ToolCall]]
    missing: Sequence[ToolCall]
    added: Sequence[ToolCall]

    @property
    def complete(self) -> bool:
        """Whether every call has its like."""
        return not (self.differing or self.missing or self.added)


def match(wanted: Sequence[ToolCall], found: Sequence[ToolCall]) -> Matching:
    """Each wanted call with a found one: first those that are alike, then those of one name."""
    alike, missing, added = _pairs(wanted, found, lambda call: (call.name, _key(call)))
    differing, missing, added = _pairs(missing, added, lambda call: call.name)
    return Matching(alike, differing, missing, added)


def arguments_of(call: ToolCall) -> Arguments:
    """The arguments of a call, read; no arguments at all are an empty object."""
    text = call.arguments.strip() or "{}"
    if len(text) > LONGEST_JSON:
        return Arguments(text, None, f"text {text}")
    try:
        value = strictjson.loads(text)
    except ValueError:
        return Arguments(text, None, f"text {text}")
    return Arguments(text, value, f"json {typed_key(value)}")


def tool_agreement(view: TrialView) -> float:
    """1 where the incumbent's tool calls are there with their arguments, and no others.

    NaN where neither answer calls a tool.
    """
    if view.reference is None:
        return NAN
    wanted, found = view.reference.tool_calls, view.reply.tool_calls
    if not wanted and not found:
        return NAN
    return 0.0 if view.failed else float(same_calls(wanted, found))


def same_calls(wanted: Sequence[ToolCall], found: Sequence[ToolCall]) -> bool:
    """Whether two answers call the same, ids and order aside."""
    if len(wanted) != len(found):
        return False
    return not wanted or match(wanted, found).complete


def _pairs(
    wanted: Iterable[ToolCall], found: Iterable[ToolCall], key: Any
) -> tuple[list[tuple[ToolCall, ToolCall]], list[ToolCall], list[ToolCall]]:
    waiting: defaultdict[Any, deque[ToolCall]] = defaultdict(deque)
    for call in found:
        waiting[key(call)].append(call)
    pairs, missing = [], []
    for call in wanted:
        same = waiting[key(call)]
        if same:
            pairs.append((call, same.popleft()))
        else:
            missing.append(call)
    return pairs, missing, [call for rest in waiting.values() for call in rest]


def _key(call: ToolCall) -> str:
    return arguments_of(call).key


MEASURES = (
    Measure(
        "tool_agreement",
        "same tool calls as the incumbent",
        "share",
        "drift",
        "higher",
        share_row("tool_agreement", disagreement, "name and typed arguments, in any order"),
        tool_agreement,
        strict=True,
        content=True,
    ),
)
