"""How fast the transformers adapter is: tokens per second beside plain ``generate``.

The model is loaded on all sides before anything is timed; all compute with one thread, greedily,
with the token limit of the requests. The adapter is given all cases at once, as `generate` is.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tests.bench.process import HERE, BenchmarkError
from tests.bench.settings import Settings
from tests.bench.table import Row, paired

from exitdrill import builtin
from exitdrill.backend import BackendConfig, Prepared, Request, fold
from exitdrill_adapters.transformers import TransformersBackend

CASES, BATCH, THREADS = 96, 32, 1
SINGLE_CASES = 24
"""As many are enough for one after the other, which takes long."""
PAIRS = 5
MODEL = "ticket-dense"
TITLE = (
    f"local: {MODEL} on {CASES} cases of support_triage, batches of {BATCH}, "
    f"{THREADS} thread, float32, greedy"
)
LIMIT = 300.0
"""Seconds that one round may take."""


@dataclass(frozen=True)
class Round:
    """All cases answered once."""

    seconds: float
    tokens: int
    answers: tuple[str, ...]

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


def rows(settings: Settings) -> Iterator[Row]:
    """Static and continuous batching beside padded batches, and beside one by one."""
    yield from asyncio.run(_measure(settings.pairs or PAIRS))


async def _measure(pairs: int) -> list[Row]:
    with _plain(CASES) as plain, _plain(SINGLE_CASES) as few:
        async with _adapter("static") as static, _adapter("continuous") as continuous:
            rounds = [
                (
                    await _answered(static),
                    _asked(plain, "batched"),
                    await _answered(continuous),
                    _asked(few, "single"),
                )
                for _ in range(pairs)
            ]
    return list(_rows(rounds))


def _rows(rounds: Sequence[tuple[Round, ...]]) -> Iterator[Row]:
    static, batched, continuous, single = zip(*rounds, strict=True)
    speeds = {
        "static": [each.speed for each in static],
        "continuous": [each.speed for each in continuous],
    }
    by_batch, by_one = [each.speed for each in batched], [each.speed for each in single]
    same = sum(map(str.__eq__, static[0].answers, batched[0].answers))
    note = (
        f"{same} of {CASES} answers are the same text; "
        f"{static[0].tokens} tokens, beside {batched[0].tokens}"
    )
    for mode, mine in speeds.items():
        least = 0.8 if mode == "static" else None
        what = f"{mode}, beside generate in batches"
        text = note if mode == "static" else ""
        yield paired(what, mine, by_batch, "tokens/s", least=least, note=text)
        yield paired(f"{mode}, beside generate one by one", mine, by_one, "tokens/s")


# --- the adapter --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Adapter:
    backend: TransformersBackend
    prepared: tuple[Prepared, ...]


@asynccontextmanager
async def _adapter(batching: str) -> AsyncIterator[_Adapter]:
    options = {
        "device": "cpu",
        "dtype": "float32",
        "batching": batching,
        "batch_size": BATCH,
        "threads": THREADS,
    }
    folder = str(Path(builtin.models()) / MODEL)
    backend = TransformersBackend(BackendConfig("b", "transformers", folder, options=options))
    requests = [Request("chat", body) for body in _bodies(CASES)]
    adapter = _Adapter(backend, tuple(map(backend.prepare, requests)))
    try:
        await backend.start()
        await _answered(adapter)
        yield adapter
    finally:
        await backend.close()


async def _answered(adapter: _Adapter) -> Round:
    async def answer(prepared: Prepared) -> tuple[str, int]:
        reply = fold([event async for event in adapter.backend.stream(prepared)])
        if reply.output_tokens is None:
            raise BenchmarkError("the adapter counted no tokens")
        return reply.text, reply.output_tokens

    start = time.perf_counter()
    async with asyncio.timeout(LIMIT):
        replies = await asyncio.gather(*map(answer, adapter.prepared))
    seconds = time.perf_counter() - start
    texts, counts = zip(*replies, strict=True)
    return Round(seconds, sum(counts), texts)


# --- plain generate -----------------------------------------------------------------------------


@contextmanager
def _plain(cases: int) -> Iterator[subprocess.Popen[str]]:
    """A `plain_generate` process that has loaded its model and waits."""
    folder = Path(builtin.models()) / MODEL
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", HERE / "plain_generate.py"),
            *(folder, _requests(), str(cases), str(THREADS)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != "ready":
            raise BenchmarkError("plain generate did not start")
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _asked(process: subprocess.Popen[str], how: str) -> Round:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{how}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError("plain generate ended")
    said: dict[str, Any] = json.loads(line)
    return Round(said["seconds"], said["tokens"], tuple(said["answers"]))


def _requests() -> Path:
    return builtin.scenarios()["support_triage"] / "requests.jsonl"


def _bodies(count: int) -> list[dict[str, Any]]:
    with _requests().open() as file:
        return [json.loads(line)["body"] for line in islice(file, count)]
