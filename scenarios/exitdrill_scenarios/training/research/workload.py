"""Write the corpus and the workload of `research_agent`.

python -m exitdrill_scenarios.training.research.workload
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exitdrill_scenarios.training.research.books import DOUBLE
from exitdrill_scenarios.training.research.data import Inquiry
from exitdrill_scenarios.training.research.world import world
from exitdrill_scenarios.training.workload import lines

FOLDER = Path(__file__).resolve().parents[2] / "research_agent"


def request(custom_id: str, inquiry: Inquiry) -> dict[str, Any]:
    """One line of requests.jsonl: what the app is asked."""
    body = {"input": inquiry.question}
    return {"custom_id": custom_id, "method": "POST", "url": "/app", "body": body}


def meta(custom_id: str, inquiry: Inquiry) -> dict[str, Any]:
    """One line of meta.jsonl: the one right answer, with its source."""
    tags = ["two searches" if inquiry.kind in DOUBLE else "one search", inquiry.kind]
    return {"custom_id": custom_id, "checker": "cited", "expected": inquiry.answer, "tags": tags}


def files() -> dict[str, str]:
    """The text of each file by its path in the scenario."""
    made = world("workload")
    cases = [(f"question-{n:03d}", inquiry) for n, inquiry in enumerate(made.inquiries, 1)]
    return {
        "requests.jsonl": lines(request(*case) for case in cases),
        "meta.jsonl": lines(meta(*case) for case in cases),
        "app/corpus.jsonl": lines(map(asdict, made.passages)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the workload of research_agent.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for name, text in files().items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
