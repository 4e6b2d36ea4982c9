"""A drill that is looked at while it runs: it ends once every gate is decided, and not before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.harness.drills import Log, Say, case_lines, failing, right, scenario
from tests.harness.scenes import command, scene

from exitdrill.backend import Request
from exitdrill.drill import JOURNAL, Result, run
from exitdrill.errors import ScenarioError, UsageError
from exitdrill.journal import Journal
from exitdrill.monitor import looks
from exitdrill.progress import Silent
from exitdrill.records import Spend
from exitdrill.report import terminal
from exitdrill.scenario import GateSpec, Scenario
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer, last_user_text

CASES = 400
MARGIN = 0.1


def wrong_on(share: int) -> Say:
    """Every so manieth answer is wrong; 1: all of them."""

    def answer(request: Request) -> Answer | str:
        number = int(last_user_text(request.body)[1:])
        return "wrong" if number % share == 0 else right(request)

    return answer


def gated(margin: float = MARGIN, workload: CaseList | int = CASES, **arms: Any) -> Scenario:
    settings = {"block": 32, **arms.pop("replay", {})}
    made = scenario(workload, settings, {"concurrency": 8}, arms.pop("more", None), **arms)
    return made.model_copy(update={"gates": [GateSpec(measure="success", margin=margin)]})


def drilled(folder: Path, made: Scenario, **more: Any) -> Result:
    return run(made, out=folder, sequential=True, **more)


def asked(result: Result) -> dict[str, int]:
    return dict(result.report["sequential"]["asked"])


def gate_of(result: Result, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = result.report["candidates"][number]["gates"][0]
    return found


@pytest.mark.parametrize(("say", "verdict"), [(right, "ready"), (wrong_on(2), "not_ready")])
def test_what_is_clear_is_found_early(tmp_path: Path, say: Say, verdict: str) -> None:
    log = Log()
    result = drilled(tmp_path / "d", gated(old=log.adapter(), new=log.adapter(say)))
    assert (result.verdict, result.completed) == (verdict, True)
    cases = asked(result)["new"]
    assert cases < CASES / 2
    assert cases % 32 == 0
    assert len(log.of("new")) == len(log.of("old")) == 2 * cases
    assert gate_of(result)["n"] == cases
    saved = result.report["sequential"]
    assert saved["saved_calls"] == 4 * (CASES - cases)
    assert saved["saved_share"] == pytest.approx(1 - cases / CASES)
    assert result.report["candidates"][0]["status"] == "complete"
    untested = result.report["not_tested"][0]
    assert untested.startswith(f"Part of the {CASES} cases: ")
    assert "In the cases that were not asked, nothing was tested that is no gate" in untested
    *_, last = terminal.lines(result.report)
    assert last.startswith(f"Stopped early: of {CASES} cases new was asked {cases}. ")


def test_what_is_not_clear_takes_all_cases(tmp_path: Path) -> None:
    """Half of the margin is lost: the bets win nothing for a long time."""
    log = Log()
    result = drilled(
        tmp_path / "d", gated(0.06, 96, old=log.adapter(), new=log.adapter(wrong_on(32)))
    )
    assert result.verdict == "inconclusive"
    assert asked(result) == {"new": 96}
    assert result.report["sequential"]["saved_calls"] == 0
    assert gate_of(result)["cause"] == "undecided"
    assert not any(each.startswith("Part of") for each in result.report["not_tested"])


def test_each_candidate_stops_by_itself(tmp_path: Path) -> None:
    log = Log()
    good = wrong_on(30)
    made = gated(old=log.adapter(), bad=log.adapter(wrong_on(1)), good=log.adapter(good))
    result = drilled(tmp_path / "d", made)
    stops = asked(result)
    assert stops["bad"] < stops["good"] < CASES
    assert {name: len(log.of(name)) for name in stops} == {n: 2 * c for n, c in stops.items()}
    assert len(log.of("old")) == 2 * stops["good"]
    assert [each["verdict"]["status"] for each in result.report["candidates"]] == [
        "not_ready",
        "ready",
    ]


def test_every_gate_has_to_be_decided(tmp_path: Path) -> None:
    """p95 takes more cases than right answers do."""
    log = Log()
    made = gated(old=log.adapter(), new=log.adapter())
    both = [*made.gates, GateSpec(measure="total_p95", margin=1.0)]
    alone = asked(drilled(tmp_path / "a", made))["new"]
    result = drilled(tmp_path / "b", made.model_copy(update={"gates": both}))
    assert asked(result)["new"] > alone
    assert [gate["status"] for gate in result.report["candidates"][0]["gates"]] == ["pass", "pass"]


def test_the_cases_come_in_a_random_order_that_the_plan_fixes(tmp_path: Path) -> None:
    """A workload that is sorted, the hard cases last, must not deceive who looks early."""
    logs = [Log(), Log(), Log()]
    for number, (log, seed) in enumerate(zip(logs, (1, 1, 2), strict=True)):
        made = gated(replay={"seed": seed}, old=log.adapter(), new=log.adapter())
        drilled(tmp_path / str(number), made)
    orders = [sorted(set(map(log.users("old").index, log.users("old")))) for log in logs]
    firsts = [
        [log.users("old")[place] for place in order]
        for log, order in zip(logs, orders, strict=True)
    ]
    assert set(firsts[0]) == set(firsts[1]) != set(firsts[2])
    numbers = [int(user[1:]) for user in set(firsts[0])]
    assert max(numbers) > 0.9 * CASES
    assert min(numbers) < 0.1 * CASES


def test_clusters_stay_together_and_only_whole_ones_are_judged(tmp_path: Path) -> None:
    log = Log()
    plain = [
        Case(
            f"c{n}",
            Request("chat", {"messages": [{"role": "user", "content": f"q{n}"}]}),
            checker="exact",
            expected=f"a{n}",
            session=f"s{n % 60}",
        )
        for n in range(300)
    ]
    made = gated(0.3, CaseList(plain), old=log.adapter(), new=log.adapter())
    result = drilled(tmp_path / "d", made)
    cases = asked(result)["new"]
    assert (result.verdict, cases % 5) == ("ready", 0)
    assert gate_of(result)["clusters"] == cases // 5
    with Journal.reopen(tmp_path / "d" / JOURNAL) as journal:
        sessions = [case.session for _, case in journal.cases(0, cases)]
    assert set(Counter(sessions).values()) == {5}


def test_a_spent_budget_leaves_cases_that_nobody_asked(tmp_path: Path) -> None:
    log = Log()
    made = gated(0.02, 300, old=log.adapter(), new=log.adapter(), more={"budget": {"requests": 70}})
    result = drilled(tmp_path / "d", made)
    assert not result.completed
    assert result.report["drill"]["cases_asked"] == asked(result)["new"] == 32
    assert result.report["sequential"]["saved_calls"] == 0
    assert "; 32 of 300 cases asked." in (tmp_path / "d" / "report.md").read_text()


def test_a_failing_arm_is_no_saving(tmp_path: Path) -> None:
    log = Log()
    broken = log.adapter(failing("auth"))
    made = gated(old=log.adapter(), new=broken, other=log.adapter())
    result = drilled(tmp_path / "d", made)
    by_name = {each["name"]: each for each in result.report["candidates"]}
    assert by_name["new"]["status"] == "broken_off"
    assert by_name["new"]["verdict"]["status"] == "inconclusive"
    assert by_name["other"]["verdict"]["status"] == "ready"
    saved, decided = result.report["sequential"], asked(result)["other"]
    assert 8 <= asked(result)["new"] < 16 < decided < CASES
    assert saved["saved_calls"] == 4 * (CASES - decided)  # the incumbent's, and those of "other"
    assert "old completed" not in gate_of(result)["reason"]


class Interrupting(Silent):
    """Interrupts a drill after so many trials."""

    def __init__(self, after: int) -> None:
        self.left = after

    def done(self, arm: str, failed: bool, spent: Spend) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def answers(folder: Path) -> list[tuple[Any, ...]]:
    """What every trial said, without its times."""
    keys = ("case", "arm", "repeat", "status", "answer")
    return [tuple(line[key] for key in keys) for line in case_lines(folder)]


@pytest.mark.parametrize("sequential", [True, False])
def test_looking_on_the_way_changes_nothing(tmp_path: Path, sequential: bool) -> None:
    """Interrupted and resumed at many places: the same verdict, intervals, number of cases."""

    def made() -> Scenario:
        log = Log()
        return gated(0.12, 160, old=log.adapter(), new=log.adapter(wrong_on(40)))

    whole = run(made(), out=tmp_path / "whole", sequential=sequential)
    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        run(made(), out=folder, sequential=sequential, watcher=Interrupting(37))
    for after in (5, 90, 64):
        try:
            run(made(), resume=folder, watcher=Interrupting(after))
        except KeyboardInterrupt:
            continue
    parts = run(made(), resume=folder)
    assert parts.verdict == whole.verdict == "ready"
    assert gate_of(parts)["interval"] == gate_of(whole)["interval"]
    assert parts.report["sequential"] == whole.report["sequential"]
    assert answers(folder) == answers(tmp_path / "whole")


def test_an_unfinished_drill_of_the_other_mode_has_no_verdict(tmp_path: Path) -> None:
    """However good its first cases look."""
    log = Log()
    made = gated(old=log.adapter(), new=log.adapter(), more={"budget": {"requests": 1_000}})
    result = run(made, out=tmp_path / "d")
    assert (result.verdict, result.completed, result.exit_code) == ("inconclusive", False, 4)
    assert gate_of(result)["cause"] == "broken_off"


def test_the_looks_become_rarer_but_stay_at_the_ends_of_blocks() -> None:
    assert list(looks(160, 32)) == [32, 64, 96, 128]
    assert list(looks(32, 32)) == []
    many = list(looks(100_000, 32))
    assert len(many) < 150
    assert not [last for last in many if last % 32]
    assert all(after <= max(before + 32, 1.05 * before) for before, after in pairwise(many))


def refused(change: Callable[[Scenario], Scenario]) -> str:
    log = Log()
    with pytest.raises(ScenarioError) as error:
        run(change(gated(old=log.adapter(), new=log.adapter())), out="nowhere", sequential=True)
    assert not log.calls
    assert not Path("nowhere").exists()
    return str(error.value)


@pytest.mark.parametrize("measure", ["length", "field_agreement"])
def test_what_cannot_be_bet_on_is_refused_before_any_call(
    measure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = GateSpec(measure=measure, margin=0.1)
    said = refused(lambda made: made.model_copy(update={"gates": [*made.gates, gate]}))
    assert measure in said


def test_a_drill_that_was_begun_otherwise_is_not_looked_at_later(tmp_path: Path) -> None:
    log = Log()
    made = gated(0.3, 40, old=log.adapter(), new=log.adapter())
    run(made, out=tmp_path / "d")
    with pytest.raises(UsageError, match="begun without --sequential"):
        run(made, resume=tmp_path / "d", sequential=True)


def test_recorded_arrivals_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    replay = {"arrivals": "open"}
    said = refused(
        lambda made: made.model_copy(update={"replay": made.replay.model_copy(update=replay)})
    )
    assert "--sequential" in said


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scene(tmp_path / "s")
    done = command("run", "s", "--out", "out", "--sequential")
    assert done.code == 3  # four cases decide nothing
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert (plan["mode"], plan["largest_n"]) == ("sequential", 4)
    again = command("run", "s", "--resume", "out")
    assert again.code == 3
