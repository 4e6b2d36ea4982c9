"""All measures: the table of built-in ones, and those that installed packages bring.

A package brings measures through the entry-point group ``exitdrill.measures``; an entry loads a
`Measure`, or a sequence of them. Entry points are read when the measures are first needed: reading
them takes time that ``exitdrill --help`` has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import EntryPoint
from numbers import Real
from typing import Any, get_args

from exitdrill.errors import UsageError
from exitdrill.measures.base import Column, Measure, Pair, Row, Section, TrialView

ENTRY_POINTS = "exitdrill.measures"
LONGEST_NOTE = 300


class Registry(Mapping[str, Measure]):
    """Measures by name, in the order of the report.

    The first use raises `UsageError` where an installed measure cannot be loaded, is none, or has a
    name, or the name of a column, that another one has.
    """

    def __init__(self, builtin: Sequence[Measure]) -> None:
        self._builtin = builtin

    def __getitem__(self, name: str) -> Measure:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns of all measures, by name; several may read one (p50 and p95)."""
        found = {name: each for measure in self.values() for name, each in measure.columns.items()}
        return found | {name: _guarded_column(found[name]) for name in self.installed}

    @cached_property
    def installed(self) -> frozenset[str]:
        """The names of the columns that do not come with exitdrill."""
        builtin = {name for measure in self._builtin for name in measure.columns}
        return frozenset(name for each in self.values() for name in each.columns) - builtin

    @cached_property
    def _by_name(self) -> dict[str, Measure]:
        from importlib.metadata import entry_points

        found: dict[str, Measure] = {}
        columns: dict[str, Column] = {}
        for measure in self._builtin:
            _add(found, columns, measure)
        for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
            for measure in _loaded(entry):
                _add(found, columns, replace(measure, row=_guarded_row(measure.name, measure.row)))
        return found


def _add(found: dict[str, Measure], columns: dict[str, Column], measure: Measure) -> None:
    if measure.name in found:
        raise UsageError(f"there are two measures of the name {measure.name!r}: rename one")
    for name, column in measure.columns.items():
        if columns.setdefault(name, column) is not column:
            raise UsageError(
                f"the measure {measure.name!r} has a column {name!r}, as another measure has: "
                "rename it"
            )
    found[measure.name] = measure


def _loaded(entry: EntryPoint) -> list[Measure]:
    """The measures of an entry point. Raises `UsageError`."""
    what = f"the measure {entry.name!r} ({entry.value})"
    try:
        value = entry.load()
    except (Exception, SystemExit) as error:
        message = f"{what} cannot be loaded: {type(error).__name__}: {error}"
        raise UsageError(message) from error
    measures = list(value) if isinstance(value, Sequence) else [value]
    for measure in measures:
        if not isinstance(measure, Measure) or measure.section not in get_args(Section):
            raise UsageError(f"{what} is no Measure of the sections {', '.join(get_args(Section))}")
    return measures


def _guarded_column(column: Column) -> Column:
    """A stranger's column: it may fail, but not end the program."""

    def guarded(view: TrialView) -> float:
        try:
            return column(view)
        except SystemExit as error:
            raise RuntimeError(f"SystemExit: {error}") from error

    return guarded


def _guarded_row(name: str, row: Callable[[Pair], Any]) -> Callable[[Pair], Row]:
    """A stranger's row: what it raises or returns must not cost the rest of the report."""

    def guarded(pair: Pair) -> Row:
        try:
            found = row(pair)
        except (Exception, SystemExit) as error:
            return _not_measured(f"{name} raised {type(error).__name__}: {error}")
        try:
            return _plain(found)
        except Exception as error:
            return _not_measured(f"{name} returned {error}")

    return guarded


def _not_measured(why: str) -> Row:
    return Row(note=f"not measured: {why}"[:LONGEST_NOTE])


def _plain(row: Any) -> Row:
    """A row of Python's own numbers and texts. Raises `TypeError` where it has something else."""
    if not isinstance(row, Row):
        raise TypeError(f"{type(row).__name__}, not a Row")
    number = _number(row.n)
    if number is None or math.isinf(number) or number < 0:
        raise TypeError(f"{row.n!r} as n")
    return Row(
        incumbent=_number(row.incumbent),
        candidate=_number(row.candidate),
        estimate=_number(row.estimate),
        interval=_interval(row.interval),
        own=_interval(row.own),
        n=int(number),
        noise=_number(row.noise),
        note=None if row.note is None else str(row.note),
        unit=None if row.unit is None else str(row.unit),
    )


def _number(value: Any) -> float | None:
    """A number; None for NaN, which is "not measured"."""
    if value is None:
        return None
    if not isinstance(value, Real):
        raise TypeError(f"{value!r} as a number")
    number = float(value)
    return None if math.isnan(number) else number


def _interval(ends: Any) -> tuple[float, float] | None:
    if ends is None:
        return None
    try:
        low, high = ends
    except (TypeError, ValueError):
        raise TypeError(f"{ends!r} as an interval") from None
    low, high = _number(low), _number(high)
    return None if low is None or high is None else (low, high)
