"""MMD with the Hamming kernel: a description of the texts, from bounded memory, never a gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.harness.drills import Log, Say, scenario

import exitdrill
from exitdrill.backend import Reply, Request
from exitdrill.errors import ScenarioError
from exitdrill.measures import BY_NAME, gate_problem
from exitdrill.measures.base import TrialView
from exitdrill.measures.equality import LONGEST, MOST_CASES, NAME, Texts
from exitdrill.measures.facts import Measured
from exitdrill.records import Exchange, Failure, Trial
from exitdrill.scenario import GateSpec
from exitdrill.stats import mmd_hamming
from exitdrill.workload import Case

Answers = Sequence[str | None]


def seen(texts: Texts, position: int, **arms: Answers) -> None:
    """Let it see a case with these answers of each arm; None failed."""
    case = Case("c", Request("chat", {"messages": []}))
    trials = []
    for arm, answers in arms.items():
        for repeat, text in enumerate(answers):
            failure = Failure("server", "it broke", 500) if text is None else None
            exchange = Exchange(failure=failure)
            trial = Trial(arm, position, repeat, "failed" if failure else "answered", exchange)
            view = TrialView(trial, case, Reply(text=text or ""), None, None)
            trials.append(Measured(view, {}))
    texts.see(trials)


def of(cases: Sequence[tuple[Answers, Answers]], repeats: int = 2) -> Texts:
    """The texts of an incumbent and a candidate."""
    texts = Texts("old", {"old": repeats, "new": repeats})
    for position, (ours, theirs) in enumerate(cases):
        seen(texts, position, old=ours, new=theirs)
    return texts


def test_the_same_texts_everywhere_are_no_distance() -> None:
    row = of([(["same", "same"], ["same", "same"])] * 5).row("new")
    assert (row.estimate, row.n, row.interval, row.incumbent) == (0, 5, None, None)
    assert row.note
    assert row.note.startswith("p = 1 ")


def test_other_texts_are_found_and_said_to_gate_nothing() -> None:
    row = of([(["aaaa", "aaaa"], ["bbbb", "bbbb"])] * 20).row("new")
    assert row.estimate == 2  # two and two agree wholly, nothing agrees across: 1 + 1 − 2·0
    assert row.note
    assert row.note.startswith("p = 0.001 ")
    assert "never gates (arXiv 2410.20247)" in row.note


def test_half_of_the_letters() -> None:
    row = of([(["ab", "ab"], ["ac", "ac"])]).row("new")
    assert row.estimate == pytest.approx(1)  # 1 + 1 − 2·½


@pytest.mark.parametrize(
    ("ours", "theirs", "n"),
    [
        (["a", "b"], ["a", "b"], 1),
        (["a", None], ["a", "b"], 0),  # one of the answers failed
        (["a", "b"], ["a", None], 0),
        (["a"], ["a", "b"], 0),  # one was not asked
        (["", ""], ["", ""], 0),  # tool calls: no text on either side
        (["", ""], ["", "b"], 1),
    ],
)
def test_which_cases_are_compared(ours: Answers, theirs: Answers, n: int) -> None:
    row = of([(ours, theirs)]).row("new")
    assert row.n == n
    assert (row.estimate is None) == (n == 0)
    assert row.note
    assert row.note.startswith("not measured") == (n == 0)
    assert "never gates" in row.note


def test_arms_may_have_different_repeats_and_each_candidate_its_own_cases() -> None:
    texts = Texts("old", {"old": 3, "one": 2, "two": 2})
    seen(texts, 0, old=["a", "a", "b"], one=["a", "a"], two=["a", None])
    seen(texts, 1, old=["a", "a", "a"], one=["a", "a"], two=["b", "b"])
    assert (texts.row("one").n, texts.row("two").n) == (2, 1)
    expected = mmd_hamming([["a", "a", "b"], ["a"] * 3], [["a", "a"]] * 2)
    assert texts.row("one").estimate == expected.value


def test_memory_is_bounded() -> None:
    start = "x" * LONGEST
    texts = of([([start + "a" * 1_000, start], [start, start + "b"])] * (MOST_CASES + 50))
    row = texts.row("new")
    assert (row.estimate, row.n) == (0, MOST_CASES)  # what comes later does not count
    kept = [text for case in texts._cases["new"] for side in case for text in side]
    assert max(map(len, kept)) == LONGEST


# --- gates, and whole drills --------------------------------------------------------------------


@pytest.mark.parametrize(
    "gate", [GateSpec(measure=NAME, margin=0.1), GateSpec(measure=NAME, limit=0.1)]
)
def test_no_gate_can_be_on_it(gate: GateSpec, tmp_path: Path) -> None:
    problem = gate_problem(gate)
    assert problem is not None
    assert "nearly always fails a test of equality" in problem
    log = Log()
    made = scenario(3, old=log.adapter(), new=log.adapter()).model_copy(update={"gates": [gate]})
    with pytest.raises(ScenarioError, match="no gate can be on it"):
        exitdrill.run(made, out=tmp_path / "drill")
    assert not log.calls


def test_it_is_no_measure_by_name() -> None:
    assert NAME not in BY_NAME


def other(request: Request) -> str:
    """Something else to every request."""
    return f"{request.body['messages'][0]['content'][::-1]} or so"


@pytest.mark.parametrize(("say", "found"), [(None, (0, "p = 1 ")), (other, (None, "p = 0.001 "))])
def test_a_drill_reports_it_last_among_drift(
    say: Say | None, found: tuple[float | None, str], tmp_path: Path
) -> None:
    log = Log()
    new = log.adapter(say) if say else log.adapter()
    made = scenario(20, {"repeats": 2}, old=log.adapter(), new=new)
    report = exitdrill.run(made, out=tmp_path / "drill").report
    row = report["candidates"][0]["drift"][-1]
    assert (row["name"], row["n"], row["interval"]) == (NAME, 20, None)
    assert row["note"].startswith(found[1])
    if found[0] is not None:
        assert row["estimate"] == found[0]
    else:
        assert row["estimate"] > 0.5
    html = (tmp_path / "drill" / "report.html").read_text()
    assert "never gates" in html
