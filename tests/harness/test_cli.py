"""The command: what it says, and the code that it ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion
from tests.harness.drills import timeless
from tests.harness.scenes import (
    COMMAND,
    TOML,
    changed,
    command,
    lines,
    meta,
    process,
    request,
    scene,
)

import exitdrill
from exitdrill import builtin
from exitdrill.errors import UsageError
from exitdrill.journal import Journal

KEY = "sk-live-51Hq8x0PZ0secret"
BUDGET = "\n[budget]\nrequests = 9\n"
WRONG = changed(
    '[backends.new]\nadapter = "scripted"\nmodel = "script"\noptions = { answers = "right.jsonl" }',
    '[backends.new]\nadapter = "scripted"\nmodel = "script"\noptions = { default = "wrong" }',
)
NO_GATES = changed('[[gates]]\nmeasure = "success"\nmargin = 0.1\n', "")
ENOUGH = 40  # cases: so many agreeing answers leave no doubt within the margin


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "code", "line"),
    [
        (TOML, 0, "verdict: ready (new is ready)"),
        (WRONG, 1, "verdict: not ready (new: success: "),
        (NO_GATES, 3, "verdict: inconclusive (new: the scenario has no gates"),
        (TOML + BUDGET, 4, "verdict: inconclusive (the next call could bring the drill to 10"),
    ],
)
def test_exit_codes_and_one_line(toml: str, code: int, line: str, here: Path) -> None:
    scene(here / "s", cases=ENOUGH, toml=toml)
    done = command("run", "s", "--out", "out", "--quiet")
    assert (done.code, done.err) == (code, "")
    assert done.out.startswith(line)
    assert done.out.count("\n") == 1
    report = json.loads((here / "out" / "report.json").read_text())
    assert report["drill"]["completed"] is (code != 4)
    assert {each.name for each in (here / "out").iterdir()} >= {
        *("plan.json", "journal.sqlite", "report.json", "cases.jsonl"),
        *("report.html", "report.md", "junit.xml"),
    }


def test_a_drill_says_first_what_it_may_cost(here: Path) -> None:
    scene(here / "s", toml=TOML + BUDGET.replace("9", "90"))
    done = command("run", "s", "--out", "out")
    assert "s: 4 cases, 2 arms, 16 calls, at most" in done.err
    assert "budget: requests 90" in done.err
    assert done.err.index("budget") < done.err.index("starting old")
    assert "new: inconclusive" in done.out
    assert f"report: {Path('out') / 'report.html'}" in done.out
    assert done.out.splitlines()[-1].startswith("verdict: inconclusive")


def test_the_installed_command_without_an_activated_environment(here: Path) -> None:
    scene(here / "s", cases=ENOUGH)
    bare = subprocess.run(
        [COMMAND, "run", "s", "--quiet"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={"PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == "verdict: ready (new is ready)\n"
    (folder,) = (here / "reports").iterdir()
    assert folder.name.startswith("s-2")


def test_two_drills_in_one_second_have_two_places(here: Path) -> None:
    scenario = exitdrill.load(scene(here / "s"))
    folders = {exitdrill.run(scenario).folder for _ in range(2)}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {Path("reports")}


def test_limit_and_candidate(here: Path) -> None:
    more = "\n[backends.third]\nadapter = 'scripted'\nmodel = 'm'\noptions = { default = 'x' }\n"
    scene(here / "s", cases=ENOUGH, toml=changed('["new"]', '["new", "third"]') + more)
    done = command("run", "s", "--out", "out", "--quiet", "--candidate", "third", "--limit", "3")
    report = json.loads((here / "out" / "report.json").read_text())
    assert [candidate["name"] for candidate in report["candidates"]] == ["third"]
    assert report["workload"]["asked"] == 3
    assert done.code == 3
    # It is resumed as it was begun.
    again = command("run", "s", "--resume", "out", "--quiet")
    assert (again.code, again.out) == (done.code, done.out)


def test_a_complete_drill_that_is_resumed_stays_as_it_is(here: Path) -> None:
    scene(here / "s", cases=ENOUGH)
    first = command("run", "s", "--out", "out")
    kept = {name: (here / "out" / name).read_bytes() for name in ("journal.sqlite", "report.json")}
    (here / "out" / "report.md").unlink()
    again = command("run", "s", "--resume", "out")
    assert (again.code, again.out) == (first.code, first.out)
    assert "this drill is complete: nobody is asked" in again.err
    assert {name: (here / "out" / name).read_bytes() for name in kept} == kept
    assert (here / "out" / "report.md").exists()


def test_a_report_that_is_made_again_does_not_move_the_end(here: Path) -> None:
    scene(here / "s", cases=ENOUGH)
    command("run", "s", "--out", "out")
    path = here / "out" / "report.json"
    before = json.loads(path.read_text())
    path.unlink()
    assert command("run", "s", "--resume", "out").code == 0
    assert json.loads(path.read_text()) == before


def test_a_drill_without_a_verdict_says_how_it_goes_on(here: Path) -> None:
    scene(here / "s", toml=TOML + BUDGET)
    done = command("run", "s", "--out", "out")
    assert done.code == 4
    assert "to go on: exitdrill run s --resume out" in done.out.splitlines()
    (here / "out" / "report.json").unlink()
    again = command("report", "out")
    assert again.code == 2
    assert "there is no verdict yet" in again.err
    assert "exitdrill run SCENARIO --resume out continues it" in again.err


# --- wrong use ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run"], ["Missing argument 'SCENARIO'"]),
        (["runn"], ["No such command 'runn'"]),
        (["run", "s", "--quite"], ["--quiet"]),
        (["run", "s", "--limit", "0"], ["--limit"]),
        (["run", "nowhere"], ["nowhere", "no such folder"]),
        (["run", "s", "--candidate", "nobody"], ["--candidate", "'nobody'", "there are new"]),
        (["run", "s", "--candidate", "old"], ["--candidate", "'old'"]),
        (["run", "s", "--out", "used"], ["used", "holds a drill already", "--resume"]),
        (["run", "s", "--out", "file"], ["file", "is a file"]),
        (["run", "s", "--out", "file/deep"], ["file", "cannot be made"]),
        (["run", "s", "--out", "a", "--resume", "used"], ["--out", "--resume", "one of them"]),
        (["run", "s", "--resume", "s"], ["journal.sqlite", "there is no journal here"]),
        (["run", "s", "--resume", "nowhere"], ["journal.sqlite", "there is no journal here"]),
        (["report", "nowhere"], ["nowhere"]),
        (["export", "nowhere"], ["there is no journal here"]),
        (["export", "used", "--arm", "nobody"], ["--arm", "'nobody'", "there are old, new"]),
        (["init", "s"], ["scenario.toml", "is not overwritten"]),
        (["init", "file"], ["file"]),
        (["validate", "file"], ["file", "is empty"]),
        (["validate", "nowhere"], ["no such folder"]),
        (["plan"], ["Missing argument 'SCENARIO'"]),
        (["plan", "nowhere"], ["no such folder"]),
        (["plan", "s", "--limit", "0"], ["--limit"]),
        (["plan", "s", "--candidate", "nobody"], ["--candidate", "'nobody'", "there are new"]),
    ],
    ids=" ".join,
)
def test_wrong_use(arguments: list[str], parts: list[str], here: Path) -> None:
    scene(here / "s")
    (here / "file").write_text("")
    if "used" in arguments:
        exitdrill.run(exitdrill.load("s"), out="used")
    before = sorted(here.rglob("*"))
    done = command(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert [part for part in parts if part not in done.err] == []
    assert "Traceback" not in done.err
    assert sorted(here.rglob("*")) == before


def broken(name: str, content: bytes | str) -> Any:
    """A scenario with one other file."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def directory(name: str) -> Any:
    """A scenario with a directory in a file's place."""

    def make(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return make


def outside(folder: Path) -> None:
    """A scenario whose workload lies elsewhere."""
    (folder / "requests.jsonl").rename(folder.parent / "elsewhere.jsonl")
    (folder / "requests.jsonl").symlink_to(folder.parent / "elsewhere.jsonl")


BAD: dict[str, tuple[Any, str]] = {
    "broken JSON": (broken("requests.jsonl", '\n{"a"\n'), "requests.jsonl:2: not valid JSON"),
    "empty": (broken("requests.jsonl", ""), "requests.jsonl: the workload is empty"),
    "NaN": (broken("requests.jsonl", '{"a": NaN}'), "requests.jsonl:1: NaN is not JSON"),
    "BOM": (broken("meta.jsonl", b"\xef\xbb\xbf{}"), "meta.jsonl:1: begins with a byte order mark"),
    "latin-1": (broken("meta.jsonl", b'{"\xe9": 1}'), "meta.jsonl:1: is not UTF-8"),
    "no such case": (
        broken("meta.jsonl", lines([meta(0), meta(77)])),
        "meta.jsonl:2: custom_id: there is no request 'c77'",
    ),
    "directory": (directory("meta.jsonl"), "meta.jsonl: is a directory"),
    "scenario directory": (directory("scenario.toml"), "scenario.toml: is a directory"),
    "scenario empty": (broken("scenario.toml", ""), "scenario.toml: is empty"),
    "outside": (outside, "scenario.toml:5: workload.requests: leaves the scenario's folder"),
    "unknown key": (
        broken("scenario.toml", changed("warmup", "warmupp")),
        "scenario.toml:25: replay.warmupp: unknown key; did you mean 'warmup'?",
    ),
    "variable": (
        broken("scenario.toml", changed("[backends.new]", "[backends.new]\nkey_env = 'NOT_SET_X'")),
        "scenario.toml:16: backends.new.key_env: the environment variable NOT_SET_X is not set",
    ),
    "key": (
        broken("scenario.toml", changed("[backends.new]", f"[backends.new]\nkey_env = '{KEY}'")),
        "scenario.toml:16: backends.new.key_env: must be the NAME of an environment variable",
    ),
    "answers": (
        broken("right.jsonl", '{"user": "q0"}\n{"usr": 1}'),
        "right.jsonl:2: not an answer",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_is_made(name: str, here: Path) -> None:
    make, message = BAD[name]
    make(scene(here / "s"))
    drilled = ["run", "s", "--out", "out", "--quiet"]
    for arguments in (["validate", "s"], ["plan", "s"], drilled):
        done = command(*arguments)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert KEY not in done.err
        assert not (here / "out").exists()


def test_bad_input_to_the_installed_command(here: Path) -> None:
    make, message = BAD["key"]
    make(scene(here / "s"))
    done = process("validate", "s")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert KEY not in done.err


def test_a_plan_that_was_changed_is_not_resumed(here: Path) -> None:
    folder = scene(here / "s")
    command("run", "s", "--out", "out", "--quiet")
    (folder / "scenario.toml").write_text(changed("warmup = 0", "warmup = 1"))
    done = command("run", "s", "--resume", "out")
    assert done.code == 2
    assert "changed since: calls, replay.warmup" in done.err


def test_out_and_resume_from_python(here: Path) -> None:
    scenario = exitdrill.load(scene(here / "s"))
    with pytest.raises(UsageError, match="one of them"):
        exitdrill.run(scenario, out="a", resume="b")


# --- the other commands -------------------------------------------------------------------------


def test_validate_says_what_is_there(here: Path) -> None:
    scene(here / "s")
    done = command("validate", "s")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "valid: 4 cases, 2 arms, 1 gate; a drill makes 16 calls\n"
        "note: the gate 'success' cannot pass: it takes 29 cases at the least, and there are 4\n"
    )
    assert list(here.iterdir()) == [here / "s"]


def test_init_writes_what_validate_takes(here: Path) -> None:
    done = command("init", "deep/new")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "next: exitdrill validate deep/new"
    folder = here / "deep" / "new"
    assert {path.name for path in folder.iterdir()} == {
        "scenario.toml",
        "requests.jsonl",
        "meta.jsonl",
    }
    assert command("init", "deep/new").code == 2
    if (Path(builtin.models()) / "ticket-dense").is_dir():
        done = command("validate", "deep/new")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("valid: 3 cases, 2 arms, 1 gate")


def test_lists() -> None:
    done = command("scenarios")
    assert done.code == 0
    assert "support_triage" in done.out
    done = command("backends")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines() if line[0] != " "] == [
        "openai",
        "scripted",
        "transformers",
    ]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], ["run", "--help"], ["plan", "--help"], ["--version"], []],
)
def test_help(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == (0 if arguments else 2)
    text = done.out + done.err
    assert exitdrill.__version__ in text if "--version" in arguments else "Usage: exitdrill" in text


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = {['exitdrill', *arguments]}\n"
        "from exitdrill.cli import _code\n"
        "code = _code()\n"
        "print(code, *sys.modules)\n"
    )
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, check=True, encoding="utf-8", timeout=60)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    heavy = {"aiohttp", "httpx", "jinja2", "jsonschema", "numpy", "openai", "pydantic", "regex"}
    heavy |= {"rich", "scipy", "tenacity", "tokenizers", "torch", "transformers"}
    assert heavy & set(modules) == set()


def test_report_is_rendered_again(here: Path) -> None:
    scene(here / "s")
    command("run", "s", "--out", "out", "--quiet")
    page = here / "out" / "report.html"
    first = page.read_bytes()
    page.unlink()
    done = command("report", "out")
    assert done.code == 0
    assert str(Path("out") / "report.html") in done.out.splitlines()
    assert page.read_bytes() == first


def test_export_is_the_batch_output_format(here: Path) -> None:
    folder = scene(here / "s", toml=changed("warmup = 0", "warmup = 0\nattempts = 1"))
    answers: list[dict[str, Any]] = [
        {"user": "q0", "text": "é\u2028", "input_tokens": 3, "output_tokens": 2},
        {"user": "q1", "tool_calls": [["look", '{"up": 1}']], "finish": "tool_calls"},
        {"user": "q2", "text": ""},
        {"user": "q3", "error": {"kind": "content_filter", "message": "no", "status": 400}},
    ]
    (folder / "right.jsonl").write_text(lines(answers))
    asked = [request(n) for n in range(4)]
    asked.append(request(4, url="/v1/completions", body={"prompt": "q0", "messages": []}))
    (folder / "requests.jsonl").write_text(lines(asked))
    command("run", "s", "--out", "out", "--quiet")
    done = command("export", "out", "--arm", "new")
    assert (done.code, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["custom_id"] for row in rows] == ["c0", "c1", "c2", "c3", "c4"]
    assert all(row.keys() == {"id", "custom_id", "response", "error"} for row in rows)
    good = [row["response"] for row in rows[:3]]
    assert [response["status_code"] for response in good] == [200] * 3
    replies = [ChatCompletion.model_validate(response["body"], strict=True) for response in good]
    assert [reply.choices[0].message.content for reply in replies] == ["é\u2028", None, ""]
    assert [reply.choices[0].finish_reason for reply in replies] == ["stop", "tool_calls", "stop"]
    assert replies[0].usage is not None
    assert replies[0].usage.total_tokens == 5
    assert replies[1].choices[0].message.tool_calls is not None
    assert replies[1].choices[0].message.tool_calls[0].to_dict() == {
        "id": "call_0",
        "type": "function",
        "function": {"name": "look", "arguments": '{"up": 1}'},
    }
    assert rows[3]["response"] is None
    assert rows[3]["error"] == {"code": "content_filter", "message": "no"}
    completion = Completion.model_validate(rows[4]["response"]["body"], strict=True)
    assert completion.choices[0].text == "é\u2028"
    assert command("export", "out").out == done.out.replace('"new-', '"old-')


@pytest.mark.parametrize("arguments", [["export", "out"], ["run", "s", "--resume", "out"]])
def test_a_drill_that_ended_before_its_first_call(arguments: list[str], here: Path) -> None:
    scene(here / "s")
    (here / "out").mkdir()
    Journal.create(here / "out" / "journal.sqlite").close()
    done = command(*arguments)
    assert done.code == 2
    assert "ended before its first call" in done.err


# --- ends that nobody wanted --------------------------------------------------------------------


def test_a_defect_is_70_and_no_verdict(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(here / "s")
    monkeypatch.setattr("exitdrill.plan.most", lambda *_: 1 / 0)
    done = command("validate", "s")
    assert (done.code, done.out) == (70, "")
    assert "ZeroDivisionError" in done.err
    assert done.err.endswith("This is a defect of exitdrill's; the lines above help to mend it.\n")


def test_a_checker_that_leaves_gives_no_verdict(here: Path) -> None:
    judge = changed('type = "exact"', "type = 'python'\npath = 'judge.py'\nfunction = 'judge'")
    folder = scene(here / "s", toml=judge)
    (folder / "judge.py").write_text("def judge(answer, expected):\n    raise SystemExit(0)\n")
    assert command("run", "s", "--out", "out", "--quiet").code == 3


@pytest.mark.parametrize(
    ("command_line", "both", "code"),
    [
        ("run s --out out", True, 1),
        ("run s --out out --quiet", False, 1),
        ("export used", False, 0),
        ("validate nowhere", True, 2),
        ("--help", False, 141),
    ],
)
def test_nobody_reads(command_line: str, both: bool, code: int, here: Path) -> None:
    scene(here / "s", cases=ENOUGH, toml=WRONG)
    if "used" in command_line:
        exitdrill.run(exitdrill.load("s"), out="used")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = subprocess.run(
            [COMMAND, *command_line.split()],
            check=False,
            stdout=nobody,
            stderr=nobody if both else subprocess.PIPE,
            timeout=60,
        )
    assert done.returncode == code
    assert b"Traceback" not in (done.stderr or b"")


@pytest.fixture
def interrupted(here: Path) -> Iterator[subprocess.Popen[str]]:
    """A drill that has begun, and is interrupted."""
    scene(here / "s", cases=20, seconds=0.2)
    with subprocess.Popen(
        [COMMAND, "run", "s", "--out", "out", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as drill:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not begun(here / "out"):
            time.sleep(0.05)
        drill.send_signal(signal.SIGINT)
        yield drill
        drill.kill()


def begun(folder: Path) -> bool:
    """Whether answers have reached the journal of a drill."""
    import contextlib
    import sqlite3

    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(
            sqlite3.connect(f"file:{folder}/journal.sqlite?mode=ro", uri=True)
        ) as db,
    ):
        return bool(db.execute("SELECT count(*) >= 8 FROM trials").fetchone()[0])
    return False


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code", "full"),
    [
        (["validate", "nowhere"], 2, "stderr"),
        (["validate", "s"], 0, "stdout"),
        (["run", "s", "--out", "out"], 0, "stderr"),
        (["run", "s", "--out", "out", "--quiet"], 0, "stdout"),
    ],
)
def test_a_full_disk_behind_the_output_is_no_verdict(
    arguments: list[str], code: int, full: str, here: Path
) -> None:
    scene(here / "s", cases=60)
    with open("/dev/full", "w") as device:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = subprocess.run(
            [sys.executable, "-m", "exitdrill", *arguments],
            cwd=here,
            check=False,
            timeout=60,
            **(streams | {full: device}),
        )
    assert done.returncode == code
    if arguments[0] == "run":
        assert (here / "out" / "report.json").exists()


def test_ctrl_c_and_resume(interrupted: subprocess.Popen[str], here: Path) -> None:
    out, err = interrupted.communicate(timeout=30)
    assert (interrupted.returncode, out) == (130, "")
    assert err.strip() == "interrupted; --resume out continues"
    assert not (here / "out" / "report.json").exists()

    resumed = command("run", "s", "--resume", "out", "--quiet")
    scene(here / "s", cases=20)  # the same answers, at once: the plan does not know how slow
    undisturbed = command("run", "s", "--out", "other", "--quiet")
    assert (resumed.code, resumed.out) == (undisturbed.code, undisturbed.out)
    reports = [json.loads((here / name / "report.json").read_text()) for name in ("out", "other")]
    assert timeless(reports[0]) == timeless(reports[1])
    assert (here / "out" / "plan.json").read_bytes() == (here / "other" / "plan.json").read_bytes()
