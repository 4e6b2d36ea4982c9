"""The exit, applied to a copy of the app.

A swap is an overlay, a patch, an environment, or several of them. They are applied in this order:
the overlay's files are laid over the copy, then the patch edits what is there (so a patch may also
edit a file that the overlay brought, and delete what an overlay cannot). The environment changes
no file; it is recorded as the diff of a pseudo-file, because it is configuration that somebody has
to change.

Patches are read and the diff is written by git, with a repository of its own beside the copy: an
enclosing repository, the user's configuration, hooks and attribute files have no say, and no line
ending is converted. Only new, changed and deleted files count; a file that was moved is shown as a
rename, so that moving is not counted as writing. Nothing is read or written outside the folders:
symbolic links that leave them are refused, and so are patches that do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exitdrill.environment import looks_secret
from exitdrill.errors import ScenarioError, UsageError

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


class SwapFailed(ScenarioError):
    """The swap cannot be applied to the app."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What has to be changed in the app for it to run on a candidate."""

    patch: Path | None = None
    overlay: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


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
    git = _Git(workdir / f".{copy.name}.git", copy)
    try:
        original = git.snapshot()
        if swap.overlay is not None:
            _lay_over(swap.overlay, copy)
        if swap.patch is not None:
            git.apply(swap.patch)
            _refuse_links_out(copy, swap.patch)
        diff = git.diff(original, git.snapshot())
    finally:
        git.remove()
    return AppliedSwap(copy, after, environment_diff(before, after) + diff)


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
    return {name for name in names if _is_left_out(Path(folder, name))}


def _is_left_out(path: Path) -> bool:
    return path.name.lower() in NOT_COPIED or (path / "pyvenv.cfg").exists()


def _walk(root: Path) -> Iterator[Path]:
    """All files and symbolic links that are copied; links are not followed."""
    for path in sorted(root.iterdir()):
        if _is_left_out(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _refuse_links_out(root: Path, culprit: Path | None = None) -> None:
    """Absolute links are refused too: in a copy they would lead back to the original."""
    inside = root.resolve()
    for path in _walk(root):
        if not path.is_symlink():
            continue
        target = path.readlink()
        if target.is_absolute() or not path.resolve().is_relative_to(inside):
            name = path.relative_to(root)
            message = f"the symbolic link {name} leads out of the folder, to {target}"
            raise SwapFailed(message, path=culprit or root)


def _lay_over(overlay: Path, copy: Path) -> None:
    if not overlay.is_dir():
        raise SwapFailed("the overlay's folder does not exist", path=overlay)
    _refuse_links_out(overlay)
    for source in _walk(overlay):
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


# --- git ----------------------------------------------------------------------------------------


class _Git:
    """A repository of our own, outside the copy, whose working tree is the copy."""

    def __init__(self, store: Path, tree: Path) -> None:
        self._store = store.resolve()
        self._tree = tree.resolve()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self._environment = environment | {
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(self._store.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self._store),
            "GIT_WORK_TREE": str(self._tree),
            "HOME": str(self._store),
            "LC_ALL": "C",
            "XDG_CONFIG_HOME": str(self._store),
        }
        self.run("init", "--quiet", "--template=")
        # The strongest attribute file: the app's own must not convert or hide anything.
        attributes = self._store / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -text -eol -filter -ident -working-tree-encoding !diff\n")

    def run(self, *arguments: str) -> bytes:
        """What a git command writes; `SwapFailed` with its complaint."""
        try:
            done = subprocess.run(
                ("git", "-c", "core.quotePath=false", *arguments),
                cwd=self._tree,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise UsageError("git is not installed; a swap needs it (any version ≥ 2.30)") from None
        if done.returncode != 0:
            raise SwapFailed(done.stderr.decode("utf-8", "replace").strip())
        return done.stdout

    def snapshot(self) -> str:
        """The tree as it stands, ignored files included."""
        # git trusts an index on size and time, and copies keep their times: begin a new one.
        (self._store / "index").unlink(missing_ok=True)
        self.run("add", "--all", "--force", ".")
        return self.run("write-tree").decode().strip()

    def apply(self, patch: Path) -> None:
        if not patch.is_file():
            raise SwapFailed("the patch does not exist", path=patch)
        try:
            self.run("apply", "--whitespace=nowarn", str(patch.resolve()))
        except SwapFailed as error:
            hint = "Was the app changed since the patch was made?"
            raise SwapFailed(f"does not apply. {hint}\n{error}", path=patch) from None

    def diff(self, old: str, new: str) -> str:
        options = ("--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "--find-renames")
        return self.run("diff", *options, old, new).decode("utf-8", "replace")

    def remove(self) -> None:
        shutil.rmtree(self._store, ignore_errors=True)
