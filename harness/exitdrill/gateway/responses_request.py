"""A request to ``/v1/responses`` as a chat request, as long as nothing has to be remembered.

What a chat request says in other words is translated; what it cannot say is refused by name. Only
earlier reasoning is left out as an edit, which the scenario may allow: apps send it back with all
else that they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exitdrill.backend import Edit, Request
from exitdrill.gateway.envelope import Refused
from exitdrill.gateway.incoming import check_body

_SAME = (
    "frequency_penalty",
    "metadata",
    "model",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "stream",
    "temperature",
    "top_p",
    "user",
)
"""Parameters that a chat request has under the same name, with the same meaning."""

_NOTHING: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "previous_response_id": (),
    "prompt": (),
    "store": (False,),
    "stream_options": ({}, {"include_obfuscation": False}),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
"""Parameters that cannot be honoured, and the values (beside null) that ask for nothing."""

_WHY: Mapping[str, str] = {
    "background": "nothing runs on here when a call is over",
    "conversation": "nothing is stored here: send the whole conversation as input",
    "previous_response_id": "nothing is stored here: send the whole conversation as input",
    "prompt": "no prompts are stored here: send it as instructions and input",
    "store": "nothing is stored here: leave it out, or set it to false",
}
_TRANSLATED = frozenset(
    {"input", "instructions", "max_output_tokens", "reasoning", "text", "tool_choice", "tools"}
)
_ROLES = frozenset({"user", "assistant", "system", "developer"})
Message = dict[str, Any]


def as_chat(body: Mapping[str, Any]) -> tuple[Request, tuple[Edit, ...]]:
    """The chat request, and the edits. Raises `Refused` for what it cannot say."""
    for name, value in body.items():
        _check_parameter(name, value)
    conversation = _Conversation()
    if body.get("instructions") is not None:
        content = _text(body["instructions"], "instructions")
        conversation.messages.append({"role": "system", "content": content})
    conversation.read(body.get("input"))
    chat = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = conversation.messages
    for name, translate in _PARAMETERS.items():
        if body.get(name) is not None:
            chat |= translate(body[name])
    check_body("chat", chat)
    return Request("chat", chat), tuple(conversation.edits)


def _check_parameter(name: str, value: Any) -> None:
    if value is None or name in _SAME or name in _TRANSLATED:
        return
    if name not in _NOTHING:
        raise _no(name[:100], "is not a parameter that is known here")
    if not any(value == nothing and type(value) is type(nothing) for nothing in _NOTHING[name]):
        raise _no(name, _WHY.get(name, "cannot be honoured here"))


def _no(param: str, why: str) -> Refused:
    return Refused(
        400, f"{param}: {why}", code="unsupported_parameter", param=param, kind="unsupported"
    )


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise _no(param, "must be a text")
    return value


def _object(value: Any, param: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _no(param, "must be an object")
    return value


def _list(value: Any, param: str) -> list[Any]:
    if not isinstance(value, list):
        raise _no(param, "must be a list")
    return value


def _only(value: Mapping[str, Any], known: tuple[str, ...], param: str) -> None:
    for name, each in value.items():
        if each is not None and name not in known:
            raise _no(f"{param}.{name[:100]}", "cannot be honoured here")


# --- parameters that chat has under other names -------------------------------------------------


def _limit(value: Any) -> dict[str, Any]:
    return {"max_completion_tokens": value}


def _reasoning(value: Any) -> dict[str, Any]:
    reasoning = _object(value, "reasoning")
    _only(reasoning, ("effort",), "reasoning")
    effort = reasoning.get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


def _format(value: Any) -> dict[str, Any]:
    text = _object(value, "text")
    _only(text, ("format", "verbosity"), "text")
    chat: dict[str, Any] = {}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if text.get("format") is not None:
        wanted = _object(text["format"], "text.format")
        chat["response_format"] = _response_format(wanted)
    return chat


def _response_format(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    if wanted.get("type") != "json_schema":
        return wanted
    known = ("name", "description", "schema", "strict")
    _only(wanted, ("type", *known), "text.format")
    schema = {name: wanted[name] for name in known if wanted.get(name) is not None}
    return {"type": "json_schema", "json_schema": schema}


def _tools(value: Any) -> dict[str, Any]:
    tools = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(_list(value, "tools"))]
    return {"tools": tools} if tools else {}


def _tool(value: Any, param: str) -> Message:
    tool = _object(value, param)
    if tool.get("type") != "function":
        raise _no(f"{param}.type", "only functions can be called: the others run at a vendor")
    known = ("name", "description", "parameters", "strict")
    _only(tool, ("type", *known), param)
    function = {name: tool[name] for name in known if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"tool_choice": value}
    choice = _object(value, "tool_choice")
    if choice.get("type") != "function":
        raise _no("tool_choice.type", "only a function can be chosen")
    name = _text(choice.get("name"), "tool_choice.name")
    return {"tool_choice": {"type": "function", "function": {"name": name}}}


_PARAMETERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "max_output_tokens": _limit,
    "reasoning": _reasoning,
    "text": _format,
    "tools": _tools,
    "tool_choice": _tool_choice,
}


# --- the input ----------------------------------------------------------------------------------


class _Conversation:
    """The items of an input as messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.edits: list[Edit] = []

    def read(self, given: Any) -> None:
        if isinstance(given, str):
            self.messages.append({"role": "user", "content": given})
            return
        for at, item in enumerate(_list(given, "input")):
            self._item(_object(item, f"input[{at}]"), at)

    def _item(self, item: Mapping[str, Any], at: int) -> None:
        param = f"input[{at}]"
        match item.get("type", "message"):
            case "message":
                self.messages.append(_message(item, param))
            case "function_call":
                self._speaker().setdefault("tool_calls", []).append(_call(item, param))
            case "function_call_output":
                self.messages.append(_result(item, param))
            case "reasoning":
                self._reasoning(item, at)
            case "item_reference":
                raise _no(param, "nothing is stored here: send the item itself")
            case _:
                raise _no(f"{param}.type", "only messages, function calls and their outputs")

    def _speaker(self) -> Message:
        """The message of the assistant that a call belongs to."""
        last = self.messages[-1] if self.messages else {}
        if last.get("role") != "assistant":
            last = {"role": "assistant", "content": None}
            self.messages.append(last)
        return last

    def _reasoning(self, item: Mapping[str, Any], at: int) -> None:
        if any(item.get(name) for name in ("summary", "content", "encrypted_content")):
            detail = "a chat request has no place for earlier reasoning"
            self.edits.append(Edit("drop", f"/input/{at}", detail))


def _message(item: Mapping[str, Any], param: str) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise _no(f"{param}.role", f"must be one of {', '.join(sorted(_ROLES))}")
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [
        _part(_object(part, f"{param}.content[{at}]"), f"{param}.content[{at}]")
        for at, part in enumerate(_list(content, f"{param}.content"))
    ]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    alone = len(parts) == len(texts) == 1
    return {"role": role, "content": texts[0] if alone else parts}


def _part(part: Mapping[str, Any], param: str) -> Message:
    match part.get("type"):
        case "input_text" | "output_text":
            return {"type": "text", "text": _text(part.get("text"), f"{param}.text")}
        case "refusal":
            return {"type": "refusal", "refusal": _text(part.get("refusal"), f"{param}.refusal")}
        case "input_image" if isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
        case "input_file" if isinstance(part.get("file_data"), str):
            known = {name: part[name] for name in ("file_data", "filename") if part.get(name)}
            return {"type": "file", "file": known}
    raise _no(param, "only texts, images and files that are in the request itself")


def _call(item: Mapping[str, Any], param: str) -> Message:
    name = _text(item.get("name"), f"{param}.name")
    arguments = _text(item.get("arguments"), f"{param}.arguments")
    identity = _text(item.get("call_id"), f"{param}.call_id")
    function = {"name": name, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function}


def _result(item: Mapping[str, Any], param: str) -> Message:
    output = item.get("output")
    if isinstance(output, list):
        parts = [_object(part, f"{param}.output") for part in output]
        output = [_part(part, f"{param}.output") for part in parts]
    elif not isinstance(output, str):
        raise _no(f"{param}.output", "must be a text or a list of parts")
    identity = _text(item.get("call_id"), f"{param}.call_id")
    return {"role": "tool", "tool_call_id": identity, "content": output}
