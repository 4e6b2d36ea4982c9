"""HTTP to one OpenAI-compatible endpoint: the session, the key, and what can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from pydantic import SecretStr
from pydantic_core import from_json
from yarl import URL

from exitdrill.backend import Timeouts
from exitdrill.errors import BackendError
from exitdrill_adapters.openai import failures
from exitdrill_adapters.openai.cleaning import Cleaner, beginning
from exitdrill_adapters.openai.endpoint import proxy_for

_KEEPALIVE = 4.0
"""Seconds that an idle connection is kept: uvicorn and Node drop theirs after 5, and a request
that meets a connection at that moment fails."""
_SETTLE = 0.02
"""Seconds after a server's own failure: uvicorn closes the connection behind a 500 unannounced, and
a request that follows at once would meet that connection and fail for nothing."""
_MAX_ERROR_BODY = 65_536
_MAX_PROBE_BODY = 4 * 1024 * 1024
_PROBE_TIMEOUT = 5.0
_ASK_TIMEOUT = 3.0
"""Seconds. What is asked beside the probe may be left out of the record."""


@dataclass(slots=True)
class Progress:
    """How far an exchange has come: what the same exception means depends on it."""

    answered: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a server said of itself: no status where it did not answer in time."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None


class Transport:
    """One session with one endpoint. Made within an event loop; `close` it.

    ``cleaner`` keeps its key out of what the server says.
    """

    def __init__(
        self, url: URL, secret: SecretStr | None, headers: Mapping[str, str], timeouts: Timeouts
    ) -> None:
        self._url = url
        self.cleaner = Cleaner(secret)
        self._timeouts = timeouts
        # Compression would hold pieces back on the server's side.
        headers = {**headers, "Accept-Encoding": "identity"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret.get_secret_value()}"
        self._session = aiohttp.ClientSession(
            # How many requests are under way is the engine's decision: no limit here.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEPALIVE, ttl_dns_cache=300
            ),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeouts.request, connect=timeouts.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy_for(url),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @contextlib.asynccontextmanager
    async def post(
        self, path: str, body: Mapping[str, Any], progress: Progress
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, of which only the headers have been read.

        Raises `BackendError` for a status other than 2xx.
        """
        async with self._session.post(
            self._url.joinpath(path),
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            progress.answered = True
            if not 200 <= response.status < 300:
                text = beginning(await _read(response, _MAX_ERROR_BODY), _MAX_ERROR_BODY)
                if response.status >= 500:
                    await asyncio.sleep(_SETTLE)
                raise failures.from_response(response.status, response.headers, text)
            yield response

    @contextlib.contextmanager
    def translated(self, progress: Progress) -> Iterator[None]:
        """Raises what goes wrong inside as `BackendError`, capped and without the key.

        Without their causes: aiohttp's errors can hold the request's headers, the key included.
        """
        try:
            yield
        except BackendError as error:
            raise self._clean(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._clean(self._broken(error, progress)) from None

    async def probe(self, path: str) -> Found:
        """The answer at ``path``.

        Raises `BackendError` (unreachable) where nothing answers; a slow or failing server is no
        error here.
        """
        try:
            return await self._get(path, _PROBE_TIMEOUT)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._clean(BackendError("unreachable", self._said(error))) from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Found()

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Found:
        """The answer at ``path``, or to the POST of a ``body`` there; never an error."""
        try:
            return await self._get(path, _ASK_TIMEOUT, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return Found()

    async def _get(self, path: str, seconds: float, body: Mapping[str, Any] | None = None) -> Found:
        async with self._session.request(
            "GET" if body is None else "POST",
            self._place(path),
            json=body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=min(seconds, self._timeouts.request), connect=self._timeouts.connect
            ),
        ) as response:
            data = await _read(response, _MAX_PROBE_BODY)
            return Found(response.status, response.headers, _json(data))

    def _place(self, path: str) -> URL:
        """Relative to the endpoint, or with a slash to where its ``/v1`` begins."""
        if not path.startswith("/"):
            return self._url.joinpath(path)
        return self._url.with_path(self._url.path.rstrip("/").removesuffix("/v1") + path)

    def _broken(self, error: Exception, progress: Progress) -> BackendError:
        timeouts = self._timeouts
        if progress.silent:
            return BackendError("timeout", f"gap: nothing came for {timeouts.gap:g} s")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return BackendError("timeout", f"connect: no connection in {timeouts.connect:g} s")
        if isinstance(error, TimeoutError):
            return BackendError("timeout", f"request: not answered in {timeouts.request:g} s")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError):
            return BackendError("unreachable", self._said(error))
        if progress.answered:
            return BackendError("malformed_stream", f"cut off: {self._said(error)}", status=200)
        return BackendError("server", f"closed the connection unanswered: {self._said(error)}")

    def _said(self, error: Exception) -> str:
        # Without the bytes that aiohttp quotes below: they begin anywhere, within a key as well.
        words = str(error).partition("\n\n")[0]
        return f"{self._url.authority}: {words or type(error).__name__}"

    def _clean(self, error: BackendError) -> BackendError:
        return BackendError(
            error.kind,
            self.cleaner.text(error.message),
            status=error.status,
            retry_after=error.retry_after,
        )


def since(start: int) -> int:
    """Nanoseconds since ``start``, on the clock of all events."""
    return time.monotonic_ns() - start


async def read_whole(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of a response. Raises `BackendError` where it is longer than ``limit`` bytes."""
    body = await _read(response, limit)
    if len(body) > limit:
        raise failures.too_long(limit)
    return body


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of a response, or of a longer one a little more than ``limit`` bytes."""
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await response.content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _json(body: bytes) -> object:
    try:
        return from_json(body)
    except ValueError:
        return None
