"""An app that writes without end, to files or to its log, is ended and named; the disk is kept."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import BY_COMMAND, COMMAND, SERVE, SERVER, drilled, program
from tests.harness.drills import Log, case_lines, late

from exitdrill.app import disk, flood, home, process, served
from exitdrill.app.disk import Disk, Most, used
from exitdrill.drill import Result

SMALL = Most(3_000_000, 300)


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(flood, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(flood, "MOST_LOG", 1_000_000)
    monkeypatch.setattr(home, "BY_RUNNING", SMALL)
    monkeypatch.setattr(served, "BY_RUNNING", SMALL)
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.1)


WRITERS = {
    "one file, in the copy": "while True: open('big', 'ab').write(b'x' * 100_000)",
    "one file, by a program": "os.execvp('sh', ['sh', '-c', 'exec yes > $TMPDIR/big'])",
    "many files": """
n = 0
while True:
    open(os.environ["TMPDIR"] + f"/{n}", "wb").write(b"x" * 100_000); n += 1
""",
    "many empty files": """
n = 0
while True:
    open(f"{n}", "wb").close(); n += 1; time.sleep(0.001)
""",
}
MAIN = """
import os, sys, time
from client import ask
given = sys.stdin.read()
if "9" in given:
    {code}
print(ask(given))
"""


def kinds(result: Result) -> list[str | None]:
    return [(line["error"] or {}).get("kind") for line in case_lines(result.folder)]


@pytest.mark.parametrize("how", WRITERS)
def test_a_command_that_fills_its_folders_is_ended(how: str, tmp_path: Path) -> None:
    code = "\n    ".join(WRITERS[how].strip().splitlines())
    folder = program(tmp_path, {"main.py": MAIN.replace("{code}", code)})
    spec = {**BY_COMMAND, "timeout_seconds": 20}
    result = drilled(folder, spec, "q9")
    assert kinds(result) == ["flood"] * 4
    message = case_lines(result.folder)[0]["error"]["message"]
    assert message == "the app wrote more to its folders than it may, and was ended"


def test_what_lay_in_its_scratch_folder_goes_with_the_run(tmp_path: Path) -> None:
    code = "\n    ".join(WRITERS["many files"].strip().splitlines())
    folder = program(tmp_path, {"main.py": MAIN.replace("{code}", code)})
    result = drilled(folder, BY_COMMAND, "q9", "q1", replay={"block": 1})
    assert kinds(result) == ["flood"] * 4 + [None] * 4


def test_who_runs_beside_it_goes_on(tmp_path: Path) -> None:
    code = "\n    ".join(WRITERS["many files"].strip().splitlines())
    patient = MAIN.replace("print(ask", "time.sleep(1)\nprint(ask").replace("{code}", code)
    folder = program(tmp_path, {"main.py": patient})
    result = drilled(folder, {**BY_COMMAND, "concurrency": 2}, "q9", "q1")
    assert kinds(result) == ["flood"] * 4 + [None] * 4


def test_what_is_installed_counts_as_there_by_right(tmp_path: Path) -> None:
    install = ["{python}", "-c", "open('big', 'wb').write(b'x' * 5_000_000)"]
    folder = program(tmp_path, {"main.py": COMMAND})
    result = drilled(folder, {**BY_COMMAND, "install": install}, "q1")
    assert kinds(result) == [None] * 4


def test_an_installation_that_fills_its_folders_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "BY_INSTALLING", SMALL)
    folder = program(tmp_path, {"main.py": COMMAND, "install.py": ""})
    (folder / "exit").mkdir()
    (folder / "exit" / "install.py").write_text(
        "import os; os.system('yes > big'); raise SystemExit(1)"
    )
    spec = {**BY_COMMAND, "install": ["{python}", "install.py"]}
    result = drilled(folder, spec, "q1", swap={"overlay": "exit"})
    (reason,) = result.report["candidates"][0]["verdict"]["reasons"]
    assert "cannot be installed: the app wrote more to its folders than it may" in reason


SERVED: dict[str, Any] = {"serve": SERVE, "path": "/answer", "timeout_seconds": 20}
LOUD = {
    "its log": "sys.stderr.write('x' * 100_000)",
    "its log, slowly": "time.sleep(0.01); sys.stderr.write('x' * 20_000)",
    "its folder": "n += 1; open(f'{HOME}/{n}', 'wb').write(b'x' * 100_000)",
    "one file": "open(f'{HOME}/big', 'ab').write(b'x' * 100_000)",
}
ENDLESS = """
        if "9" in given:
            import time
            n, HOME = 0, os.environ["HOME"]
            while True:
                {code}
        try:"""


@pytest.mark.parametrize("where", LOUD)
def test_a_served_app_that_writes_without_end_is_ended_and_started_anew(
    where: str, tmp_path: Path
) -> None:
    server = SERVER.replace("        try:", ENDLESS[1:].replace("{code}", LOUD[where]))
    folder = program(tmp_path, {"server.py": server})
    result = drilled(folder, SERVED, "q9", "q1", replay={"block": 1})
    assert kinds(result) == ["flood"] * 4 + [None] * 4
    assert [arm["floods"] for arm in result.report["app"]["arms"]] == [0, 0]


READY = '        self.answer(200, "ok")\n'
ONCE = """
        self.answer(200, "ok")
        if not os.path.exists("shouted"):
            open("shouted", "w").close()
            import threading
            threading.Timer(0.2, lambda: sys.stderr.write("x" * 2_000_000)).start()
"""


def test_a_flood_while_nobody_asks_is_no_trials_error(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": SERVER.replace(READY, ONCE[1:])})
    (folder / "exit").mkdir()
    (folder / "exit" / "server.py").write_text(SERVER.lstrip())
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(late(1.5))}
    swap = {"overlay": "exit"}  # the incumbent waits while the candidate is started and tried
    result = drilled(folder, SERVED, "q1", swap=swap, backends=backends)
    assert kinds(result) == [None] * 4
    assert [arm["floods"] for arm in result.report["app"]["arms"]] == [1, 0]
    assert "while no trial was there to say so" in (result.folder / "report.md").read_text()


def test_a_server_that_floods_before_it_is_ready_does_not_start(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": SERVER})
    (folder / "exit").mkdir()
    (folder / "exit" / "server.py").write_text(
        "import sys\nwhile True: sys.stderr.write('x' * 9999)"
    )
    result = drilled(folder, SERVED, "q1", swap={"overlay": "exit"})
    (reason,) = result.report["candidates"][0]["verdict"]["reasons"]
    said = "the app wrote more than 64 MB to its log, and was ended"
    assert reason == f"veto: the app does not start: {said}"


def test_a_log_is_cut_off_between_two_trials(tmp_path: Path) -> None:
    server = SERVER.replace("        try:", "        sys.stderr.write('x' * 300_000)\n        try:")
    folder = program(tmp_path, {"server.py": server})
    result = drilled(folder, SERVED, *(f"q{n}" for n in range(6)))
    assert kinds(result) == [None] * 24, "3.6 MB in all, and none of it ends the app"


LINKS = """
import glob
for place in [os.environ["HOME"], *glob.glob(os.environ["HOME"] + "/../*.log")]:
    place = place if place.endswith(".log") else place + "/server.log"
    try:
        if os.path.lexists(place):
            os.remove(place)
        os.symlink(sys.argv[2], place)
    except OSError as error:
        pass
ThreadingHTTPServer(("""


def test_nothing_else_is_cut_off_in_the_logs_place(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"x" * 600_000)  # more than half of what a log may have
    folder = program(tmp_path, {"server.py": SERVER.replace("ThreadingHTTPServer((", LINKS[1:])})
    result = drilled(folder, {**SERVED, "serve": [*SERVE, str(kept)]}, "q1")
    assert kinds(result) == [None] * 4
    if result.report["app"]["contained"]:
        assert kept.stat().st_size == 600_000


def test_used_counts_what_is_there_and_follows_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = used([tmp_path / "a", tmp_path / "nowhere"])
    assert found.files == 3
    assert 10_000 <= found.bytes < 50_000
    assert used([tmp_path], Most(1, 1)).files == 1, "no more than it takes to know"


async def test_a_look_is_cheap_beside_the_time_between_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0.0)
    for n in range(2_000):
        (tmp_path / f"{n}").touch()
    watched = Disk([tmp_path], Most(1 << 40, 1 << 40))
    began = time.monotonic()
    await watched.look()
    took = time.monotonic() - began
    assert watched._due - time.monotonic() > 0.5 * took / disk.LOOK_SHARE
    assert not watched.over
    os.truncate(tmp_path / "1", 1 << 41)
    assert await watched.look()
