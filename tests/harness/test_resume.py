"""A drill that was killed, at whatever moment, goes on and ends as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.harness.drills import (
    DrillServer,
    Log,
    case_lines,
    failing,
    late,
    right,
    rows,
    scenario,
    timeless,
)

from exitdrill.backend import Reply, Request
from exitdrill.drill import JOURNAL, run
from exitdrill.errors import JournalError, StorageFailed, UsageError
from exitdrill.journal import Journal, cases_sha256
from exitdrill.report import load
from exitdrill.report.registered import contradictions
from exitdrill.scenario import BudgetSpec
from exitdrill.workload import Case
from exitdrill_adapters.scripted import Answer

SEEDS = range(5)
KILLS_PER_SEED = 3


@pytest.fixture(scope="module")
def server() -> Iterator[DrillServer]:
    with DrillServer() as running:
        yield running


@dataclass(frozen=True)
class Undisturbed:
    """What comes of the drill when nobody kills it, and how long that takes."""

    report: dict[str, Any]
    lines: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(server: DrillServer, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed") / "drill"
    ended = server.drill(folder)
    assert ended.code == 0, ended.error
    began = time.monotonic()
    server.drill(folder.with_name("again"))
    seconds = time.monotonic() - began
    assert report_of(folder.with_name("again")) == report_of(folder)
    return Undisturbed(report_of(folder), stripped(case_lines(folder)), seconds)


def report_of(folder: Path) -> dict[str, Any]:
    return timeless(json.loads((folder / "report.json").read_text()))


def stripped(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without times, and without the mark of a repeated trial."""
    for line in lines:
        line.pop("repeated")
        for name in ("ttft", "tpot", "total", "queued"):
            line["measures"].pop(name, None)
    return lines


def assert_sound(folder: Path) -> set[tuple[Any, ...]]:
    """The journal is whole, and in step with itself; returns its completed trials."""
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]
    trials = rows(folder, "SELECT position, arm, repeat FROM trials")
    exchanges = rows(folder, "SELECT position, arm, repeat FROM exchanges")
    assert sorted(trials) == sorted(exchanges), "completed means committed, with its exchange"
    answered = rows(folder, "SELECT count(*) FROM trials WHERE state = 'answered'")
    counted = rows(folder, "SELECT total(answers) FROM passes")
    assert answered == counted, "the time that answers took is recorded with them"
    left = set(rows(folder, "SELECT position, arm, repeat FROM calls WHERE state = 'intent'"))
    assert not left & set(trials), "a trial is completed and its call settled in one"
    return set(trials)


def asked(folder: Path) -> Counter[str]:
    """How often each arm was really asked each question."""
    file = folder.with_suffix(".asked")
    return Counter(file.read_text().splitlines() if file.exists() else [])


@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_at_any_moment_costs_nothing_that_was_completed(
    server: DrillServer, undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    numbers, span = itertools.count(), undisturbed.seconds
    folder = tmp_path / f"drill-{next(numbers)}"
    killed, resume = 0, False
    calls_of: dict[tuple[Any, ...], int] = {}
    while killed < KILLS_PER_SEED:
        after = chance.uniform(0, span / (1 + killed * 0.7))
        ended = server.drill(folder, resume=resume, kill_after=after)
        if ended.code != -signal.SIGKILL:
            assert ended.code == 0, ended.error
            span *= 0.7  # it was quicker than we: once more, from the beginning
            folder, resume, calls_of = tmp_path / f"drill-{next(numbers)}", False, {}
            continue
        killed += 1
        if begun(folder):
            resume = True
            completed = assert_sound(folder)
            assert calls_of.keys() <= completed
            now = {key: of_trial(folder, key) for key in completed}
            assert calls_of.items() <= now.items(), "what was completed is not asked again"
            calls_of = now
        else:
            with pytest.raises(JournalError, match=r"nothing to resume|no journal here"):
                run(scenario(1, old=Log().adapter(), new=Log().adapter()), resume=folder)
            folder = tmp_path / f"drill-{next(numbers)}"
    ended = server.drill(folder, resume=resume)
    assert ended.code == 0, ended.error

    assert report_of(folder) == undisturbed.report
    lines = case_lines(folder)
    repeated = {(line["case"], line["arm"], line["repeat"]) for line in lines if line["repeated"]}
    lost = rows(folder, "SELECT position, arm, repeat FROM calls WHERE state = 'lost'")
    assert repeated == {(f"c{n}", arm, repeat) for n, arm, repeat in lost if n >= 0}
    assert stripped(lines) == undisturbed.lines

    calls = Counter(
        f"{arm} q{max(position, 0)}"
        for arm, position in rows(folder, "SELECT arm, position FROM calls")
    )
    assert all(count <= calls[key] for key, count in asked(folder).items()), (
        "no call without an intent that was committed before"
    )
    done = rows(
        folder,
        "SELECT count(*) FROM calls JOIN trials USING (position, arm, repeat)"
        " WHERE trials.state = 'answered' AND calls.state = 'done'"
        " GROUP BY position, arm, repeat",
    )
    assert {count for (count,) in done} == {1}
    charged = rows(folder, "SELECT min(tokens) FROM calls WHERE calls.state = 'lost'")[0][0]
    assert charged is None or charged > 20, "a lost call stays charged at its worst case"
    spend = json.loads((folder / "report.json").read_text())["drill"]["spend"]
    assert spend["calls"] == sum(calls.values())


def begun(folder: Path) -> bool:
    """Whether the drill got as far as its first call may come."""
    try:
        with Journal.reopen(folder / JOURNAL) as journal:
            return bool(journal.input("begun"))
    except JournalError:
        return False


def of_trial(folder: Path, key: tuple[Any, ...]) -> int:
    """How many calls a trial has in the journal."""
    sql = "SELECT count(*) FROM calls WHERE position = ? AND arm = ? AND repeat = ?"
    return int(rows(folder, sql, *key)[0][0])


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_drill_goes_on_too(
    server: DrillServer, undisturbed: Undisturbed, tmp_path: Path, which: int
) -> None:
    folder = tmp_path / "drill"
    ended = server.drill(folder, kill_after=lambda: asked(folder).total() > 10, with_signal=which)
    assert (ended.code, ended.error) == (130, "")
    completed = assert_sound(folder)
    assert completed
    assert not (folder / f"{JOURNAL}-wal").exists(), "the journal was closed"
    assert server.drill(folder, resume=True).code == 0
    assert report_of(folder) == undisturbed.report


# --- resuming -----------------------------------------------------------------------------------


def test_a_finished_drill_asks_nobody(tmp_path: Path) -> None:
    log = Log()
    drilled = scenario(5, old=log.adapter(), new=log.adapter())
    first = run(drilled, out=tmp_path / "drill")
    calls = len(log.calls)
    again = run(drilled, resume=tmp_path / "drill")
    assert len(log.calls) == calls == 20
    assert timeless(again.report) == timeless(first.report)
    assert again.report["drill"]["spend"] == first.report["drill"]["spend"]


def test_intents_are_committed_before_and_trials_before_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "drill"
    seen: list[tuple[int, int]] = []

    def say(request: Request) -> Answer:
        intents = rows(folder, "SELECT count(*) FROM calls WHERE state = 'intent'")
        done = rows(folder, "SELECT count(*) FROM trials WHERE arm = 'old'")
        seen.append((intents[0][0], done[0][0]))
        return right(request)

    log = Log()
    drilled = scenario(6, {"block": 6}, {"concurrency": 1}, old=log.adapter(say), new=log.adapter())
    run(drilled, out=folder)
    assert seen == [(1, number) for number in range(12)]


def test_a_resumed_drill_asks_only_what_is_missing(tmp_path: Path) -> None:
    log = Log()
    arms = {"old": log.adapter(), "new": log.adapter()}
    wide = {"budget": BudgetSpec(requests=13)}
    short = run(scenario(10, None, None, wide, **arms), out=tmp_path / "drill")
    assert not short.completed
    assert len(log.calls) == 13
    # A spent budget must not cost what was paid for: it alone may be another.
    wider = scenario(10, None, None, {"budget": BudgetSpec(requests=100)}, **arms)
    whole = run(wider, resume=tmp_path / "drill")
    assert whole.completed
    assert len(log.calls) == 40
    assert whole.report["drill"]["spend"]["limits"]["requests"] == 100
    assert whole.report["drill"]["plan_sha256"] == short.report["drill"]["plan_sha256"]


def test_a_folder_in_which_a_drill_runs_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "drill"
    said: list[str] = []

    def say(request: Request) -> Answer:
        if not said:
            with pytest.raises(UsageError, match="another exitdrill is at work") as refused:
                run(drilled, resume=folder)
            said.append(str(refused.value))
        return right(request)

    log = Log()
    drilled = scenario(4, old=log.adapter(say), new=log.adapter())
    assert run(drilled, out=folder).completed
    assert said
    assert len(log.calls) == 16


def test_a_broken_arm_is_tried_again_by_resuming(tmp_path: Path) -> None:
    log = Log()
    broken = {
        "old": log.adapter(),
        "new": log.adapter(failing("auth")),
        "other": log.adapter(),
    }
    mended = broken | {"new": log.adapter()}
    replay = {"breaker": 3}
    first = run(scenario(10, replay, **broken), out=tmp_path / "drill")
    assert first.report["candidates"][0]["status"] == "broken_off"
    calls = len(log.of("old"))
    again = run(scenario(10, replay, **mended), resume=tmp_path / "drill")
    assert len(log.of("old")) == calls
    assert again.report["candidates"][0]["verdict"]["status"] == "ready"
    lines = [line for line in case_lines(tmp_path / "drill") if line["arm"] == "new"]
    assert {line["status"] for line in lines} == {"answered"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"workload": 11}, r"workload\.(cases|sha256)"),
        ({"replay": {"seed": 5}}, r"replay\.seed\."),
        ({"replay": {"repeats": 3}}, r"calls, replay\.repeats\."),
        ({"spec": {"allow_edits": ["drop"]}}, r"backends\.new\.allow_edits, backends\.old\."),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_another_plan_is_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    log = Log()
    arms = {"old": log.adapter(), "new": log.adapter()}
    run(scenario(10, **arms), out=tmp_path / "drill")
    calls = len(log.calls)
    before = (tmp_path / "drill" / "report.json").read_bytes()
    count, *settings = (changed.get(key) for key in ("workload", "replay", "spec", "more"))
    other = scenario(count or 10, *settings, **arms)
    with pytest.raises(JournalError, match=rf"another plan; changed since: .*{words}"):
        run(other, resume=tmp_path / "drill")
    assert len(log.calls) == calls
    assert (tmp_path / "drill" / "report.json").read_bytes() == before


def test_nothing_is_drilled_over_an_earlier_drill(tmp_path: Path) -> None:
    log = Log()
    drilled = scenario(2, old=log.adapter(), new=log.adapter())
    run(drilled, out=tmp_path / "drill")
    calls = len(log.calls)
    with pytest.raises(Exception, match="holds a drill already"):
        run(drilled, out=tmp_path / "drill")
    assert len(log.calls) == calls


def test_a_defect_in_an_adapter_loses_nothing_that_was_journaled(tmp_path: Path) -> None:
    def say(request: Request) -> Answer:
        if len(log.calls) > 11:
            raise ZeroDivisionError("an adapter's mistake")
        return right(request)

    log = Log()
    replay = {"block": 10}
    narrow = {"concurrency": 2}
    arms = {"old": log.adapter(say), "new": log.adapter(say)}
    with pytest.raises(ZeroDivisionError):
        run(scenario(10, replay, narrow, **arms), out=tmp_path / "drill")
    kept = assert_sound(tmp_path / "drill")
    assert 10 <= len(kept) <= 11
    mended = {"old": log.adapter(), "new": log.adapter()}
    before = len(log.calls)
    result = run(scenario(10, replay, narrow, **mended), resume=tmp_path / "drill")
    assert result.verdict == "ready"
    assert len(log.calls) - before == 40 - len(kept)
    assert result.report["drill"]["repeated"] >= 1


# --- a full disk --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [40_000, 150_000, 300_000])
def test_a_file_that_may_not_grow_stops_the_drill_cleanly(
    server: DrillServer, undisturbed: Undisturbed, tmp_path: Path, limit: int
) -> None:
    folder = tmp_path / "drill"
    began = time.monotonic()
    ended = server.drill(folder, file_limit=limit)
    assert time.monotonic() - began < 20
    assert ended.code == 4, ended.error
    assert ended.error.startswith("StorageFailed: the journal")
    if begun(folder):
        assert_sound(folder)
        assert server.drill(folder, resume=True).code == 0
        assert report_of(folder) == undisturbed.report


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if (
        shutil.which("mount") is None
        or os.geteuid() != 0
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_the_drill_cleanly(small_disk: Path) -> None:
    log = Log()
    arms = {"old": log.adapter(late(0.001)), "new": log.adapter(late(0.001))}
    drilled = scenario(400, **arms)
    with pytest.raises(StorageFailed, match=r"the journal .* cannot be written: .*full"):
        run(drilled, out=small_disk / "drill")
    kept = assert_sound(small_disk / "drill")
    assert kept
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    before = len(log.calls)
    result = run(drilled, resume=small_disk / "drill")
    assert result.verdict == "ready"
    assert len(log.calls) - before == 1600 - len(kept)


# --- what was edited meanwhile --------------------------------------------------------------------


def accepting(*texts: str) -> Callable[[Reply, Case], bool]:
    return lambda reply, case: reply.text in texts


def test_a_checker_that_was_loosened_is_noticed(tmp_path: Path) -> None:
    drilled = scenario(old=Log().adapter(), new=Log().adapter(lambda _: "wrong"))
    strict, loose = (
        drilled.model_copy(update={"checkers": {"exact": accepting(*texts)}})
        for texts in (("a1",), ("a1", "wrong"))
    )
    run(strict, out=tmp_path / "drill")
    assert run(strict, resume=tmp_path / "drill").completed
    with pytest.raises(JournalError, match=r"changed since: checkers\.exact"):
        run(loose, resume=tmp_path / "drill")


EDITS: dict[str, tuple[str, str]] = {
    "expectation": (
        "UPDATE cases SET meta = replace(meta, 'a7', 'b7') WHERE id = 'c7'",
        "registered: 'c7'. Nothing",
    ),
    "request": (
        "UPDATE cases SET body = replace(body, 'q3', 'q4') WHERE id = 'c3'",
        "registered: 'c3'. Nothing",
    ),
    "name": ("UPDATE cases SET id = 'x' WHERE id = 'c3'", "registered: 'c3'. Nothing"),
    "operation": (
        "UPDATE cases SET operation = 'completion' WHERE id = 'c0'",
        "registered: 'c0'. Nothing",
    ),
    "all": ("UPDATE cases SET meta = '{}'", "'c0', 'c1', 'c2' and 7 more. Nothing"),
    "fewer": ("DELETE FROM cases WHERE id = 'c9'", "registered: 'c9'. Nothing"),
    "more": (
        "INSERT INTO cases SELECT 10, 'c10', operation, body, meta, fingerprint FROM cases"
        " WHERE id = 'c9'",
        "there are others",
    ),
    "places": (
        "UPDATE cases SET position = CASE position WHEN 0 THEN 1 WHEN 1 THEN 0 ELSE position END"
        " + 100",
        "registered: 'c0', 'c1'",
    ),
    "damaged": ("UPDATE cases SET meta = CAST(x'ff' AS TEXT) WHERE id = 'c7'", "is damaged"),
}


@pytest.fixture(scope="module", params=[False, True], ids=["fixed", "sequential"])
def lost(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drill with a candidate that is always wrong; not to be changed."""
    folder = tmp_path_factory.mktemp("lost") / "drill"
    run(WRONG, out=folder, sequential=request.param)
    return folder


WRONG = scenario(old=Log().adapter(), new=Log().adapter(lambda _: "b7"))


def edit(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / JOURNAL)) as db, db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize("name", EDITS)
def test_cases_that_were_edited_are_named(name: str, lost: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lost, tmp_path / "drill")
    statement, part = EDITS[name]
    edit(folder, statement)
    before = (folder / "report.json").read_bytes()
    assert any("the cases in the journal" in each for each in contradictions(folder))
    assert load(folder).data["verdict"]["status"] == "inconclusive"
    with pytest.raises(JournalError) as raised:
        run(WRONG, resume=folder)
    assert part in raised.value.message
    assert (folder / "report.json").read_bytes() == before


def test_no_two_cases_have_one_hash(tmp_path: Path) -> None:
    """Where one column ends and the next one begins counts too."""

    def found(*parts: str) -> str:
        with closing(sqlite3.connect(":memory:")) as db:
            db.execute("CREATE TABLE cases (position, id, operation, body, meta, fingerprint)")
            db.execute("INSERT INTO cases VALUES (0, ?, ?, ?, '', x'00')", parts)
            return cases_sha256(db)

    assert len({found("ab", "c", "d"), found("a", "bc", "d"), found("a", "b", "cd")}) == 3
