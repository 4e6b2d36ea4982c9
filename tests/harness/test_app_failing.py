"""An app that fails: the reports say why, and what cannot be run is not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import (
    BY_COMMAND,
    COMMAND,
    app_scenario,
    calls_of,
    drilled,
    program,
    row_of,
)
from tests.harness.drills import Log, case_lines, rows
from tests.harness.facts_of import view

from exitdrill.drill import Result, run
from exitdrill.drillable import check
from exitdrill.errors import ErrorKind
from exitdrill.measures.calls import LeftBehind
from exitdrill.measures.failures import reason
from exitdrill.plan import make_plan, warnings
from exitdrill.progress import Silent
from exitdrill.records import AppCall, Exchange, Failure
from exitdrill.report import load, terminal
from exitdrill.scenario import BudgetSpec
from exitdrill_adapters.scripted import Answer, Error


class Notes(Silent):
    """Keeps what is said while the drill runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


FAILING = "import sys\nprint('x ' * 400, file=sys.stderr)\nsys.exit('KeyError: DATABASE_URL')\n"
REPORTS = ("report.md", "report.html", "junit.xml")


def told(result: Result) -> dict[str, str]:
    """What each report says, and the terminal, without what its format escapes."""
    said = {name: (result.folder / name).read_text().replace("\\_", "_") for name in REPORTS}
    return said | {"terminal": "\n".join(terminal.lines(result.report))}


def test_where_every_run_fails_every_report_says_why(tmp_path: Path) -> None:
    result = drilled(program(tmp_path, {"main.py": FAILING}), BY_COMMAND)
    for name, said in told(result).items():
        assert "on old the app answered in none of its 4 runs; 4 times: the app ended" in said, name
        assert "KeyError: DATABASE_URL" in said, name


PART = COMMAND.replace("print(", "given = sys.stdin.read()\nprint(").replace(
    "sys.stdin.read()))", "given)) if given != 'q1' else sys.exit('no config for it')"
)


def test_where_a_part_of_the_runs_fails_every_report_says_why(tmp_path: Path) -> None:
    result = drilled(program(tmp_path, {"main.py": PART}), BY_COMMAND, "q0", "q1", "q2")
    for name, said in told(result).items():
        for arm in ("old", "new"):
            assert f"2 of 6 runs of the app on {arm} failed; 2 times: the app ended" in said, name
        assert "no config for it" in said, name


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ({"command": ["pythn3", "main.py"]}, "there is no program 'pythn3'"),
        ({"command": ["./start.sh"]}, "there is no program './start.sh'"),
        ({"function": "main.py:answer", "python": "pythn3"}, "there is no program 'pythn3'"),
        ({"serve": ["pythn3", "main.py", "{port}"], "path": "/"}, "there is no program 'pythn3'"),
    ],
)
def test_a_program_that_is_not_there_ends_the_drill_before_the_first_run(
    way: dict[str, Any], why: str, tmp_path: Path
) -> None:
    result = drilled(program(tmp_path, {"main.py": COMMAND}), way)
    assert result.exit_code == 4
    assert (
        f"the incumbent 'old': the app does not start: {why}" in result.report["drill"]["stopped"]
    )
    assert calls_of(result.folder) == []
    assert rows(result.folder, "SELECT COUNT(*) FROM trials WHERE state <> 'planned'") == [(0,)]


OWN_KEY = """
import os
from client import ask
os.environ["OPENAI_API_KEY"] = "a key of its own"
try:
    print(ask("q"))
except Exception:
    print("sorry")
"""


def test_refused_calls_are_said_where_the_app_hides_them(tmp_path: Path) -> None:
    result = drilled(program(tmp_path, {"main.py": OWN_KEY}), BY_COMMAND)
    load(result.folder, check=True)
    said = told(result)
    for name in ("report.md", "report.html", "terminal"):
        for arm in ("old", "new"):
            refused = f"{arm}: 4 of 4 model calls of the app failed; 4 times: auth (401): "
            assert refused in said[name].replace("\\", ""), name
    assert "On old 4 of 4 model calls of the app failed." in result.report["incumbent"]["first"]
    [call] = case_lines(result.folder)[0]["calls"]
    assert (call["to"], call["status"], call["error"]) == ("old", 401, "auth")
    assert "Incorrect API key" in call["message"]


def test_an_app_that_ends_with_a_failed_call_says_what_the_call_said(tmp_path: Path) -> None:
    busy = Answer(error=Error(kind="overloaded", message="all busy", status=503))
    backends = {"old": Log().adapter(), "new": Log().adapter(lambda _: busy)}
    result = drilled(program(tmp_path, {"main.py": COMMAND}), BY_COMMAND, backends=backends)
    first = next(line for line in case_lines(result.folder) if line["arm"] == "old")["calls"][0]
    known = {"model": "m", "input_tokens": 5, "output_tokens": 3, "message": None}
    assert {name: first[name] for name in known} == known
    assert first["seconds"] > 0
    new = result.report["candidates"][0]
    assert "HTTP Error 503" in new["failed"]
    assert new["failed"].endswith("; its last model call failed: overloaded (503): all busy")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("crashed", True),
        ("server", True),
        ("flood", False),
        ("timeout", False),
        ("cancelled", False),
    ],
)
def test_only_an_app_that_reports_a_failure_is_told_by_its_last_call(
    kind: ErrorKind, said: bool
) -> None:
    """An app that was ended by the drill failed for that reason, whatever its last call said."""
    refused = Exchange(failure=Failure("unsupported", "no such path", 404))
    call = AppCall((0, "new", 0), 0, "new", "/x", 404, 0, 0, None, refused)
    trial = replace(view(failure=Failure(kind, "it ended")), app=True, calls=(call,))
    told = "it ended; its last model call failed: unsupported (404): no such path"
    assert reason(trial) == (told if said else "it ended")


NEVER_RIGHT = "import os\nprint('a' if os.environ['OPENAI_BASE_URL'] else '')\n"


@pytest.mark.parametrize("app", [NEVER_RIGHT, FAILING])
def test_an_exit_after_which_nothing_was_right_has_no_time(app: str, tmp_path: Path) -> None:
    result = drilled(program(tmp_path, {"main.py": app}), BY_COMMAND)
    row = row_of(result, "change", "time_to_exit")
    assert (row["candidate"], row["estimate"]) == (None, None)
    assert "no answer was right" in row["note"]
    assert "| the whole exit | not completed; so far " in told(result)["report.md"]


CHECKED = """
import os, sys
print("E       assert 2 == 1")
print("1 failed in 0.02s")
sys.exit("a warning of no use")
"""


def test_failing_tests_are_told_by_what_helps_and_on_the_incumbent_at_once(
    tmp_path: Path,
) -> None:
    folder = program(tmp_path, {"main.py": COMMAND, "check.py": CHECKED})
    log, notes = Log(), Notes()
    run_spec = {**BY_COMMAND, "test": ["{python}", "check.py"]}
    scenario = app_scenario(folder, run_spec, old=log.adapter(), new=log.adapter())
    result = run(scenario, out=folder / "drill", watcher=notes)
    brief = "exit code 1: 1 failed in 0.02s / E assert 2 == 1"
    at = next(number for number, line in enumerate(notes.lines) if brief in line)
    assert "fail on the incumbent already" in notes.lines[at]
    assert at < notes.lines.index("new: running the app's own tests …")
    obstacle = result.report["candidates"][0]["verdict"]["reasons"][0]
    assert obstacle.endswith(f"and failed before it as well: {brief}")
    assert f"The app's own tests FAIL on old: {brief}" in told(result)["report.md"]
    page = told(result)["report.html"]
    assert "tests wrote on old</summary>" in page
    assert "a warning of no use" in page
    load(result.folder, check=True)


def test_a_function_that_returns_none_is_named(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": "def answer(given):\n    print(given)\n"})
    result = drilled(folder, {"function": "main.py:answer"})
    assert "the function returned None, which is no answer" in told(result)["terminal"]


def test_a_report_of_an_app_does_not_speak_of_a_replay(tmp_path: Path) -> None:
    budget = BudgetSpec(requests=90)
    notes, log = Notes(), Log()
    scenario = app_scenario(
        program(tmp_path, {"main.py": COMMAND}),
        BY_COMMAND,
        budget=budget,
        old=log.adapter(),
        new=log.adapter(),
    )
    result = run(scenario, out=tmp_path / "drill", watcher=notes)
    for name in ("report.md", "report.html", "terminal"):
        for word in (
            "eplay of recorded requests",
            "replayed",
            "requests were sent",
            "last message",
        ):
            assert word not in told(result)[name].replace('"Request (last message)"', ""), word
    assert not [line for line in notes.lines if "the budget of" in line], "it is plenty"


@pytest.mark.parametrize(("requests", "each"), [(9, "1.1"), (4, "0.5")])
def test_a_budget_of_requests_is_held_against_the_runs(
    requests: int, each: str, tmp_path: Path
) -> None:
    log = Log()
    scenario = app_scenario(
        program(tmp_path, {"main.py": COMMAND}),
        BY_COMMAND,
        budget=BudgetSpec(requests=requests),
        old=log.adapter(),
        new=log.adapter(),
    )
    drillable = check(scenario)
    found = warnings(drillable, make_plan(drillable))
    assert (
        f"the budget of {requests} requests is {each} model calls for each of the 8 runs of the "
        "app; how many it makes is not known beforehand"
    ) in found


@pytest.mark.parametrize(
    ("found", "trials", "said"),
    [(1, 6, "1 of 6 trials still calls old"), (2, 6, "2 of 6 trials still call old")],
)
def test_how_many_trials_still_call_the_incumbent(found: int, trials: int, said: str) -> None:
    call = AppCall((0, "new", 0), 0, "old", "/v1/models", 410, 0, 0, None, Exchange())
    assert f"incumbent: {said}, first /v1/models" in str(
        LeftBehind(trials=found, calls=found, first=call).sentence(trials)
    )
