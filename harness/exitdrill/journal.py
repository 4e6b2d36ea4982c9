"""The durable record of a drill: its inputs, its trials, its exchanges, in one SQLite file.

Safe against ``kill -9`` at any moment: a call's intent is committed before the call is made, and
a trial counts as completed once it is committed with its exchange. (A power cut can lose what the
operating system had not written yet; the trials concerned are asked again.)

Writing is done by a thread of its own (`storage`), so that a slow disk delays nobody's clock;
reading on a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from exitdrill.backend import Operation
from exitdrill.caseshash import CasesHash
from exitdrill.delay import Delays
from exitdrill.errors import JournalError, StorageFailed
from exitdrill.judge.question import PREFIX
from exitdrill.records import (
    AppCall,
    Exchange,
    Key,
    Spend,
    Trial,
    TrialState,
    call_columns,
    call_of,
    dump,
    exchange_columns,
    exchange_of,
)
from exitdrill.redaction import Redactor
from exitdrill.storage import Writer, connect
from exitdrill.workload import Case, Workload, fingerprint

APPLICATION_ID = 0x45584454  # "EXDT"
VERSION = 3
DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
"""What SQLite says where the disk fails and not what stands on it."""
T = TypeVar("T")
TRIALS = (
    "SELECT t.position, t.arm, t.repeat, t.state, e.edits, e.events, e.error, e.attempts,"
    " e.sent_ns, e.money FROM trials t JOIN exchanges e USING (position, arm, repeat)"
)
JUDGE = f"{PREFIX}*"
"""What the arms are called under which a judge's trials stand."""
APP_CALLS = (
    "SELECT position, arm, repeat, number, sent_to, path, status, received_ns, choice, request,"
    " edits, events, error, attempts, sent_ns, money FROM app_calls WHERE lost = 0"
    " AND position >= ? AND position < ? ORDER BY position, arm, repeat, number"
)
"""The calls that an app made, without those of trials that were asked again."""
LOSE_CALLS = (
    "UPDATE app_calls SET lost = ? WHERE lost = 0 AND NOT EXISTS (SELECT 1 FROM trials t WHERE"
    " (t.position, t.arm, t.repeat) = (app_calls.position, app_calls.arm, app_calls.repeat))"
)
MADE_THE_EXIT = (
    "SELECT coalesce(sum(sent_to = arm AND error IS NULL), 0) > 0"
    " AND coalesce(sum(sent_to != arm), 0) = 0 FROM app_calls"
    " WHERE lost = 0 AND position >= 0 AND arm = ?"
)
IN_A_CRASH, TRIPPED = 1, 2
"""Why the calls of an app are not those of its trial: it was asked again."""
REPEATED = (
    "SELECT position, arm, repeat FROM calls WHERE state = 'lost'"
    " UNION SELECT position, arm, repeat FROM app_calls WHERE lost = ?"
)
SETTLE = "UPDATE calls SET state = 'done', tokens = ?, money = ? WHERE id = ?"
CASES = "SELECT id, operation, body, meta FROM cases"
MOST_NAMED = 3
"""Cases that an error names; the rest is counted."""
EVERY = 2**62
"""A position beyond all others."""
NOT_BEGUN = (
    "the drill ended before its first call, so there is nothing to resume; "
    "start a new one in another folder"
)
SCHEMA = """
CREATE TABLE inputs (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cases (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, operation TEXT NOT NULL,
    body TEXT NOT NULL, meta TEXT NOT NULL, fingerprint BLOB NOT NULL
);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, arm TEXT NOT NULL, position INTEGER NOT NULL, repeat INTEGER NOT NULL,
    attempt INTEGER NOT NULL, state TEXT NOT NULL,
    tokens INTEGER NOT NULL, money REAL NOT NULL
);
CREATE TABLE trials (
    position INTEGER NOT NULL, arm TEXT NOT NULL, repeat INTEGER NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (position, arm, repeat)
) WITHOUT ROWID;
CREATE TABLE exchanges (
    position INTEGER NOT NULL, arm TEXT NOT NULL, repeat INTEGER NOT NULL, number INTEGER NOT NULL,
    edits TEXT NOT NULL, events TEXT NOT NULL, error TEXT, attempts TEXT NOT NULL,
    sent_ns INTEGER, money REAL,
    PRIMARY KEY (position, arm, repeat, number)
);
CREATE TABLE app_calls (
    id INTEGER PRIMARY KEY, position INTEGER NOT NULL, arm TEXT NOT NULL, repeat INTEGER NOT NULL,
    number INTEGER NOT NULL, sent_to TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, choice INTEGER NOT NULL, request TEXT,
    edits TEXT NOT NULL, events TEXT NOT NULL, error TEXT, attempts TEXT NOT NULL,
    sent_ns INTEGER, money REAL, lost INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX app_calls_by_trial ON app_calls (lost, position, arm, repeat, number);
CREATE TABLE passes (
    run INTEGER NOT NULL, block INTEGER NOT NULL, arm TEXT NOT NULL, repeat INTEGER NOT NULL,
    answers INTEGER NOT NULL, busy_ns INTEGER NOT NULL, delays TEXT NOT NULL,
    PRIMARY KEY (run, block, arm, repeat)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Busy:
    """How many answers came in how much time, and the drill's own delay meanwhile."""

    answers: int = 0
    seconds: float = 0.0
    delay: Delays = field(default_factory=Delays)

    def __add__(self, other: Busy) -> Busy:
        delay = Delays(self.delay.counts + other.delay.counts)
        return Busy(self.answers + other.answers, self.seconds + other.seconds, delay)


@dataclass
class PassUnderWay:
    """What an arm does in a pass: since when, by `time.monotonic_ns`, and how many answers came."""

    block: int
    arm: str
    repeat: int
    began_ns: int
    answers: int = 0
    delay: Delays = field(default_factory=Delays)

    def columns(self) -> tuple[Any, ...]:
        """Its record so far: whoever is killed leaves what was done, with the time that it took."""
        busy = time.monotonic_ns() - self.began_ns
        counts = json.dumps(self.delay.counts)
        return self.block, self.arm, self.repeat, self.answers, busy, counts


class Journal:
    """An open journal. `create` and `reopen` make one; `close` (or ``with``) ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._secrets: set[str] = set()
        self._redact = Redactor()
        self._writer = Writer(path)
        self._reader = connect(path)
        self._run = int(self._one("SELECT coalesce(max(run), 0) + 1 FROM passes")[0])

    @classmethod
    def create(cls, path: Path) -> Journal:
        """A new journal. Raises `JournalError` where there is a file already."""
        if path.exists():
            raise JournalError("there is a journal already; --resume continues it", path=path)
        try:
            with contextlib.closing(connect(path)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("PRAGMA journal_mode = WAL")
                # A kill before the version is there leaves a file that says so: version 0.
                connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
        except sqlite3.Error as error:
            raise StorageFailed(f"the journal {path} cannot be written: {error}") from error
        return cls(path)

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """The journal of an earlier drill.

        Raises `JournalError` where it is missing, damaged, not ours, or of another version.
        """
        _check_file(path)
        return cls(path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, and let go of the file. Safe to call twice."""
        self._writer.close()
        self._reader.close()

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values too in whatever is recorded from now on."""
        self._secrets.update(secrets)
        self._redact = Redactor.of(self._secrets)

    def _hidden(self, exchange: Exchange) -> Exchange:
        """An exchange without secrets that came in pieces; each column is masked as a whole."""
        if not self._secrets:
            return exchange
        return replace(exchange, events=self._redact.events(exchange.events))

    # --- writing --------------------------------------------------------------------------------

    def put_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Record inputs by name, as JSON; at once."""
        rows = [
            (name, self._redact(json.dumps(value, allow_nan=False)))
            for name, value in inputs.items()
        ]
        self._writer.now(
            lambda db: db.executemany("INSERT OR REPLACE INTO inputs VALUES (?, ?)", rows)
        )

    def put_cases(
        self,
        workload: Workload,
        limit: int | None = None,
        places: Sequence[int] | None = None,
        *,
        runs_app: bool = False,
    ) -> None:
        """Record the workload, or its first ``limit`` cases; at once, in one transaction.

        ``places`` says for each case where it stands; without it they stand as they come. Where the
        app is run its inputs are what tells cases apart.
        """

        def write(db: sqlite3.Connection) -> None:
            numbered = enumerate(islice(workload, limit))
            rows = (_row(places[n] if places else n, case, runs_app) for n, case in numbered)
            db.executemany("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._writer.now(write)

    async def intend(self, key: Key, attempt: int, reserved: Spend) -> int:
        """Record that a call is about to be made, and what it may cost; returns its id."""
        position, arm, repeat = key
        row = (arm, position, repeat, attempt, "intent", reserved.tokens, reserved.money)

        def write(db: sqlite3.Connection) -> int:
            cursor = db.execute(
                "INSERT INTO calls (arm, position, repeat, attempt, state, tokens, money)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return cursor.lastrowid or 0

        call: int = await self._writer.soon(write)
        return call

    async def settle(self, call: int, spent: Spend) -> None:
        """Record what a call that came back really cost."""
        row = (spent.tokens, spent.money, call)
        await self._writer.soon(lambda db: db.execute(SETTLE, row))

    def called(self, call: AppCall, settled: tuple[int, Spend] | None) -> asyncio.Future[None]:
        """Record a call that an app made, and settle it, in one transaction.

        Submitted at once, as by `complete`: no trial is there without its calls.
        """
        call = replace(call, exchange=self._hidden(call.exchange))
        row = tuple(self._redact(c) if isinstance(c, str) else c for c in call_columns(call))

        def write(db: sqlite3.Connection) -> None:
            if settled:
                number, spent = settled
                db.execute(SETTLE, (spent.tokens, spent.money, number))
            places = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO app_calls VALUES (NULL, {places}, 0)", row)  # noqa: S608

        return self._writer.soon(write)

    def complete(
        self,
        key: Key,
        state: TrialState,
        exchange: Exchange,
        settled: tuple[int, Spend] | None,
        under_way: PassUnderWay | None = None,
    ) -> asyncio.Future[None]:
        """Record a trial with its exchange, settle its last call, and say how far its pass is, in
        one transaction.

        Submitted at once: when a later write has been committed, so has this one.
        """
        columns = exchange_columns(self._hidden(exchange))
        passed = None if under_way is None else (self._run, *under_way.columns())
        row = (*key, 0, *(self._redact(c) if isinstance(c, str) else c for c in columns))

        def write(db: sqlite3.Connection) -> None:
            if settled:
                call, spent = settled
                db.execute(SETTLE, (spent.tokens, spent.money, call))
            db.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", (*key, state))
            db.execute(
                "INSERT OR REPLACE INTO exchanges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
            )
            if passed:
                db.execute("INSERT OR REPLACE INTO passes VALUES (?, ?, ?, ?, ?, ?, ?)", passed)

        return self._writer.soon(write)

    async def trip(self, keys: Collection[Key]) -> None:
        """Mark failed trials as those that ended their arm: a resumed drill asks them again."""
        sql = "UPDATE trials SET state = 'tripped' WHERE position = ? AND arm = ? AND repeat = ?"
        rows = list(keys)
        await self._writer.soon(lambda db: db.executemany(sql, rows))

    def lose_intents(self) -> int:
        """After a crash: mark the calls that were under way as lost; they stay charged.

        So are those that an app made in a trial that was not completed: it is asked again.
        """
        sql = "UPDATE calls SET state = 'lost' WHERE state = 'intent'"
        count: int = self._writer.now(lambda db: db.execute(sql).rowcount)
        self._writer.now(lambda db: db.execute(LOSE_CALLS, (IN_A_CRASH,)))
        return count

    def forget_tripped(self) -> None:
        """Let the trials that ended an arm be asked again."""
        self._writer.now(lambda db: db.execute("DELETE FROM trials WHERE state = 'tripped'"))
        self._writer.now(lambda db: db.execute(LOSE_CALLS, (TRIPPED,)))

    # --- reading --------------------------------------------------------------------------------

    def input(self, name: str, default: Any = None) -> Any:
        """An input by name."""
        rows = list(self._rows("SELECT value FROM inputs WHERE name = ?", (name,)))
        return self._understood(json.loads, rows[0][0]) if rows else default

    @property
    def size(self) -> int:
        """How many cases there are."""
        return int(self._one("SELECT count(*) FROM cases")[0])

    def distinct_requests(self) -> int:
        """How many of the cases' requests differ."""
        return int(self._one("SELECT count(DISTINCT fingerprint) FROM cases")[0])

    def cases(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Case]]:
        """Positions and cases from ``first`` up to but without ``last``, in order."""
        rows = self._rows(
            "SELECT position, id, operation, body, meta FROM cases"
            " WHERE position >= ? AND position < ? ORDER BY position",
            (first, self.size if last is None else last),
        )
        for position, case_id, operation, body, meta in rows:
            yield position, self._understood(_case, case_id, operation, body, meta)

    def check_cases(
        self,
        registered: str,
        workload: Workload,
        limit: int | None = None,
        places: Sequence[int] | None = None,
    ) -> None:
        """Hold the cases against the hash that was registered in the plan.

        The further arguments are those of `put_cases`. Raises `JournalError`, naming the cases that
        are not as they were.
        """
        if registered == self._cases_sha256():
            return
        edited, count = [], 0
        for number, case in enumerate(islice(workload, limit)):
            position = places[number] if places else number
            stored = list(self._rows(f"{CASES} WHERE position = ?", (position,)))
            if stored != [_row(position, case)[1:5]]:
                count += 1
                edited += [repr(case.id[:80])] if count <= MOST_NAMED else []
        which = ", ".join(edited) or "there are others"
        more = f" and {count - MOST_NAMED:,} more" if count > MOST_NAMED else ""
        raise JournalError(
            f"the cases in it were edited after they had been registered: {which}{more}. Nothing "
            "can be judged by them; restore the file, or start a new drill",
            path=self.path,
        )

    def _cases_sha256(self) -> str:
        try:
            return cases_sha256(self._reader)
        except (sqlite3.Error, UnicodeError) as error:
            raise self._unreadable(error) from error

    def completed(self, arm: str, repeat: int, first: int, last: int) -> set[int]:
        """The positions in a range that this arm has completed."""
        rows = self._rows(
            "SELECT position FROM trials WHERE position >= ? AND position < ? AND arm = ?"
            " AND repeat = ?",
            (first, last, arm, repeat),
        )
        return {position for (position,) in rows}

    def progress(self) -> dict[str, tuple[int, int]]:
        """Per arm: how many trials are completed, and how many of them failed."""
        rows = self._rows(
            "SELECT arm, count(*), sum(state != 'answered') FROM trials WHERE arm NOT GLOB ?"
            " GROUP BY arm",
            (JUDGE,),
        )
        return {arm: (count, failed) for arm, count, failed in rows}

    def spend(self) -> Spend:
        """What all calls used up; one that is under way or was lost counts with its reserve."""
        row = self._one("SELECT count(*), total(tokens), total(money) FROM calls")
        return Spend(int(row[0]), int(row[1]), float(row[2]))

    def lost_calls(self) -> int:
        """How many calls were under way when a drill was killed."""
        return int(self._one("SELECT count(*) FROM calls WHERE state = 'lost'")[0])

    def trials(self, first: int = 0, last: int | None = None) -> Iterator[Trial]:
        """Every completed trial of the cases from ``first`` up to but without ``last``, by case,
        then arm, then repeat."""
        lost = set(self._rows(REPEATED, (IN_A_CRASH,)))
        rows = self._rows(
            TRIALS + " WHERE t.position >= ? AND t.position < ? AND t.arm NOT GLOB ?"
            " ORDER BY t.position, t.arm, t.repeat",
            (max(first, 0), EVERY if last is None else last, JUDGE),
        )
        for position, arm, repeat, state, *columns in rows:
            exchange = self._understood(exchange_of, columns)
            repeated = (position, arm, repeat) in lost
            yield Trial(arm, position, repeat, state, exchange, repeated)

    def app_calls(self, first: int = 0, last: int | None = None) -> Iterator[AppCall]:
        """Every call that an app made in the trials of the cases from ``first`` up to but without
        ``last``, in the order of `trials`; those of a trial that was asked again are left out."""
        for row in self._rows(APP_CALLS, (first, EVERY if last is None else last)):
            yield self._understood(call_of, row)

    def has_left(self, arm: str) -> bool:
        """Whether in its trials the app asked this candidate, had an answer, and asked nobody
        else."""
        return any(bool(made) for (made,) in self._rows(MADE_THE_EXIT, (arm,)))

    def judgements(self) -> Iterator[Trial]:
        """Every completed trial of a judge, by arm (``judge:…``), case or label, order."""
        where = " WHERE t.arm GLOB ? ORDER BY t.arm, t.position, t.repeat"
        for position, arm, repeat, state, *columns in self._rows(TRIALS + where, (JUDGE,)):
            yield Trial(arm, position, repeat, state, self._understood(exchange_of, columns))

    def trials_of(self, position: int) -> list[Trial]:
        """The completed trials of one case; whether one was ``repeated`` is not looked up."""
        where = " WHERE t.position = ? AND t.arm NOT GLOB ?"
        return [
            Trial(arm, position, repeat, state, self._understood(exchange_of, columns))
            for _, arm, repeat, state, *columns in self._rows(TRIALS + where, (position, JUDGE))
        ]

    def busy(self) -> dict[str, Busy]:
        """Per arm: the sum of all its passes."""
        sums: dict[str, Busy] = {}
        for arm, *columns in self._rows("SELECT arm, answers, busy_ns, delays FROM passes"):
            one = self._understood(_busy, *columns)
            sums[arm] = sums[arm] + one if arm in sums else one
        return sums

    # --- machinery ------------------------------------------------------------------------------

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._reader.execute(sql, parameters):  # noqa: UP028  # would close the cursor late
                yield row
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error

    def _one(self, sql: str) -> tuple[Any, ...]:
        (row,) = self._rows(sql)
        return row

    def _understood(self, read: Callable[..., T], *columns: Any) -> T:
        """What a record says. We wrote it, so what is not understood was damaged since."""
        try:
            return read(*columns)
        except (ValueError, TypeError, LookupError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Exception:
        # Python's own complaints have no code, and quote what they found: that may be anything.
        if not hasattr(error, "sqlite_errorcode"):
            return JournalError("is damaged: a record cannot be read", path=self.path)
        if error.sqlite_errorcode & 0xFF in DISK:
            return StorageFailed(f"the journal {self.path} cannot be read: {error}")
        return JournalError(f"is damaged: {error}", path=self.path)


def cases_sha256(db: sqlite3.Connection) -> str:
    """The hash of all cases in a journal, read one by one.

    Raises ``sqlite3.Error``, and `UnicodeError` for what is no text.
    """
    digest = CasesHash()
    for row in db.execute(f"{CASES} ORDER BY position"):
        digest.add(*map(str, row))
    return digest.hexdigest()


def _busy(answers: int, nanoseconds: int, delays: str) -> Busy:
    counts = {int(bucket): int(count) for bucket, count in json.loads(delays).items()}
    return Busy(answers, nanoseconds / 1e9, Delays(counts))


def _row(position: int, case: Case, runs_app: bool = False) -> tuple[Any, ...]:
    request = case.request
    body, meta = dump(request.body), dump(case.meta())
    asked = fingerprint(case.run if runs_app else request)
    return position, case.id, request.operation, body, meta, asked


def _case(case_id: str, operation: Operation, body: str, meta: str) -> Case:
    return Case.of(case_id, operation, json.loads(body), json.loads(meta))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise JournalError("there is no journal here", path=path)
    try:
        with contextlib.closing(connect(path)) as connection:
            if path.stat().st_size == 0:
                raise JournalError(f"is empty: {NOT_BEGUN}", path=path)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION_ID:
                raise JournalError("is not a journal of exitdrill", path=path)
            if version == 0:
                raise JournalError(NOT_BEGUN, path=path)
            if version != VERSION:
                message = f"has version {version}; this exitdrill reads version {VERSION}"
                raise JournalError(message, path=path)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        reason = "it cannot be read" if isinstance(error, UnicodeDecodeError) else error
        raise JournalError(f"is damaged, or not a journal: {reason}", path=path) from None
    missing = set(re.findall(r"CREATE TABLE (\w+)", SCHEMA)) - there
    if missing:
        found = f"it has no table {min(missing)!r}"
    if found != "ok":
        raise JournalError(f"is damaged: {found}", path=path)
