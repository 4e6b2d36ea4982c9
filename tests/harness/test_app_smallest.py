"""Hunks of the swap without which every check passes are not needed, and named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tests.harness.apps import BY_COMMAND, SERVE, SERVER, app_scenario, program, row_of
from tests.harness.drills import Log, in_turn, right, rows
from tests.harness.test_app_resume import left_behind

from exitdrill import planning
from exitdrill.app.parts import parts_of
from exitdrill.backend import Request
from exitdrill.drill import Result, run
from exitdrill.drillable import check
from exitdrill.plan import make_plan
from exitdrill.progress import Silent
from exitdrill.report import load
from exitdrill.scenario import BudgetSpec, GateSpec, Scenario, SwapSpec
from exitdrill_adapters.scripted import Answer

ROOT = Path(__file__).parents[2]
VENDOR = {"VENDOR_BASE_URL": "{incumbent.url}", "VENDOR_API_KEY": "{incumbent.key}"}
MAIN = """
# How it is done.
import sys
from client import ask
import settings


given = sys.stdin.read()


print(ask(given, at=settings.AT))
"""
SETTINGS = """
LIMIT = 1


AT = "VENDOR"
"""
CHECK = """
import settings
from pathlib import Path

assert settings.LIMIT == int(Path("limit.bin").read_bytes()[-1]), "the limits differ"
"""
TEST = ["{python}", "check.py"]
BEFORE = {
    "main.py": MAIN,
    "settings.py": SETTINGS,
    "check.py": CHECK,
    "dead.py": "x = 1\n",
    "limit.bin": "\0\1",
}
AFTER: Mapping[str, str | None] = {
    "main.py": MAIN.replace("How it is done", "How it is done now"),
    "settings.py": SETTINGS.replace("LIMIT = 1", "LIMIT = 2").replace("VENDOR", "OPENAI"),
    "limit.bin": "\0\2",
    "dead.py": None,
    "unused.py": "y = 1\nz = 2\n",
    "requirements.txt": "more\n",
    "test_more.py": "def test(): ...\n",
}
NEEDLESS = [
    ("dead.py", "deleted", None),
    ("main.py", "changed", [1, 1]),
    ("unused.py", "added", None),
]


def git(folder: Path, *arguments: str) -> bytes:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


def lay(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text.lstrip("\n"))


def patch(folder: Path, after: Mapping[str, str | None]) -> dict[str, Any]:
    """The change as a patch, made by git; the app is as it was again."""
    git(folder / "app", "init", "-q")
    git(folder / "app", "add", "--all")
    git(folder / "app", "commit", "-q", "-m", "before")
    lay(folder / "app", after)
    git(folder / "app", "add", "--all")
    (folder / "exit.patch").write_bytes(git(folder / "app", "diff", "--binary", "HEAD"))
    git(folder / "app", "reset", "-q", "--hard")
    return {"patch": "exit.patch"}


def ref(folder: Path, after: Mapping[str, str | None]) -> dict[str, Any]:
    """The change as a commit."""
    patch(folder, after)
    lay(folder / "app", after)
    git(folder / "app", "add", "--all")
    git(folder / "app", "commit", "-q", "-m", "after")
    git(folder / "app", "tag", "out")
    git(folder / "app", "reset", "-q", "--hard", "HEAD~1")
    return {"ref": "out"}


def overlay(folder: Path, after: Mapping[str, str | None]) -> dict[str, Any]:
    lay(folder / "exit", {name: text for name, text in after.items() if text is not None})
    return {"overlay": "exit"}


def of_app(
    folder: Path, swap: Mapping[str, Any], test: Sequence[str] | None = None, **more: Any
) -> Scenario:
    """A drill of one case, asked twice of each arm."""
    log = more.pop("log", None) or Log()
    spec = {**BY_COMMAND, "environment": VENDOR, "test": test, **more.pop("run", {})}
    backends = more.pop("backends", {"old": log.adapter(), "new": log.adapter()})
    return app_scenario(folder, spec, more.pop("workload", 1), swap, **more, **backends)


def drill(folder: Path, scenario: Scenario) -> Result:
    result = run(scenario, out=folder / "drill")
    load(result.folder, check=True)
    return result


def smallest(result: Result) -> dict[str, Any]:
    found = result.report["app"]["arms"][1]["smallest"]
    assert isinstance(found, dict)
    return found


def named(found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(hunk["path"], hunk["change"], hunk["new"]) for hunk in found["not_needed"]]


def checks_run(folder: Path) -> int:
    ((count,),) = rows(folder, "SELECT count(*) FROM calls WHERE position = -5")
    return int(count)


# --- what is needed -------------------------------------------------------------------------------


def test_each_hunk_is_needed_or_not_by_the_checks(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    result = drill(folder, of_app(folder, patch(folder, AFTER), TEST))
    found = smallest(result)
    assert (found["status"], found["minimal"], found["hunks"]) == ("complete", True, 6)
    assert named(found) == NEEDLESS
    assert (found["tests"], found["cases"]) == (True, 1)
    # the three others: a test rests on the limit and on the binary file, and a call on the address
    lines, needed = (row_of(result, "change", name) for name in ("lines", "lines_needed"))
    assert lines["candidate"] - needed["candidate"] == 1 + 2 + 2
    assert needed["note"] == (
        "3 of 6 hunks not needed by these checks: the app's own tests and 1 case"
    )
    steps = result.report["app"]["arms"][1]["steps"]
    assert row_of(result, "change", "time_to_exit")["candidate"] == pytest.approx(
        sum(step["seconds"] for step in steps)
    )
    assert found["seconds"] > 0
    for file in ("report.md", "report.html"):
        said = (result.folder / file).read_text().replace("\\#", "#")
        assert "3 of 6 hunks of the swap not needed by these checks" in said
        assert "main.py:1: “-# How it is done. ⏎ +# How it is done now.”; unused.py (added)" in said
        assert "needed: settings.py:1: “-LIMIT = 1 ⏎ +LIMIT = 2”; without it the app" in said
        assert "hunks in tests were not tried, for tests are the checks: 1 file" in said
    assert [(hunk["path"], hunk["text"]) for hunk in found["not_needed"]] == [
        ("dead.py", ["-x = 1"]),
        ("main.py", ["-# How it is done.", "+# How it is done now."]),
        ("unused.py", ["+y = 1", "+z = 2"]),
    ]
    assert [(hunk["path"], hunk["text"]) for hunk in found["needed"]] == [
        ("limit.bin", []),
        ("settings.py", ["-LIMIT = 1", "+LIMIT = 2"]),
        ("settings.py", ['-AT = "VENDOR"', '+AT = "OPENAI"']),
    ]
    assert "the limits differ" in found["needed"][1]["why"]


@pytest.mark.parametrize("how", [overlay, ref])
def test_however_the_swap_is_given(how: Any, tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    found = smallest(drill(folder, of_app(folder, how(folder, AFTER), TEST)))
    assert named(found) == [each for each in NEEDLESS if how is ref or each[1] != "deleted"]


def test_without_the_redirect_a_call_strays_though_the_answer_is_right(tmp_path: Path) -> None:
    main = """
    import sys
    from client import ask
    given = sys.stdin.read()
    try:
        ask(given, at="VENDOR")
    except OSError:
        pass
    print(ask(given))
    """.replace("\n    ", "\n")
    folder = program(tmp_path, {"main.py": main})
    swap = patch(folder, {"main.py": main.replace('ask(given, at="VENDOR")', "ask(given)")})
    log = Log()
    found = smallest(drill(folder, of_app(folder, swap, log=log)))
    assert (found["hunks"], found["not_needed"], found["runs"]) == (1, [], 2)
    assert "each hunk of the swap is needed" in (folder / "drill" / "report.md").read_text()
    assert checks_run(folder / "drill") == 2 + 1, "the call that strayed is not paid"


EITHER = "import sys\nimport one, two\nfrom client import ask\n"
EITHER += 'print(ask(sys.stdin.read(), at="OPENAI" if one.OUT or two.OUT else "VENDOR"))\n'


def test_of_two_that_will_do_one_is_kept(tmp_path: Path) -> None:
    files = {"main.py": EITHER, "one.py": "OUT = False\n", "two.py": "OUT = False\n"}
    folder = program(tmp_path, files)
    swap = overlay(folder, {"one.py": "OUT = True\n", "two.py": "OUT = True\n"})
    found = smallest(drill(folder, of_app(folder, swap)))
    assert [hunk["path"] for hunk in found["not_needed"]] == ["one.py"]
    assert found["minimal"]


@pytest.mark.parametrize(
    ("most", "needless", "minimal"),
    [(24, ["helper.py", "main.py"], True), (2, ["main.py"], False)],
)
def test_what_only_a_needless_hunk_needs_is_tried_again(
    most: int, needless: list[str], minimal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exitdrill.app.smallest.MOST_RUNS", most)
    main = "import sys\nfrom client import ask\nprint(ask(sys.stdin.read()))\n"
    folder = program(tmp_path, {"main.py": main})
    swap = overlay(folder, {"helper.py": "", "main.py": f"import helper\n{main}"})
    result = drill(folder, of_app(folder, swap, run={"environment": {}}))
    found = smallest(result)
    assert [hunk["path"] for hunk in found["not_needed"]] == needless
    assert (found["runs"], found["minimal"]) == (1 + len(needless) + 1, minimal), (
        "helper.py cannot go before main.py has"
    )
    said = (result.folder / "report.md").read_text()
    assert ("more may not be needed" in said) == (not minimal)


HANGING = """
import sys, time
import one, two
from client import ask
print(ask(sys.stdin.read(), at="OPENAI" if one.OUT else "VENDOR"))
time.sleep(97 if one.OUT and not two.OUT else 0)
"""


def test_what_hangs_without_a_hunk_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exitdrill.app.smallest.LEAST_SECONDS", 1.0)
    files = {"main.py": HANGING, "one.py": "OUT = False\n", "two.py": "OUT = False\n"}
    folder = program(tmp_path, files)
    swap = overlay(folder, {"one.py": "OUT = True\n", "two.py": "OUT = True\n"})
    command = {"command": ["{python}", "main.py", str(folder)]}
    result = drill(folder, of_app(folder, swap, run=command))
    assert (smallest(result)["not_needed"], smallest(result)["runs"]) == ([], 3)
    assert smallest(result)["seconds"] < 97
    assert left_behind(folder) == []
    assert rows(result.folder, "SELECT count(*) FROM calls WHERE state != 'done'") == [(0,)]
    assert checks_run(result.folder) == 2, "the call before it hung is on record"


def test_variables_of_the_swap_are_hunks_too(tmp_path: Path) -> None:
    main = MAIN.replace("settings.AT", '"VENDOR"').replace("import settings\n", "")
    folder = program(tmp_path, {"main.py": main})
    redirected = {name: value.replace("incumbent", "candidate") for name, value in VENDOR.items()}
    swap = {"environment": redirected | {"COLOUR": "red"}}
    result = drill(folder, of_app(folder, swap))
    assert named(smallest(result)) == [("COLOUR", "variable", None)]
    assert row_of(result, "change", "lines")["candidate"] == 9
    assert row_of(result, "change", "lines_needed")["candidate"] == 8
    assert "the variable COLOUR" in (result.folder / "report.md").read_text()


def test_a_served_app_is_started_for_each_run(tmp_path: Path) -> None:
    folder = program(tmp_path, {"server.py": SERVER})
    swap = patch(folder, {"server.py": f"# a comment\n{SERVER.lstrip()}# and another\n"})
    spec: dict[str, Any] = {"command": None, "serve": SERVE, "path": "/answer", "environment": {}}
    found = smallest(drill(folder, of_app(folder, swap, run=spec)))
    last = len(SERVER.lstrip().splitlines()) + 2
    assert [new for _, _, new in named(found)] == [[1, 1], [last, 1]]


# --- what is not known ----------------------------------------------------------------------------


def wrong(_: Request) -> str:
    return "wrong"


def test_without_any_check_nothing_is_known(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(wrong)}
    result = drill(folder, of_app(folder, patch(folder, AFTER), backends=backends))
    found = smallest(result)
    assert (found["status"], found["not_needed"], found["runs"]) == ("not_measured", [], 0)
    row = row_of(result, "change", "lines_needed")
    assert (row["candidate"], row["note"]) == (
        None,
        "not measured: no test of the app's and no case could be a check",
    )
    assert checks_run(result.folder) == 0


def test_what_is_right_by_chance_is_no_check(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    log = Log()
    # a rehearsal, two trials, and then it is wrong
    backends = {"old": log.adapter(), "new": log.adapter(in_turn(right, right, right, wrong))}
    result = drill(folder, of_app(folder, patch(folder, AFTER), backends=backends))
    found = smallest(result)
    assert (found["status"], found["not_needed"], found["runs"]) == ("not_measured", [], 1)
    assert "failed when they were run once more with the whole swap" in found["note"]
    assert row_of(result, "change", "lines_needed")["candidate"] is None


def test_what_cannot_be_left_out_alone_stays(tmp_path: Path) -> None:
    main = "import sys\nfrom client import ask\nprint(ask(sys.stdin.read()))\n"
    folder = program(tmp_path, {"main.py": main, "helper": "a file\n"})
    swap = patch(folder, {"helper": None, "helper/x.py": "x = 1\n"})
    found = smallest(drill(folder, of_app(folder, swap, run={"environment": {}})))
    assert [hunk["path"] for hunk in found["not_needed"]] == ["helper/x.py"]
    assert (found["status"], found["hunks"]) == ("complete", 2)


def test_a_check_that_cannot_be_made_says_nothing_of_a_hunk(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    swap = patch(folder, AFTER)
    calls = iter(range(100))

    def say(request: Request) -> Answer:
        if next(calls) == 3:  # after a rehearsal and two trials: the whole swap, once more
            shutil.rmtree(folder / "app")
        return right(request)

    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter(say)}
    result = drill(folder, of_app(folder, swap, TEST, backends=backends))
    found = smallest(result)
    assert (found["status"], found["not_needed"], found["runs"]) == ("stopped", [], 1)
    assert "the app's folder does not exist" in found["note"]
    assert row_of(result, "change", "lines_needed")["candidate"] is None


def test_too_many_files_are_not_tried(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    many: dict[str, str | None] = {f"more/{n}.py": f"n = {n}\n" * (n + 1) for n in range(25)}
    result = drill(folder, of_app(folder, overlay(folder, {**AFTER, **many, "dead.py": ""}), TEST))
    found = smallest(result)
    assert (found["hunks"], found["status"]) == (None, "not_measured")
    assert found["note"] == "more than 24 files were changed"


def test_of_many_hunks_whole_files_are_left_out(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": "\n".join(f"a{n} = 1" for n in range(60))})
    change = {"main.py": "\n".join(f"a{n} = {n % 2}" for n in range(60))}
    scenario = of_app(folder, {**overlay(folder, change), "environment": {"A": "b"}})
    (work := tmp_path / "work").mkdir()
    hunks = parts_of(scenario, "new", work).hunks or []
    assert [(h.path, h.lines, h.new) for h in hunks] == [("main.py", 60, None), ("A", 1, None)]


def test_a_candidate_without_a_swap_of_its_own_has_nothing_to_leave_out(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": "import sys; from client import ask; print(ask('q0'))"})
    result = drill(folder, of_app(folder, {}))
    assert result.report["app"]["arms"][1]["smallest"] is None
    assert row_of(result, "change", "lines_needed")["candidate"] is None


# --- names, gates, announcements ------------------------------------------------------------------


def test_names_are_no_markup_and_only_some_are_shown(tmp_path: Path) -> None:
    folder = program(tmp_path, {**BEFORE, "settings.py": SETTINGS.replace("VENDOR", "OPENAI")})
    names = [f"<b>{n}|[x](y).py" for n in range(6)]
    swap = overlay(folder, {name: f"n = '{name}'\n" for name in names})
    result = drill(folder, of_app(folder, swap, run={"environment": {}}))
    assert len(smallest(result)["not_needed"]) == 6
    html, comment = ((result.folder / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert "&lt;b&gt;0|" in html
    # what stands in a fence, as the patch does, is no markup
    tokens = MarkdownIt("commonmark").enable("table").parse(comment)
    markdown = "\n".join(token.content for token in tokens if token.type != "fence")
    for said in (html, markdown):
        assert "<b>0" not in said
        assert "; 1 more" in said
        assert "5|" not in said.split("hunks of the swap not needed")[1].split("1 more")[0]


def test_a_gate_and_an_announcement(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    scenario = of_app(folder, patch(folder, AFTER), TEST)
    gates = [
        GateSpec(measure="lines_needed", limit=10, name="small"),
        GateSpec(measure="lines_needed", limit=9, name="smaller"),
    ]
    scenario = scenario.model_copy(update={"gates": [*scenario.gates, *gates]})
    said: list[str] = []

    class Watching(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    checked = check(scenario)
    lines = list(planning.lines(checked, make_plan(checked)))
    result = run(scenario, out=folder / "drill", watcher=Watching())
    announced = (
        "which hunks of the swap are needed: at most 22 more runs of the app and 22 runs of its "
        "own tests"
    )
    assert announced in lines
    assert announced in said
    assert checks_run(result.folder) <= 22
    statuses = {gate["name"]: gate["status"] for gate in result.report["candidates"][0]["gates"]}
    assert (statuses["small"], statuses["smaller"]) == ("pass", "fail")


# --- money, and what ends early -------------------------------------------------------------------


def test_a_spent_budget_keeps_what_was_found(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    log = Log()
    # 1 rehearsal, 4 trials, 1 on the way back; the control; two hunks: dead.py, limit.bin (test)
    scenario = of_app(folder, patch(folder, AFTER), TEST, log=log, budget=BudgetSpec(requests=8))
    result = drill(folder, scenario)
    assert result.completed, "all that was planned could be paid"
    assert result.report["app"]["way_back"]["right"] == 1
    found = smallest(result)
    assert (found["status"], named(found)) == ("stopped", NEEDLESS[:1])
    assert "and the budget is 8" in found["note"]
    assert row_of(result, "change", "lines_needed")["candidate"] is None
    assert (
        "Not needed, as far as it went: dead.py (deleted)"
        in (result.folder / "report.md").read_text()
    )
    assert len(log.calls) == 8 == result.report["drill"]["spend"]["calls"]
    more = scenario.model_copy(update={"budget": BudgetSpec(requests=80)})
    again = run(more, resume=result.folder)
    assert len(log.calls) == 8
    assert smallest(again) == found


def test_a_drill_that_is_complete_is_not_searched_again(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    log = Log()
    scenario = of_app(folder, patch(folder, AFTER), TEST, log=log)
    first = drill(folder, scenario)
    before = len(log.calls)
    (first.folder / "report.json").unlink()
    again = run(scenario, resume=first.folder)
    assert len(log.calls) == before
    assert smallest(again) == smallest(first)


def killable(folder: Path) -> Scenario:
    descriptor = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(request: Request) -> Answer:
        os.write(descriptor, b"x\n")
        return right(request)

    log = Log()
    spec = {"command": ["{python}", "main.py", str(folder)]}
    backends = {"old": log.adapter(say), "new": log.adapter(say)}
    return of_app(folder, {"patch": "exit.patch"}, TEST, run=spec, backends=backends)


def asked(folder: Path) -> int:
    file = folder / "asked"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_kill_9_in_the_middle_loses_nothing_paid_for(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    patch(folder, AFTER)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen([sys.executable, __file__, str(folder)], env=environment)
    while asked(folder) < 9 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while left_behind(folder):
        assert time.monotonic() < deadline, "the app ends with its drill"
        time.sleep(0.05)
    before = asked(folder)
    result = run(killable(folder), resume=folder / "drill")
    assert named(smallest(result)) == NEEDLESS
    runs = smallest(result)["runs"]
    assert runs == 1 + 6 + 3, "the whole, each hunk, and once more the three that stay"
    assert checks_run(result.folder) <= runs + 1, "one run at most was under way"
    assert asked(folder) - before < runs, "what was known was not asked again"
    assert result.report["drill"]["spend"]["calls"] >= asked(folder)


def test_only_files_and_variables_that_differ_are_hunks(tmp_path: Path) -> None:
    folder = program(tmp_path, BEFORE)
    same = {name: text for name, text in BEFORE.items() if name in AFTER}
    scenario = of_app(folder, overlay(folder, same), run={"environment": {}})
    scenario.swap["new"] = SwapSpec(overlay="exit", environment={})
    checked = check(scenario)
    lines = "\n".join(planning.lines(checked, make_plan(checked)))
    assert "which hunks of the swap" not in lines


if __name__ == "__main__":
    home = Path(sys.argv[1])
    run(killable(home), out=home / "drill")
