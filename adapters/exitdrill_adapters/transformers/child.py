"""The parent's hold on the child process: start, requests, death, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from time import perf_counter_ns
from typing import Any

from exitdrill.environment import without_secrets
from exitdrill.errors import BackendError
from exitdrill_adapters.transformers import wire

_WORKER = "exitdrill_adapters.transformers.worker"
_CHUNK = 1 << 16
_TAIL_LINES = 20
_TAIL_WIDTH = 500
_GRACE = 8.0
"""Seconds to end by itself: the current step of the model, and the interpreter's own end."""

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "PYTHONUNBUFFERED": "1",
}

_Inbox = asyncio.Queue[Mapping[str, Any] | None]


class Child:
    """A running worker. Belongs to the event loop that spawned it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None
        # So that waiting for the pipe means: until it has taken everything.
        process.stdin.transport.set_write_buffer_limits(high=0)
        self._inboxes: dict[int, _Inbox] = {}
        self._next_id = wire.LOADING + 1
        self._death: str | None = None
        self._closing = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._errors = asyncio.create_task(self._keep_tail())
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls) -> Child:
        """Start a worker; it waits for what it has to load."""
        # -P: no file of the user's working directory may pass for torch or transformers. A session
        # of its own: Ctrl-C belongs to the parent, which then closes the child in good order.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", _WORKER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # It goes nowhere, so it needs no keys.
            env={**without_secrets(os.environ), **_ENVIRONMENT},
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def load(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load the model; the child's facts about it."""
        inbox = self._register(wire.LOADING)
        await self._send({"op": "load", **settings})
        facts = await self._next(inbox)
        del self._inboxes[wire.LOADING]
        return dict(facts["facts"])

    async def exchange(
        self, body: Mapping[str, Any]
    ) -> AsyncGenerator[tuple[int, wire.Message], None]:
        """Send one request; its messages, each with the moment at which the request was sent."""
        request_id, self._next_id = self._next_id, self._next_id + 1
        inbox = self._register(request_id)
        finished = False
        try:
            sent = await self._send({"op": "request", "id": request_id, "body": body})
            while not finished:
                message = await self._next(inbox)
                finished = message["e"] == "Finish"
                yield sent, message
        except BackendError:
            finished = True
            raise
        finally:
            del self._inboxes[request_id]
            if not finished:
                self._write({"op": "cancel", "id": request_id})

    async def close(self) -> None:
        """End the child, asking first. Whatever is under way ends as crashed."""
        self._closing = True
        self._write({"op": "close"})
        if self._process.stdin is not None:
            self._process.stdin.close()
        for end in (None, signal.SIGTERM, signal.SIGKILL):
            if end is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(end)
            if await self._ended(_GRACE if end is None else _GRACE / 2):
                break
        await asyncio.gather(self._reader, self._errors, return_exceptions=True)

    # --- inside ----------------------------------------------------------------------------------

    def _register(self, request_id: int) -> _Inbox:
        self._check_alive()
        inbox = self._inboxes[request_id] = asyncio.Queue()
        return inbox

    def _check_alive(self) -> None:
        if self._death is not None:
            raise BackendError("crashed", self._death)

    async def _next(self, inbox: _Inbox) -> Mapping[str, Any]:
        message = await inbox.get()
        if message is None:
            self._check_alive()
            raise BackendError("crashed", "the model's process ended")
        if message["e"] == "error":
            raise BackendError(message["kind"], message["message"])
        return message

    def _write(self, message: wire.Message) -> None:
        stdin = self._process.stdin
        if self._death is None and stdin is not None and not stdin.is_closing():
            stdin.write(wire.line(message))

    async def _send(self, message: wire.Message) -> int:
        """Write a message; the moment at which it was in the pipe."""
        # Before the write: the child may well run before we do again. The clock may lose the
        # microseconds of the pipe, but no event can come out later than it was.
        sent = perf_counter_ns()
        self._write(message)
        stdin = self._process.stdin
        if stdin is not None and stdin.transport.get_write_buffer_size():
            # A broken pipe is the child's death, which the reader reports with its cause.
            with contextlib.suppress(ConnectionError):
                await stdin.drain()
            sent = perf_counter_ns()
        return sent

    async def _read(self) -> None:
        assert self._process.stdout is not None
        lines, noise = wire.Lines(), ""
        try:
            while chunk := await self._process.stdout.read(_CHUNK):
                for message in lines.feed(chunk):
                    if inbox := self._inboxes.get(message["r"]):
                        inbox.put_nowait(message)
        except (ValueError, KeyError) as error:
            # Only our own code writes to this pipe: whatever came was not meant for us.
            noise = f"it broke the protocol ({error}); "
            self._process.kill()
        status = await self._process.wait()
        # What it said last explains its death; another process may hold the pipe open, though.
        await asyncio.wait({self._errors}, timeout=1.0)
        self._death = noise + self._obituary(status)
        for inbox in self._inboxes.values():
            inbox.put_nowait(None)

    def _obituary(self, status: int) -> str:
        if self._closing:
            return "the model's process was closed"
        text = f"the model's process ended with exit code {status}"
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else "?"
            text = f"the model's process was killed by signal {-status} ({name})"
        if status == -signal.SIGKILL:
            text += ", as the kernel does when memory runs out: try a smaller model or batch_size"
        return f"{text}; it said last: {' | '.join(self._tail)}" if self._tail else text

    async def _keep_tail(self) -> None:
        assert self._process.stderr is not None
        rest = ""
        while chunk := await self._process.stderr.read(_CHUNK):
            *whole, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
            self._tail.extend(text[:_TAIL_WIDTH] for text in whole if text.strip())
            rest = rest[:_TAIL_WIDTH]
        if rest.strip():
            self._tail.append(rest)

    async def _ended(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True
