"""The parts of a swap that can be left out one by one, and what it takes to try that.

Hunks in the app's tests are never left out, for they are the checks; nor are those that name
dependencies, where nothing is installed anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exitdrill.app.copies import environment_of, swap_of
from exitdrill.app.log import Log, barred
from exitdrill.code.hunks import Hunk, by_file, split
from exitdrill.journal import Journal
from exitdrill.measures.change import class_of
from exitdrill.scenario import Scenario
from exitdrill.sentences import count_of
from exitdrill.swap import Swap, SwapFailed, apply

MOST_CASES = 5
"""Those that are checks."""
MOST_HUNKS = 24
"""Where there are more, whole files are left out instead."""
MOST_RUNS = 24
"""With hunks left out; that with the whole swap comes first."""
UNDER_WAY = "under_way"
"""What the record of a candidate says until its search has ended."""


@dataclass(frozen=True)
class Parts:
    """What can be left out of a swap. ``hunks`` is None where it is too much to be tried.

    ``before`` is the app as it was, ``environment`` what it runs with where the swap sets nothing.
    """

    hunks: list[Hunk] | None
    before: Path
    environment: Mapping[str, str]


def pending(scenario: Scenario, journal: Journal) -> list[str]:
    """The candidates of which it is not known yet, and whose app has left the incumbent for them:
    where it has not, the swap does too little, and not too much."""
    arms, failed = Log(journal).arms, barred(journal)
    records = {name: arms.get(name, {}).get("smallest") for name in scenario.swap}
    return [
        name
        for name, record in records.items()
        if name not in failed
        and (record is None or record["status"] == UNDER_WAY)
        and journal.has_left(name)
    ]


def runs_more(scenario: Scenario, cases: int) -> Iterator[str]:
    """What it takes at most, in words, where it takes anything. The swaps are applied to copies."""
    checks = _most_checks(scenario)
    if checks:
        runs = count_of(checks * min(MOST_CASES, cases), "more run")
        test = scenario.app_run is not None and scenario.app_run.test is not None
        tests = f" and {count_of(checks, 'run')} of its own tests" if test else ""
        yield f"which hunks of the swap are needed: at most {runs} of the app{tests}"


def _most_checks(scenario: Scenario) -> int:
    """How often the checks may be run at most, all candidates together."""
    numbers = []
    for name in scenario.swap if scenario.app_run else ():
        with tempfile.TemporaryDirectory(prefix="exitdrill-") as folder:
            try:
                hunks = parts_of(scenario, name, Path(folder)).hunks
            except SwapFailed:
                continue
        count = len(hunks or ())
        numbers.append(1 + min(MOST_RUNS, count * (count + 1) // 2) if count else 0)
    return sum(numbers)


def parts_of(scenario: Scenario, name: str, folder: Path) -> Parts:
    """A candidate's swap in parts; copies are made in the folder. Raises `SwapFailed`."""
    assert scenario.app is not None
    app, swap = scenario.root / scenario.app.path, swap_of(scenario, name)
    before = apply(app, Swap(), folder / "before").path
    after = apply(app, swap, folder / "after").path
    found = split(before, after, folder / ".git")
    environment = _without_variables(scenario, name)
    if found is None:
        return Parts(None, before, environment)
    variables = list(_variables(scenario, name, environment))
    classes = scenario.app.classes
    run = scenario.app_run
    never = {"test"} if run is not None and run.install is not None else {"test", "dependency"}
    hunks = [each for each in found if class_of(each.path, classes) not in never]
    if len(hunks) + len(variables) > MOST_HUNKS:
        hunks = by_file(hunks)
    hunks += variables
    return Parts(hunks if len(hunks) <= MOST_HUNKS else None, before, environment)


def _without_variables(scenario: Scenario, name: str) -> dict[str, str]:
    """The environment without what the swap itself sets."""
    bare = scenario.swap[name].model_copy(update={"environment": {}})
    others = swap_of(scenario.model_copy(update={"swap": {name: bare}}), name)
    return {**environment_of(scenario.app_run), **others.environment}


def _variables(scenario: Scenario, name: str, without: Mapping[str, str]) -> Iterator[Hunk]:
    before = environment_of(scenario.app_run)
    for variable, value in scenario.swap[name].environment.items():
        if without.get(variable) != value:
            least = _lines(before.get(variable), without.get(variable))
            saved = _lines(before.get(variable), value) - least
            yield Hunk(variable, "variable", max(0, saved))


def _lines(old: str | None, new: str | None) -> int:
    """How many lines a variable's change takes."""
    return 0 if old == new else (old is not None) + (new is not None)
