"""The drill's own delay: how late its event loop wakes up while it measures others.

Whatever a server sends waits at least that long until it is read, so a time of another's is known
no finer. Sleeps of `PERIOD` run beside the exchanges; how much each oversleeps is counted in a
histogram whose buckets are an eighth of an octave wide: a percentile is at most 9 % too high.

A block of 250 ms is a single late look, but whatever came in these 250 ms was late. So the looks
that it kept from being made count as well, each with what it would have been late (the correction
of coordinated omission, as HdrHistogram has it): percentiles are over time, not over looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice

PERIOD = 0.005
"""Seconds between two looks at the clock."""
PERIOD_NS = int(PERIOD * 1e9)
MOST = 20_000
"""Looks that one block can have prevented, as far as they are counted: 100 seconds."""
STEPS = 8
"""Buckets per octave."""
NANO = 1e-9


class Delays:
    """A histogram of delays. Bucket *b* holds those of up to 2**(b / `STEPS`) nanoseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, nanoseconds: int) -> None:
        """Count a look that was so late, and those that it kept from being made."""
        for late in islice(range(max(nanoseconds, 1), 0, -PERIOD_NS), MOST):
            self.counts[math.ceil(math.log2(late) * STEPS)] += 1

    @property
    def n(self) -> int:
        """How many looks were counted."""
        return self.counts.total()

    def percentile(self, q: float) -> float | None:
        """Seconds that the delay did not exceed for the share ``q`` of the time; None for none."""
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
        due = time.monotonic_ns() + PERIOD_NS
        await asyncio.sleep(PERIOD)
        delays.add(time.monotonic_ns() - due)
