"""An app's copy as it was: what a run wrote there is undone before the next one.

A run that finds what an earlier one left (a cache, a counter) is no trial of its own. What changed
is found by the inode, the size and the times of each file: 10,000 of them take well under a second.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from exitdrill.errors import ServerFailed

MOST_FILES = 20_000
MOST_BYTES = 1 << 28
"""What is more than that, together or in files, is not put back: it would take too long."""

Mark = tuple[int, ...]


@dataclass
class Kept:
    """A folder, and a second copy of it from which it is put back.

    ``possible`` is False where it is too large for that, or cannot be copied.
    """

    folder: Path
    aside: Path
    possible: bool = True
    _marks: dict[str, Mark] | None = field(init=False, default=None)
    _running: int = field(init=False, default=0)
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """While something runs there. Of those that run at once the last puts the folder back.

        Raises `ServerFailed` where it cannot be put back.
        """
        async with self._lock:
            if self._marks is None and self.possible:
                await asyncio.to_thread(self._keep)
            self._running += 1
        try:
            yield
        finally:
            async with self._lock:
                self._running -= 1
                if not self._running and self.possible:
                    await asyncio.to_thread(self._put_back)

    def _keep(self) -> None:
        size = files = 0
        for _, found in _walk(self.folder):
            size, files = size + found.st_size, files + 1
            if size > MOST_BYTES or files > MOST_FILES:
                self.possible = False
                return
        try:
            shutil.copytree(self.folder, self.aside, symlinks=True)
        except (OSError, shutil.Error):  # a pipe, say
            self.possible = False
            return
        self._marks = dict(self._now())

    def _put_back(self) -> None:
        try:
            self._undo()
        except (OSError, RecursionError):  # what cannot be removed is put out of the way
            self._move_away()

    def _undo(self) -> None:
        """Top down, so that no link that the app made in a folder's place is followed."""
        assert self._marks is not None
        missing = set(self._marks)
        for path, found in _walk(self.folder):
            known, now = self._marks.get(path), _mark(found)
            if known == now:
                missing.discard(path)
            elif known is not None and stat.S_ISDIR(known[0]) and stat.S_ISDIR(now[0]):
                os.chmod(self.folder / path, stat.S_IMODE(known[0]))
                missing.discard(path)
            else:
                _remove(self.folder / path)
        for path in sorted(missing):  # a folder comes before what is in it
            self._again(path)

    def _again(self, path: str) -> None:
        assert self._marks is not None
        source, target = self.aside / path, self.folder / path
        if stat.S_ISDIR(self._marks[path][0]):
            target.mkdir()
            shutil.copystat(source, target)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
        self._marks[path] = _mark(target.lstat())

    def _move_away(self) -> None:
        try:
            self._anew()
        except OSError as error:
            raise ServerFailed(f"the app's copy cannot be put back: {error}") from error

    def _anew(self) -> None:
        with suppress(OSError):
            os.chmod(self.folder, stat.S_IRWXU, follow_symlinks=False)
        number = 0
        while (place := self.aside.with_name(f"{self.aside.name}.{number}")).exists():
            number += 1
        with suppress(FileNotFoundError):
            self.folder.rename(place)
        # Folders in folders without end are too much for shutil.
        subprocess.run(["rm", "-rf", "--", place], stderr=subprocess.DEVNULL, check=False)
        shutil.copytree(self.aside, self.folder, symlinks=True)
        self._marks = dict(self._now())

    def _now(self) -> Iterator[tuple[str, Mark]]:
        for path, found in _walk(self.folder):
            yield path, _mark(found)


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All that is in a folder, by its path there, a folder before what is in it; links are not
    followed. What the caller removes is not entered. Raises `OSError`."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            found = [(os.path.join(inside, each.name), each) for each in entries]
        for path, entry in found:
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode) and (folder / path).exists():
                waiting.append(path)


def _mark(found: os.stat_result) -> Mark:
    """What is another when a file was written to; of a folder, what it is."""
    if stat.S_ISDIR(found.st_mode):
        return (found.st_mode,)
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_mode, found.st_ino, found.st_size, *times)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
