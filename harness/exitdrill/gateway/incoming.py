"""A request's body, read with bounds and checked as far as every endpoint needs it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from exitdrill import strictjson
from exitdrill.backend import Operation
from exitdrill.gateway.envelope import Refused
from exitdrill.workload import body_problem

READ_SECONDS = 30.0
"""How long a body may take to arrive."""
_QUICK = 256 * 1024
"""Bytes that are parsed at once; for more the event loop would stand still."""
_NAMED = re.compile(r"body\.(\w+(?:\[\d+\])?(?:\.\w+)?)")


async def read_body(request: web.BaseRequest, most: int) -> dict[str, Any]:
    """The JSON object in a request of at most ``most`` bytes. Raises `Refused`."""
    _check_headers(request, most)
    try:
        async with asyncio.timeout(READ_SECONDS):
            raw = await _read(request, most)
    except TimeoutError:
        message = f"the request was not there after {READ_SECONDS:g} s"
        raise Refused(408, message, kind="timeout") from None
    except web.RequestPayloadError:
        raise Refused(400, "the body is not what its headers say") from None
    body = _parse(raw) if len(raw) <= _QUICK else await asyncio.to_thread(_parse, raw)
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _check_headers(request: web.BaseRequest, most: int) -> None:
    if request.content_type != "application/json":
        raise Refused(415, "the Content-Type must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "the body must not be compressed")
    if (request.content_length or 0) > most:
        raise _too_large(most)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: web.BaseRequest, most: int) -> bytes:
    pieces, size = [], 0
    while piece := await request.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise _too_large(most)
    return b"".join(pieces)


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body is larger than {most:,} bytes", code="request_too_large")


def _parse(raw: bytes) -> Any:
    try:
        return strictjson.loads(raw.decode())
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8", code="invalid_json") from None
    except strictjson.StrictJSONError as error:
        raise Refused(400, f"the body is {error}", code="invalid_json") from None


def check_body(operation: Operation, body: Mapping[str, Any]) -> None:
    """Raises `Refused` for what is not a request of this operation, wherever it would go."""
    problem = body_problem(operation, body)
    if problem:
        named = _NAMED.search(problem)
        raise Refused(400, problem.replace("body.", ""), param=named[1] if named else None)
    if not isinstance(body.get("stream"), bool | None):
        raise Refused(400, "stream must be true or false", param="stream")
    options = body.get("stream_options")
    if options is None:
        return
    if not isinstance(options, dict) or not body.get("stream"):
        message = "stream_options must be an object, and only go with stream"
        raise Refused(400, message, param="stream_options")
