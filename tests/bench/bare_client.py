"""The least that a client of a stream can do: aiohttp, every line read, every event parsed.

    python bare_client.py URL REQUESTS.JSONL TIMES CONCURRENCY

Asks every request of the file so many times, so many at once. It keeps nothing, and prints the
seconds that the asking took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp


def bodies_of(requests: Path) -> list[dict[str, Any]]:
    """The bodies of a workload, with what asks for a stream."""
    more = {"stream": True, "stream_options": {"include_usage": True}}
    return [json.loads(line)["body"] | more for line in requests.read_text().splitlines()]


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> str:
    """The text of one streamed answer."""
    text = ""
    async with session.post(url, json=body) as response:
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content", "")
    return text


async def work(session: aiohttp.ClientSession, url: str, bodies: Iterator[dict[str, Any]]) -> int:
    """Ask one request after the other; how many were answered."""
    answered = 0
    for body in bodies:
        answered += bool(await ask(session, url, body))
    return answered


async def main(url: str, requests: str, times: str, concurrency: str) -> None:
    """Ask everything; ends with an error where an answer is missing."""
    bodies = bodies_of(Path(requests)) * int(times)
    waiting = iter(bodies)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        target, began = f"{url}/chat/completions", time.monotonic()
        counts = await asyncio.gather(
            *(work(session, target, waiting) for _ in range(int(concurrency)))
        )
        seconds = time.monotonic() - began
    if sum(counts) != len(bodies):
        sys.exit(f"{sum(counts)} of {len(bodies)} answered")
    sys.stdout.write(f"{seconds}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
