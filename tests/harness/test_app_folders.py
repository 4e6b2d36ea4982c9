"""What a drill that was killed leaves behind is gone: its processes at once, its folders with the
next drill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import SERVE, SERVER, app_scenario, processes, program
from tests.harness.drills import Log, late

from exitdrill.app import folders
from exitdrill.app.folders import PREFIX, remove_abandoned, work_folder
from exitdrill.drill import run
from exitdrill.scenario import Scenario

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of the test's own."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    monkeypatch.undo()
    tempfile.tempdir = None


def test_a_folder_is_there_until_its_drill_is_done(temporary: Path) -> None:
    with work_folder() as folder:
        assert folder.parent == temporary
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er").chmod(0)
        remove_abandoned()
        assert folder.is_dir(), "somebody works in it"
    assert list(temporary.iterdir()) == []


def test_what_nobody_works_in_is_removed_and_nothing_else(temporary: Path) -> None:
    outside = temporary / "outside"
    outside.mkdir()
    (outside / "file").touch()
    dead = temporary / f"{PREFIX}dead"
    (dead / "copy").mkdir(parents=True)
    (dead / "copy" / "link").symlink_to(outside)
    (dead / "copy").chmod(0o500)
    (temporary / f"{PREFIX}link").symlink_to(outside)
    (temporary / f"{PREFIX}file").touch()
    remove_abandoned()
    assert {path.name for path in temporary.iterdir()} == {
        "outside",
        f"{PREFIX}link",
        f"{PREFIX}file",
    }
    assert (outside / "file").exists()


def test_another_users_are_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / f"{PREFIX}theirs").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: os.stat(temporary).st_uid + 1)
    remove_abandoned()
    assert (temporary / f"{PREFIX}theirs").exists()


def test_one_that_is_removed_before_it_is_locked_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = folders._lock
    taken: list[Path] = []

    def slow(folder: Path) -> int | None:
        if not taken:
            taken.append(folder)
            remove_abandoned()
        return lock(folder)

    monkeypatch.setattr(folders, "_lock", slow)
    with work_folder() as folder:
        assert folder.is_dir()
        assert taken
        assert folder != taken[0]
        assert not taken[0].exists()


# --- a drill that is killed -----------------------------------------------------------------------

CHILD = "import time; time.sleep(71)"
BREEDS = f"""
import subprocess
subprocess.Popen([sys.executable, "-c", {CHILD!r}, sys.argv[2]], start_new_session=True)
ThreadingHTTPServer(("""


def killable(folder: Path) -> Scenario:
    """A drill of a server that has started a process in a session of its own."""
    spec: dict[str, Any] = {"serve": [*SERVE, str(folder)], "path": "/answer"}
    log = Log()
    return app_scenario(folder, spec, old=log.adapter(), new=log.adapter(late(0.5)))


def test_kill_9_of_the_drill_ends_a_server_and_all_that_it_started(
    tmp_path: Path, temporary: Path
) -> None:
    server = SERVER.replace("ThreadingHTTPServer((", BREEDS[1:])
    program(tmp_path, {"server.py": server})
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    drill = subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=environment)
    until(lambda: len(running(tmp_path, CHILD)) == 2, "both arms' apps run")
    drill.send_signal(signal.SIGKILL)
    assert drill.wait() == -signal.SIGKILL
    until(lambda: not running(tmp_path), "they end with the drill")
    left = [path for path in temporary.iterdir() if path.name.startswith(PREFIX)]
    assert len(left) == 2, "a copy for each arm"
    result = run(killable(tmp_path), resume=tmp_path / "drill")
    assert result.completed
    assert [path for path in temporary.iterdir() if path.name.startswith(PREFIX)] == []
    assert running(tmp_path) == []


def running(folder: Path, what: str = "") -> list[str]:
    """The processes that were given the folder, and whose command line holds that."""
    return [line for line in processes() if str(folder) in line and what in line]


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for something, but not for ever."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    run(killable(home), out=home / "drill")
