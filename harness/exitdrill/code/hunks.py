"""A change of an app, split into hunks that can be undone one by one in a copy that has it.

A hunk is what git shows as one without any context. A file that was added, deleted or moved, that
is no text, or whose mode changed, is one hunk as a whole.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from exitdrill.errors import SwapFailed
from exitdrill.git import Git

Change = Literal["changed", "added", "deleted", "moved", "variable"]
Lines = tuple[int, int]
"""The number of the first line, from 1, and how many there are. Of none, the number is that of the
line before."""

MOST_FILES = 200
"""Changed files that are looked into."""
_HEAD = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_PLAIN = {"100644", "100755"}
_LETTERS: Mapping[str, Change] = {"A": "added", "D": "deleted", "R": "moved"}


@dataclass(frozen=True, slots=True)
class Hunk:
    """A part of a change: of the file ``path``, or of the environment variable of this name.

    ``lines`` counts those that it adds and removes. Where it is a part of a file, ``old`` are its
    lines before the change and ``new`` those after it. ``was`` is what a moved file was called.
    """

    path: str
    change: Change
    lines: int
    old: Lines | None = None
    new: Lines | None = None
    was: str | None = None


def split(before: Path, after: Path, store: Path) -> list[Hunk] | None:
    """The hunks between two folders, in the order of their paths.

    None where more than `MOST_FILES` files changed. ``store`` is a place for git's objects, which
    are removed afterwards.
    """
    git = Git(store, before)
    try:
        old = git.snapshot()
        new = Git(store, after).snapshot()
        options = ("--no-ext-diff", "--no-textconv", "--find-renames", "-z", old, new)
        files = list(_files(git.run("diff", "--raw", "--no-abbrev", *options)))
        if len(files) > MOST_FILES:
            return None
        lines = dict(_lines(git.run("diff", "--numstat", *options)))
        return [hunk for file in files for hunk in _hunks(git, file, lines[file.path])]
    finally:
        git.remove()


def by_file(hunks: Sequence[Hunk]) -> list[Hunk]:
    """The same change with one hunk for each file."""
    return [
        replace(whole[0], lines=sum(hunk.lines for hunk in whole), old=None, new=None)
        for whole in _by_path(hunks)
    ]


def undo(hunks: Sequence[Hunk], before: Path, copy: Path) -> None:
    """Undo some hunks in a copy that has all of them; ``before`` is the app without any.

    Raises `SwapFailed` where one cannot be undone without others.
    """
    for group in _by_path(hunks):
        try:
            _undo(group, before, copy)
        except OSError as error:
            raise SwapFailed(f"{group[0].path} cannot be undone alone: {error}") from error


def _by_path(hunks: Sequence[Hunk]) -> list[list[Hunk]]:
    def place(hunk: Hunk) -> tuple[str, Lines]:
        return hunk.path, hunk.new or (0, 0)

    ordered = sorted(hunks, key=place)
    return [list(group) for _, group in groupby(ordered, key=lambda hunk: hunk.path)]


# --- reading what git says ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    was: str
    letter: str
    modes: tuple[str, str]
    blobs: tuple[str, str]


def _files(raw: bytes) -> Iterator[_File]:
    parts = iter(raw.split(b"\0"))
    for head in parts:
        if not head:
            return
        old, new, was_blob, blob, letter = head.decode().removeprefix(":").split(" ")
        was = os.fsdecode(next(parts))
        path = os.fsdecode(next(parts)) if letter[0] == "R" else was
        yield _File(path, was, letter[0], (old, new), (was_blob, blob))


def _lines(numstat: bytes) -> Iterator[tuple[str, int]]:
    """The lines added and removed by file; none where it is not text."""
    parts = iter(numstat.split(b"\0"))
    for head in parts:
        if not head:
            return
        added, removed, name = head.split(b"\t", 2)
        if not name:  # it was moved: both names follow
            next(parts)
            name = next(parts)
        yield os.fsdecode(name), 0 if added == b"-" else int(added) + int(removed)


def _hunks(git: Git, file: _File, lines: int) -> list[Hunk]:
    change = _LETTERS.get(file.letter, "changed")
    whole = Hunk(file.path, change, lines, was=file.was if change == "moved" else None)
    old, new = file.modes
    if file.letter != "M" or old != new or old not in _PLAIN:
        return [whole]
    said = git.run("diff", "--no-color", "--no-ext-diff", "--no-textconv", "-U0", *file.blobs)
    found = [_numbers(head) for head in _HEAD.finditer(said)]
    if not found:  # it is no text
        return [whole]
    return [Hunk(file.path, change, old[1] + new[1], old, new) for old, new in found]


def _numbers(head: re.Match[bytes]) -> tuple[Lines, Lines]:
    first, count, new_first, new_count = (
        int(1 if text is None else text) for text in head.groups()
    )
    return (first, count), (new_first, new_count)


# --- undoing ------------------------------------------------------------------------------------


def _undo(group: Sequence[Hunk], before: Path, copy: Path) -> None:
    """Undo all that shall be undone of one file."""
    hunk = group[0]
    place = _inside(copy, hunk.path)
    if hunk.new is not None:
        place.write_bytes(_without(group, before / hunk.path, place))
        return
    if hunk.change in {"added", "moved"} or place.is_symlink():
        place.unlink()
    if hunk.change != "added":
        _restore(before, copy, hunk.was or hunk.path)


def _restore(before: Path, copy: Path, path: str) -> None:
    place = _inside(copy, path)
    if place.is_dir():
        raise SwapFailed(f"{path} cannot be undone alone: there is a folder of this name")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(before / path, place, follow_symlinks=False)


def _inside(copy: Path, path: str) -> Path:
    """A place in the copy: links of both states together must not lead out of it."""
    place = copy / path
    if not place.parent.resolve().is_relative_to(copy.resolve()):
        raise SwapFailed(f"{path} leads out of the app")
    return place


def _without(group: Sequence[Hunk], before: Path, after: Path) -> bytes:
    """A file without some of its hunks."""
    was, now = _split(before.read_bytes()), _split(after.read_bytes())
    for hunk in reversed(group):
        assert hunk.old is not None
        assert hunk.new is not None
        now[_slice(hunk.new)] = was[_slice(hunk.old)]
    return b"".join(now)


def _split(content: bytes) -> list[bytes]:
    """Lines as git counts them: a line feed ends one, and nothing else does."""
    lines = content.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def _slice(lines: Lines) -> slice:
    first, count = lines
    start = first - 1 if count else first
    return slice(start, start + count)
