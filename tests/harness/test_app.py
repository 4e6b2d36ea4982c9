"""An app is drilled as it is: run on the incumbent, swapped, run on the candidate."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import (
    AGENT,
    BY_COMMAND,
    COMMAND,
    FUNCTION,
    SERVE,
    SERVER,
    agent,
    app_scenario,
    calls_of,
    drilled,
    everything_in,
    processes,
    program,
    row_of,
)
from tests.harness.drills import Log, case_lines, in_turn, late, right, rows

from exitdrill.app.process import contained
from exitdrill.backend import Edit, Request
from exitdrill.drill import Result, run
from exitdrill.report import load
from exitdrill.scenario import BudgetSpec, GateSpec
from exitdrill_adapters.scripted import Answer, Error

FILES = {"main.py": COMMAND, "lib/answers.py": FUNCTION, "server.py": SERVER}
WAYS: dict[str, dict[str, Any]] = {
    "command": BY_COMMAND,
    "function": {"function": "lib/answers.py:answer"},
    "served": {"serve": SERVE, "path": "/answer"},
    "served, several at once": {
        "serve": [*SERVE, "--pass"],
        "path": "/answer",
        "header": True,
        "concurrency": 4,
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_an_app_is_run_on_both_arms_and_its_calls_are_its_trials(way: str, tmp_path: Path) -> None:
    result = drilled(program(tmp_path, FILES), WAYS[way], *(f"q{n}" for n in range(6)))
    assert result.verdict == "ready", result.report["verdict"]
    lines = case_lines(result.folder)
    assert {line["answer"] for line in lines} == {f"a{n}" for n in range(6)}
    calls = calls_of(result.folder)
    assert Counter((c["arm"], c["position"], c["repeat"]) for c in calls).total() == 24
    for call in calls:
        assert call["body"]["messages"][-1]["content"] == f"q{call['position']}"
        assert (call["sent_to"], call["status"], call["number"]) == (call["arm"], 200, 0)
    model_calls = row_of(result, "drift", "model_calls")
    assert (model_calls["candidate"], model_calls["noise"]) == (1, 0)
    assert row_of(result, "cost", "input_tokens")["candidate"] == 5
    assert row_of(result, "latency", "total_p50")["candidate"] > 0
    assert row_of(result, "latency", "ttft_p50")["candidate"] is None, "it comes in one piece"
    load(result.folder, check=True)


def test_the_report_says_what_the_exit_took_and_the_way_back(tmp_path: Path) -> None:
    tests = ["{python}", "-c", "import main"]
    result = drilled(program(tmp_path, FILES), {**BY_COMMAND, "test": tests})
    app = result.report["app"]
    assert (app["how"], app["command"]) == ("command", "{python} main.py")
    old, new = app["arms"]
    assert [step["step"] for step in new["steps"]] == [
        "provision the candidate",
        "apply the swap",
        "the app's own tests",
        "first right answer",
        "all checks",
    ]
    assert new["seconds"] == pytest.approx(sum(step["seconds"] for step in new["steps"]))
    assert old["tests"]["passed"]
    assert (app["way_back"]["cases"], app["way_back"]["right"]) == (2, 2)
    said = (result.folder / "report.md").read_text()
    assert "The app itself was run by the command: {python} main.py." in said
    assert "- The app's own tests pass on old, new." in said
    assert "The way back" in said
    assert "| step | new |\n|---|---|\n| provision the candidate | " in said
    assert "| the whole exit | " in said
    assert "The app itself was run" in (result.folder / "report.html").read_text()
    row = row_of(result, "change", "time_to_exit")
    assert (row["candidate"], row["incumbent"]) == (pytest.approx(new["seconds"]), None)
    assert row_of(result, "change", "lines")["candidate"] == 4, "base URL and key are another's"


def test_edits_to_an_apps_calls_are_counted_and_a_refused_one_is_named(tmp_path: Path) -> None:
    log = Log()
    small, large = (Edit(action, "/max_tokens", "has no limits") for action in ("rename", "drop"))
    backends = {
        "old": log.adapter(),
        "renames": log.adapter(edit=lambda _: (small,)),
        "drops": log.adapter(edit=lambda _: (large,)),
    }
    result = drilled(program(tmp_path, FILES), BY_COMMAND, backends=backends)
    for candidate in (0, 1):
        row = row_of(result, "change", "edits", candidate)
        assert (row["incumbent"], row["candidate"]) == (0, 2), "one for each of two cases"
    renames, drops = result.report["candidates"]
    assert renames["veto"] is None
    assert drops["veto"] == (
        "veto: a feature that the workload uses is missing: drops cannot take 2 of the 2 requests "
        "as they are, and the incumbent can: see its edits and its errors; the first for "
        "/max_tokens: has no limits (the scenario does not allow the edit 'drop:/max_tokens')"
    )


def test_json_goes_in_and_a_function_may_return_any(tmp_path: Path) -> None:
    function = "def answer(given):\n    return {'got': given}\n"
    folder = program(tmp_path, {"main.py": function})
    given = {"text": "ä", "numbers": [1, 2]}
    result = drilled(folder, {"function": "main.py:answer"}, given)
    assert json.loads(case_lines(result.folder)[0]["answer"]) == {"got": given}
    assert row_of(result, "drift", "model_calls")["candidate"] == 0
    tokens = row_of(result, "cost", "input_tokens")
    assert (tokens["incumbent"], tokens["candidate"]) == (0, 0), "no call was made: that is known"


MISCHIEF = """
import os, subprocess, sys, time
what = sys.stdin.read()
if what == "hang":
    time.sleep(60)
if what == "flood":
    while True:
        print("x" * 1000)
if what == "crash":
    sys.exit("the reason for it, and " + os.environ["OPENAI_API_KEY"])
if what == "signal":
    os.kill(os.getpid(), 11)
if what == "child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(97)"], start_new_session=True)
print("fine")
"""


def test_an_app_that_hangs_floods_or_crashes_is_ended_and_named(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": MISCHIEF})
    given = ("hang", "flood", "crash", "signal", "child")
    result = drilled(folder, {**BY_COMMAND, "timeout_seconds": 1.5, "concurrency": 5}, *given)
    found = {}
    for line in case_lines(result.folder):
        found[given[int(line["case"][1:])]] = line["error"] or line["answer"]
    assert found["child"] == "fine"
    kinds = {name: error["kind"] for name, error in found.items() if name != "child"}
    assert kinds == {"hang": "timeout", "flood": "flood", "crash": "crashed", "signal": "crashed"}
    assert "longer than 1.5 s" in found["hang"]["message"]
    assert "the app wrote more than 1 MB" in found["flood"]["message"]
    assert "the reason for it, and [key]" in found["crash"]["message"]
    assert "SIGSEGV" in found["signal"]["message"]
    assert not [line for line in processes() if "time.sleep(97)" in line], "nobody is left behind"


STRICT = SERVER.replace('self.answer(200, "ok")', 'self.answer(404, "no such page")')


def test_any_page_says_that_an_app_is_up_unless_one_is_named(tmp_path: Path) -> None:
    text = STRICT.replace("int(sys.argv[1])", 'int(os.environ["PORT"])')
    spec = {"serve": SERVE[:2], "path": "/answer", "environment": {"PORT": "{port}"}}
    result = drilled(program(tmp_path / "any", {"server.py": text}), spec)
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0", "a1"}
    named = spec | {"ready": "/up", "startup_seconds": 2}
    result = drilled(program(tmp_path / "named", {"server.py": text}), named)
    assert result.exit_code == 4
    assert "GET /up answered 404 (app.run.ready says" in result.report["drill"]["stopped"]


def test_a_served_app_that_hangs_is_started_anew(tmp_path: Path) -> None:
    slow = SERVER.replace("        try:", "        time.sleep(30 * ('9' in given))\n        try:")
    slow = slow.replace("import json", "import json, time")
    folder = program(tmp_path, {"server.py": slow})
    spec = {**WAYS["served"], "timeout_seconds": 1}
    result = drilled(folder, spec, "q9", "q1", replay={"block": 1})
    kinds = [(line["error"] or {}).get("kind") for line in case_lines(result.folder)]
    assert kinds == ["timeout"] * 4 + [None] * 4


def test_a_served_app_that_dies_is_named_and_started_anew(tmp_path: Path) -> None:
    dying = SERVER.replace("        try:", "        if '9' in given: os._exit(3)\n        try:")
    folder = program(tmp_path, {"server.py": dying})
    result = drilled(folder, WAYS["served"], "q9", "q1", replay={"block": 1})
    lines = case_lines(result.folder)
    assert [(line["error"] or {}).get("kind") for line in lines] == ["crashed"] * 4 + [None] * 4
    assert "exit code 3" in lines[0]["error"]["message"]


def test_a_header_that_is_not_passed_on_leaves_a_call_nobodys(tmp_path: Path) -> None:
    spec = WAYS["served, several at once"] | {"serve": SERVE}
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter()}
    result = drilled(program(tmp_path, FILES), spec, backends=backends)
    assert log.calls == [], "it cannot be charged to a trial, so it is not made"
    assert {line["error"]["kind"] for line in case_lines(result.folder)} == {"server"}
    assert calls_of(result.folder) == []
    assert result.report["app"]["arms"][1]["strays"] >= 4
    assert "of the app named no trial" in (result.folder / "report.md").read_text()


def test_a_header_says_whose_a_call_is_that_was_left_behind(tmp_path: Path) -> None:
    incumbent = {"OPENAI_BASE_URL": "{incumbent.url}", "OPENAI_API_KEY": "{incumbent.key}"}
    spec = WAYS["served, several at once"] | {"environment": incumbent}
    result = drilled(program(tmp_path, FILES), spec, "q0", "q1", "q2")
    assert result.exit_code == 1
    left = [call for call in calls_of(result.folder) if call["arm"] == "new"]
    assert {call["error"] for call in left} == {"left_behind"}
    assert Counter((call["position"], call["repeat"]) for call in left).total() == 6
    for call in left:
        assert call["body"]["messages"][-1]["content"] == f"q{call['position']}"


def test_an_agent_loop_is_one_trial_of_several_calls(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": AGENT})
    log = Log()
    backends = {"old": log.adapter(agent), "new": log.adapter(agent)}
    result = drilled(folder, BY_COMMAND, "q1", backends=backends)
    assert {line["answer"] for line in case_lines(result.folder)} == {"a1"}
    first, second = calls_of(result.folder)[:2]
    assert (first["number"], second["number"]) == (0, 1)
    assert second["body"]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": first_id(second),
        "content": "found 1",
    }
    assert row_of(result, "drift", "model_calls")["candidate"] == 2
    assert row_of(result, "cost", "output_tokens")["candidate"] == 6, "both calls are counted"


def test_what_an_app_keeps_of_its_models_answers_is_no_reasoning_that_stayed_hidden(
    tmp_path: Path,
) -> None:
    long = Log().adapter(lambda _: Answer(text="a0", input_tokens=5, output_tokens=500))
    folder = program(tmp_path, {"main.py": COMMAND})
    result = drilled(folder, BY_COMMAND, "q0", backends={"old": long, "new": long})
    assert row_of(result, "cost", "output_tokens")["candidate"] == 500
    assert "can have arrived" not in json.dumps(result.report)


def first_id(call: dict[str, Any]) -> str:
    identity = call["body"]["messages"][-2]["tool_calls"][0]["id"]
    assert isinstance(identity, str)
    return identity


SDK = """
import sys, openai
answer = openai.OpenAI().chat.completions.create(
    model="m", messages=[{"role": "user", "content": sys.stdin.read()}], max_tokens=9
)
print(answer.choices[0].message.content)
"""


def busy(_: Request) -> Answer:
    return Answer(error=Error(kind="overloaded", message="busy", status=503, retry_after=0.01))


def test_the_retries_of_an_apps_sdk_are_calls_of_their_own(tmp_path: Path) -> None:
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(in_turn(right, busy, right))}
    result = drilled(program(tmp_path, {"main.py": SDK}), BY_COMMAND, "q0", backends=backends)
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0"}
    seen = [
        (c["repeat"], c["status"], c["error"]) for c in calls_of(result.folder) if c["arm"] == "new"
    ]
    assert sorted(seen) == [(0, 200, None), (0, 503, "overloaded"), (1, 200, None)]
    assert row_of(result, "drift", "failed_calls")["candidate"] == 0.25


# --- the swap -------------------------------------------------------------------------------------

TWO_SITES = """
import sys
from client import ask
given = sys.stdin.read()
try:
    ask("is this polite? " + given, at="VENDOR")
except OSError:
    pass  # the app goes on without
print(ask(given, at="VENDOR"))
"""
VENDOR = {"VENDOR_BASE_URL": "{incumbent.url}", "VENDOR_API_KEY": "{incumbent.key}"}


def test_a_swap_that_misses_a_call_site_is_not_ready_and_named(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": TWO_SITES})
    (folder / "exit").mkdir()
    missed = TWO_SITES.replace('print(ask(given, at="VENDOR"))', "print(ask(given))")
    (folder / "exit" / "main.py").write_text(missed.lstrip())
    log = Log()
    result = drilled(
        folder,
        {**BY_COMMAND, "environment": VENDOR},
        swap={"overlay": "exit"},
        backends={"old": log.adapter(), "new": log.adapter()},
    )
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0", "a1"}, (
        "it seems to work"
    )
    assert result.exit_code == 1
    (candidate,) = result.report["candidates"]
    assert candidate["verdict"]["reasons"][0] == (
        "veto: a call still goes to the incumbent: 4 of 4 trials still call old, first "
        "/v1/chat/completions for the model 'm': 'is this polite? q0'"
    )
    for name in ("time_to_exit", "lines_needed"):
        row = row_of(result, "change", name)
        assert (row["candidate"], row["note"][:12]) == (None, "not measured"), "it was not left"
    calls = result.report["app"]["arms"][1]["calls"]
    assert (calls["made"], calls["failed"]) == (4, 0), "what was refused is not the candidate's"
    line = next(line for line in case_lines(result.folder) if line["arm"] == "new")
    assert [(c["to"], c["error"]) for c in line["calls"]] == [("old", "left_behind"), ("new", None)]
    left = [call for call in calls_of(result.folder) if call["sent_to"] != call["arm"]]
    assert {(c["arm"], c["sent_to"], c["status"], c["error"]) for c in left} == {
        ("new", "old", 410, "left_behind")
    }
    asked = [user for user in log.users("old") if user.startswith("is this polite")]
    assert len(asked) == 6, "of the incumbent's own trials, and the way back; no more"


def test_by_configuration_alone(tmp_path: Path) -> None:
    environment = {name: value.replace("incumbent", "candidate") for name, value in VENDOR.items()}
    result = drilled(
        program(tmp_path, {"main.py": TWO_SITES}),
        {**BY_COMMAND, "environment": VENDOR},
        swap={"environment": environment},
    )
    assert result.report["candidates"][0]["veto"] is None
    assert row_of(result, "change", "code_lines")["candidate"] == 0
    assert row_of(result, "change", "configuration_lines")["candidate"] == 8


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "tests": ({**BY_COMMAND, "test": ["{python}", "check.py"]}, "own tests fail after the swap"),
    "start": ({"serve": SERVE, "path": "/"}, "the app does not start"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_swap_that_breaks_the_app_is_a_veto_and_nothing_more_is_asked(
    what: str, tmp_path: Path
) -> None:
    spec, reason = BROKEN[what]
    folder = program(
        tmp_path, {**FILES, "check.py": "import main_setting\n", "main_setting.py": ""}
    )
    exit_ = folder / "exit"
    exit_.mkdir()
    (exit_ / "main_setting.py").write_text("raise SystemExit('no such setting')\n")
    (exit_ / "server.py").write_text("raise SystemExit('no such setting')\n")
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter()}
    result = drilled(folder, spec, swap={"overlay": "exit"}, backends=backends)
    assert result.exit_code == 1
    (candidate,) = result.report["candidates"]
    assert reason in candidate["verdict"]["reasons"][0]
    assert "no such setting" in candidate["verdict"]["reasons"][0]
    assert log.calls == []


def test_a_candidate_whose_exit_fails_is_no_hindrance_to_another(tmp_path: Path) -> None:
    folder = program(tmp_path, FILES)
    (folder / "exit").mkdir()
    (folder / "exit" / "main.py").write_text("raise SystemExit(1)\n")
    log = Log()
    old, new, other = (log.adapter() for _ in range(3))
    test = ["{python}", "-c", "assert 'ask' in open('main.py').read()"]
    spec = {**BY_COMMAND, "test": test}
    swap = {"overlay": "exit"}
    scenario = app_scenario(folder, spec, 7, swap, old=old, new=new, other=other)
    one = {"new": scenario.swap["new"]}
    result = run(scenario.model_copy(update={"swap": one}), out=folder / "drill")
    assert result.report["verdict"]["status"] == "ready"
    assert result.report["verdict"]["candidate"] == "other"
    assert [each["verdict"]["status"] for each in result.report["candidates"]] == [
        "not_ready",
        "ready",
    ]
    assert log.of("new") == []


def test_tests_that_failed_before_say_nothing(tmp_path: Path) -> None:
    spec = {**BY_COMMAND, "test": ["{python}", "-c", "raise SystemExit(3)"]}
    result = drilled(program(tmp_path, FILES), spec)
    assert result.verdict == "inconclusive"
    assert "failed before it as well" in result.report["candidates"][0]["verdict"]["reasons"][0]


def test_a_defect_of_an_adapter_ends_the_drill(tmp_path: Path) -> None:
    def broken(_: Request) -> Answer:
        raise KeyError("an adapter's mistake")

    log = Log()
    with pytest.raises(KeyError, match="an adapter's mistake"):
        drilled(
            program(tmp_path, FILES),
            BY_COMMAND,
            backends={"old": log.adapter(broken), "new": log.adapter()},
        )
    assert len(log.of("old")) == 1


# --- money and keys -------------------------------------------------------------------------------


def test_a_spent_budget_ends_the_app_and_the_drill(tmp_path: Path) -> None:
    log = Log()
    result = drilled(
        program(tmp_path, FILES),
        BY_COMMAND,
        *(f"q{n}" for n in range(4)),
        budget=BudgetSpec(requests=5),
        backends={"old": log.adapter(), "new": log.adapter()},
    )
    assert result.exit_code == 4
    assert "and the budget is 5" in result.report["drill"]["stopped"]
    assert len(log.calls) == 5 == result.report["drill"]["spend"]["calls"]
    again = app_scenario(tmp_path, BY_COMMAND, 4, budget=BudgetSpec(requests=500), **resumed(log))
    done = run(again, resume=result.folder)
    assert done.completed
    trials = Counter((c["arm"], c["position"], c["repeat"]) for c in calls_of(done.folder))
    assert len(trials) == 16
    assert set(trials.values()) == {1}


def test_a_way_back_that_is_not_paid_for_costs_nothing_else(tmp_path: Path) -> None:
    result = drilled(program(tmp_path, FILES), BY_COMMAND, budget=BudgetSpec(requests=9))
    assert result.completed
    assert "to 10 requests, and the budget is 9" in result.report["app"]["way_back"]["failure"]
    assert "The way back." in result.report["not_tested"]
    assert "The way back failed" in (result.folder / "report.md").read_text()


def resumed(log: Log) -> dict[str, Any]:
    return {"old": log.adapter(), "new": log.adapter()}


def test_a_budget_of_tokens_needs_bounded_calls(tmp_path: Path) -> None:
    endless = COMMAND.replace("sys.stdin.read()", "sys.stdin.read(), max_tokens=None")
    log = Log()
    result = drilled(
        program(tmp_path, {"main.py": endless}),
        BY_COMMAND,
        budget=BudgetSpec(tokens=100_000),
        backends=resumed(log),
    )
    assert result.exit_code == 4
    assert "without max_tokens" in result.report["drill"]["stopped"]
    assert log.calls == []


SPY = """
import json, os, sys
from client import ask
ask("q0")
print(json.dumps(dict(os.environ)))
print(json.dumps(dict(os.environ)), file=sys.stderr)
sys.exit(1 if sys.stdin.read() == "fail" else 0)
"""


def test_no_key_reaches_the_app_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk-of-our-own-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("SOME_OTHER_VARIABLE", "not the app's business")
    folder = program(tmp_path, {"main.py": SPY})
    result = drilled(folder, {**BY_COMMAND, "environment": {"MODE": "test"}}, "go", "fail")
    line = next(line for line in case_lines(result.folder) if line["answer"] and not line["error"])
    seen = json.loads(line["answer"])
    assert seen.keys() - {"LC_CTYPE", "PWD", "SHLVL", "_"} == {
        *("PATH", "LANG", "HOME", "TMPDIR", "PYTHONDONTWRITEBYTECODE"),
        *("OPENAI_BASE_URL", "OPENAI_API_KEY", "MODE"),
    }
    assert seen["OPENAI_API_KEY"] == "[key]"
    assert seen["OPENAI_BASE_URL"].endswith("/t/[key]/v1")
    kept = everything_in(result.folder)
    assert secret.encode() not in kept
    assert b"not the app's business" not in kept


WRITER = """
import os, sys
from pathlib import Path
place = sys.stdin.read()
for each in ("here.txt", os.environ["TMPDIR"] + "/t.txt", os.environ["HOME"] + "/h.txt"):
    Path(each).write_text("x")
try:
    Path(place).write_text("x")
    print("written")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("way", ["command", "served"])
def test_the_loss_of_the_drills_own_folder_is_no_fault_of_the_apps(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))

    def clears(request: Request) -> Answer:
        for place in places.glob("exitdrill-*"):
            shutil.rmtree(place, ignore_errors=True)
        return right(request)

    answer = "self.answer(200, ask(given, headers=passed))"
    dies = f"said = {answer[17:-1]}; os.path.exists('server.py') or os._exit(1)"
    dies = SERVER.replace(answer, f"{dies}; self.answer(200, said)")
    folder = program(tmp_path, {**FILES, "server.py": dies})
    backends = {"old": Log().adapter(clears), "new": Log().adapter()}
    result = drilled(folder, WAYS[way], backends=backends)
    assert result.exit_code == 4
    assert "the drill's own folder" in result.report["drill"]["stopped"]
    assert not [line for line in case_lines(result.folder) if line["error"]]


@pytest.mark.skipif(not contained(), reason="the platform has no Landlock")
def test_an_app_that_was_denied_a_place_is_told_where_it_may_write(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    folder = program(tmp_path, {"main.py": f"open({str(place)!r}, 'w')\n"})
    error = case_lines(drilled(folder, BY_COMMAND).folder)[0]["error"]
    assert "it may write only to its copy and to HOME and TMPDIR" in error["message"]


@pytest.mark.parametrize("way", ["command", "served"])
def test_what_is_passed_reaches_the_app_and_no_file(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PLACE", "postgres://u:hunter2pw@db/x")
    leaks = "import os\nprint(os.environ['MY_PLACE'], flush=True)\n"
    run_spec = {**WAYS[way], "pass": ["MY_PLACE"], "test": ["{python}", "leaks.py"]}
    files = {"leaks.py": leaks}
    if way == "command":
        files["main.py"] = f"from client import ask\n{leaks}ask(str({{**os.environ}}))\n"
    else:
        files["server.py"] = SERVER.replace("ask(given", "ask('q' + os.environ['MY_PLACE']")
    log = Log()
    backends = {name: log.adapter() for name in ("old", "new")}  # which answer in two pieces
    result = drilled(program(tmp_path, files), run_spec, backends=backends)
    calls = calls_of(result.folder)
    assert len(calls) == 8
    assert all("[key]" in str(call["body"]) for call in calls)
    assert b"hunter2pw" not in everything_in(result.folder)
    plan = json.loads((result.folder / "plan.json").read_text())
    assert plan["app"]["pass"] == ["MY_PLACE"]
    ((known,),) = rows(result.folder, "SELECT value FROM inputs WHERE name = 'app'")
    assert json.loads(known)["arms"]["old"]["tests"] | {"seconds": 0} == {
        **{"passed": True, "seconds": 0},
        "said": "exit code 0\n[key]",
        "brief": "exit code 0: [key]",
    }


@pytest.mark.parametrize("way", ["command", "served"])
def test_an_app_that_misses_a_variable_is_told_of(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PLACE", "postgres://u:hunter2pw@db/x")
    misses = "import os\nos.environ['MY_PLACE']\n"
    folder = program(tmp_path, {"main.py": misses, "server.py": misses})
    result = drilled(folder, WAYS[way])
    written = everything_in(result.folder)
    assert b"the app does not get MY_PLACE from the drill's environment" in written
    assert b"name it in app.run.pass" in written


def test_an_app_writes_to_its_copy_and_nowhere_else(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": WRITER})
    outside = tmp_path / "outside.txt"
    result = drilled(folder, BY_COMMAND, str(outside))
    answer = case_lines(result.folder)[0]["answer"]
    assert not (folder / "app" / "here.txt").exists(), "it runs in a copy"
    if result.report["app"]["contained"]:
        assert (answer, outside.exists()) == ("PermissionError", False)
    else:
        assert any("was not contained" in each for each in result.report["not_tested"])


def test_where_it_cannot_be_contained_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("process", "log"):
        monkeypatch.setattr(f"exitdrill.app.{module}.landlock_version", lambda: 0)
    result = drilled(program(tmp_path, {"main.py": WRITER}), BY_COMMAND, str(tmp_path / "out"))
    assert case_lines(result.folder)[0]["answer"] == "written"
    assert result.report["app"]["contained"] is False
    assert (
        "Whether the app writes elsewhere: the app was not contained."
        in result.report["not_tested"]
    )


def test_a_slow_model_is_the_apps_time(tmp_path: Path) -> None:
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(late(0.5))}
    result: Result = drilled(program(tmp_path, FILES), BY_COMMAND, "q0", backends=backends)
    app, wire = (row_of(result, "latency", name) for name in ("total_p50", "call_seconds"))
    assert 0.4 < wire["estimate"] < 0.7
    assert 0.4 < app["estimate"] < 1.5
    assert app["candidate"] > wire["candidate"]
    assert rows(result.folder, "SELECT count(*) FROM calls WHERE state != 'done'") == [(0,)]


def test_gates_on_what_the_app_does_and_what_its_exit_takes(tmp_path: Path) -> None:
    scenario = app_scenario(
        program(tmp_path, FILES), BY_COMMAND, 6, old=Log().adapter(), new=Log().adapter()
    )
    gates = [
        *scenario.gates,
        GateSpec(measure="time_to_exit", limit=600),
        GateSpec(measure="time_to_exit", limit=0.001, name="at once"),
        GateSpec(measure="model_calls", limit=1),
        GateSpec(measure="call_seconds", limit=60),
        GateSpec(measure="failed_calls", margin=0.9),
    ]
    result = run(scenario.model_copy(update={"gates": gates}), out=tmp_path / "drill")
    found = {gate["name"]: gate["status"] for gate in result.report["candidates"][0]["gates"]}
    assert found == {
        "success": "pass",
        "time_to_exit": "pass",
        "at once": "fail",
        "model_calls": "pass",
        "call_seconds": "pass",
        "failed_calls": "pass",
    }
    assert result.exit_code == 1
