"""Verdicts on real models: repeatable, never against oneself, never for a model that is worse."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import exitdrill
from exitdrill.drill import Result

pytest.importorskip("torch", reason="needs exitdrill[local]")

CASES = 96
SAMPLED = 48


def tickets(count: int, **body: Any) -> exitdrill.CaseList:
    """The first tickets of the built-in workload, with other settings of their requests."""
    built_in = exitdrill.check(exitdrill.load("support_triage"))
    return exitdrill.CaseList(list(islice(_changed(built_in.workload, body), count)))


def _changed(workload: Any, body: dict[str, Any]) -> Iterator[exitdrill.Case]:
    for case in workload:
        request = exitdrill.Request("chat", {**case.request.body, **body})
        yield exitdrill.Case(case.id, request, checker=case.checker, expected=case.expected)


def drill(folder: Path, workload: exitdrill.CaseList, margin: float, **candidates: str) -> Result:
    """The incumbent's own weights in process, drilled against others (by the built-in names)."""
    built_in = exitdrill.load("support_triage")
    backends = {name: built_in.backends[spec] for name, spec in candidates.items()}
    made = built_in.model_copy(
        update={
            "incumbent": "vendor",
            "candidates": list(candidates),
            "backends": {"vendor": built_in.backends["self_hosted"], **backends},
            "workload": workload,
            "gates": [exitdrill.GateSpec(measure="success", margin=margin)],
            "app": None,
            "swap": {},
            "replay": exitdrill.ReplaySpec(block=48),
        }
    )
    return exitdrill.run(made, out=folder)


def by_name(result: Result) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in result.report["candidates"]}


def row(candidate: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in candidate["drift"] if each["name"] == name)


def test_the_same_drill_twice_says_the_same(tmp_path: Path) -> None:
    """And of the own weights never "not ready", of the weak model never "ready"."""
    workload = tickets(CASES)
    both = [
        by_name(drill(tmp_path / name, workload, 0.07, itself="self_hosted", weak="small"))
        for name in ("first", "second")
    ]
    for found in both:
        assert found["itself"]["verdict"]["status"] == "ready"
        assert found["weak"]["verdict"]["status"] != "ready"
    first, second = both
    for name in first:
        assert first[name]["gates"][0]["interval"] == second[name]["gates"][0]["interval"]
    # Greedy decoding on an idle machine has no noise.
    assert row(first["itself"], "same_content")["noise"] == 0
    assert row(first["itself"], "excess_drift")["estimate"] == 0
    assert row(first["weak"], "excess_drift")["interval"][0] > 0.1


def test_an_incumbent_that_samples_is_measured_against_itself_first(tmp_path: Path) -> None:
    workload = tickets(SAMPLED, temperature=1.5)
    result = drill(tmp_path / "drill", workload, 0.05, itself="self_hosted")
    assert result.report["registered"]["repeats"] == {"vendor": 3, "itself": 3}
    itself = by_name(result)["itself"]
    agreement = row(itself, "same_content")
    assert agreement["noise"] > 0.02  # it does not always say the same
    assert agreement["candidate"] == pytest.approx(1 - agreement["noise"], abs=0.15)
    (gate,) = itself["gates"]
    assert (gate["status"], gate["cause"]) == ("open", "too_blunt")
    assert "instrument is too blunt" in gate["reason"]
    assert result.verdict == "inconclusive"
    # What differs is the noise of both, and no more. Three times as wide, for the answers are drawn
    # anew in each run, and one interval in ten does not hold the truth.
    low, high = row(itself, "excess_drift")["interval"]
    assert abs(low + high) / 2 < 3 * (high - low) / 2
