"""The drill's own delay: looks at the clock, and those that a block kept from being made."""

from __future__ import annotations

import asyncio
import time

import pytest

from exitdrill.delay import MOST, Delays, watching

MS = 1_000_000


def test_nothing_is_known_where_nobody_looked() -> None:
    assert (Delays().n, Delays().percentile(0.99)) == (0, None)


def test_small_delays_are_looks_and_nothing_else() -> None:
    delays = Delays()
    for number in range(100):
        delays.add(MS if number < 90 else 4 * MS)
    assert delays.n == 100
    assert delays.percentile(0.5) == pytest.approx(0.001, rel=0.1)
    assert delays.percentile(0.99) == pytest.approx(0.004, rel=0.1)


def test_a_block_counts_for_as_long_as_it_was() -> None:
    """Half a second in order, then a quarter of one blocked: a third of the time."""
    delays = Delays()
    for _ in range(100):
        delays.add(MS // 10)
    delays.add(250 * MS)
    assert delays.n == 150
    assert delays.percentile(0.5) == pytest.approx(0.0001, rel=0.1)
    assert delays.percentile(0.99) == pytest.approx(0.245, rel=0.1)


def test_a_day_asleep_takes_no_day_to_count() -> None:
    delays = Delays()
    began = time.monotonic()
    delays.add(86_400 * 1000 * MS)
    assert delays.n == MOST
    assert time.monotonic() - began < 10


async def test_a_loop_that_is_blocked_is_seen() -> None:
    delays = Delays()
    async with watching(delays):
        await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251  # what it shall see
        await asyncio.sleep(0.05)
    worst = delays.percentile(0.99)
    assert worst is not None
    assert worst > 0.25
