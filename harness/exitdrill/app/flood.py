"""Ends an app that is served and writes without end: to its folders, or to its log."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from exitdrill.app.disk import LOOK_SECONDS, Disk, any_over
from exitdrill.app.process import FILLED
from exitdrill.server import Server

MOST_LOG = 64_000_000
"""Bytes of what a served app writes to its standard output and errors. It is cut off between two
trials, when there is more than half of that, and ended when all of it comes in one."""
LOUD = f"the app wrote more than {MOST_LOG / 1e6:g} MB to its log, and was ended"


class FloodWatch:
    """Looks at a server as long as it runs, and ends it when it has to. ``floods`` counts how often
    that was; ``said`` is why it was the last time."""

    def __init__(self, server: Server, disks: Sequence[Disk], scratch: Path) -> None:
        self.floods = 0
        self.said = ""
        self._told: set[int] = set()
        self._server = server
        self._disks = disks
        self._scratch = scratch
        self._watching: asyncio.Task[None] | None = None
        self._ending = False
        self._at_once = asyncio.Event()

    async def begin(self) -> None:
        """Watch, from before the server is started."""
        await self.end()
        self._at_once.clear()
        self._watching = asyncio.create_task(self._watch())

    async def end(self) -> None:
        """Watch no more; who is being ended is ended."""
        if self._watching is not None and not self._ending:
            self._watching.cancel()
        await self._over()
        self._watching = None

    async def settled(self) -> None:
        """Wait until who is being ended has ended."""
        if self._ending:
            await self._over()

    async def found(self, before: int) -> str | None:
        """Why it was ended since there were so many floods, or has to be now, which is done; None
        where it is neither."""
        if self.floods == before and self._watching is not None and await self._is_one():
            self._at_once.set()
            await self._over()
        self._told.update(range(before, self.floods))
        return self.said if self.floods > before else None

    @property
    def untold(self) -> int:
        """How many of them nobody was told of: they came while nothing was asked, or in spite of an
        answer."""
        return self.floods - len(self._told)

    def trim(self) -> None:
        """Cut the log off where it has become long."""
        if _size(self._server.log) > MOST_LOG // 2:
            with suppress(OSError):
                os.truncate(self._server.log, 0)

    async def _watch(self) -> None:
        filled = {asyncio.create_task(disk.filled()) for disk in self._disks}
        at_once = asyncio.create_task(self._at_once.wait())
        try:
            done: set[asyncio.Task[Any]] = set()
            while not done and not self._loud:
                done, _ = await asyncio.wait(
                    {*filled, at_once}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for task in (*filled, at_once):
                task.cancel()
        await self._put_an_end()

    async def _put_an_end(self) -> None:
        self._ending, self.said = True, LOUD if self._loud else FILLED
        self.floods += 1
        try:
            await self._server.stop()
            await asyncio.to_thread(_empty, self._scratch)
            await any_over(self._disks)
        finally:
            self._ending = False

    async def _is_one(self) -> bool:
        return self._loud or await any_over(self._disks)

    @property
    def _loud(self) -> bool:
        return _size(self._server.log) > MOST_LOG

    async def _over(self) -> None:
        if self._watching is not None:
            await asyncio.wait({self._watching})
            if not self._watching.cancelled():
                self._watching.result()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _empty(folder: Path) -> None:
    """Remove what an app has written there, which is no longer running."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
