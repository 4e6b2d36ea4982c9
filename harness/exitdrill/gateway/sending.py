"""Bytes to the client: a stream's as they come, headers with the first of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from exitdrill.errors import BackendError
from exitdrill.gateway.envelope import Envelope

REQUEST_ID = "x-request-id"
_MOST_HELD = 64 * 1024
"""Bytes."""
_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


class _Stream(web.StreamResponse):
    """A response whose headers go out in one write with its first bytes."""

    # Not public, and only a matter of speed: without it there are two writes.
    _send_headers_immediately = False


class Sender:
    """The way back to one client. ``response`` becomes done when the client has all.

    What comes first in a turn of the event loop is written at once, and what else comes in the same
    turn at its end: a burst of tokens costs two writes, and keeps no other stream waiting.
    """

    def __init__(self, request: web.BaseRequest, call_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.response: asyncio.Future[web.StreamResponse] = self._loop.create_future()
        self.status = 0
        self._request = request
        self._call_id = call_id
        self._stream: web.StreamResponse | None = None
        self._written = False
        self._held: list[bytes] = []
        self._size = 0

    @property
    def begun(self) -> bool:
        """Whether the headers are out: no other status is possible then."""
        return self._stream is not None

    async def send(self, data: bytes) -> None:
        """Send a part of a stream; waits only while the client does not read.

        Raises `BackendError` (cancelled) where it has gone.
        """
        try:
            if self._stream is None:
                self._stream = await self._begin()
                await self._stream.write(data)
                self._turn()
                await asyncio.sleep(0)  # everybody's first token before anybody's second
                return
            self._held.append(data)
            self._size += len(data)
            if not self._written or self._size > _MOST_HELD:
                self._flush()
                await self._request.writer.drain()
        except ConnectionError:
            raise BackendError("cancelled", "whoever asked hung up") from None

    async def finish(self) -> None:
        """End a stream: the client may ask the next thing."""
        if self._stream is None or self.response.done():
            return
        held, self._held = b"".join(self._held), []
        with contextlib.suppress(ConnectionError):  # it has all but the end
            await self._stream.write_eof(held)
        self.response.set_result(self._stream)

    def _flush(self) -> None:
        """Write what is held, as one chunk of the body."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        held, self._held, self._size = b"".join(self._held), [], 0
        transport.write(b"%x\r\n%b\r\n" % (len(held), held))
        self._turn()

    def _turn(self) -> None:
        """Hold back what else comes in this turn of the event loop."""
        if not self._written:
            self._written = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._written = False
        if self._held:
            with contextlib.suppress(ConnectionError):  # the next part will tell
                self._flush()

    def whole(self, document: Mapping[str, Any]) -> None:
        """Answer in one piece."""
        self._answer(200, document, {})

    def refuse(self, envelope: Envelope) -> None:
        """Answer with an error."""
        self._answer(envelope.status, envelope.document(), envelope.headers)

    def _answer(self, status: int, document: Mapping[str, Any], more: Mapping[str, str]) -> None:
        self.status = status
        if not self.response.done():
            self.response.set_result(json_response(status, document, self._call_id, more))

    async def _begin(self) -> web.StreamResponse:
        self.status = 200
        stream = _Stream(headers={**_STREAM, REQUEST_ID: self._call_id})
        stream.enable_chunked_encoding()
        await stream.prepare(self._request)
        return stream


def json_response(
    status: int,
    document: Mapping[str, Any],
    call_id: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> web.Response:
    """A JSON document as a response."""
    return web.Response(
        status=status,
        # ASCII: an answer may hold half a character.
        body=json.dumps(document).encode(),
        content_type="application/json",
        headers={REQUEST_ID: call_id, **more},
    )
