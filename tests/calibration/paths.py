"""Two ways from a plan to a verdict: the whole drill, and the one that begins at the columns.

The whole one is `exitdrill.run` with scripted backends that answer what was drawn: plan, replay,
journal, measures, gates, verdict, reports. The short one takes the same plan and hands the same
draws to the same judge as columns of numbers; it is a hundred times as fast. They must agree.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.calibration.worlds import INCUMBENT, Array, Truth, World

import exitdrill
from exitdrill.delay import Delays
from exitdrill.drillable import check
from exitdrill.measures.base import ArmFacts, Looks, Pair
from exitdrill.monitor import looks
from exitdrill.plan import Plan, make_plan, places
from exitdrill.verdict import Gate, judge, overall, rates, unanswered, verdict_of
from exitdrill_adapters.scripted import scripted

BLOCK = 32
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What one drill found: its verdict; of the first candidate the interval of its first gate, and
    how many cases it had to be asked."""

    status: str
    interval: tuple[float, float] | None
    asked: int


def scenario(world: World, draws: Mapping[str, Array] | None = None) -> exitdrill.Scenario:
    """The scenario of a world; its backends answer what was drawn."""
    gates = [exitdrill.GateSpec(measure=world.measure, margin=world.margin)]
    if world.answered_gate:
        gates.append(exitdrill.GateSpec(measure="answered", margin=world.margin))
    return exitdrill.Scenario(
        name="calibration",
        incumbent=INCUMBENT,
        candidates=world.names,
        backends={
            name: exitdrill.BackendSpec(
                adapter=_backend(None if draws is None else draws[name]), model=name, concurrency=8
            )
            for name in [INCUMBENT, *world.names]
        },
        checkers={"same": exitdrill.CheckerSpec(type="exact")},
        workload=exitdrill.CaseList([_case(number, world) for number in range(world.cases)]),
        gates=gates,
        clusters="session" if world.cluster > 1 else None,
        replay=exitdrill.ReplaySpec(repeats=world.repeats, warmup=0, block=BLOCK),
    )


def whole(world: World, truth: Truth, seed: int) -> Outcome:
    """A drill from its plan to its reports."""
    draws = world.draw(truth, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as folder:
        result = exitdrill.run(
            scenario(world, draws), out=Path(folder) / "drill", sequential=world.sequential
        )
    first = result.report["candidates"][0]
    ends = first["gates"][0]["interval"]
    stopped = result.report["sequential"]
    asked = stopped["asked"][first["name"]] if stopped else world.cases
    return Outcome(result.verdict, ends and (ends[0], ends[1]), asked)


@dataclass(frozen=True)
class Short:
    """The short way, for many drills of one world."""

    world: World
    plan: Plan
    places: Places
    labels: Places | None

    @classmethod
    def of(cls, world: World) -> Short:
        """The plan, made once: it does not depend on what is drawn."""
        plan = make_plan(check(scenario(world)), sequential=world.sequential)
        order = places(plan)
        at = np.arange(world.cases) if order is None else np.argsort(np.asarray(order))
        labels = at // world.cluster if world.cluster > 1 else None
        return cls(world, plan, at, labels)

    def run(self, truth: Truth, seed: int) -> Outcome:
        """One drill: draw, look if that is planned, judge."""
        draws = self.world.draw(truth, np.random.default_rng(seed))
        asked = dict.fromkeys(self.world.names, self.world.cases)
        if self.world.sequential:
            asked |= self._stops(draws)
        verdicts, gates = {}, {}
        for name in self.world.names:
            pair = self._pair(draws, name, asked[name])
            gates[name] = self._judge(pair)
            verdicts[name] = verdict_of(gates[name], unanswered(pair), None, rates(pair))
        first = self.world.names[0]
        status = overall(verdicts, completed=True, stopped=None)["status"]
        return Outcome(status, gates[first][0].interval, asked[first])

    def _stops(self, draws: Mapping[str, Array]) -> dict[str, int]:
        stops: dict[str, int] = {}
        for last in looks(self.world.cases, BLOCK):
            whole_clusters = last - last % self.world.cluster
            for name in self.world.names:
                if name in stops or not whole_clusters:
                    continue
                gates = self._judge(self._pair(draws, name, whole_clusters))
                if all(gate.status != "open" for gate in gates):
                    stops[name] = whole_clusters
            if len(stops) == len(self.world.names):
                break
        return stops

    def _judge(self, pair: Pair) -> list[Gate]:
        document = self.plan.document
        return judge(document["gates"], pair, document["alpha_per_candidate"], document["power"])

    def _pair(self, draws: Mapping[str, Array], name: str, asked: int) -> Pair:
        alpha = self.plan.document["alpha_per_candidate"]
        incumbent, candidate = (self._arm(draws, each, asked) for each in (INCUMBENT, name))
        labels = None if self.labels is None else self.labels[:asked]
        looks = None
        if self.world.sequential:
            every = max(1, BLOCK // self.world.cluster)
            looks = Looks(every, self.world.cluster, self.plan.document["discordance"])
        return Pair(incumbent, candidate, 1 - 2 * alpha, labels, looks=looks)

    def _arm(self, draws: Mapping[str, Array], name: str, asked: int) -> ArmFacts:
        values = draws[name][self.places]
        column = {"total_p95": "total"}.get(self.world.measure, self.world.measure)
        nothing = np.full((asked, self.world.repeats), np.nan)
        columns = dict.fromkeys(("success", "money", "replayed", "counted_output_tokens"), nothing)
        columns |= {"answered": np.ones_like(nothing), column: values[:asked]}
        return ArmFacts(name, columns, delay=_never_late())


def _never_late() -> Delays:
    delay = Delays()
    for _ in range(1000):
        delay.add(1)
    return delay


def _case(number: int, world: World) -> exitdrill.Case:
    request = exitdrill.Request(
        "chat", {"messages": [{"role": "user", "content": str(number)}], "temperature": 0}
    )
    session = str(number // world.cluster) if world.cluster > 1 else None
    return exitdrill.Case(str(number), request, checker="same", expected="yes", session=session)


def _backend(draws: Array | None) -> Any:
    """Answers each question by its number, its repeats one after the other."""
    asked: Counter[int] = Counter()

    def answer(request: exitdrill.Request) -> str:
        number = int(request.body["messages"][0]["content"])
        repeat = asked[number]
        asked[number] += 1
        return "yes" if draws is not None and draws[number, repeat] else "no"

    return scripted(answer)


def seeds(world: int, truth: int, count: int) -> Iterator[int]:
    """A seed for each drill, the same on every machine."""
    for sequence in np.random.SeedSequence([world, truth]).spawn(count):
        yield int(sequence.generate_state(1)[0])
