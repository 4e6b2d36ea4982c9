"""What a drill costs on top of asking: 1,000 streamed exchanges, beside a bare aiohttp client."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tests.bench import process, scenes
from tests.bench.parts import Parts, delay_words, delays_of, parts
from tests.bench.process import HERE, Ran
from tests.bench.settings import Settings
from tests.bench.table import Row, number, paired

TITLE = "replay: 1,000 exchanges of 20 chunks, 64 at once, first token after 50 ms"
CASES = 250
ASKED = 4
"""Times that each case is asked: two arms, two repeats."""
CONCURRENCY = 64
PAIRS = 5


def rows(settings: Settings) -> Iterator[Row]:
    """Wall and CPU time of the whole process, and where the drill's own time goes."""
    with process.serving() as url, process.workplace() as home:
        scene = scenes.endpoint_drill(home / "scene", url, CASES, CONCURRENCY)
        outs = (home / f"out-{number}" for number in count())
        drilled: list[tuple[Ran, Path]] = []

        def ours() -> Ran:
            out = next(outs)
            drilled.append((process.drill(scene, "--out", out), out))
            return drilled[-1][0]

        def reference() -> Ran:
            client, requests = HERE / "bare_client.py", scene / "requests.jsonl"
            return process.run(
                [sys.executable, "-P", client, url, requests, str(ASKED), str(CONCURRENCY)]
            )

        mine, theirs = process.alternate(settings.pairs or PAIRS, ours, reference)
        yield paired("wall time", _wall(mine), _wall(theirs), most=1.5)
        yield paired("CPU time", _cpu(mine), _cpu(theirs))
        spent = [parts(*each) for each in drilled[1:]]
        asked = [float(each.said) for each in theirs]
        yield paired("of it: asking", [each.asking for each in spent], asked)
        yield from _parts(spent)
        yield _delay([out for _, out in drilled[1:]])


def _wall(runs: list[Ran]) -> list[float]:
    return [each.wall for each in runs]


def _cpu(runs: list[Ran]) -> list[float]:
    return [each.cpu for each in runs]


def _parts(runs: list[Parts]) -> Iterator[Row]:
    ideal = number(CASES * ASKED / CONCURRENCY * 0.05, "s")
    for what, values, beside in (
        ("of it: imports, checks, plan", [each.start for each in runs], ""),
        ("of it: asking, in passes", [each.passes for each in runs], ideal),
        ("of it: measuring", [each.measuring for each in runs], ""),
        ("of it: pages, and the end", [each.pages for each in runs], ""),
    ):
        note = f"the reference is the ideal, {CASES * ASKED} / {CONCURRENCY} times 50 ms"
        yield Row(
            what,
            number(statistics.median(values), "s"),
            beside,
            n=len(values),
            note=note if "passes" in what else "",
        )


def _delay(outs: list[Path]) -> Row:
    delays = delays_of(outs)
    return Row("own delay meanwhile (p50, p99)", delay_words(delays), n=delays.n)
