"""Who may come in, what may be sent, and who may leave when: the gateway on the wire itself."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.harness.gateways import HI, STOP, Player, Scene, gateway, plays, says

from exitdrill.backend import Text
from exitdrill.gateway import incoming, server

BODY: dict[str, Any] = {"model": "m", "messages": HI}
CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with gateway(says("Hello"), most_bytes=100_000) as scene:
        yield scene


async def post(
    scene: Scene,
    path: str = CHAT,
    *,
    method: str = "POST",
    headers: Mapping[str, Any] | None = None,
    content: Any = None,
) -> httpx.Response:
    sent = {"Authorization": f"Bearer {scene.gateway.key}", **JSON, **(headers or {})}
    body = json.dumps(BODY).encode() if content is None else content
    async with httpx.AsyncClient(base_url=scene.gateway.origin) as client:
        return await client.request(method, path, headers=sent, content=body)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The envelope, which every answer but a good one has."""
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["x-request-id"].startswith("req_")
    (name,) = response.json()
    assert name == "error"
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


# --- who may come in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer wrong", "Basic {key}", "{key}", "Bearer {key}x", "Bearer é"],
)
async def test_only_the_drills_key_opens(scene: Scene, given: str) -> None:
    header = given.replace("{key}", scene.gateway.key).encode()
    response = await post(scene, headers={"Authorization": header})
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert scene.gateway.key not in response.text
    assert scene.calls == []


async def test_a_wrong_key_at_a_trials_door_is_on_its_record(scene: Scene) -> None:
    path = f"/t/{scene.door.token}{CHAT}"
    response = await post(scene, path, headers={"Authorization": "Bearer sk-of-a-vendor"})
    assert response.status_code == 401
    (call,) = scene.calls
    assert (call.owner, call.path, call.request) == ("trial 1", CHAT, None)
    assert call.exchange.failure
    assert call.exchange.failure.kind == "auth"
    assert "sk-of-a-vendor" not in repr(scene.calls)


async def test_keys_are_drawn_anew_and_not_shown(scene: Scene) -> None:
    async with gateway(says("x")) as other:
        assert other.gateway.key != scene.gateway.key
        assert len(other.gateway.key) > 40
    assert scene.door.key not in repr(scene.door)
    assert scene.door.token not in repr(scene.door)


@pytest.mark.parametrize("token", ["", "x", "%00", "é"])
async def test_a_token_that_is_nobodys(scene: Scene, token: str) -> None:
    response = await post(scene, f"/t/{token}{CHAT}")
    assert response.status_code == 404
    assert scene.door.token not in error_of(response)["message"]
    (call,) = scene.calls
    assert (call.owner, call.request) == (None, None), "it had the key: somebody has to count it"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:81", 200),
        ("localhost:81", 200),
        ("LOCALHOST", 200),
        ("[::1]:81", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:81", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
async def test_only_names_of_loopback(scene: Scene, host: str, status: int) -> None:
    response = await post(scene, headers={"Host": host})
    assert response.status_code == status
    assert not any(name.startswith("access-control") for name in response.headers)
    if status == 403:
        assert error_of(response)["code"] == "host_not_allowed"
        assert scene.calls == []


async def test_no_page_of_another_origin_gets_leave(scene: Scene) -> None:
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    response = await post(scene, method="OPTIONS", headers=asks)
    assert response.status_code == 405
    assert not any(name.startswith("access-control") for name in response.headers)


def test_nobody_outside_this_machine_is_listened_to() -> None:
    async def address() -> tuple[str, int]:
        async with gateway(says("x")) as scene:
            host, _, port = scene.gateway.origin.removeprefix("http://").partition(":")
            return host, int(port)

    assert asyncio.run(address())[0] == "127.0.0.1"


# --- what may be sent ---------------------------------------------------------------------------


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("content", "status", "param", "words"),
    [
        (b"", 400, None, "not valid JSON"),
        (b'{"model": "m"', 400, None, "not valid JSON"),
        (b"[1]", 400, None, "must be a JSON object"),
        (b'{"model": "m", "model": "n"}', 400, None, "stands twice"),
        (b'{"temperature": NaN}', 400, None, "NaN is not JSON"),
        (b"\xff\xfe", 400, None, "not UTF-8"),
        (deep(500), 400, None, "nested too deeply"),
        (deep(15_000), 400, None, "nested too deeply"),
        (b"[" * 90_000, 400, None, "nested too deeply"),
        (b"{}", 400, "model", "provide a model"),
        (b'{"model": 1}', 400, "model", "provide a model"),
        (b'{"model": "m"}', 400, "messages", "messages must be a list"),
        (b'{"model": "m", "messages": []}', 400, "messages", "at least one"),
        (b'{"model": "m", "messages": [1]}', 400, "messages[0]", "must be an object"),
        (
            json.dumps(BODY | {"max_tokens": -1}).encode(),
            400,
            "max_tokens",
            "whole number",
        ),
        (json.dumps(BODY | {"stream": "yes"}).encode(), 400, "stream", "true or false"),
        (
            json.dumps(BODY | {"stream_options": {"include_usage": True}}).encode(),
            400,
            "stream_options",
            "only go with stream",
        ),
        (b" " * 100_001, 413, None, "larger than 100,000 bytes"),
    ],
)
async def test_bodies(
    scene: Scene, content: bytes, status: int, param: str | None, words: str
) -> None:
    response = await post(scene, content=content)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (status, param)
    assert words in error["message"]
    (call,) = scene.calls
    assert (call.status, call.request, call.exchange.attempts) == (status, None, ())


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_only_plain_json(scene: Scene, headers: dict[str, str]) -> None:
    response = await post(scene, content=json.dumps(BODY).encode(), headers=headers)
    assert response.status_code == 415
    error_of(response)


async def test_a_body_without_end_is_not_read_to_it(scene: Scene) -> None:
    sent, pieces = 0, 1_000_000

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(pieces):
            sent += 1
            yield b" " * 65_536

    try:
        response = await post(scene, content=endless())
        assert response.status_code == 413
    except httpx.NetworkError:
        pass  # still sending when the connection was closed
    assert sent < pieces


async def test_a_body_that_does_not_come(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "READ_SECONDS", 0.1)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {scene.gateway.key}\r\nContent-Length: 100\r\n\r\n{{"
    )
    async with raw(scene) as (reader, writer):
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n")
        assert b"408" in answer


async def test_a_large_body_is_fine_and_asks_for_leave() -> None:
    large = json.dumps(BODY | {"user": "x" * 2_000_000}).encode()
    async with gateway(says("x")) as scene, raw(scene) as (reader, writer):
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {scene.gateway.key}\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(large)}\r\n\r\n"
        )
        writer.write(head.encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(large)
        assert (await reader.readuntil(b"\r\n")).endswith(b"200 OK\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 404),
        ("POST", "/v1/assistants", 404),
        ("GET", "/", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v1/responses/resp_1", 404),
        ("DELETE", "/v1/models/m", 404),
    ],
)
async def test_other_places(scene: Scene, method: str, path: str, status: int) -> None:
    response = await post(scene, path, method=method)
    assert response.status_code == status
    error_of(response)
    assert response.headers.get("allow") == ("POST" if status == 405 else None)


async def test_a_body_that_comes_when_the_trial_is_over(scene: Scene) -> None:
    head, _, body = streaming(scene).partition(b"\r\n\r\n")
    async with raw(scene) as (reader, writer):
        writer.write(head + b"\r\n\r\n")
        await asyncio.sleep(0.1)
        await scene.gateway.shut(scene.door)
        writer.write(body)
        assert b" 404 " in await reader.readuntil(b"\r\n")


async def test_a_flood_is_told_to_wait(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_AT_ONCE", 1)
    head, _, body = streaming(scene).partition(b"\r\n\r\n")
    async with raw(scene) as (reader, writer):
        writer.write(head + b"\r\n\r\n")
        await asyncio.sleep(0.1)
        refused = await post(scene)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        writer.write(body)
        assert b" 200 " in await reader.readuntil(b"\r\n")


async def test_a_body_that_is_cut_wrongly(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "READ_SECONDS", 0.5)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {scene.gateway.key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with raw(scene) as (reader, writer):
        writer.write(head.encode())
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\nnonsense\r\n")
        status = (await reader.readuntil(b"\r\n")).split()[1]
        assert status in (b"400", b"408")
    assert scene.gateway.defect is None


async def test_what_is_too_old(scene: Scene) -> None:
    async with raw(scene) as (reader, writer):
        writer.write(streaming(scene).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b" 505 " in await reader.readuntil(b"\r\n")


async def test_what_is_no_http(scene: Scene) -> None:
    async with raw(scene) as (reader, writer):
        writer.write(b"\x00\x01secret-bytes\r\n\r\n")
        assert b"400" in await reader.readuntil(b"\r\n")
    response = await post(scene)
    assert response.status_code == 200


async def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens: list[str] = []

    async def drill() -> None:
        async with gateway(plays(KeyError("secret-of-an-adapter"))) as scene:
            tokens.append(scene.door.token)
            await post(scene, f"/t/{scene.door.token}{CHAT}")
            await post(scene, content=b"{secret-bytes")
            async with raw(scene) as (_, writer):
                writer.write(b"secret-bytes\r\n\r\n")
                await writer.drain()

    with pytest.raises(KeyError):
        await drill()
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    logged = "".join(record.getMessage() for record in ours)
    assert "secret" not in logged
    assert tokens[0] not in logged


# --- who may leave when -------------------------------------------------------------------------


@asynccontextmanager
async def raw(scene: Scene) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(scene.gateway.origin.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def streaming(scene: Scene) -> bytes:
    body = json.dumps(BODY | {"stream": True}).encode()
    head = (
        f"POST /t/{scene.door.token}{CHAT} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {scene.gateway.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_who_hangs_up_ends_the_work(streamed: bool) -> None:
    player = plays(Text(0, "a"), 30.0, Text(0, "b"), STOP)
    async with gateway(player) as scene:
        async with raw(scene) as (reader, writer):
            request = streaming(scene)
            if not streamed:
                request = request.replace(b'"stream": true', b'"stream":false')
            writer.write(request)
            await (reader.readuntil(b'"a"') if streamed else until(lambda: player.sent == 1))
        began = time.monotonic()
        call = await scene.call()
        assert time.monotonic() - began < 1
        assert (player.closed, player.sent, call.status) == (1, 1, 499)
        assert call.exchange.reply.text == "a"
        assert call.exchange.failure
        assert call.exchange.failure.kind == "cancelled"


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)


async def test_who_hangs_up_while_much_is_said() -> None:
    """Nothing pauses: the next write finds nobody."""

    def play(_: object) -> Any:
        while True:
            yield Text(0, "word " * 100)
            yield 0.0

    player = Player(play)
    async with gateway(player) as scene:
        async with raw(scene) as (reader, writer):
            writer.write(streaming(scene))
            await reader.readexactly(10_000)
        call = await scene.call()
        assert (player.closed, call.status) == (1, 499)


async def test_who_does_not_read_holds_the_backend_back_and_is_given_up() -> None:
    size, count = 10_000, 10_000

    def play(_: object) -> Any:
        for _ in range(count):
            yield Text(0, "x" * size)

    player = Player(play)
    timeouts = {"timeouts": {"request": 60, "gap": 0.3}}
    async with gateway(player, spec=timeouts) as scene, raw(scene) as (_, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(streaming(scene))
        await until(lambda: scene.calls)
        call = await scene.call()
        assert player.sent * size < 8_000_000, "of a hundred million"
        assert (call.status, player.closed) == (499, 1)
        assert call.exchange.failure
        assert "did not read on" in call.exchange.failure.message


async def test_a_slow_reader_gets_everything() -> None:
    pieces = [Text(0, f"{number:06d}" * 500) for number in range(1000)]
    async with gateway(plays(*pieces, STOP)) as scene, raw(scene) as (reader, writer):
        writer.write(streaming(scene))
        got = b""
        while b"[DONE]" not in got[-40:]:
            got += await reader.read(200_000)
            await asyncio.sleep(0.005)
        assert all(f"{number:06d}".encode() in got for number in range(0, 1000, 37))
        assert (await scene.call()).status == 200


async def test_the_end_of_the_gateway_is_the_end_of_its_calls() -> None:
    player = plays(Text(0, "a"), 30.0, STOP)
    async with gateway(player) as scene:
        began = time.monotonic()
        async with raw(scene) as (reader, writer):
            writer.write(streaming(scene))
            await reader.readuntil(b'"a"')
            await scene.gateway.close()
            rest = await reader.read()
        assert b"[DONE]" not in rest
        assert time.monotonic() - began < 2
        assert [call.status for call in scene.calls] == [499]
        await scene.gateway.close()
        with pytest.raises(httpx.ConnectError):
            await post(scene)


async def test_one_connection_serves_many_calls(scene: Scene) -> None:
    async with raw(scene) as (reader, writer):
        for _ in range(3):
            writer.write(streaming(scene))
            got = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert b"Hello" in got
            assert got.rstrip(b"0\r\n").endswith(b"data: [DONE]")
    await scene.gateway.settled("trial 1")
    assert len(scene.calls) == 3


async def test_a_burst_is_few_writes_and_well_formed() -> None:
    pieces = [Text(0, f"<{number}>") for number in range(300)]
    async with gateway(plays(*pieces, STOP)) as scene:
        response = await post(scene, content=json.dumps(BODY | {"stream": True}).encode())
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = response.text.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    said = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    deltas = [each["choices"][0]["delta"].get("content", "") for each in said]
    assert "".join(deltas) == "".join(piece.text for piece in pieces)
