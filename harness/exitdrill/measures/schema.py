"""Does the answer satisfy the JSON Schema that its own request asks for?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from exitdrill.checkers import CheckerProblem
from exitdrill.jsonschemas import Schema
from exitdrill.measures.answers import Answer
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.shares import share_row
from exitdrill.workload import Case


def satisfies(case: Case, said: Answer) -> bool | None:
    """Whether an answer is, as a whole, JSON that satisfies the schema of its request.

    None where the request names no schema, or one that cannot be applied.
    """
    text = _schema_text(case)
    schema = None if text is None else _schema(text)
    if schema is None:
        return None
    if said.whole is None:
        return False
    try:
        return schema.allows(said.whole.value)
    except CheckerProblem:
        return None


def schema_valid(view: TrialView) -> float:
    """1 where the answer satisfies the schema of its request, NaN where that has none."""
    valid = satisfies(view.case, view.said)
    return NAN if valid is None else float(valid and not view.failed)


def _schema_text(case: Case) -> str | None:
    wanted = case.request.body.get("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    return json.dumps(schema) if isinstance(schema, Mapping) else None


@lru_cache(maxsize=64)
def _schema(text: str) -> Schema | None:
    try:
        return Schema(json.loads(text))
    except CheckerProblem:
        return None


MEASURES = (
    Measure(
        "schema_valid",
        "satisfies the schema of its request",
        "share",
        "drift",
        "higher",
        share_row("schema_valid", note="the JSON Schema in the request's response_format"),
        schema_valid,
        strict=True,
        content=True,
    ),
)
