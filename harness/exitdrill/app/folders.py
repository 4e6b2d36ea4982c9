"""Temporary folders that do not outlive their drill for long.

Whoever works in one holds a lock on it, which the operating system takes back when that process
ends, be it by ``kill -9``. So the next drill knows which of them nobody works in, and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "exitdrill-work-"
"""Of folders with such a lock, and of no others: without one they would be taken for abandoned."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder of one's own, which is removed in the end."""
    folder, handle = _new()
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(handle)


def remove_abandoned() -> None:
    """Remove the folders of this user's whose drill is dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        handle = _lock(folder)
        if handle is None:
            continue
        try:
            if os.fstat(handle).st_uid == os.getuid():
                _remove(folder)
        finally:
            os.close(handle)


def _new() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        handle = _lock(folder)
        if handle is None:  # somebody took it for an abandoned one
            continue
        if folder.is_dir():
            return folder, handle
        os.close(handle)


def _lock(folder: Path) -> int | None:
    """A handle that holds the folder's lock; None where somebody else does, or it is none."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove(folder: Path) -> None:
    """Remove a folder, also one that has folders in it that may not be read."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for root, names, _ in os.walk(folder):
        for path in (Path(root, name) for name in names):
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
