"""Where a drill's time went, by its journal and by when its files were written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench.process import Ran
from tests.bench.table import number

from exitdrill.delay import Delays
from exitdrill.journal import Journal


@dataclass(frozen=True)
class Parts:
    """Seconds of a drill: until it starts to ask (imports, checks, plan); asking, and of that in
    passes; measuring; writing pages, and the process's end."""

    start: float
    asking: float
    passes: float
    measuring: float
    pages: float


def parts(ran: Ran, out: Path) -> Parts:
    """The parts of a drill that was not resumed."""
    about = json.loads((out / "report.json").read_text())["drill"]
    started = datetime.fromisoformat(about["started"]).timestamp()
    ended = datetime.fromisoformat(about["ended"]).timestamp()
    measured = (out / "report.json").stat().st_mtime
    with Journal.reopen(out / "journal.sqlite") as journal:
        passes = sum(busy.seconds for busy in journal.busy().values())
    return Parts(
        started - ran.began, ended - started, passes, measured - ended, ran.ended - measured
    )


def delays_of(outs: Iterable[Path]) -> Delays:
    """The drill's own delay, over all arms of these drills."""
    delays = Delays()
    for out in outs:
        with Journal.reopen(out / "journal.sqlite") as journal:
            for busy in journal.busy().values():
                delays.counts.update(busy.delay.counts)
    return delays


def delay_words(delays: Delays) -> str:
    """p50 and p99."""
    return ", ".join(number(delays.percentile(q) or 0.0, "s") for q in (0.5, 0.99))
