"""Answers of ``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from exitdrill.backend import Event, Finish, Opaque, Reasoning, Text, ToolCall, ToolCallDelta
from exitdrill.gateway.answer import DONE, About, Told, opaque_of, signature, sse, usage_of
from exitdrill.gateway.envelope import Envelope
from exitdrill.records import dump

_OURS = frozenset({"role", "tool_calls", "finish_reason", "index", "logprobs"})
"""Fields that vendor data does not overwrite."""


class _Chunks(ABC):
    """A stream of chunks, each with a piece of one choice.

    What is the same in all of them is encoded once: an answer may have thousands.
    """

    object: str
    chunk_object: str
    nothing: str
    """A piece that says nothing, as JSON without its outer braces."""

    def __init__(self, about: About) -> None:
        self.done = False
        self.about = about
        options = about.body.get("stream_options") or {}
        self._counts = bool(options.get("include_usage"))
        head = {"id": about.id, "object": self.chunk_object, "created": about.created}
        self._named = {**head, "model": about.model}
        self._head = f'data: {dump(self._named)[:-1]},"choices":[{{"index":'
        usage = ',"usage":null' if self._counts else ""
        self._tail = f"}}]{usage}}}\n\n"
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def event(self, event: Event, choice: int) -> bytes:
        """The chunks of an event."""
        if choice in self._finished:
            return b""
        if isinstance(event, Finish):
            return self._finish(event, choice)
        said = self._said(event, choice)
        if said and choice not in self._begun:
            said = self._opening(choice) + said
        return said.encode()

    def end(self, told: Sequence[Told]) -> bytes:
        """The tokens, where they were asked for and are known, and the end."""
        self.done = True
        usage = usage_of(told) if self._counts else None
        return (sse({**self._named, "choices": [], "usage": usage}) if usage else b"") + DONE

    def failed(self, envelope: Envelope) -> bytes:
        """The error as an event; without an end."""
        return sse(envelope.document())

    def whole(self, told: Sequence[Told]) -> Mapping[str, Any]:
        """The answer with all its choices."""
        return {
            "id": self.about.id,
            "object": self.object,
            "created": self.about.created,
            **signature(self.about, told),
            "choices": [self._choice(each, choice) for choice, each in enumerate(told)],
            "usage": usage_of(told),
        }

    def _finish(self, event: Finish, choice: int) -> bytes:
        if event.reason == "error":
            return b""  # the exchange fails, and says why
        said = "" if choice in self._begun else self._opening(choice)
        self._finished.add(choice)
        reason = json.dumps(self.about.manner.finish(event))
        last = (said + self._chunk(choice, self.nothing, finish=reason)).encode()
        if self._counts or len(self._finished) < self.about.choices:
            return last
        self.done = True  # what may follow (who answered, a count) nobody asked for
        return last + DONE

    def _chunk(self, choice: int, said: str, logprobs: str = "null", finish: str = "null") -> str:
        ends = f'"logprobs":{logprobs},"finish_reason":{finish}{self._tail}'
        return f"{self._head}{choice},{said},{ends}"

    def _opening(self, choice: int) -> str:
        """What precedes the first piece of a choice."""
        self._begun.add(choice)
        return ""

    @abstractmethod
    def _said(self, event: Event, choice: int) -> str:
        """The chunks of an event that says something; nothing for any other."""

    @abstractmethod
    def _choice(self, told: Told, choice: int) -> dict[str, Any]:
        """One choice of the answer in one piece."""

    def _end_of(self, told: Told, opaque: Mapping[str, Any]) -> dict[str, Any]:
        finishes = [event for event in told.events if isinstance(event, Finish)]
        reason = self.about.manner.finish(finishes[0]) if finishes else None
        return {"logprobs": opaque.get("logprobs"), "finish_reason": reason}


class CompletionAnswer(_Chunks):
    """An answer of ``/v1/completions``."""

    object = chunk_object = "text_completion"
    nothing = '"text":""'

    def _said(self, event: Event, choice: int) -> str:
        match event:
            case Text(text=text):
                return self._chunk(choice, f'"text":{json.dumps(text)}')
            case Reasoning(text=text):
                field = json.dumps(self.about.manner.reasoning)
                return self._chunk(choice, f'"text":"",{field}:{json.dumps(text)}')
            case Opaque(data=data) if data.get("logprobs"):
                return self._chunk(choice, self.nothing, logprobs=dump(data["logprobs"]))
        return ""

    def _choice(self, told: Told, choice: int) -> dict[str, Any]:
        opaque = opaque_of(told.events)
        reasoning = {self.about.manner.reasoning: told.reply.reasoning}
        return {
            "index": choice,
            "text": told.reply.text,
            **(reasoning if told.reply.reasoning else {}),
            **self._end_of(told, opaque),
        }


class ChatAnswer(_Chunks):
    """An answer of ``/v1/chat/completions``."""

    object = "chat.completion"
    chunk_object = "chat.completion.chunk"
    nothing = '"delta":{}'

    def __init__(self, about: About) -> None:
        super().__init__(about)
        self._reasoning = json.dumps(about.manner.reasoning)
        self._calls: set[tuple[int, int]] = set()

    def _opening(self, choice: int) -> str:
        self._begun.add(choice)
        return self._chunk(choice, '"delta":{"role":"assistant","content":""}')

    def _said(self, event: Event, choice: int) -> str:
        match event:
            case Text(text=text):
                return self._chunk(choice, f'"delta":{{"content":{json.dumps(text)}}}')
            case Reasoning(text=text):
                return self._chunk(choice, f'"delta":{{{self._reasoning}:{json.dumps(text)}}}')
            case ToolCallDelta():
                return self._chunk(
                    choice, f'"delta":{{"tool_calls":[{self._call(event, choice)}]}}'
                )
            case Opaque(data=data):
                return self._vendor_data(data, choice)
        return ""

    def _call(self, event: ToolCallDelta, choice: int) -> str:
        function: dict[str, Any] = {"arguments": event.arguments}
        call: dict[str, Any] = {"index": event.index}
        if event.name is not None:
            function = {"name": event.name, **function}
        if (choice, event.index) not in self._calls:
            self._calls.add((choice, event.index))
            call |= {"id": event.id or made_id(), "type": "function"}
        return dump({**call, "function": function})

    def _vendor_data(self, data: Mapping[str, Any], choice: int) -> str:
        delta = {name: value for name, value in data.items() if name not in _OURS}
        if "content" in delta:
            delta["content"] = [delta["content"]]  # a part that is no text
        logprobs = dump(data["logprobs"]) if data.get("logprobs") else "null"
        if not delta and logprobs == "null":
            return ""
        return self._chunk(choice, f'"delta":{dump(delta)}', logprobs)

    def _choice(self, told: Told, choice: int) -> dict[str, Any]:
        opaque = opaque_of(told.events)
        return {
            "index": choice,
            "message": self._message(told, opaque),
            **self._end_of(told, opaque),
        }

    def _message(self, told: Told, opaque: Mapping[str, Any]) -> dict[str, Any]:
        reply = told.reply
        more = {name: each for name, each in opaque.items() if name not in {*_OURS, "content"}}
        silent = reply.tool_calls or more.get("function_call") or more.get("refusal")
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text or (None if silent else ""),
            "refusal": None,
        }
        parts = [
            event.data["content"]
            for event in told.events
            if isinstance(event, Opaque) and "content" in event.data
        ]
        if parts:
            text = [{"type": "text", "text": reply.text}] if reply.text else []
            message["content"] = [*text, *parts]
        if reply.reasoning:
            message[self.about.manner.reasoning] = reply.reasoning
        if reply.tool_calls:
            message["tool_calls"] = [_whole_call(call) for call in reply.tool_calls]
        return {**message, **more}


def _whole_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or made_id(), "type": "function", "function": function}


def made_id() -> str:
    """The id of a tool call whose backend gave it none: clients answer by it."""
    return f"call_{secrets.token_hex(12)}"
