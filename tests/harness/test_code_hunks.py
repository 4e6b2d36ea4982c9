"""A change is split into hunks, and each of them can be undone alone."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from exitdrill.code.hunks import MOST_FILES, Hunk, by_file, split, undo
from exitdrill.errors import SwapFailed
from exitdrill.measures.change import change_counts
from exitdrill.swap import Swap, apply

Files = dict[str, bytes]
TEN = b"".join(b"line %d\n" % number for number in range(10))

CHANGES: dict[str, tuple[Files, Files, int]] = {
    "two in one file": (
        {"a": TEN},
        {"a": TEN.replace(b"line 2\n", b"x\ny\n").replace(b"line 7\n", b"")},
        2,
    ),
    "at both ends": ({"a": TEN}, {"a": b"new\n" + TEN + b"end\n"}, 2),
    "no newline at the end": ({"a": b"a\nb"}, {"a": b"a\nb\nc"}, 1),
    "a newline at the end": ({"a": b"a\nb"}, {"a": b"a\nb\n"}, 1),
    "other line ends": ({"a": b"a\r\nb\r\nc\rd\n"}, {"a": b"a\r\nB\r\nc\rd\n"}, 1),
    "a form feed is no line's end": ({"a": b"a\x0cb\nc\n"}, {"a": b"a\x0cb\nC\n"}, 1),
    "what looks like a header": ({"a": b"-- x\n@@ -1 +1 @@\nb\n"}, {"a": b"b\n@@ -9 +9 @@\n"}, 2),
    "added, deleted": ({"a": b"a\n", "b": b"b\n"}, {"a": b"a\n", "d/c": b"other\nthing\n"}, 2),
    "moved": ({"a": TEN}, {"d/b": TEN}, 1),
    "moved and changed": ({"a": TEN}, {"b": TEN + b"more\n"}, 1),
    "emptied": ({"a": b"a\n"}, {"a": b""}, 1),
    "binary": ({"a": b"\0\1\2"}, {"a": b"\0\1\3"}, 1),
    "not UTF-8": ({"a": b"\xff\n\xfe\n"}, {"a": b"\xff\n\xfd\n"}, 1),
    "a name to be quoted": ({'a "b"\t\n': b"a\n"}, {'a "b"\t\n': b"b\n"}, 1),
    "an attribute file": ({".gitattributes": b"* binary\n", "a": TEN}, {"a": TEN + b"x\n"}, 2),
    "nothing": ({"a": b"a\n"}, {"a": b"a\n"}, 0),
}


def written(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def there(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def hunks_of(folder: Path) -> list[Hunk]:
    found = split(folder / "before", folder / "after", folder / "git")
    assert found is not None
    assert not (folder / "git").exists()
    return found


@pytest.mark.parametrize("what", CHANGES)
def test_all_hunks_together_are_the_change(what: str, tmp_path: Path) -> None:
    before, after, count = CHANGES[what]
    written(tmp_path / "before", before)
    copy = written(tmp_path / "after", after)
    hunks = hunks_of(tmp_path)
    assert len(hunks) == count
    if before.keys() <= after.keys():  # an overlay cannot delete
        diff = apply(tmp_path / "before", Swap(overlay=copy), tmp_path / "w").diff
        assert sum(hunk.lines for hunk in hunks) == change_counts(diff).total_lines
    undo(hunks, tmp_path / "before", copy)
    assert there(copy) == before


def test_any_of_them_can_be_undone_alone(tmp_path: Path) -> None:
    lines = [b"%d\n" % number for number in range(20)]
    changed = list(lines)
    changed[3:5] = [b"x\n"]
    changed[8:8] = [b"y\n", b"z\n"]
    del changed[15]
    before = written(tmp_path / "before", {"a": b"".join(lines)})
    written(tmp_path / "after", {"a": b"".join(changed)})
    hunks = hunks_of(tmp_path)
    assert [(hunk.old, hunk.new) for hunk in hunks] == [
        ((4, 2), (4, 1)),
        ((9, 0), (9, 2)),
        ((15, 1), (15, 0)),
    ]
    seen = set()
    for size in range(4):
        for number, some in enumerate(combinations(hunks, size)):
            copy = written(tmp_path / f"{size}-{number}", {"a": b"".join(changed)})
            undo(some, before, copy)
            content = (copy / "a").read_bytes()
            seen.add(content)
            assert (b"x\n" in content) == (hunks[0] not in some)
            assert (b"y\nz\n" in content) == (hunks[1] not in some)
    assert len(seen) == 8


def test_modes_and_links_are_hunks_of_their_own(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {"run": b"a\n", "one": b"1\n", "two": b"2\n"})
    after = written(tmp_path / "after", {"run": b"b\n", "one": b"1\n", "two": b"2\n"})
    (after / "run").chmod(0o755)
    (before / "link").symlink_to("one")
    (after / "link").symlink_to("two")
    (after / "one").unlink()
    (after / "one").symlink_to("two")
    hunks = hunks_of(tmp_path)
    assert [(hunk.path, hunk.change, hunk.new) for hunk in hunks] == [
        ("link", "changed", None),
        ("one", "changed", None),
        ("run", "changed", None),
    ]
    undo(hunks, before, after)
    assert there(after) == there(before)
    assert os.readlink(after / "link") == "one"
    assert not (after / "one").is_symlink()
    assert not (after / "run").stat().st_mode & 0o100


def test_by_file_a_file_is_one_hunk(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {"a": TEN, "b": b"b\n"})
    after = written(tmp_path / "after", {"a": b"x\n" + TEN[7:] + b"y\n", "b": b"B\n"})
    whole = by_file(hunks_of(tmp_path))
    assert [(hunk.path, hunk.lines, hunk.new) for hunk in whole] == [("a", 3, None), ("b", 2, None)]
    undo(whole[:1], before, after)
    assert there(after) == {"a": TEN, "b": b"B\n"}


def test_what_cannot_be_undone_alone_is_said(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {"a": b"a\n"})
    after = written(tmp_path / "after", {"a/b": b"other\n"})
    hunks = hunks_of(tmp_path)
    deleted = next(hunk for hunk in hunks if hunk.change == "deleted")
    with pytest.raises(SwapFailed, match="a cannot be undone alone: there is a folder"):
        undo([deleted], before, after)


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {"d/a": b"a\n"})
    after = written(tmp_path / "after", {"b": b"b\n"})
    outside = written(tmp_path / "outside", {})
    deleted = next(hunk for hunk in hunks_of(tmp_path) if hunk.path == "d/a")
    (after / "d").symlink_to(outside)
    with pytest.raises(SwapFailed, match="leads out of the app"):
        undo([deleted], before, after)
    assert there(outside) == {}


def test_too_many_files_are_not_looked_into(tmp_path: Path) -> None:
    written(tmp_path / "before", {})
    written(tmp_path / "after", {f"{number}": b"x" * number for number in range(MOST_FILES + 1)})
    assert split(tmp_path / "before", tmp_path / "after", tmp_path / "git") is None
