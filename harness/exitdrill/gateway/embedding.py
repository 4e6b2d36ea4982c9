"""Answers of ``/v1/embeddings``."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from exitdrill.backend import Event
from exitdrill.errors import BackendError
from exitdrill.gateway.answer import About, Told, signature
from exitdrill.gateway.envelope import Envelope, Refused

FORMATS = ("float", "base64")


class EmbeddingAnswer:
    """The vectors; there is no stream of them."""

    def __init__(self, about: About) -> None:
        self.done = False
        self._about = about

    def event(self, event: Event, choice: int) -> bytes:
        """Nothing."""
        return b""

    def end(self, told: Sequence[Told]) -> bytes:
        """Nothing."""
        return b""

    def failed(self, envelope: Envelope) -> bytes:
        """Nothing."""
        return b""

    def whole(self, told: Sequence[Told]) -> Mapping[str, Any]:
        """The vectors in the order of the texts, as numbers or as base64."""
        reply = told[0].reply
        tokens = reply.input_tokens
        usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
        as_text = self._about.body.get("encoding_format") == "base64"
        write = _base64 if as_text else list[float]
        data = [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(reply.vectors)
        ]
        return {"object": "list", "data": data, **signature(self._about, told), "usage": usage}


def without_format(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body that a backend gets: how the numbers are written is ours. Raises `Refused`."""
    wanted = body.get("encoding_format")
    if wanted is not None and wanted not in FORMATS:
        message = f"encoding_format must be one of {', '.join(FORMATS)}"
        raise Refused(400, message, param="encoding_format")
    if body.get("stream"):
        raise Refused(400, "embeddings are not streamed", param="stream")
    return {name: value for name, value in body.items() if name != "encoding_format"}


def _base64(vector: Sequence[float]) -> str:
    """Little-endian float32, as OpenAI has it."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        message = "an embedding holds a number that base64's float32 cannot"
        raise BackendError("malformed_stream", message) from None
