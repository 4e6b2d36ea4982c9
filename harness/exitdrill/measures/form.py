"""Form apart from content: what differs between two answers that say the same.

Of form are a code fence around all of an answer, the word on it, prose around its JSON, white
space, the order of keys, and how a JSON text spells its strings and numbers. Everything else is
content: another letter case, too, and how code in a fence is indented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from exitdrill.backend import Reply
from exitdrill.checkers import same_json
from exitdrill.measures.answers import Answer, Json
from exitdrill.measures.tools import match, same_calls

Form = Literal["code_fence", "fence_word", "prose_around", "white_space", "key_order", "escapes"]


def same_content(wanted: Answer, found: Answer) -> bool:
    """Whether two texts say the same; where the one is JSON, the prose around the other is form."""
    if wanted.text == found.text:
        return True
    both = json_of_both(wanted, found)
    if both is None:
        return same_text(wanted, found)
    return same_json(both[0].value, both[1].value)


def same_text(wanted: Answer, found: Answer) -> bool:
    """Whether two texts are made of the same words, and their code of the same blocks.

    Code that stands in a fence on one side only is compared by its words.
    """
    if wanted.words != found.words:
        return False
    return not wanted.indents or not found.indents or wanted.indents == found.indents


def same_answer(wanted: Reply, found: Reply, texts: tuple[Answer, Answer]) -> bool:
    """Whether two whole answers say the same: text, tool calls in any order, vectors."""
    return (
        wanted.vectors == found.vectors
        and same_calls(wanted.tool_calls, found.tool_calls)
        and same_content(*texts)
    )


def json_of_both(wanted: Answer, found: Answer) -> tuple[Json, Json] | None:
    """The JSON of two answers where at least one of them is JSON and the other holds some."""
    if wanted.json is None and found.json is None:
        return None
    both = wanted.any_json, found.any_json
    return None if both[0] is None or both[1] is None else (both[0], both[1])


def forms_of_json(wanted: Json, found: Json, *, alike: bool) -> Iterator[tuple[Form, bool]]:
    """How the form of two JSON answers differs; with each whether the second one has it now.

    White space and spelling can only be told where the values are ``alike``.
    """
    if wanted.fenced != found.fenced:
        yield "code_fence", found.fenced
    elif wanted.word != found.word:
        yield "fence_word", True
    if wanted.prose != found.prose:
        yield "prose_around", found.prose
    if wanted.text == found.text:
        return
    ordered = _same_order(wanted.value, found.value)
    if not ordered:
        yield "key_order", True
    if not alike:
        return
    left, right = ("".join(each.text.split()) for each in (wanted, found))
    if len(wanted.text) - len(left) != len(found.text) - len(right) or left == right:
        yield "white_space", True
    if ordered and left != right:
        yield "escapes", True


def forms_of_text(wanted: Answer, found: Answer) -> Iterator[tuple[Form, bool]]:
    """How the form of two texts differs that are made of the same words."""
    fences = [each.fence_word is not None for each in (wanted, found)]
    if fences[0] != fences[1]:
        yield "code_fence", fences[1]
    elif wanted.fence_word != found.fence_word:
        yield "fence_word", True
    else:
        yield "white_space", True


def forms_of_calls(wanted: Reply, found: Reply) -> bool:
    """Whether tool calls that say the same are ordered or written in another way."""
    ours, theirs = (
        [(call.name, call.arguments) for call in reply.tool_calls] for reply in (wanted, found)
    )
    return ours != theirs and match(wanted.tool_calls, found.tool_calls).complete


def _same_order(left: Any, right: Any) -> bool:
    """Whether the keys that both have stand in the same order, all the way down."""
    if isinstance(left, dict) and isinstance(right, dict):
        ours = [name for name in left if name in right]
        if ours != [name for name in right if name in left]:
            return False
        return all(_same_order(left[name], right[name]) for name in ours)
    if isinstance(left, list) and isinstance(right, list):
        return all(map(_same_order, left, right))
    return True
