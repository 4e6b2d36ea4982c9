"""Answers of ``/v1/responses``: items that open, grow and close, streamed or in one piece."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exitdrill.backend import (
    Event,
    Finish,
    FinishReason,
    Opaque,
    Reasoning,
    Reply,
    Text,
    ToolCallDelta,
)
from exitdrill.gateway.answer import About, Told, signature
from exitdrill.gateway.chat import made_id
from exitdrill.gateway.envelope import Envelope
from exitdrill.records import dump

Json = dict[str, Any]
Kind = Literal["reasoning", "output_text", "refusal", "function_call"]
Status = Literal["in_progress", "completed", "incomplete"]

_DELTA: Mapping[Kind, str] = {
    "reasoning": "response.reasoning_text.delta",
    "output_text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "function_call": "response.function_call_arguments.delta",
}
_INCOMPLETE: Mapping[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
"""What a response repeats of its request, and what it says where that said nothing."""


@dataclass
class _Item:
    """One item of an output. ``call`` is the number of a tool call among those of the answer."""

    kind: Kind
    index: int
    id: str
    call: int | None = None
    call_id: str = ""
    name: str = ""
    said: list[str] = field(default_factory=list)
    status: Status = "in_progress"

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def place(self) -> Json:
        """What each of its events begins with."""
        place: Json = {"item_id": self.id, "output_index": self.index}
        return place if self.kind == "function_call" else {**place, "content_index": 0}

    def part(self, text: str) -> Json:
        """Its one part of content."""
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def document(self) -> Json:
        """The item as it is now."""
        about: Json = {"id": self.id, "status": self.status}
        content = [] if self.status == "in_progress" else [self.part(self.text)]
        if self.kind == "function_call":
            call = {"call_id": self.call_id, "name": self.name, "arguments": self.text}
            return {**about, "type": "function_call", **call}
        if self.kind == "reasoning":
            return {**about, "type": "reasoning", "summary": [], "content": content}
        return {**about, "type": "message", "role": "assistant", "content": content}


_PREFIX: Mapping[Kind, str] = {
    "reasoning": "rs_",
    "output_text": "msg_",
    "refusal": "msg_",
    "function_call": "fc_",
}


class ResponseAnswer:
    """A response. ``end`` brings what only the whole of it says: tokens, and how it ended."""

    def __init__(self, about: About) -> None:
        self.done = False
        self._about = about
        self._number = 0
        self._items: list[_Item] = []
        self._finish: FinishReason | None = None

    def event(self, event: Event, choice: int) -> bytes:
        """The events of an event; before the first ones, that the response began."""
        if isinstance(event, Finish):
            if event.reason == "error" or self._finish is not None:
                return b""  # an exchange that fails says why by itself
            self._finish = event.reason
            return self._beginning() + self._close(None)
        return self._said(event)

    def end(self, told: Sequence[Told]) -> bytes:
        """The whole response."""
        self.done = True
        document = self._document(told)
        return self._beginning() + self._event(
            f"response.{document['status']}", {"response": document}
        )

    def failed(self, envelope: Envelope) -> bytes:
        """That it failed, and how."""
        error = envelope.document()["error"]
        code = error["code"] or "server_error"
        failure = {"code": code, "message": error["message"]}
        document = self._envelope("failed", None) | {"error": failure}
        return self._event("response.failed", {"response": document})

    def whole(self, told: Sequence[Told]) -> Mapping[str, Any]:
        """The response in one piece."""
        for event in told[0].events:
            self.event(event, 0)
        return self._document(told)

    # --- items

    def _said(self, event: Event) -> bytes:
        match event:
            case Text(text=text) if text:
                return self._grow("output_text", text)
            case Reasoning(text=text) if text:
                return self._grow("reasoning", text)
            case Opaque(data=data) if isinstance(data.get("refusal"), str):
                return self._grow("refusal", data["refusal"])
            case ToolCallDelta():
                return self._call(event)
        return b""

    def _grow(self, kind: Kind, text: str) -> bytes:
        item = self._current(kind)
        before = b""
        if item is None:
            before = self._beginning() + self._close(None) + self._open(kind, None)
            item = self._items[-1]
        return before + self._delta(item, text)

    def _call(self, event: ToolCallDelta) -> bytes:
        item = next((each for each in self._items if each.call == event.index), None)
        before = b""
        if item is None:
            # Calls may grow side by side; text and reasoning are over when one begins.
            before = (
                self._beginning()
                + self._close("function_call")
                + self._open("function_call", event)
            )
            item = self._items[-1]
        return before + (self._delta(item, event.arguments) if event.arguments else b"")

    def _current(self, kind: Kind) -> _Item | None:
        last = self._items[-1] if self._items else None
        return last if last and last.kind == kind and last.status == "in_progress" else None

    def _open(self, kind: Kind, call: ToolCallDelta | None) -> bytes:
        item = _Item(kind, len(self._items), f"{_PREFIX[kind]}{secrets.token_hex(12)}")
        if call is not None:
            item.call, item.name = call.index, call.name or ""
            item.call_id = call.id or made_id()
        self._items.append(item)
        added = {"output_index": item.index, "item": item.document()}
        begun = self._event("response.output_item.added", added)
        if call is not None:
            return begun
        return begun + self._event(
            "response.content_part.added", {**item.place, "part": item.part("")}
        )

    def _delta(self, item: _Item, text: str) -> bytes:
        item.said.append(text)
        more: Json = {"logprobs": []} if item.kind == "output_text" else {}
        return self._event(_DELTA[item.kind], {**item.place, "delta": text, **more})

    def _close(self, but: Kind | None) -> bytes:
        """Close all open items, but those of one kind."""
        open_items = [
            item for item in self._items if item.status == "in_progress" and item.kind != but
        ]
        return b"".join(map(self._closed, open_items))

    def _closed(self, item: _Item) -> bytes:
        item.status = "incomplete" if self._finish in _INCOMPLETE else "completed"
        text = item.text
        name = _DELTA[item.kind].removesuffix("delta") + "done"
        what: Json = {"text": text}
        if item.kind == "function_call":
            what = {"arguments": text, "name": item.name}
        elif item.kind == "refusal":
            what = {"refusal": text}
        elif item.kind == "output_text":
            what["logprobs"] = []
        done = self._event(name, {**item.place, **what})
        if item.kind != "function_call":
            part = {**item.place, "part": item.part(text)}
            done += self._event("response.content_part.done", part)
        whole = {"output_index": item.index, "item": item.document()}
        return done + self._event("response.output_item.done", whole)

    # --- the response

    def _beginning(self) -> bytes:
        if self._number:
            return b""
        document = {"response": self._envelope("in_progress", None)}
        return self._event("response.created", document) + self._event(
            "response.in_progress", document
        )

    def _document(self, told: Sequence[Told]) -> Json:
        reason = _INCOMPLETE.get(self._finish or "stop")
        status = "completed" if reason is None else "incomplete"
        document = self._envelope(status, _usage(told[0].reply)) | signature(self._about, told)
        document["incomplete_details"] = None if reason is None else {"reason": reason}
        return document

    def _envelope(self, status: str, usage: Json | None) -> Json:
        about = self._about
        echoed = {
            name: other if about.body.get(name) is None else about.body[name]
            for name, other in _ECHOED.items()
        }
        return {
            "id": about.id,
            "object": "response",
            "created_at": about.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": about.model,
            "output": [item.document() for item in self._items],
            "usage": usage,
            **echoed,
            "background": False,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
        }

    def _event(self, name: str, more: Mapping[str, Any]) -> bytes:
        document = {"type": name, "sequence_number": self._number, **more}
        self._number += 1
        return f"event: {name}\ndata: {dump(document)}\n\n".encode()


def _usage(reply: Reply) -> Json | None:
    # Clients want every field there, also those that nobody counted.
    if reply.input_tokens is None or reply.output_tokens is None:
        return None
    return {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"cached_tokens": reply.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
