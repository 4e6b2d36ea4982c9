"""The answers of a drill in the OpenAI Batch output format, a line per case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from exitdrill.backend import Reply
from exitdrill.errors import JournalError, UsageError
from exitdrill.journal import Journal
from exitdrill.records import Trial
from exitdrill.workload import Case


def batch_lines(folder: Path, arm: str | None = None) -> Iterator[str]:
    """Each case's first answer of an arm (by default the incumbent) as a line of JSON.

    Lines are joined on ``custom_id``. A case that was not asked has no line. Raises
    `JournalError`, or `UsageError` for an arm that is not there.
    """
    with Journal.reopen(folder / "journal.sqlite") as journal:
        plan = journal.input("plan")
        if not journal.input("begun"):
            raise JournalError(
                "ended before its first call, so it has no answers", path=journal.path
            )
        names = [plan["incumbent"], *plan["candidates"]]
        if arm is not None and arm not in names:
            raise UsageError(f"there is no arm {arm!r}; there are {', '.join(names)}", key="--arm")
        wanted = arm or plan["incumbent"]
        cases = dict(journal.cases())
        created = int(datetime.fromisoformat(journal.input("started")).timestamp())
        for trial in journal.trials():
            if trial.arm == wanted and trial.repeat == 0:
                model = plan["backends"][wanted]["model"]
                yield json.dumps(_line(trial, cases[trial.position], model, created))


def _line(trial: Trial, case: Case, model: str, created: int) -> dict[str, Any]:
    failure = trial.exchange.failure
    head = {"id": f"batch_req_{trial.position}", "custom_id": case.id}
    if failure is not None:
        error = {"code": failure.kind, "message": failure.message}
        return head | {"response": None, "error": error}
    request_id = f"{trial.arm}-{trial.position}-{trial.repeat}"
    about = {"id": request_id, "created": created}
    body = about | _body(trial.exchange.reply, case, model)
    response = {"status_code": 200, "request_id": request_id, "body": body}
    return head | {"response": response, "error": None}


def _body(reply: Reply, case: Case, model: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model}
    if reply.input_tokens is not None and reply.output_tokens is not None:
        body["usage"] = {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
        }
    if case.request.operation == "embedding":
        vectors = enumerate(reply.vectors)
        data = [{"object": "embedding", "index": n, "embedding": v} for n, v in vectors]
        return body | {"object": "list", "data": data}
    if case.request.operation == "completion":
        choice = {"index": 0, "text": reply.text, "finish_reason": reply.finish}
        return body | {"object": "text_completion", "choices": [choice]}
    choice = {"index": 0, "message": _message(reply), "finish_reason": reply.finish}
    return body | {"object": "chat.completion", "choices": [choice]}


def _message(reply: Reply) -> dict[str, Any]:
    content = None if reply.tool_calls and not reply.text else reply.text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reply.reasoning:
        message["reasoning"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in reply.tool_calls
        ]
    return message
