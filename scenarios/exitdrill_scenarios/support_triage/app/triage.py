"""Sorts support tickets: who wrote, about what, how urgently, and with which reference.

    python triage.py < tickets.txt

reads one ticket per line (plain text, or JSON with a "text" and perhaps an "id") and prints one
JSON object per ticket. The exit code is 1 when a ticket could not be sorted. ``service.py`` does
the same over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import openai

HERE = Path(__file__).parent


class BadAnswer(ValueError):
    """The model's answer is not what was asked for."""


@dataclass(frozen=True)
class Settings:
    """How the model is reached and asked."""

    url_variable: str
    key_variable: str
    name: str
    max_tokens: int
    temperature: float
    timeout_seconds: float


@dataclass(frozen=True)
class Triage:
    """What the support desk needs to know of a ticket."""

    customer: str
    topic: str
    priority: str
    reference: str


def load_settings(path: Path = HERE / "settings.toml") -> Settings:
    """What the settings file says."""
    settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    return Settings(**settings)


def connect(settings: Settings) -> openai.OpenAI:
    """A client of whoever serves the model; ends the program where the environment lacks them."""
    return openai.OpenAI(
        base_url=_variable(settings.url_variable),
        api_key=_variable(settings.key_variable),
        timeout=settings.timeout_seconds,
    )


def _variable(name: str) -> str:
    value = os.environ.get(name)
    return value or sys.exit(f"triage: the environment variable {name} is not set")


def ask(
    client: openai.OpenAI,
    settings: Settings,
    ticket: str,
    headers: Mapping[str, str] | None = None,
) -> Triage:
    """Have the model read one ticket; the headers are sent along. `BadAnswer` where it fails."""
    completion = client.chat.completions.create(
        model=settings.name,
        messages=[
            {"role": "system", "content": (HERE / "prompt.txt").read_text("utf-8").strip()},
            {"role": "user", "content": ticket},
        ],
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        extra_headers=headers,
    )
    return parse_answer(completion.choices[0].message.content or "")


def parse_answer(text: str) -> Triage:
    """The model's JSON as a `Triage`; `BadAnswer` for anything else."""
    try:
        answer = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadAnswer(f"not JSON: {text[:80]!r}") from error
    wanted = {field.name for field in fields(Triage)}
    if not isinstance(answer, dict) or answer.keys() != wanted:
        raise BadAnswer(f"wants {sorted(wanted)}: {text[:80]!r}")
    if not all(isinstance(value, str) for value in answer.values()):
        raise BadAnswer(f"wants text in every field: {text[:80]!r}")
    return Triage(**answer)


def read_tickets(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The id and the text of every ticket; the line number is the id of one that has none."""
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith("{"):
            ticket = json.loads(line)
            yield str(ticket.get("id", number)), ticket["text"]
        elif line.strip():
            yield str(number), line.strip()


def run(settings: Settings, tickets: Iterable[str], output: TextIO) -> int:
    """Sort all tickets; returns how many could not be sorted."""
    failures = 0
    with connect(settings) as client:
        for ticket_id, text in read_tickets(tickets):
            try:
                result = asdict(ask(client, settings, text))
            except (BadAnswer, openai.APIError) as error:
                failures += 1
                result = {"error": str(error)}
            line = json.dumps({"id": ticket_id} | result, ensure_ascii=False)
            output.write(f"{line}\n")
            output.flush()
    return failures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Sort support tickets, one per line.")
    parser.add_argument("--settings", type=Path, default=HERE / "settings.toml")
    settings = load_settings(parser.parse_args().settings)
    return 1 if run(settings, sys.stdin, sys.stdout) else 0


if __name__ == "__main__":
    sys.exit(main())
