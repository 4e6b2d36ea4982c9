"""All measures: the table of built-in ones, and those that installed packages bring.

A package brings measures through the entry-point group ``exitdrill.measures``; an entry loads a
`Measure`, or a sequence of them. Entry points are read when the measures are first needed: reading
them takes time that ``exitdrill --help`` has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import get_args

from exitdrill.errors import UsageError
from exitdrill.measures.base import Column, Measure, Pair, Row, Section

ENTRY_POINTS = "exitdrill.measures"


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
        return {name: each for measure in self.values() for name, each in measure.columns.items()}

    @cached_property
    def installed(self) -> frozenset[str]:
        """The names of the columns that do not come with exitdrill."""
        builtin = {name for measure in self._builtin for name in measure.columns}
        return frozenset(self.columns.keys() - builtin)

    @cached_property
    def _by_name(self) -> dict[str, Measure]:
        from importlib.metadata import entry_points

        found: dict[str, Measure] = {}
        columns: dict[str, Column] = {}
        for measure in self._builtin:
            _add(found, columns, measure)
        for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
            for measure in _loaded(entry):
                _add(found, columns, replace(measure, row=_guarded(measure.name, measure.row)))
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
    except Exception as error:
        message = f"{what} cannot be loaded: {type(error).__name__}: {error}"
        raise UsageError(message) from error
    measures = list(value) if isinstance(value, Sequence) else [value]
    for measure in measures:
        if not isinstance(measure, Measure) or measure.section not in get_args(Section):
            raise UsageError(f"{what} is no Measure of the sections {', '.join(get_args(Section))}")
    return measures


def _guarded(name: str, row: Callable[[Pair], Row]) -> Callable[[Pair], Row]:
    """A stranger's row: what it raises must not cost the rest of the report."""

    def guarded(pair: Pair) -> Row:
        try:
            return row(pair)
        except Exception as error:
            return Row(note=f"not measured: {name} raised {type(error).__name__}: {error}"[:300])

    return guarded
