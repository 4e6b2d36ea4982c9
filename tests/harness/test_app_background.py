"""Calls that come beside the trials: late ones, nobody's, and those that the app gives up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness.apps import (
    BY_COMMAND,
    SERVE,
    SERVER,
    calls_of,
    drilled,
    program,
    row_of,
)
from tests.harness.drills import Log, case_lines, late, right, rows

from exitdrill.backend import Request
from exitdrill_adapters.scripted import Answer

BY_HEADER: dict[str, Any] = {
    "serve": [*SERVE, "--pass"],
    "path": "/answer",
    "header": True,
    "concurrency": 2,
}
ASKS = "            self.answer(200, ask(given, headers=passed))\n"
WORKS_ON = """
            def later(*given):
                try:
                    ask(*given, headers=passed)
                except Exception as error:
                    sys.stderr.write(f"refused: {error}")

            import threading
            {meanwhile}
            self.answer(200, ask(given, headers=passed))
            {afterwards}
"""
AFTERWARDS = 'threading.Timer(0.4, later, ["late " + given]).start()'
MEANWHILE = 'threading.Thread(target=later, args=["slow " + given]).start()'


def server(meanwhile: str = "", afterwards: str = "") -> str:
    """The server that makes a call more, in the background."""
    works_on = WORKS_ON[1:].replace("{meanwhile}", meanwhile).replace("{afterwards}", afterwards)
    return SERVER.replace(ASKS, works_on)


def test_a_call_that_names_a_trial_that_is_over_is_refused_and_counted(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": server(afterwards=AFTERWARDS)})
    log = Log()
    backends = {"old": log.adapter(late(0.3)), "new": log.adapter(late(0.3))}
    result = drilled(folder, BY_HEADER, *(f"q{n}" for n in range(6)), backends=backends)
    assert {line["answer"] for line in case_lines(result.folder)} == {f"a{n}" for n in range(6)}
    assert [call.user for call in log.calls if call.user.startswith("late")] == []
    assert result.report["app"]["arms"][0]["strays"] >= 4
    assert result.report["app"]["arms"][1]["strays"] >= 4
    for call in calls_of(result.folder):
        assert call["body"]["messages"][-1]["content"] == f"q{call['position']}"
    said = (result.folder / "report.md").read_text()
    assert "named no trial, or one that was over, and got no answer" in said
    assert row_of(result, "drift", "model_calls")["candidate"] == 1


def test_a_call_under_way_when_the_app_answers_is_its_trials(tmp_path: Path) -> None:
    def slow(request: Request) -> Answer:
        said = right(request)
        lazy = request.body["messages"][-1]["content"].startswith("slow")
        return said.model_copy(update={"first_after": 0.4 if lazy else 0.1})

    folder = program(tmp_path, {"server.py": server(meanwhile=MEANWHILE)})
    log = Log()
    backends = {"old": log.adapter(slow), "new": log.adapter(slow)}
    result = drilled(folder, BY_HEADER, "q0", "q1", "q2", backends=backends)
    assert row_of(result, "drift", "model_calls")["candidate"] == 2
    found = [
        (call["position"], call["body"]["messages"][-1]["content"], call["status"])
        for call in calls_of(result.folder)
    ]
    assert sorted(set(found)) == sorted(
        (n, said, 200) for n in range(3) for said in (f"q{n}", f"slow q{n}")
    )
    assert [arm["strays"] for arm in result.report["app"]["arms"]] == [0, 0]


def test_without_the_header_a_call_between_two_trials_is_counted(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": server(afterwards=AFTERWARDS)})
    (folder / "exit").mkdir()
    (folder / "exit" / "server.py").write_text(SERVER.lstrip())
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(late(1.5))}
    spec = {"serve": SERVE, "path": "/answer"}
    result = drilled(folder, spec, "q0", swap={"overlay": "exit"}, backends=backends)
    late_ones = [call for call in log.calls if call.user.startswith("late")]
    old, new = result.report["app"]["arms"]
    assert old["strays"] >= 1, "it came while the other arm was asked"
    assert new["strays"] == 0
    assert all(call.arm == "old" for call in late_ones)


# --- an app that hangs up -------------------------------------------------------------------------

GIVES_UP = """
import sys, openai
client = openai.OpenAI(max_retries=0)
messages = [{"role": "user", "content": sys.stdin.read()}]
stream = client.chat.completions.create(model="m", messages=messages, max_tokens=20, stream=True)
for chunk in stream:
    if chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content)
        break
stream.close()
"""


def drawn_out(request: Request) -> Answer:
    return Answer(text="a b c d", chunks=4, gap=0.3, input_tokens=5, output_tokens=4)


def test_a_stream_that_the_app_gives_up_is_cancelled_and_charged(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": GIVES_UP})
    log = Log()
    backends = {"old": log.adapter(drawn_out), "new": log.adapter(drawn_out)}
    result = drilled(folder, BY_COMMAND, "q0", backends=backends)
    answers = {line["answer"] for line in case_lines(result.folder)}
    calls = calls_of(result.folder)
    (answer,) = answers
    assert "a b c d".startswith(answer)
    assert answer != "a b c d"
    assert {(call["status"], call["error"]) for call in calls} == {(499, "cancelled")}
    assert all(call.ended is not None for call in log.calls), "the backend is told to stop"
    said = rows(result.folder, "SELECT events FROM app_calls WHERE position >= 0")
    texts = ["".join(each[2] for each in json.loads(row) if each[0] == "t") for (row,) in said]
    assert all(text.strip() and "a b c d".startswith(text) for text in texts), "what was sent"
    spent = rows(result.folder, "SELECT state, tokens FROM calls WHERE position >= 0")
    assert {state for state, _ in spent} == {"done"}
    assert all(tokens >= 20 for _, tokens in spent), "what it was billed nobody said: as reserved"
    assert row_of(result, "drift", "failed_calls")["candidate"] == 1
    assert row_of(result, "cost", "input_tokens")["candidate"] is None
