"""A request as an OpenAI-compatible server takes it: the body, and the edits that led there.

Pure, and driven by the vendor's row. A value that asks for nothing (null, or what happens anyway)
is left out without an edit: nothing is lost by that. Everything else that is not sent as it came
is an edit.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from typing import Any

from exitdrill.backend import Edit, EditAction, Prepared, Request
from exitdrill_adapters.openai.vendors import Parameters, Vendor

_OURS = frozenset({"model", "stream", "stream_options"})
"""The swap replaces the model, and how the answer travels is the adapter's business."""

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "encoding_format": ("float",),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto",),
    "stop": ([],),
    "store": (False,),
    "tool_choice": ("auto",),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Values that say what would happen without them."""

_ALPHABET = string.ascii_letters + string.digits


def prepare(
    request: Request, vendor: Vendor, model: str, extra_body: Mapping[str, Any]
) -> Prepared:
    """``request`` as ``vendor`` takes it. Does not touch the request."""
    parameters = vendor.operations.get(request.operation)
    if parameters is None:
        edit = Edit("reject", "", f"{vendor.name} has no {request.operation}")
        return Prepared(request, {}, (edit,))
    rewriter = _Rewriter(vendor, request.body)
    body = rewriter.parameters(parameters)
    rewriter.choices()
    if request.operation == "chat" and isinstance(body.get("messages"), list):
        body["messages"] = rewriter.messages(body["messages"])
    if vendor.keeps_stop and body.get("stop"):
        rewriter.edit("transform", "/stop", "stays in the answer; cut off by the adapter")
    body["model"] = model
    if request.operation != "embedding":
        body["stream"] = True
        if vendor.stream_usage:
            body["stream_options"] = _stream_options(request.body)
    body.update(extra_body)
    return Prepared(request, body, tuple(rewriter.edits))


def tool_call_id(original: str, length: int) -> str:
    """An id of ``length`` letters and digits: always the same one for the same original."""
    if len(original) == length and original.isascii() and original.isalnum():
        return original
    number = int.from_bytes(hashlib.sha256(original.encode()).digest())
    letters: list[str] = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def _stream_options(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("stream_options")
    return {**(given if isinstance(given, dict) else {}), "include_usage": True}


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _among(value: object, values: tuple[object, ...]) -> bool:
    # In Python False equals 0, in JSON it does not: logprobs = 0 asks for something.
    return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)


class _Rewriter:
    def __init__(self, vendor: Vendor, body: Mapping[str, Any]) -> None:
        self.vendor = vendor
        self.body = body
        self.edits: list[Edit] = []

    def edit(self, action: EditAction, path: str, detail: str) -> None:
        self.edits.append(Edit(action, path, detail))

    # --- parameters

    def parameters(self, known: Parameters) -> dict[str, Any]:
        """Everything but what is ours, under the server's names, without what it cannot honour."""
        out: dict[str, Any] = {}
        for key, value in self.body.items():
            if key in _OURS or value is None:
                continue
            why = self._not_honoured(key, value, known)
            if why is None:
                self._send(key, value, known, out)
            elif not _among(value, _NEUTRAL.get(key, ())):
                self.edit("drop", _pointer(key), why)
        return out

    def _not_honoured(self, key: str, value: object, known: Parameters) -> str | None:
        limit = known.limits.get(key)
        if limit is not None:
            return None if _among(value, limit.accepts) else f"{self.vendor.name}: {limit.why}"
        if known.honours is None or key in known.honours or key in known.rename:
            return None
        return f"not among the parameters that {self.vendor.name} is known to honour"

    def _send(self, key: str, value: Any, known: Parameters, out: dict[str, Any]) -> None:
        name = known.rename.get(key, key)
        if name == key:
            out[key] = value
        elif self.body.get(name) is None:
            out[name] = value
            self.edit("rename", _pointer(key), f"sent as {name}")
        elif self.body[name] != value:
            self.edit("drop", _pointer(key), f"{name} is there too, and says something else")

    def choices(self) -> None:
        """An exchange has one answer."""
        for key in ("n", "best_of"):
            count = self.body.get(key)
            if isinstance(count, int) and count > 1:
                self._reject_count(key, f"asks for {count} answers; an exchange has one")
        prompt = self.body.get("prompt")
        if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
            self._reject_count("prompt", f"holds {len(prompt)} prompts; an exchange has one")

    def _reject_count(self, key: str, detail: str) -> None:
        path = _pointer(key)
        self.edits = [edit for edit in self.edits if edit.path != path]
        self.edit("reject", path, detail)

    # --- messages

    def messages(self, messages: list[Any]) -> list[Any]:
        """The conversation; a message that needs no change is passed on as it is."""
        out = [
            self._message(message, f"/messages/{at}") if isinstance(message, dict) else message
            for at, message in enumerate(messages)
        ]
        return self._hoist(out) if self.vendor.late_system == "hoist" else out

    def _message(self, message: dict[str, Any], path: str) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if message.get("role") == "developer" and not self.vendor.developer_role:
            changes["role"] = "system"
            self.edit(
                "transform", f"{path}/role", f"{self.vendor.name} knows no developer role: system"
            )
        if message.get("tool_calls"):
            changes |= self._calling(message, path)
        if isinstance(message.get("tool_call_id"), str):
            changes |= self._id(message, "tool_call_id", path)
        if isinstance(message.get("content"), list):
            self._parts(message["content"], f"{path}/content")
        return {**message, **changes} if changes else message

    def _calling(self, message: dict[str, Any], path: str) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        calls = message["tool_calls"]
        if isinstance(calls, list):
            new = [self._call(call, f"{path}/tool_calls/{at}") for at, call in enumerate(calls)]
            if any(a is not b for a, b in zip(new, calls, strict=True)):
                changes["tool_calls"] = new
        if message.get("content") and not self.vendor.content_beside_tool_calls:
            changes["content"] = None
            self.edit("drop", f"{path}/content", f"{self.vendor.name} ignores it beside tool calls")
        return changes

    def _call(self, call: Any, path: str) -> Any:
        if not isinstance(call, dict):
            return call
        changes = self._id(call, "id", path) if isinstance(call.get("id"), str) else {}
        function = call.get("function")
        if isinstance(function, dict):
            text = self._arguments(function.get("arguments"), f"{path}/function/arguments")
            if text is not None:
                changes["function"] = {**function, "arguments": text}
        return {**call, **changes} if changes else call

    def _id(self, holder: dict[str, Any], key: str, path: str) -> dict[str, Any]:
        length = self.vendor.tool_call_id_length
        original = holder[key]
        if length is None or (new := tool_call_id(original, length)) == original:
            return {}
        detail = f"{self.vendor.name} takes ids of {length} letters and digits only: {new}"
        self.edit("transform", f"{path}/{key}", detail)
        return {key: new}

    def _arguments(self, arguments: object, path: str) -> str | None:
        if isinstance(arguments, dict):
            self.edit("transform", path, "an object; sent as JSON text, which the API asks for")
            return json.dumps(arguments, ensure_ascii=False)
        if arguments == "" and not self.vendor.empty_arguments:
            self.edit("transform", path, f"{self.vendor.name} fails on empty text: {{}}")
            return "{}"
        return None

    def _parts(self, parts: list[Any], path: str) -> None:
        allowed = self.vendor.content_parts
        if allowed is None:
            return
        for at, part in enumerate(parts):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in allowed:
                detail = f"{self.vendor.name} may lose {kind!r} parts without a word"
                self.edit("reject", f"{path}/{at}", detail)

    def _hoist(self, messages: list[Any]) -> list[Any]:
        roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
        start = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
        late = [at for at in range(start, len(roles)) if roles[at] == "system"]
        for at in late:
            self.edit(
                "transform", f"/messages/{at}", "a late system message; moved behind the first ones"
            )
        rest = [messages[at] for at in range(start, len(roles)) if roles[at] != "system"]
        return [*messages[:start], *(messages[at] for at in late), *rest]
