"""Counts tokens where a server does not, with the model's own tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exitdrill.backend import Event, Prepared, Reasoning, Text, ToolCallDelta, Usage
from exitdrill.errors import AdapterError, ScenarioError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter:
    """Recounts what went in and what came out.

    What a chat template adds around the messages is not counted: it is not in the tokenizer's
    file. The input of a chat is therefore a lower bound.
    """

    def __init__(self, path: Path) -> None:
        """Loads the tokenizer: slow, not for an event loop.

        Raises `AdapterError` without the tokenizers package, `ScenarioError` for a file that is
        no tokenizer.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise AdapterError(
                "the option 'tokenizer' needs a package: pip install 'exitdrill[tokenizers]'"
            ) from None
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust side raises a bare Exception
            raise ScenarioError(f"is no tokenizer.json: {error}", path=path) from None

    def usage(self, prepared: Prepared, answer: list[Event]) -> Usage:
        """The usage of an exchange, at the time of its last event. Computes: not for a loop."""
        at = answer[-1].at if answer else 0
        given = self._count("\n".join(_texts(prepared.body)))
        return Usage(at, given, self._count("".join(map(_piece, answer))), source="recounted")

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _piece(event: Event) -> str:
    match event:
        case Text() | Reasoning():
            return event.text
        case ToolCallDelta():
            return (event.name or "") + event.arguments
    return ""


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body.get("messages") or ():
        yield from _strings(message.get("content"))
    yield from _strings(body.get("prompt"))
    yield from _strings(body.get("input"))


def _strings(content: Any) -> Iterator[str]:
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
