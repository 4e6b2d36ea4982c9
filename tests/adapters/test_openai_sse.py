"""The SSE parser gives the same payloads however the bytes are cut."""

from __future__ import annotations

import random

import pytest

from exitdrill_adapters.openai.sse import SSEParser

STREAMS: dict[str, tuple[bytes, list[bytes]]] = {
    "LF": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed line ends": (b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\r", [b"a", b"b", b"c"]),
    "CRLF within one event": (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
    "several data lines": (b"data: a\ndata: b\ndata:c\n\n", [b"a\nb\nc"]),
    "comments": (b": ping\n\n:\ndata: a\n: in between\ndata: b\n\n", [b"a\nb"]),
    "other fields": (b"event: x\nid: 7\nretry: 1\ndatabase: no\ndata: a\n\n", [b"a"]),
    "no space": (b"data:a\n\n", [b"a"]),
    "only one space is taken": (b"data:  a\n\n", [b" a"]),
    "a field without a colon": (b"data\n\ndata\ndata\n\n", [b"", b"\n"]),
    "multibyte": ("data: Grüße, 日本 🎉\r\n\r\n".encode(), ["Grüße, 日本 🎉".encode()]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "end without a blank line": (b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
    "end within an event": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "nothing": (b"", []),
    "blank lines only": (b"\n\n\r\n\r\r", []),
}


def parse(pieces: list[bytes]) -> list[bytes]:
    parser = SSEParser()
    return [payload for piece in pieces for payload in parser.feed(piece)] + list(parser.close())


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_in_one_piece(name: str) -> None:
    stream, payloads = STREAMS[name]
    assert parse([stream]) == payloads


@pytest.mark.parametrize("name", STREAMS)
def test_any_two_pieces(name: str) -> None:
    stream, payloads = STREAMS[name]
    for cut in range(len(stream) + 1):
        assert parse([stream[:cut], stream[cut:]]) == payloads, cut


@pytest.mark.parametrize("name", STREAMS)
def test_every_byte_by_itself(name: str) -> None:
    stream, payloads = STREAMS[name]
    assert parse([stream[at : at + 1] for at in range(len(stream))]) == payloads


def test_random_streams_in_random_pieces() -> None:
    rng = random.Random(7)
    alphabet = [b"data:", b"data: ", b"\r", b"\n", b"\r\n", b"\n\n", b":", b"x", "é".encode(), b" "]
    for _ in range(500):
        stream = b"".join(rng.choices(alphabet, k=rng.randint(0, 40)))
        cuts = sorted(rng.choices(range(len(stream) + 1), k=rng.randint(0, 8)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert parse(pieces) == parse([stream]), (stream, pieces)


def test_payloads_come_as_soon_as_they_are_whole() -> None:
    parser = SSEParser()
    assert list(parser.feed(b"data: a\r")) == []
    assert list(parser.feed(b"\n\r")) == [b"a"]
    assert list(parser.feed(b"\ndata: b\n\nda")) == [b"b"]
