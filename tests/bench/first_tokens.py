"""When the first token of a streamed answer is there, for a client that does the least.

    python first_tokens.py URL KEY REQUESTS CONCURRENCY

Asks so many requests, so many at once, with aiohttp, every line read and every event parsed. It
prints the p50 and the p95 of the seconds from before a request is sent until its first text.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import aiohttp

BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "My parcel has not come. What now?"}],
    "max_tokens": 64,
    "stream": True,
    "stream_options": {"include_usage": True},
}


async def ask(session: aiohttp.ClientSession, url: str) -> float:
    """The seconds until the first text of one answer, which is read to its end."""
    began, first = time.monotonic(), 0.0
    async with session.post(url, json=BODY) as response:
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                if choice["delta"].get("content"):
                    first = first or time.monotonic() - began
    return first


async def work(session: aiohttp.ClientSession, url: str, turns: Iterator[int]) -> list[float]:
    """Ask one request after the other."""
    return [await ask(session, url) for _ in turns]


async def main(url: str, key: str, requests: str, concurrency: str) -> None:
    """Ask everything; ends with an error where an answer has no text."""
    turns = iter(range(int(requests)))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": f"Bearer {key}"}
    ) as session:
        target = f"{url}/chat/completions"
        found = await asyncio.gather(
            *(work(session, target, turns) for _ in range(int(concurrency)))
        )
    seconds = sorted(each for worker in found for each in worker)
    if not seconds[0]:
        sys.exit("an answer has no text")
    middle, late = (seconds[int(q * (len(seconds) - 1))] for q in (0.5, 0.95))
    sys.stdout.write(f"{middle} {late}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
