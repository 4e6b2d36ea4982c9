"""The journal keeps what it was told, in order, and refuses what is not one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.drills import cases, request

from exitdrill.backend import Edit, Finish, Opaque, Request, Text, ToolCallDelta, Usage
from exitdrill.errors import JournalError, StorageFailed
from exitdrill.journal import APPLICATION_ID, Journal
from exitdrill.records import Attempt, Exchange, Failure, Spend, Trial
from exitdrill.storage import Writer
from exitdrill.workload import Case, CaseList


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.create(path) as journal:
        yield journal


def seen(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What somebody else sees: only what is committed."""
    with closing(sqlite3.connect(path)) as other:
        return list(other.execute(sql))


RICH = Exchange(
    edits=(Edit("drop", "/seed", "it has none"),),
    events=(
        Text(1, "half \ud83d, NUL \x00, turned \u202e"),
        ToolCallDelta(2, 0, "id", "f", '{"a": 1}'),
        Opaque(3, {"signature": {"deep": [1, None]}}),
        Usage(4, 3, 2, "recounted", 1),
        Finish(5, "stop", "eos"),
    ),
    failure=Failure("server", "broke\x1b[31m \udc80", 500),
    attempts=(Attempt(1, 2, "rate_limit", 429, "busy"), Attempt(3, 9, "server", 500, "broke")),
    sent_ns=3,
    money=0.25,
)


# --- keeping --------------------------------------------------------------------------------------


async def test_a_trial_comes_back_as_it_was(journal: Journal, path: Path) -> None:
    call = await journal.intend((0, "old", 1), 0, Spend(1, 70, 0.5))
    assert seen(path, "SELECT arm, position, repeat, state, tokens, money FROM calls") == [
        ("old", 0, 1, "intent", 70, 0.5)
    ]
    await journal.complete((0, "old", 1), "failed", RICH, (call, Spend(1, 9, 0.1)))
    assert seen(path, "SELECT state, tokens, money FROM calls") == [("done", 9, 0.1)]
    assert seen(path, "SELECT * FROM trials") == [(0, "old", 1, "failed")]
    journal.close()
    with Journal.reopen(path) as again:
        assert list(again.trials()) == [Trial("old", 0, 1, "failed", RICH)]
        assert again.spend() == Spend(1, 9, 0.1)
        assert again.completed("old", 1, 0, 5) == {0}
        assert again.completed("old", 0, 0, 5) == again.completed("old", 1, 1, 5) == set()


def test_cases_and_inputs_come_back_as_they_were(journal: Journal) -> None:
    workload = CaseList(
        [
            Case("plain", request(0)),
            Case(
                "rich é\x00\u202e",
                Request("completion", {"prompt": ["a", "b"], "n": 2}),
                checker="exact",
                expected={"a": [1, None]},
                session="s",
                turn=2,
                arrival=0.5,
                tags=("x", "y"),
            ),
            Case("left out", request(1)),
        ]
    )
    journal.put_cases(workload, 2)
    assert list(journal.cases()) == list(enumerate(workload.cases[:2]))
    assert list(journal.cases(1, 2)) == [(1, workload.cases[1])]
    journal.put_inputs({"a": {"b": [1, "\ud83d"]}, "c": None})
    assert journal.input("a") == {"b": [1, "\ud83d"]}
    assert (journal.input("c", 1), journal.input("d", 1)) == (None, 1)


async def test_a_lost_call_stays_charged_and_marks_its_trial(journal: Journal) -> None:
    lost = await journal.intend((0, "old", 0), 0, Spend(1, 70, 0.5))
    other = await journal.intend((1, "old", 0), 0, Spend(1, 70, 0.5))
    await journal.settle(other, Spend(1, 5, 0.1))
    assert journal.lose_intents() == 1
    again = await journal.intend((0, "old", 0), 0, Spend(1, 70, 0.5))
    assert again not in {lost, other}
    await journal.complete((0, "old", 0), "answered", Exchange(), (again, Spend(1, 7, 0.2)))
    assert journal.spend() == Spend(3, 82, 0.5 + 0.1 + 0.2)
    assert [trial.repeated for trial in journal.trials()] == [True]
    assert journal.lost_calls() == 1


async def test_trials_that_ended_an_arm_are_forgotten_and_asked_again(journal: Journal) -> None:
    for position in range(3):
        await journal.complete((position, "new", 0), "failed", Exchange(), None)
    await journal.trip([(1, "new", 0), (2, "new", 0)])
    assert [trial.state for trial in journal.trials()] == ["failed", "tripped", "tripped"]
    journal.forget_tripped()
    assert journal.completed("new", 0, 0, 9) == {0}


async def test_a_hundred_trials_at_once(journal: Journal) -> None:
    async def trial(number: int) -> None:
        key = (number, "old", number % 3)
        call = await journal.intend(key, 0, Spend(1, 10, 0.0))
        await journal.complete(
            key, "answered", Exchange(events=(Text(1, str(number)),)), (call, Spend(1, 2, 0.0))
        )

    await asyncio.gather(*map(trial, range(100)))
    trials = list(journal.trials())
    assert [(t.position, t.repeat, t.exchange.reply.text) for t in trials] == [
        (n, n % 3, str(n)) for n in range(100)
    ]
    assert journal.spend() == Spend(100, 200, 0.0)


async def test_what_waits_is_committed_together(journal: Journal, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the first write has to wait, the rest gathers behind it
        tasks = [
            asyncio.create_task(journal.intend((n, "old", 0), 0, Spend(1, 1, 0.0)))
            for n in range(100)
        ]
        await asyncio.sleep(0.05)
        counts = set()
        other.execute("ROLLBACK")
        while not all(task.done() for task in tasks):
            counts.add(other.execute("SELECT count(*) FROM calls").fetchone()[0])
            await asyncio.sleep(0)
    assert len({task.result() for task in tasks}) == 100
    assert counts <= {0, 1, 100}


async def test_a_write_that_waits_does_not_stop_the_clock(journal: Journal, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(journal.intend((0, "old", 0), 0, Spend()))
        began = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - began < 0.2
        assert not write.done()
        other.execute("ROLLBACK")
        await write


async def test_a_cancelled_write_is_written_all_the_same(journal: Journal) -> None:
    task = asyncio.create_task(journal.intend((0, "old", 0), 0, Spend(1, 9, 0.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await journal.intend((1, "old", 0), 0, Spend(1, 9, 0.0))
    assert journal.spend() == Spend(2, 18, 0.0)


async def test_one_bad_write_does_not_take_its_neighbours_along(path: Path) -> None:
    def bad(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (2)")
        raise KeyError("a mistake")

    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (n)")
    writer = Writer(path)
    gate = threading.Event()
    held = writer.soon(lambda _: gate.wait())
    await asyncio.sleep(0.05)
    writes = [
        writer.soon(lambda db: db.execute("INSERT INTO t VALUES (1)").rowcount),
        writer.soon(bad),
        writer.soon(lambda db: db.execute("INSERT INTO t VALUES (3)").rowcount),
    ]
    results = asyncio.gather(*writes, return_exceptions=True)
    await asyncio.sleep(0.05)
    gate.set()
    await held
    first, second, third = await results
    assert (first, third) == (1, 1)
    assert isinstance(second, KeyError)
    writer.close()
    assert seen(path, "SELECT n FROM t") == [(1,), (3,)]


def test_closing_twice_leaves_no_thread(path: Path) -> None:
    before = threading.active_count()
    journal = Journal.create(path)
    assert threading.active_count() == before + 1
    journal.close()
    journal.close()
    assert threading.active_count() == before


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = Journal.create(path)
    journal.close()
    with pytest.raises(StorageFailed, match="closed"):
        journal.put_inputs({"a": 1})


# --- refusing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of a few hundred trials."""
    path = tmp_path_factory.mktemp("sound") / "journal.sqlite"

    async def fill(journal: Journal) -> None:
        for n in range(200):
            key = (n, "old", 0)
            call = await journal.intend(key, 0, Spend(1, 1, 0.0))
            await journal.complete(key, "answered", RICH, (call, Spend(1, 1, 0.0)))

    with Journal.create(path) as journal:
        journal.put_cases(cases(200))
        asyncio.run(fill(journal))
    return path


def text(path: Path) -> None:
    path.write_text("this is my diary\n" * 100)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photos (n)")


def other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 99")


def half_made(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def tables_missing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE exchanges")


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(20 * 4096))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.unlink(), "there is no journal here"),
        (lambda path: (path.unlink(), path.mkdir()), "there is no journal here"),
        (lambda path: path.write_bytes(b""), "is empty: the drill ended before its first call"),
        (half_made, "the drill ended before its first call, so there is nothing to resume"),
        (text, "not a journal"),
        (foreign, "is not a journal of exitdrill"),
        (other_version, "version 99; this exitdrill reads version 3"),
        (truncated, "is damaged"),
        (zeroed, "is damaged"),
        (tables_missing, "is damaged"),
    ],
    ids=[
        "missing",
        "folder",
        "empty",
        "half made",
        "text",
        "foreign",
        "version",
        "truncated",
        "zeroed",
        "tables",
    ],
)
def test_what_is_not_a_whole_journal_is_refused(
    sound: Path, path: Path, harm: Callable[[Path], object], words: str
) -> None:
    shutil.copy(sound, path)
    harm(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError) as caught:
        Journal.reopen(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    if before is not None:
        assert path.read_bytes() == before, "looking at a file must not change it"


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_a_clear_word_or_nothing(sound: Path, path: Path, seed: int) -> None:
    shutil.copy(sound, path)
    chance = random.Random(seed)
    with path.open("r+b") as file:
        for _ in range(chance.choice((1, 8, 64))):
            file.seek(chance.randrange(path.stat().st_size))
            file.write(chance.randbytes(chance.choice((1, 30))))
    with contextlib.suppress(JournalError), Journal.reopen(path) as journal:
        list(journal.trials())
        list(journal.cases())
        journal.spend()


def test_a_journal_is_never_overwritten(sound: Path, path: Path) -> None:
    shutil.copy(sound, path)
    with pytest.raises(JournalError, match="there is a journal already"):
        Journal.create(path)
    assert path.read_bytes() == sound.read_bytes()


# --- a file that cannot be written ----------------------------------------------------------------


def test_a_place_that_is_not_there(path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be written"):
        Journal.create(path / "nowhere" / "journal.sqlite")


async def test_nothing_is_written_behind_a_gap(path: Path) -> None:
    def full(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with Journal.create(path) as journal:
        journal.put_inputs({"before": 1})
        writer = journal._writer
        with pytest.raises(StorageFailed, match="disk is full"):
            await writer.soon(full)
        with pytest.raises(StorageFailed, match="disk is full"):
            await journal.intend((0, "old", 0), 0, Spend())
        with pytest.raises(StorageFailed, match="disk is full"):
            journal.put_inputs({"after": 1})
        assert journal.input("before") == 1
    with Journal.reopen(path) as again:
        assert (again.input("before"), again.input("after")) == (1, None)


async def test_no_cursor_leaves_the_thread_that_writes(tmp_path: Path) -> None:
    """Let go of in another thread, it would reset a statement that is in use there."""
    writer = Writer(tmp_path / "file.sqlite")
    try:
        assert writer.now(lambda db: db.execute("CREATE TABLE t (x)")) is None
        assert await writer.soon(lambda db: db.execute("INSERT INTO t VALUES (1)")) is None
        assert writer.now(lambda db: db.execute("SELECT x FROM t").fetchone()) == (1,)
    finally:
        writer.close()
