"""The gateway in a process of its own, before an OpenAI-compatible endpoint.

    python gateway_process.py URL

It prints its base URL and its key, and ends when its standard input closes. Calls are recorded
into nothing: what a journal takes is measured by the replay.
"""

from __future__ import annotations

import asyncio
import sys

from exitdrill.backend import BackendConfig
from exitdrill.gateway import Gateway
from exitdrill.scenario import BackendSpec
from exitdrill_adapters.openai import OpenAIBackend


async def main(endpoint: str) -> None:
    """Serve until standard input closes."""
    options = {"vendor": "vllm"}
    backend = OpenAIBackend(BackendConfig("b", "openai", "m", endpoint=endpoint, options=options))
    spec = BackendSpec(adapter=OpenAIBackend, model="m", endpoint=endpoint, options=options)
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gone.set)
    await backend.start()
    async with Gateway(backend, spec, record=lambda _: None) as gateway:
        sys.stdout.write(f"{gateway.open('bench').url} {gateway.key}\n")
        sys.stdout.flush()
        await gone.wait()
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
