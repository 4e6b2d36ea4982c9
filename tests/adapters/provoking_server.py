"""An OpenAI-compatible server that does, on demand, what a real one does once a month.

    async with ProvokingServer() as server:
        server.answer(sse(chunk("Hel"), chunk("lo"), chunk(finish="stop"), DONE))
        server.answer(Answer(status=429, headers={"Retry-After": "7"}, body=[b"slow down"]))
        …  # requests to server.url
        assert server.requests[0].body["model"] == "m"

Answers are given in the order in which they were scripted; the last one is given for ever. A body
is a list of steps: bytes are written (and flushed, so that they arrive as one piece), a float
pauses for so many seconds, DROP cuts the connection, HANG says nothing until the client leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web

DONE = "[DONE]"
DROP: Literal["drop"] = "drop"
HANG: Literal["hang"] = "hang"
Step = bytes | float | Literal["drop", "hang"]


@dataclass(frozen=True)
class Answer:
    """One scripted answer."""

    body: Sequence[Step] = ()
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def sse(*payloads: dict[str, Any] | str, together: bool = False) -> Answer:
    """A stream of events, each written by itself, or all ``together`` in one piece."""
    events = [
        f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n".encode()
        for payload in payloads
    ]
    return Answer([b"".join(events)] if together else events)


def reply(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON response in one piece."""
    text = json.dumps(body).encode()
    return Answer(
        [text], status, "application/json", {k.replace("_", "-"): v for k, v in headers.items()}
    )


def chunk(content: Any = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    if content is not None:
        delta["content"] = content
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(given: int, out: int, **more: Any) -> dict[str, Any]:
    """A usage chunk, which has no choices."""
    counts = {"prompt_tokens": given, "completion_tokens": out, **more}
    return {"choices": [], "usage": counts}


class ProvokingServer:
    """The server; an async context manager. ``url`` is the endpoint for a backend."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.abandoned = asyncio.Event()
        """Set when a client leaves before its answer is whole."""
        self.connections: set[Any] = set()
        """The client's side of every connection that a scripted answer went over."""
        self.models: Answer | None = reply({"object": "list", "data": [{"id": "m"}]})
        """What GET answers; None drops the connection."""
        self.told: dict[str, Answer] = {}
        """What other paths answer, to GET or POST; else a GET answers as above."""
        self._script: list[Answer] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    def answer(self, *answers: Answer) -> None:
        """Script the next answers."""
        self._script.extend(answers)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        app.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self._record(request, None)
        return await self._give(request, self.told.get(request.path, self.models or Answer([DROP])))

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self._record(request, await request.json())
        if not request.path.startswith("/v1/"):
            return await self._give(request, self.told.get(request.path, Answer(status=404)))
        if request.transport is not None:
            self.connections.add(request.transport.get_extra_info("peername"))
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        try:
            return await self._give(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned.set()
            raise

    def _record(self, request: web.Request, body: Any) -> None:
        self.requests.append(Received(request.method, request.path, dict(request.headers), body))

    async def _give(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        steps = list(answer.body)
        if steps[:1] in ([DROP], [HANG]):  # before the headers
            await _act(request, steps[0])
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.content_type
        await response.prepare(request)
        for step in steps:
            if isinstance(step, bytes):
                await response.write(step)
                await asyncio.sleep(0.002)  # lets the client take it as a piece of its own
            else:
                await _act(request, step)
        await response.write_eof()
        return response


async def _act(request: web.Request, step: Step) -> None:
    if isinstance(step, float):
        await asyncio.sleep(step)
    elif step == HANG:
        await asyncio.Event().wait()
    else:
        assert request.transport is not None
        request.transport.close()
        raise ConnectionResetError
