"""A gateway before a backend that plays what a test wants, and the clients to try on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from exitdrill.backend import (
    Backend,
    Description,
    Edit,
    Event,
    Finish,
    Operation,
    Prepared,
    Request,
    Text,
)
from exitdrill.errors import BackendError
from exitdrill.gateway import Call, Door, Gateway
from exitdrill.scenario import BackendSpec

Step = Event | float | Exception
Play = Callable[[Request], Sequence[Step]]
STOP = Finish(0, "stop")
HI: Any = [{"role": "user", "content": "hi"}]


@dataclass
class Player:
    """A backend that plays steps: events are sent, numbers are pauses, errors are raised.

    It notes what it was asked, and how many of its streams were closed.
    """

    play: Play
    edits: tuple[Edit, ...] = ()
    operations: frozenset[Operation] = frozenset({"chat", "completion", "embedding"})
    local: bool = True
    asked: list[Request] = field(default_factory=list)
    closed: int = 0
    sent: int = 0

    def prepare(self, request: Request) -> Prepared:
        return Prepared(request, request.body, self.edits)

    async def start(self) -> Description:
        return Description(adapter="player", model="m")

    async def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        self.asked.append(prepared.request)
        try:
            for step in self.play(prepared.request):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    self.sent += 1
                    yield step
        finally:
            self.closed += 1

    async def close(self) -> None:
        """Nothing to let go of."""


def plays(*steps: Step, **more: Any) -> Player:
    """A backend that always plays the same."""
    return Player(lambda _: steps, **more)


def says(*pieces: str) -> Player:
    """A backend that says a text in pieces."""
    return plays(*(Text(0, piece) for piece in pieces), STOP)


def fails(*arguments: Any, **more: Any) -> Player:
    """A backend that fails before it has said anything."""
    return plays(BackendError(*arguments, **more))


@dataclass
class Scene:
    """A gateway with a door, and all calls that were recorded."""

    gateway: Gateway
    door: Door
    calls: list[Call]
    client: AsyncOpenAI

    async def call(self) -> Call:
        """The one call, when it is recorded."""
        await self.gateway.settled(self.door.owner)
        (call,) = self.calls
        return call


@asynccontextmanager
async def gateway(
    backend: Backend, *, spec: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Scene]:
    """A gateway before a backend; the client is the official SDK, without retries."""
    calls: list[Call] = []
    described = BackendSpec(adapter=lambda _: backend, model="m", **(spec or {}))
    async with Gateway(backend, described, record=calls.append, **options) as running:
        door = running.open("trial 1")
        async with sdk(door.url, door.key) as client:
            yield Scene(running, door, calls, client)


def sdk(url: str, key: str, **more: Any) -> AsyncOpenAI:
    """The official client; by default it does not retry."""
    options = {"max_retries": 0, "timeout": 10, **more}
    return AsyncOpenAI(base_url=url, api_key=key, **options)
