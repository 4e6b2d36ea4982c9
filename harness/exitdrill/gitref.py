"""The app as it stands at a git ref of the repository that holds it.

That repository is asked for three things only: where its objects are, which commit a name stands
for, and where in it the app's folder is. The files come out of its objects through a repository of
our own, so its configuration, hooks, filters, attributes and submodules run nothing and change
nothing, and nothing is fetched that is not there.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exitdrill.errors import SwapFailed
from exitdrill.git import Git, clean_environment, run_git

_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}")
_NOTHING_RUNS = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=",
    "-c",
    "protocol.allow=never",
)
_SUBMODULE = b"160000 "


@dataclass(frozen=True, slots=True)
class Found:
    """A ref, found: its commit, and the app's folder within the repository (empty: all of it).

    ``objects`` is where the repository keeps its objects, ``object_format`` the kind of their
    names.
    """

    ref: str
    commit: str
    folder: str
    objects: Path
    object_format: str


def ref_problem(ref: str) -> str | None:
    """What is wrong with the name of a ref, by its letters alone; None where nothing is."""
    if ref.startswith("-"):
        return "a ref may not begin with '-': git would take it for an option"
    if ".." in ref:
        return "a ref may not hold '..': it names one state of the app, not a range"
    if not _REF.fullmatch(ref):
        return (
            "is no plain name of a branch, a tag or a commit (letters, digits and _ . / + - are "
            "taken, expressions such as HEAD~1 are not)"
        )
    return None


def find_ref(app: Path, ref: str) -> Found:
    """The commit that a ref stands for in the repository that holds the app's folder.

    Raises `SwapFailed` where the name is not taken, the folder is in no repository, or the
    repository has no such ref.
    """
    if problem := ref_problem(ref):
        raise SwapFailed(f"{ref!r}: {problem}")
    app = app.resolve()
    if not app.is_dir():
        raise SwapFailed("the app's folder does not exist", path=app)
    try:
        prefix, objects, kind = _asked(
            app, "--show-prefix", "--git-path", "objects", "--show-object-format"
        ).rsplit("\n", 2)
    except SwapFailed as error:
        raise SwapFailed(
            f"the app's folder is not in a git repository that can be read, so it has no "
            f"{ref!r}: {error.message}",
            path=app,
        ) from None
    try:
        commit = _asked(app, "--verify", "--quiet", f"{ref}^{{commit}}")
    except SwapFailed:
        raise SwapFailed(
            f"there is no branch, tag or commit {ref!r} in the repository that holds the app",
            path=app,
        ) from None
    return Found(ref, commit, prefix.rstrip("/"), app / objects, kind)


def check_out(found: Found, into: Path) -> None:
    """Write the app as it stands at the ref into a new folder.

    Raises `SwapFailed` where the app's folder is not there, or holds a submodule, whose files are
    in another repository.
    """
    into.mkdir(parents=True)
    store = into.with_name(f".{into.name}.ref.git")
    git = Git(store, into, found.objects, found.object_format)
    try:
        tree = _tree(git, found)
        _refuse_submodules(git, tree, found)
        git.check_out(tree)
    finally:
        git.remove()


def _asked(app: Path, *arguments: str) -> str:
    """What ``git rev-parse`` says in the app's own repository; it reads, and runs nothing."""
    with tempfile.TemporaryDirectory(prefix="exitdrill-") as home:
        environment = clean_environment(Path(home))
        said = run_git((*_NOTHING_RUNS, "rev-parse", *arguments), app, environment)
    return said.decode("utf-8", "surrogateescape").removesuffix("\n")


def _tree(git: Git, found: Found) -> str:
    try:
        git.run("cat-file", "-e", f"{found.commit}^{{tree}}")
    except SwapFailed:
        raise SwapFailed(
            f"the objects of {found.ref!r} are not in the repository", path=found.objects
        ) from None
    place = f"{found.commit}:{found.folder}" if found.folder else f"{found.commit}^{{tree}}"
    try:
        kind = git.run("cat-file", "-t", place).decode().strip()
    except SwapFailed:
        kind = "nothing"
    if kind != "tree":
        raise SwapFailed(f"the app's folder {found.folder!r} does not exist at {found.ref!r}")
    return git.run("rev-parse", "--verify", place).decode().strip()


def _refuse_submodules(git: Git, tree: str, found: Found) -> None:
    for line in git.run("ls-tree", "-r", "-z", tree).split(b"\0"):
        if line.startswith(_SUBMODULE):
            name = line.partition(b"\t")[2].decode("utf-8", "replace")
            raise SwapFailed(
                f"at {found.ref!r} the app holds the submodule {name!r}, whose files are in "
                "another repository; give the swap as an overlay or a patch"
            )
