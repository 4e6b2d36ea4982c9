"""A key is masked in whatever pieces it comes."""

from __future__ import annotations

import pytest

from exitdrill.backend import Event, Reasoning, Text, ToolCallDelta
from exitdrill.redaction import MASK, Redactor

KEY = 'sk-"0123456789'
REDACT = Redactor.of([KEY])


@pytest.mark.parametrize("size", [1, 2, 5, 13, 100])
@pytest.mark.parametrize(
    "text", [KEY, f"a{KEY}b{KEY}{KEY}c", f"{KEY} and", "nothing", "", KEY[:-1]]
)
def test_the_pieces_of_a_text_hide_what_the_whole_hides(text: str, size: int) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    masked = REDACT.pieces(pieces)
    assert len(masked) == len(pieces)
    assert "".join(masked) == REDACT("".join(pieces))


def test_the_events_of_an_answer() -> None:
    first, last = KEY[:5], KEY[5:]
    events: tuple[Event, ...] = (
        Reasoning(1, first),
        Text(2, f"x{first}"),
        Reasoning(3, last),
        ToolCallDelta(4, 0, arguments=first),
        ToolCallDelta(5, 1, arguments=first),
        Text(6, f"{last}y", tokens=2),
        ToolCallDelta(7, 0, arguments=last),
    )
    assert REDACT.events(events) == (
        Reasoning(1, MASK),
        Text(2, f"x{MASK}"),
        Reasoning(3, ""),
        ToolCallDelta(4, 0, arguments=MASK),
        ToolCallDelta(5, 1, arguments=first),
        Text(6, "y", tokens=2),
        ToolCallDelta(7, 0, arguments=""),
    )
    assert Redactor().events(events) == events
