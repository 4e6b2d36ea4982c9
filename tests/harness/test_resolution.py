"""What a plan says that its gates can tell apart, beside what the verdict then does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.harness.facts_of import pair, successes
from tests.harness.test_verdict import gate, judged

from exitdrill.measures import BY_NAME, MEASURES, NOT_SEQUENTIAL, gate_problem
from exitdrill.measures.base import Looks, Pair
from exitdrill.resolution import cases_that_resolve, resolution_warnings, resolutions
from exitdrill.scenario import GateSpec
from exitdrill.stats.power import Betting, fewest_of, paired_settles, share_settles

SHARES = [
    measure.name
    for measure in MEASURES
    if measure.unit == "share" and not measure.never and not measure.rival
]
BLOCK = 32


def plan(gates: list[dict[str, Any]], cases: int = 100, **more: Any) -> dict[str, Any]:
    """As much of a plan as its gates' resolution takes."""
    return {
        "gates": gates,
        "mode": "fixed",
        "alpha_per_candidate": 0.05,
        "power": 0.8,
        "discordance": 0.1,
        "clusters": {"by": "session", "count": cases, "largest": 1, "effective": cases},
        "workload": {"asked": cases},
        "replay": {"block": BLOCK},
        **more,
    }


def alike(measure: str, n: int, sequential: bool = False) -> Pair:
    """An incumbent and a candidate that are as good as can be, in every one of n cases."""
    best = np.full((n, 2), 1.0 if BY_NAME[measure].better == "higher" else 0.0)
    columns = dict.fromkeys(BY_NAME[measure].columns, best) | {"answered": np.ones((n, 2))}
    columns |= {measure: best}
    return replace(pair(columns, columns), looks=Looks(BLOCK, 1, 0.1) if sequential else None)


@pytest.mark.parametrize("measure", SHARES)
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize("mode", ["fixed", "sequential"])
@pytest.mark.parametrize("kind", ["margin", "limit"])
def test_with_the_fewest_cases_a_gate_passes_and_with_one_less_it_does_not(
    measure: str, alpha: float, mode: str, kind: str
) -> None:
    if mode == "sequential" and measure in NOT_SEQUENTIAL:
        return
    higher = BY_NAME[measure].better == "higher"
    each = gate(measure, **{kind: 0.1 if kind == "margin" or not higher else 0.9})
    (found,) = resolutions(plan([each], alpha_per_candidate=alpha, mode=mode))
    for n, status in ((found.at_least - 1, "open"), (found.at_least, "pass")):
        (after,) = judged(alike(measure, n, mode == "sequential"), each, alpha=alpha)
        assert after.status == status, after.reason


@pytest.mark.parametrize("measure", [each.name for each in MEASURES])
@pytest.mark.parametrize("kind", ["margin", "limit"])
def test_a_plan_can_reckon_with_a_gate_on_any_measure(measure: str, kind: str) -> None:
    half = {kind: 0.5}
    if gate_problem(GateSpec.model_validate({"measure": measure, **half})) is None:
        (found,) = resolutions(plan([gate(measure, **half)]))
        assert 0 <= found.at_least <= 1_000
        assert found.never is None


@pytest.mark.parametrize(
    ("n", "hopeless", "better"),
    [
        (51, "cannot pass", "open"),
        (52, "cannot pass unless the candidate is better", "pass"),
        (59, None, "pass"),
    ],
)
def test_too_few_cases_may_do_for_a_candidate_that_is_better(
    n: int, hopeless: str | None, better: str
) -> None:
    """From 52 cases on the incumbent is known finely enough."""
    each = gate("success", margin=0.05)
    (found,) = resolutions(plan([each], n))
    assert found.hopeless == hopeless
    assert judged(successes(n, gained=n // 5), each)[0].status == better


def drawn(n: int, discordance: float, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """How each of n cases differs, of two arms that are truly equal."""
    half = discordance / 2
    found: npt.NDArray[np.int64] = chance.choice([-1, 0, 1], p=[half, 1 - 2 * half, half], size=n)
    return found


@pytest.mark.parametrize(
    ("n", "discordance", "mode", "size"),
    [
        (60, 0.1, "fixed", 1),
        (120, 0.1, "fixed", 1),
        (60, 0.1, "fixed", 3),
        (120, 0.1, "sequential", 1),
        (248, 0.1, "sequential", 1),
        (120, 0.2, "sequential", 3),
    ],
)
def test_the_smallest_effect_is_shown_with_the_registered_power(
    n: int, discordance: float, mode: str, size: int
) -> None:
    """Of n cases, or as many wholly alike clusters, by the verdict's own way."""
    clusters = {"by": "session", "count": n, "largest": size, "effective": n}
    document = plan(
        [gate("success", margin=0.5)],
        n * size,
        discordance=discordance,
        mode=mode,
        clusters=clusters,
    )
    (found,) = resolutions(document)
    assert found.smallest is not None
    chance, each = np.random.default_rng(n), gate("success", margin=found.smallest)
    looks = Looks(BLOCK // size, size, discordance) if mode == "sequential" else None
    labels = np.repeat(np.arange(n), size) if size > 1 else None
    passed = []
    for _ in range(120):
        kinds = np.repeat(drawn(n, discordance, chance), size)[:, np.newaxis]
        facts = pair({"success": np.tile(kinds != 1, 2)}, {"success": np.tile(kinds != -1, 2)})
        (after,) = judged(replace(facts, looks=looks, clusters=labels), each)
        passed.append(after.status == "pass")
    assert 0.7 < np.mean(passed) < 0.94


@pytest.mark.parametrize(("n", "discordance"), [(30, 0.001), (59, 0.01), (200, 0.001)])
@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_no_effect_is_promised_that_cannot_be_shown_at_all(
    n: int, discordance: float, mode: str
) -> None:
    document = plan([gate("success", margin=0.1)], n, discordance=discordance, mode=mode)
    (found,) = resolutions(document)
    assert found.smallest is not None
    assert found.smallest >= 1 - 0.05 ** (1 / n) - 1e-9
    looks = Looks(BLOCK, 1, discordance) if mode == "sequential" else None
    facts = replace(successes(n), looks=looks)
    assert judged(facts, gate("success", margin=found.smallest + 1e-6))[0].status == "pass"


@pytest.mark.parametrize(
    ("sizes", "mode", "cases"),
    [
        ([480] + [1] * 59, "fixed", 1),
        ([480] + [1] * 59, "sequential", 1),
        ([4] * 20, "fixed", 20),
        ([4] * 20, "sequential", 20),
        ([6, 2] * 10, "fixed", 16),
        ([6, 2] * 10, "sequential", 13),
    ],
)
def test_unequal_clusters_are_worth_less(sizes: list[int], mode: str, cases: int) -> None:
    """Judged once, n² / Σm²; of bets, as many as there would be if all were as large as one."""
    n, squares = sum(sizes), sum(size**2 for size in sizes)
    clusters = {"count": len(sizes), "largest": max(sizes), "effective": n * n // squares}
    document = plan([gate("success", margin=0.05)], n, mode=mode, clusters=clusters)
    (found,) = resolutions(document)
    assert found.cases == cases
    (warning,) = resolution_warnings(document)
    there = "there is 1" if cases == 1 else f"there are {cases}"
    assert f"independent clusters at the least, and {there}" in warning


@pytest.mark.parametrize("mode", ["fixed", "sequential"])
@pytest.mark.parametrize(
    ("each", "said"),
    [
        (gate("success", margin=0), "no number of cases shows a margin of nothing"),
        (gate("success", limit=1), "no number of cases shows a limit of 100 %"),
        (gate("refused", limit=0), "no number of cases shows a limit of 0 %"),
    ],
)
def test_what_no_number_of_cases_shows_is_said_in_words(
    each: dict[str, Any], said: str, mode: str
) -> None:
    document = plan([each], mode=mode)
    (found,) = resolutions(document)
    assert found.never == said
    assert cases_that_resolve(found, document) is None
    assert list(resolution_warnings(document)) == [
        f"the gate {each['measure']!r} cannot pass: {said}"
    ]


@pytest.mark.parametrize("margin", [1, 1.5, 1e-9])
@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_a_margin_that_makes_no_sense_is_reckoned_with_all_the_same(
    margin: float, mode: str
) -> None:
    document = plan([gate("success", margin=margin)], mode=mode)
    (found,) = resolutions(document)
    needed = cases_that_resolve(found, document)
    assert needed is None or needed >= 1
    assert "9,223" not in " ".join(resolution_warnings(document))


@pytest.mark.parametrize(("share", "limit", "fewest"), [(1.0, 0.95, 59), (1.0, 0.99, 299)])
def test_a_share_that_is_always_right_takes_what_is_rare(
    share: float, limit: float, fewest: int
) -> None:
    found = fewest_of(lambda n: share_settles(n, share, limit, 0.05, 0.8), 1, 10_000)
    assert found == fewest


def test_the_exact_power_is_that_of_all_outcomes() -> None:
    """Of 59 cases, none of which differs: (1 − .05)^59 < 5 %, and one that does is too many."""
    settled = [paired_settles(59, 0.0, lost, -0.05, 0.05, 0.8) for lost in (0.0, 0.003, 0.005)]
    assert settled == [True, True, False]  # .997^59 = 84 %, .995^59 = 74 %
    assert not paired_settles(58, 0.0, 0.0, -0.05, 0.05, 0.8)


def test_bets_that_cannot_win_are_told() -> None:
    losing = Betting((-1.0, 0.0, 1.0), (0.3, 0.7, 0.0), -0.05, 0.05, 0.4)
    assert losing.cases(0.8, 32, 10_000) is None
    sure = Betting((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0), -0.05, 0.05, 0.475)
    assert sure.cases(0.8, 32, 10_000) == 94
    assert (sure.power(92), sure.power(94)) == (0, 1)
