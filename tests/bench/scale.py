"""What ten times the cases cost: memory, time, and resuming, with scripted answers.

Nothing is waited for, so that all time is the drill's own.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.bench import process, scenes
from tests.bench.parts import Parts, parts
from tests.bench.process import Ran
from tests.bench.settings import Settings
from tests.bench.table import Row, number

TITLE = "scale: scripted cases, two arms, two repeats, 64 at once; the reference is the small size"
SIZES = (10_000, 100_000)
TRIALS = 4
"""Per case. What is resumed are as many trials as the larger size has cases."""
FLAT, LINEAR, SOON = 1.5, 1.2, 10.0
"""The aims at ten times the cases: of memory, of seconds per case; seconds to a resumed call."""
UNIT = 10_000
MEBI = 2**20
LOOK = 0.02
"""Seconds between two looks into a journal that is being written."""


@dataclass(frozen=True)
class Drilled:
    """A drill of so many cases."""

    cases: int
    ran: Ran
    parts: Parts
    scene: Path
    out: Path

    def each(self, seconds: float) -> float:
        """Seconds per 10,000 cases."""
        return seconds * UNIT / self.cases


def rows(settings: Settings) -> Iterator[Row]:
    """Memory and time at two sizes, and what resuming costs at the larger one."""
    few, many = settings.cases or SIZES
    with process.workplace() as home:
        small, large = _drill(home, few), _drill(home, many)
        yield _memory(small, large)
        yield from _times(small, large)
        shutil.rmtree(large.out)
    with process.workplace() as home:
        yield from _resumed(_drill(home, many // TRIALS))


def _drill(home: Path, cases: int) -> Drilled:
    scene = scenes.scripted_drill(home / f"scene-{cases}", cases)
    out = home / f"out-{cases}"
    ran = process.drill(scene, "--out", out)
    return Drilled(cases, ran, parts(ran, out), scene, out)


def _memory(small: Drilled, large: Drilled) -> Row:
    growth = (large.ran.peak - small.ran.peak) / (large.cases - small.cases)
    ratio = large.ran.peak / small.ran.peak
    return Row(
        f"peak memory at {large.cases:,} and {small.cases:,} cases",
        number(large.ran.peak / MEBI, "MiB"),
        number(small.ran.peak / MEBI, "MiB"),
        ratio,
        n=1,
        aim=f"≤ {FLAT:g}x",
        met=ratio <= FLAT,
        note=f"{growth:,.0f} bytes per further case",
    )


def _times(small: Drilled, large: Drilled) -> Iterator[Row]:
    yield _time("wall time", small, large, lambda one: one.ran.wall, LINEAR)
    yield _time("CPU time", small, large, lambda one: one.ran.cpu)
    yield _time("of it: imports, checks, plan", small, large, lambda one: one.parts.start)
    yield _time("of it: asking", small, large, lambda one: one.parts.asking)
    yield _time("of it: measuring", small, large, lambda one: one.parts.measuring)
    yield _time("of it: pages, and the end", small, large, lambda one: one.parts.pages)


def _time(
    what: str,
    small: Drilled,
    large: Drilled,
    seconds: Callable[[Drilled], float],
    most: float | None = None,
) -> Row:
    ours, reference = (one.each(seconds(one)) for one in (large, small))
    ratio = ours / reference
    return Row(
        f"{what}, per {UNIT:,} cases",
        number(ours, "s"),
        number(reference, "s"),
        ratio,
        n=1,
        aim="" if most is None else f"≤ {most:g}x",
        met=None if most is None else ratio <= most,
    )


# --- resuming -----------------------------------------------------------------------------------


def _resumed(done: Drilled) -> Iterator[Row]:
    trials = f"{done.cases * TRIALS:,} trials"
    whole = process.drill(done.scene, "--resume", done.out)
    yield Row(
        f"resume {trials}, all done",
        number(whole.wall, "s"),
        number(done.ran.wall, "s"),
        whole.wall / done.ran.wall,
        n=1,
        note="the reference is the whole drill; measuring and pages are in both",
    )
    _forget_half(done)
    with _Watch(done.out / "journal.sqlite") as watch:
        half = process.drill(done.scene, "--resume", done.out)
    began = watch.first_call - watch.began
    yield Row(
        f"resume {trials}, half done: to the first call",
        number(began, "s"),
        n=1,
        aim=f"≤ {SOON:g} s",
        met=began <= SOON,
    )
    yield Row(
        f"resume {trials}, half done: to the end",
        number(half.wall, "s"),
        number(done.ran.wall, "s"),
        half.wall / done.ran.wall,
        n=1,
    )


def _forget_half(done: Drilled) -> None:
    """Leave in the journal what a drill holds that was killed half way."""
    path = done.out / "journal.sqlite"
    with closing(sqlite3.connect(path)) as journal, journal:
        for table in ("trials", "exchanges", "calls"):
            sql = f"DELETE FROM {table} WHERE position >= ?"  # our own names
            journal.execute(sql, (done.cases // 2,))
    for name in ("report.json", "report.html", "cases.jsonl"):
        (done.out / name).unlink(missing_ok=True)


class _Watch:
    """Looks into a journal from outside, until a call is made that was not there before."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.began = self.first_call = time.monotonic()

    def __enter__(self) -> _Watch:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        before = self._last_call()
        while not self._over.wait(LOOK):
            if self._last_call() > before:
                self.first_call = time.monotonic()
                return
        self.first_call = float("nan")

    def _last_call(self) -> int:
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT max(id) FROM calls").fetchone()[0])
