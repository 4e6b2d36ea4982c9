"""The rows of ``cases.jsonl``: a line per planned trial, with its answer and its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from exitdrill.gist import gist
from exitdrill.measures.base import TrialView, finite
from exitdrill.measures.changes import Change
from exitdrill.measures.facts import Measured
from exitdrill.measures.groups import TrialChanges
from exitdrill.records import AppCall
from exitdrill.workload import Case

LONGEST_PROMPT = 2_000
MOST_CALLS = 20
LONGEST_NAME = 200
"""Characters of what an app calls a model, or asks for."""

Json = dict[str, Any]


def case_rows(
    plan: Json, case: Case, trials: Sequence[Measured], changes: TrialChanges
) -> Iterator[Json]:
    """The rows of one case: each arm, each repeat, asked or not."""
    by_key = {(each.view.trial.arm, each.view.trial.repeat): each for each in trials}
    repeats = plan["replay"]["repeats"]
    for arm in [plan["incumbent"], *plan["candidates"]]:
        for repeat in range(repeats[arm]):
            head = {
                "case": case.id,
                "arm": arm,
                "repeat": repeat,
                "incumbent": arm == plan["incumbent"],
            }
            tail = {
                "expected": case.expected,
                "checker": case.checker,
                "prompt": prompt_of(case),
                "tags": list(case.tags),
            }
            yield head | _outcome(by_key.get((arm, repeat)), changes.get((arm, repeat), ())) | tail


def _outcome(measured: Measured | None, changes: Sequence[Change]) -> Json:
    if measured is None:
        return {
            "status": "not_asked",
            "answer": None,
            "reasoning": None,
            "tool_calls": [],
            "finish": None,
            "error": None,
            "edits": [],
            "attempts": 0,
            "repeated": False,
            "measures": {},
            "changes": [],
        }
    exchange, reply = measured.view.trial.exchange, measured.view.reply
    failure = exchange.failure
    calls = {"calls": _calls(measured.view)} if measured.view.app else {}
    return calls | {
        "status": "failed" if failure else "answered",
        "answer": reply.text if reply.text or not failure else None,
        "reasoning": reply.reasoning or None,
        "tool_calls": [asdict(call) for call in reply.tool_calls],
        "finish": reply.finish,
        "error": asdict(failure) if failure else None,
        "edits": [asdict(edit) for edit in exchange.edits],
        "attempts": len(exchange.attempts),
        "repeated": measured.view.trial.repeated,
        "measures": {name: finite(value) for name, value in measured.values.items()},
        "changes": [
            {"kind": each.kind, "where": each.where, "label": each.label, "form": each.form}
            for each in changes
        ],
    }


def _calls(view: TrialView) -> list[Json]:
    """The first model calls of an app; a measure says how many there were."""
    return [_call(call) for call in view.calls[:MOST_CALLS]]


def _call(call: AppCall) -> Json:
    """One of them: ``seconds`` is what its last attempt took, ``model`` what the app asked for."""
    failure, reply = call.exchange.failure, call.exchange.reply
    model = call.request.body.get("model") if call.request else None
    attempts = call.exchange.attempts
    return {
        "to": call.to,
        "path": call.path[:LONGEST_NAME],
        "status": call.status,
        "error": failure.kind if failure else None,
        "message": gist(failure.message) if failure else None,
        "model": model[:LONGEST_NAME] if isinstance(model, str) else None,
        "seconds": attempts[-1].ended_ns / 1e9 if attempts else None,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
    }


def prompt_of(case: Case) -> str:
    """The last thing that the user says in a case, cut to a readable length."""
    body = case.request.body
    messages = body.get("messages")
    said = [
        message.get("content")
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, Mapping) and message.get("role") == "user"
    ]
    value = said[-1] if said else body.get("prompt", body.get("input", ""))
    return text_of(value)[:LONGEST_PROMPT]


def text_of(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
