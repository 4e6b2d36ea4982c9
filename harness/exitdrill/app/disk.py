"""How much an app has written to its folders, looked at while it runs: too much is a flood.

No single file can grow beyond the limit (``RLIMIT_FSIZE``, see `confine`); many files are found
by looking, now and then, and never for more than a small share of the time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 1.0
"""How often the folders are looked at, at the most."""
LOOK_SHARE = 0.02
"""Of the time, at the most, that goes into looking at them."""


@dataclass(frozen=True, slots=True)
class Most:
    """What may be written: so many bytes, in so many files."""

    bytes: int
    files: int


BY_RUNNING = Most(1 << 30, 100_000)
"""What an app may add to its copy while it is drilled, and to its scratch folder in one run."""
BY_INSTALLING = Most(16 << 30, 1_000_000)
"""What its installation may add."""


@dataclass
class Disk:
    """The folders of an app, and whether more was written there than may be.

    ``over`` is what was found when they were looked at last.
    """

    folders: Sequence[Path]
    most: Most
    over: bool = field(init=False, default=False)
    _base: Most = field(init=False)
    _due: float = field(init=False, default=0.0)
    _looking: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        """Take what is there for what is there by right."""
        self._base = used(self.folders)

    async def filled(self) -> None:
        """Return when too much was written; several may wait for that."""
        while not self.over:
            await asyncio.sleep(max(0.0, self._due - time.monotonic()))
            async with self._looking:
                if time.monotonic() >= self._due:
                    await self.look()

    async def look(self) -> bool:
        """Whether too much is there, now."""
        began = time.monotonic()
        limit = Most(self._base.bytes + self.most.bytes, self._base.files + self.most.files)
        found = await asyncio.to_thread(used, self.folders, limit)
        self.over = found.bytes >= limit.bytes or found.files >= limit.files
        ended = time.monotonic()
        self._due = ended + max(LOOK_SECONDS, (ended - began) / LOOK_SHARE)
        return self.over


async def any_over(disks: Iterable[Disk]) -> bool:
    """Whether too much is on one of them, now."""
    return any([await disk.look() for disk in disks])


def used(folders: Sequence[Path], limit: Most | None = None) -> Most:
    """What lies in some folders, links not followed; with a ``limit`` no more is counted."""
    size = files = 0
    waiting = [str(folder) for folder in folders]
    while waiting and (limit is None or (size < limit.bytes and files < limit.files)):
        for entry in _entries(waiting.pop()):
            files += 1
            try:
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
            except OSError:  # it is gone
                continue
            # A file with holes may yet be filled; a small one takes a whole block.
            size += max(found.st_size, found.st_blocks * 512)
    return Most(size, files)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
