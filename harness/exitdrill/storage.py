"""The one thread that writes to the journal's file, committing in groups whatever waits."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitdrill.errors import StorageFailed

Write = Callable[[sqlite3.Connection], Any]


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode; whoever wants a transaction begins one."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


class Writer:
    """Runs writes in order, on a thread of its own, grouped into transactions.

    After a write that the file refused (a full disk), every later one raises `StorageFailed` too:
    nothing is written behind a gap.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._failed: StorageFailed | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def now(self, write: Write) -> Any:
        """Run a write and wait for its commit; returns what it returned."""
        outcome: Future[Any] = Future()
        self._submit(_Work(write, outcome))
        return outcome.result()

    def soon(self, write: Write) -> asyncio.Future[Any]:
        """As `now`, for an event loop: the future of what it returned.

        It is submitted at once, awaited or not; whatever is submitted later is committed later, or
        together with it.
        """
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._submit(_Work(write, outcome))
        return outcome

    def close(self) -> None:
        """Write what waits, and end. Safe to call twice."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _submit(self, work: _Work) -> None:
        if self._closed:  # nobody would ever answer
            raise StorageFailed(f"the journal {self._path} is closed")
        self._queue.put(work)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(self._path)
        except sqlite3.Error as error:
            self._fail(error)
        ending = False
        while not ending:
            group, ending = self._next_group()
            self._commit(connection, group)
        if connection is not None:
            connection.close()

    def _next_group(self) -> tuple[list[_Work], bool]:
        group: list[_Work] = []
        while (item := self._queue.get()) is not None:
            group.append(item)
            if self._queue.empty():
                return group, False
        return group, True

    def _commit(self, connection: sqlite3.Connection | None, group: list[_Work]) -> None:
        error = self._failed or self._try(connection, group)
        if error and error is not self._failed and len(group) > 1:
            for work in group:  # one of them is at fault, and only that one shall pay
                self._commit(connection, [work])
            return
        for work in group:
            work.error = error
        _deliver(group)

    def _try(self, connection: sqlite3.Connection | None, group: list[_Work]) -> Exception | None:
        """Commit a group; returns what kept it from that. `_failed` is set if it was the file."""
        assert connection is not None, "without a connection we have failed already"
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work in group:
                work.result = _kept(work.write(connection))
            connection.execute("COMMIT")
        except Exception as error:
            _rollback(connection)
            return self._fail(error) if isinstance(error, sqlite3.Error | OSError) else error
        return None

    def _fail(self, error: Exception) -> StorageFailed:
        self._failed = StorageFailed(f"the journal {self._path} cannot be written: {error}")
        return self._failed


@dataclass
class _Work:
    """Something to write, and the future of whoever waits for it, in a thread or in a loop."""

    write: Write
    outcome: Future[Any] | asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


def _deliver(group: list[_Work]) -> None:
    """Tell all who wait; each event loop is woken once."""
    loops: dict[asyncio.AbstractEventLoop, list[_Work]] = {}
    for work in group:
        if isinstance(work.outcome, asyncio.Future):
            loops.setdefault(work.outcome.get_loop(), []).append(work)
        else:
            _tell([work])
    for loop, works in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
            loop.call_soon_threadsafe(_tell, works)


def _tell(group: list[_Work]) -> None:
    for work in group:
        if work.outcome.done():  # cancelled
            continue
        if work.error is None:
            work.outcome.set_result(work.result)
        else:
            work.outcome.set_exception(work.error)


def _kept(result: Any) -> Any:
    """What a write returned, but no cursor: one that is let go of in another thread resets its
    statement, which this thread may be using again."""
    if isinstance(result, sqlite3.Cursor):
        result.close()
        return None
    return result


def _rollback(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
