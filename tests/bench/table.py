"""Rows of results: on a terminal, and in the README."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

README = Path(__file__).with_name("README.md")
COLUMNS = ("what", "ours", "reference", "ratio", "min", "max", "n", "aim", "")


@dataclass(frozen=True)
class Row:
    """One figure: ours, what it is compared with, and the ratio of the two.

    Over ``n`` pairs the ``ratio`` is the median, and ``spread`` (min, max). ``met`` says whether
    the ``aim`` was met, None where there is none. A ``note`` stands below the table.
    """

    what: str
    ours: str
    reference: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    n: int | None = None
    aim: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the columns."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        low, high = (f"{each:.2f}x" for each in self.spread) if self.spread else ("", "")
        count = "" if self.n is None else str(self.n)
        met = {True: "met", False: "missed", None: ""}[self.met]
        return self.what, self.ours, self.reference, ratio, low, high, count, self.aim, met


def paired(
    what: str,
    ours: Sequence[float],
    reference: Sequence[float],
    unit: str = "s",
    *,
    most: float | None = None,
    least: float | None = None,
    note: str = "",
) -> Row:
    """A row of pairs: the median of each side, the ratio within the pairs, at most or at least."""
    ratios = [ours / theirs for ours, theirs in zip(ours, reference, strict=True)]
    middle = statistics.median(ratios)
    aim, met = "", None
    if most is not None:
        aim, met = f"≤ {most:g}x", middle <= most
    if least is not None:
        aim, met = f"≥ {least:g}x", middle >= least
    return Row(
        what,
        number(statistics.median(ours), unit),
        number(statistics.median(reference), unit),
        middle,
        (min(ratios), max(ratios)),
        len(ratios),
        aim,
        met,
        note,
    )


def number(value: float, unit: str) -> str:
    """A number with three digits and its unit; seconds below one in milliseconds."""
    if unit == "s" and abs(value) < 1:
        value, unit = value * 1000, "ms"
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    table = Table(*COLUMNS, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row.cells)
    console = Console(width=None if os.isatty(1) else 140, highlight=False)
    console.print(table)
    for note in _notes(rows):
        console.print(note, markup=False)


def write(name: str, rows: Sequence[Row], command: str) -> None:
    """Put rows between the markers of a benchmark in the README, with date, command and machine."""
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, `{command}`, Python {platform.python_version()}, "
        f"{cores()} cores:",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(row.cells) + " |" for row in rows),
    ]
    notes = _notes(rows)
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    text = README.read_text()
    begin, end = f"<!-- {name}: results -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"README.md has no place for the results of {name!r}")
    content = "\n".join([begin, *lines, end])
    README.write_text(pattern.sub(lambda _: content, text))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _notes(rows: Sequence[Row]) -> list[str]:
    return [f"{row.what}: {row.note}" for row in rows if row.note]
