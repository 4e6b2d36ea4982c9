"""What the swap changes in the app's code, from what was counted when it was applied.

Nodes, call sites and modules are those of the app; what is in its tests is said beside them, and
not counted. Where a part of the code could not be read, there is no number: what is in it might
count.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from exitdrill.measures.base import ArmFacts, Measure, Pair, Row
from exitdrill.measures.change import class_of
from exitdrill.sentences import count_of

if TYPE_CHECKING:
    from exitdrill.code.comparison import CodeChange
    from exitdrill.code.coupling import Site, Sites
    from exitdrill.code.dependencies import Dependencies

    Counter = Callable[[CodeChange, "_Tests"], Row]

LONGEST_NOTE = 300
SHOWN = 3
"""Names, or places, that a note gives."""


class _Tests:
    """Which of an app's files are its tests."""

    def __init__(self, classes: Mapping[str, Sequence[str]]) -> None:
        self._classes = classes

    def without(self, paths: Iterable[str]) -> list[str]:
        """The paths that are no tests."""
        return [path for path in paths if class_of(path, self._classes) != "test"]


def _row(count: Counter) -> Callable[[Pair], Row]:
    def row(pair: Pair) -> Row:
        arm = pair.candidate
        change = arm.code
        if change is None:
            return _unmeasured(_why_not(arm))
        found = count(change, _Tests(arm.classes))
        return replace(found, note=found.note and found.note[:LONGEST_NOTE])

    return row


def _why_not(arm: ArmFacts) -> str:
    if arm.diff is None:
        return "the scenario has no swap for this candidate"
    return "the drill was made before code was compared"


def _unmeasured(why: str | None) -> Row:
    return Row(note=f"not measured: {why}")


def _counted(number: int, note: str | None) -> Row:
    return Row(candidate=number, estimate=number, note=note)


def _first_problem(problems: Mapping[str, str], paths: Collection[str]) -> str | None:
    """Why one of these files was not measured, and how many more were not; None where all were."""
    found = [f"{path} {problems[path]}" for path in paths]
    more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else None


def _listed(names: Sequence[str]) -> str | None:
    """The first names, and how many more there are; None where there are none."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(islice(names, SHOWN))}{more}" if names else None


# --- what is counted ----------------------------------------------------------------------------


def _nodes(change: CodeChange, tests: _Tests) -> Row:
    nodes = change.nodes
    if nodes is None:
        return _unmeasured(change.problem)
    if problem := _first_problem(nodes.not_measured, tests.without(nodes.not_measured)):
        return _unmeasured(problem)
    number = sum(nodes.changed[path] for path in tests.without(nodes.changed))
    in_tests = sum(nodes.changed.values()) - number
    beside = f"; {count_of(in_tests, 'node')} in tests not counted" if in_tests else ""
    return _counted(
        number,
        f"syntax trees, without formatting and comments; a file that moved is no change{beside}",
    )


def _sites(change: CodeChange, tests: _Tests) -> Row:
    before, after = change.sites_before, change.sites_after
    if before is None or after is None:
        return _unmeasured(change.problem)
    for sites in (after, before):
        if problem := _first_problem(sites.not_measured, tests.without(sites.not_measured)):
            return _unmeasured(problem)
    old, new = _in_app(before, tests), _in_app(after, tests)
    gone = _listed(list(map(_place, _without(old, new))))
    left = f"after the swap: {_listed(list(map(_place, new))) or 'none'}"
    note = f"gone: {gone}; {left}" if gone else left
    return Row(len(old), len(new), len(new) - len(old), note=note)


def _place(site: Site) -> str:
    return f"{site.path}:{site.line} {site.kind} {site.what}"


def _without(old: Sequence[Site], new: Sequence[Site]) -> Iterator[Site]:
    """The old places that are not among the new ones, in whichever line these are."""
    left = collections.Counter((site.path, site.kind, site.what) for site in new)
    for site in old:
        key = (site.path, site.kind, site.what)
        if not left[key]:
            yield site
        left[key] -= 1


def _in_app(sites: Sites, tests: _Tests) -> list[Site]:
    paths = set(tests.without({site.path for site in sites.found}))
    return [site for site in sites.found if site.path in paths]


def _touched(change: CodeChange, tests: _Tests) -> Row:
    modules = change.modules
    if modules is None:
        return _unmeasured(change.problem)
    if problem := _first_problem(modules.uncounted, tests.without(modules.uncounted)):
        return _unmeasured(problem)
    names = tests.without(modules.touched)
    return _counted(len(names), _listed(names))


def _affected(change: CodeChange, tests: _Tests) -> Row:
    modules = change.modules
    if modules is None:
        return _unmeasured(change.problem)
    problems = {**modules.unknown, **modules.uncounted}
    if problem := _first_problem(problems, tests.without(problems)):
        return _unmeasured(problem)
    names = tests.without(modules.affected)
    return _counted(len(names), _listed(names))


def _direct(names: Callable[[Dependencies], Sequence[str]]) -> Counter:
    def count(change: CodeChange, _: _Tests) -> Row:
        found = change.dependencies
        if found is None:
            return _unmeasured(change.problem)
        if problem := _first_problem(found.not_read, sorted(found.not_read)):
            return _unmeasured(problem)
        return _counted(len(names(found)), _listed(names(found)))

    return count


def _transitive(names: Callable[[Dependencies], Sequence[str] | None]) -> Counter:
    def count(change: CodeChange, tests: _Tests) -> Row:
        row = _direct(lambda found: names(found) or ())(change, tests)
        found = change.dependencies
        if row.candidate is None or found is None or names(found) is not None:
            return row
        return _unmeasured(f"not known: {found.why_not_known}")

    return count


def _measure(name: str, label: str, unit: str, count: Counter) -> Measure:
    return Measure(name, label, unit, "change", "lower", _row(count))


MEASURES = (
    _measure("ast_nodes", "nodes of syntax trees changed", "nodes", _nodes),
    _measure("vendor_call_sites", "places coupled to a vendor", "places", _sites),
    _measure("modules_touched", "modules changed", "modules", _touched),
    _measure("modules_affected", "modules that import them", "modules", _affected),
    _measure(
        "dependencies_added",
        "dependencies added",
        "dependencies",
        _direct(lambda found: found.added),
    ),
    _measure(
        "dependencies_removed",
        "dependencies removed",
        "dependencies",
        _direct(lambda found: found.removed),
    ),
    _measure(
        "dependencies_changed",
        "dependencies in another version",
        "dependencies",
        _direct(lambda found: found.changed),
    ),
    _measure(
        "transitive_dependencies_added",
        "dependencies added, with what they bring",
        "dependencies",
        _transitive(lambda found: found.all_added),
    ),
    _measure(
        "transitive_dependencies_removed",
        "dependencies removed, with what they brought",
        "dependencies",
        _transitive(lambda found: found.all_removed),
    ),
)
