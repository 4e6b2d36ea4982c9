"""An app's drill that was killed goes on: nothing that was paid for is lost, or asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.harness.apps import COMMAND, app_scenario, calls_of, everything_in, processes, program
from tests.harness.drills import Log, Say, case_lines, late, right, rows

from exitdrill.backend import Request
from exitdrill.drill import run
from exitdrill.scenario import Scenario
from exitdrill_adapters.scripted import Answer, last_user_text

ROOT = Path(__file__).parents[2]
CASES, REPEATS = 5, 2
TWICE = COMMAND.replace("print(", "ask('first'); print(")


def killable(folder: Path) -> Scenario:
    """A drill of an app that makes two calls; ``asked`` gets a line for each that is answered."""
    descriptor = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(arm: str) -> Say:
        def answer(request: Request) -> Answer | str:
            os.write(descriptor, f"{arm} {last_user_text(request.body)}\n".encode())
            return late(0.02, right)(request)

        return answer

    log = Log()
    command = ["{python}", "main.py", str(folder)]
    old, new = log.adapter(say("old")), log.adapter(say("new"))
    replay = {"block": 2}
    return app_scenario(folder, {"command": command}, CASES, replay=replay, old=old, new=new)


def asked(folder: Path) -> int:
    file = folder / "asked"
    return len(file.read_text().splitlines()) if file.exists() else 0


def started(folder: Path) -> subprocess.Popen[bytes]:
    """The drill, in a process of its own."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, __file__, str(folder)], env=environment)


@pytest.mark.parametrize("after", [4, 17, 30, 46])  # 46: on the way back
def test_kill_9_in_the_middle_of_an_app(after: int, tmp_path: Path) -> None:
    program(tmp_path, {"main.py": TWICE})
    drill = started(tmp_path)
    while asked(tmp_path) < after and drill.poll() is None:
        time.sleep(0.002)
    drill.send_signal(signal.SIGKILL)
    assert drill.wait() == -signal.SIGKILL
    folder = tmp_path / "drill"
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]
    ((paid,),) = rows(folder, "SELECT count(*) FROM calls")
    assert paid >= asked(tmp_path), "each call was intended before it was made"
    before = whole_trials(folder)
    deadline = time.monotonic() + 5
    while left_behind(tmp_path):
        assert time.monotonic() < deadline, "the app ends with its drill"
        time.sleep(0.05)
    result = run(killable(tmp_path), resume=folder)
    assert result.completed
    assert {line["answer"] for line in case_lines(folder)} == {f"a{n}" for n in range(CASES)}
    assert rows(folder, "SELECT count(*) FROM trials") == [(2 * CASES * REPEATS,)]
    after_all = whole_trials(folder)
    assert set(after_all.values()) == {2}, "each trial has the calls of the run that answered"
    assert before.items() <= after_all.items()
    ((again,),) = rows(folder, "SELECT count(*) FROM app_calls WHERE position >= 0 AND lost = 1")
    assert again <= 2, "at most one trial was under way"
    assert len(rows(folder, "SELECT 1 FROM calls WHERE state = 'intent'")) == 0
    assert result.report["app"]["way_back"]["right"] == CASES
    assert b"Bearer" not in everything_in(folder)


def test_an_interrupted_drill_ends_its_app_at_once(tmp_path: Path) -> None:
    program(tmp_path, {"main.py": TWICE + "import time; time.sleep(60)"})
    drill = started(tmp_path)
    while asked(tmp_path) < 2:
        assert drill.poll() is None
        time.sleep(0.01)
    drill.send_signal(signal.SIGTERM)
    assert drill.wait(timeout=20) != 0
    assert left_behind(tmp_path) == []


def whole_trials(folder: Path) -> Counter[tuple[int, str, int]]:
    """The completed trials, with how many calls each has."""
    trials = set(rows(folder, "SELECT position, arm, repeat FROM trials"))
    keys = [(call["position"], call["arm"], call["repeat"]) for call in calls_of(folder)]
    return Counter(key for key in keys if key in trials)


def left_behind(folder: Path) -> list[str]:
    """The processes of the app in a folder."""
    return [line for line in processes() if str(folder) in line and "main.py" in line]


if __name__ == "__main__":
    home = Path(sys.argv[1])
    run(killable(home), out=home / "drill")
