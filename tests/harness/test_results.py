"""report.json and cases.jsonl of real drills, and whether the one follows from the other."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exitdrill.backend import BackendConfig, Description, Edit, Request
from exitdrill.caserows import LONGEST_PROMPT, prompt_of
from exitdrill.checkers import exact
from exitdrill.drill import run
from exitdrill.errors import BackendError
from exitdrill.journal import Journal
from exitdrill.report import RENDERERS, render, validate
from exitdrill.report.text import LONGEST
from exitdrill.results import write_results
from exitdrill.scenario import (
    AppSpec,
    BackendSpec,
    BudgetSpec,
    CheckerSpec,
    GateSpec,
    PriceSpec,
    ReplaySpec,
    Scenario,
    SwapSpec,
)
from exitdrill.selection import SELECTED
from exitdrill.stats import tango_interval
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer, Error, ScriptedBackend, last_user_text, scripted

Json = dict[str, Any]
Say = Callable[[Request], Answer | str]


# --- drills to look at --------------------------------------------------------------------------


def number_of(request: Request) -> int:
    """Which case is asked."""
    return int(last_user_text(request.body)[1:])


def right(request: Request) -> Answer:
    """The expected answer."""
    return Answer(text=f"a{number_of(request)}", input_tokens=10, output_tokens=4)


def wrong_every(*steps: int) -> Say:
    """Wrong in every so manieth case."""

    def say(request: Request) -> Answer:
        wrong = any(number_of(request) % step == 0 for step in steps)
        return right(request).model_copy(update={"text": "no"}) if wrong else right(request)

    return say


def failing_every(step: int, kind: str = "content_filter") -> Say:
    """An error in every so manieth case."""
    error = Error.model_validate({"kind": kind, "message": "it is not allowed"})

    def say(request: Request) -> Answer:
        return Answer(error=error) if number_of(request) % step == 0 else right(request)

    return say


def silent(_: Request) -> str:
    """No usage, no right answer."""
    return ""


def broken_at_start(config: BackendConfig) -> ScriptedBackend:
    """A backend that cannot be started."""

    class Broken(ScriptedBackend):
        async def start(self) -> Description:
            raise BackendError("unreachable", "nobody is there")

    return Broken(config, lambda _: Answer(text="never"))


def price(**how: float) -> PriceSpec:
    """A price in a table."""
    known = {"currency": "EUR", "date": "2026-11-01", "source": "a price list"}
    return PriceSpec.model_validate(known | how)


def cases(count: int, **more: Any) -> CaseList:
    """Cases whose right answer is known."""
    return CaseList(
        [
            Case(
                f"c{number}",
                Request("chat", {"messages": [{"role": "user", "content": f"q{number}"}]}),
                **({"checker": "exact", "expected": f"a{number}"} | more),
            )
            for number in range(count)
        ]
    )


@dataclass(frozen=True)
class Drilled:
    """A drill's folder, read."""

    folder: Path
    report: Json
    rows: list[Json]

    def candidate(self, name: str) -> Json:
        """One candidate of the report."""
        return next(each for each in self.report["candidates"] if each["name"] == name)

    def row(self, name: str, measure: str) -> Json:
        """One measure of a candidate."""
        candidate = self.candidate(name)
        sections = [candidate[key] for key in ("drift", "latency", "cost", "change")]
        return next(each for section in sections for each in section if each["name"] == measure)

    def column(self, arm: str, measure: str) -> dict[str, list[float | None]]:
        """What cases.jsonl says of an arm, by case."""
        found: dict[str, list[float | None]] = {}
        for row in self.rows:
            if row["arm"] == arm:
                found.setdefault(row["case"], []).append(row["measures"].get(measure))
        return found


def read(folder: Path) -> Drilled:
    """What a drill left."""
    report = json.loads((folder / "report.json").read_text())
    lines = (folder / "cases.jsonl").read_text().splitlines()
    return Drilled(folder, report, [json.loads(line) for line in lines])


def drill(
    folder: Path,
    count: int = 24,
    limit: int | None = None,
    sequential: bool = False,
    **parts: Any,
) -> Drilled:
    """Run a scenario of scripted backends; what is an adapter becomes a backend."""
    backends = {
        name: BackendSpec(
            adapter=parts.pop(name), model=f"model-{name}", **parts.pop(f"_{name}", {})
        )
        for name in [name for name, part in parts.items() if callable(part)]
    }
    settings: dict[str, Any] = {
        "workload": cases(count),
        "gates": [GateSpec(measure="success", margin=0.3)],
        "replay": ReplaySpec(attempts=1, breaker=4),
        "checkers": {"exact": CheckerSpec(type="exact")},
    }
    scenario = Scenario(
        name="mini",
        incumbent=next(iter(backends)),
        candidates=list(backends)[1:],
        backends=backends,
        **(settings | parts),
    )
    run(scenario, out=folder, limit=limit, sequential=sequential)
    return read(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    """A complete drill with three candidates, prices, edits and gates of every kind."""
    token_price = {"price": price(input_per_million=100, output_per_million=200)}
    edits = (
        Edit("rename", "/max_tokens", "max_completion_tokens"),
        Edit("drop", "/messages/3/name", "no names"),
        Edit("drop", "/messages/12/name", "no names"),
    )
    return drill(
        tmp_path_factory.mktemp("whole") / "d",
        count=100,
        old=scripted(wrong_every(10)),
        same=scripted(wrong_every(10), edit=lambda _: edits),
        worse=scripted(wrong_every(10, 3)),
        failing=scripted(failing_every(5)),
        _old=token_price,
        _same=token_price | {"allow_edits": ["rename", "drop:/messages"]},
        _worse={"price": price(per_hour=3.6)},
        alpha=0.15,  # 0.05 for each of three candidates
        gates=[
            GateSpec(measure="success", margin=0.1, name="right answers"),
            GateSpec(measure="total_p95", margin=30),
            GateSpec(measure="success", limit=0.3, name="right at all"),
            GateSpec(measure="cost_per_1000", limit=1.8, name="cost"),
        ],
    )


def _complete(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), new=scripted(right))


def _broken_arm(folder: Path) -> Drilled:
    broken = scripted(failing_every(1, "server"))
    return drill(folder, old=scripted(right), new=scripted(right), bad=broken)


def _no_candidate_left(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), bad=scripted(failing_every(1, "server")))


def _candidate_not_started(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), new=scripted(right), bad=broken_at_start)


def _no_candidate_started(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), bad=broken_at_start)


def _incumbent_not_started(folder: Path) -> Drilled:
    return drill(folder, old=broken_at_start, new=scripted(right))


def _nothing_measured(folder: Path) -> Drilled:
    workload = cases(24, checker=None, expected=None)
    return drill(folder, old=scripted(silent), new=scripted(silent), workload=workload)


def _every_answer_an_error(folder: Path) -> Drilled:
    no = scripted(failing_every(1))
    return drill(folder, old=no, new=no)


def _budget_spent(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), new=scripted(right), budget=BudgetSpec(requests=9))


def _limited(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), new=scripted(right), limit=10)


def _no_gates(folder: Path) -> Drilled:
    return drill(folder, old=scripted(right), new=scripted(right), gates=[])


def _checker_problem(folder: Path) -> Drilled:
    def judge(answer: str, _: Any) -> bool:
        raise RuntimeError(answer)

    return drill(folder, old=scripted(right), new=scripted(right), checkers={"exact": judge})


KINDS = {
    _complete: ("ready", True),
    _broken_arm: ("ready", True),
    _no_candidate_left: ("inconclusive", False),
    _candidate_not_started: ("ready", True),
    _no_candidate_started: ("inconclusive", False),
    _incumbent_not_started: ("inconclusive", False),
    _nothing_measured: ("inconclusive", True),
    _every_answer_an_error: ("inconclusive", True),
    _budget_spent: ("inconclusive", False),
    _limited: ("ready", True),
    _no_gates: ("inconclusive", True),
    _checker_problem: ("inconclusive", True),
}


@pytest.mark.parametrize(
    ("kind", "verdict", "completed"),
    [pytest.param(kind, *ends, id=kind.__name__[1:]) for kind, ends in KINDS.items()],
)
def test_every_kind_of_drill_is_reported(
    kind: Callable[[Path], Drilled], verdict: str, completed: bool, tmp_path: Path
) -> None:
    found = kind(tmp_path / "d")
    report = found.report
    validate(report)
    check_contract(report)
    assert (report["verdict"]["status"], report["drill"]["completed"]) == (verdict, completed)
    assert report["verdict"]["reasons"]
    arms = [report["incumbent"]["name"], *(each["name"] for each in report["candidates"])]
    assert len(found.rows) == len(arms) * report["workload"]["asked"] * 2
    assert set(Counter((r["arm"], r["case"], r["repeat"]) for r in found.rows).values()) == {1}
    check_counts(found)
    assert {path.name for path in render(found.folder)} == set(RENDERERS)
    assert all((found.folder / name).stat().st_size for name in RENDERERS)


CONTRACT = {
    "": "schema_version drill workload incumbent candidates verdict not_tested",
    "drill": "id scenario started ended completed exitdrill_version plan_sha256",
    "workload": "cases sha256",
    "verdict": "status reasons candidate",
}
OF_A_CANDIDATE = "name drift latency cost change gates verdict"
OF_A_ROW = "name unit incumbent candidate estimate interval n noise"
OF_A_GATE = "name measure unit margin estimate interval n status reason"


def check_contract(report: Json) -> None:
    """The keys that DESIGN.md promises to other programs."""
    for place, keys in CONTRACT.items():
        assert set(keys.split()) <= (report[place] if place else report).keys()
    for candidate in report["candidates"]:
        assert set(OF_A_CANDIDATE.split()) <= candidate.keys()
        for section in ("drift", "latency", "cost", "change"):
            assert candidate[section]
            for row in candidate[section]:
                assert set(OF_A_ROW.split()) <= row.keys()
        for gate in candidate["gates"]:
            assert set(OF_A_GATE.split()) <= gate.keys()
            assert (gate["interval"] is None) or gate["kind"] != "cap"
            assert gate["reason"]


def check_counts(found: Drilled) -> None:
    """An arm's status and its trials say the same."""
    for arm in [found.report["incumbent"], *found.report["candidates"]]:
        asked = [r for r in found.rows if r["arm"] == arm["name"] and r["status"] != "not_asked"]
        assert len(asked) == arm["completed_trials"]
        planned = found.report["workload"]["asked"] * 2
        assert (arm["status"] == "complete") == (arm["status_reason"] is None)
        if arm["status"] == "complete":
            assert len(asked) == planned
        assert arm["status"] != "not_started" or not asked


# --- what each kind says ------------------------------------------------------------------------


def test_a_broken_arm_says_why_and_is_inconclusive(tmp_path: Path) -> None:
    found = _broken_arm(tmp_path / "d")
    bad = found.candidate("bad")
    assert bad["status"] == "broken_off"
    assert "times in a row server: it is not allowed" in bad["status_reason"]
    assert bad["verdict"]["status"] == "inconclusive"
    assert bad["verdict"]["reasons"][0] == f"broke off: {bad['status_reason']}"
    assert {each["status"] for each in bad["gates"]} == {"open"}
    assert "completed only" in bad["gates"][0]["reason"]
    assert found.candidate("new")["verdict"]["status"] == "ready"
    statuses = Counter(each["status"] for each in found.rows if each["arm"] == "bad")
    assert statuses["failed"] == bad["completed_trials"] > 0
    assert statuses["not_asked"] == 48 - statuses["failed"]


def test_a_candidate_that_could_not_be_started_has_lines_that_say_so(tmp_path: Path) -> None:
    found = _candidate_not_started(tmp_path / "d")
    bad = found.candidate("bad")
    assert (bad["status"], bad["completed_trials"]) == ("not_started", 0)
    assert bad["status_reason"].startswith("could not be started:")
    assert bad["verdict"]["status"] == "inconclusive"
    lines = [each for each in found.rows if each["arm"] == "bad"]
    assert len(lines) == 48
    assert all(each["status"] == "not_asked" and each["measures"] == {} for each in lines)
    assert bad["description"]["model"] == "model-bad"


def test_an_incumbent_that_could_not_be_started_ends_the_drill(tmp_path: Path) -> None:
    found = _incumbent_not_started(tmp_path / "d")
    assert "nobody is there" in found.report["drill"]["stopped"]
    assert found.report["verdict"]["reasons"] == [found.report["drill"]["stopped"]]
    assert found.report["incumbent"]["success"] is None
    assert {each["status"] for each in found.rows} == {"not_asked"}


def test_a_spent_budget_reports_what_was_measured(tmp_path: Path) -> None:
    found = _budget_spent(tmp_path / "d")
    assert found.report["drill"]["spend"]["calls"] <= 9
    assert sum(each["status"] == "answered" for each in found.rows) > 0
    assert found.candidate("new")["verdict"]["status"] == "inconclusive"


def test_a_limited_drill_says_what_it_left_out(tmp_path: Path) -> None:
    found = _limited(tmp_path / "d")
    workload = found.report["workload"]
    assert (workload["cases"], workload["asked"]) == (24, 10)
    assert "Only the first 10 of 24 cases were asked." in found.report["not_tested"]
    assert {each["case"] for each in found.rows} == {f"c{number}" for number in range(10)}


def test_too_few_cases_for_a_margin_are_not_ready_though_all_are_right(tmp_path: Path) -> None:
    """If three of ten answers were lost in truth, seven right ones are nothing rare: 8 %."""
    found = drill(tmp_path / "d", 7, old=scripted(right), new=scripted(right))
    (gate,) = found.candidate("new")["gates"]
    assert (gate["status"], gate["cause"], gate["interval"][0]) == ("open", "undecided", -0.3)
    assert found.report["verdict"]["status"] == "inconclusive"


def test_a_checker_that_raises_leaves_success_unmeasured(tmp_path: Path) -> None:
    found = _checker_problem(tmp_path / "d")
    assert found.report["incumbent"]["success"] is None
    success = found.row("new", "success")
    assert (success["candidate"], success["interval"], success["n"]) == (None, None, 0)
    assert {each["measures"]["success"] for each in found.rows} == {None}
    (gate,) = found.candidate("new")["gates"]
    assert (gate["status"], gate["cause"]) == ("open", "raised")
    head = "not every answer of old could be judged: the checker 'exact' raised: exact raised Runti"
    assert gate["reason"].startswith(head)
    assert len(gate["reason"]) < 400
    assert "the checker 'exact' raised" in success["note"]
    assert found.candidate("new")["verdict"]["status"] == "inconclusive"


def test_a_swap_that_does_not_apply_makes_a_candidate_not_ready(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "settings.toml").write_text('model = "old"\n')
    patch = "--- a/settings.toml\n+++ b/settings.toml\n@@ -1 +1 @@\n-model = {!r}\n+model = 'new'\n"
    (tmp_path / "good.patch").write_text(patch.format("old").replace("'", '"'))
    (tmp_path / "bad.patch").write_text(patch.format("another").replace("'", '"'))
    found = drill(
        tmp_path / "d",
        old=scripted(right),
        good=scripted(right),
        bad=scripted(right),
        app=AppSpec(),
        swap={name: SwapSpec(patch=f"{name}.patch") for name in ("good", "bad")},
        root=tmp_path,
        gates=[GateSpec(measure="lines", limit=2), GateSpec(measure="success", margin=0.3)],
    )
    assert found.candidate("good")["verdict"]["status"] == "ready"
    assert found.row("good", "configuration_lines")["candidate"] == 2
    bad = found.candidate("bad")["verdict"]
    assert bad["status"] == "not_ready"
    assert bad["reasons"][0].startswith("veto: the swap cannot be applied: ")
    assert found.candidate("bad")["veto"] == bad["reasons"][0]
    assert found.candidate("bad")["status_reason"].startswith("the swap cannot be applied: ")
    render(found.folder)


# --- numbers, recomputed from cases.jsonl -------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def known(column: dict[str, list[float | None]]) -> list[float]:
    """All that was measured."""
    return [each for values in column.values() for each in values if each is not None]


@pytest.mark.parametrize("name", ["same", "worse", "failing"])
def test_success_follows_from_the_answers(whole: Drilled, name: str) -> None:
    """Judged again from the texts, not from the measures."""

    def judged(arm: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for each in whole.rows:
            if each["arm"] == arm:
                found.setdefault(each["case"], []).append(each["answer"] == each["expected"])
        return found

    ours, theirs = judged("old"), judged(name)
    row = whole.row(name, "success")
    assert row["n"] == 100
    assert row["incumbent"] == pytest.approx(mean([mean(v) for v in ours.values()]))
    assert row["candidate"] == pytest.approx(mean([mean(v) for v in theirs.values()]))
    assert whole.report["incumbent"]["success"] == pytest.approx(row["incumbent"])
    pairs = [list(zip(ours[case], theirs[case], strict=True)) for case in ours]
    gained = sum(mean([float(b > a) for a, b in each]) for each in pairs)
    lost = sum(mean([float(a > b) for a, b in each]) for each in pairs)
    assert row["estimate"] == pytest.approx((gained - lost) / 100)
    assert row["interval"] == pytest.approx(tango_interval(gained, lost, 100, 1 - 2 * 0.15 / 3))
    flipped = [abs(each[0] - each[1]) for each in ours.values()]
    assert row["noise"] == pytest.approx(mean(flipped))


@pytest.mark.parametrize("name", ["same", "worse", "failing"])
@pytest.mark.parametrize("measure", ["total", "ttft"])
def test_percentiles_follow_from_the_trials(whole: Drilled, name: str, measure: str) -> None:
    def samples(arm: str) -> list[float]:
        rows = [each for each in whole.rows if each["arm"] == arm]
        times = [each["measures"][measure] for each in rows]
        return sorted(math.inf if time is None else time for time in times)

    ours, theirs = samples("old"), samples(name)
    row = whole.row(name, f"{measure}_p95")
    assert row["n"] == 200
    assert row["incumbent"] == ours[189]
    assert row["candidate"] == (None if math.isinf(theirs[189]) else theirs[189])
    median = whole.row(name, f"{measure}_p50")
    assert median["estimate"] == pytest.approx(theirs[99] - ours[99])
    if name == "failing":  # a fifth failed
        assert row["candidate"] is None
        assert row["interval"] is None
        assert row["missed"] == ["candidate"]
        assert "40 of 200 of the candidate failed or came empty: a missed deadline" in row["note"]
    else:
        assert row["missed"] == []


def test_cost_and_tokens_follow_from_the_trials(whole: Drilled) -> None:
    ours = 1000 * (10 * 100 + 4 * 200) / 1e6
    same, worse, failing = (
        whole.row(name, "cost_per_1000") for name in ("same", "worse", "failing")
    )
    assert (same["incumbent"], same["candidate"]) == (pytest.approx(ours), pytest.approx(ours))
    assert (same["estimate"], same["unit"]) == (pytest.approx(0), "EUR/1000 requests")
    assert "3.6 EUR per hour at the measured" in worse["note"]
    assert worse["candidate"] > 0
    assert failing["note"] == "not measured: the scenario gives no price"
    for name in ("same", "worse", "failing"):
        row = whole.row(name, "output_tokens")
        column = whole.column(name, "output_tokens")
        assert row["candidate"] == mean(known(column)) == 4
        assert row["n"] == sum(any(each is not None for each in v) for v in column.values())


def test_gates_and_rows_tell_one_story(whole: Drilled) -> None:
    for candidate in whole.report["candidates"]:
        for gate in candidate["gates"]:
            row = whole.row(candidate["name"], gate["measure"])
            if gate["kind"] == "cap":
                assert (gate["estimate"], gate["interval"]) == (row["candidate"], None)
                if gate["measure"] == "success":
                    low, high = gate["own_interval"]
                    assert low < gate["estimate"] < high
                else:
                    assert gate["own_interval"] is None
            else:
                assert (gate["estimate"], gate["interval"]) == (row["estimate"], row["interval"])
            assert (gate["unit"], gate["n"]) == (row["unit"], row["n"])


def test_gates_of_the_whole_drill(whole: Drilled) -> None:
    found = {
        each["name"]: {gate["name"]: gate["status"] for gate in each["gates"]}
        for each in whole.report["candidates"]
    }
    # 1.80 EUR per 1,000 requests reach the cap of 1.80; without a price there is no cost.
    assert found["same"] == dict.fromkeys(found["same"], "pass")
    assert found["worse"]["right answers"] == "fail"
    assert found["failing"]["cost"] == "open"
    assert found["failing"]["total_p95"] == "fail"  # more than 5 % miss every deadline
    verdicts = {each["name"]: each["verdict"]["status"] for each in whole.report["candidates"]}
    assert verdicts == {"same": "ready", "worse": "not_ready", "failing": "not_ready"}
    assert whole.report["verdict"]["candidate"] == "same"
    (right_answers,) = [
        each for each in whole.candidate("worse")["gates"] if each["name"] == "right answers"
    ]
    assert right_answers["reason"].startswith("30 points fewer right answers than the incumbent")


def test_the_noise_of_the_incumbent_is_beside_each_figure(tmp_path: Path) -> None:
    """Every fourth case gets another answer each time; the answers are right all the same."""
    turns: Counter[int] = Counter()

    def moody(request: Request) -> Answer:
        number = number_of(request)
        turns[number] += 1
        said = right(request)
        blanks = " " * (turns[number] % 2 if number % 4 == 0 else 0)
        return said.model_copy(update={"text": said.text + blanks})

    found = drill(
        tmp_path / "d",
        old=scripted(moody),
        new=scripted(right),
        replay=ReplaySpec(attempts=1, warmup=0),
    )
    agreement, success = found.row("new", "exact_agreement"), found.row("new", "success")
    assert (agreement["incumbent"], agreement["noise"]) == (0.75, 0.25)
    assert agreement["candidate"] == 0.875  # one of two repeats is like the candidate's answer
    assert (success["noise"], success["incumbent"]) == (0, 1)
    assert all(row["noise"] is not None for row in found.candidate("new")["latency"][:2])


def test_a_drill_can_be_measured_again(whole: Drilled, tmp_path: Path) -> None:
    with Journal.reopen(whole.folder / "journal.sqlite") as journal:
        again = write_results(journal, {"exact": exact()}, tmp_path)
    assert again == whole.report
    assert (tmp_path / "cases.jsonl").read_bytes() == (whole.folder / "cases.jsonl").read_bytes()
    assert (tmp_path / "report.json").read_bytes() == (whole.folder / "report.json").read_bytes()


# --- what was not answered, not judged, not distinct --------------------------------------------

NO_ANSWER_GATES = [GateSpec(measure="cost_per_1000", limit=99)]


def test_who_answered_nothing_is_not_ready_however_cheap(tmp_path: Path) -> None:
    """Gates on the cost alone, and a candidate that rejects, or fails, whatever it is asked."""
    hourly: Json = {"price": price(per_hour=3.6)}
    found = drill(
        tmp_path / "d",
        old=scripted(right),
        rejecting=scripted(right, edit=lambda _: (Edit("reject", "/messages", "cannot"),)),
        failing=scripted(failing_every(1)),
        fine=scripted(right),
        _old=hourly,
        _rejecting=hourly,
        _failing=hourly,
        _fine=hourly,
        gates=NO_ANSWER_GATES,
    )
    veto = (
        "veto: a feature that the workload uses is missing: rejecting cannot take 24 of the 24 "
        "requests as they are, and the incumbent can: see its edits and its errors; the first for "
        "/messages: cannot"
    )
    silent = "failing answered none of its 48 requests; 48 times: content filter: it is not allowed"
    ends = {"rejecting": ("not_ready", veto), "failing": ("inconclusive", silent)}
    for name, (status, reason) in ends.items():
        candidate = found.candidate(name)
        assert (candidate["answered_trials"], candidate["completed_trials"]) == (0, 48)
        assert (candidate["verdict"]["status"], candidate["verdict"]["reasons"][0]) == (
            status,
            reason,
        )
        cost = found.row(name, "cost_per_1000")
        assert (cost["candidate"], cost["note"]) == (None, "not measured: there was no answer")
    fine = found.candidate("fine")["verdict"]
    assert fine["status"] == "ready"
    shares = (
        "right answers: 100 % (old: 100 %; 24 cases), requests answered: 100 % (old: 100 %; 24 "
        "cases)"
    )
    assert fine["reasons"][-1] == f"no gate is on what the answers say ({shares})"
    verdict = found.report["verdict"]
    assert verdict["reasons"] == [
        f"fine is ready, but no gate is on what the answers say ({shares})"
    ]
    assert verdict["judged"][0] == "fine: gates passed: cost_per_1000"
    render(found.folder)
    assert "no gate is on what the answers say" in (found.folder / "report.html").read_text()
    for name in ("report.md", "report.html", "junit.xml"):
        assert silent in (found.folder / name).read_text(), name


def test_an_answer_that_ends_in_an_error_is_none(tmp_path: Path) -> None:
    def broken(request: Request) -> Answer:
        return right(request).model_copy(update={"finish": "error"})

    found = drill(
        tmp_path / "d",
        3,
        old=scripted(right),
        new=scripted(broken),
        replay=ReplaySpec(attempts=1, breaker=99),
    )
    assert found.row("new", "answered")["candidate"] == 0
    assert found.row("new", "success")["candidate"] == 0
    rows = [each for each in found.rows if each["arm"] == "new"]
    assert {(each["status"], each["error"]["kind"]) for each in rows} == {("failed", "server")}


def test_empty_answers_are_answers_that_missed_their_deadlines(tmp_path: Path) -> None:
    found = drill(tmp_path / "d", old=scripted(right), new=scripted(silent))
    assert found.row("new", "answered")["candidate"] == 1
    for measure in ("ttft_p50", "total_p95"):
        row = found.row("new", measure)
        assert (row["candidate"], row["missed"]) == (None, ["candidate"])
    render(found.folder)
    assert ">missed</td>" in (found.folder / "report.html").read_text()


def test_failed_attempts_do_not_raise_the_cost(tmp_path: Path) -> None:
    turns: Counter[int] = Counter()

    def flaky(request: Request) -> Answer:
        turns[number_of(request)] += 1
        failed = turns[number_of(request)] % 2
        error = Error(kind="server", message="later", retry_after=0.0)
        return Answer(error=error) if failed else right(request)

    tokens = {"price": price(input_per_million=100, output_per_million=200)}
    found = drill(
        tmp_path / "d",
        5,
        old=scripted(right),
        new=scripted(flaky),
        _old=tokens,
        _new=tokens,
        replay=ReplaySpec(attempts=2, warmup=0),
    )
    row = found.row("new", "cost_per_1000")
    assert row["candidate"] == pytest.approx(row["incumbent"])
    assert "10 failed attempts whose cost is not known are left out" in row["note"]
    spent = found.report["drill"]["spend"]["money"]["amount"]
    assert spent > 20 * row["incumbent"] / 1000  # the budget reckons with the worst


def test_a_reason_holds_no_method(tmp_path: Path) -> None:
    """Why there is no figure is said; how it would have been made stands beside it."""
    gates = [GateSpec(measure="total_p99", margin=1), GateSpec(measure="json_valid", margin=0.1)]
    found = drill(tmp_path / "d", old=scripted(right), new=scripted(right), gates=gates)
    late, valid = found.candidate("new")["gates"]
    first, more = late["reason"].split("; ")
    assert first.startswith("no interval: 24 cases are too few, it takes ")
    assert more.startswith("at least ")
    assert late["method"] == "last event − scheduled send"
    assert valid["reason"] == "not measured: no case could be judged on both arms"
    assert valid["method"] == "the whole answer, as a strict parser wants it"


def test_unjudged_cases_and_repeated_requests_are_named(tmp_path: Path) -> None:
    same = Request("chat", {"messages": [{"role": "user", "content": "q1"}]})
    known = [Case(f"c{n}", same, "exact", "a1", session="s") for n in range(4)]
    unknown = [Case(f"u{n}", same) for n in range(5)]
    workload = CaseList([*known, *unknown])
    found = drill(tmp_path / "d", old=scripted(right), new=scripted(right), workload=workload)
    said = " ".join(found.report["not_tested"])
    assert "Success is known for 4 of 9 cases" in said
    assert "9 cases, but only 1 distinct request:" in said
    said = " ".join(_complete(tmp_path / "whole").report["not_tested"])
    assert "Success is known" not in said
    assert "distinct" not in said


def test_a_model_that_changed_behind_its_name_is_named(tmp_path: Path) -> None:
    def changing(request: Request) -> Answer:
        number = number_of(request)
        made_by = "m-2026-10" if number < 20 else "m-2026-11"
        return right(request).model_copy(update={"made_by": made_by})

    found = drill(tmp_path / "d", old=scripted(changing), new=scripted(right))
    assert found.report["incumbent"]["description"]["details"]["answers_made_by"] == [
        "model m-2026-10: 40 answers",
        "model m-2026-11: 8 answers",
    ]
    assert "answers_made_by" not in found.candidate("new")["description"]["details"]
    said = " ".join(found.report["not_tested"])
    assert "the answers of old were made by more than one model or configuration" in said


# --- edits, selection, strings ------------------------------------------------------------------


def test_edits_are_counted_by_where_and_marked_as_allowed_or_not(tmp_path: Path) -> None:
    edits = (
        Edit("drop", "/messages/3/name", "no names"),
        Edit("drop", "/messages/12/name", "no names"),
        Edit("rename", "/max_tokens", "max_completion_tokens"),
    )
    parts: Json = {"old": scripted(right), "new": scripted(right, edit=lambda _: edits)}
    allowed = drill(tmp_path / "a", 5, **parts, _new={"allow_edits": ["drop:/messages", "rename"]})
    refused = drill(tmp_path / "r", 5, **parts)
    for found, drop_allowed in ((allowed, True), (refused, False)):
        rows = found.candidate("new")["edits"]
        assert rows == [
            {
                "action": "drop",
                "path": "/messages/*/name",
                "detail": "no names",
                "count": 20,
                "allowed": drop_allowed,
            },
            {
                "action": "rename",
                "path": "/max_tokens",
                "detail": "max_completion_tokens",
                "count": 10,
                "allowed": True,
            },
        ]
        assert found.report["incumbent"]["edits"] == []
    assert {each["status"] for each in refused.rows if each["arm"] == "new"} == {"failed"}
    kinds = {each["error"]["kind"] for each in refused.rows if each["arm"] == "new"}
    assert kinds == {"rejected"}
    assert refused.row("new", "success")["candidate"] == 0


def test_the_selection_shows_first_what_was_lost(whole: Drilled) -> None:
    """Of 100 cases: 37 lost (wrong or failed on a candidate, right on the incumbent), the rest as
    far as there is room."""
    selection = whole.report["selection"]
    reasons = [each["why"] for each in selection["shown"]]
    ranks = ["lost", "changed", "wrong everywhere", "unchanged"]
    assert reasons == sorted(reasons, key=ranks.index)
    lost = {n for n in range(100) if n % 10 and (n % 3 == 0 or n % 5 == 0)}
    shown = {each["case"] for each in selection["shown"] if each["why"] == "lost"}
    assert shown == {f"c{number}" for number in lost}
    assert len(selection["shown"]) == SELECTED
    assert selection["left_out"] == 100 - SELECTED
    first = selection["shown"][0]
    assert (first["case"], first["prompt"], first["expected"]) == ("c3", "q3", "a3")
    answers = {each["arm"]: (each["answer"], each["success"]) for each in first["answers"]}
    assert answers == {
        "old": ("a3", True),
        "same": ("a3", True),
        "worse": ("no", False),
        "failing": ("a3", True),
    }


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (right, wrong_every(1), "lost"),
        (right, failing_every(1), "lost"),
        (wrong_every(1), right, "changed"),
        (wrong_every(1), wrong_every(1), "wrong everywhere"),
        (right, right, "unchanged"),
    ],
)
def test_why_a_case_is_shown(old: Say, new: Say, why: str, tmp_path: Path) -> None:
    found = drill(tmp_path / "d", 3, old=scripted(old), new=scripted(new))
    assert [each["why"] for each in found.report["selection"]["shown"]] == [why] * 3
    assert found.report["selection"]["left_out"] == 0


def in_turn(*replies: Answer) -> Say:
    """One answer after the other to each case, by the repeat."""
    asked: Counter[int] = Counter()

    def say(request: Request) -> Answer:
        number = number_of(request)
        asked[number] += 1
        return replies[asked[number] - 1]

    return say


A0, NO = Answer(text="a0"), Answer(text="no")
FAILED = Answer.model_validate({"error": {"kind": "content_filter", "message": "no"}})


@pytest.mark.parametrize(
    ("old", "new", "why", "shown"),
    [
        ((A0, A0), (A0, NO), "lost", ["a0", "no"]),
        ((NO, A0), (A0, NO), "lost", ["a0", "no"]),
        ((A0, NO), (A0, A0), "changed", ["no", "a0"]),
        ((FAILED, A0), (A0, A0), "changed", ["", "a0"]),
        ((A0, FAILED), (A0, A0), "changed", ["", "a0"]),
        ((A0, FAILED), (A0, FAILED), "unchanged", ["a0", "a0"]),
        ((NO, FAILED), (NO, FAILED), "wrong everywhere", ["no", "no"]),
    ],
)
def test_every_repeat_is_a_reason_to_show_a_case(
    old: tuple[Answer, ...], new: tuple[Answer, ...], why: str, shown: list[str], tmp_path: Path
) -> None:
    replay = ReplaySpec(attempts=1, warmup=0)
    backends = [scripted(in_turn(*each)) for each in (old, new)]
    found = drill(tmp_path / "d", 1, old=backends[0], new=backends[1], replay=replay)
    (case,) = found.report["selection"]["shown"]
    assert case["why"] == why
    answers = {each["arm"]: each["answer"] for each in case["answers"]}
    assert [answers["old"], answers["new"]] == shown


def test_the_selection_shows_the_beginning_of_a_long_text(tmp_path: Path) -> None:
    def long(request: Request) -> Answer:
        text = right(request).text + "x" * 1_000_000
        return Answer(text=text, tool_calls=(("f", text),))

    workload = cases(3, expected="e" * 10_000)
    found = drill(tmp_path / "d", old=scripted(right), new=scripted(long), workload=workload)
    assert (tmp_path / "d" / "report.json").stat().st_size < 100_000
    shown = found.report["selection"]["shown"][0]
    answers = {each["arm"]: each for each in shown["answers"]}
    assert (answers["old"]["answer"], answers["old"]["tool_calls"]) == ("a0", [])
    for text in (shown["expected"], answers["new"]["answer"], answers["new"]["tool_calls"]):
        assert len(text) <= LONGEST
        assert text.endswith("more characters not shown]")
    assert {len(each["answer"]) for each in found.rows if each["arm"] == "new"} == {1_000_002}
    render(found.folder)
    (cut,) = set(re.findall(r"[\d,]+ more characters", answers["new"]["answer"]))
    assert cut in (found.folder / "report.html").read_text()


HOSTILE = [
    "</script><script>alert(1)</script>",
    "{{ 7*7 }} {% raw %} $(reboot) `id` \\",
    "\x00\x07\x1b[31mred \u202egnp.exe\u2028\u2029",
    "\"quoted\", 'so'\r\n\tand; -- so = NaN",
    "]]> &lt; &amp; <!DOCTYPE x>",
    "🏳️‍🌈 é e\u0301 中文 " * 500,
    "",
]


def test_hostile_strings_survive(tmp_path: Path) -> None:
    workload = CaseList(
        [
            Case(
                f"c{number}",
                Request("chat", {"messages": [{"role": "user", "content": f"q{number}"}]}),
                checker="exact",
                expected=text,
                tags=(text[:20],),
            )
            for number, text in enumerate(HOSTILE)
        ]
    )

    def echo(request: Request) -> str:
        return HOSTILE[number_of(request)]

    found = drill(tmp_path / "d", old=scripted(echo), new=scripted(echo), workload=workload)
    assert found.row("new", "exact_agreement")["candidate"] == 1
    answers = {each["case"]: each["answer"] for each in found.rows}
    assert answers == {f"c{number}": text for number, text in enumerate(HOSTILE)}
    assert {each["case"]: each["expected"] for each in found.rows} == answers
    validate(found.report)
    render(found.folder)
    assert "<script>alert(1)" not in (found.folder / "report.html").read_text()


def test_half_a_character_survives(tmp_path: Path) -> None:
    def half(_: Request) -> str:
        return "\ud83d and no more"

    found = drill(tmp_path / "d", 3, old=scripted(half), new=scripted(half))
    assert {each["answer"] for each in found.rows} == {half(Request("chat", {}))}
    assert found.row("new", "exact_agreement")["candidate"] == 1
    render(found.folder)


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, "b"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant"}]}, "a"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, '[{"type": "text"}]'),
        ({"messages": [{"role": "system", "content": "a"}]}, ""),
        ({"messages": [{"role": "user", "content": None}]}, "null"),
        ({"messages": None, "prompt": "p"}, "p"),
        ({"messages": "abc"}, ""),
        ({"messages": [1, None, "x", {}, {"role": ["user"]}]}, ""),
        ({"messages": {"role": "user"}, "prompt": None}, "null"),
        ({"prompt": "p"}, "p"),
        ({"input": ["x", "y"]}, '["x", "y"]'),
        ({"prompt": "p" * 9999}, "p" * LONGEST_PROMPT),
    ],
)
def test_the_prompt_is_the_last_thing_the_user_says(body: Json, prompt: str) -> None:
    assert prompt_of(Case("c", Request("chat", body))) == prompt
