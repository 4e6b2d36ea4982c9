"""One answer in the making: takes token ids one by one, gives events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exitdrill.backend import (
    Event,
    Finish,
    FinishReason,
    Opaque,
    Reasoning,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill_adapters.transformers.jobs import Job
from exitdrill_adapters.transformers.prompts import Prompt
from exitdrill_adapters.transformers.text import Decode, Detokeniser, Piece, StopScanner

if TYPE_CHECKING:
    from transformers.utils.chat_parsing import ResponseParser

_REASONING = frozenset({"reasoning_content", "reasoning", "thinking"})
_CALL_ID = 9
"""Letters and digits: the only shape of a call's id that every vendor takes."""


@dataclass(slots=True)
class Sequence:
    """The state of one answer. ``parser`` is transformers' own reader of structured answers."""

    job: Job
    prompt: Prompt
    ends: frozenset[int]
    decode: Decode
    parser: ResponseParser | None = None
    output: int = 0
    done: bool = False
    _detokeniser: Detokeniser = field(init=False)
    _scanner: StopScanner = field(init=False)
    _unclaimed: int = field(default=0, init=False)
    _raw: str = field(default="", init=False)
    _fed: str = field(default="", init=False)
    _calls: int = field(default=0, init=False)
    _broken_call: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._detokeniser = Detokeniser(self.decode)
        self._scanner = StopScanner(self.job.body.get("stop", ()))

    def push(self, token: int, now: int) -> list[Event]:
        """The events of one more token, ``now`` being the clock on which the job was received."""
        at = now - self.job.received
        self.output += 1
        if token in self.ends:
            return self._finish(at, "stop", "eos")
        piece = self._detokeniser.push(token)
        events = self._scan(piece, at) if piece else []
        if self._scanner.stopped:
            return events + self._finish(at, "stop", "stop_string")
        if self.output >= self.prompt.room:
            raw = "context" if self.prompt.capped else "max_tokens"
            return events + self._finish(at, "length", raw)
        return events

    def _scan(self, piece: Piece, at: int) -> list[Event]:
        return [event for safe in self._scanner.push(piece) for event in self._parse(safe, at)]

    def _finish(self, at: int, reason: FinishReason, raw: str) -> list[Event]:
        self.done = True
        seen = self.output - (raw == "eos")  # an end mark is made, and not seen
        events: list[Event] = []
        if not self._scanner.stopped:
            rest = self._detokeniser.flush()
            events += self._scan(rest, at) if rest else []
        if self._scanner.stopped:
            reason, raw = "stop", "stop_string"
        events += [event for held in self._scanner.flush() for event in self._parse(held, at)]
        events += self._end_parser(at)
        if self._broken_call and reason == "stop":
            raw = "malformed_tool_call"
        elif self._calls and not self._broken_call and reason == "stop":
            reason = "tool_calls"
        # Counted in tokens, not in texts: what is reported is what the tokenizer itself made.
        given = len(self.prompt.ids)
        events.append(Usage(at, given, self.output))
        events.append(Usage(at, given, seen, source="recounted"))
        events.append(Finish(at, reason, raw))
        return events

    # --- structured answers ----------------------------------------------------------------------

    def _parse(self, piece: Piece, at: int) -> Iterator[Event]:
        if self.parser is None:
            yield Text(at, piece.text, piece.tokens)
            return
        self._unclaimed += piece.tokens
        self._fed += piece.text
        try:
            parsed = self.parser.feed(piece.text)
        except ValueError:
            yield from self._give_up(at, piece.text)
            return
        for one in parsed:
            yield from self._region_event(one, at, piece.text)

    def _end_parser(self, at: int) -> Iterator[Event]:
        if self.parser is None:
            return
        try:
            _, parsed = self.parser.finalize()
        except ValueError:
            yield from self._give_up(at, "")
            return
        for one in parsed:
            yield from self._region_event(one, at, "")

    def _give_up(self, at: int, rest: str) -> Iterator[Event]:
        """A tool call that is cut off or malformed is text, and so is what follows it."""
        self.parser, self._broken_call = None, True
        text = self._fed[self._fed.rfind(self._raw) :] if self._raw else rest
        if text:
            yield Text(at, text, self._claim())

    def _region_event(self, one: Mapping[str, Any], at: int, fed: str) -> Iterator[Event]:
        name = one["field"]
        if one["type"] == "region_open":
            self._raw, self._fed = "", fed
        elif one["type"] == "region_close":
            self._raw = ""
            yield from self._closed(name, one["value"], at)
        elif name == "content":
            yield Text(at, one["text"], self._claim())
        elif name in _REASONING:
            self._claim()
            yield Reasoning(at, one["text"])
        else:
            self._raw += one["text"]

    def _closed(self, name: str, value: Any, at: int) -> Iterator[Event]:
        if name == "content" or name in _REASONING:
            return
        self._claim()
        if name != "tool_calls":
            yield Opaque(at, {name: value})
            return
        for call in value if isinstance(value, list) else [value]:
            function = call.get("function", call) if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                yield self._call(function, call.get("id"), at)
            else:
                yield Opaque(at, {name: call})

    def _call(self, function: Mapping[str, Any], call_id: str | None, at: int) -> Event:
        arguments = function.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        index, self._calls = self._calls, self._calls + 1
        made_id = _call_id(self.prompt, index)
        return ToolCallDelta(at, index, call_id or made_id, function["name"], arguments)

    def _claim(self) -> int:
        tokens, self._unclaimed = self._unclaimed, 0
        return tokens


def _call_id(prompt: Prompt, index: int) -> str:
    """The same for the same prompt, so that a repeated drill repeats; different in every turn."""
    return hashlib.sha256(f"{prompt.ids}{index}".encode()).hexdigest()[:_CALL_ID]
