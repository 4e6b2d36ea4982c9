"""What a workload is made of, found in one pass: before the plan, since the plan rests on it."""

from __future__ import annotations

import itertools
import json
import math
import random
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.backend import Backend, Request
from exitdrill.budget import worst_case
from exitdrill.caseshash import CasesHash
from exitdrill.drillable import Drillable
from exitdrill.errors import ScenarioError
from exitdrill.records import Spend, dump
from exitdrill.stats import effective_size
from exitdrill.workload import TAG, Case, clusters_of

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed", "n")
"""What a request may say about how its answer is drawn."""
LONGEST_SETTING = 300
"""Characters of a case's settings; what is longer is no number."""
MOST_SETTINGS = 20
"""Different settings that a plan lists; the rest is counted."""


@dataclass(frozen=True)
class Clusters:
    """Which cases belong together: by what, how many clusters, the cases of the largest one.

    ``effective`` is how many equally large ones they are worth, n² / Σm² over their sizes m.
    """

    by: str
    count: int
    largest: int
    effective: int


@dataclass(frozen=True)
class Census:
    """The cases that are asked.

    ``samples`` says of each arm whether it draws its answers at random, ``once`` what one call of
    every case can use up at most, ``warm`` the same of those that warm up. ``labels`` are the
    clusters in the order of the cases, ``cases`` is the hash of all; ``alone`` are in none,
    ``several`` in more than one.
    """

    asked: int
    unjudged: int
    settings: Sequence[Mapping[str, Any]]
    samples: Mapping[str, bool]
    once: Mapping[str, Spend]
    warm: Mapping[str, Spend]
    clusters: Clusters
    labels: array[int]
    cases: CasesHash
    alone: int = 0
    several: int = 0


def samples(backend: Backend, request: Request) -> bool:
    """Whether a backend draws its answer to a request at random.

    A backend may say by an attribute ``samples`` what it does with a request that names no
    temperature; the usual default of an API is to draw.
    """
    if request.operation == "embedding":
        return False
    temperature = request.body.get("temperature")
    if temperature is None:
        return bool(getattr(backend, "samples", True))
    return isinstance(temperature, int | float) and temperature > 0


def take_census(drillable: Drillable, limit: int | None = None) -> Census:
    """Go through the cases, or the first ``limit`` of them.

    Raises `ScenarioError` where none of them is in a cluster of the kind that the scenario names.
    """
    asked = min(drillable.workload.size, limit or drillable.workload.size)
    by = drillable.scenario.clusters or _usual_clusters(drillable, asked)
    count = _Count(drillable, by)
    for number, case in enumerate(itertools.islice(drillable.workload, asked)):
        count.see(number, case)
    if drillable.scenario.clusters is not None and count.alone == asked:
        what = "session" if by == "session" else f"tag that begins with {by.removeprefix(TAG)}:"
        raise ScenarioError(
            f"no case has a {what}, so that every one would count as independent; correct it, or "
            "leave it out",
            key="clusters",
        )
    return count.census(asked)


class _Count:
    """What is counted while the cases pass."""

    def __init__(self, drillable: Drillable, by: str) -> None:
        scenario = drillable.scenario
        self._drillable = drillable
        self._by = by
        self._unjudged = self.alone = self._several = 0
        self._settings: Counter[str] = Counter()
        self._samples = dict.fromkeys(scenario.arms, False)
        self._once = dict.fromkeys(scenario.arms, Spend())
        self._warm = dict.fromkeys(scenario.arms, Spend())
        self._known: dict[str, int] = {}
        self._labels = array("q")
        self._hash = CasesHash()

    def see(self, number: int, case: Case) -> None:
        """Count a case."""
        self._unjudged += case.checker is None
        asked = case.run if self._drillable.scenario.app_run else case.request
        self._settings[_setting(asked)] += 1
        body, meta = dump(case.request.body), dump(case.meta())
        self._hash.add(case.id, case.request.operation, body, meta)
        runs_app = self._drillable.scenario.app_run is not None
        names = clusters_of(case, self._by, runs_app=runs_app)
        self.alone += not names
        self._several += len(names) > 1
        self._labels.append(self._known.setdefault(names[0], number) if names else number)
        scenario = self._drillable.scenario
        for arm in scenario.arms:
            if not self._samples[arm]:
                self._samples[arm] = samples(self._drillable.backends[arm], asked)
            most = worst_case(asked, scenario.backends[arm].price)
            if asked.operation == "app":  # what it will ask in its turn nobody knows
                most = Spend(1)
            self._once[arm] = _sum(self._once[arm], most)
            if number < scenario.replay.warmup:
                self._warm[arm] = _sum(self._warm[arm], most)

    def census(self, asked: int) -> Census:
        """All that was counted."""
        sizes = Counter(self._labels)
        return Census(
            asked,
            self._unjudged,
            _listed(self._settings),
            self._samples,
            self._once,
            self._warm,
            Clusters(
                self._by,
                len(sizes),
                max(sizes.values()),
                math.ceil(effective_size([*sizes.values()])),
            ),
            self._labels,
            self._hash,
            self.alone,
            self._several,
        )


def shuffled(labels: Sequence[int], seed: int) -> array[int]:
    """For each case its place in a random order in which clusters stay together.

    So whoever looks early has seen a fair share of the workload, however its file is sorted.
    """
    chance = random.Random(f"order:{seed}")  # noqa: S311  # no secret
    names = list(dict.fromkeys(labels))
    chance.shuffle(names)
    rank = {name: number for number, name in enumerate(names)}
    order = sorted(range(len(labels)), key=lambda case: (rank[labels[case]], case))
    places = array("q", bytes(8 * len(labels)))
    for place, case in enumerate(order):
        places[case] = place
    return places


def _usual_clusters(drillable: Drillable, asked: int) -> str:
    """By session where there are any; else the same request asked again is one cluster."""
    cases = itertools.islice(drillable.workload, asked)
    return "session" if any(case.session is not None for case in cases) else "request"


def _setting(request: Request) -> str:
    body = request.body
    said = {key: body[key] for key in SAMPLING if key in body}
    text = json.dumps(said, sort_keys=True)
    return text if len(text) <= LONGEST_SETTING else json.dumps(dict.fromkeys(said, "…"))


def _listed(settings: Counter[str]) -> list[dict[str, Any]]:
    common = settings.most_common(MOST_SETTINGS)
    rows = [{"settings": json.loads(text), "cases": count} for text, count in common]
    rest = settings.total() - sum(count for _, count in common)
    return rows + ([{"settings": None, "cases": rest}] if rest else [])


def _sum(left: Spend, right: Spend) -> Spend:
    return Spend(left.calls + 1, left.tokens + right.tokens, left.money + right.money)
