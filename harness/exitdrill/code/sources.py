"""The files of an app, as they are compared: their bytes, and which language they are in.

What a file says is untrusted. It is read up to a limit and parsed; it is never imported or run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from exitdrill.swap import walk

Language = Literal["python", "javascript", "typescript", "tsx", "java", "go", "plain", "unread"]
"""``plain`` is a language without modules or SDKs (shell, HTML): its text is looked at, not its
syntax. ``unread`` is one that can hold calls and is not read."""

LONGEST = 1_000_000
"""Bytes of one file that is read; what people write by hand is shorter."""
LONGEST_SHOWN = 4_096
MOST_FILES = 20_000
MOST_BYTES = 100_000_000

_SUFFIXES: Mapping[Language, str] = {
    "python": "py pyi pyw",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "java": "java",
    "go": "go",
    "plain": "sh bash zsh mk html htm sql ps1 bat",
    "unread": "ipynb kt kts scala rs rb php cs fs vb swift m mm c h cc cpp hpp lua vue svelte dart "
    "ex exs erl pyx pxd coffee clj hs ml pl pm r jl groovy zig nim cr elm astro",
}
_LANGUAGES: Mapping[str, Language] = {
    f".{suffix}": language for language, names in _SUFFIXES.items() for suffix in names.split()
}
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_PROGRAM = re.compile(rb"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(?:\S*/)?(\S+)")
_PROGRAMS: tuple[tuple[bytes, Language], ...] = (
    (b"python", "python"),
    (b"node", "javascript"),
    (b"bash", "plain"),
    (b"sh", "plain"),
    (b"zsh", "plain"),
    (b"make", "plain"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that holds code. ``data`` is None where it was not read; ``problem`` says why."""

    path: str
    language: Language
    data: bytes | None
    problem: str | None = None


class TooMuch(ValueError):
    """The app has more files, or more bytes of code, than are looked at."""


def language_of(path: str) -> Language | None:
    """The language of a file by its name; None for what is no code."""
    name = PurePosixPath(path).name.lower()
    if name == "makefile":
        return "plain"
    return _LANGUAGES.get(PurePosixPath(name).suffix)


def shown(text: str) -> str:
    """A name that an app has given, so that any record can hold it: no control characters, nothing
    that is not Unicode, not too long."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:LONGEST_SHOWN])


def read_sources(root: Path) -> dict[str, Source]:
    """The code of an app by its path in it. Symbolic links are not followed: what they lead to is
    in the app, and is read there. Raises `TooMuch`."""
    found: dict[str, Source] = {}
    total = 0
    for number, path in enumerate(walk(root)):
        if number >= MOST_FILES:
            raise TooMuch(f"the app has more than {MOST_FILES:,} files")
        name = shown(path.relative_to(root).as_posix())
        if path.is_symlink() or not path.is_file():
            continue
        language = language_of(name) or _by_first_line(path)
        if language is None:
            continue
        found[name] = source = _read(path, name, language)
        total += len(source.data or b"")
        if total > MOST_BYTES:
            raise TooMuch(f"the app has more than {MOST_BYTES:,} bytes of code")
    return found


def _by_first_line(path: Path) -> Language | None:
    """The language of a script whose name has no ending, by the program that is to run it."""
    if path.suffix:
        return None
    try:
        with path.open("rb") as file:
            line = file.readline(200)
    except OSError:
        return None
    program = _PROGRAM.match(line)
    if program is None:
        return None
    return next((each for start, each in _PROGRAMS if program[1].startswith(start)), "unread")


def _read(path: Path, name: str, language: Language) -> Source:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        return Source(name, language, None, f"cannot be read: {error.strerror}")
    if len(data) > LONGEST:
        return Source(name, language, None, f"is longer than {LONGEST:,} bytes")
    return Source(name, language, data)
