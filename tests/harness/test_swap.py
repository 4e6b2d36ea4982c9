"""A swap is applied to a copy with real git, whatever is around it, and its diff is whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from exitdrill.errors import ExitdrillError, UsageError
from exitdrill.swap import AppliedSwap, Swap, SwapFailed, apply, environment_diff

SETTINGS = 'url = "https://vendor.example/v1"\nmodel = "big"\n'
PATCH = """\
--- a/settings.toml
+++ b/settings.toml
@@ -1,2 +1,2 @@
-url = "https://vendor.example/v1"
+url = "https://host.example/v1"
 model = "big"
"""
ADDS = """\
diff --git a/{path} b/{path}
new file mode 100644
--- /dev/null
+++ b/{path}
@@ -0,0 +1 @@
+x
"""
LINKS = """\
diff --git a/link b/link
new file mode 120000
--- /dev/null
+++ b/link
@@ -0,0 +1 @@
+{target}
\\ No newline at end of file
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(
        tmp_path / "scenario" / "app", {"settings.toml": SETTINGS, "src/main.py": "a\nb\n"}
    )


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_an_edit_of_the_same_length_and_time_is_seen(tmp_path: Path) -> None:
    """git trusts an index on size and time, and a fresh clone gives all files one time."""
    app = write(tmp_path / "app", {"main.py": "model = 'gpt-4'\n"})
    overlay = write(tmp_path / "overlay", {"main.py": "model = 'gpt-5'\n"})
    for number in range(3):
        for path in (app / "main.py", overlay / "main.py"):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        diff = apply(app, Swap(overlay=overlay), tmp_path / str(number)).diff
        assert "+model = 'gpt-5'" in diff


def patched(app: Path, patch: str | bytes) -> AppliedSwap:
    """Apply a patch to the app, in a folder beside the scenario's."""
    root = app.parent.parent
    return apply(app, Swap(patch=write(root, {"exit.patch": patch}) / "exit.patch"), root / "work")


def overlaid(app: Path, files: dict[str, str | bytes]) -> AppliedSwap:
    root = app.parent.parent
    return apply(app, Swap(overlay=write(root / "overlay", files)), root / "work")


def changed_lines(diff: str) -> list[str]:
    return [
        line
        for line in diff.split("\n")
        if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- "))
    ]


def test_a_patch_changes_the_copy_and_only_the_copy(app: Path) -> None:
    done = patched(app, PATCH)
    assert done.path == app.parent.parent / "work" / "app"
    assert (done.path / "settings.toml").read_text() == SETTINGS.replace("vendor", "host")
    assert (app / "settings.toml").read_text() == SETTINGS
    assert [path.name for path in done.path.parent.iterdir()] == ["app"]
    assert "diff --git a/settings.toml b/settings.toml\n" in done.diff
    assert changed_lines(done.diff) == PATCH.split("\n")[3:5]


def test_the_recorded_diff_is_a_patch_that_makes_the_same_app(app: Path, tmp_path: Path) -> None:
    (app / "old name.py").write_text("".join(f"line {n}\n" for n in range(20)))
    files = {"settings.toml": "x\n", "new/ä b.txt": "no end of line", "old name.py": ""}
    first = overlaid(app, dict(files))
    patch = write(tmp_path, {"again.patch": first.diff}) / "again.patch"
    second = apply(app, Swap(patch=patch), tmp_path / "again")
    assert second.diff == first.diff
    assert (second.path / "new/ä b.txt").read_text() == "no end of line"


def test_overlay_then_patch_then_environment(app: Path, tmp_path: Path) -> None:
    overlay = write(tmp_path / "overlay", {"settings.toml": SETTINGS + "new = 1\n"})
    patch = write(tmp_path, {"exit.patch": PATCH}) / "exit.patch"
    swap = Swap(patch, overlay, {"MODEL": "open", "SAME": "1"})
    done = apply(app, swap, tmp_path / "work", environment={"SAME": "1", "REGION": "eu"})
    assert (done.path / "settings.toml").read_text().endswith('"big"\nnew = 1\n')
    assert done.environment == {"MODEL": "open", "SAME": "1", "REGION": "eu"}
    assert changed_lines(done.diff) == ["+MODEL=open", *PATCH.split("\n")[3:5], "+new = 1"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({"A": "1"}, {"A": "1"}, []),
        ({"A": "1"}, {"A": "2"}, ["-A=1", "+A=2"]),
        ({}, {"B": "x\ny", "A": ""}, ["+A=", "+B=x\\ny"]),
        ({"A_KEY": "1"}, {"A_KEY": "2"}, ["-A_KEY=(not shown)", "+A_KEY=(not shown)"]),
    ],
)
def test_environment_diff(
    before: dict[str, str], after: dict[str, str], expected: list[str]
) -> None:
    diff = environment_diff(before, after)
    assert changed_lines(diff) == expected
    assert (diff == "") is (expected == [])


def test_a_swap_without_changes_has_an_empty_diff(app: Path, tmp_path: Path) -> None:
    done = apply(app, Swap(), tmp_path / "work")
    assert done.diff == ""
    assert (done.path / "src/main.py").read_text() == "a\nb\n"


def test_a_moved_file_is_a_rename(app: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(20))
    write(app, {"here.py": text})
    done = patched(
        app,
        "diff --git a/here.py b/there.py\nsimilarity index 100%\n"
        "rename from here.py\nrename to there.py\n",
    )
    assert (done.path / "there.py").read_text() == text
    assert "rename to there.py" in done.diff
    assert changed_lines(done.diff) == []


# --- bytes survive ------------------------------------------------------------------------------


def test_line_endings_binaries_and_modes_survive(app: Path) -> None:
    blob = bytes(range(256))
    # attributes that would have git convert line endings, expand ids, and hide differences
    write(
        app,
        {
            ".gitattributes": "* text=auto eol=crlf ident\n*.toml -diff\n",
            "mixed.txt": b"$Id$\nunix\nwindows\r\nold mac\rend",
            "blob.bin": blob,
            "run.sh": "#!/bin/sh\n",
        },
    )
    (app / "run.sh").chmod(0o755)
    done = patched(app, PATCH)
    assert (done.path / "mixed.txt").read_bytes() == b"$Id$\nunix\nwindows\r\nold mac\rend"
    assert (done.path / "settings.toml").read_bytes() == SETTINGS.replace("vendor", "host").encode()
    assert (done.path / "blob.bin").read_bytes() == blob
    assert os.access(done.path / "run.sh", os.X_OK)
    assert len(changed_lines(done.diff)) == 2


def test_a_file_with_windows_line_endings_can_be_patched(app: Path) -> None:
    write(app, {"settings.toml": SETTINGS.replace("\n", "\r\n")})
    header, body = PATCH.split("@@\n", 1)
    done = patched(app, header + "@@\n" + body.replace("\n", "\r\n"))
    expected = SETTINGS.replace("vendor", "host").replace("\n", "\r\n")
    assert (done.path / "settings.toml").read_bytes() == expected.encode()


def test_a_changed_binary_is_named_with_its_hashes(app: Path) -> None:
    write(app, {"blob.bin": b"\0one"})
    done = overlaid(app, {"blob.bin": b"\0two", "latin.txt": "é\n".encode("latin-1")})
    assert (done.path / "blob.bin").read_bytes() == b"\0two"
    assert "Binary files a/blob.bin and b/blob.bin differ" in done.diff
    assert "+\N{REPLACEMENT CHARACTER}" in done.diff


def test_what_tools_make_is_not_copied_and_ignored_files_are(app: Path) -> None:
    left_out = [
        ".git/HEAD",
        "src/__pycache__/x.pyc",
        "env/pyvenv.cfg",
        "env/bin/x",
        "node_modules/x",
        *(f"reports/one/{name}" for name in ("journal.sqlite", "plan.json", "report.html")),
    ]
    write(app, {**dict.fromkeys(left_out, "x"), ".gitignore": "*.log\n", "kept.log": "x"})
    write(app, {"reports/plan.json": "{}"})
    done = overlaid(app, {"new.log": "y\n"})
    names = {str(path.relative_to(done.path)) for path in done.path.rglob("*") if path.is_file()}
    kept = {".gitignore", "kept.log", "settings.toml", "src/main.py", "reports/plan.json"}
    assert names == kept | {"new.log"}
    assert changed_lines(done.diff) == ["+y"]


# --- what is around has no say ------------------------------------------------------------------


def test_an_enclosing_repository_and_the_users_git_have_no_say(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(
        tmp_path / "home",
        {
            ".gitconfig": "[core]\nautocrlf = true\n[apply]\nwhitespace = error-all\n"
            "[diff]\nnoprefix = true\nexternal = false\n[color]\nui = always\n",
            ".config/git/attributes": "* -diff\n",
        },
    )
    monkeypatch.setenv("HOME", str(home))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    done = patched(app, PATCH.replace('+url = "https://host', '+url  =\t"https://host'))
    assert changed_lines(done.diff)[1] == '+url  =\t"https://host.example/v1"'
    assert "\x1b" not in done.diff
    assert "a/settings.toml" in done.diff


def test_without_git(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="git is not installed"):
        patched(app, PATCH)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (PATCH.replace("vendor", "other"), "patch failed: settings.toml:1"),
        (PATCH.replace("settings.toml", "missing.toml"), "missing.toml: No such file"),
        ("", "No valid patches"),
        ("just words\n", "No valid patches"),
        (PATCH.replace(' model = "big"\n', ""), "corrupt patch"),
        (ADDS.format(path="../outside.txt"), "invalid path"),
        (ADDS.format(path="src/../../outside.txt"), "invalid path"),
        (ADDS.format(path="/tmp/outside.txt"), "invalid path"),
        (ADDS.format(path=".git/config"), "invalid path"),
        (LINKS.format(target=".."), "the symbolic link link leads out"),
        (LINKS.format(target="/etc"), "the symbolic link link leads out"),
        (LINKS.format(target="..") + ADDS.format(path="link/x"), "beyond a symbolic link"),
    ],
)
def test_patches_that_are_refused(app: Path, tmp_path: Path, patch: str, message: str) -> None:
    with pytest.raises(SwapFailed, match=message) as caught:
        patched(app, patch)
    assert str(caught.value).startswith(str(tmp_path / "exit.patch"))
    assert isinstance(caught.value, ExitdrillError)
    assert not list(tmp_path.rglob("outside.txt"))
    assert (app / "settings.toml").read_text() == SETTINGS


@pytest.mark.parametrize("target", ["/etc/hostname", "../../secret", "../scenario/app/src"])
@pytest.mark.parametrize("where", ["app", "overlay"])
def test_links_that_leave_the_folder_are_refused(
    app: Path, tmp_path: Path, where: str, target: str
) -> None:
    overlay = write(tmp_path / "overlay", {"x": "x"})
    (app if where == "app" else overlay).joinpath("src2").symlink_to(target)
    with pytest.raises(SwapFailed, match="the symbolic link src2 leads out of the folder"):
        apply(app, Swap(overlay=overlay), tmp_path / "work")


def test_links_within_the_folder_are_kept(app: Path) -> None:
    (app / "again").symlink_to("src")
    done = patched(app, PATCH)
    assert (done.path / "again").readlink() == Path("src")


def test_two_harmless_links_that_add_up_to_a_way_out(app: Path, tmp_path: Path) -> None:
    (app / "deep" / "er").mkdir(parents=True)
    (app / "deep" / "er" / "up").symlink_to("../..")
    overlay = tmp_path / "overlay"
    (overlay / "deep/er/up").mkdir(parents=True)
    (overlay / "deep/er/up/z").symlink_to("../../..")  # the overlay's root; in the copy, far above
    write(overlay, {"z/outside.txt": "x"})
    with pytest.raises(SwapFailed, match=r"z leads out of the app"):
        apply(app, Swap(overlay=overlay), tmp_path / "deeper" / "work")
    assert not list((tmp_path / "deeper").rglob("outside.txt"))


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (Swap(patch=Path("no.patch")), "the patch does not exist"),
        (Swap(overlay=Path("nowhere")), "the overlay's folder does not exist"),
    ],
)
def test_what_does_not_exist(app: Path, tmp_path: Path, swap: Swap, message: str) -> None:
    with pytest.raises(SwapFailed, match=message):
        apply(app, swap, tmp_path / "work")
    with pytest.raises(SwapFailed, match="the app's folder does not exist"):
        apply(app / "nowhere", Swap(), tmp_path / "work")


def test_a_folder_in_the_place_of_a_file(app: Path) -> None:
    with pytest.raises(SwapFailed, match=r"settings.toml/x cannot be laid over the app"):
        overlaid(app, {"settings.toml/x": "x"})


def test_a_copy_that_is_there_already(app: Path) -> None:
    patched(app, PATCH)
    with pytest.raises(SwapFailed, match="already a copy"):
        patched(app, PATCH)
