"""A drill as a whole: what cannot go on is said, and what was measured is reported."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import BY_COMMAND, app_scenario, program
from tests.harness.drills import Log, Say, case_lines, failing, in_turn, right, scenario

from exitdrill.backend import Adapter, BackendConfig, Description, Event, Prepared, Request
from exitdrill.drill import Result, run
from exitdrill.errors import BackendError, JournalError, ScenarioError, UsageError
from exitdrill.progress import Silent
from exitdrill.records import Spend
from exitdrill.report import validate
from exitdrill.scenario import AppSpec, BackendSpec, BudgetSpec, ServerSpec, SwapSpec
from exitdrill_adapters.scripted import Answer, ScriptedBackend, last_user_text


class Notes(Silent):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        self.spent = Spend()
        self.ended = 0

    def done(self, arm: str, failed: bool, spent: Spend) -> None:
        self.counts[arm] += 1
        self.counts[f"{arm} failed"] += failed
        assert spent.calls >= self.spent.calls
        self.spent = spent

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        self.ended += 1


def statuses(result: Result) -> dict[str, str]:
    """Verdicts of the candidates."""
    return {each["name"]: each["verdict"]["status"] for each in result.report["candidates"]}


def from_then_on(number: int, say: Say) -> Say:
    """Right at first, and then this."""
    return in_turn(*[right] * number, say)


# --- what ends a drill --------------------------------------------------------------------------


def test_without_an_incumbent_there_is_no_verdict(tmp_path: Path) -> None:
    log, notes = Log(), Notes()
    replay = {"breaker": 3, "block": 5, "attempts": 1}
    drilled = scenario(
        20,
        replay,
        {"concurrency": 1},
        old=log.adapter(from_then_on(17, failing("unreachable", "no route to host"))),
        new=log.adapter(),
    )
    result = run(drilled, out=tmp_path / "drill", watcher=notes)
    assert (result.completed, result.exit_code, result.verdict) == (False, 4, "inconclusive")
    assert len(log.of("old")) == 17 + 3
    stopped = result.report["drill"]["stopped"]
    assert "the incumbent 'old' broke off: 3 times in a row unreachable: no route" in stopped
    assert result.report["verdict"]["reasons"] == [stopped]
    assert statuses(result) == {"new": "inconclusive"}
    validate(result.report)
    lines = Counter((line["arm"], line["status"]) for line in case_lines(result.folder))
    assert lines["old", "answered"] == 17
    assert lines["old", "failed"] == 3
    assert lines["new", "answered"] == len(log.of("new")) > 0
    assert result.report["incumbent"]["completed_trials"] == 20
    assert any("broke off" in note for note in notes.notes)
    assert (notes.ended, notes.counts["old"], notes.counts["old failed"]) == (1, 20, 3)
    for name in ("report.html", "report.md", "junit.xml", "plan.json"):
        assert (result.folder / name).stat().st_size > 0


def test_without_any_candidate_the_drill_ends(tmp_path: Path) -> None:
    log = Log()
    drilled = scenario(
        30,
        {"breaker": 2, "block": 30},
        {"concurrency": 1},
        old=log.adapter(),
        new=log.adapter(failing("auth", "no key")),
        other=log.adapter(failing("bad_parameter", "no such model")),
    )
    result = run(drilled, out=tmp_path / "drill")
    assert result.exit_code == 4
    assert "no candidate is left" in result.report["drill"]["stopped"]
    assert statuses(result) == {"new": "inconclusive", "other": "inconclusive"}


def test_a_veto_stands_though_no_candidate_is_left(tmp_path: Path) -> None:
    """Whose app ends with the error is no better off than whose app swallows it."""
    log = Log()
    missed = """
        import sys
        from client import ask
        print(ask(sys.stdin.read(), at="VENDOR"))
    """
    vendor = {"VENDOR_BASE_URL": "{incumbent.url}", "VENDOR_API_KEY": "{incumbent.key}"}
    drilled = app_scenario(
        program(tmp_path, {"main.py": textwrap.dedent(missed)}),
        {**BY_COMMAND, "environment": vendor},
        6,
        replay={"breaker": 2},
        old=log.adapter(),
        new=log.adapter(),
    )
    result = run(drilled, out=tmp_path / "drill")
    assert result.report["candidates"][0]["status"] == "broken_off"
    assert (result.completed, result.verdict, result.exit_code) == (True, "not_ready", 1)
    assert result.report["drill"]["stopped"] is None
    (reason,) = result.report["verdict"]["reasons"]
    assert reason.startswith("new: veto: a call still goes to the incumbent: ")
    assert "The drill was not completed" not in (result.folder / "report.md").read_text()


@pytest.mark.parametrize(
    ("lacking", "exit_code"),
    [pytest.param(True, 1, id="veto"), pytest.param(False, 4, id="outage")],
)
@pytest.mark.parametrize("seed", range(4))
def test_one_that_is_out_beside_a_veto(
    lacking: bool, exit_code: int, seed: int, tmp_path: Path
) -> None:
    """Only where each candidate has its veto is nothing left to be found out, whoever was asked
    first."""
    log = Log()
    out = failing("crashed", "out of memory")
    refusing = failing("unsupported", "no tools")
    drilled = scenario(
        30,
        {"breaker": 2, "attempts": 1, "seed": seed, "block": 15},
        old=log.adapter(),
        new=log.adapter(refusing),
        other=log.adapter(refusing if lacking else out),
    )
    result = run(drilled, out=tmp_path / "drill")
    assert (result.completed, result.exit_code) == (exit_code == 1, exit_code)
    assert statuses(result)["new"] == "not_ready"
    said = result.report["candidates"][0]["veto"]
    found = re.search(
        r"new refused (\d+) of the (\d+) requests that it was asked \(of 30; it", said
    )
    assert found
    assert 2 <= int(found[1]) == int(found[2]) < 30


def test_one_broken_candidate_does_not_spoil_the_others(tmp_path: Path) -> None:
    def wrong(request: Request) -> Answer:
        return Answer(text="wrong")

    log = Log()
    drilled = scenario(
        40,
        {"breaker": 3, "attempts": 1},
        old=log.adapter(),
        broken=log.adapter(failing("crashed", "out of memory")),
        good=log.adapter(),
        bad=log.adapter(wrong),
    )
    result = run(drilled, out=tmp_path / "drill")
    assert statuses(result) == {"broken": "inconclusive", "good": "ready", "bad": "not_ready"}
    assert (result.completed, result.exit_code) == (True, 0)
    assert result.report["verdict"]["candidate"] == "good"
    only = run(drilled, out=tmp_path / "two", candidates=["broken", "bad"])
    assert (only.verdict, only.exit_code) == ("inconclusive", 3)
    assert run(drilled, out=tmp_path / "one", candidates=["bad"]).exit_code == 1


# --- starting -----------------------------------------------------------------------------------


class Unwilling(ScriptedBackend):
    """A backend that does not start, or not as it should."""

    closed: list[str]
    error: Exception

    async def start(self) -> Description:
        raise self.error

    async def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        raise AssertionError("it never started, and was asked")
        yield

    async def close(self) -> None:
        self.closed.append(self._config.name)


def unwilling(closed: list[str], error: Exception) -> Adapter:
    def adapter(config: BackendConfig) -> Unwilling:
        backend = Unwilling(config, lambda _: Answer())
        backend.closed, backend.error = closed, error
        return backend

    return adapter


NO_MEMORY = BackendError("crashed", "not enough memory for the weights")


def test_a_candidate_that_does_not_start_is_inconclusive(tmp_path: Path) -> None:
    log, closed = Log(), list[str]()
    drilled = scenario(20, old=log.adapter(), new=unwilling(closed, NO_MEMORY), other=log.adapter())
    result = run(drilled, out=tmp_path / "drill")
    assert statuses(result) == {"new": "inconclusive", "other": "ready"}
    (new, _) = result.report["candidates"]
    assert new["status"] == "not_started"
    assert "not enough memory" in new["status_reason"]
    assert new["verdict"]["reasons"][0] == new["status_reason"]
    assert closed == ["new"], "what could not start is closed all the same"
    validate(result.report)


@pytest.mark.parametrize("unwilling_arm", ["old", "new"])
def test_what_a_drill_needs_and_cannot_start_ends_it(tmp_path: Path, unwilling_arm: str) -> None:
    log, closed = Log(), list[str]()
    arms = {"old": log.adapter(), "new": log.adapter()}
    arms |= {unwilling_arm: unwilling(closed, NO_MEMORY)}
    result = run(scenario(3, **arms), out=tmp_path / "drill")
    assert (result.exit_code, result.verdict, log.calls) == (4, "inconclusive", [])
    assert "not enough memory" in result.report["drill"]["stopped"]
    assert closed == [unwilling_arm]
    again = run(scenario(3, **arms), resume=tmp_path / "drill")
    assert (again.exit_code, log.calls) == (4, [])


def test_a_server_that_does_not_start_is_a_reason(tmp_path: Path) -> None:
    log = Log()
    server = ServerSpec(command=["{python}", "-c", "raise SystemExit('no such model')"])
    new = BackendSpec(adapter=log.adapter(), model="m", server=server)
    drilled = scenario(3, old=log.adapter(), new=new, other=log.adapter())
    result = run(drilled, out=tmp_path / "drill")
    assert "no such model" in result.report["candidates"][0]["status_reason"]
    assert log.of("new") == []


# --- the swap -----------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text('MODEL = "old"\n')
    (tmp_path / "good.patch").write_text(
        '--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-MODEL = "old"\n+MODEL = "new"\n'
    )
    (tmp_path / "bad.patch").write_text(
        '--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-MODEL = "other"\n+MODEL = "new"\n'
    )
    return tmp_path


def swapping(app: Path, log: Log, **patches: str) -> Any:
    arms = {name: log.adapter() for name in ("old", *patches)}
    swap = {name: SwapSpec(patch=patch) for name, patch in patches.items()}
    more = {"app": AppSpec(), "swap": swap, "root": app}
    return scenario(20, more=more, **arms)


def test_a_swap_that_fails_makes_not_ready_and_is_not_asked(app: Path) -> None:
    log = Log()
    drilled = swapping(app, log, new="bad.patch", other="good.patch")
    result = run(drilled, out=app / "drill")
    assert statuses(result) == {"new": "not_ready", "other": "ready"}
    assert log.of("new") == []
    assert len(log.of("other")) == 40
    assert result.report["candidates"][0]["verdict"]["reasons"][0].startswith("veto: the swap ")
    assert (app / "app" / "main.py").read_text() == 'MODEL = "old"\n', "the app is not touched"


def test_when_every_swap_fails_nobody_is_asked(app: Path) -> None:
    log = Log()
    result = run(swapping(app, log, new="bad.patch"), out=app / "drill")
    assert (result.completed, result.verdict, result.exit_code) == (True, "not_ready", 1)
    assert log.calls == []
    validate(result.report)


# --- answers ------------------------------------------------------------------------------------

HOSTILE = {
    "q0": "half \ud83d a character",
    "q1": "NUL \x00 inside",
    "q2": "\u202eturned around\u2066",
    "q3": "x" * 10_000_000,
    "q4": "line\u2028separator\u0085and\r\nmore\x1b[31m",
    "q5": "",
}


def test_answers_of_every_kind_reach_the_results(tmp_path: Path) -> None:
    log = Log()

    def say(request: Request) -> Answer:
        return Answer(text=HOSTILE[last_user_text(request.body)], chunks=7)

    drilled = scenario(6, old=log.adapter(), new=log.adapter(say))
    result = run(drilled, out=tmp_path / "drill")
    lines = case_lines(result.folder)
    assert len(lines) == 24, "a line is a line, whatever an answer holds"
    answers = {line["case"]: line["answer"] for line in lines if line["arm"] == "new"}
    assert answers == {"c" + user[1:]: text for user, text in HOSTILE.items()}
    assert json.loads((result.folder / "report.json").read_text()) == result.report
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "\x00" not in page
    again = run(drilled, resume=result.folder)
    assert {line["case"] for line in case_lines(again.folder)} == {f"c{n}" for n in range(6)}


# --- from the outside ---------------------------------------------------------------------------


def test_what_is_to_be_asked_is_said_before_the_first_call(tmp_path: Path) -> None:
    log, notes = Log(), Notes()

    def say(request: Request) -> Answer:
        assert any("calls" in note and "tokens" in note for note in notes.notes)
        return right(request)

    drilled = scenario(4, {"warmup": 1}, old=log.adapter(say), new=log.adapter(say))
    run(drilled, out=tmp_path / "drill", watcher=notes)
    assert notes.notes[0].startswith("mini: 4 cases, 2 arms, 18 calls")
    assert len(log.calls) == notes.spent.calls == 18


@pytest.mark.parametrize("limit", [1, 3, 99])
def test_a_limit_asks_the_first_cases_only(tmp_path: Path, limit: int) -> None:
    log = Log()
    drilled = scenario(5, old=log.adapter(), new=log.adapter())
    result = run(drilled, out=tmp_path / "drill", limit=limit)
    assert set(log.users("new")) == {f"q{n}" for n in range(min(limit, 5))}
    assert (len(result.report["not_tested"]) > 5) == (limit < 5)


def test_a_stranger_is_no_candidate(tmp_path: Path) -> None:
    log = Log()
    with pytest.raises(ScenarioError, match="no candidate 'nwe'; there are new"):
        run(scenario(1, old=log.adapter(), new=log.adapter()), candidates=["nwe"])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    log = Log()
    (tmp_path / "drill").write_text("mine")
    with pytest.raises(ScenarioError, match="is a file"):
        run(scenario(1, old=log.adapter(), new=log.adapter()), out=tmp_path / "drill")
    assert log.calls == []


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(ScenarioError, match="holds other files"):
        run(scenario(2, old=Log().adapter(), new=Log().adapter()), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    assert (tmp_path / "report.md").read_text() == "mine"


def test_a_key_that_a_server_echoes_is_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'sk-"quoted"\\and-long-enough'
    monkeypatch.setenv("OLD_KEY", secret)
    log = Log()
    says: dict[str, Any] = {
        "old": log.adapter(lambda request: Answer(text=f"You sent {secret}, thank you")),
        "new": log.adapter(failing("server", f"401: Bearer {secret}")),
    }
    drilled = scenario(3, None, {"key_env": "OLD_KEY"}, **says)
    run(drilled, out=tmp_path / "drill")
    forms = [secret, json.dumps(secret)[1:-1], html.escape(secret)]
    for path in (tmp_path / "drill").iterdir():
        content = path.read_bytes()
        assert not [form for form in forms if form.encode() in content], path.name
    answers = {row["answer"] for row in case_lines(tmp_path / "drill") if row["arm"] == "old"}
    assert answers == {"You sent [key], thank you"}


def test_a_key_that_the_scenario_does_not_name_is_in_no_file_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter may know its vendor's variable, and a swap may carry a key in a file."""
    secret = "sk-known-to-the-adapter-only"
    monkeypatch.setenv("VENDOR_API_KEY", secret)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "settings.ini").write_text("key = none\n")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "settings.ini").write_text(f"key = {secret}\n")
    log = Log()
    more = {"app": AppSpec(), "swap": {"new": SwapSpec(overlay="overlay")}, "root": tmp_path}
    drilled = scenario(3, None, None, more, old=log.adapter(lambda _: secret), new=log.adapter())
    run(drilled, out=tmp_path / "drill")
    for path in (tmp_path / "drill").iterdir():
        assert secret.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_leaves_something_to_ask(tmp_path: Path, limit: int) -> None:
    drilled = scenario(3, old=Log().adapter(), new=Log().adapter())
    with pytest.raises(UsageError, match="leaves nothing to ask"):
        run(drilled, out=tmp_path / "drill", limit=limit)
    assert not (tmp_path / "drill").exists()


def test_a_resumed_arm_is_the_same_backend(tmp_path: Path) -> None:
    log = Log()

    class Relabelled(ScriptedBackend):
        weights: str | None = "a" * 64

        async def start(self) -> Description:
            return Description(adapter="x", model="m", weights_sha256=self.weights)

    arms: dict[str, Any] = {
        "old": log.adapter(),
        "new": lambda config: Relabelled(config, right),
    }
    run(scenario(4, None, None, {"budget": BudgetSpec(requests=7)}, **arms), out=tmp_path / "d")
    Relabelled.weights = "b" * 64
    with pytest.raises(JournalError, match=r"'new' is not the one .* weights_sha256"):
        run(scenario(4, **arms), resume=tmp_path / "d")
    Relabelled.weights = None  # not told this time, which says nothing
    assert run(scenario(4, **arms), resume=tmp_path / "d").completed


def test_a_defect_of_an_adapter_says_where(tmp_path: Path) -> None:
    def say(request: Request) -> Answer:
        raise ValueError("oops")

    log = Log()
    with pytest.raises(ValueError, match="oops") as raised:
        run(scenario(2, old=log.adapter(), new=log.adapter(say)), out=tmp_path / "drill")
    (note,) = raised.value.__notes__
    assert "arm 'new'" in note
