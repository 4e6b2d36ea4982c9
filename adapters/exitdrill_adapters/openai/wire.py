"""What an OpenAI-compatible server sends, as events: sans IO, driven by the vendor's row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from exitdrill.backend import (
    Event,
    Finish,
    FinishReason,
    MadeBy,
    Opaque,
    Operation,
    Reasoning,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import BackendError
from exitdrill_adapters.openai import failures
from exitdrill_adapters.openai.cleaning import Cleaner, beginning, finite
from exitdrill_adapters.openai.pieces import StopTrimmer, ThinkSplitter
from exitdrill_adapters.openai.vendors import Vendor

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "abort": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
    "MALFORMED_FUNCTION_CALL": "error",
}

_SILENT = frozenset({"role", "content", "tool_calls"})
_DONE = b"[DONE]"
_MAX_REASON = 100
_MAX_NAME = 100
_MADE_BY = ("model", "system_fingerprint", "service_tier", "provider")
"""Fields of an answer that say what made it: a vendor may change that behind one name."""
_MAX_QUOTED = 4096
"""Bytes of a payload in an error message, before that is cleaned and cut."""


def malformed(message: str) -> BackendError:
    """The error for a stream that cannot be read."""
    return BackendError("malformed_stream", message, status=200)


class ChunkReader:
    """Turns the payloads of one streamed answer into events.

    ``done`` says that the server announced the end; whoever reads may stop then. The answer itself
    is not cleaned of anything.
    """

    def __init__(
        self, vendor: Vendor, operation: Operation, body: Mapping[str, Any], cleaner: Cleaner
    ) -> None:
        self.done = False
        self._cleaner = cleaner
        self._chat = operation == "chat"
        self._fields = vendor.reasoning
        self._spoken = _SILENT.union(vendor.reasoning)
        self._think = ThinkSplitter() if vendor.think_tags and self._chat else None
        stops = _stops(body) if vendor.keeps_stop else []
        self._trim = StopTrimmer(stops) if stops else None
        self._calls = _CallIndex()
        self._usage: Usage | None = None
        self._made_by: Mapping[str, Any] | None = None
        self._finished = False

    def read(self, payload: bytes, at: int) -> list[Event]:
        """The events of one payload that arrived ``at``.

        Raises `BackendError` for an error in the stream, and for what is not a chunk.
        """
        if payload == _DONE:
            self.done = True
            return []
        events: list[Event] = []
        chunk = parse_chunk(payload)
        if chunk.get("error"):
            raise failures.from_stream(chunk["error"])
        if self._made_by is None and (chunk.get("model") or chunk.get("system_fingerprint")):
            self._made_by = {name: chunk.get(name) for name in _MADE_BY}
        if chunk.get("usage"):
            self._usage = read_usage(chunk["usage"], at) or self._usage
        choices = chunk.get("choices")
        if choices:
            self._choice(choices, at, events)
        elif chunk.get("object") == "error":
            raise failures.from_stream(chunk)
        return events

    def end(self, at: int) -> list[Event]:
        """The events that were waiting for the end of the stream, at `done` or when no more comes.

        Raises `BackendError` where nothing says that the answer is whole.
        """
        if not (self._finished or self.done):
            raise malformed("the stream ended with neither a finish reason nor [DONE]")
        events: list[Event] = []
        self._flush(at, events)
        # Not when it comes: on many servers a first chunk without content precedes all waiting.
        events += made_by(self._made_by or {}, self._cleaner, at)
        if self._usage is not None:
            events.append(self._usage)
        return events

    # --- one choice

    def _choice(self, choices: Any, at: int, events: list[Event]) -> None:
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, dict):
            raise malformed("a chunk whose choices are not a list of objects")
        if self._chat:
            if delta := choice.get("delta"):
                self._delta(delta, at, events)
        elif text := choice.get("text"):
            self._text(text, at, events)
        if choice.get("logprobs"):
            events.append(Opaque(at, {"logprobs": finite(choice["logprobs"])}))
        if reason := choice.get("finish_reason"):
            self._flush(at, events)
            self._finish(str(reason), at, events)

    def _delta(self, delta: Any, at: int, events: list[Event]) -> None:
        if not isinstance(delta, dict):
            raise malformed("a chunk whose delta is not an object")
        for name in self._fields:
            if piece := delta.get(name):
                events.append(Reasoning(at, str(piece)))
                break
        if content := delta.get("content"):
            self._content(content, at, events)
        if calls := delta.get("tool_calls"):
            self._flush(at, events)
            events.extend(self._calls.read(calls, at))
        if not self._spoken.issuperset(delta):
            rest = {k: v for k, v in delta.items() if k not in self._spoken and v}
            if rest:
                events.append(Opaque(at, finite(rest)))

    def _content(self, content: Any, at: int, events: list[Event]) -> None:
        """Text, or a list of parts (Mistral: text, thinking, references)."""
        if not isinstance(content, list):
            self._text(content, at, events)
            return
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text":
                self._text(part.get("text") or "", at, events)
            elif kind == "thinking" and (text := _thinking(part.get("thinking"))):
                events.append(Reasoning(at, text))
            elif kind != "thinking":
                events.append(Opaque(at, {"content": finite(part)}))

    def _text(self, text: Any, at: int, events: list[Event]) -> None:
        if not isinstance(text, str):
            raise malformed("a chunk whose text is not a string")
        if self._think is not None:
            reasoning, text = self._think.feed(text)
            if self._think.over:
                self._think = None
            if reasoning:
                events.append(Reasoning(at, reasoning))
        if self._trim is not None:
            self._trimmed(self._trim, text, at, events)
        elif text:
            events.append(Text(at, text))

    def _trimmed(self, trim: StopTrimmer, text: str, at: int, events: list[Event]) -> None:
        shown = trim.feed(text)
        if shown:
            events.append(Text(at, shown))
        if trim.matched:
            # What follows is read for its usage only: it was computed, and may be billed.
            self._finish("stop", at, events)

    def _flush(self, at: int, events: list[Event]) -> None:
        """Shows what the filters held back: what it might have become did not come."""
        text = ""
        if self._think is not None:
            reasoning, text = self._think.flush()
            if reasoning:
                events.append(Reasoning(at, reasoning))
        if self._trim is not None:
            self._trimmed(self._trim, text, at, events)
            text = self._trim.flush()
        if text:
            events.append(Text(at, text))

    def _finish(self, raw: str, at: int, events: list[Event]) -> None:
        if not self._finished:
            self._finished = True
            reason = FINISH_REASONS.get(raw, "other")
            events.append(Finish(at, reason, self._cleaner.text(raw, _MAX_REASON)))


class _CallIndex:
    """Gives each tool call its own index, also where the server numbers them wrongly (all 0, or
    not at all): a new id is a new call."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str | None, int]] = {}
        self._next = 0

    def read(self, calls: Any, at: int) -> list[Event]:
        if not isinstance(calls, list):
            raise malformed("a chunk whose tool_calls are not a list")
        return [self._call(call, position, at) for position, call in enumerate(calls)]

    def _call(self, call: Any, position: int, at: int) -> ToolCallDelta:
        if not isinstance(call, dict):
            raise malformed("a tool call that is not an object")
        number = call.get("index")
        identity = _word(call.get("id"))
        index = self._index(number if type(number) is int else position, identity)
        function = call.get("function") or {}
        if not isinstance(function, dict):
            raise malformed("a tool call whose function is not an object")
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        return ToolCallDelta(at, index, identity, _word(function.get("name")), arguments)

    def _index(self, number: int, identity: str | None) -> int:
        known = self._seen.get(number)
        if known is not None and (identity is None or known[0] in (None, identity)):
            self._seen[number] = (known[0] or identity, known[1])
            return known[1]
        index, self._next = self._next, self._next + 1
        self._seen[number] = (identity, index)
        return index


# --- parts --------------------------------------------------------------------------------------


def parse_chunk(payload: bytes) -> dict[str, Any]:
    """The JSON object of a payload; an empty one for an empty payload. Raises `BackendError`."""
    if not payload.strip():
        return {}
    try:
        chunk = from_json(payload)  # three times as fast as json.loads, and strict about UTF-8
    except ValueError:
        start = beginning(payload, _MAX_QUOTED)
        raise malformed(f"a payload that is not JSON: {start}") from None
    if not isinstance(chunk, dict):
        raise malformed("a chunk that is not an object")
    return chunk


def made_by(reply: Mapping[str, Any], cleaner: Cleaner, at: int) -> list[Event]:
    """What a reply says of who made it, as one event; none where it says nothing."""
    said = {name: value for name in _MADE_BY if isinstance(value := reply.get(name), str) and value}
    if not said:
        return []
    return [MadeBy(at, {name: cleaner.text(value, _MAX_NAME) for name, value in said.items()})]


def _word(value: Any) -> str | None:
    """An identifier; some servers count where others name."""
    return str(value) if value and isinstance(value, str | int) else None


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return [stop for stop in stops if isinstance(stop, str) and stop]


def _thinking(value: Any) -> str:
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def read_usage(usage: Any, at: int) -> Usage | None:
    """Token counts, as the server reports them; None where they are no counts."""
    if not isinstance(usage, dict) or not _is_count(usage.get("prompt_tokens")):
        return None
    details = usage.get("prompt_tokens_details")
    cached: Any = details.get("cached_tokens") if isinstance(details, dict) else None
    cached = cached or usage.get("prompt_cache_hit_tokens")
    output = usage.get("completion_tokens") or 0  # an embedding has none
    if not _is_count(output):
        return None
    return Usage(
        at, usage["prompt_tokens"], output, cached_tokens=cached if _is_count(cached) else 0
    )


def _is_count(value: Any) -> bool:
    return type(value) is int  # no bool
