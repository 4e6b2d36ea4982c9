"""The ways to run an app on an input: here by a process for each, of a command or of a function."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exitdrill.app.complaints import tidied
from exitdrill.app.home import Home
from exitdrill.app.process import FILLED, FLOOD, Ended, given_to
from exitdrill.app.ways import Entrance
from exitdrill.errors import BackendError, ServerFailed
from exitdrill.scenario import AppRunSpec

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

    @property
    def floods(self) -> int:
        """How often it was ended because it wrote without end, without a trial that says so."""

    async def stop(self) -> None:
        """End all that runs; safe to call twice."""


@dataclass
class CommandRunner:
    """A process for each input: a command, or a function by way of a small script."""

    spec: AppRunSpec
    home: Home

    async def start(self) -> None:
        """Nothing runs yet, but its program has to be there. Raises `ServerFailed`."""
        self.home.find(self._command("")[0])

    async def run(self, given: Any, entrance: Entrance, stop: asyncio.Event) -> Ran:
        """Run it to its end."""
        seconds = self.spec.timeout_seconds
        command, data = self._command(given)
        try:
            ended = await self.home.run(command, data, entrance, seconds, stop)
        except (ServerFailed, OSError) as error:  # OSError: it may have removed its own copy
            self.home.check()
            return Ran("", 0.0, BackendError("crashed", f"the app cannot be run: {error}"))
        text = ended.output.decode("utf-8", "replace").rstrip("\r\n")
        failed = _error(ended, seconds, self.home)
        if failed is not None:
            self.home.check()
        return Ran(text, ended.seconds, failed)

    @property
    def floods(self) -> int:
        """None: each is a trial's error."""
        return 0

    async def stop(self) -> None:
        """Nothing runs between two inputs."""

    def _command(self, given: Any) -> tuple[list[str], bytes]:
        if self.spec.command is not None:
            return self.spec.command, given_to(given)
        path, _, name = (self.spec.function or "").partition(":")
        module = path.removesuffix(".py").replace("/", ".")
        return [self.spec.python, str(RUNNER), module, name], json.dumps(given).encode()


def late(seconds: float) -> BackendError:
    """The error of an app that took too long."""
    return BackendError("timeout", f"the app took longer than {seconds:g} s, and was ended")


def flood(said: str = FLOOD) -> BackendError:
    """The error of an app that wrote too much."""
    return BackendError("flood", said)


def _error(ended: Ended, seconds: float, home: Home) -> BackendError | None:
    output = ended.output[-4 * LONGEST_COMPLAINT :].decode("utf-8", "replace").strip()
    complaint = tidied(ended.errors or output, home.copy)[-LONGEST_COMPLAINT:]
    lines = " / ".join(line.strip() for line in complaint.splitlines() if line.strip())
    said = f"; the end of what it wrote: {lines}" if lines else ""
    match ended.why:
        case "timeout":
            error = late(seconds)
            return BackendError(error.kind, error.message + said)
        case "flood":
            return flood()
        case "filled":
            return flood(FILLED)
        case "stopped":
            return BackendError("cancelled", "the drill ended it")
    if ended.code == 0:
        return None
    known = home.hint(complaint)
    known = f"; {known}" if known else ""
    return BackendError("crashed", f"the app ended with {ended.exit}{known}{said}")
