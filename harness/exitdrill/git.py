"""git, run so that nothing but its arguments has a say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from exitdrill.errors import SwapFailed, UsageError


class Git:
    """A repository of our own at ``store``, outside the folder ``tree`` that is its working tree.

    An enclosing repository, the user's configuration, hooks and attribute files have no say, and no
    line ending is converted. With ``borrowed`` it also sees the objects in another repository's
    object folder, whose names are of the kind ``object_format``, and nothing else of that one.
    """

    def __init__(
        self, store: Path, tree: Path, borrowed: Path | None = None, object_format: str = "sha1"
    ) -> None:
        self._store = store.resolve()
        self._tree = tree.resolve()
        self._environment = clean_environment(self._store) | {
            "GIT_CEILING_DIRECTORIES": str(self._store.parent),
            "GIT_DIR": str(self._store),
            "GIT_WORK_TREE": str(self._tree),
        }
        self.run("init", "--quiet", "--template=", f"--object-format={object_format}")
        # The strongest attribute file: the app's own must not convert or hide anything.
        attributes = self._store / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -text -eol -filter -ident -working-tree-encoding !diff\n")
        if borrowed is not None:
            alternates = self._store / "objects" / "info" / "alternates"
            alternates.parent.mkdir(exist_ok=True)
            alternates.write_bytes(_quoted(borrowed) + b"\n")

    def run(self, *arguments: str) -> bytes:
        """What a git command writes; `SwapFailed` with its complaint."""
        return run_git(arguments, self._tree, self._environment)

    def snapshot(self) -> str:
        """The tree as it stands, ignored files included."""
        # git trusts an index on size and time, and copies keep their times: begin a new one.
        (self._store / "index").unlink(missing_ok=True)
        self.run("add", "--all", "--force", ".")
        return self.run("write-tree").decode().strip()

    def apply(self, patch: Path) -> None:
        """Apply a patch to the working tree. Raises `SwapFailed`."""
        if not patch.is_file():
            raise SwapFailed("the patch does not exist", path=patch)
        try:
            self.run("apply", "--whitespace=nowarn", str(patch.resolve()))
        except SwapFailed as error:
            hint = "Was the app changed since the patch was made?"
            raise SwapFailed(f"does not apply. {hint}\n{error}", path=patch) from None

    def check_out(self, tree: str) -> None:
        """Write the files of a tree into the working tree, which is empty."""
        self.run("read-tree", tree)
        self.run("checkout-index", "--all", "--force", "--quiet")

    def diff(self, old: str, new: str) -> str:
        """The unified diff of two trees, with renames."""
        options = ("--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "--find-renames")
        return self.run("diff", *options, old, new).decode("utf-8", "replace")

    def remove(self) -> None:
        """Remove the repository; its working tree stays."""
        shutil.rmtree(self._store, ignore_errors=True)


def run_git(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> bytes:
    """What a git command writes; `SwapFailed` with its complaint, `UsageError` without git."""
    try:
        done = subprocess.run(
            ("git", "-c", "core.quotePath=false", *arguments),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed; a swap needs it (any version ≥ 2.30)") from None
    if done.returncode != 0:
        raise SwapFailed(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout


def clean_environment(home: Path) -> dict[str, str]:
    """The environment without what is the user's or the system's of git's configuration."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return environment | {
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "HOME": str(home),
        "LC_ALL": "C",
        "XDG_CONFIG_HOME": str(home),
    }


def _quoted(path: Path) -> bytes:
    """A path as a line of an alternates file: quoted as in C where it holds what needs it."""
    plain = os.fsencode(path)
    if not any(byte in plain for byte in b'"\n\\#'):
        return plain
    return b'"' + b"".join(rb"\%03o" % byte for byte in plain) + b'"'
