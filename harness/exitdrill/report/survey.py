"""One pass over cases.jsonl: what became of the trials, and where the cases lie in the file.

Cases are not kept, only their places: there may be 100,000, each with answers of any length.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exitdrill.errors import UsageError
from exitdrill.report import trials
from exitdrill.report.jsonfile import parse
from exitdrill.report.text import clean

MOST_TRIALS, MOST_BYTES = 1_000, 64_000_000
"""Of one case, held at once; what goes beyond them is counted as one more case."""
Row = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What became of the trials of one arm."""

    arm: str
    incumbent: bool = False
    trials: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    retries: int = 0

    def add(self, row: Row) -> None:
        """Count one trial."""
        self.incumbent = self.incumbent or row.get("incumbent") is True
        self.trials += 1
        self.statuses[clean(str(row.get("status")))] += 1
        self.repeated += row.get("repeated") is True
        attempts = row.get("attempts")
        self.retries += max(0, attempts - 1) if isinstance(attempts, int) else 0
        if isinstance(row.get("error"), dict):
            self.errors[clean(str(row["error"].get("kind")))] += 1


@dataclass(frozen=True, slots=True)
class Survey:
    """Tallies by arm, the incumbent first; and of each case its bytes in the file and its rank."""

    path: Path
    tallies: tuple[Tally, ...]
    starts: array[int]
    ends: array[int]
    ranks: array[int]

    def ordered(self) -> list[int]:
        """The cases, those first that deserve to be looked at most."""
        return sorted(range(len(self.ranks)), key=self.ranks.__getitem__)

    def cases(self, positions: Sequence[int]) -> Iterator[list[Row]]:
        """The trials of these cases, in their order. Raises `UsageError`."""
        try:
            with self.path.open("rb") as file:
                for position in positions:
                    file.seek(self.starts[position])
                    raw = file.read(self.ends[position] - self.starts[position])
                    yield [parse(line, self.path, None) for line in raw.split(b"\n") if line]
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", path=self.path) from None


def lines(path: Path) -> Iterator[tuple[int, Row]]:
    """The lines of a cases.jsonl, each with its length in bytes.

    Raises `UsageError` with the line.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                row = parse(raw, path, number)
                if not isinstance(row, dict) or not isinstance(row.get("arm"), str):
                    raise UsageError("not a trial: an object with an arm", path=path, line=number)
                yield len(raw), row
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None


def survey_of(path: Path) -> Survey:
    """Read a cases.jsonl once. Raises `UsageError`."""
    tallies: dict[str, Tally] = {}
    starts, ends, ranks = array("Q"), array("Q"), array("B")
    end = 0
    for size, rows in _grouped(lines(path)):
        for row in rows:
            tallies.setdefault(row["arm"], Tally(clean(row["arm"]))).add(row)
        starts.append(end)
        end += size
        ends.append(end)
        ranks.append(trials.rank(list(compared(rows).values())))
    ordered = sorted(tallies.values(), key=lambda tally: not tally.incumbent)
    return Survey(path, tuple(ordered), starts, ends, ranks)


def compared(
    rows: Sequence[Row], delays: Mapping[str, float] | None = None
) -> Mapping[str, trials.Compared]:
    """The candidates of a case, each beside the incumbent, by name as it is shown.

    ``delays`` are the drill's own, in seconds, by candidate.
    """
    ours = [row for row in rows if row.get("incumbent") is True]
    theirs: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("incumbent") is not True:
            theirs.setdefault(clean(row["arm"]), []).append(row)
    late = delays or {}
    return {
        arm: trials.compare(ours, found, late.get(arm, trials.OWN_DELAY))
        for arm, found in theirs.items()
    }


def _grouped(found: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, list[Row]]]:
    """Neighbouring lines of one case, with their bytes: exitdrill writes a case in one go."""
    rows: list[Row] = []
    size = 0
    for length, row in found:
        full = len(rows) >= MOST_TRIALS or size >= MOST_BYTES
        if rows and (full or row.get("case") != rows[0].get("case")):
            yield size, rows
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield size, rows
