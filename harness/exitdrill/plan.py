"""The plan: what will be asked of whom, how often, with which gates. Fixed before the first call.

``plan_sha256`` is the hash of the bytes of ``plan.json``, so that anyone can check it with
``sha256sum``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import exitdrill
from exitdrill.census import Census, shuffled, take_census
from exitdrill.drillable import Drillable, commit_of, located
from exitdrill.errors import JournalError, ScenarioError
from exitdrill.files import replacing
from exitdrill.judge.plan import most_of_judge, registered
from exitdrill.measures import BY_NAME, sequential_problem
from exitdrill.measures.unified_diff import parse_diff
from exitdrill.records import Spend
from exitdrill.redaction import Redactor
from exitdrill.resolution import resolution_warnings
from exitdrill.scenario import BackendSpec, Scenario
from exitdrill.sentences import count_of
from exitdrill.swap import SwapFailed, beside_head, files_of
from exitdrill.workload import TAG

SCHEMA_VERSION = 3
SMALLEST_BLOCK = 32
GREEDY_REPEATS = 2
SAMPLED_REPEATS = 3
MOST_NAMED = 3
"""Files that a warning names."""
DECIDING = ("gates", "alpha", "alpha_per_candidate", "power", "discordance")
"""What a plan says of how it is decided. Edited afterwards, it is not what is judged."""
PLENTY = 10
"""Model calls for each run of an app that a budget is not spoken of."""
UNDECIDING = ("budget", "title")
VETOES = ["a feature that the workload uses is missing", "the swap cannot be applied"]
"""What makes a candidate not ready whatever its gates say."""
APP_VETOES = [
    "the app's dependencies cannot be installed after the swap",
    "the app's own tests fail after the swap",
    "a call still goes to the incumbent",
]
"""The same, where the app is run."""


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
    """What a drill will do. ``document`` is the content of ``plan.json``, ``census`` what it was
    made from, ``judging`` what its judge can use up at most; a plan from a journal has neither."""

    document: Mapping[str, Any]
    census: Census | None = field(default=None, compare=False, repr=False)
    judging: Spend = field(default=Spend(), compare=False, repr=False)

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

    def without(self, secrets: Iterable[str]) -> Plan:
        """The same plan with what is a key masked: it is written, and hashed, only so."""
        document = json.loads(Redactor.of(secrets)(json.dumps(self.document, allow_nan=False)))
        return replace(self, document=document)

    @property
    def sequential(self) -> bool:
        """Whether the drill is looked at while it runs, and ends once all gates are decided."""
        return bool(self.document["mode"] == "sequential")

    def trials_of(self, arm: str) -> int:
        """How many trials an arm has."""
        return int(self.document["workload"]["asked"] * self.document["replay"]["repeats"][arm])

    def passes(self) -> Iterator[Pass]:
        """Every arm's turns, in order: within a block the arms come in a random order, then in
        its reverse, and so on, so that what drifts over the day hits all alike."""
        replay = self.document["replay"]
        size, asked, repeats = (
            replay["block"],
            self.document["workload"]["asked"],
            replay["repeats"],
        )
        for block, first in enumerate(range(0, asked, size)):
            order = list(self.arms)
            random.Random(f"{replay['seed']}:{block}").shuffle(order)  # noqa: S311  # no secret
            for repeat in range(max(repeats.values())):
                for arm in order if repeat % 2 == 0 else reversed(order):
                    if repeat < repeats[arm]:
                        yield Pass(block, arm, repeat, first, min(first + size, asked))


def make_plan(drillable: Drillable, limit: int | None = None, *, sequential: bool = False) -> Plan:
    """The plan of a scenario, for its first ``limit`` cases.

    Raises `ScenarioError` where it cannot be looked at while it runs.
    """
    scenario = drillable.scenario
    with located(scenario):
        if sequential:
            _check_sequential(scenario)
        census = take_census(drillable, limit)
    repeats = {arm: _repeats(scenario, arm, census) for arm in scenario.arms}
    replay = scenario.replay.model_dump(mode="json")
    replay |= {"block": scenario.replay.block or _block(scenario), "repeats": repeats}
    warmup = min(scenario.replay.warmup, census.asked) * len(scenario.arms)
    judge = None
    if scenario.judge is not None:
        spec = scenario.backends[scenario.judge.backend]
        judge = registered(drillable, census.asked, _backend(spec, spec.concurrency))
    document = {
        "schema_version": SCHEMA_VERSION,
        "exitdrill_version": exitdrill.__version__,
        "scenario": scenario.name,
        "title": scenario.title,
        "incumbent": scenario.incumbent,
        "candidates": scenario.candidates,
        "workload": {
            "cases": drillable.workload.size,
            "asked": census.asked,
            "sha256": drillable.workload.sha256,
            "cases_sha256": census.cases.hexdigest(_places(census, scenario, sequential)),
            "sampling": census.settings,
        },
        "clusters": asdict(census.clusters),
        "checkers": dict(drillable.checker_hashes),
        "backends": {
            arm: _backend(scenario.backends[arm], scenario.concurrency(arm))
            for arm in scenario.arms
        },
        "app": _app(scenario),
        "swap": {
            name: _swap(scenario, name) for name in scenario.candidates if name in scenario.swap
        },
        "mode": "sequential" if sequential else "fixed",
        "gates": [gate.model_dump(mode="json") | {"name": gate.title} for gate in scenario.gates],
        "vetoes": VETOES + (APP_VETOES if scenario.app_run else []),
        "alpha": scenario.alpha,
        "alpha_per_candidate": scenario.alpha / len(scenario.candidates),
        "power": scenario.power,
        "discordance": scenario.discordance,
        "largest_n": census.asked,
        "budget": scenario.budget.model_dump(mode="json") if scenario.budget else None,
        "replay": replay,
        "judge": judge,
        "embedding": _embedding(drillable),
        "calls": census.asked * sum(repeats.values()) + warmup + (judge["calls"] if judge else 0),
    }
    return Plan(document, census, most_of_judge(drillable, census.asked))


def places(plan: Plan) -> Sequence[int] | None:
    """Where each case stands in the drill: shuffled where it is looked at while it runs."""
    if not plan.sequential or plan.census is None:
        return None
    return shuffled(plan.census.labels, plan.document["replay"]["seed"])


def _places(census: Census, scenario: Scenario, sequential: bool) -> Sequence[int] | None:
    return shuffled(census.labels, scenario.replay.seed) if sequential else None


def most_of(plan: Plan, arm: str) -> Spend:
    """What an arm can use up at most, if each call succeeds at once: calls, tokens, money."""
    if plan.census is None:
        return Spend()
    times = plan.document["replay"]["repeats"][arm]
    once, warm = plan.census.once[arm], plan.census.warm[arm]
    return Spend(
        once.calls * times + warm.calls,
        once.tokens * times + warm.tokens,
        once.money * times + warm.money,
    )


def most(plan: Plan) -> Spend:
    """What the plan can use up at most, all arms together.

    Retries come on top; the budget bounds them as well.
    """
    each = [*(most_of(plan, arm) for arm in plan.arms), plan.judging]
    tokens, money = sum(one.tokens for one in each), sum(one.money for one in each)
    return Spend(plan.document["calls"], tokens, money)


def warnings(drillable: Drillable, plan: Plan) -> list[str]:
    """What will keep the drill from a verdict, as far as that can be seen beforehand."""
    found = []
    asked = plan.document["workload"]["asked"]
    unjudged = plan.census.unjudged if plan.census else 0
    if unjudged:
        found.append(
            f"{unjudged:,} of {count_of(asked, 'case')} name no checker, so nobody can say who is "
            "right"
        )
    if not drillable.scenario.gates:
        found.append("there are no gates, so the verdict will be inconclusive")
    found += _of_clusters(plan)
    found += _never_passed(drillable.scenario)
    found += _uncommitted(drillable.scenario)
    found += resolution_warnings(plan.document)
    budget = drillable.scenario.budget
    if budget is not None and budget.requests is not None:
        runs_app = plan.document["app"] is not None
        found += _of_requests(budget.requests, plan.document["calls"], runs_app)
    return found


def _of_requests(requests: int, planned: int, runs_app: bool) -> list[str]:
    """Whether a budget of requests is enough, as far as that is known beforehand."""
    budget = f"the budget of {count_of(requests, 'request')}"
    if not runs_app:
        ends = f"{budget} ends before the {count_of(planned, 'call')} do"
        return [ends] if requests < planned else []
    if requests >= PLENTY * planned:
        return []
    return [
        f"{budget} is {requests / planned:.2g} model calls for each of the "
        f"{count_of(planned, 'run')} of the app; how many it makes is not known beforehand"
    ]


def _repeats(scenario: Scenario, arm: str, census: Census) -> int:
    usual = SAMPLED_REPEATS if census.samples[arm] else GREEDY_REPEATS
    return scenario.backends[arm].repeats or scenario.replay.repeats or usual


def _check_sequential(scenario: Scenario) -> None:
    """A drill that is looked at while it runs needs measures whose evidence can be summed up."""
    if scenario.replay.arrivals == "open":
        raise ScenarioError(
            "--sequential asks the cases in a random order, so that recorded arrivals cannot be "
            "kept; use closed arrivals, or leave it out",
            key="replay.arrivals",
        )
    for number, gate in enumerate(scenario.gates):
        problem = sequential_problem(gate)
        if problem:
            raise ScenarioError(problem, key=f"gates[{number}].measure")


def _of_clusters(plan: Plan) -> Iterator[str]:
    """Cases that the clusters say nothing of, or several things."""
    census, by = plan.census, plan.document["clusters"]["by"]
    if census is None or by == "request":
        return
    what = "session" if by == "session" else f"tag that begins with {by.removeprefix(TAG)}:"
    if census.alone:
        yield (
            f"{census.alone:,} of {census.asked:,} cases have no {what}: each of them counts as "
            "independent"
        )
    if census.several:
        yield (
            f"{census.several:,} of {census.asked:,} cases have more than one {what}: the first "
            "one counts"
        )


def _never_passed(scenario: Scenario) -> Iterator[str]:
    """Gates that no answer can let pass, because the scenario lacks what they are about."""
    for gate in scenario.gates:
        section = BY_NAME[gate.measure].section
        for name in scenario.candidates:
            if section == "change" and name not in scenario.swap and not scenario.app_run:
                yield f"the gate {gate.title!r} cannot pass: there is no [swap.{name}]"
            if gate.measure.startswith("cost_") and scenario.backends[name].price is None:
                yield f"the gate {gate.title!r} cannot pass: backends.{name} has no price"


def _uncommitted(scenario: Scenario) -> Iterator[str]:
    """What a swap by a ref takes away of the app that was never committed."""
    refs = [name for name in scenario.candidates if name in scenario.swap]
    refs = [name for name in refs if scenario.swap[name].ref is not None]
    if not refs or scenario.app is None:
        return
    try:
        diff = beside_head(scenario.root / scenario.app.path)
    except SwapFailed:  # nothing was committed yet
        return
    names = [change.path for change in parse_diff(diff)]
    if names:
        shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        yield (
            f"{count_of(len(names), 'file')} of the app are not as at HEAD ({shown}): uncommitted "
            f"or untracked, so the swap of {', '.join(refs)} by a ref undoes them too, and their "
            "lines count as its own"
        )


def check_same(plan: Plan, recorded: Mapping[str, Any]) -> list[str]:
    """What was edited of that which decides, and nothing else: the gates, their error.

    Raises `JournalError`, naming what differs, where a journal holds another plan. What decides
    nothing (the budget, the title) may differ.
    """
    now = json.loads(plan.text) | {key: recorded.get(key) for key in UNDECIDING}
    changed = list(_differences(now, recorded))
    deciding = [place for place in changed if place.split(".")[0] in DECIDING]
    if others := [place for place in changed if place not in deciding]:
        raise JournalError(
            f"the drill to be resumed had another plan; changed since: {', '.join(others)}. "
            f"Undo the change, or start a new drill{_hint(others)}"
        )
    return deciding


def _hint(changed: Sequence[str]) -> str:
    if not any(place.startswith("checkers.") for place in changed):
        return ""
    return (
        ". (A checker whose own values change while it works, such as a cache, looks edited too: "
        "resume from a new process)"
    )


def edited_file(plan: Plan, folder: Path) -> str | None:
    """Whether the ``plan.json`` in a folder is another than the one that was registered."""
    path = folder / "plan.json"
    try:
        found = path.read_bytes()
    except OSError:
        return None
    return None if found == plan.text.encode() else "plan.json"


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


def _backend(spec: BackendSpec, concurrency: int) -> dict[str, Any]:
    own = {"adapter": spec.adapter_name, "concurrency": concurrency}
    return spec.model_dump(mode="json", exclude={"adapter"}) | own


def _app(scenario: Scenario) -> dict[str, Any] | None:
    """How the app is run, with the hash of its files; None where it is not run."""
    app, run = scenario.app, scenario.app_run
    if app is None or run is None:
        return None
    shown = run.model_dump(mode="json", by_alias=True)
    return shown | {"sha256": _hash(scenario.root, scenario.root / app.path)}


def _embedding(drillable: Drillable) -> dict[str, Any] | None:
    """The embedding model with the hash of its weights: others would be another measure."""
    spec, embedder = drillable.scenario.embedding, drillable.embedder
    return spec.model_dump() | {"sha256": embedder.sha256} if spec and embedder else None


def _swap(scenario: Scenario, name: str) -> dict[str, Any]:
    """The swap with the hashes of its files, and the commit of its ref: with an edited patch, or a
    branch that has moved, it is another plan."""
    spec = scenario.swap[name]
    paths = [scenario.root / value for value in (spec.patch, spec.overlay) if value is not None]
    shown = spec.model_dump(mode="json", exclude=None if spec.ref else {"ref"})
    commit = commit_of(scenario, name)
    found = {"commit": commit} if commit else {}
    return shown | {"sha256": _hash(scenario.root, *paths)} | found


def _hash(root: Path, *paths: Path) -> str:
    """The hash of all files in some places, as far as a copy of the app would have them."""
    digest = hashlib.sha256()
    for file in (file for path in paths for file in files_of(path)):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
