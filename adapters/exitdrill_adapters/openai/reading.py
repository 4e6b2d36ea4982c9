"""Reads a streamed response as it arrives: the innermost part of the timed path."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Self

import aiohttp

from exitdrill.backend import Event
from exitdrill.errors import BackendError
from exitdrill_adapters.openai.failures import too_long
from exitdrill_adapters.openai.sse import SSEParser
from exitdrill_adapters.openai.transport import Progress, since
from exitdrill_adapters.openai.wire import ChunkReader

MAX_STREAM = 32 * 1024 * 1024
"""Bytes of one streamed answer, envelopes and comments included: some 100,000 tokens. What goes on
for longer is given up, before it fills memory and journal."""

_DRAIN = 0.25
"""Seconds that a server gets, after the end of its answer, to end the response as well."""


class Reading:
    """One response, read in batches of events; a batch is what one arrival held.

    A response that is silent for longer than ``gap`` seconds after its first byte is closed, and
    its `Progress` says so. One timer per response watches for that, not one per chunk.
    """

    __slots__ = (
        "_at",
        "_content",
        "_ended",
        "_failure",
        "_gap",
        "_parser",
        "_progress",
        "_reader",
        "_received",
        "_response",
        "_start",
        "_timer",
        "_waiting_since",
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        reader: ChunkReader,
        start: int,
        gap: float,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._response = response
        self._content = response.content
        self._parser = SSEParser()
        self._reader = reader
        self._start = start
        self._gap = gap
        self._at = 0
        self._received = 0
        self._ended = False
        self._failure: BackendError | None = None
        self._waiting_since: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def batch(self) -> list[Event] | None:
        """The events of the next arrival that has any; None at the end.

        Raises `BackendError` for a stream that cannot be read, or that ends too early or not at
        all.
        """
        while not self._ended:
            self._waiting_since = time.monotonic_ns()
            chunk = await self._content.readany()
            # Before any parsing: everything in one arrival has the time of that arrival.
            at = since(self._start)
            self._waiting_since = None
            if chunk:
                self._at = at
                self._received += len(chunk)
                if self._timer is None:
                    self._watch(self._gap)
            if events := self._events(chunk):
                return events
        if self._failure is not None:
            raise self._failure
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if kind is None and not self._content.at_eof():
            await self._drain()

    async def _drain(self) -> None:
        """Reads what follows the end of the answer, so that the connection can serve again."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_DRAIN):
                while await self._content.readany():
                    pass

    def _events(self, chunk: bytes) -> list[Event]:
        """What one arrival holds. What came before an error in it still came: the error waits."""
        events: list[Event] = []
        try:
            self._collect(chunk, events)
        except BackendError as error:
            self._failure, self._ended = error, True
        return events

    def _collect(self, chunk: bytes, events: list[Event]) -> None:
        if self._received > MAX_STREAM:
            raise too_long(MAX_STREAM)
        for payload in self._parser.feed(chunk) if chunk else self._parser.close():
            events += self._reader.read(payload, self._at)
            if self._reader.done:
                break
        if self._reader.done or not chunk:
            self._ended = True
            events += self._reader.end(self._at)

    def _watch(self, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        """Time spent by whoever consumes the events is not the server's silence."""
        since = self._waiting_since
        silence = 0.0 if since is None else (time.monotonic_ns() - since) / 1e9
        if silence < self._gap:
            self._watch(self._gap - silence)
            return
        self._progress.silent = True
        self._response.close()
