"""A response to ``/embeddings``, as events."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

from exitdrill.backend import Embedding, Event, Finish
from exitdrill_adapters.openai import failures
from exitdrill_adapters.openai.cleaning import Cleaner
from exitdrill_adapters.openai.wire import made_by, malformed, parse_chunk, read_usage


def read_embeddings(body: bytes, at: int, cleaner: Cleaner) -> list[Event]:
    """The events of a whole embedding response. Raises `BackendError` for what is not one."""
    reply = parse_chunk(body)
    if reply.get("error"):
        raise failures.from_stream(reply["error"])
    data = reply.get("data")
    if not isinstance(data, list) or not data:
        raise malformed("an embedding response without data")
    events: list[Event] = [
        _embedding(item, position, len(data), at) for position, item in enumerate(data)
    ]
    events += made_by(reply, cleaner, at)
    if (usage := read_usage(reply.get("usage"), at)) is not None:
        events.append(usage)
    return [*events, Finish(at, "stop")]


def _embedding(item: Any, position: int, count: int, at: int) -> Embedding:
    if not isinstance(item, dict):
        raise malformed("an embedding that is not an object")
    index = item.get("index")
    if index is None:
        index = position
    if type(index) is not int or not 0 <= index < count:
        raise malformed("an embedding whose index is none")
    vector = _vector(item.get("embedding"))
    if not vector or not all(map(math.isfinite, vector)):
        raise malformed("an embedding that is no vector")
    return Embedding(at, index, vector)


def _vector(value: Any) -> tuple[float, ...]:
    """The numbers of a list, or of a base64 text; none where it is neither."""
    try:
        if isinstance(value, list):
            return tuple(map(float, value))
        return _floats(value) if isinstance(value, str) else ()
    except (TypeError, ValueError, OverflowError, struct.error, binascii.Error):
        return ()


def _floats(text: str) -> tuple[float, ...]:
    """``encoding_format: base64`` is little-endian float32."""
    data = base64.b64decode(text, validate=True)
    return struct.unpack(f"<{len(data) // 4}f", data)
