"""Changes counted over a drill: groups, their order, the noise, bounds; and in report.json."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness.test_drift import ENGLISH
from tests.harness.test_results import Drilled, cases, drill, number_of, right

from exitdrill.backend import Request
from exitdrill.measures.changes import Change
from exitdrill.measures.groups import (
    EXAMPLES,
    MOST_GROUPS,
    MOST_SHOWN,
    MOST_VALUES,
    VALUES,
    ArmChanges,
    Frequent,
    Tally,
)
from exitdrill.scenario import GateSpec, ReplaySpec
from exitdrill_adapters.scripted import Answer, scripted

Json = dict[str, Any]
Say = Callable[[Request], Answer | str]
UNKNOWN = (float("nan"), float("nan"))


def changed(where: str, before: str = "1", after: str = "2") -> Change:
    """Another value somewhere."""
    return Change("field_changed", f"{where}: another value", f"/{where}", before, after)


# --- the counting -------------------------------------------------------------------------------


def test_groups_stand_in_the_order_of_their_frequency() -> None:
    arm = ArmChanges()
    form = Change("code_fence", "JSON in a code fence", form=True)
    for number in range(10):
        found = [changed("a")] if number < 3 else [changed("b"), form]
        arm.see(found, UNKNOWN, (f"c{number}", 0))
    counted = [(key[2].partition(":")[0], group.count) for key, group in arm.groups()]
    # Of equally frequent ones content comes before form.
    assert counted == [("b", 7), ("JSON in a code fence", 7), ("a", 3)]
    assert arm.compared == 10


def test_a_group_counts_what_was_lost_and_gained_with_examples_and_values() -> None:
    arm = ArmChanges()
    for number, success in enumerate([(1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), UNKNOWN]):
        arm.see([changed("a", "1", str(number % 2))], success, (f"c{number}", 1))
    ((_, group),) = arm.groups()
    assert group.count == len(group.answers) == 5
    assert (group.answers.shared(arm.lost), group.answers.shared(arm.gained)) == (2, 1)
    assert group.examples == [
        {"case": "c0", "repeat": 1, "incumbent": "1", "candidate": "0"},
        {"case": "c1", "repeat": 1, "incumbent": "1", "candidate": "1"},
    ]
    assert group.values.most() == {("1", "0"): 3, ("1", "1"): 2}


def test_hostile_keys_cost_bounded_memory_and_do_not_hide_what_is_frequent() -> None:
    arm = ArmChanges()
    tracemalloc.start()
    for number in range(30_000):
        hostile = [changed(f"{number}-{n}" + "x" * 200, "y" * 60, "z" * 60) for n in range(3)]
        arm.see([changed("a"), *hostile], UNKNOWN, ("c" * 1_000, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    groups = arm.groups()
    assert len(groups) <= MOST_GROUPS + 1
    (first, a), (second, elsewhere) = [(key[2], group.count) for key, group in groups[:2]]
    assert (first, second, a) == ("a: another value", "field changed: elsewhere", 30_000)
    assert 29_000 < elsewhere < 30_000  # answers, however many keys each of them has
    assert all(len(group.examples) <= EXAMPLES for _, group in groups)
    assert arm.often(("field_changed", "/a", "a: another value", False)) == 30_000
    assert arm.often(("field_changed", "/new", "new: another value", False)) is None  # who knows
    assert arm.often(("wording", None, "another wording", False)) == 0


def test_what_becomes_frequent_late_is_found() -> None:
    arm = ArmChanges()
    for number in range(5_000):
        arm.see([changed(f"k{number}")], UNKNOWN, ("c", 0))
    for _ in range(5_000):
        arm.see([changed("late")], UNKNOWN, ("c", 0))
    assert arm.groups()[0][0][1] == "/late"


def test_the_values_of_a_group_are_bounded() -> None:
    arm = ArmChanges()
    for number in range(1_000):
        arm.see([changed("a", str(number), "x")], UNKNOWN, ("c", 0))
        arm.see([changed("a", "1", "x" * 61)], UNKNOWN, ("c", 0))
    ((_, group),) = arm.groups()
    assert (group.count, len(group.values.most())) == (2_000, MOST_VALUES)


def test_the_most_frequent_values_are_told_whenever_they_come() -> None:
    """Of 20 seen twice, then 200 of one and 90 of another among a hundred more seen once."""
    values = Frequent()
    for number in range(MOST_VALUES):
        values.add((f"w{number}", f"v{number}"))
        values.add((f"w{number}", f"v{number}"))
    for number in range(100):
        values.add(("yes", "no"))
        values.add((f"{number}", "x"))
        values.add(("yes", "no"))
        if number >= 10:
            values.add(("so", "so"))
    (first, yes), (second, so) = values.most().most_common(2)
    assert (first, second) == (("yes", "no"), ("so", "so"))
    assert 190 <= yes <= 200  # at least
    assert 50 <= so <= 90
    assert not values.exact(first)
    few = Frequent()
    few.add(("a", "b"))
    assert (few.most(), few.exact(("a", "b"))) == ({("a", "b"): 1}, True)


@pytest.mark.parametrize(("own", "noise"), [(20, 60), (0, 0)])
def test_what_lies_elsewhere_is_counted_and_has_its_noise(
    own: int, noise: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty answers with twenty keys each that come once; a third of the incumbent's has three."""
    monkeypatch.setattr("exitdrill.measures.groups.MOST_GROUPS", 50)
    tally = Tally("old", {"old": 2, "new": 2})
    for number in range(60):
        strange = [changed(f"{number}-{n}") for n in range(20)]
        tally.arms["new"].see([changed("a"), *strange], (1.0, 0.0), (f"c{number}", 0))
        if number < 20:
            mine = [changed(f"own{number}-{n}") for n in range(3)] if number < own else []
            tally.arms["old"].see([changed("a"), *mine], UNKNOWN, (f"c{number}", 0))
    groups = {each["label"]: each for each in tally.report("new")["groups"]}
    assert groups["a: another value"]["noise"] == 60
    elsewhere = groups["field changed: elsewhere"]
    assert elsewhere["count"] == elsewhere["lost"]
    assert 55 <= elsewhere["count"] <= 60
    assert (elsewhere["gained"], elsewhere["noise"]) == (0, noise)


# --- in a drill ---------------------------------------------------------------------------------


def document(priority: str, **more: Any) -> str:
    """A small JSON answer."""
    return json.dumps({"priority": priority, **more})


def saying(texts: Callable[[int], str]) -> Say:
    """A text by the number of the case."""
    return lambda request: texts(number_of(request))


def drilled(folder: Path, old: Say, new: Say, count: int = 20, **more: Any) -> Drilled:
    """A drill of two backends without a warm-up: each case is asked twice."""
    replay = ReplaySpec(attempts=1, warmup=0)
    return drill(folder, count, old=scripted(old), new=scripted(new), replay=replay, **more)


def groups_of(found: Drilled) -> list[Json]:
    """What changed with the candidate."""
    groups: list[Json] = found.candidate("new")["changes"]["groups"]
    return groups


def test_what_changed_stands_in_the_report(tmp_path: Path) -> None:
    """Of 20 cases, asked twice: 10 have another priority, 5 a code fence, 1 is refused."""

    def new(number: int) -> str:
        if number == 19:
            return "I'm sorry, but I can't help with that."
        text = document("low" if number % 2 else "high")
        return f"```json\n{text}\n```" if number % 4 == 0 else text

    found = drilled(tmp_path / "d", saying(lambda _: document("high")), saying(new))
    changes = found.candidate("new")["changes"]
    assert (changes["compared"], changes["self_compared"], changes["left_out"]) == (40, 40, 0)
    told = {each["label"]: each for each in changes["groups"]}
    assert {label: each["count"] for label, each in told.items()} == {
        "priority: another value": 18,
        "JSON in a code fence": 10,
        "a refusal": 2,
        "no JSON": 2,
    }
    counts = [each["count"] for each in changes["groups"]]
    assert counts == sorted(counts, reverse=True)
    first = changes["groups"][0]
    assert first | {"examples": []} == {
        "kind": "field_changed",
        "where": "/priority",
        "label": "priority: another value",
        "form": False,
        "count": 18,
        "noise": 0,
        "lost": 0,
        "gained": 0,
        "examples": [],
        "values": [{"incumbent": '"high"', "candidate": '"low"', "count": 18}],
    }
    assert [each["case"] for each in first["examples"]] == ["c1", "c1"]
    assert told["JSON in a code fence"]["form"] is True
    rows = {(each["case"], each["arm"]): each["changes"] for each in found.rows}
    (change,) = rows["c1", "new"]
    assert change == {"kind": "field_changed", "where": "/priority", "form": False} | {
        "label": "priority: another value"
    }
    (change,) = rows["c4", "new"]
    assert (change["kind"], change["where"], change["form"]) == ("code_fence", None, True)
    assert rows["c1", "old"] == rows["c2", "new"] == []


def test_lost_and_gained_are_of_the_pairs_of_answers(tmp_path: Path) -> None:
    """Right are both in 10 cases, the incumbent alone in 6, the candidate alone in 4."""

    def text(wrong: Callable[[int], bool]) -> Say:
        return saying(lambda number: "no" if wrong(number) else f"a{number}")

    found = drilled(tmp_path / "d", text(lambda n: n < 4), text(lambda n: n >= 14))
    (group,) = groups_of(found)
    assert (group["kind"], group["count"]) == ("wording", 20)
    assert (group["lost"], group["gained"]) == (12, 8)


def test_a_sampling_incumbent_shows_its_noise(tmp_path: Path) -> None:
    """Its priority differs between the repeats of every second case; so does the candidate's from
    the one or the other. A code fence is the candidate's alone."""
    turns: Counter[int] = Counter()

    def moody(number: int) -> str:
        turns[number] += 1
        return document("low" if number % 2 and turns[number] % 2 else "high")

    def fenced(number: int) -> str:
        return f"```\n{document('high')}\n```"

    found = drilled(tmp_path / "d", saying(moody), saying(fenced))
    told = {each["label"]: each for each in groups_of(found)}
    priority, fence = told["priority: another value"], told["JSON in a code fence"]
    assert (priority["count"], priority["noise"]) == (10, 20)
    assert (fence["count"], fence["noise"]) == (40, 0)


@pytest.mark.parametrize("said", ["Ja.", "", '{"a": "so"}'])
def test_a_language_that_is_not_known_passes_no_gate(said: str, tmp_path: Path) -> None:
    gates = [GateSpec(measure="same_language", margin=0.2)]
    found = drilled(tmp_path / "d", saying(lambda _: ENGLISH), saying(lambda _: said), gates=gates)
    (gate,) = found.candidate("new")["gates"]
    assert (gate["status"], gate["n"]) == ("open", 0)


def test_errors_are_changes_unless_both_fail(tmp_path: Path) -> None:
    def failing(step: int) -> Say:
        def say(request: Request) -> Answer:
            if number_of(request) % step:
                return right(request)
            return Answer.model_validate({"error": {"kind": "content_filter", "message": "no"}})

        return say

    found = drilled(tmp_path / "d", failing(10), failing(5))
    (group,) = groups_of(found)
    assert (group["kind"], group["label"]) == ("error", "no answer: content filter")
    assert (group["count"], group["lost"]) == (4, 4)
    assert found.candidate("new")["changes"]["compared"] == 36


def test_no_answer_to_compare_with_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: Request) -> Answer:
        return Answer.model_validate({"error": {"kind": "content_filter", "message": "no"}})

    found = drilled(tmp_path / "d", broken, right, 3)
    assert found.candidate("new")["changes"] == {
        "compared": 0,
        "self_compared": 0,
        "groups": [],
        "left_out": 0,
    }
    assert all(each["changes"] == [] for each in found.rows)


def test_the_report_shows_some_groups_and_says_how_many_more(tmp_path: Path) -> None:
    def new(number: int) -> str:
        return json.dumps({f"k{number}-{n}": n for n in range(5)} | {"priority": "high"})

    found = drilled(tmp_path / "d", saying(lambda _: document("high")), saying(new), 10)
    changes = found.candidate("new")["changes"]
    assert (len(changes["groups"]), changes["left_out"]) == (MOST_SHOWN, 50 - MOST_SHOWN)
    assert all(len(each["values"]) <= VALUES for each in changes["groups"])


def test_the_selection_shows_every_frequent_change(tmp_path: Path) -> None:
    """Of 300 cases the first 200 have another white space only, then come 90 of another priority
    and 10 of another kind: among the few that are shown are all three, content first."""

    def new(number: int) -> str:
        if number < 200:
            return document("high", kind="a").replace(" ", "  ")
        return document("low", kind="a") if number < 290 else document("high", kind="b")

    old = saying(lambda _: document("high", kind="a"))
    workload = cases(300, checker=None, expected=None)
    found = drilled(tmp_path / "d", old, saying(new), workload=workload)
    shown = found.report["selection"]["shown"]
    numbers = [int(each["case"][1:]) for each in shown]
    assert numbers[:6] == [200, 290, 201, 291, 202, 292]
    assert numbers[6] == 0
    assert len(shown) == 40
    assert found.report["selection"]["left_out"] == 260


@pytest.mark.parametrize("name", ["incumbent", "candidate"])
def test_the_drills_own_delay_stands_beside_each_arm(tmp_path: Path, name: str) -> None:
    found = drilled(tmp_path / "d", right, right, 3)
    arm = found.report["incumbent"] if name == "incumbent" else found.candidate("new")
    delay = arm["delay"]
    if delay is None:  # so quick that no look at the clock was due
        return
    assert delay["n"] > 0
    assert 0 <= delay["p50"] <= delay["p95"] <= delay["p99"]


def test_distributions_and_volume_stand_beside_each_candidate(tmp_path: Path) -> None:
    found = drilled(tmp_path / "d", right, right, 3)
    candidate = found.candidate("new")
    drawn = {each["name"]: each for each in candidate["distributions"]}
    assert len(drawn["total"]["incumbent"]) == len(drawn["total"]["candidate"]) == 101
    assert candidate["volume"] is None  # there is no price
