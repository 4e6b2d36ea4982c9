"""The drill's own delay: how late its event loop wakes up while it measures others.

Whatever a server sends waits at least that long until it is read, so a time of another's is known
no finer. Sleeps of `PERIOD` run beside the exchanges; how much each oversleeps is counted in a
histogram whose buckets are an eighth of an octave wide: a percentile is at most 9 % too high.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

PERIOD = 0.005
"""Seconds between two looks at the clock."""
STEPS = 8
"""Buckets per octave."""
NANO = 1e-9


class Delays:
    """A histogram of delays. Bucket *b* holds those of up to 2**(b / `STEPS`) nanoseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, nanoseconds: int) -> None:
        """Count one delay."""
        self.counts[math.ceil(math.log2(max(nanoseconds, 1)) * STEPS)] += 1

    @property
    def n(self) -> int:
        """How many delays were counted."""
        return self.counts.total()

    def percentile(self, q: float) -> float | None:
        """Seconds that at least the share ``q`` of the delays does not exceed; None for none."""
        wanted, seen = math.ceil(q * self.n - 1e-9), 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= wanted:
                return float(2 ** (bucket / STEPS)) * NANO
        return None


@asynccontextmanager
async def watching(delays: Delays) -> AsyncIterator[None]:
    """Count how late the running event loop is, for as long as the block takes."""
    task = asyncio.create_task(_watch(delays))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(delays: Delays) -> None:
    while True:
        due = time.monotonic_ns() + int(PERIOD * 1e9)
        await asyncio.sleep(PERIOD)
        delays.add(time.monotonic_ns() - due)
