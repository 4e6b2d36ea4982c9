"""What dependencies bring with them, where a lock file or an installed environment says it.

A lock file in the app (``package-lock.json``, ``poetry.lock``, ``uv.lock``, ``pdm.lock``,
``pylock.toml``, ``go.mod`` from Go 1.17 on) lists all packages. Without one, Python's dependencies
are followed through the metadata of what is installed beside exitdrill, as long as each is there in
a version that the app takes. Else it is not known: nothing is downloaded to find out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from exitdrill.code.manifests import (
    Ecosystem,
    Package,
    Requirements,
    Unreadable,
    go_requirements,
    read_bytes,
    read_json,
    read_toml,
)
from exitdrill.swap import walk

MOST_PACKAGES = 20_000
_NODE_LOCKS = frozenset({"package-lock.json", "npm-shrinkwrap.json"})
_PYTHON_LOCKS = frozenset({"poetry.lock", "uv.lock", "pdm.lock", "pylock.toml"})
_GO_PRUNED = re.compile(r"^go\s+1\.(1[7-9]|[2-9]\d)|^go\s+[2-9]", re.MULTILINE)


class NotKnown(ValueError):
    """The transitive dependencies are not known; the message says why."""


def closure(root: Path, wanted: Requirements) -> set[Package]:
    """All packages that an app brings, direct ones and what they need. Raises `NotKnown`."""
    files = list(lock_files(root).values())
    found = set(wanted.wanted)
    for ecosystem in sorted({package.ecosystem for package in wanted.wanted}):
        locked = set(_locked(ecosystem, files))
        if not locked and ecosystem == "python":
            locked = set(_installed(wanted))
        if not locked:
            raise NotKnown(f"no lock file says what the {ecosystem} packages need")
        found |= locked
    return found


def lock_files(root: Path) -> dict[str, Path]:
    """The lock files of an app by their path in it; ``go.mod`` is one too."""
    return {path.relative_to(root).as_posix(): path for path in _files(root) if _is_lock(path)}


def _files(root: Path) -> Iterator[Path]:
    return (path for path in walk(root) if not path.is_symlink() and path.is_file())


def _is_lock(path: Path) -> bool:
    return path.name.lower() in {*_NODE_LOCKS, *_PYTHON_LOCKS, "go.mod"}


# --- lock files ---------------------------------------------------------------------------------


def _locked(ecosystem: Ecosystem, files: Collection[Path]) -> Iterator[Package]:
    for path in files:
        name = path.name.lower()
        try:
            if ecosystem == "node" and name in _NODE_LOCKS:
                yield from _npm(read_json(read_bytes(path)))
            elif ecosystem == "python" and name in _PYTHON_LOCKS:
                yield from _python(read_toml(read_bytes(path)))
            elif ecosystem == "go" and name == "go.mod":
                yield from _go(read_bytes(path))
        except Unreadable as problem:
            raise NotKnown(f"{path.name} {problem}") from None


def _npm(lock: dict[str, Any]) -> Iterator[Package]:
    """The packages of a lock file; versions 2 and 3 list them by folder, version 1 nested."""
    packages = lock.get("packages")
    if isinstance(packages, dict):
        folders = (name for name in packages if "node_modules/" in name)
        yield from (Package("node", name.rpartition("node_modules/")[2]) for name in folders)
        return
    waiting = [lock]
    while waiting:
        inner = waiting.pop().get("dependencies")
        for name, entry in inner.items() if isinstance(inner, dict) else ():
            yield Package("node", name)
            waiting += [entry] if isinstance(entry, dict) else []


def _python(lock: dict[str, Any]) -> Iterator[Package]:
    listed = lock.get("package", lock.get("packages"))
    for each in listed if isinstance(listed, list) else []:
        name = each.get("name") if isinstance(each, dict) else None
        if isinstance(name, str) and not _is_own(each):
            yield Package("python", canonicalize_name(name))


def _is_own(package: dict[str, Any]) -> bool:
    """Whether a locked package is the app itself."""
    source = package.get("source")
    return isinstance(source, dict) and bool(source.keys() & {"virtual", "editable"})


def _go(data: bytes) -> Iterator[Package]:
    if _GO_PRUNED.search(data.decode("utf-8", "replace")):
        yield from (Package("go", name) for name, _, _ in go_requirements(data))


# --- what is installed --------------------------------------------------------------------------


def _installed(wanted: Requirements) -> Iterator[Package]:
    """What Python's requirements bring, by the metadata of what is installed.

    Markers are those of this machine: what is not needed here does not count. Raises `NotKnown`.
    """
    direct = [_read(line) for line in wanted.written]
    covered = {Package("python", canonicalize_name(each.name)) for each in direct}
    for package in wanted.wanted:
        if package.ecosystem == "python" and package not in covered:
            raise NotKnown(f"no lock file says what {package} needs")
    yield from covered
    waiting = [each for each in direct if _applies(each, {""})]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        new = {(name, extra) for extra in ("", *requirement.extras)} - seen
        if not new:
            continue
        seen |= new
        if len(seen) > MOST_PACKAGES:
            raise NotKnown(f"there are more than {MOST_PACKAGES:,} packages")
        yield Package("python", name)
        waiting += _needed(requirement, {extra for _, extra in new})


def _needed(requirement: Requirement, extras: set[str]) -> Iterator[Requirement]:
    name = requirement.name
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise NotKnown(f"no lock file says what {name} needs, and it is not installed") from None
    if not requirement.specifier.contains(found.version, prereleases=True):
        raise NotKnown(
            f"no lock file says what {name} needs, and another version is installed: "
            f"{found.version}"
        )
    for line in found.requires or []:
        needed = _read(line)
        if _applies(needed, extras):
            yield needed


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement is one on this machine, for any of some extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def _read(line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement:
        raise NotKnown(f"{line[:80]!r} is no requirement that can be looked up") from None
