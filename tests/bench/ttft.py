"""How true the drill's time to first token is: beside what the server knows, on one clock.

The truth of a trial is the server's first write minus the scheduled send. The server reads the
clock just before it writes; the scheduled send is when the adapter was entered, less what the
journal says had passed since the schedule by then (``sent_ns``, read microseconds before). So the
truth holds the drill's own preparations, the connection, the server's waiting; the difference to
what the drill reports is what lies behind the server's write: kernel, event loop, parsing.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import process, scenes
from tests.bench.parts import delay_words, delays_of
from tests.bench.process import HERE, BenchmarkError
from tests.bench.settings import Settings
from tests.bench.table import Row, number

from exitdrill.journal import Journal

TITLE = "ttft: the drill's time to first token beside the server's; 20 tokens, 20 ms apart"
SIZES = ((1, 25), (16, 100), (64, 256))
"""Requests at once, and cases; each case is asked four times."""
SHARE, SECONDS = 0.05, 0.005
"""The aim: within so much of the truth, or within so many seconds."""
NANO = 1e-9


@dataclass(frozen=True)
class Timed:
    """One trial, in seconds: what the drill reports, the truth, what of both had passed when the
    adapter was entered; and the server's own time, from the request that is there to its write."""

    reported: float
    truth: float
    sent: float
    server: float


def rows(settings: Settings) -> Iterator[Row]:
    """p50 and p95 at 1, 16 and 64 requests at once."""
    for at_once, cases in SIZES:
        with process.serving("--gap", "0.02") as url, process.workplace() as home:
            trials, delay = _drill(home, url, cases, at_once)
        yield from _rows(f"{at_once} at once", trials)
        yield Row(f"{at_once} at once: own delay meanwhile (p50, p99)", delay)


def _rows(where: str, trials: list[Timed]) -> Iterator[Row]:
    for q in (0.5, 0.95):
        yield _aimed(f"{where}: p{q * 100:.0f}", q, trials)
    behind = [each.reported - each.truth for each in trials]
    yield _plain(f"{where}: drill minus truth", behind)
    yield _plain(f"{where}: of both, until sent", [each.sent for each in trials])
    yield _plain(f"{where}: the server's own time", [each.server for each in trials])


def _aimed(what: str, q: float, trials: list[Timed]) -> Row:
    ours = percentile((each.reported for each in trials), q)
    truth = percentile((each.truth for each in trials), q)
    return Row(
        what,
        number(ours, "s"),
        number(truth, "s"),
        ours / truth,
        n=len(trials),
        aim=f"± {SHARE:.0%} or {SECONDS * 1000:.0f} ms",
        met=abs(ours - truth) <= max(SHARE * truth, SECONDS),
    )


def _plain(what: str, values: list[float]) -> Row:
    p50, p95 = (number(percentile(values, q), "s") for q in (0.5, 0.95))
    return Row(f"{what} (p50, p95)", f"{p50}, {p95}", n=len(values))


def percentile(values: Iterable[float], q: float) -> float:
    """The smallest value that at least the share ``q`` does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered) - 1e-9) - 1)]


def _drill(home: Path, url: str, cases: int, at_once: int) -> tuple[list[Timed], str]:
    scene = scenes.endpoint_drill(home / "scene", url, cases, at_once)
    out, notes = home / "out", home / "notes.json"
    process.run([sys.executable, HERE / "noted_drill.py", scene, out, notes])
    entered = _in_order(json.loads(notes.read_text()))
    log = process.log_of(url)
    received = _in_order((model, said, at) for model, said, at, _ in log)
    written = _in_order((model, said, at) for model, said, _, at in log)
    trials = list(_timed(out, entered, received, written))
    if len(trials) != 4 * cases:
        raise BenchmarkError(f"{len(trials)} of {4 * cases} trials have a time")
    return trials, delay_words(delays_of([out]))


Times = dict[tuple[str, str], list[int]]
"""By arm and question: nanoseconds on the monotonic clock, a repeat after the other."""


def _in_order(notes: Iterable[tuple[str, str, int]]) -> Times:
    times: Times = defaultdict(list)
    for model, said, at in notes:
        times[model, said].append(at)
    return times


def _timed(out: Path, entered: Times, received: Times, written: Times) -> Iterator[Timed]:
    reported = _reported(out)
    with Journal.reopen(out / "journal.sqlite") as journal:
        asked = dict(journal.cases())
        for trial in journal.trials():
            case = asked[trial.position]
            key = trial.arm, case.request.body["messages"][-1]["content"]
            if len(trial.exchange.attempts) != 1:
                raise BenchmarkError(f"{case.id} was asked more than once")
            sent, repeat = trial.exchange.sent_ns, trial.repeat
            first = written[key][repeat]
            yield Timed(
                reported=reported[case.id, trial.arm, repeat],
                truth=(first - entered[key][repeat] + sent) * NANO,
                sent=sent * NANO,
                server=(first - received[key][repeat]) * NANO,
            )


def _reported(out: Path) -> dict[tuple[str, str, int], float]:
    with (out / "cases.jsonl").open() as file:
        lines = map(json.loads, file)
        return {(row["case"], row["arm"], row["repeat"]): row["measures"]["ttft"] for row in lines}
