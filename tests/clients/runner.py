"""Runs the clients one after the other, and looks at what the gateway recorded of each."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exitdrill.backend import BackendConfig, Request
from exitdrill.gateway import Call, Door, Gateway
from exitdrill.scenario import BackendSpec
from exitdrill_adapters.scripted import Answer, Error, last_user_text, scripted

HERE = Path(__file__).parent
HOME = HERE.parents[1] / "build" / "clients"
LIMIT = 120.0
"""Seconds for all that one client does."""
NOWHERE = "http://127.0.0.1:9"
QUIET = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
    "DO_NOT_TRACK": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NODE_PATH": str(HOME / "node" / "node_modules"),
}
CALLS = (("find", '{"q": "parcel"}'), ("read", '{"n": 1}'))
ANSWERS = {
    "hello": Answer(text="Hello from here", chunks=5, gap=0.01, input_tokens=11, output_tokens=7),
    "tools": Answer(tool_calls=CALLS, finish="tool_calls", input_tokens=11, output_tokens=7),
    "for ever": Answer(text="on and on", chunks=3, gap=20),
    "limited": Answer(
        error=Error(kind="rate_limit", message="slow down", status=429, retry_after=0.05)
    ),
    "too long": Answer(
        error=Error(
            kind="context_overflow", message="This model's maximum context length is 8 tokens."
        )
    ),
    "breaks": Answer(text="half", error=Error(kind="server", message="broke off", status=200)),
}
"""What a client says, and what it is answered. All do all of it, and try a wrong key and model."""
STATUSES = {200, 400, 401, 404, 429, 499}
"""What has to be on the record of each then."""


@dataclass(frozen=True)
class Client:
    """A client: the command that runs it, and what has to be installed."""

    name: str
    command: Sequence[str]
    needs: Path | str

    @property
    def missing(self) -> str | None:
        """Why it is skipped."""
        if isinstance(self.needs, Path):
            return None if self.needs.exists() else f"{self.needs.name} is not installed"
        return None if shutil.which(self.needs) else f"there is no {self.needs}"


def clients() -> list[Client]:
    """All of them."""
    python = HOME / "venv" / "bin" / "python"
    packages = next(HOME.glob("venv/lib/python*/site-packages"), HOME / "venv")
    return [
        Client("curl", [sys.executable, str(HERE / "with_curl.py")], "curl"),
        Client("node", ["node", str(HERE / "with_node.cjs")], HOME / "node/node_modules/openai"),
        *(
            Client(name, [str(python), str(HERE / f"with_{name}.py")], packages / package)
            for name, package in (("langchain", "langchain_openai"), ("litellm", "litellm"))
        ),
    ]


def say(request: Request) -> Answer:
    """The answer to the last thing that was said."""
    return ANSWERS[last_user_text(request.body)]


def main() -> int:
    """The command; 1 where a client failed."""
    return asyncio.run(_run(sys.argv[1:]))


async def _run(names: Sequence[str]) -> int:
    adapter = scripted(say)
    calls: list[Call] = []
    backend = adapter(BackendConfig("b", "scripted", "small"))
    spec = BackendSpec(adapter=adapter, model="small")
    failed = 0
    async with Gateway(backend, spec, record=calls.append) as gateway:
        for client in clients():
            if names and client.name not in names:
                continue
            door = gateway.open(client.name)
            problem = client.missing or await _try(client, door)
            await gateway.settled(client.name)
            if client.missing is None and problem is None:
                problem = _compare({call.status for call in calls if call.owner == client.name})
            failed += problem is not None and client.missing is None
            word = "skipped" if client.missing else "failed" if problem else "passed"
            sys.stdout.write(f"{client.name}: {word}{f' ({problem})' if problem else ''}\n")
            sys.stdout.flush()
    return 1 if failed else 0


async def _try(client: Client, door: Door) -> str | None:
    """What was wrong, or None."""
    environment = {**os.environ, **QUIET, "OPENAI_BASE_URL": door.url, "OPENAI_API_KEY": door.key}
    process = await asyncio.create_subprocess_exec(
        *client.command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"not done after {LIMIT:g} s"
    if process.returncode:
        return f"exit code {process.returncode}:\n{said.decode(errors='replace').strip()[-3000:]}"
    sys.stdout.write(said.decode(errors="replace"))
    return None


def _compare(statuses: set[int]) -> str | None:
    missing = sorted(STATUSES - statuses)
    return f"nothing on record with status {', '.join(map(str, missing))}" if missing else None
