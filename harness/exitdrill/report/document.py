"""report.json and cases.jsonl, read and validated: all that a renderer may look at.

Held against plan.json, and the journal, where they are there: see `registered`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from exitdrill.errors import UsageError
from exitdrill.report.jsonfile import parse, read
from exitdrill.report.registered import as_registered
from exitdrill.report.survey import Survey, Tally, lines, survey_of
from exitdrill.report.text import clean, shorten, visible

SCHEMA_VERSION = 1
REPORT = "report.json"
CASES = "cases.jsonl"


@dataclass(frozen=True, slots=True)
class Document:
    """A drill's results. ``data`` is report.json, valid, with nothing invisible in its strings.

    ``survey`` is of cases.jsonl, None where that file is not there (it holds every answer, and may
    have been kept back). ``warnings`` are sentences that stand beside the verdict.
    """

    folder: Path
    data: Mapping[str, Any]
    survey: Survey | None
    warnings: tuple[str, ...] = ()

    @property
    def tallies(self) -> tuple[Tally, ...] | None:
        """What became of the trials, by arm; None where that is not known."""
        return None if self.survey is None else self.survey.tallies

    def cases(self) -> Iterator[dict[str, Any]]:
        """The lines of cases.jsonl, as they are, one at a time: there may be 100,000.

        Raises `UsageError`.
        """
        return (row for _, row in lines(self.folder / CASES))


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    text = files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def load(folder: Path, *, check: bool = True) -> Document:
    """The results in a drill's folder.

    ``check`` (its schema, and that it is of the plan that was registered) may be left out for what
    this process has just written. Raises `UsageError` where they are missing, damaged, or of a
    newer exitdrill.
    """
    path = folder / REPORT
    raw = read(path)
    data = parse(raw, path, None)
    warnings: tuple[str, ...] = ()
    if check:
        validate(data, path)
        data, warnings = as_registered(data, raw, folder)
    cases = folder / CASES
    survey = survey_of(cases) if cases.exists() else None
    return Document(folder, clean(data), survey, tuple(map(visible, warnings)))


def validate(data: Any, path: Path | None = None) -> None:
    """Check a report against the schema. Raises `UsageError` with the place of a mistake."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    _refuse_newer(data, path)
    error = best_match(Draft202012Validator(schema()).iter_errors(data))
    if error is not None:
        raise UsageError(
            _explain(error.message), path=path, key=error.json_path.removeprefix("$").lstrip(".")
        )


def _refuse_newer(data: Any, path: Path | None) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UsageError(
            f"written by a newer exitdrill (schema {version}, this one reads {SCHEMA_VERSION}); "
            "upgrade exitdrill, or render with the version that ran the drill",
            path=path,
            key="schema_version",
        )


def _explain(message: str) -> str:
    # It repeats the offending value, which may be anything, of any length.
    return visible(shorten(message, 300))
