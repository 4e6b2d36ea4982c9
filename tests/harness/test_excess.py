"""Excess drift: what differs beyond both arms' own noise, and that failures are no noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.harness.drills import Log, Say, case_lines, scenario
from tests.harness.facts_of import BROKEN, NAN, call, pair, view

import exitdrill
from exitdrill.backend import Reply, Request
from exitdrill.errors import ScenarioError
from exitdrill.measures import BY_NAME, gate_problem
from exitdrill.measures.base import Pair, Row
from exitdrill.scenario import GateSpec
from exitdrill_adapters.scripted import Answer, Error, last_user_text

EXCESS = BY_NAME["excess_drift"]


def drift(incumbent: dict[str, Any], candidate: dict[str, Any], **more: Any) -> Row:
    """The row of two arms, each given by its columns."""
    return EXCESS.row(replace(pair(incumbent, candidate), **more))


def test_it_is_a_measure_of_the_answers() -> None:
    assert (EXCESS.section, EXCESS.unit, EXCESS.better) == ("drift", "share", "lower")
    assert set(EXCESS.columns) == {"same_content", "same_as_itself"}


# --- the column ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sibling", "failed", "expected"),
    [
        ("a", "a", False, 1),
        ("a", "b", False, 0),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', False, 1),  # form is no noise
        (call("f", '{"x": 1}'), call("f", '{"x":1.0}'), False, 1),
        (call("f", '{"x": 1}'), call("g", '{"x":1}'), False, 0),
        ("a", None, False, NAN),  # the other one failed, or was not asked
        ("", "a", True, NAN),
    ],
)
def test_an_answer_against_the_arms_own_next_one(
    answer: Reply | str, sibling: Reply | str | None, failed: bool, expected: float
) -> None:
    other = Reply(text=sibling) if isinstance(sibling, str) else sibling
    trial = replace(view(answer, failure=BROKEN if failed else None), sibling=other)
    found = BY_NAME.columns["same_as_itself"](trial)
    assert found == pytest.approx(expected, nan_ok=True)


# --- the row ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "ours", "theirs", "row"),
    [
        # 2·d(A,B) − d(A,A′) − d(B,B′): the means of the cases, by hand.
        ([[1, 1], [1, 1]], [[1, 1], [1, 1]], [[1, 1], [1, 1]], (0, 0, 0)),
        ([[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 1], [1, 1]], (0, 0, 2)),
        ([[0, 0], [1, 1]], [[1, 1], [1, 1]], [[1, 1], [1, 1]], (0, 0, 1)),
        ([[1, 0], [1, 0]], [[0, 0], [1, 1]], [[1, 1], [0, 0]], (0.5, 0.5, 0)),
        ([[1, 1], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]], (1, 0, -0.5)),  # by chance
        ([[0, 0, 1], [1, 1, 1]], [[1, 1], [1, 1]], [[1, 0, 0], [1, 1, 1]], (0, 1 / 3, 1 / 3)),
    ],
)
def test_the_excess_of_hand_made_arms(
    between: list[list[float]],
    ours: list[list[float]],
    theirs: list[list[float]],
    row: tuple[float, float, float],
) -> None:
    found = drift({"same_as_itself": ours}, {"same_content": between, "same_as_itself": theirs})
    assert (found.incumbent, found.candidate, found.estimate) == pytest.approx(row)
    assert found.interval is not None
    assert found.interval[0] <= row[2] <= found.interval[1]
    assert found.own == found.interval
    assert (found.n, found.noise) == (2, None)
    assert found.note
    assert "less the share that differs between repeats of the incumbent" in found.note


def test_where_nothing_differs_the_interval_is_still_not_empty() -> None:
    same = np.ones((20, 2))
    found = drift({"same_as_itself": same}, {"same_content": same, "same_as_itself": same})
    # ± 2·z²/(n + z²), z = 1.644854 at 90 %, n = 20
    assert found.interval == pytest.approx((-0.238315, 0.238315), abs=1e-6)


def test_cases_of_one_cluster_are_no_independent_ones() -> None:
    random = np.random.default_rng(0)
    between = np.repeat(random.integers(0, 2, (30, 1)), 2, axis=1).repeat(4, axis=0)
    same = np.ones((120, 2))
    arms: tuple[Any, Any] = (
        {"same_as_itself": same},
        {"same_content": between, "same_as_itself": same},
    )
    alone = drift(*arms).interval
    together = drift(*arms, clusters=np.repeat(np.arange(30), 4)).interval
    assert alone is not None
    assert together is not None
    assert together[1] - together[0] > 1.8 * (alone[1] - alone[0])  # √4, and Student's quantile


@pytest.mark.parametrize("clusters", [None, np.zeros(3, dtype=np.int64)])
def test_a_single_case_or_cluster_has_no_interval(clusters: Any) -> None:
    same = np.ones((1 if clusters is None else 3, 2))
    arms: tuple[Any, Any] = {"same_as_itself": same}, {"same_content": same, "same_as_itself": same}
    found = drift(*arms, clusters=clusters)
    assert (found.estimate, found.interval, found.own) == (0, None, None)
    assert found.note
    assert found.note.startswith("no interval")


# --- failures -----------------------------------------------------------------------------------


def test_a_failure_of_the_candidate_is_drift_and_no_noise() -> None:
    """One of two answers failed: its other one has nothing to be compared with."""
    same = np.ones((2, 2))
    theirs = {
        "same_content": [[1, 0], [1, 1]],
        "same_as_itself": [[NAN, NAN], [1, 1]],
        "answered": [[1, 0], [1, 1]],
    }
    found = drift({"same_as_itself": same}, theirs)
    assert (found.estimate, found.candidate, found.n) == (0.5, 0, 2)  # (2·0.5 + 0) / 2


def test_failing_never_lowers_the_excess() -> None:
    """A candidate as noisy as the incumbent, that also fails: as far, or further."""
    random = np.random.default_rng(1)
    noisy = {name: random.integers(0, 2, (400, 3)).astype(float) for name in ("a", "b", "x")}
    before = drift(
        {"same_as_itself": noisy["a"]},
        {"same_content": noisy["x"], "same_as_itself": noisy["b"]},
    )
    fails = random.random((400, 3)) < 0.2
    touched = fails | np.roll(fails, -1, axis=1)
    after = drift(
        {"same_as_itself": noisy["a"]},
        {
            "same_content": np.where(fails, 0, noisy["x"]),
            "same_as_itself": np.where(touched, NAN, noisy["b"]),
            "answered": np.where(fails, 0.0, 1.0),
        },
    )
    assert before.estimate is not None
    assert after.estimate is not None
    assert after.estimate > before.estimate + 0.1
    assert after.n == 400


def test_what_was_not_asked_is_left_out_and_nothing_is_not_measured() -> None:
    ours = {"same_as_itself": [[1, 1], [NAN, NAN], [1, 1]]}
    theirs = {
        "same_content": [[1, 1], [0, 0], [NAN, NAN]],
        "same_as_itself": [[1, 1], [1, 1], [NAN, NAN]],
        "answered": [[1, 1], [1, 1], [NAN, NAN]],
    }
    assert drift(ours, theirs).n == 1
    nothing = drift({"same_as_itself": [[NAN, NAN]]}, {"same_content": [[0, 0]]})
    assert (nothing.estimate, nothing.candidate, nothing.n) == (None, None, 0)
    assert nothing.note
    assert nothing.note.startswith("not measured")


# --- gates --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["margin", "limit"])
def test_no_gate_can_be_on_it(bound: str) -> None:
    problem = gate_problem(GateSpec.model_validate({"measure": "excess_drift", bound: 0.1}))
    assert problem is not None
    assert "a gate on same_content" in problem


# --- whole drills -------------------------------------------------------------------------------


def alternating(*texts: str) -> Say:
    """Another text with each repeat of a case, in turn."""
    asked: dict[str, int] = {}

    def answer(request: Request) -> Answer:
        user = last_user_text(request.body)
        asked[user] = asked.get(user, -1) + 1
        return Answer(text=texts[(asked[user] + int(user[1:])) % len(texts)])

    return answer


def failing_at(share: int, say: Say) -> Say:
    """The same, but every so manyth call fails."""
    count = iter(range(1, 1_000_000))

    def answer(request: Request) -> Answer | str:
        if next(count) % share == 0:
            return Answer(error=Error(kind="bad_parameter", message="no"))
        return say(request)

    return answer


def either(*words: str, seed: int = 0) -> Say:
    """One of them, drawn anew for every answer."""
    random = np.random.default_rng(seed)
    return lambda _: str(random.choice(words))


def drilled(folder: Path, **candidates: Say) -> dict[str, dict[str, Any]]:
    """Every candidate's excess drift beside an incumbent that says one thing or another."""
    log = Log()
    arms = {"old": either("one", "two", seed=7), **candidates}
    made = scenario(
        60, {"repeats": 3, "warmup": 0}, **{name: log.adapter(say) for name, say in arms.items()}
    )
    report = exitdrill.run(made, out=folder).report
    return {
        candidate["name"]: next(row for row in candidate["drift"] if row["name"] == "excess_drift")
        for candidate in report["candidates"]
    }


def test_an_incumbent_that_varies_has_no_excess_against_itself(tmp_path: Path) -> None:
    rows = drilled(
        tmp_path / "drill",
        same=either("one", "two", seed=8),
        other=alternating("three", "four"),
        steady=lambda _: "one",
        broken=failing_at(2, either("one", "two", seed=9)),
    )
    low, high = rows["same"]["interval"]
    assert low <= 0 <= high
    assert rows["same"]["incumbent"] == pytest.approx(0.5, abs=0.1)  # it says either, by chance
    # Never the same: 2·1 − d(A,A′) − d(B,B′). In turn of three, two of three next ones differ.
    assert rows["other"]["candidate"] == pytest.approx(2 / 3)
    assert rows["other"]["estimate"] == pytest.approx(
        2 - rows["other"]["incumbent"] - 2 / 3, abs=1e-9
    )
    # One of the two always: 2·½ − ½ − 0, less noisy and still another distribution.
    assert rows["steady"]["estimate"] == pytest.approx(0.5, abs=0.25)
    for name in ("other", "steady", "broken"):
        assert rows[name]["interval"][0] > 0, name
    line = case_lines(tmp_path / "drill")[0]
    assert "same_as_itself" in str(line)


def test_a_gate_on_it_is_refused_before_any_call(tmp_path: Path) -> None:
    log = Log()
    gates = [GateSpec(measure="excess_drift", margin=0.1)]
    made = scenario(3, old=log.adapter(), new=log.adapter()).model_copy(update={"gates": gates})
    with pytest.raises(ScenarioError, match="no gate can be on it"):
        exitdrill.run(made, out=tmp_path / "drill")
    assert not log.calls


def test_pairs_of_no_repeat_are_not_needed() -> None:
    """The noise pair of two repeats has one each: nothing raises, and nothing is drift."""
    same = np.ones((5, 2))
    arms: Pair = pair({"same_as_itself": same, "same_content": same}, {"same_content": same})
    assert EXCESS.row(arms.noise_pair()).estimate == 0
