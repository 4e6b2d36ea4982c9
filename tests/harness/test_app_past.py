"""An app that answers without the drill's models: nothing was shown of them then."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.harness.apps import (
    BY_COMMAND,
    COMMAND,
    SERVE,
    SERVER,
    app_scenario,
    drilled,
    program,
    row_of,
)
from tests.harness.drills import Log, case_lines

from exitdrill.app.closed import LEAST_VERSION
from exitdrill.app.confine import landlock_version
from exitdrill.drill import Result, run
from exitdrill.scenario import GateSpec

PAST = """
import sys
given = sys.stdin.read()
print("a" + given[1:])
"""
"""As an app does that asks a model at an address of its own."""
PAST_FOR_ONE = """
import sys
from client import ask
given = sys.stdin.read()
print("a1" if given == "q1" else ask(given))
"""
SWALLOWS = """
import sys
from client import ask
given = sys.stdin.read()
try:
    ask(given, model="another")
except Exception:
    print("a" + given[1:])
"""


def exit_to(folder: Path, before: str, after: str, cases: int = 2) -> Result:
    """The drill of an app whose exit is another main file."""
    program(folder, {"main.py": before})
    (folder / "exit").mkdir()
    (folder / "exit" / "main.py").write_text(after.lstrip())
    given = (f"q{number}" for number in range(cases))
    return drilled(folder, {**BY_COMMAND, "concurrency": 4}, *given, swap={"overlay": "exit"})


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param(COMMAND, PAST, "no model call through the drill: it answered 4 times on new"),
        pytest.param(PAST, COMMAND, "no model call through the drill: it answered 4 times on old"),
        pytest.param(COMMAND, SWALLOWS, "none of its 4 model calls was answered: what it said"),
        pytest.param(COMMAND, PAST_FOR_ONE, "in 1 of 2 cases the app made model calls on old"),
        pytest.param(PAST_FOR_ONE, COMMAND, "in 1 of 2 cases the app made model calls on new"),
    ],
)
def test_an_arm_that_was_not_asked_is_not_compared(
    before: str, after: str, said: str, tmp_path: Path
) -> None:
    result = exit_to(tmp_path, before, after)
    assert row_of(result, "drift", "success")["candidate"] == 1
    assert said in "; ".join(result.report["candidates"][0]["verdict"]["reasons"])


def test_an_app_that_never_asked_is_not_ready(tmp_path: Path) -> None:
    result = exit_to(tmp_path, COMMAND, PAST, cases=6)
    assert [gate["status"] for gate in result.report["candidates"][0]["gates"]] == ["pass"]
    assert result.verdict == "inconclusive"
    (reason,) = result.report["verdict"]["reasons"]
    assert "does it read OPENAI_BASE_URL?" in reason


def test_of_an_app_that_asks_no_model_on_either_arm_no_exit_is_measured(tmp_path: Path) -> None:
    result = exit_to(tmp_path, PAST, "# another file\n" + PAST.lstrip())
    assert result.verdict == "inconclusive"
    said = result.report["candidates"][0]["verdict"]["reasons"]
    (once,) = (each for each in said if "no model call" in each)
    assert "4 times on old and 4 times on new, but what it said is not known to be theirs" in once
    for name in ("time_to_exit", "lines_needed"):
        row = row_of(result, "change", name)
        assert (row["candidate"], row["note"][:12]) == (None, "not measured")


def test_a_case_that_needs_no_model_on_either_arm_is_no_obstacle(tmp_path: Path) -> None:
    result = exit_to(tmp_path, PAST_FOR_ONE, PAST_FOR_ONE, cases=6)
    assert result.verdict == "ready", result.report["verdict"]
    (said,) = (each for each in result.report["not_tested"] if "base URL" in each)
    assert "neither seen nor stopped" in said


def test_a_vendors_host_that_is_left_in_the_code_is_named(tmp_path: Path) -> None:
    after = 'AT = "https://api.openai.com/v1"\n' + COMMAND.lstrip()
    result = exit_to(tmp_path, COMMAND, after)
    assert any("after new's swap: main.py:1." in each for each in result.report["not_tested"]), (
        result.report["not_tested"]
    )


CACHE = """
import functools


@functools.cache
def known(given):
    return ask(given)


class Handler"""
REMEMBERS = SERVER.replace("class Handler", CACHE[1:]).replace(
    "ask(given, headers=passed)", "known(given)"
)


def test_what_a_served_app_remembers_is_named_and_not_timed(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": REMEMBERS})
    gates = [GateSpec(measure="success", margin=0.5), GateSpec(measure="total_p50", margin=60)]
    log = Log()
    spec = {"serve": SERVE, "path": "/answer"}
    scenario = app_scenario(folder, spec, 6, old=log.adapter(), new=log.adapter())
    scenario = scenario.model_copy(update={"gates": gates})
    result = run(scenario, out=tmp_path / "drill")
    success, timed = result.report["candidates"][0]["gates"]
    assert (success["status"], timed["status"]) == ("pass", "open")
    assert (
        "incumbent: 6 answers came from the app's own memory and are not timed" in timed["reason"]
    )
    assert "candidate: 7 answers" in timed["reason"], "one case was rehearsed"
    assert result.report["verdict"]["status"] == "inconclusive"
    said = " ".join(result.report["not_tested"])
    assert "in every trial of new: 7 answers came from the app's own memory" in said
    tokens = row_of(result, "cost", "input_tokens")
    assert tokens["candidate"] is None
    assert "candidate: 7 answers came from the app's own memory" in tokens["note"]
    assert len(log.calls) == 12 + 5, "each case once on each arm, and the way back"


CONNECTS = """
import socket, sys
given = sys.stdin.read()
with socket.create_connection(("127.0.0.1", int(given.split()[1]))):
    pass
print("through")
"""


@pytest.mark.skipif(landlock_version() < LEAST_VERSION, reason="no Landlock for connections here")
@pytest.mark.parametrize("open_to_it", [True, False])
def test_an_app_that_is_closed_reaches_what_it_may(open_to_it: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        run_spec = {**BY_COMMAND, "connect": [port] if open_to_it else []}
        files = {"main.py": COMMAND + CONNECTS.replace("given = sys.stdin.read()", "given = ASKED")}
        files["main.py"] = files["main.py"].replace(
            "print(ask(sys.stdin.read()))", "ASKED = sys.stdin.read()\nask(ASKED)"
        )
        result = drilled(program(tmp_path, files), run_spec, f"q {port}")
    line = case_lines(result.folder)[0]
    assert row_of(result, "drift", "failed_calls")["candidate"] == 0, "the gateways are open"
    assert line["answer"] == ("through" if open_to_it else None)
    assert open_to_it or "Permission denied" in line["error"]["message"]
    assert "without TCP" in " ".join(result.report["not_tested"])
