"""What an app writes to its own folder is undone after each run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.harness.apps import BY_COMMAND, calls_of, drilled, program

from exitdrill.app import kept
from exitdrill.app.kept import Kept

CACHES = """
import json, os, sys
from client import ask
given = sys.stdin.read()
known = json.load(open("cache.json")) if os.path.exists("cache.json") else {}
if given not in known:
    known[given] = ask(given)
    json.dump(known, open("cache.json", "w"))
print(known[given])
"""


def test_a_cache_beside_the_app_answers_no_other_run(tmp_path: Path) -> None:
    drill = drilled(program(tmp_path, {"main.py": CACHES}), BY_COMMAND)
    assert len(calls_of(drill.folder)) == 8, "two arms, two cases, two repeats"


def folder(at: Path) -> Path:
    place = at / "copy"
    (place / "lib" / "deep").mkdir(parents=True)
    (place / "main.py").write_text("main")
    (place / "lib" / "a.py").write_text("a")
    (place / "lib" / "deep" / "b.py").write_text("b")
    (place / "link").symlink_to("lib")
    os.utime(place / "main.py", ns=(1, 1))
    return place


def state(place: Path) -> dict[str, object]:
    return {
        str(path.relative_to(place)): (path.lstat().st_mode, what(path))
        for path in sorted(place.rglob("*"))
    }


def what(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return None if path.is_dir() else path.read_text()


def same_size_and_time(place: Path) -> None:
    (place / "main.py").write_text("niam")
    os.utime(place / "main.py", ns=(1, 1))


def removed(place: Path) -> None:
    (place / "lib" / "deep" / "b.py").unlink()
    (place / "lib" / "deep").rmdir()
    (place / "link").unlink()


def others_in_their_place(place: Path) -> None:
    (place / "main.py").unlink()
    (place / "main.py").mkdir()
    (place / "main.py" / "in it").write_text("x")
    (place / "link").unlink()
    (place / "link").write_text("no link")


def a_way_out(place: Path) -> None:
    outside = place.parent / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("not the app's")
    (place / "lib").rename(place / "moved")
    (place / "lib").symlink_to(outside)


def locked(place: Path) -> None:
    (place / "new" / "deep").mkdir(parents=True)
    (place / "new" / "deep" / "x").write_text("x")
    (place / "new" / "deep").chmod(0)
    (place / "lib").chmod(0)


def very_deep(place: Path) -> None:
    here = os.open(place, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


CHANGES = [same_size_and_time, removed, others_in_their_place, a_way_out, locked, very_deep]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_folder_is_put_back(change: object, tmp_path: Path) -> None:
    place = folder(tmp_path)
    before = state(place)

    async def twice() -> None:
        it = Kept(place, tmp_path / "aside")
        for _ in range(2):  # what was put back is known as such
            async with it.used():
                change(place)  # type: ignore[operator]  # one of the above
            assert state(place) == before
            assert set(os.listdir(tmp_path)) <= {"copy", "aside", "outside"}
            if (tmp_path / "outside").exists():
                assert (tmp_path / "outside" / "a.py").read_text() == "not the app's"
                return

    asyncio.run(twice())


def test_it_is_put_back_when_the_last_of_those_that_run_at_once_has_ended(tmp_path: Path) -> None:
    place = folder(tmp_path)

    async def together() -> None:
        it = Kept(place, tmp_path / "aside")
        async with it.used():
            async with it.used():
                (place / "new").write_text("x")
            assert (place / "new").exists(), "the other may be reading it"
        assert not (place / "new").exists()

    asyncio.run(together())


def test_what_is_too_large_is_left_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_FILES", 1)
    drill = drilled(program(tmp_path, {"main.py": CACHES}), BY_COMMAND)
    assert len(calls_of(drill.folder)) == 3, "the rehearsal's run answers one case for good"
    said = " ".join(drill.report["not_tested"])
    assert "its copy is too large to be put back" in said
