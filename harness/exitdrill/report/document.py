"""report.json and cases.jsonl, read and validated: all that a renderer may look at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import isinf
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from exitdrill.errors import UsageError
from exitdrill.report.text import clean, shorten, visible

SCHEMA_VERSION = 1
REPORT = "report.json"
CASES = "cases.jsonl"


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


@dataclass(frozen=True, slots=True)
class Document:
    """A drill's results. ``data`` is report.json, valid, with nothing invisible in its strings.

    ``tallies`` is counted from cases.jsonl, None where that file is not there (it holds every
    answer, and may have been kept back).
    """

    folder: Path
    data: Mapping[str, Any]
    tallies: tuple[Tally, ...] | None

    def cases(self) -> Iterator[dict[str, Any]]:
        """The lines of cases.jsonl, as they are, one at a time: there may be 100,000.

        Raises `UsageError`.
        """
        return read_cases(self.folder / CASES)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    text = files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def load(folder: Path) -> Document:
    """The results in a drill's folder.

    Raises `UsageError` where they are missing, damaged, or of a newer exitdrill.
    """
    path = folder / REPORT
    data = _parse(_read(path), path, None)
    validate(data, path)
    cases = folder / CASES
    tallies = _count(read_cases(cases)) if cases.exists() else None
    return Document(folder, clean(data), tallies)


def validate(data: Any, path: Path | None = None) -> None:
    """Check a report against the schema. Raises `UsageError` with the place of a mistake."""
    _refuse_newer(data, path)
    error = best_match(Draft202012Validator(schema()).iter_errors(data))
    if error is not None:
        raise UsageError(
            _explain(error), path=path, key=error.json_path.removeprefix("$").lstrip(".")
        )


def read_cases(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a cases.jsonl. Raises `UsageError` with the line."""
    try:
        with path.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                row = _parse(raw, path, number)
                if not isinstance(row, dict) or not isinstance(row.get("arm"), str):
                    raise UsageError("not a trial: an object with an arm", path=path, line=number)
                yield row
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None


def _refuse_newer(data: Any, path: Path | None) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UsageError(
            f"written by a newer exitdrill (schema {version}, this one reads {SCHEMA_VERSION}); "
            "upgrade exitdrill, or render with the version that ran the drill",
            path=path,
            key="schema_version",
        )


def _explain(error: ValidationError) -> str:
    # The message repeats the offending value, which may be anything, of any length.
    return visible(shorten(error.message, 300))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError("no such file; is this the folder of a drill?", path=path) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None


def _parse(raw: bytes, path: Path, line: int | None) -> Any:
    """One JSON text. Lone surrogates may pass: a model can write them, and `clean` shows them."""
    try:
        return json.loads(
            raw.decode(), parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        message = f"damaged, not JSON: {error.msg} at column {error.colno}"
        raise UsageError(message, path=path, line=line or error.lineno) from None
    except UnicodeDecodeError as error:
        at = line or raw.count(b"\n", 0, error.start) + 1
        raise UsageError("damaged, not UTF-8", path=path, line=at) from None
    except RecursionError:
        raise UsageError("damaged, nested too deeply", path=path, line=line) from None
    except ValueError as error:
        raise UsageError(f"damaged, {error}", path=path, line=line) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; what was not measured is null")


def _float(digits: str) -> float:
    number = float(digits)
    if isinf(number):  # also an integer too large to be drawn or divided
        raise ValueError(f"{digits[:40]} is beyond what a number can be")
    return number


def _int(digits: str) -> int:
    _float(digits)
    return int(digits)


def _count(rows: Iterator[dict[str, Any]]) -> tuple[Tally, ...]:
    """The trials, by arm; the incumbent first, then in the order of the file."""
    tallies: dict[str, Tally] = {}
    for row in rows:
        tally = tallies.setdefault(row["arm"], Tally(clean(row["arm"])))
        tally.incumbent = tally.incumbent or row.get("incumbent") is True
        tally.trials += 1
        tally.statuses[clean(str(row.get("status")))] += 1
        tally.repeated += row.get("repeated") is True
        attempts = row.get("attempts")
        tally.retries += max(0, attempts - 1) if isinstance(attempts, int) else 0
        if isinstance(row.get("error"), dict):
            tally.errors[clean(str(row["error"].get("kind")))] += 1
    return tuple(sorted(tallies.values(), key=lambda tally: not tally.incumbent))
