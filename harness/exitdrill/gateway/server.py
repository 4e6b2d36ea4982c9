"""The gateway itself: a server on loopback, its doors, and the calls that are under way."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from aiohttp import HttpVersion11, web

from exitdrill.backend import Backend, Timeouts
from exitdrill.errors import DrillStopped
from exitdrill.gateway.answer import About, Manner
from exitdrill.gateway.call import Call
from exitdrill.gateway.doors import HEADER, Door, Doors, check_host, split_path
from exitdrill.gateway.endpoints import ENDPOINTS, Endpoint
from exitdrill.gateway.envelope import NO_RETRY, Envelope, Refused
from exitdrill.gateway.incoming import read_body
from exitdrill.gateway.models import Models
from exitdrill.gateway.sending import Sender, json_response
from exitdrill.gateway.serving import Serving, prepare
from exitdrill.records import Exchange, Failure
from exitdrill.scenario import BackendSpec

MOST_BYTES = 16 * 1024 * 1024
MOST_AT_ONCE = 1000
"""Calls under way; an app that asks for more is told to wait."""
_DEFECT = Envelope(
    500,
    "a defect in the drill or in one of its adapters; the drill says which",
    type="server_error",
    code="defect",
    headers=NO_RETRY,
)
_PATH_LENGTH = 200
_BACKLOG = 512
_PARTING = 0.1
"""Seconds that connections get to end by themselves, when no call is under way any more."""
_AFTERWARDS = 5.0
"""Seconds that a call gets, when it is to end, for what follows its answer (a count, say)."""
_LINGER = 2.0
"""Seconds for which the rest of a body is read that was refused: who still sends hears nothing."""

# aiohttp would log tracebacks and, of malformed requests, their first bytes.
_SILENT = logging.Logger("exitdrill.gateway", logging.CRITICAL + 1)

Record = Callable[[Call], None]
Admit = Callable[[Call], Awaitable[None]]


class Gateway:
    """A started backend as an OpenAI-compatible endpoint on loopback.

        async with Gateway(backend, spec, record=calls.append) as gateway:
            door = gateway.open("trial 7")
            …  # an app with OPENAI_BASE_URL=door.url and OPENAI_API_KEY=door.key
            await gateway.shut(door)

    ``record`` gets every call that came, once it is over. ``admit`` is awaited with a call before
    that goes to the backend; where it raises `DrillStopped` (a spent budget) that is the answer.
    Only the ``models`` named are served: by default that of the ``spec``, whose timeouts, price and
    allowed edits are in force; with None, any. A call is one attempt: retries are the app's.

    What goes wrong in a backend or in ``record`` by a defect is told to the app as an error, and
    raised when the gateway closes; `defect` has the first.
    """

    def __init__(
        self,
        backend: Backend,
        spec: BackendSpec,
        *,
        record: Record,
        admit: Admit | None = None,
        models: Sequence[str] | None = (),
        manner: Manner = Manner(),  # noqa: B008  frozen
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.defect: Exception | None = None
        self._backend = backend
        self._spec = spec
        self._timeouts = Timeouts(**spec.timeouts.model_dump())
        self._give = record
        self._admit = admit
        self._models = Models((spec.model,) if models == () else models)
        self._manner = manner
        self._most_bytes = most_bytes
        self._doors = Doors()
        self._under_way: dict[asyncio.Task[None], Serving] = {}
        self._waiting = 0
        self._runner: web.ServerRunner | None = None
        self.origin = ""

    @property
    def url(self) -> str:
        """The base URL of calls that are nobody's in particular; they need the `key` as well."""
        return f"{self.origin}/v1"

    @property
    def key(self) -> str:
        """What every call has to bring as its API key; drawn anew for each gateway."""
        return self._doors.key

    # --- its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
        if self.defect is not None and error is None:
            raise self.defect

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        server = web.Server(
            self._handle,
            handler_cancellation=True,  # whoever hangs up is not answered any more
            access_log=None,
            logger=_SILENT,
            auto_decompress=False,
            lingering_time=_LINGER,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_PARTING)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=_BACKLOG).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """End all calls that are under way, and stop. Safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await self._end(dict(self._under_way))
        await runner.cleanup()

    # --- its doors

    def open(self, owner: str, token: str | None = None) -> Door:
        """A way in of somebody's own: a base URL with a token in its path.

        With the ``token`` of another gateway's door, one header leads in at both.
        """
        if self._runner is None:
            raise RuntimeError("open() before start()")
        return self._doors.open(owner, self.origin, token)

    def assign(self, door: Door, owner: str) -> None:
        """Make the calls that come through a door from now on somebody else's.

        For an app that runs on while one trial follows the other.
        """
        self._doors.assign(door, owner)

    async def settled(self, owner: str | None) -> None:
        """Wait until no call of somebody's is under way: all of them are recorded then."""
        while calls := self._calls_of(owner):
            await asyncio.wait(calls)

    async def shut(self, door: Door) -> None:
        """Let nobody in there any more, and end what its owner has under way."""
        owner = self._doors.owner(door.token)
        self._doors.shut(door)
        if owner is not None:
            await self._end(self._calls_of(owner))

    def _calls_of(self, owner: str | None) -> dict[asyncio.Task[None], Serving]:
        calls = self._under_way.items()
        return {task: serving for task, serving in calls if serving.call.owner == owner}

    async def _end(self, calls: Mapping[asyncio.Task[None], Serving]) -> None:
        """End calls; one whose client has everything may complete its record first."""
        tasks = set(calls)
        for task, serving in calls.items():
            if not serving.sender.response.done():
                task.cancel()
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=_AFTERWARDS)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- one call

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        _, path = split_path(request.path)
        call = Call(
            owner=self._doors.owner(_token(request)),
            id=f"req_{secrets.token_hex(12)}",
            path=path[:_PATH_LENGTH],
            received_ns=time.monotonic_ns(),
            status=0,
            request=None,
            exchange=Exchange(),
        )
        try:
            if request.version < HttpVersion11:
                raise Refused(505, "HTTP/1.1 is needed here")
            check_host(request.headers)
            self._doors.check_key(request.headers)
            self._check_owner(request, call.owner)
            if (listed := self._models.at(request.method, path)) is not None:
                return json_response(200, listed, call.id)
            return await self._bounded(request, call, _endpoint(request.method, path))
        except Refused as refused:
            return self._refuse(call, refused)
        except Exception as error:  # a defect of an adapter, of who admits, or ours
            self._note(error)
            return _json(call, _DEFECT)

    def _refuse(self, call: Call, refused: Refused) -> web.Response:
        """Say no, and record it where it was somebody of the drill's who asked."""
        envelope = refused.envelope
        if refused.kind != "auth" or call.owner is not None:
            exchange = Exchange(failure=Failure.of(refused.error))
            self._record(replace(call, status=envelope.status, exchange=exchange))
        return _json(call, envelope)

    def _check_owner(self, request: web.BaseRequest, owner: str | None) -> None:
        """Refuse what comes through a door that is not there, or is not any more: it has the key,
        so it is on record."""
        token = _token(request)
        if token is not None and (owner is None or self._doors.owner(token) is None):
            message = "this base URL, or header, is no trial's, or its trial is over"
            raise Refused(404, message, kind="rejected")

    async def _bounded(
        self, request: web.BaseRequest, call: Call, endpoint: Endpoint
    ) -> web.StreamResponse:
        if self._waiting >= MOST_AT_ONCE:
            message = f"{MOST_AT_ONCE} calls are under way already"
            raise Refused(429, message, kind="overloaded", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await self._serve(request, call, endpoint)
        finally:
            self._waiting -= 1

    async def _serve(
        self, request: web.BaseRequest, call: Call, endpoint: Endpoint
    ) -> web.StreamResponse:
        body = await read_body(request, self._most_bytes)
        received = time.monotonic_ns()
        self._check_owner(request, call.owner)
        model = self._models.check(body)
        asked, edits = endpoint.request(body)
        if asked.operation not in self._backend.operations:
            message = f"the backend has no {asked.operation}"
            raise Refused(404, message, code="unknown_url", kind="unsupported")
        prepared = prepare(self._backend, asked, edits)
        call = replace(call, received_ns=received, request=asked)
        try:
            await self._admitted(call)
            self._check_owner(request, call.owner)  # that may have taken a while
        except Refused as refused:
            return self._refuse(call, refused)
        about = About(
            id=f"{endpoint.prefix}{secrets.token_hex(12)}",
            created=int(time.time()),
            model=model,
            body=body,
            choices=len(prepared),
            manner=self._manner,
        )
        serving = Serving(
            backend=self._backend,
            spec=self._spec,
            timeouts=self._timeouts,
            record=self._record,
            sender=Sender(request, call.id),
            answer=endpoint.answer(about),
            prepared=prepared,
            streamed=bool(body.get("stream")),
            call=call,
        )
        return await self._answered(serving)

    async def _answered(self, serving: Serving) -> web.StreamResponse:
        """The response, when the client has all of it; the exchange may go on a little longer."""
        task = asyncio.create_task(self._run(serving))
        self._under_way[task] = serving
        task.add_done_callback(self._under_way.pop)
        try:
            return await serving.sender.response
        except asyncio.CancelledError:  # the client hung up
            task.cancel()
            raise

    async def _run(self, serving: Serving) -> None:
        sender = serving.sender
        try:
            await serving.run()
        except Exception as error:  # a defect of an adapter, somebody's or ours
            self._note(error)
            if not sender.begun:
                sender.refuse(_DEFECT)
        finally:
            sender.response.cancel()  # unless it is done: who waits for it is cut off

    def _record(self, call: Call) -> None:
        try:
            self._give(call)
        except Exception as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self.defect = self.defect or error

    async def _admitted(self, call: Call) -> None:
        if self._admit is None:
            return
        try:
            await self._admit(call)
        except DrillStopped as error:
            code = "insufficient_quota"
            raise Refused(429, str(error), code=code, kind="rejected") from None


def _token(request: web.BaseRequest) -> str | None:
    """What says whose a call is."""
    return split_path(request.path)[0] or request.headers.get(HEADER)


def _json(call: Call, envelope: Envelope) -> web.Response:
    return json_response(envelope.status, envelope.document(), call.id, envelope.headers)


def _endpoint(method: str, path: str) -> Endpoint:
    endpoint = ENDPOINTS.get(path)
    if endpoint is None:
        message = f"unknown request URL: {method} {path[:_PATH_LENGTH]}"
        raise Refused(404, message, code="unknown_url", kind="unsupported")
    if method != "POST":
        message, headers = f"{path} takes POST, not {method}", {"Allow": "POST"}
        raise Refused(405, message, code="method_not_supported", headers=headers)
    return endpoint
