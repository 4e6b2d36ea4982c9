"""The exit, applied to a copy of the app.

A swap is a git ref, an overlay, a patch, an environment, or several of them. They are applied in
this order: the app as it stands at the ref takes the copy's place (so what is not in the repository
is gone), the overlay's files are laid over it, then the patch edits what is there (so a patch may
also edit a file that the overlay brought, and delete what an overlay cannot). The environment
changes no file; it is recorded as the diff of a pseudo-file, because it is configuration that
somebody has to change.

Patches are read and the diff is written by git, with a repository of its own beside the copy: an
enclosing repository, the user's configuration, hooks and attribute files have no say, and no line
ending is converted. Only new, changed and deleted files count; a file that was moved is shown as a
rename, so that moving is not counted as writing. Nothing is read or written outside the folders:
symbolic links that leave them are refused, and so are patches that do.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exitdrill.environment import looks_secret
from exitdrill.errors import SwapFailed
from exitdrill.git import Git
from exitdrill.gitref import check_out, find_ref

__all__ = [
    "ENVIRONMENT_FILE",
    "AppliedSwap",
    "Swap",
    "SwapFailed",
    "apply",
    "beside_head",
    "environment_diff",
    "walk",
]

ENVIRONMENT_FILE = "<environment>"
"""The name under which a change of environment variables stands in the diff."""

NOT_COPIED = frozenset(
    {
        ".git",
        ".hg",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        "__pycache__",
        "node_modules",
    }
)
"""History and what tools can make again; so can virtualenvs, which a ``pyvenv.cfg`` gives away."""
_OF_A_DRILL = ("journal.sqlite", "plan.json")
"""What stands in the folder of a drill, where the app's folder is the scenario's own: no part of
the app either."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What has to be changed in the app for it to run on a candidate.

    ``ref`` is a branch, a tag or a commit of the repository that holds the app.
    """

    patch: Path | None = None
    overlay: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class AppliedSwap:
    """The changed copy of the app, its environment, and the unified diff of both changes.

    Text that is not UTF-8 has replacement characters in the diff; binary files are named with
    their hashes. The values of variables whose names look secret are not shown.
    """

    path: Path
    environment: Mapping[str, str]
    diff: str


def apply(
    app: Path, swap: Swap, workdir: Path, *, environment: Mapping[str, str] | None = None
) -> AppliedSwap:
    """Copy the app into ``workdir`` (under its own name) and apply the swap there.

    ``environment`` is what the app runs with on the incumbent; the swap's comes on top. Raises
    `SwapFailed`; what stands in ``workdir`` is then of no use.
    """
    before = dict(environment or {})
    after = before | dict(swap.environment)
    copy = workdir / app.resolve().name
    if copy.exists():
        raise SwapFailed("there is already a copy of the app here", path=copy)
    _copy(app, copy)
    git = Git(workdir / f".{copy.name}.git", copy)
    try:
        original = git.snapshot()
        if swap.ref is not None:
            _put_in_place(app, swap.ref, copy)
        if swap.overlay is not None:
            _lay_over(swap.overlay, copy)
        if swap.patch is not None:
            git.apply(swap.patch)
            _refuse_links_out(copy, swap.patch)
        diff = git.diff(original, git.snapshot())
    finally:
        git.remove()
    return AppliedSwap(copy, after, environment_diff(before, after) + diff)


def beside_head(app: Path) -> str:
    """The diff from the app to what the repository's HEAD has of it: of what was not committed.

    Raises `SwapFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="exitdrill-") as folder:
        return apply(app, Swap(ref="HEAD"), Path(folder)).diff


def environment_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The changed variables as a unified diff of a pseudo-file of NAME=value lines."""
    old, new = [], []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            old += [f"-{_line(name, before[name])}\n"] if name in before else []
            new += [f"+{_line(name, after[name])}\n"] if name in after else []
    if not old and not new:
        return ""
    place = f"a/{ENVIRONMENT_FILE} b/{ENVIRONMENT_FILE}"
    head = f"diff --git {place}\n--- a/{ENVIRONMENT_FILE}\n+++ b/{ENVIRONMENT_FILE}\n"
    hunk = f"@@ -{bool(old):d},{len(old)} +{bool(new):d},{len(new)} @@\n"
    return head + hunk + "".join(old + new)


def _line(name: str, value: str) -> str:
    shown = "(not shown)" if looks_secret(name) else value
    return f"{name}={shown}".replace("\r", "\\r").replace("\n", "\\n")


# --- files --------------------------------------------------------------------------------------


def _copy(app: Path, copy: Path) -> None:
    if not app.is_dir():
        raise SwapFailed("the app's folder does not exist", path=app)
    _refuse_links_out(app)
    try:
        shutil.copytree(app, copy, symlinks=True, ignore=_left_out)
    except (OSError, shutil.Error) as error:
        raise SwapFailed(f"cannot be copied: {error}", path=app) from error


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if is_left_out(Path(folder, name))}


def is_left_out(path: Path) -> bool:
    """Whether a file or folder of an app is not copied."""
    return (
        path.name.lower() in NOT_COPIED
        or (path / "pyvenv.cfg").exists()
        or all((path / name).exists() for name in _OF_A_DRILL)
    )


def walk(root: Path) -> Iterator[Path]:
    """All files and symbolic links of an app that are copied; links are not followed."""
    for path in sorted(root.iterdir()):
        if is_left_out(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def files_of(path: Path) -> list[Path]:
    """A file, or all files of a folder that would be copied."""
    if not path.is_dir():
        return [path]
    return [each for each in walk(path) if each.is_file()]


def _refuse_links_out(root: Path, culprit: Path | None = None) -> None:
    """Absolute links are refused too: in a copy they would lead back to the original."""
    inside = root.resolve()
    for path in walk(root):
        if not path.is_symlink():
            continue
        target = path.readlink()
        if target.is_absolute() or not path.resolve().is_relative_to(inside):
            name = path.relative_to(root)
            message = f"the symbolic link {name} leads out of the folder, to {target}"
            raise SwapFailed(message, path=culprit or root)


def _put_in_place(app: Path, ref: str, copy: Path) -> None:
    """The app as it stands at a ref, in the copy's place, without what is not copied either."""
    found = find_ref(app, ref)
    shutil.rmtree(copy)
    check_out(found, copy)
    for path in [path for path in copy.rglob("*") if is_left_out(path)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    _refuse_links_out(copy)


def _lay_over(overlay: Path, copy: Path) -> None:
    if not overlay.is_dir():
        raise SwapFailed("the overlay's folder does not exist", path=overlay)
    _refuse_links_out(overlay)
    for source in walk(overlay):
        target = copy / source.relative_to(overlay)
        if not target.parent.resolve().is_relative_to(copy.resolve()):
            # a link of the overlay's and one of the app's, each harmless, can add up to a way out
            raise SwapFailed(f"{target.parent} leads out of the app", path=overlay)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_symlink():
                target.unlink()
            shutil.copy2(source, target, follow_symlinks=False)
        except OSError as error:
            where = source.relative_to(overlay)
            raise SwapFailed(
                f"{where} cannot be laid over the app: {error}", path=overlay
            ) from error
    _refuse_links_out(copy, overlay)
