"""The plan: what will be asked of whom, how often, with which gates. Fixed before the first call.

``plan_sha256`` is the hash of the bytes of ``plan.json``, so that anyone can check it with
``sha256sum``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exitdrill
from exitdrill.budget import worst_case
from exitdrill.drillable import Drillable
from exitdrill.errors import JournalError
from exitdrill.files import replacing
from exitdrill.measures import BY_NAME
from exitdrill.records import Spend
from exitdrill.scenario import BackendSpec, Scenario

SCHEMA_VERSION = 1
SMALLEST_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Pass:
    """One arm's turn at one block of cases: positions from ``first`` up to but without ``last``."""

    block: int
    arm: str
    repeat: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """What a drill will do. ``document`` is the content of ``plan.json``."""

    document: Mapping[str, Any]

    @property
    def text(self) -> str:
        """``plan.json``, byte for byte."""
        return json.dumps(self.document, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def sha256(self) -> str:
        """The hash of ``plan.json``."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def arms(self) -> list[str]:
        """The names of the arms, the incumbent first."""
        return [self.document["incumbent"], *self.document["candidates"]]

    @property
    def trials_per_arm(self) -> int:
        """How many trials each arm has."""
        return int(self.document["workload"]["asked"] * self.document["replay"]["repeats"])

    def passes(self) -> Iterator[Pass]:
        """Every arm's turns, in order: within a block the arms come in a random order, then in
        its reverse, and so on, so that what drifts over the day hits all alike."""
        replay = self.document["replay"]
        size, asked = replay["block"], self.document["workload"]["asked"]
        for block, first in enumerate(range(0, asked, size)):
            order = list(self.arms)
            random.Random(f"{replay['seed']}:{block}").shuffle(order)  # noqa: S311  # no secret
            for repeat in range(replay["repeats"]):
                for arm in order if repeat % 2 == 0 else reversed(order):
                    yield Pass(block, arm, repeat, first, min(first + size, asked))


def make_plan(drillable: Drillable, limit: int | None = None) -> Plan:
    """The plan of a scenario, for its first ``limit`` cases."""
    scenario = drillable.scenario
    asked = min(drillable.workload.size, limit or drillable.workload.size)
    replay = scenario.replay.model_dump(mode="json")
    replay["block"] = scenario.replay.block or _block(scenario)
    document = {
        "schema_version": SCHEMA_VERSION,
        "exitdrill_version": exitdrill.__version__,
        "scenario": scenario.name,
        "title": scenario.title,
        "incumbent": scenario.incumbent,
        "candidates": scenario.candidates,
        "workload": {
            "cases": drillable.workload.size,
            "asked": asked,
            "sha256": drillable.workload.sha256,
        },
        "checkers": dict(drillable.checker_hashes),
        "backends": {arm: _backend(scenario.backends[arm]) for arm in scenario.arms},
        "swap": {
            name: _swap(scenario, name) for name in scenario.candidates if name in scenario.swap
        },
        "gates": [gate.model_dump(mode="json") | {"name": gate.title} for gate in scenario.gates],
        "alpha": scenario.alpha,
        "alpha_per_candidate": scenario.alpha / len(scenario.candidates),
        "budget": scenario.budget.model_dump(mode="json") if scenario.budget else None,
        "replay": replay,
        "calls": asked * scenario.replay.repeats * len(scenario.arms)
        + min(scenario.replay.warmup, asked) * len(scenario.arms),
    }
    return Plan(document)


def most(drillable: Drillable, plan: Plan) -> Spend:
    """What the plan can use up at most, if each call succeeds at once: calls, tokens, money.

    Retries come on top; the budget bounds them as well.
    """
    scenario = drillable.scenario
    replay = plan.document["replay"]
    tokens, money = 0, 0.0
    for number, case in enumerate(drillable.workload):
        if number == plan.document["workload"]["asked"]:
            break
        times = replay["repeats"] + (number < replay["warmup"])
        for arm in plan.arms:
            each = worst_case(case.request, scenario.backends[arm].price)
            tokens += each.tokens * times
            money += each.money * times
    return Spend(plan.document["calls"], tokens, money)


def warnings(drillable: Drillable, plan: Plan) -> list[str]:
    """What will keep the drill from a verdict, as far as that can be seen beforehand."""
    found = []
    asked = plan.document["workload"]["asked"]
    cases = itertools.islice(drillable.workload, asked)
    unjudged = sum(case.checker is None for case in cases)
    if unjudged:
        found.append(f"{unjudged} of {asked} cases name no checker, so nobody can say who is right")
    if not drillable.scenario.gates:
        found.append("there are no gates, so the verdict will be inconclusive")
    found += _never_passed(drillable.scenario)
    budget = drillable.scenario.budget
    calls = plan.document["calls"]
    if budget is not None and budget.requests is not None and budget.requests < calls:
        found.append(f"the budget of {budget.requests} requests ends before the {calls} calls do")
    return found


def _never_passed(scenario: Scenario) -> Iterator[str]:
    """Gates that no answer can let pass, because the scenario lacks what they are about."""
    for gate in scenario.gates:
        section = BY_NAME[gate.measure].section
        for name in scenario.candidates:
            if section == "change" and name not in scenario.swap:
                yield f"the gate {gate.title!r} cannot pass: there is no [swap.{name}]"
            if gate.measure.startswith("cost_") and scenario.backends[name].price is None:
                yield f"the gate {gate.title!r} cannot pass: backends.{name} has no price"


def check_same(plan: Plan, recorded: Mapping[str, Any]) -> None:
    """Raises `JournalError`, naming what differs, where a journal holds another plan.

    The budget may differ: it decides nothing.
    """
    now = json.loads(plan.text) | {"budget": recorded.get("budget")}
    changed = list(_differences(now, recorded))
    if changed:
        raise JournalError(
            f"the drill to be resumed had another plan; changed since: {', '.join(changed)}. "
            "Undo the change, or start a new drill"
        )


def _differences(now: Any, recorded: Any, place: str = "") -> Iterator[str]:
    """The dotted places in which two plans differ."""
    if not isinstance(now, Mapping) or not isinstance(recorded, Mapping):
        if now != recorded:
            yield place
        return
    for key in sorted(now.keys() | recorded.keys()):
        yield from _differences(now.get(key), recorded.get(key), f"{place}.{key}".lstrip("."))


def write_plan(plan: Plan, folder: Path) -> None:
    """Write ``plan.json``. Raises `StorageFailed`."""
    with replacing(folder / "plan.json") as file:
        file.write(plan.text)


def _block(scenario: Scenario) -> int:
    # Several times what is under way at once, so that the tail of a pass weighs little.
    return max(SMALLEST_BLOCK, 4 * max(scenario.backends[arm].concurrency for arm in scenario.arms))


def _backend(spec: BackendSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"adapter"}) | {"adapter": spec.adapter_name}


def _swap(scenario: Scenario, name: str) -> dict[str, Any]:
    """The swap with the hashes of its files, so that an edited patch is another plan."""
    spec = scenario.swap[name]
    digest = hashlib.sha256()
    for value in (spec.patch, spec.overlay):
        path = None if value is None else scenario.root / value
        for file in _files(path):
            digest.update(file.relative_to(scenario.root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return spec.model_dump(mode="json") | {"sha256": digest.hexdigest()}


def _files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    if path.is_file():
        return [path]
    return sorted(
        each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts
    )
