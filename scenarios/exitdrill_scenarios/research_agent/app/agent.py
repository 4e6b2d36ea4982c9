"""The loop: the model asks for searches until it answers, or has asked too often."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive import Archive
from vendor import Model

HERE = Path(__file__).parent
PROMPT = (HERE / "prompt.txt").read_text(encoding="utf-8").strip()
TOOLS = json.loads((HERE / "tools.json").read_text(encoding="utf-8"))


class NoAnswer(Exception):
    """The model did not come to an answer."""


@dataclass(frozen=True)
class Agent:
    """Answers questions from the archive."""

    model: Model
    archive: Archive
    most_turns: int = 6
    most_passages: int = 2

    def answer(self, question: str, headers: Mapping[str, str]) -> str:
        """The answer with its source. Raises `NoAnswer`, and what the SDK raises.

        The headers go with every call of the model's, so that calls can be told apart.
        """
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": question},
        ]
        for _ in range(self.most_turns):
            reply = self.model.reply(messages, TOOLS, headers)
            if not reply.tool_calls:
                return str(reply.content or "")
            messages.append(asked(reply))
            messages += [self.told(call) for call in reply.tool_calls]
        raise NoAnswer(f"no answer after {self.most_turns} turns")

    def told(self, call: Any) -> dict[str, Any]:
        """What a call gets for a reply: what was found, or what is wrong with the call."""
        content = self._run(call.function.name, call.function.arguments)
        return {"role": "tool", "tool_call_id": call.id, "content": content}

    def _run(self, name: str, arguments: str) -> str:
        if name != "search":
            return f"There is no tool {name[:40]!r}, only 'search'."
        query = query_of(arguments)
        if query is None:
            return "search takes a JSON object with the text 'query'."
        found = self.archive.search(query, self.most_passages)
        lines = [f"[{passage.id}] {passage.text}" for passage in found]
        return "\n".join(lines) or "No passage found."


def query_of(arguments: str) -> str | None:
    """The query of a call; None where its arguments hold none."""
    try:
        query = json.loads(arguments)["query"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return query if isinstance(query, str) else None


def asked(reply: Any) -> dict[str, Any]:
    """The model's calls as the next request repeats them.

    Arguments that are no JSON object are repeated as an empty one: servers read them anew.
    """
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": _object(call.function.arguments)},
        }
        for call in reply.tool_calls
    ]
    return {"role": "assistant", "content": reply.content or None, "tool_calls": calls}


def _object(arguments: str) -> str:
    try:
        known = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        known = False
    return arguments if known else "{}"
