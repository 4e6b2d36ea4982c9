"""What parent and child say to each other: one JSON object per line, ASCII only.

To the child: ``{"op": "load", …}`` first, then ``request`` (``id``, ``body``), ``cancel`` (``id``)
and ``close``. From the child, ``r`` being the request's id: ``{"r": …, "e": <name of an event>,
<its fields>}``, ``{"r": …, "e": "error", "kind": …, "message": …}``, and ``{"r": 0, "e": "ready",
"facts": …}`` once the model is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from exitdrill.backend import (
    Event,
    Finish,
    Opaque,
    Reasoning,
    Started,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import ErrorKind

Message = Mapping[str, Any]

LOADING = 0
"""The id under which the child reports about loading; requests count from 1."""

_encode = json.JSONEncoder(separators=(",", ":")).encode

_EVENTS: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in (Started, Text, Reasoning, ToolCallDelta, Usage, Opaque, Finish)
}


def line(message: Message) -> bytes:
    """One message, framed. Escapes keep every newline and lone surrogate out of the framing."""
    return _encode(message).encode("ascii") + b"\n"


def event_message(request_id: int, event: Event) -> dict[str, Any]:
    """An event as a message."""
    fields = {name: getattr(event, name) for name in event.__slots__}
    return {"r": request_id, "e": type(event).__name__, **fields}


def error_message(request_id: int, kind: ErrorKind, text: str) -> dict[str, Any]:
    """An error as a message."""
    return {"r": request_id, "e": "error", "kind": kind, "message": text}


def event(message: Message, base: int) -> Event:
    """The event that a message holds, its time moved by ``base`` nanoseconds."""
    fields = {key: value for key, value in message.items() if key not in {"r", "e"}}
    fields["at"] = base + int(fields["at"])
    return _EVENTS[message["e"]](**fields)


class Lines:
    """Cuts chunks of bytes into messages; a line may be as long as memory allows."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterable[dict[str, Any]]:
        """The messages that this chunk completes. `ValueError` where one is not an object."""
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            message = json.loads(b"".join((*self._rest, part)))
            self._rest.clear()
            if not isinstance(message, dict):
                raise ValueError("a line that is not an object")
            yield message
        if rest:
            self._rest.append(rest)
