"""Measure models on held-out tickets, decoded greedily as anybody would.

python -m exitdrill_scenarios.training.evaluate MODEL_DIR... [--split workload|dev]
"""

# ruff: noqa: T201 (it is a script)

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from . import workload
from .tickets import KEYS, LANGUAGES, Ticket, balanced, messages

DEV_SEED, DEV_CASES = 1, 480
DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Outcome:
    """What a model said about one ticket."""

    ticket: Ticket
    text: str
    tokens: int

    @property
    def fields(self) -> dict[str, object]:
        """The answer as an object; empty when it is none, or has other keys or another order."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) and tuple(value) == KEYS else {}

    def right(self, key: str) -> bool:
        """Whether one field is right."""
        return self.fields.get(key) == self.ticket.expected[key]

    @property
    def fully_right(self) -> bool:
        """Whether all four are."""
        return self.fields == self.ticket.expected


def held_out(split: str) -> list[Ticket]:
    """The tickets of the workload, or the dev set."""
    if split == "workload":
        return balanced("workload", workload.SEED, workload.CASES)
    return balanced("dev", DEV_SEED, DEV_CASES)


class Reader:
    """A model folder, loaded."""

    def __init__(self, folder: Path | str, dtype: str = "auto") -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True
        )
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def prompt(self, ticket: Ticket) -> str:
        """The conversation as the model's chat template writes it."""
        text: str = self.tokenizer.apply_chat_template(
            messages(ticket.text), tokenize=False, add_generation_prompt=True
        )
        return text

    @torch.no_grad()
    def read(self, tickets: Sequence[Ticket], batch: int = 16) -> list[Outcome]:
        """Greedy answers, in the order of the tickets."""
        outcomes: list[Outcome] = []
        for start in range(0, len(tickets), batch):
            group = tickets[start : start + batch]
            prompts = [self.prompt(ticket) for ticket in group]
            inputs = self.tokenizer(
                prompts, return_tensors="pt", padding=True, add_special_tokens=False
            )
            inputs.pop("token_type_ids", None)
            rows = self.model.generate(**inputs, max_new_tokens=96)[
                :, inputs["input_ids"].shape[1] :
            ]
            outcomes += [
                self._outcome(ticket, row.tolist()) for ticket, row in zip(group, rows, strict=True)
            ]
        return outcomes

    def _outcome(self, ticket: Ticket, ids: list[int]) -> Outcome:
        """Tokens are counted up to and including the end token, not the padding after it."""
        end = self.tokenizer.eos_token_id
        ids = ids[: ids.index(end) + 1] if end in ids else ids
        return Outcome(ticket, self.tokenizer.decode(ids, skip_special_tokens=True), len(ids))

    @torch.no_grad()
    def expert_load(self, tickets: Sequence[Ticket]) -> list[list[float]]:
        """The share of the routed tokens that each expert got, per layer; empty without experts."""
        if not hasattr(self.model.config, "num_local_experts"):
            return []
        counts = torch.zeros(
            self.model.config.num_hidden_layers, self.model.config.num_local_experts
        )
        for ticket in tickets:
            inputs = self.tokenizer(
                self.prompt(ticket), return_tensors="pt", add_special_tokens=False
            )
            output = self.model(input_ids=inputs["input_ids"], output_router_logits=True)
            for layer, logits in enumerate(output.router_logits):
                chosen = logits.topk(self.model.config.num_experts_per_tok, dim=-1).indices
                counts[layer] += torch.bincount(chosen.flatten(), minlength=counts.shape[1])
        shares: list[list[float]] = (counts / counts.sum(1, keepdim=True)).tolist()
        return shares


def percent(hits: Sequence[bool]) -> str:
    """A share to be printed."""
    return f"{100 * sum(hits) / len(hits):.1f}" if hits else "-"


def row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    """One line of the table."""
    cells = [name, percent([o.fully_right for o in outcomes])]
    cells += [percent([o.right(key) for o in outcomes]) for key in KEYS]
    cells += [
        percent([o.fully_right for o in outcomes if o.ticket.language == lang])
        for lang in LANGUAGES
    ]
    return [*cells, f"{statistics.median(o.tokens for o in outcomes):.0f}"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    header = [
        "model",
        "fully right %",
        *(f"{key} %" for key in KEYS),
        *(f"{lang} %" for lang in LANGUAGES),
        "tokens",
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure models on held-out tickets.")
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--split", choices=("workload", "dev"), default="workload")
    parser.add_argument(
        "--dtype", choices=sorted(DTYPES), default="auto", help="auto: what config.json declares"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--errors", type=int, default=0, help="print so many wrong answers (dev set only)"
    )
    arguments = parser.parse_args()
    tickets = held_out(arguments.split)
    rows, notes = [], []
    for folder in arguments.models:
        reader = Reader(folder, arguments.dtype)
        outcomes = reader.read(tickets, arguments.batch)
        rows.append(row(folder.name, outcomes))
        for layer, shares in enumerate(reader.expert_load(tickets[:60])):
            notes.append(
                f"{folder.name} layer {layer}: " + " ".join(f"{share:.2f}" for share in shares)
            )
        if arguments.split == "dev":
            wrong = [o for o in outcomes if not o.fully_right]
            notes += [
                f"{o.ticket.text}\n  {o.text}\n  {o.ticket.expected}"
                for o in wrong[: arguments.errors]
            ]
    print(table(rows), *notes, sep="\n")


if __name__ == "__main__":
    main()
