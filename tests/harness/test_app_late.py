"""Calls that a served app makes when it has answered: none is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import SERVE, SERVER, calls_of, drilled, program

LATE = """
        passed_on = self.headers.get(NAME)
        def late():
            try:
                ask("late", at="LEFT", headers={NAME: passed_on} if passed_on else {})
            except Exception:
                pass
        if "LEFT_BASE_URL" in os.environ:
            threading.Timer(0.3, late).start()
        try:"""
LATE_SERVER = SERVER.replace("        try:", LATE[1:]).replace(
    "import json", "import json, threading"
)
LEFT = {"LEFT_BASE_URL": "{incumbent.url}", "LEFT_API_KEY": "{incumbent.key}"}
WAYS: dict[str, dict[str, Any]] = {
    "without the header": {"serve": SERVE, "path": "/answer"},
    "with the header": {"serve": [*SERVE, "--pass"], "path": "/answer", "header": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_still_goes_to_the_incumbent_after_an_answer_is_a_veto(
    way: str, tmp_path: Path
) -> None:
    folder = program(tmp_path, {"server.py": LATE_SERVER})
    result = drilled(folder, WAYS[way], "q0", "q1", "q2", swap={"environment": LEFT})
    in_trials = [call for call in calls_of(result.folder) if call["sent_to"] != call["arm"]]
    arm = result.report["app"]["arms"][1]
    runs = 6 + 1  # and the rehearsal, whose call may be in the first trial, or in none
    assert len(in_trials) + arm["strays_left"] == runs, "each of them is somewhere"
    assert arm["strays"] == arm["strays_left"] > 0
    assert not (WAYS[way].get("header") and in_trials), "whose they are is known there"
    (veto,) = result.report["verdict"]["reasons"]
    assert "a call still goes to the incumbent" in veto
    assert "after an answer, or of no trial" in veto
    assert result.verdict == "not_ready"
    assert "went to old." in (result.folder / "report.md").read_text()
