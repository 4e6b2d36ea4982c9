"""Dependencies that a change adds, removes, or asks for in another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exitdrill.code.closure import NotKnown, closure, lock_files
from exitdrill.code.manifests import Package, Requirements, read_requirements
from exitdrill.code.sources import shown

LONGEST_NAME = 214
"""Characters of a package's name: what npm allows, the longest of all."""


@dataclass(frozen=True)
class Dependencies:
    """Names of packages. ``all_added`` and ``all_removed`` count what they bring with them too, and
    are None where that is not known: ``why_not_known`` says why.

    ``not_read`` are the manifests that could not be read, and so may hold more.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    all_added: tuple[str, ...] | None = None
    all_removed: tuple[str, ...] | None = None
    why_not_known: str | None = None
    not_read: Mapping[str, str] = field(default_factory=dict)


def changed_dependencies(before: Path, after: Path) -> Dependencies:
    """Compare what two versions of an app depend on."""
    old, new = read_requirements(before), read_requirements(after)
    both = old.wanted.keys() & new.wanted.keys()
    changed = [package for package in both if old.wanted[package] != new.wanted[package]]
    brought, why = _brought(before, after, old, new)
    return Dependencies(
        added=_names(new.wanted.keys() - both),
        removed=_names(old.wanted.keys() - both),
        changed=_names(set(changed)),
        all_added=None if brought is None else _names(brought[1] - brought[0]),
        all_removed=None if brought is None else _names(brought[0] - brought[1]),
        why_not_known=why,
        not_read=_unread(before, after, old, new),
    )


def _brought(
    before: Path, after: Path, old: Requirements, new: Requirements
) -> tuple[tuple[set[Package], set[Package]] | None, str | None]:
    """All packages of both versions, or why they are not known."""
    if old.wanted == new.wanted and not _unread(before, after, old, new):
        locks = lock_files(before), lock_files(after)
        same = [not _differ(before / name, after / name) for name in locks[0].keys() | locks[1]]
        if all(same):
            return (set(), set()), None  # the same dependencies bring the same, whatever it is
    try:
        return (closure(before, old), closure(after, new)), None
    except NotKnown as problem:
        return None, str(problem)


def _names(packages: set[Package]) -> tuple[str, ...]:
    return tuple(shown(package.name)[:LONGEST_NAME] for package in sorted(packages))


def _unread(before: Path, after: Path, old: Requirements, new: Requirements) -> dict[str, str]:
    """Manifests that could not be read, but those that are the same in both versions."""
    problems = {**old.not_read, **new.not_read}
    return {name: problems[name] for name in problems if _differ(before / name, after / name)}


def _differ(old: Path, new: Path) -> bool:
    try:
        return old.read_bytes() != new.read_bytes()
    except OSError:
        return True
