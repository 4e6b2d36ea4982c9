"""An app that is served: started once, asked by POST, ended and started anew where it has to be."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exitdrill.app.complaints import tidied
from exitdrill.app.disk import BY_RUNNING, Disk
from exitdrill.app.flood import FloodWatch
from exitdrill.app.home import Home
from exitdrill.app.process import MOST_OUTPUT, given_to
from exitdrill.app.running import LONGEST_COMPLAINT, Ran, flood, late
from exitdrill.app.ways import Entrance
from exitdrill.errors import BackendError, ServerFailed
from exitdrill.gateway import HEADER
from exitdrill.scenario import AppRunSpec
from exitdrill.server import Server, ServerConfig

if TYPE_CHECKING:
    import aiohttp


@dataclass
class ServedRunner:
    """An app that is started once, and gets each input by POST."""

    spec: AppRunSpec
    home: Home
    entrance: Entrance
    """Of the whole server; with a header, that of each trial says whose a call is."""
    _server: Server = field(init=False)
    _watch: FloodWatch = field(init=False)
    _client: aiohttp.ClientSession | None = None
    _url: str = ""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        place = self.home.place(self.home.scratch, self.entrance, self.home.passed)
        config = ServerConfig(
            command=tuple(self.spec.serve or ()),
            ready=self.spec.ready or "/health",
            up=range(200, 500) if self.spec.ready is None else range(200, 300),
            table="app.run.",
            environment={k: v for k, v in place.environment.items() if k in self.home.environment},
            startup_seconds=self.spec.startup_seconds,
            inherited=place.environment,
            prefix=tuple(place.prefix),
        )
        # Not where the app may write: a link in the log's place would be followed.
        log = self.home.scratch.with_name("server.log")
        self._server = Server(config, cwd=self.home.copy, log=log)
        scratch = Disk((self.home.scratch,), BY_RUNNING)
        self._watch = FloodWatch(self._server, (self.home.disk, scratch), self.home.scratch)

    async def start(self) -> None:
        """Start it unless it runs, and wait until it is ready."""
        import aiohttp

        async with self._starting:
            await self._watch.settled()
            if self._server.alive:
                return
            self._url = await self._watched() + self.spec.path
            if self._client is None:
                self._client = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self.spec.timeout_seconds),
                    # A connection for each: one that the app has just closed must not be taken.
                    connector=aiohttp.TCPConnector(limit=0, force_close=True),
                )

    async def _watched(self) -> str:
        """Start the server, and have it ended if it writes without end; where it answers."""
        floods = self._watch.floods
        await self._watch.begin()
        try:
            return await self._server.start()
        except ServerFailed as error:
            said = await self._watch.found(floods)
            known = "" if said else self.home.hint(str(error))
            raise ServerFailed(said or (f"{error}\n{known}" if known else str(error))) from None

    async def run(self, given: Any, entrance: Entrance, stop: asyncio.Event) -> Ran:
        """Post the input; one that died, or hangs alone, is started anew."""
        self._watch.trim()
        floods, began = self._watch.floods, time.monotonic()
        try:
            await self.start()
            began = time.monotonic()
            text, error = await self._until(self._ask(given, entrance), stop)
        except ServerFailed as failed:
            text, error = "", BackendError("crashed", str(failed)[-LONGEST_COMPLAINT:])
        seconds = time.monotonic() - began
        if error is not None and error.kind != "cancelled":
            said = await self._watch.found(floods)
            error = flood(said) if said else error
        if error is not None:
            self.home.check()
        if error is not None and error.kind in ("timeout", "flood") and not self.spec.header:
            await self._server.stop()
        return Ran(text, seconds, error)

    @property
    def floods(self) -> int:
        """How often it was ended for one that is no trial's error."""
        return self._watch.untold

    async def stop(self) -> None:
        """End the server."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        await self._watch.end()
        await self._server.stop()

    async def _until(self, asking: Any, stop: asyncio.Event) -> tuple[str, BackendError | None]:
        asked, stopped = asyncio.ensure_future(asking), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({asked, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                text, error = asked.result()
                return str(text), error
            return "", BackendError("cancelled", "the drill ended it")
        finally:
            for task in (asked, stopped):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _ask(self, given: Any, entrance: Entrance) -> tuple[str, BackendError | None]:
        import aiohttp

        assert self._client is not None
        headers = {HEADER: entrance.token} if self.spec.header else {}
        kind = "text/plain; charset=utf-8" if isinstance(given, str) else "application/json"
        headers["Content-Type"] = kind
        try:
            async with self._client.post(
                self._url, data=given_to(given), headers=headers, allow_redirects=False
            ) as response:
                body = await _bounded(response)
        except TimeoutError:
            return "", late(self.spec.timeout_seconds)
        except aiohttp.ClientError as error:
            await asyncio.sleep(0.2)  # until the warden has seen whether it died
            what = type(error).__name__ if self._server.alive else f"it {self._server.end}"
            return "", BackendError("crashed", f"the app did not answer: {what}{self._tail()}")
        if len(body) > MOST_OUTPUT:
            return "", flood()
        text = body.decode("utf-8", "replace")
        if response.status >= 300:
            said = f"the app answered {response.status}: {text[:LONGEST_COMPLAINT]}"
            return text, BackendError("server", said, status=response.status)
        return text, None

    def _tail(self) -> str:
        tail = tidied(self._server.tail(), self.home.copy)[-LONGEST_COMPLAINT:]
        return f"; the end of its output:\n{tail}" if tail else ""


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """A body, or a little more than is allowed of one."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_OUTPUT:
            break
    return bytes(body)
