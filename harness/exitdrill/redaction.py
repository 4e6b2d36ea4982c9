"""Keys never reach a file: what a server echoes of them is masked before it is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

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
