"""An OpenAI-compatible server on loopback that streams one scripted answer.

    python loopback.py --first 0.05 --gap 0.02 --tokens 20

It prints its port, and ends when its standard input closes (so with whoever started it), or after
ten minutes. It shall never be what a benchmark waits for: a bare `asyncio.Protocol`, whose chunks
were encoded beforehand. Each token is a write of its own; the headers go out at once, as those of
servers do that compute while they stream. Whoever asks for no stream gets the whole answer when
the first token would come. ``GET /log`` tells of each answer when its request was there and when
its first byte of content was written, in nanoseconds on the monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

LIFE = 600.0
"""Seconds."""
LONGEST = 1_000_000
"""Bytes of a request."""
MOST_NOTES = 200_000
Note = tuple[str, str, int, int]
"""An answer: its model, the last message, when that was received, when the first token went out."""
WORDS = "We have your ticket and one of us will look at it before noon so please wait a little now"
STREAM = (
    b"HTTP/1.1 200 OK\r\nServer: loopback\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
WHOLE = (
    "HTTP/1.1 200 OK\r\nServer: loopback\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\n\r\n"
)


@dataclass(frozen=True)
class Script:
    """What is said, and when: seconds to the first token and between two; every event encoded."""

    first: float
    gap: float
    tokens: tuple[bytes, ...]
    end: bytes
    whole: bytes

    @classmethod
    def of(cls, first: float, gap: float, count: int) -> Script:
        """The script of an answer of so many tokens."""
        words = list(islice(cycle(WORDS.split()), count))
        usage = {"prompt_tokens": 40, "completion_tokens": count, "total_tokens": 40 + count}
        message = {"role": "assistant", "content": "".join(f"{word} " for word in words)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return cls(
            first,
            gap,
            tuple(_chunk(_event({"content": f"{word} "}, None)) for word in words),
            _chunk(_event({}, "stop"))
            + _chunk(_sse({**_head("chat.completion.chunk"), "choices": [], "usage": usage}))
            + _chunk(b"data: [DONE]\n\n")
            + b"0\r\n\r\n",
            _json({**_head("chat.completion"), "choices": [choice], "usage": usage}),
        )


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_764_000_000, "model": "m"}


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _sse({**_head("chat.completion.chunk"), "choices": [choice]})


def _sse(payload: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _json(payload: Any) -> bytes:
    body = json.dumps(payload).encode()
    return WHOLE.format(len(body)).encode() + body


class Connection(asyncio.Protocol):
    """One client's connection: a request after the other."""

    def __init__(self, script: Script, notes: list[Note]) -> None:
        self._script = script
        self._notes = notes
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, mark, rest = self._received.partition(b"\r\n\r\n")
        if not mark:
            return
        size = _content_length(head)
        if size > LONGEST and self._transport:
            self._transport.close()
        if len(rest) >= size:
            self._received = rest[size:]
            self._answer(bytes(head), bytes(rest[:size]))

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"POST"):
            self._say(json.loads(body))
        elif head.startswith(b"GET /log"):
            self._transport.write(_json(self._notes))
        else:
            self._transport.write(_json({"object": "list", "data": [{"id": "m"}]}))

    def _say(self, body: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        about = (str(body.get("model")), _last_words(body), time.monotonic_ns())
        due = loop.time() + self._script.first
        streamed = bool(body.get("stream"))
        if streamed:
            self._write(STREAM)
        loop.call_at(due, self._begin, due, about, streamed)

    def _begin(self, due: float, about: tuple[str, str, int], streamed: bool) -> None:
        # Before the write: no client can have read the token earlier.
        if len(self._notes) < MOST_NOTES:
            self._notes.append((*about, time.monotonic_ns()))
        if streamed:
            self._next(due, 0)
        else:
            self._write(self._script.whole)

    def _next(self, due: float, number: int) -> None:
        while number < len(self._script.tokens):
            self._write(self._script.tokens[number])
            number += 1
            if self._script.gap:
                due += self._script.gap
                asyncio.get_running_loop().call_at(due, self._next, due, number)
                return
        self._write(self._script.end)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _content_length(head: bytes | bytearray) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _last_words(body: dict[str, Any]) -> str:
    messages: Sequence[dict[str, Any]] = body.get("messages") or [{}]
    return str(messages[-1].get("content"))


async def serve(script: Script) -> None:
    """Serve until standard input closes, ten minutes at most."""
    loop = asyncio.get_running_loop()
    notes: list[Note] = []
    server = await loop.create_server(
        lambda: Connection(script, notes), "127.0.0.1", 0, backlog=512
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin, gone.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(gone.wait(), LIFE)
    os._exit(0)  # whatever is still being said


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Serves one scripted answer on loopback.")
    parser.add_argument("--first", type=float, default=0.05)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=20)
    given = parser.parse_args()
    asyncio.run(serve(Script.of(given.first, given.gap, given.tokens)))


if __name__ == "__main__":
    main()
