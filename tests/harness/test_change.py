"""Diffs are counted by class, formula by formula, whatever their lines look like."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exitdrill.errors import ScenarioError
from exitdrill.measures.base import ArmFacts, Pair
from exitdrill.measures.change import CLASSES, MEASURES, change_counts, class_of
from exitdrill.measures.unified_diff import FileChange, parse_diff
from exitdrill.swap import environment_diff

MODIFIED = """\
diff --git a/settings.toml b/settings.toml
index 1..2 100644
--- a/settings.toml
+++ b/settings.toml
@@ -1,3 +1,4 @@ [model]
 a
-b
+c
+d
 e
"""
LOOKS_LIKE_HEADERS = """\
diff --git a/q.sql b/q.sql
--- a/q.sql
+++ b/q.sql
@@ -1,3 +1,2 @@
--- a comment
-diff --git a/x b/x
+++ more
 @@ -1 +1 @@
"""
PLAIN = """\
--- one.py\t2026-01-01
+++ one.py\t2026-01-02
@@ -1 +1 @@
-a
+b
--- two.py
+++ /dev/null
@@ -1,2 +0,0 @@
-a
-b
--- /dev/null
+++ three.py
@@ -0,0 +1 @@
+a
"""


@pytest.mark.parametrize(
    ("diff", "expected"),
    [
        ("", []),
        (MODIFIED, [("settings.toml", 2, 1)]),
        (MODIFIED + LOOKS_LIKE_HEADERS, [("settings.toml", 2, 1), ("q.sql", 1, 2)]),
        (PLAIN, [("one.py", 1, 1), ("two.py", 0, 2), ("three.py", 1, 0)]),
        (
            "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n"
            "@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n",
            [("x", 1, 0)],
        ),
        (
            "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n"
            "@@ -1 +0,0 @@\n-a\n",
            [("x", 0, 1)],
        ),
        ("diff --git a/a b/b b/a b/b\nold mode 100644\nnew mode 100755\n", [("a b/b", 0, 0)]),
        (
            "diff --git a/x.bin b/x.bin\nindex 1..2 100644\n"
            "Binary files a/x.bin and b/x.bin differ\n",
            [("x.bin", 0, 0)],
        ),
        (
            "diff --git a/old.py b/new.py\nsimilarity index 90%\nrename from old.py\n"
            "rename to new.py\n--- a/old.py\n+++ b/new.py\n@@ -1 +1 @@\n-a\n+b\n",
            [("new.py", 1, 1)],
        ),
        (
            "diff --git a/a.py b/b.py\nsimilarity index 100%\nrename from a.py\nrename to b.py\n",
            [("b.py", 0, 0)],
        ),
        ('diff --git "a/t\\t\\303\\244" "b/t\\t\\303\\244"\nold mode 1\n', [("t\tä", 0, 0)]),
        (
            "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\x0cb\r\n+a\x0cc\x85\u2028\r\n \n",
            [("x", 1, 1)],
        ),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n\n-a\n+b\n\n--- a/y\n+++ b/y\n", None),
    ],
)
def test_parse_diff(diff: str, expected: list[tuple[str, int, int]] | None) -> None:
    if expected is None:  # an editor has stripped the blanks of empty context lines
        expected = [("x", 1, 1), ("y", 0, 0)]
    assert list(parse_diff(diff)) == [FileChange(*row) for row in expected]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("settings.toml", "configuration"),
        ("<environment>", "configuration"),
        (".env.production", "configuration"),
        ("deploy/Dockerfile", "configuration"),
        ("deploy/values.YAML", "configuration"),
        ("prompt.txt", "prompt"),
        ("app/prompts/reply.py", "prompt"),
        ("app/system_prompt.md", "prompt"),
        ("templates/triage.j2", "prompt"),
        ("triage.py", "code"),
        ("web/page.tsx", "code"),
        ("Makefile", "code"),
        ("schemas/answer.json", "schema"),
        ("ticket.schema.json", "schema"),
        ("requirements.txt", "dependency"),
        ("services/a/requirements-dev.txt", "dependency"),
        ("pyproject.toml", "dependency"),
        ("poetry.lock", "dependency"),
        ("test_triage.py", "test"),
        ("a/tests/data/prompt.txt", "test"),
        ("contest.py", "code"),
        ("latests/x.py", "code"),
        ("README.md", "other"),
        ("weights.safetensors", "other"),
    ],
)
def test_classes_of_files(path: str, kind: str) -> None:
    assert class_of(path) == kind


def test_counts_by_class() -> None:
    counts = change_counts(MODIFIED + LOOKS_LIKE_HEADERS + PLAIN)
    assert {kind: n for kind, n in counts.lines.items() if n} == {
        "configuration": 3,
        "schema": 3,
        "code": 5,
    }
    assert {kind: n for kind, n in counts.files.items() if n} == {
        "configuration": 1,
        "schema": 1,
        "code": 3,
    }
    assert tuple(counts.lines) == tuple(counts.files) == CLASSES
    assert (counts.added, counts.removed) == (5, 6)
    assert (counts.total_files, counts.total_lines) == (5, 11)


def test_globs_of_a_scenario_go_first() -> None:
    counts = change_counts(PLAIN + MODIFIED, {"prompt": ["t*.py"], "other": ["settings.toml"]})
    assert counts.files["prompt"] == 2
    assert counts.files["code"] == 1
    assert (counts.files["other"], counts.files["configuration"]) == (1, 0)


def test_a_class_that_does_not_exist() -> None:
    with pytest.raises(ScenarioError, match="'prompts' is not a class of files; did you mean 'pro"):
        change_counts("", {"prompts": ["*.md"]})


def test_git_counts_the_same(tmp_path: Path) -> None:
    """`git diff --numstat`, an implementation of others, agrees on a diff with all the oddities."""
    for side, odd in (("a", "-- x\n++ y\n\r\n\x0c\n"), ("b", "++ y\n-- z\n\r\n\x0c\x0c\n\n")):
        (tmp_path / side).mkdir()
        for name in ("x.py", "ä ö.txt", 'quo"te', "tab\tname"):
            (tmp_path / side / name).write_bytes((name + "\n" + odd).encode())
    (tmp_path / "a" / "gone.cfg").write_text("1\n2\n")
    (tmp_path / "b" / "new.sql").write_text("1\n2\n3")

    def git(*options: str) -> str:
        command = ["git", "diff", "--no-index", "--no-renames", "--no-color", *options, "a", "b"]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, check=False
        ).stdout.decode()

    theirs = [line.split("\t")[:2] for line in git("--numstat", "-z").split("\0") if "\t" in line]
    ours = list(parse_diff(git()))
    assert len(ours) == 6
    assert sorted((str(change.added), str(change.removed)) for change in ours) == sorted(
        (added, removed) for added, removed in theirs if added.isdigit()
    )
    assert {Path(change.path).name for change in ours} >= {"ä ö.txt", 'quo"te', "tab\tname"}


def test_rows_of_a_report() -> None:
    candidate = ArmFacts("open", {}, diff=PLAIN + MODIFIED, classes={"other": ["two.py"]})
    pair = Pair(ArmFacts("vendor", {}), candidate, 0.95)
    values = {measure.name: measure.row(pair).candidate for measure in MEASURES}
    assert {name: value for name, value in values.items() if value} == {
        "lines": 8,
        "files": 4,
        "configuration_lines": 3,
        "code_lines": 3,
        "other_lines": 2,
        "non_configuration_lines": 5,
    }
    assert values["prompt_lines"] == 0


def test_without_a_swap_nothing_is_measured() -> None:
    pair = Pair(ArmFacts("vendor", {}), ArmFacts("open", {}), 0.95)
    for measure in MEASURES:
        row = measure.row(pair)
        assert (row.candidate, row.estimate) == (None, None)
        assert row.note is not None
        assert row.note.startswith("not measured")


def test_a_swap_that_changes_nothing_is_measured_as_zero() -> None:
    pair = Pair(ArmFacts("vendor", {}), ArmFacts("open", {}, diff=""), 0.95)
    assert {measure.row(pair).candidate for measure in MEASURES} == {0}


def notes(diff: str) -> dict[str, str | None]:
    pair = Pair(ArmFacts("vendor", {}), ArmFacts("open", {}, diff=diff), 0.95)
    return {measure.name: measure.row(pair).note for measure in MEASURES}


def test_lines_in_files_and_in_variables_are_told_apart() -> None:
    variables = environment_diff({"A": "1", "B": "x"}, {"A": "2", "B": "y"})
    files = "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1 @@\n-old\n-older\n+new\n"
    said = "3 in 1 file, and 2 variables (4 lines, counted as one file): A, B"
    both = notes(variables + files)
    assert (both["lines"], both["files"], both["code_lines"]) == (said, said, None)
    assert set(notes(files).values()) == {None}
    only = notes(environment_diff({}, {"A": "2"}))["lines"]
    assert only == "1 variable (1 line, counted as one file): A"


def test_the_lines_of_a_diff_are_numbered() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -3,4 +3,3 @@\n three\n-four\n-five\n+4\n six\n"
    (change,) = parse_diff(diff)
    found = [(line.mark, line.number, line.text) for line in change.lines]
    assert found == [("-", 4, "four"), ("-", 5, "five"), ("+", 4, "4")]
