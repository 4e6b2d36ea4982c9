"""Write the workload of `support_triage`: requests.jsonl (OpenAI Batch input) and meta.jsonl.

python -m exitdrill_scenarios.training.workload
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .tickets import Ticket, balanced, messages

SEED = 7
CASES = 480
MODEL = "ticket-dense"
FOLDER = Path(__file__).resolve().parents[1] / "support_triage"


def request(custom_id: str, ticket: Ticket) -> dict[str, Any]:
    """One line of requests.jsonl."""
    body = {"model": MODEL, "messages": messages(ticket.text), "max_tokens": 96, "temperature": 0}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def meta(custom_id: str, ticket: Ticket) -> dict[str, Any]:
    """One line of meta.jsonl: what the Batch format cannot say. The app gets the ticket's text."""
    tags = [ticket.language, ticket.expected["topic"]]
    return {
        "custom_id": custom_id,
        "checker": "fields",
        "expected": ticket.expected,
        "tags": tags,
        "input": ticket.text,
    }


def files(count: int = CASES) -> dict[str, str]:
    """The text of each file by its name."""
    cases = [
        (f"ticket-{n:04d}", ticket) for n, ticket in enumerate(balanced("workload", SEED, count), 1)
    ]
    return {
        "requests.jsonl": lines(request(*case) for case in cases),
        "meta.jsonl": lines(meta(*case) for case in cases),
    }


def lines(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSON, one per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the workload of support_triage.")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, text in files(arguments.cases).items():
        (arguments.out / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
