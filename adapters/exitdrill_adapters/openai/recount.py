"""Counts tokens with the model's own tokenizer.json, whatever the server reports."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exitdrill.backend import Event, Reasoning, Text, ToolCallDelta
from exitdrill.errors import AdapterError, ScenarioError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_COUNTED = 1_000_000
"""Characters of what went in, or came out: more is not counted at all."""

MOST_REMEMBERED = 100_000
"""Requests whose count is kept."""

NOTE = "tokenizer.json; of a chat its texts, without what the template puts around them"

_log = logging.getLogger(__name__)


class TokenCounter:
    """Recounts what went in and what came out.

    What a chat template adds around the messages is not counted: it is not in the tokenizer's
    file. Nor are tools, images and the token that ends an answer. So both are lower bounds.
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
        # What a file sets for training would cut an answer off, or fill it up.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._given: dict[bytes, int] = {}

    def given(self, body: Mapping[str, Any]) -> int | None:
        """Tokens of a request; None where it is not counted. Computes: not for an event loop.

        A request is asked more than once: it is counted once.
        """
        text = "\n".join(_texts(body))
        key = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
        if (found := self._given.get(key)) is None:
            found = self._count(text)
            if found is None:
                return None
            if len(self._given) < MOST_REMEMBERED:
                self._given[key] = found
        return found + _ready(body)

    def made(self, answer: list[Event]) -> int | None:
        """Tokens of an answer; None where it is not counted. Computes: not for an event loop."""
        return self._count("".join(map(_piece, answer)))

    def _count(self, text: str) -> int | None:
        if len(text) > MOST_COUNTED:
            return None
        # Half a character is no text to Rust. A batch, because only they let go of the GIL.
        whole = text.encode(errors="replace").decode()
        try:
            (found,) = self._tokenizer.encode_batch_fast([whole], add_special_tokens=False)
        except Exception as error:  # as above, and whatever a tokenizer's pattern may run into
            _log.warning("tokens were not counted: %s", error)
            return None
        return len(found)


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


def _ready(body: Mapping[str, Any]) -> int:
    """The tokens that a request gives as ids."""
    return sum(_ids(body.get(name)) for name in ("prompt", "input"))


def _ids(value: Any) -> int:
    if not isinstance(value, list):
        return 0
    return sum(_ids(part) if isinstance(part, list) else type(part) is int for part in value)
