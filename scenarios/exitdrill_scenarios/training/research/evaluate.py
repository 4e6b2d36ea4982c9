"""Measure a model on held-out questions: the app's own loop, with the model in this process.

python -m exitdrill_scenarios.training.research.evaluate [MODEL_DIR] [--split workload|dev]
"""

# ruff: noqa: T201 (it is a script)

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from exitdrill_scenarios.research_agent.app.archive import Archive
from exitdrill_scenarios.training.evaluate import percent
from exitdrill_scenarios.training.fitting import MODELS
from exitdrill_scenarios.training.research.books import DOUBLE, SINGLE
from exitdrill_scenarios.training.research.data import Inquiry
from exitdrill_scenarios.training.research.train import NAME
from exitdrill_scenarios.training.research.workload import FOLDER
from exitdrill_scenarios.training.research.world import world

MOST_TOKENS = 64


@dataclass
class Local:
    """A model folder, asked as the app asks its vendor; keeps the calls that it made."""

    folder: Path
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.net: Any = AutoModelForCausalLM.from_pretrained(self.folder, local_files_only=True)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)

    @torch.no_grad()
    def reply(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], _: object
    ) -> Any:
        """The model's next message, decoded greedily and read by transformers' own parser."""
        prompt = self.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
        ids = self.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        said = self.net.generate(ids, max_new_tokens=MOST_TOKENS)[0, ids.shape[1] :]
        read = self.tokenizer.parse_response(said, prefix=prompt, tools=tools)
        calls = [self._call(each["function"]) for each in read.get("tool_calls", ())]
        return SimpleNamespace(content=read.get("content"), tool_calls=calls)

    def _call(self, function: Mapping[str, Any]) -> Any:
        arguments = function["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self.calls.append((function["name"], text))
        return SimpleNamespace(
            id="call", function=SimpleNamespace(**{**function, "arguments": text})
        )


@dataclass(frozen=True)
class Outcome:
    """What a model made of a question."""

    inquiry: Inquiry
    answer: str
    calls: tuple[tuple[str, str], ...]

    @property
    def right(self) -> bool:
        """Whether the answer and its source are right."""
        return self.answer == self.inquiry.answer

    @property
    def queries(self) -> list[str]:
        """The queries of the searches that are well formed."""
        app = _app()
        found = [app.query_of(text) for name, text in self.calls if name == "search"]
        return [query for query in found if query is not None]

    @property
    def looked_up(self) -> bool:
        """Whether it searched for just what had to be searched for."""
        return self.queries == [look.query for look in self.inquiry.looks]


def _app() -> Any:
    """The app's module, whose loop is the one that counts."""
    sys.path.insert(0, str(FOLDER / "app"))
    try:
        import agent
    finally:
        sys.path.pop(0)
    return agent


def outcomes(folder: Path, split: str, most: int | None = None) -> list[Outcome]:
    """What a model makes of the questions of a split."""
    made, model, app = world(split), Local(folder), _app()
    agent = app.Agent(model, Archive(made.passages))
    found = []
    for inquiry in made.inquiries[:most]:
        model.calls.clear()
        try:
            answer = agent.answer(inquiry.question, {})
        except app.NoAnswer:
            answer = ""
        found.append(Outcome(inquiry, answer, tuple(model.calls)))
    return found


def row(name: str, found: Sequence[Outcome]) -> list[str]:
    """One line of the table."""
    calls = [each for outcome in found for each in outcome.calls]
    valid = sum(len(outcome.queries) for outcome in found)
    return [
        name,
        str(len(found)),
        percent([each.right for each in found]),
        percent([each.looked_up for each in found]),
        f"{100 * valid / len(calls):.1f} of {len(calls)}" if calls else "-",
    ]


def table(found: Sequence[Outcome]) -> str:
    """A Markdown table: all questions, those of one and of two searches, and each kind."""
    groups = {"one search": SINGLE, "two searches": DOUBLE}
    groups |= {kind: (kind,) for kind in (*SINGLE, *DOUBLE)}
    rows = [row("all", found)]
    for name, kinds in groups.items():
        rows.append(row(name, [each for each in found if each.inquiry.kind in kinds]))
    header = ["questions", "n", "fully right %", "right searches %", "well-formed calls %"]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a model on held-out questions.")
    parser.add_argument("model", nargs="?", type=Path, default=MODELS / NAME)
    parser.add_argument("--split", choices=("workload", "dev"), default="workload")
    parser.add_argument("--errors", type=int, default=0, help="print wrong answers (dev set only)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = outcomes(arguments.model, arguments.split)
    print(table(found))
    if arguments.split == "dev":
        for each in [one for one in found if not one.right][: arguments.errors]:
            wanted = [look.query for look in each.inquiry.looks]
            print(each.inquiry.question, f"  {each.queries} {wanted}", sep="\n")
            print(f"  {each.answer!r} {each.inquiry.answer!r}")


if __name__ == "__main__":
    main()
