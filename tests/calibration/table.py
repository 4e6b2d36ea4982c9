"""Drills many worlds many times, and prints how often the verdicts err."""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.calibration.paths import Outcome, Short, seeds, whole
from tests.calibration.worlds import TRUTHS, WORLDS, Truth, World

PAGE = Path(__file__).resolve().parents[2] / "harness" / "VERDICT.md"
BEGIN, END = "<!-- calibration -->", "<!-- calibration: end -->"
DRILLS, WHOLE = 2_000, 25
AGAIN = 2
"""The slow ones (looked at while they run, or drawn again thousands of times) are fewer by this."""
ALPHA = 0.05
SURE = 2.5758293035489004
"""How many standard errors an error may lie above alpha by chance: 1 in 200 does."""
HEAD = (
    "world",
    "truth",
    "ready",
    "not ready",
    "inconclusive",
    "interval holds the truth",
    "cases asked",
    "drills",
    "",
)


@dataclass(frozen=True)
class Task:
    """Some drills of one world and truth."""

    world: int
    truth: int
    seeds: tuple[int, ...]
    whole: int


@dataclass(frozen=True)
class Counted:
    """What came of them; ``unlike`` are seeds on which the two ways do not say the same."""

    outcomes: tuple[Outcome, ...]
    checked: int
    unlike: tuple[int, ...]


def main() -> int:
    """The command. Ends with 1 where an error is above alpha by more than chance, or where the two
    ways from a plan to a verdict do not agree."""
    given = _parse(sys.argv[1:])
    began = time.monotonic()
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (world, truth), counted in _counted(pool, given.drills, given.whole):
            row = _row(world, truth, counted)
            problems += _problems(world, truth, counted)
            rows.append(row)
            sys.stdout.write(" | ".join(row) + "\n")
            sys.stdout.flush()
    for problem in problems:
        sys.stderr.write(problem + "\n")
    checked = sum(_wholes(given.whole, world) for world in WORLDS) * len(TRUTHS)
    sys.stdout.write(f"{checked} drills went the whole way; {time.monotonic() - began:.0f} s\n")
    if given.write and not problems:
        _write(rows, checked, given)
    return 1 if problems else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/calibration", description=__doc__)
    parser.add_argument("--drills", type=int, default=DRILLS, metavar="N", help="of each world")
    parser.add_argument("--whole", type=int, default=WHOLE, metavar="N", help="the whole way")
    parser.add_argument("--write", action="store_true", help="keep the table in harness/VERDICT.md")
    return parser.parse_args(arguments)


def _counted(
    pool: ProcessPoolExecutor, drills: int, wholes: int
) -> Iterator[tuple[tuple[World, Truth], Counted]]:
    """World after world; each one's drills are shared out."""
    for number, world in enumerate(WORLDS):
        for place, truth in enumerate(TRUTHS):
            count = max(drills // AGAIN, 1) if _is_slow(world) else drills
            all_seeds = list(seeds(number, place, count))
            parts = [
                all_seeds[start :: os.cpu_count() or 1] for start in range(os.cpu_count() or 1)
            ]
            each = _wholes(wholes, world) // len(parts)
            tasks = [Task(number, place, tuple(part), each) for part in parts]
            yield (world, truth), _joined(pool.map(_run, tasks))


def _is_slow(world: World) -> bool:
    return world.sequential or world.measure == "chrf"


def _wholes(wholes: int, world: World) -> int:
    """Only answers that are right or wrong can be scripted so that a checker sees the draw."""
    count = os.cpu_count() or 1
    return wholes // count * count if world.measure == "success" else 0


def _joined(parts: Iterable[Counted]) -> Counted:
    found = list(parts)
    return Counted(
        tuple(itertools.chain.from_iterable(each.outcomes for each in found)),
        sum(each.checked for each in found),
        tuple(itertools.chain.from_iterable(each.unlike for each in found)),
    )


def _run(task: Task) -> Counted:
    world, truth = WORLDS[task.world], TRUTHS[task.truth]
    short = Short.of(world)
    outcomes = [short.run(truth, seed) for seed in task.seeds]
    both = zip(task.seeds[: task.whole], outcomes, strict=False)
    unlike = [seed for seed, outcome in both if whole(world, truth, seed) != outcome]
    return Counted(tuple(outcomes), task.whole, tuple(unlike))


def _share(counted: Counted, status: str) -> float:
    return sum(each.status == status for each in counted.outcomes) / len(counted.outcomes)


def _error(share: float, n: int) -> float:
    """The standard error of a share, never that of none: 3/n has none in 95 of 100 runs."""
    return max(math.sqrt(share * (1 - share) / n), 1 / n)


def _held(world: World, truth: Truth, counted: Counted) -> float:
    difference = world.difference(truth)
    inside = [
        each.interval[0] - 1e-9 <= difference <= each.interval[1] + 1e-9
        for each in counted.outcomes
        if each.interval is not None
    ]
    return sum(inside) / len(inside) if inside else math.nan


def _row(world: World, truth: Truth, counted: Counted) -> tuple[str, ...]:
    n = len(counted.outcomes)
    shares = {status: _share(counted, status) for status in ("ready", "not_ready", "inconclusive")}
    held = _held(world, truth, counted)
    asked = sum(each.asked for each in counted.outcomes) / n
    told = [f"{share:.1%} ± {_error(share, n):.1%}" for share in shares.values()]
    wrong = "ready" if truth == "at the margin" else "not_ready"
    fine = "" if _is_fine(shares[wrong], n) else "too often"
    return world.name, truth, *told, f"{held:.1%}", f"{asked:.0f}", f"{n:,}", fine


def _is_fine(share: float, n: int) -> bool:
    return share <= ALPHA + SURE * math.sqrt(ALPHA * (1 - ALPHA) / n)


def _problems(world: World, truth: Truth, counted: Counted) -> Iterator[str]:
    n = len(counted.outcomes)
    wrong = "ready" if truth == "at the margin" else "not_ready"
    share = _share(counted, wrong)
    if not _is_fine(share, n):
        yield f"{world.name}, {truth}: {wrong} in {share:.1%} of {n:,} drills"
    level = 1 - 2 * ALPHA / world.candidates
    held, spread = _held(world, truth, counted), math.sqrt(level * (1 - level) / n)
    if held < level - SURE * spread:
        yield f"{world.name}, {truth}: the interval holds the truth in {held:.1%} of {n:,} drills"
    if counted.unlike:
        yield f"{world.name}, {truth}: the two ways differ on the seeds {counted.unlike[:5]}"


def _write(rows: Sequence[tuple[str, ...]], checked: int, given: argparse.Namespace) -> None:
    flags = f"--drills {given.drills} --whole {given.whole} --write"
    command = f"make calibrate BENCH='{flags}'"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, `{command}`, "
        f"Python {platform.python_version()}; {checked:,} "
        "of the drills also went the whole way, with the same outcome:",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    text = PAGE.read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    content = "\n".join([BEGIN, *lines, END])
    PAGE.write_text(pattern.sub(lambda _: content, text))
