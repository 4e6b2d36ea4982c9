"""The ways to run an app on an input: a command, a function, or what is served."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exitdrill.app.copies import minimal
from exitdrill.app.process import MOST_OUTPUT, Ended, Place, given_to, run, words
from exitdrill.app.ways import Entrance
from exitdrill.errors import BackendError, ServerFailed
from exitdrill.gateway import HEADER
from exitdrill.scenario import AppRunSpec
from exitdrill.server import Server, ServerConfig

if TYPE_CHECKING:
    import aiohttp

RUNNER = Path(__file__).with_name("runner.py").resolve()
LONGEST_COMPLAINT = 2_000
"""Characters of what an app wrote before it crashed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one run: the answer, or the error, and the seconds that it took."""

    text: str
    seconds: float
    error: BackendError | None = None


class Runner(Protocol):
    """An app that can be run on one input after the other."""

    async def start(self) -> None:
        """Make ready. Raises `ServerFailed`."""

    async def run(self, given: Any, entrance: Entrance, stop: asyncio.Event) -> Ran:
        """Run the app on an input, until ``stop`` is set."""

    async def stop(self) -> None:
        """End all that runs; safe to call twice."""


@dataclass
class Home:
    """Where an arm's app is: its copy, a folder for what it writes, its environment, unfilled."""

    copy: Path
    scratch: Path
    environment: Mapping[str, str]

    def place(self, scratch: Path, entrance: Entrance) -> Place:
        """Where it runs once."""
        environment = minimal(scratch, os.environ) | entrance.fill(self.environment)
        return Place(self.copy, environment, (self.copy, scratch))

    async def run(
        self,
        command: list[str],
        data: bytes,
        entrance: Entrance,
        seconds: float,
        stop: asyncio.Event,
    ) -> Ended:
        """Run a command in the copy, with a scratch folder of its own. Raises `ServerFailed`."""
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as scratch:
            place = self.place(Path(scratch), entrance)
            return await run(words(command, place), data, place, seconds, stop)


@dataclass
class CommandRunner:
    """A process for each input: a command, or a function by way of a small script."""

    spec: AppRunSpec
    home: Home

    async def start(self) -> None:
        """Nothing to make ready."""

    async def run(self, given: Any, entrance: Entrance, stop: asyncio.Event) -> Ran:
        """Run it to its end."""
        seconds = self.spec.timeout_seconds
        command, data = self._command(given)
        try:
            ended = await self.home.run(command, data, entrance, seconds, stop)
        except (ServerFailed, OSError) as error:  # OSError: it may have removed its own copy
            return Ran("", 0.0, BackendError("crashed", f"the app cannot be run: {error}"))
        text = ended.output.decode("utf-8", "replace").rstrip("\r\n")
        return Ran(text, ended.seconds, _error(ended, seconds))

    async def stop(self) -> None:
        """Nothing runs between two inputs."""

    def _command(self, given: Any) -> tuple[list[str], bytes]:
        if self.spec.command is not None:
            return self.spec.command, given_to(given)
        path, _, name = (self.spec.function or "").partition(":")
        module = path.removesuffix(".py").replace("/", ".")
        return [self.spec.python, str(RUNNER), module, name], json.dumps(given).encode()


@dataclass
class ServedRunner:
    """An app that is started once, and gets each input by POST."""

    spec: AppRunSpec
    home: Home
    entrance: Entrance
    """Of the whole server; with a header, that of each trial says whose a call is."""
    _server: Server = field(init=False)
    _client: aiohttp.ClientSession | None = None
    _url: str = ""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        place = self.home.place(self.home.scratch, self.entrance)
        config = ServerConfig(
            command=tuple(self.spec.serve or ()),
            ready=self.spec.ready,
            startup_seconds=self.spec.startup_seconds,
            inherited=place.environment,
            prefix=tuple(place.prefix),
        )
        self._server = Server(config, cwd=self.home.copy, log=self.home.scratch / "server.log")

    async def start(self) -> None:
        """Start it unless it runs, and wait until it is ready."""
        import aiohttp

        async with self._starting:
            if self._server.alive:
                return
            self._url = await self._server.start() + self.spec.path
            if self._client is None:
                self._client = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self.spec.timeout_seconds),
                    # A connection for each: one that the app has just closed must not be taken.
                    connector=aiohttp.TCPConnector(limit=0, force_close=True),
                )

    async def run(self, given: Any, entrance: Entrance, stop: asyncio.Event) -> Ran:
        """Post the input; one that died, or hangs alone, is started anew."""
        began = time.monotonic()
        try:
            await self.start()
            began = time.monotonic()
            text, error = await self._until(self._ask(given, entrance), stop)
        except ServerFailed as failed:
            text, error = "", BackendError("crashed", str(failed)[-LONGEST_COMPLAINT:])
        seconds = time.monotonic() - began
        if error is not None and error.kind in ("timeout", "flood") and not self.spec.header:
            await self._server.stop()
        return Ran(text, seconds, error)

    async def stop(self) -> None:
        """End the server."""
        if self._client is not None:
            await self._client.close()
            self._client = None
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
            return "", _late(self.spec.timeout_seconds)
        except aiohttp.ClientError as error:
            await asyncio.sleep(0.2)  # until the warden has seen whether it died
            what = type(error).__name__ if self._server.alive else f"it {self._server.end}"
            return "", BackendError("crashed", f"the app did not answer: {what}{self._tail()}")
        if len(body) > MOST_OUTPUT:
            return "", _flood()
        text = body.decode("utf-8", "replace")
        if response.status >= 300:
            said = f"the app answered {response.status}: {text[:LONGEST_COMPLAINT]}"
            return text, BackendError("server", said, status=response.status)
        return text, None

    def _tail(self) -> str:
        tail = self._server.tail().strip()[-LONGEST_COMPLAINT:]
        return f"; the end of its output:\n{tail}" if tail else ""


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """A body, or a little more than is allowed of one."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_OUTPUT:
            break
    return bytes(body)


def _late(seconds: float) -> BackendError:
    return BackendError("timeout", f"the app took longer than {seconds:g} s, and was ended")


def _flood() -> BackendError:
    return BackendError("flood", "the app wrote without end, and was ended")


def _error(ended: Ended, seconds: float) -> BackendError | None:
    output = ended.output[-4 * LONGEST_COMPLAINT :].decode("utf-8", "replace").strip()
    complaint = (ended.errors or output)[-LONGEST_COMPLAINT:]
    lines = " / ".join(line.strip() for line in complaint.splitlines() if line.strip())
    said = f"; the end of what it wrote: {lines}" if lines else ""
    match ended.why:
        case "timeout":
            error = _late(seconds)
            return BackendError(error.kind, error.message + said)
        case "flood":
            return _flood()
        case "stopped":
            return BackendError("cancelled", "the drill ended it")
    if ended.code == 0:
        return None
    return BackendError("crashed", f"the app ended with {ended.exit}{said}")
