"""What an app says that it depends on, read from its own files. Nothing is resolved or installed.

Read are ``requirements*.txt`` (and ``requirements/*.txt``), ``pyproject.toml`` (the project's, its
extras and groups, and Poetry's), ``package.json`` and ``go.mod``. Files that say the same in ways
that are not read (a ``setup.py`` is a program) are named.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from exitdrill.code.sources import shown
from exitdrill.swap import walk

Ecosystem = Literal["python", "node", "go"]
LONGEST = 20_000_000
"""Bytes of a manifest or a lock file that is read."""
MOST_FILES = 20_000


class Unreadable(ValueError):
    """A manifest cannot be read; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package by its normalised name."""

    ecosystem: Ecosystem
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Requirements:
    """What an app asks for: by package the versions that it takes (as they are written, sorted).

    ``written`` are Python's requirements whole, with extras and markers; ``not_read`` says which
    files could not be read, and why.
    """

    wanted: Mapping[Package, tuple[str, ...]] = field(default_factory=dict)
    written: tuple[str, ...] = ()
    not_read: Mapping[str, str] = field(default_factory=dict)


Entry = tuple[Package, str, str]
"""A package, its version as it is written, and for Python the whole requirement."""


def read_requirements(root: Path) -> Requirements:
    """The dependencies that the files of an app name."""
    found: dict[Package, set[str]] = {}
    written: set[str] = set()
    problems: dict[str, str] = {}
    for path in manifests(root):
        name = shown(path.relative_to(root).as_posix())
        try:
            for package, version, text in _entries(path, name):
                found.setdefault(package, set()).add(version)
                written |= {text} - {""}
        except Unreadable as problem:
            problems[name] = str(problem)
    wanted = {package: tuple(sorted(found[package])) for package in sorted(found)}
    return Requirements(wanted, tuple(sorted(written)), problems)


def manifests(root: Path) -> Iterator[Path]:
    """The files of an app that name dependencies, those that are not read among them."""
    for number, path in enumerate(walk(root)):
        if number >= MOST_FILES:
            return
        if not path.is_symlink() and path.is_file() and _reader(path.relative_to(root).as_posix()):
            yield path


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises `Unreadable` where it is too long."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if len(data) > LONGEST:
        raise Unreadable(f"is longer than {LONGEST:,} bytes")
    return data


def read_toml(data: bytes) -> dict[str, Any]:
    """A TOML file. Raises `Unreadable`."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is not TOML: {error}"[:200]) from None


def read_json(data: bytes) -> dict[str, Any]:
    """A JSON file that holds an object. Raises `Unreadable`."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is not JSON: {error}"[:200]) from None
    if not isinstance(found, dict):
        raise Unreadable("is not a JSON object")
    return found


def _entries(path: Path, name: str) -> Iterator[Entry]:
    reader = _reader(name)
    assert reader is not None
    return reader(read_bytes(path))


def _reader(name: str) -> Callable[[bytes], Iterator[Entry]] | None:
    last = PurePosixPath(name).name.lower()
    for pattern, reader in _READERS:
        if fnmatchcase(last, pattern) or ("/" in pattern and fnmatchcase(name.lower(), pattern)):
            return reader
    return None


# --- Python -------------------------------------------------------------------------------------

_OPTION = re.compile(r"\s+--?[a-zA-Z].*$")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_EGG = re.compile(r"#egg=([A-Za-z0-9._-]+)")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://|^(git|hg|svn|bzr)\+", re.IGNORECASE)


def _requirements_txt(data: bytes) -> Iterator[Entry]:
    text = data.decode("utf-8", "replace").replace("\\\r\n", "").replace("\\\n", "")
    for line in text.splitlines():
        egg = _EGG.search(line)
        said = _OPTION.sub("", _COMMENT.sub("", line)).strip()
        if egg is not None:
            yield _python(egg[1], f"@ {line.strip()}", "")
        elif said and not said.startswith("-"):
            yield _requirement(said)


def _requirement(line: str) -> Entry:
    from packaging.requirements import InvalidRequirement, Requirement

    if _URL.match(line) or line.startswith((".", "/")):
        raise Unreadable(f"names a place instead of a package: {line[:80]!r}")
    try:
        read = Requirement(line)
    except InvalidRequirement:
        raise Unreadable(f"holds what is no requirement: {line[:80]!r}") from None
    extras = f"[{','.join(sorted(read.extras))}]" if read.extras else ""
    version = f"{extras}{read.specifier}{f'@ {read.url}' if read.url else ''}"
    return _python(read.name, f"{version}{f'; {read.marker}' if read.marker else ''}", str(read))


def _python(name: str, version: str, text: str) -> Entry:
    from packaging.utils import canonicalize_name

    return Package("python", canonicalize_name(name)), version, text


def _pyproject(data: bytes) -> Iterator[Entry]:
    content = read_toml(data)
    project = _table(content, "project")
    groups = _table(content, "dependency-groups")
    lists = [project.get("dependencies", []), *_table(project, "optional-dependencies").values()]
    for each in [*lists, *groups.values()]:
        for line in each if isinstance(each, list) else []:
            if isinstance(line, str):
                yield _requirement(line)
    poetry = _table(_table(content, "tool"), "poetry")
    tables = [_table(poetry, "dependencies"), _table(poetry, "dev-dependencies")]
    tables += [_table(group, "dependencies") for group in _table(poetry, "group").values()]
    for table in tables:
        for name, value in table.items():
            if name.lower() != "python":
                yield _python(name, _version(value), "")


def _table(content: Any, key: str) -> dict[str, Any]:
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _version(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


# --- Node and Go --------------------------------------------------------------------------------

_NODE = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_GO_LINE = re.compile(r"^\s*(?:require\s+)?([\w./~-]+)\s+(v[\w.+-]+)\s*(//.*)?$")


def _package_json(data: bytes) -> Iterator[Entry]:
    content = read_json(data)
    for key in _NODE:
        for name, version in _table(content, key).items():
            yield Package("node", name), _version(version), ""


def _go_mod(data: bytes) -> Iterator[Entry]:
    for name, version, direct in go_requirements(data):
        if direct:
            yield Package("go", name), version, ""


def go_requirements(data: bytes) -> Iterator[tuple[str, str, bool]]:
    """What a ``go.mod`` requires: the path, the version, whether the app itself imports it."""
    inside = False
    for line in data.decode("utf-8", "replace").splitlines():
        stripped = line.split("//")[0].split()
        if stripped[:2] == ["require", "("] or stripped == ["require("]:
            inside = True
        elif stripped == [")"]:
            inside = False
        elif (inside or stripped[:1] == ["require"]) and (match := _GO_LINE.match(line)):
            yield match[1], match[2], "// indirect" not in line


# --- what is not read ---------------------------------------------------------------------------


def _not_read(_: bytes) -> Iterator[Entry]:
    raise Unreadable("is a kind of manifest that is not read")


_READERS: tuple[tuple[str, Callable[[bytes], Iterator[Entry]]], ...] = (
    ("requirements*.txt", _requirements_txt),
    ("*requirements.txt", _requirements_txt),
    ("*requirements/*.txt", _requirements_txt),
    ("pyproject.toml", _pyproject),
    ("package.json", _package_json),
    ("go.mod", _go_mod),
    *((name, _not_read) for name in ("setup.py", "setup.cfg", "pipfile", "environment.yml")),
    *((name, _not_read) for name in ("environment.yaml", "pom.xml", "*.gradle", "*.gradle.kts")),
    *((name, _not_read) for name in ("cargo.toml", "gemfile", "composer.json", "*.csproj")),
)
