"""A served app may ask its model while it starts: that is charged, recorded, and no trial's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import SERVE, SERVER, calls_of, drilled, program, row_of
from tests.harness.drills import Log, rows

from exitdrill.scenario import BudgetSpec

WARM = SERVER.replace("NAME =", 'ask("q warm")\nNAME =')
WAYS: dict[str, dict[str, Any]] = {
    "without the header": {"serve": SERVE, "path": "/answer"},
    "with the header": {"serve": [*SERVE, "--pass"], "path": "/answer", "header": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_at_the_start_is_let_through_and_no_trials(way: str, tmp_path: Path) -> None:
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter()}
    result = drilled(program(tmp_path, {"server.py": WARM}), WAYS[way], backends=backends)
    assert result.completed, result.report["verdict"]
    assert row_of(result, "drift", "model_calls")["candidate"] == 1
    assert {call["body"]["messages"][-1]["content"] for call in calls_of(tmp_path / "drill")} == {
        "q0",
        "q1",
    }
    assert [call.user for call in log.calls].count("q warm") == 3, "two arms, and the way back"
    recorded = rows(tmp_path / "drill", "SELECT arm, status FROM app_calls WHERE position = -6")
    assert sorted(recorded) == [("new", 200), ("old", 200), ("old", 200)]
    assert [arm["strays"] for arm in result.report["app"]["arms"]] == [0, 0]
    states = rows(tmp_path / "drill", "SELECT DISTINCT state FROM calls")
    assert states == [("done",)]


def test_a_call_to_the_incumbent_at_the_start_is_a_veto(tmp_path: Path) -> None:
    left = SERVER.replace(
        "NAME =",
        'if "LEFT_BASE_URL" in os.environ:\n'
        "    try:\n"
        '        ask("late", at="LEFT")\n'
        "    except Exception:\n"
        "        pass\n"
        "NAME =",
    )
    environment = {"LEFT_BASE_URL": "{incumbent.url}", "LEFT_API_KEY": "{incumbent.key}"}
    folder = program(tmp_path, {"server.py": left})
    result = drilled(folder, WAYS["without the header"], swap={"environment": environment})
    (veto,) = result.report["verdict"]["reasons"]
    assert "still goes to the incumbent: 1 call after an answer, or of no trial" in veto


def test_a_budget_that_ends_at_the_start_ends_the_drill(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": WARM})
    spec = WAYS["without the header"]
    result = drilled(folder, spec, "q0", budget=BudgetSpec(requests=1))
    assert not result.completed
    assert "budget" in " ".join(result.report["verdict"]["reasons"])
