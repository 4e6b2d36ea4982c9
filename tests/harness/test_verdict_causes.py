"""Why a gate is open: each cause with its own sentence, and what was not measured never a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.harness.facts_of import INF, NAN, Column, arm, pair, successes
from tests.harness.test_results import Drilled, drill, failing_every, right, wrong_every
from tests.harness.test_verdict import TEN, gate, judged, late, noisy, statuses, waits

from exitdrill.backend import Edit
from exitdrill.checkers import CheckerProblem
from exitdrill.measures import BY_NAME
from exitdrill.measures.base import ALL, Pair
from exitdrill.scenario import GateSpec, ReplaySpec
from exitdrill.verdict import Cause, Gate, judge, verdict_of
from exitdrill_adapters.scripted import scripted

SUCCESS = gate("success", margin=0.1)
ALPHA = 0.05


def columns(n: int = 100, repeats: int = 2) -> dict[str, Column]:
    """An arm that did all that it should, at once."""
    ones = np.ones((n, repeats))
    return {"success": ones, "total": ones, "answered": ones, "chrf": ones, "length": ones}


def without(part: Mapping[str, Column], cut: tuple[slice, slice], *names: str) -> dict[str, Column]:
    """Columns with NaN in some places; by default in all of them."""
    found: dict[str, Column] = {n: np.array(each, dtype=float) for n, each in part.items()}
    for name in names or found:
        np.asarray(found[name])[cut] = NAN
    return found


def broken_off(who: str) -> Pair:
    """An arm that was not asked the last ten cases."""
    whole, part = columns(), without(columns(), (slice(90, None), ALL))
    return pair(part, whole) if who == "old" else pair(whole, part)


def raised(who: str, column: str = "success", said: str = "the checker 'c' raised: no") -> Pair:
    """A checker, or an installed measure, that raised at one answer."""
    facts = pair(columns(), columns())
    part = arm(who, without(columns(), (slice(1), slice(1)), column), problems={column: said})
    if who == "old":
        return replace(facts, incumbent=part)
    return replace(facts, candidate=part)


def one_side(column: str) -> Pair:
    """A value that only the incumbent has."""
    return pair(columns(), without(columns(), (slice(1), ALL), column))


def cached() -> Pair:
    """Two answers of the candidate's that were not made now."""
    part = without(columns(), (slice(2), slice(1)), "total")
    replayed = np.zeros((100, 2))
    replayed[:2, 0] = 1
    return pair(columns(), {**part, "replayed": replayed})


def unlike_itself() -> Pair:
    """An incumbent that got much worse between its repeats."""
    old = np.ones((100, 2))
    old[:50, 1] = 0
    return pair({"success": old}, {"success": np.ones((100, 2))})


def silent_incumbent() -> Pair:
    """An incumbent whose every answer is an error."""
    none = {"answered": np.zeros((100, 2)), "success": np.zeros((100, 2))}
    return pair(none, columns())


def empty() -> Pair:
    """Two arms that answered, and whose answers have nothing to be judged by."""
    return pair({"answered": np.ones((100, 2))}, {"answered": np.ones((100, 2))})


def nothing_asked() -> Pair:
    """Two arms that were never asked."""
    nothing = without(columns(), (ALL, ALL))
    return pair(nothing, nothing)


def no_cases() -> Pair:
    """Two arms without a single case."""
    nothing = {name: np.ones((0, 2)) for name in columns()}
    return pair(nothing, nothing)


def useless() -> Pair:
    """An incumbent that is right in five cases of a hundred."""
    success = np.zeros((100, 2))
    success[:5] = 1
    return pair({"success": success}, {"success": success})


TOTAL = gate("total_p95", margin=1)
MADE: list[tuple[str, Cause, Callable[[], Pair], dict[str, Any], str]] = [
    (
        "a checker raised",
        "raised",
        lambda: raised("new"),
        SUCCESS,
        "not every answer of new could be judged: the checker 'c' raised: no",
    ),
    (
        "a checker raised on the incumbent",
        "raised",
        lambda: raised("old"),
        SUCCESS,
        "not every answer of old could be judged: the checker 'c' raised: no",
    ),
    (
        "an installed measure raised",
        "raised",
        lambda: raised("new", "chrf", "chrf raised ValueError: what?"),
        gate("chrf", margin=0.2),
        "not every answer of new could be judged: chrf raised ValueError: what?",
    ),
    (
        "the candidate broke off",
        "broken_off",
        lambda: broken_off("new"),
        SUCCESS,
        "new completed only 180 of 200 trials",
    ),
    (
        "the incumbent broke off",
        "broken_off",
        lambda: broken_off("old"),
        SUCCESS,
        "old completed only 180 of 200 trials",
    ),
    (
        "nobody was asked",
        "broken_off",
        nothing_asked,
        SUCCESS,
        "old completed only 0 of 200 trials",
    ),
    (
        "the incumbent answered nothing",
        "no_answers",
        silent_incumbent,
        SUCCESS,
        "old answered none of its 200 requests",
    ),
    (
        "answers from a cache",
        "replayed",
        cached,
        TOTAL,
        "candidate: 2 answers came from a cache or a recording and are not timed",
    ),
    (
        "judged on one side",
        "half_measured",
        lambda: one_side("success"),
        SUCCESS,
        "the answers to 1 of 100 cases could be judged on one side only",
    ),
    (
        "timed on one side",
        "half_measured",
        lambda: one_side("total"),
        TOTAL,
        "the answers to 1 of 100 cases could be timed on one side only",
    ),
    (
        "the incumbent fails itself",
        "fails_itself",
        unlike_itself,
        SUCCESS,
        "the incumbent fails this gate against itself: the instrument is too blunt",
    ),
    (
        "the incumbent differs from itself",
        "too_blunt",
        lambda: noisy(480, 60),
        gate("success", margin=0.03),
        "with 480 cases the incumbent is known only to ±3.8 points against itself, and the margin "
        "is 3 points: the instrument is too blunt; more cases, or a wider margin, are needed; ",
    ),
    (
        "no second repeat",
        "too_blunt",
        lambda: successes(480, repeats=1),
        SUCCESS,
        "the incumbent's own noise could not be measured",
    ),
    (
        "too few for a percentile",
        "too_few",
        lambda: waits(1, 1, n=30),
        gate("total_p95", margin=5),
        "no interval: 30 cases are too few, it takes 72; ",
    ),
    (
        "too few for a percentile with a limit",
        "too_few",
        lambda: waits(1, 1, n=30),
        gate("total_p95", limit=5),
        "no interval: 30 cases are too few, it takes 59; at least 29 more cases would",
    ),
    (
        "nothing was judged",
        "not_measured",
        empty,
        SUCCESS,
        "not measured: no case could be judged on both arms",
    ),
    (
        "there is no case",
        "not_measured",
        no_cases,
        SUCCESS,
        "not measured: no case could be judged on both arms",
    ),
    (
        "the drill was late",
        "own_delay",
        lambda: late(waits(1.0, 1.5), TEN, TEN),
        gate("total_p95", margin=0.505),
        "the drill itself was up to 10.9 ms late",
    ),
    (
        "the incumbent is useless",
        "vacuous",
        useless,
        SUCCESS,
        "the incumbent reaches only 5 % right answers, so that a candidate with none would pass",
    ),
    (
        "the interval holds the margin",
        "undecided",
        lambda: successes(100, lost=5, gained=5),
        gate("success", margin=0.05),
        "as many right answers as the incumbent, but anything from ",
    ),
]


@pytest.mark.parametrize(
    ("cause", "facts", "each", "sentence"), [made[1:] for made in MADE], ids=[m[0] for m in MADE]
)
def test_an_open_gate_has_a_cause_and_its_sentence(
    cause: str, facts: Callable[[], Pair], each: dict[str, Any], sentence: str
) -> None:
    made = facts()
    (found,) = judged(made, each)
    assert (found.status, found.cause) == ("open", cause)
    assert found.reason.startswith(sentence)
    assert verdict_of([found]).status == "inconclusive"
    assert verdict_of([found]).reasons == (f"{each['name']}: {found.reason}",)


def test_every_cause_is_shown_and_no_two_say_the_same() -> None:
    assert {cause for _, cause, *_ in MADE} == set(get_args(Cause))
    starts: dict[str, set[str]] = {}
    for _, cause, _, _, sentence in MADE:
        starts.setdefault(sentence, set()).add(cause)
    assert all(len(causes) == 1 for causes in starts.values())


@pytest.mark.parametrize("lost", [0, 8, 30, 100])
def test_what_passes_or_fails_has_no_cause(lost: int) -> None:
    (found,) = judged(successes(100, lost=lost), SUCCESS)
    assert (found.cause is None) == (found.status != "open")
    assert found.more is None or found.status == "open"


def test_a_gate_that_is_open_leaves_no_milder_level_to_others() -> None:
    """Holm's step down counts a rejection that is worth something: not one by half the values."""
    from tests.harness.test_verdict import barely_failing

    facts, success = barely_failing(), gate("success", margin=0.04)
    slow = np.full((480, 2), 9.0)
    half = slow.copy()
    half[0] = NAN
    for times, first, second in ((slow, "fail", "fail"), (half, "open", "open")):
        late_one = arm("new", {**facts.candidate.columns, "total": times})
        found = judged(replace(facts, candidate=late_one), success, gate("total_p95", margin=1))
        assert statuses(found) == [first, second]
    assert [each.cause for each in found] == ["undecided", "half_measured"]


def test_a_candidate_that_is_far_worse_fails_whatever_its_neighbours() -> None:
    (found,) = judged(successes(100, lost=60), SUCCESS)
    assert (found.status, found.cause, found.more) == ("fail", None, None)


# --- never a pass -------------------------------------------------------------------------------


STRICT = [
    name
    for name, measure in BY_NAME.items()
    if measure.strict and measure.section in {"drift", "latency"} and not measure.rival
]


@pytest.mark.parametrize("measure", STRICT)
@pytest.mark.parametrize("bound", ["margin", "limit"])
def test_a_value_that_one_side_lacks_is_never_a_pass(measure: str, bound: str) -> None:
    """Whichever values are taken from one arm, the gate stays open: also the bad ones."""
    random = np.random.default_rng(11)
    kind = BY_NAME[measure]
    good = 1.0 if kind.better == "higher" else 0.0
    generous = {"margin": 0.9, "limit": 0.05 if good else 0.9}[bound]
    names = {name: np.full((80, 2), good) for name in kind.columns}
    for _ in range(12):
        bad = {name: column.copy() for name, column in names.items()}
        cases = random.random((80, 2)) < random.choice([0.02, 0.3, 0.9])
        cases[random.integers(80)] = True
        bad[kind.reads][cases] = NAN
        facts = pair(names, bad) if random.random() < 0.5 else pair(bad, names)
        (found,) = judged(facts, gate(measure, **{bound: generous}))
        assert found.status == "open"


@pytest.mark.parametrize("seed", range(40))
def test_what_is_missing_never_turns_an_open_gate_into_a_pass(seed: int) -> None:
    """Values are removed at random, as if a trial had never been completed, or not been judged."""
    random = np.random.default_rng(seed)
    old, new = (
        {
            "success": (random.random((60, 2)) < chance).astype(float),
            "total": random.gamma(4, scale, (60, 2)),
            "chrf": random.beta(8, 2, (60, 2)),
            "answered": np.ones((60, 2)),
        }
        for chance, scale in ((0.95, 0.1), (random.uniform(0.6, 1), 0.1))
    )
    gates = [
        gate("success", margin=0.2),
        gate("chrf", margin=0.2),
        gate("total_p50", margin=0.3),
        gate("answered", margin=0.2),
        gate("success", limit=0.5),
    ]
    before = judged(pair(old, new), *gates)
    who = new if random.random() < 0.5 else old
    name = random.choice(["success", "total", "chrf", "answered"])
    who[name][random.random((60, 2)) < random.choice([0.01, 0.2, 0.7, 1])] = NAN
    after = judged(pair(old, new), *gates)
    for first, second in zip(before, after, strict=True):
        assert not (first.status != "pass" and second.status == "pass")
        if np.isnan(who["answered"]).any():
            assert (second.status, second.cause) == ("open", "broken_off")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_no_number_passes_nothing(value: float) -> None:
    """A measure of a stranger's that returns what nobody can compare."""
    odd = np.full((100, 2), value)
    for facts in (pair(columns(), {"length": odd}), pair({"length": odd}, {"length": odd})):
        with np.errstate(all="ignore"):
            (found,) = judged(facts, gate("length", margin=1e9))
        assert found.status == "open"


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("measure", ["success", "chrf", "field_agreement"])
def test_hardly_any_case_passes_nothing(n: int, measure: str) -> None:
    same = {measure: np.ones((n, 2))}
    assert statuses(judged(pair(same, same), gate(measure, margin=0.4))) == ["open"]


# --- in a drill ---------------------------------------------------------------------------------


def gate_of(found: Drilled) -> dict[str, Any]:
    """The only gate of the only candidate."""
    (each,) = found.candidate("new")["gates"]
    return dict(each)


def test_a_checker_that_raises_on_the_candidate_alone_is_said(tmp_path: Path) -> None:
    """It knows what the incumbent says, and nothing else: what it cannot judge may be bad."""

    def picky(answer: Any, _: Any) -> bool:
        if "no" in answer.text:
            raise CheckerProblem("never seen such an answer")
        return True

    found = drill(
        tmp_path / "d",
        old=scripted(right),
        new=scripted(wrong_every(5)),
        checkers={"exact": picky},
    )
    told = gate_of(found)
    assert (told["status"], told["cause"]) == ("open", "raised")
    assert "not every answer of new could be judged: the checker 'exact' raised" in told["reason"]
    assert "never seen such an answer" in told["reason"]
    assert found.report["verdict"]["status"] == "inconclusive"


def test_a_feature_that_the_candidate_lacks_is_a_veto(tmp_path: Path) -> None:
    def say(lacking: bool) -> Any:
        edits = (Edit("reject", "/tools", "it has no tools"),)
        return scripted(right, edit=lambda _: edits if lacking else ())

    lacking = drill(tmp_path / "a", 30, old=say(False), new=say(True))
    verdict = lacking.candidate("new")["verdict"]
    assert verdict["status"] == lacking.report["verdict"]["status"] == "not_ready"
    assert verdict["reasons"][0].startswith(
        "veto: a feature that the workload uses is missing: new cannot take 30 of the 30 requests"
    )
    both = drill(tmp_path / "b", 30, old=say(True), new=say(True))
    assert both.report["verdict"]["status"] == "inconclusive"
    assert "veto" not in str(both.candidate("new")["verdict"])
    none = drill(tmp_path / "c", 30, old=say(False), new=say(False))
    assert none.report["verdict"]["status"] == "ready"


@pytest.mark.parametrize(
    ("wrong", "start"),
    [
        (1, "The incumbent fails its own ground truth: none of the answers of old is what"),
        (2, "The incumbent is not always right itself: 50 % of the answers of old are what"),
        (10, "The incumbent is not always right itself: 90 % of the answers of old are what"),
        (99, None),
    ],
)
def test_an_incumbent_that_fails_its_own_ground_truth_is_said_first(
    wrong: int, start: str | None, tmp_path: Path
) -> None:
    say = right if wrong == 99 else wrong_every(wrong)
    found = drill(tmp_path / "d", 20, old=scripted(say), new=scripted(right))
    first = found.report["incumbent"]["first"]
    assert first is None if start is None else first.startswith(start)


@pytest.mark.parametrize("step", [1, 2])
def test_an_outage_of_the_incumbent_is_no_wrong_answer(step: int, tmp_path: Path) -> None:
    """All, or every other, of its requests fail; what it answers is right."""
    found = drill(tmp_path / "d", 20, old=scripted(failing_every(step)), new=scripted(right))
    assert found.report["incumbent"]["answered_trials"] == (0 if step == 1 else 20)
    assert found.report["incumbent"]["first"] is None


def test_a_gate_blames_the_arm_that_broke_off(tmp_path: Path) -> None:
    """The incumbent is not asked any more once every candidate is decided or has broken off."""
    found = drill(
        tmp_path / "d",
        24,
        sequential=True,
        old=scripted(right),
        good=scripted(right),
        dead=scripted(failing_every(1, "server")),
        gates=[GateSpec(measure="success", margin=0.9)],
        replay=ReplaySpec(attempts=1, breaker=4, block=8),
    )
    reasons = {each["name"]: each["gates"][0]["reason"] for each in found.report["candidates"]}
    assert reasons["dead"].startswith("dead completed only ")
    assert found.report["incumbent"]["status"] == found.candidate("good")["status"] == "complete"
    sequential = found.report["sequential"]
    assert sequential["asked"]["dead"] <= 8
    assert sequential["asked"]["good"] < 24


# --- A/A: an incumbent that samples -------------------------------------------------------------


def sampling(seed: int, n: int = 120, spread: tuple[float, float] = (0.2, 0.8)) -> Pair:
    """Two arms with the same chances of a right answer to each case, asked three times."""
    random = np.random.default_rng(seed)
    chances = random.uniform(*spread, (n, 1))
    old, new = (random.random((n, 3)) < chances for _ in range(2))
    return pair({"success": old}, {"success": new})


def judged_once(facts: Pair, margin: float) -> Gate:
    """The only gate, of an incumbent that samples."""
    return judge([gate("success", margin=margin)], facts, ALPHA)[0]


@pytest.mark.parametrize("seed", range(5))
def test_an_incumbent_that_samples_is_too_blunt_for_a_fine_margin(seed: int) -> None:
    found = judged_once(sampling(seed), 0.05)
    assert (found.status, found.cause) in [("open", "too_blunt"), ("open", "fails_itself")]
    assert "the instrument is too blunt" in found.reason
    verdict = verdict_of([found])
    assert verdict.status == "inconclusive"
    assert "the instrument is too blunt" in verdict.reasons[0]


def test_the_same_incumbent_decides_a_margin_that_it_can_resolve() -> None:
    found = [judged_once(sampling(seed), 0.25) for seed in range(5)]
    assert {each.status for each in found} == {"pass"}


def test_a_sampling_incumbent_that_fails_itself_decides_nothing() -> None:
    """It was updated between two of its three passes."""
    random = np.random.default_rng(3)
    old = random.random((200, 3)) < np.array([0.9, 0.3, 0.9])
    for new in (np.ones((200, 3)), np.zeros((200, 3)), old):
        found = judged_once(pair({"success": old}, {"success": new}), 0.2)
        assert (found.status, found.cause) == ("open", "fails_itself")
        assert verdict_of([found]).status == "inconclusive"


def test_three_repeats_are_held_against_each_other_in_turn() -> None:
    """The second against the first and the third, so that what drifts is on both sides."""
    old = np.zeros((100, 3))
    for repeat, right_ones in enumerate((90, 70, 50)):
        old[:right_ones, repeat] = 1
    noise = BY_NAME["success"].row(pair({"success": old}, {"success": old}).noise_pair())
    assert noise.estimate == pytest.approx(0.0)


@pytest.mark.parametrize("bound", [{"limit": 5.0}, {"margin": 1.0}])
def test_a_percentile_that_is_a_failed_request_is_said_to_be_one(bound: dict[str, float]) -> None:
    """A share of 6 % failed: more than what a p95 leaves out, and not surely too many."""
    times = np.ones((200, 2))
    late_ones = times.copy()
    late_ones[:12] = np.inf
    [found] = judged(pair({"total": times}, {"total": late_ones}), gate("total_p95", **bound))
    assert (found.status, found.cause) == ("open", "undecided")
    assert "is no time: 24 of 400 requests to new failed or came empty" in found.reason


# --- what an incumbent is like ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "margin", "incumbent", "said"),
    [
        ("refused", 0.5, 0.6, "the incumbent has 60 % refusals, so that a candidate with nothing"),
        ("refused", 0.3, 0.6, None),
        ("json_valid", 0.5, 0.4, "the incumbent reaches only 40 % "),
        ("length", 500, 1.0, None),
    ],
)
def test_an_incumbent_as_bad_as_can_be_lets_nobody_pass(
    measure: str, margin: float, incumbent: float, said: str | None
) -> None:
    column = (np.arange(200) / 200 < incumbent).astype(float)[:, np.newaxis].repeat(2, axis=1)
    [found] = judged(pair({measure: column}, {measure: column}), gate(measure, margin=margin))
    assert (found.cause == "vacuous") == (said is not None)
    assert said is None or found.reason.startswith(said)


def test_a_limit_asks_nothing_of_the_incumbent() -> None:
    bad, good = np.zeros((200, 2)), np.ones((200, 2))
    [found] = judged(pair({"json_valid": bad}, {"json_valid": good}), gate("json_valid", limit=0.9))
    assert found.status == "pass"


@pytest.mark.parametrize("measure", ["same_content", "chrf", "field_agreement"])
@pytest.mark.parametrize(("margin", "cause"), [(0.05, "too_blunt"), (0.2, None)])
def test_two_repeats_show_that_an_incumbent_does_not_agree_with_itself(
    measure: str, margin: float, cause: str | None
) -> None:
    """Each says the same of the other, so that both halves of A/A are the same numbers."""
    itself = (np.arange(200) % 2)[:, np.newaxis].repeat(2, axis=1).astype(float)
    [found] = judged(
        pair({measure: itself}, {measure: np.ones((200, 2))}), gate(measure, margin=margin)
    )
    assert found.cause == cause
