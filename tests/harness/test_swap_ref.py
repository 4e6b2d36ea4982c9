"""A swap can be a git ref of the repository that holds the app; that repository runs nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.harness.scenes import TOML, scene

from exitdrill.drill import run
from exitdrill.drillable import check
from exitdrill.errors import ScenarioError, SwapFailed
from exitdrill.gitref import find_ref, ref_problem
from exitdrill.plan import make_plan, warnings
from exitdrill.scenario import SwapSpec, load
from exitdrill.swap import Swap, apply

Write = Callable[[dict[str, str]], None]
PATCH = "--- a/settings.toml\n+++ b/settings.toml\n@@ -1 +1 @@\n-url = 'open'\n+url = 'patched'\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def commit(folder: Path, files: dict[str, str]) -> str:
    write(folder, files)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the app in a folder: on ``main`` as it is, on ``exit-branch`` after."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, {"README": "x\n"})
    git(root, "tag", "empty")
    commit(root, {"my app/settings.toml": "url = 'vendor'\n", "my app/main.py": "a = 1\n"})
    git(root, "checkout", "-q", "-b", "exit-branch")
    commit(root, {"my app/settings.toml": "url = 'open'\n", "my app/new.py": "b = 1\n"})
    git(root, "tag", "-a", "-m", "x", "exit-1.0")
    git(root, "checkout", "-q", "main")
    return root


@pytest.fixture
def app(repository: Path) -> Path:
    return repository / "my app"


def files_of(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


@pytest.mark.parametrize("ref", ["exit-branch", "exit-1.0", "refs/heads/exit-branch", "{commit}"])
def test_the_app_as_it_stands_at_a_ref(app: Path, tmp_path: Path, ref: str) -> None:
    ref = ref.format(commit=git(app, "rev-parse", "exit-branch"))
    done = apply(app, Swap(ref=ref), tmp_path / "work")
    expected = {"settings.toml": "url = 'open'\n", "new.py": "b = 1\n", "main.py": "a = 1\n"}
    assert files_of(done.path) == expected
    assert "+url = 'open'" in done.diff
    assert "a = 1" not in done.diff
    assert files_of(app) == {"settings.toml": "url = 'vendor'\n", "main.py": "a = 1\n"}
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["my app"]
    assert git(app, "status", "--porcelain") == ""


def test_the_app_may_be_the_whole_repository(repository: Path, tmp_path: Path) -> None:
    done = apply(repository, Swap(ref="exit-branch"), tmp_path / "work")
    assert (done.path / "my app" / "new.py").exists()


def test_a_work_tree_beside_the_repository(app: Path, tmp_path: Path) -> None:
    git(app, "worktree", "add", "-q", "--detach", str(tmp_path / "beside"), "main")
    done = apply(tmp_path / "beside" / "my app", Swap(ref="exit-branch"), tmp_path / "work")
    assert (done.path / "new.py").exists()


def test_a_repository_whose_names_are_sha256(tmp_path: Path) -> None:
    root = tmp_path / "long"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256", "-b", "main")
    commit(root, {"main.py": "a = 1\n"})
    commit(root, {"main.py": "a = 2\n"})
    old = git(root, "rev-parse", "HEAD~1")
    assert (apply(root, Swap(ref=old), tmp_path / "work").path / "main.py").read_text() == "a = 1\n"


def test_ref_then_overlay_then_patch_then_environment(app: Path, tmp_path: Path) -> None:
    overlay = write(tmp_path / "overlay", {"new.py": "b = 2\n"})
    patch = write(tmp_path, {"exit.patch": PATCH}) / "exit.patch"
    swap = Swap(patch, overlay, {"MODEL": "open"}, "exit-branch")
    done = apply(app, swap, tmp_path / "work")
    assert files_of(done.path)["new.py"] == "b = 2\n"
    assert files_of(done.path)["settings.toml"] == "url = 'patched'\n"
    assert done.environment == {"MODEL": "open"}


def test_what_is_not_copied_does_not_come_from_the_ref_either(app: Path, tmp_path: Path) -> None:
    git(app, "checkout", "-q", "exit-branch")
    commit(app, {"node_modules/x.js": "x", "sub/__pycache__/x.pyc": "x"})
    git(app, "checkout", "-q", "main")
    done = apply(app, Swap(ref="exit-branch"), tmp_path / "work")
    assert sorted(files_of(done.path)) == ["main.py", "new.py", "settings.toml"]


# --- nothing of the repository runs, or has a say -----------------------------------------------


def test_nothing_of_the_repository_runs(app: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    trap = write(tmp_path, {"trap.sh": f"#!/bin/sh\ntouch '{ran}'\ncat\n"}) / "trap.sh"
    trap.chmod(0o755)
    git(app, "checkout", "-q", "exit-branch")
    attributes = "* filter=trap text eol=crlf ident diff=trap\nnew.py export-ignore\n"
    commit(app, {".gitattributes": attributes, "id.txt": "$Id$\n"})
    git(app, "checkout", "-q", "main")
    hooks = app.parent / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / hook).write_text(trap.read_text())
        (hooks / hook).chmod(0o755)
    for key in (
        "filter.trap.smudge",
        "filter.trap.clean",
        "filter.trap.process",
        "diff.trap.command",
        "core.fsmonitor",
        "core.sshCommand",
        "uploadpack.packObjectsHook",
        "core.pager",
        "core.alternateRefsCommand",
    ):
        git(app, "config", key, str(trap))
    ran.unlink(missing_ok=True)
    done = apply(app, Swap(ref="exit-branch"), tmp_path / "work")
    assert not ran.exists()
    assert (done.path / "id.txt").read_bytes() == b"$Id$\n"
    assert (done.path / "new.py").exists()


def test_objects_that_are_not_there_are_not_fetched(app: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    oid = git(app, "rev-parse", "exit-branch:my app/settings.toml")
    (app.parent / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    git(app, "config", "remote.origin.url", f"ext::touch {ran}")
    git(app, "config", "remote.origin.promisor", "true")
    git(app, "config", "protocol.ext.allow", "always")
    git(app, "config", "extensions.partialClone", "origin")
    with pytest.raises(SwapFailed, match="unable to read"):
        apply(app, Swap(ref="exit-branch"), tmp_path / "work")
    assert not ran.exists()


def test_a_submodule_is_refused(app: Path, tmp_path: Path) -> None:
    git(app, "checkout", "-q", "exit-branch")
    entry = f"160000,{git(app, 'rev-parse', 'HEAD')},my app/vendored"
    git(app.parent, "update-index", "--add", "--cacheinfo", entry)
    git(app, "commit", "-q", "-m", "x")
    with pytest.raises(SwapFailed, match="at 'exit-branch' the app holds the submodule 'vendored'"):
        apply(app, Swap(ref="exit-branch"), tmp_path / "work")


def test_links_that_leave_the_app_are_refused(app: Path, tmp_path: Path) -> None:
    git(app, "checkout", "-q", "exit-branch")
    (app / "out").symlink_to("/etc")
    commit(app, {})
    git(app, "checkout", "-q", "main")
    with pytest.raises(SwapFailed, match="the symbolic link out leads out"):
        apply(app, Swap(ref="exit-branch"), tmp_path / "work")


def test_the_users_git_has_no_say(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.autocrlf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    done = apply(app, Swap(ref="exit-branch"), tmp_path / "work")
    assert (done.path / "new.py").read_bytes() == b"b = 1\n"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("--upload-pack=touch x", "may not begin with '-'"),
        ("-x", "may not begin with '-'"),
        ("main..exit-branch", "may not hold '..'"),
        ("../x", "may not hold '..'"),
        ("HEAD~1", "expressions such as HEAD~1 are not"),
        ("main:my app", "no plain name"),
        ("main\n", "no plain name"),
        ("@{upstream}", "no plain name"),
        ("", "no plain name"),
        ("x" * 300, "no plain name"),
    ],
)
def test_names_that_are_refused(app: Path, ref: str, message: str) -> None:
    with pytest.raises(SwapFailed, match=message.replace(".", r"\.")):
        find_ref(app, ref)
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        SwapSpec(ref=ref)


@pytest.mark.parametrize("ref", ["main", "v1.0", "feature/a_b", "release-1+2", "HEAD", "0a1b2c3d"])
def test_names_that_are_taken(ref: str) -> None:
    assert ref_problem(ref) is None


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write(tmp_path / "app", {"main.py": "a = 1\n"})
    with pytest.raises(SwapFailed, match="is not in a git repository"):
        apply(app, Swap(ref="main"), tmp_path / "work")


@pytest.mark.parametrize("ref", ["no-such-branch", "f" * 40, "dead"])
def test_an_unknown_ref(app: Path, tmp_path: Path, ref: str) -> None:
    with pytest.raises(SwapFailed, match=f"there is no branch, tag or commit '{ref}'"):
        apply(app, Swap(ref=ref), tmp_path / "work")


def test_the_app_is_not_there_at_the_ref(app: Path, tmp_path: Path) -> None:
    with pytest.raises(SwapFailed, match="the app's folder 'my app' does not exist at 'empty'"):
        apply(app, Swap(ref="empty"), tmp_path / "work")


def test_the_app_is_a_file_at_the_ref(app: Path, tmp_path: Path) -> None:
    git(app, "checkout", "-q", "--orphan", "flat")
    git(app.parent, "rm", "-rfq", ".")
    commit(app.parent, {"my app": "a file"})
    git(app.parent, "checkout", "-q", "main")
    with pytest.raises(SwapFailed, match="does not exist at 'flat'"):
        apply(app, Swap(ref="flat"), tmp_path / "work")


def test_a_swap_has_to_change_something() -> None:
    assert SwapSpec(ref="main").ref == "main"
    with pytest.raises(ValueError, match="needs a ref, an overlay, a patch or an environment"):
        SwapSpec()


def test_errors_are_the_scenarios(app: Path) -> None:
    with pytest.raises(ScenarioError):
        find_ref(app, "nothing")
    assert os.path.exists(app)


# --- in a scenario ------------------------------------------------------------------------------


def with_ref(folder: Path, ref: str) -> Path:
    """A scenario whose app is in a repository, and whose swap is a ref of it."""
    scene(folder, toml=f'{TOML}\n[app]\n[swap.new]\nref = "{ref}"\n')
    git(folder, "init", "-q", "-b", "main")
    commit(folder, {"app/main.py": "import openai\n"})
    git(folder, "checkout", "-q", "-b", "exit-branch")
    commit(folder, {"app/main.py": "import jinja2\n"})
    git(folder, "checkout", "-q", "main")
    return folder


@pytest.mark.parametrize(
    ("ref", "message"),
    [("no-such", "there is no branch, tag or commit"), ("--x", "may not begin with '-'")],
)
def test_a_ref_that_cannot_be_used_is_an_error_with_its_place(
    tmp_path: Path, ref: str, message: str
) -> None:
    folder = with_ref(tmp_path / "s", ref)
    with pytest.raises(ScenarioError, match=message) as caught:
        check(load(folder))
    assert caught.value.key == "swap.new.ref"
    assert caught.value.path == folder / "scenario.toml"
    assert caught.value.line == len((folder / "scenario.toml").read_text().splitlines())


def test_a_branch_that_moves_is_another_plan(tmp_path: Path) -> None:
    folder = with_ref(tmp_path / "s", "exit-branch")
    first = make_plan(check(load(folder)))
    swap = first.document["swap"]["new"]
    assert (swap["ref"], swap["commit"]) == ("exit-branch", git(folder, "rev-parse", "exit-branch"))
    assert make_plan(check(load(folder))).sha256 == first.sha256
    git(folder, "checkout", "-q", "exit-branch")
    commit(folder, {"app/main.py": "import json\n"})
    assert make_plan(check(load(folder))).sha256 != first.sha256


def test_what_was_not_committed_is_said(tmp_path: Path) -> None:
    folder = with_ref(tmp_path / "s", "exit-branch")
    drillable = check(load(folder))
    plan = make_plan(drillable)
    assert not [line for line in warnings(drillable, plan) if "HEAD" in line]
    write(folder, {"app/main.py": "import uncommitted\n", "app/extra ä.txt": "x\n", "other": "x\n"})
    (said,) = (line for line in warnings(drillable, plan) if "HEAD" in line)
    assert said.startswith("2 files of the app are not as at HEAD (extra ä.txt, main.py): uncomm")
    assert "the swap of new by a ref undoes them too" in said


def test_the_change_of_a_ref_is_in_the_report(tmp_path: Path) -> None:
    folder = with_ref(tmp_path / "s", "exit-branch")
    report = run(load(folder), out=tmp_path / "out").report
    rows = {row["name"]: row["candidate"] for row in report["candidates"][0]["change"]}
    assert (rows["lines"], rows["ast_nodes"], rows["vendor_call_sites"]) == (2, 1, 0)
