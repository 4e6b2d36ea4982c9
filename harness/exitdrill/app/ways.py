"""The ways from an app to its models: a gateway to its arm's backend, and one to what it has left.

In a candidate's trial both are open. A call that still goes to the incumbent is recorded and
answered with an error, so that nothing is paid for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from exitdrill import builtin
from exitdrill.app.calls import Ledger
from exitdrill.app.places import PLACE, Role
from exitdrill.backend import Backend, Description, Event, Operation, Prepared, Request
from exitdrill.errors import BackendError
from exitdrill.gateway import Door, Gateway
from exitdrill.scenario import BackendSpec

_SETTLE_SECONDS = 5.0
"""For calls that are under way when the app has answered."""


class LeftBehind:
    """The incumbent, as long as a candidate's app is run: it is there, and does not answer."""

    operations: frozenset[Operation] = frozenset({"chat", "completion", "embedding"})
    local = True

    def prepare(self, request: Request) -> Prepared:
        """The request as it is."""
        return Prepared(request, request.body)

    async def start(self) -> Description:
        """Nothing to make ready."""
        return Description(adapter="left_behind", model="")

    async def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        """Nothing but the error."""
        message = "this call went to the incumbent, which the app was to have left"
        raise BackendError("left_behind", message, status=410)
        yield  # which makes it a stream

    async def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What an app is told of its backends: by role, the way in and the model's name."""

    doors: Mapping[Role, Door]
    models: Mapping[Role, str]

    def fill(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment with its places filled; what names a backend that is not there is out."""
        return {
            name: PLACE.sub(self._place, value)
            for name, value in environment.items()
            if all(found[1] in self.doors for found in PLACE.finditer(value))
        }

    @property
    def token(self) -> str:
        """What the app passes on as a header: the same for all backends."""
        return next(iter(self.doors.values())).token

    @property
    def secrets(self) -> list[str]:
        """What lets somebody in."""
        return [text for door in self.doors.values() for text in (door.key, door.token)]

    @property
    def ports(self) -> list[int]:
        """Where the gateways listen."""
        return [urlsplit(door.url).port or 0 for door in self.doors.values()]

    def _place(self, found: re.Match[str]) -> str:
        role: Role = "incumbent" if found[1] == "incumbent" else "candidate"
        if found[2] == "model":
            return self.models[role]
        door = self.doors[role]
        return door.url if found[2] == "url" else door.key


class Ways:
    """The gateways of one arm."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        specs: Mapping[str, BackendSpec],
        incumbent: str,
        ledger: Ledger,
    ) -> None:
        there: dict[Role, tuple[str, Backend]] = {}
        if name == incumbent:
            there["incumbent"] = (name, backend)
        else:
            there["incumbent"] = (incumbent, LeftBehind())
            there["candidate"] = (name, backend)
        self._models: dict[Role, str] = {
            role: served_model(specs[to].model) for role, (to, _) in there.items()
        }
        self._gateways: dict[Role, Gateway] = {
            role: Gateway(
                each,
                specs[to],
                record=partial(ledger.record, to),
                admit=partial(ledger.admit, to),
                models=None if isinstance(each, LeftBehind) else (self._models[role],),
            )
            for role, (to, each) in there.items()
        }

    async def __aenter__(self) -> Ways:
        for gateway in self._gateways.values():
            await gateway.start()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        for gateway in self._gateways.values():
            await gateway.close()
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise the first defect, of an adapter or ours, that calls came upon."""
        for gateway in self._gateways.values():
            if gateway.defect is not None:
                raise gateway.defect

    @property
    def keys(self) -> list[str]:
        """The keys of the gateways: nothing that is kept may hold them."""
        return [gateway.key for gateway in self._gateways.values()]

    @property
    def common(self) -> Entrance:
        """The ways in for an app that names its trials by a header."""
        doors = {role: Door("", each.url, each.key, "") for role, each in self._gateways.items()}
        return Entrance(doors, self._models)

    def open(self, owner: str) -> Entrance:
        """Let an app in, in the name of a trial."""
        doors: dict[Role, Door] = {}
        token: str | None = None
        for role, gateway in self._gateways.items():
            doors[role] = gateway.open(owner, token)
            token = doors[role].token
        return Entrance(doors, self._models)

    def assign(self, entrance: Entrance, owner: str) -> None:
        """Let an app that runs on in again, in the name of another trial."""
        for role, gateway in self._gateways.items():
            gateway.assign(entrance.doors[role], owner)

    async def shut(self, entrance: Entrance, owner: str) -> None:
        """Let nobody in there any more; what is under way gets a moment to end, and is ended."""
        await self.settled(owner)
        for role, gateway in self._gateways.items():
            await gateway.shut(entrance.doors[role])

    async def settled(self, owner: str | None) -> None:
        """Wait a moment for the calls of somebody's that are under way; None: of nobody's."""
        for gateway in self._gateways.values():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await gateway.settled(owner)


def served_model(model: str) -> str:
    """What a model is called by an app: its name, and not where its weights are."""
    return model.removeprefix("{models}/").replace("{models}", builtin.models())
