"""What a plan rests on: how answers are drawn, what belongs together, what can be told apart."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from tests.harness.drills import Log, cases, request, scenario

from exitdrill.backend import Adapter, BackendConfig, Request
from exitdrill.census import MOST_SETTINGS, Census, samples, shuffled, take_census
from exitdrill.drill import run
from exitdrill.drillable import check
from exitdrill.errors import ScenarioError
from exitdrill.plan import Plan, make_plan, most, most_of, places
from exitdrill.resolution import Resolution, resolution_warnings, resolutions
from exitdrill.scenario import BackendSpec, GateSpec, PriceSpec
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer, ScriptedBackend

NOTHING: dict[str, Any] = {}


class Silent(ScriptedBackend):
    """A backend that does not say whether it draws."""

    @property
    def samples(self) -> bool:  # type: ignore[override]  # as if it were not there
        """There is no such thing."""
        raise AttributeError("samples")


class Drawing(ScriptedBackend):
    """A backend that says that it draws."""

    samples = True


def silent(config: BackendConfig) -> ScriptedBackend:
    """An adapter of the former."""
    return Silent(config, lambda _: Answer())


def drawing(config: BackendConfig) -> ScriptedBackend:
    """An adapter of the latter."""
    return Drawing(config, lambda _: Answer())


def adapters() -> dict[str, Adapter]:
    """One that answers greedily, one that draws, one that does not say."""
    return {"greedy": Log().adapter(), "drawing": drawing, "silent": silent}


def asking(*bodies: dict[str, Any], **meta: Any) -> CaseList:
    """Cases whose requests say these things besides."""
    return CaseList(
        [
            replace(case, request=request(number, **body), **meta)
            for number, (case, body) in enumerate(zip(cases(len(bodies)), bodies, strict=True))
        ]
    )


def planned(workload: CaseList | int, replay: Any = None, **more: Any) -> Plan:
    """A plan for two arms that answer greedily; ``more`` goes to the scenario."""
    arms = {"old": Log().adapter(), "new": Log().adapter()}
    return make_plan(check(scenario(workload, replay, **arms).model_copy(update=more)))


# --- how often ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "repeats"),
    [
        (NOTHING, {"greedy": 2, "drawing": 3, "silent": 3}),
        ({"temperature": None}, {"greedy": 2, "drawing": 3, "silent": 3}),
        ({"temperature": 0}, {"greedy": 2, "drawing": 2, "silent": 2}),
        ({"temperature": 0.0}, {"greedy": 2, "drawing": 2, "silent": 2}),
        ({"temperature": 0.2}, {"greedy": 3, "drawing": 3, "silent": 3}),
        ({"temperature": 1}, {"greedy": 3, "drawing": 3, "silent": 3}),
    ],
)
def test_repeats_by_how_answers_are_drawn(body: dict[str, Any], repeats: dict[str, int]) -> None:
    """One request that is drawn suffices."""
    workload = asking({"temperature": 0}, body, {"temperature": 0})
    plan = make_plan(check(scenario(workload, **adapters())))
    assert plan.document["replay"]["repeats"] == repeats
    assert plan.document["calls"] == 3 * sum(repeats.values())
    assert [plan.trials_of(arm) for arm in plan.arms] == [3 * repeats[arm] for arm in plan.arms]


def test_repeats_that_were_written_come_first() -> None:
    spec = BackendSpec(adapter=silent, model="m", repeats=7)
    arms = adapters() | {"silent": spec}
    plan = make_plan(check(scenario(2, {"repeats": 5}, **arms)))
    assert plan.document["replay"]["repeats"] == {"greedy": 5, "drawing": 5, "silent": 7}


def test_an_embedding_is_not_drawn() -> None:
    backend = silent(BackendConfig(name="x", adapter="scripted", model="m"))
    assert not samples(backend, Request("embedding", {"input": "a", "temperature": 1.0}))
    assert samples(backend, Request("completion", {"prompt": "a"}))


def test_a_drill_asks_each_arm_as_often_as_its_repeats(tmp_path: Path) -> None:
    log = Log()
    often = BackendSpec(adapter=log.adapter(), model="m", repeats=4)
    result = run(scenario(8, old=log.adapter(), new=often), out=tmp_path / "drill")
    assert result.completed
    assert Counter(log.users("old")) == {f"q{n}": 2 for n in range(8)}
    assert Counter(log.users("new")) == {f"q{n}": 4 for n in range(8)}
    assert result.report["registered"]["repeats"] == {"old": 2, "new": 4}


def test_passes_with_unlike_repeats() -> None:
    """Each arm has its turns, in an order that turns around; who is done is left out."""
    arms = {
        name: BackendSpec(adapter=Log().adapter(), model="m", repeats=repeats)
        for name, repeats in {"a": 2, "b": 5, "c": 3}.items()
    }
    plan = make_plan(check(scenario(7, {"block": 3}, **arms)))
    passes = list(plan.passes())
    trials = Counter(
        (turn.arm, turn.repeat, n) for turn in passes for n in range(turn.first, turn.last)
    )
    assert set(trials.values()) == {1}
    assert set(trials) == {
        (arm, repeat, n)
        for arm, spec in arms.items()
        for repeat in range(spec.repeats or 0)
        for n in range(7)
    }
    assert len(trials) == sum(plan.trials_of(arm) for arm in plan.arms)
    for _, turns in groupby(passes, key=lambda turn: turn.block):
        orders = [[t.arm for t in same] for _, same in groupby(turns, key=lambda t: t.repeat)]
        for number, order in enumerate(orders):
            whole = orders[0] if number % 2 == 0 else orders[0][::-1]
            assert order == [arm for arm in whole if number < (arms[arm].repeats or 0)]


# --- what is asked --------------------------------------------------------------------------------


def test_sampling_settings_are_in_the_plan() -> None:
    workload = asking(
        {"temperature": 0}, {"temperature": 0.5, "seed": 1, "top_p": 0.9}, {"temperature": 0}, {}
    )
    assert planned(workload).document["workload"]["sampling"] == [
        {"settings": {"temperature": 0}, "cases": 2},
        {"settings": {"seed": 1, "temperature": 0.5, "top_p": 0.9}, "cases": 1},
        {"settings": {}, "cases": 1},
    ]


def test_rare_settings_are_counted() -> None:
    workload = asking(*({"seed": n // 2} for n in range(2 * MOST_SETTINGS + 10)))
    rows = planned(workload).document["workload"]["sampling"]
    assert len(rows) == MOST_SETTINGS + 1
    assert rows[-1] == {"settings": None, "cases": 10}


def test_a_limit_bounds_all_that_is_counted() -> None:
    """Behind the limit there are drawn answers, a session, cases that nobody can check."""
    some = list(asking(*({"temperature": 0} for _ in range(4))))
    some += [
        replace(case, checker=None, expected=None, session="s", turn=n)
        for n, case in enumerate(asking({"temperature": 1}, {"temperature": 1}))
    ]
    some = [replace(case, id=f"c{n}") for n, case in enumerate(some)]
    price = PriceSpec(
        currency="EUR", input_per_million=0, output_per_million=1e6,
        date="2026-11-01", source="a list",  # type: ignore[arg-type]  # is parsed
    )  # fmt: skip
    paid = BackendSpec(adapter=Log().adapter(), model="m", price=price)
    drillable = check(scenario(CaseList(some), {"warmup": 3}, old=Log().adapter(), new=paid))
    few, whole = take_census(drillable, 4), take_census(drillable)
    assert (few.asked, few.unjudged, whole.asked, whole.unjudged) == (4, 0, 6, 2)
    assert (few.samples, whole.samples) == (
        {"old": False, "new": False},
        {"old": True, "new": True},
    )
    assert [len(census.labels) for census in (few, whole)] == [4, 6]
    assert (few.clusters.by, whole.clusters.by) == ("request", "session")
    assert [census.once["new"].calls for census in (few, whole)] == [4, 6]
    assert few.warm["new"].calls == 3
    plan = make_plan(drillable, 4)
    assert plan.document["largest_n"] == 4
    assert most_of(plan, "new").money == pytest.approx((2 * 4 + 3) * 20)
    assert most_of(plan, "old").money == 0
    assert most(plan).calls == plan.document["calls"] == 2 * (2 * 4 + 3)


# --- what belongs together ------------------------------------------------------------------------


def together(census: Census) -> list[list[int]]:
    """The cases of each cluster, first come first."""
    found: dict[int, list[int]] = {}
    for number, label in enumerate(census.labels):
        found.setdefault(label, []).append(number)
    return list(found.values())


def mixed() -> list[Case]:
    """Six cases: two sessions and two alone; equal requests; tags."""
    asked = [0, 1, 0, 2, 3, 0]
    sessions = ["a", None, "b", "a", None, "b"]
    tags = [("template:x", "z"), (), ("template:y",), ("z", "template:x"), ("templates:x",), ()]
    return [
        replace(
            case,
            request=request(asked[n]),
            session=sessions[n],
            turn=None if sessions[n] is None else n,
            tags=tags[n],
        )
        for n, case in enumerate(cases(6))
    ]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (None, [[0, 3], [1], [2, 5], [4]]),
        ("session", [[0, 3], [1], [2, 5], [4]]),
        ("request", [[0, 2, 5], [1], [3], [4]]),
        ("tag:template", [[0, 3], [1], [2], [4], [5]]),
    ],
)
def test_clusters(by: str | None, expected: list[list[int]]) -> None:
    plan = planned(CaseList(mixed()), clusters=by)
    assert plan.census is not None
    assert together(plan.census) == expected
    assert plan.document["clusters"] == {
        "by": by or "session",
        "count": len(expected),
        "largest": max(map(len, expected)),
        "effective": -(-36 // sum(len(each) ** 2 for each in expected)),
    }


@pytest.mark.parametrize("by", ["tag:nothing", "tag:templ"])
def test_clusters_that_no_case_is_in_are_a_mistake(by: str) -> None:
    """A slip of the pen must not turn the protection off."""
    with pytest.raises(ScenarioError, match="no case has a tag that begins with"):
        planned(CaseList(mixed()), clusters=by)
    alone = [replace(case, session=None, turn=None) for case in mixed()]
    with pytest.raises(ScenarioError, match="no case has a session"):
        planned(CaseList(alone), clusters="session")


def test_cases_without_a_cluster_or_with_several_are_named() -> None:
    some = [replace(case, tags=("t:a", "t:b") if n else ()) for n, case in enumerate(mixed())]
    plan = planned(CaseList(some), clusters="tag:t")
    assert plan.census is not None
    assert (plan.census.alone, plan.census.several) == (1, 5)
    assert plan.document["clusters"]["count"] == 2


def test_without_sessions_equal_requests_belong_together() -> None:
    alone = [replace(case, session=None, turn=None) for case in mixed()]
    plan = planned(CaseList(alone))
    assert plan.document["clusters"] == {
        "by": "request",
        "count": 4,
        "largest": 3,
        "effective": 3,
    }


@pytest.mark.parametrize(
    "labels",
    [[0], list(range(50)), [0] * 9, [n // 3 for n in range(60)], [n % 7 for n in range(60)]],
    ids=["one", "alone", "all", "in a row", "scattered"],
)
def test_shuffled_places_keep_clusters_together(labels: list[int]) -> None:
    found = list(shuffled(labels, 5))
    assert sorted(found) == list(range(len(labels))), "a permutation"
    order: list[int] = sorted(range(len(labels)), key=found.__getitem__)
    runs = [label for label, _ in groupby(labels[case] for case in order)]
    assert len(runs) == len(set(labels)), "a cluster is asked in one go"
    for label in set(labels):
        of_one = [case for case in order if labels[case] == label]
        assert of_one == sorted(of_one), "in the order in which its cases came"
    assert found == list(shuffled(labels, 5))
    if len(set(labels)) > 10:
        assert found != list(shuffled(labels, 6))
        assert found != sorted(found)


def test_only_who_looks_early_shuffles() -> None:
    drillable = check(scenario(40, old=Log().adapter(), new=Log().adapter()))
    assert places(make_plan(drillable)) is None
    found = places(make_plan(drillable, sequential=True))
    assert found is not None
    assert sorted(found) == list(range(40))


# --- what can be told apart -----------------------------------------------------------------------


def resolved(count: int, *gates: GateSpec, **more: Any) -> list[Resolution]:
    """What the gates of a drill of so many cases can tell apart."""
    plan = planned(count).document
    listed = [gate.model_dump(mode="json") | {"name": gate.title} for gate in gates]
    return resolutions({**plan, "gates": listed, **more})


def right(margin: float) -> GateSpec:
    """A gate on right answers."""
    return GateSpec(measure="success", margin=margin)


def test_the_smallest_effect_at_ten_per_cent_discordance() -> None:
    """265 cases resolve five points with a power of 80 % at 5 %; 264 do not. By the formula, which
    is an approximation, it is 248."""
    (enough,), (few,) = resolved(265, right(0.05)), resolved(264, right(0.05))
    assert enough.smallest is not None
    assert few.smallest is not None
    assert few.smallest > 0.05 >= enough.smallest > 0.0497
    assert not list(resolution_warnings(planned(265, gates=[right(0.05)]).document))
    (warning,) = resolution_warnings(planned(264, gates=[right(0.05)]).document)
    assert "its margin of 5 points is finer than what 264 cases resolve" in warning


@pytest.mark.parametrize("alpha", [0.05, 0.025])
@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1, 0.5])
def test_the_fewest_cases(margin: float, alpha: float) -> None:
    """Of fewer than z²·(1 − Δ)/Δ, Tango's interval holds the margin even where none differs."""
    z = NormalDist().inv_cdf(1 - alpha)
    (gate,) = resolved(10, right(margin), alpha_per_candidate=alpha)
    assert gate.at_least > z * z * (1 - margin) / margin
    assert gate.sampled


@pytest.mark.parametrize("margin", [0.1, 0.2, 0.5])
def test_with_fewer_cases_than_it_takes_a_gate_does_not_pass(margin: float, tmp_path: Path) -> None:
    (gate,) = resolved(10, right(margin))
    arms = {"old": Log().adapter(), "new": Log().adapter()}
    few = scenario(gate.at_least - 1, **arms)
    assert (
        run(few.model_copy(update={"gates": [right(margin)]}), out=tmp_path / "few").verdict
        == "inconclusive"
    )


@pytest.mark.parametrize(
    ("gate", "at_least"),
    [
        (GateSpec(measure="total_p95", limit=1), 59),  # 0.95^59 < 5 %
        (GateSpec(measure="total_p95", margin=1), 72),  # two arms, at 2.5 % each
        (GateSpec(measure="lines", limit=1), 0),
        (GateSpec(measure="cost_per_1000", limit=1), 0),
        (GateSpec(measure="success", limit=0.9), 29),  # 0.9^29 < 5 %
        (GateSpec(measure="length", margin=10), 2),
    ],
    ids=lambda value: value.measure if isinstance(value, GateSpec) else None,
)
def test_the_fewest_cases_of_other_gates(gate: GateSpec, at_least: int) -> None:
    (found,) = resolved(30, gate)
    assert (found.at_least, found.sampled) == (at_least, at_least > 0)
    assert found.smallest is None
    assert (found.cases, found.margin, found.limit) == (30, gate.margin, gate.limit)


def test_clusters_are_what_counts() -> None:
    workload = CaseList([replace(c, session=f"s{n // 4}", turn=n) for n, c in enumerate(cases(40))])
    plan = planned(workload, gates=[right(0.1)])
    (found,) = resolutions(plan.document)
    assert found.cases == 10
    (warning,) = resolution_warnings(plan.document)
    assert "it takes 29 independent clusters at the least, and there are 10" in warning


def test_a_margin_of_nothing_is_never_shown() -> None:
    (found,) = resolved(1000, right(0.0))
    assert found.at_least > 10**9
    assert math.isfinite(found.smallest or math.inf)
