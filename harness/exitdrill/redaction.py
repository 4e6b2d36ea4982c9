"""Keys never reach a file: what a server echoes of them is masked before it is recorded."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exitdrill.backend import Event, Reasoning, Text, ToolCallDelta

SHORTEST = 12
"""Characters. A shorter value ("none", "test") is no key, and would mask ordinary words."""

MASK = "[key]"


@dataclass(frozen=True)
class Redactor:
    """Replaces values in JSON text, in any of the forms that they have there."""

    forms: tuple[str, ...] = ()

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Redactor:
        """The redactor of some secrets; what is too short to be one is left alone."""
        kept = [secret for secret in secrets if len(secret) >= SHORTEST]
        # A text within a JSON text within a JSON text: an error body that quotes a request.
        once = [json.dumps(secret)[1:-1] for secret in kept]
        twice = [json.dumps(secret)[1:-1] for secret in once]
        return cls(tuple(sorted({*kept, *once, *twice}, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """The text with each secret masked."""
        for form in self.forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """The pieces of a text with each secret masked, be it that two pieces share it."""
        whole = "".join(texts)
        if not any(form in whole for form in self.forms):
            return list(texts)
        found = re.finditer("|".join(map(re.escape, self.forms)), whole)
        spans, masked, end = [each.span() for each in found], [], 0
        for text in texts:
            start, end = end, end + len(text)
            masked.append(_outside(whole, start, end, spans))
        return masked

    def events(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """The events of an answer without secrets, in whatever pieces they came."""
        kept = list(events)
        together: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for number, event in enumerate(events if self.forms else ()):
            if isinstance(event, Text | Reasoning | ToolCallDelta):
                index = event.index if isinstance(event, ToolCallDelta) else 0
                together[type(event).__name__, index].append(number)
        for numbers in together.values():
            texts = [_said(events[number]) for number in numbers]
            for number, text, masked in zip(numbers, texts, self.pieces(texts), strict=True):
                if text != masked:
                    kept[number] = _saying(events[number], masked)
        return tuple(kept)


def _said(event: Event) -> str:
    if isinstance(event, ToolCallDelta):
        return event.arguments
    return event.text if isinstance(event, Text | Reasoning) else ""


def _saying(event: Event, text: str) -> Event:
    if isinstance(event, ToolCallDelta):
        return replace(event, arguments=text)
    return replace(event, text=text) if isinstance(event, Text | Reasoning) else event


def _outside(whole: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> str:
    """A part of a text, outside of some spans; the part in which one begins has the mask."""
    pieces = []
    for first, last in spans:
        if start < last and first < end:
            pieces += [whole[start:first], MASK if start <= first else ""]
            start = min(last, end)
    return "".join([*pieces, whole[start:end]])
