"""A recorded request, turned into what the child understands; every loss is an `Edit`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exitdrill.backend import Edit, EditAction, Prepared, Request
from exitdrill_adapters.transformers.folder import ModelFolder
from exitdrill_adapters.transformers.settings import LocalOptions

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_TRANSPORT = frozenset({"model", "stream", "stream_options"})
"""Says how the answer travels, not what it is: has no meaning in process."""

_NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (True,),
    "tools": ([],),
    "stop": ([],),
    "chat_template_kwargs": ({},),
}
"""Values that ask for what happens anyway."""


@dataclass(slots=True)
class Draft:
    """A request being translated."""

    operation: str
    source: Mapping[str, Any]
    folder: ModelFolder
    options: LocalOptions
    body: dict[str, Any] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)

    def edit(self, action: EditAction, path: str, detail: str) -> None:
        self.edits.append(Edit(action, path, detail))


def prepare(request: Request, folder: ModelFolder, options: LocalOptions) -> Prepared:
    """The request as the child takes it."""
    draft = Draft(request.operation, request.body, folder, options)
    draft.body["operation"] = request.operation
    required = {"chat": "messages", "completion": "prompt"}.get(request.operation)
    if required is None:
        draft.edit("reject", "", f"a causal model does not answer {request.operation!r} requests")
        return Prepared(request, draft.body, tuple(draft.edits))
    if request.body.get(required) is None:
        draft.edit("reject", f"/{required}", f"{required!r} is missing")
    for key, value in request.body.items():
        _translate(draft, key, value)
    _check_sampling(draft)
    return Prepared(request, draft.body, tuple(draft.edits))


def _translate(draft: Draft, key: str, value: Any) -> None:
    neutral = key in _NEUTRAL and any(value == same for same in _NEUTRAL[key])
    if value is None or key in _TRANSPORT or neutral:
        return
    handler = _HANDLERS.get(key)
    wrong_place = {"messages": "completion", "tools": "completion", "prompt": "chat"}.get(key)
    if handler is not None and wrong_place != draft.operation:
        handler(draft, key, value)
    elif key in {"n", "best_of"}:
        draft.edit("reject", f"/{key}", "gives one answer per request")
    else:
        escaped = key.replace("~", "~0").replace("/", "~1")
        draft.edit("drop", f"/{escaped}", f"the transformers adapter has nothing like {key!r}")


# --- one function per parameter -------------------------------------------------------------------


def _number(low: float, high: float, *, above: bool = False) -> Callable[[Draft, str, Any], None]:
    """A number within bounds; ``above``: the lower bound itself is excluded."""

    def handle(draft: Draft, key: str, value: Any) -> None:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not low <= value <= high or (above and value == low):
            sign = "above" if above else "from"
            draft.edit("reject", f"/{key}", f"{value!r} is not a number {sign} {low} to {high}")
            return
        draft.body[key] = float(value)

    return handle


def _whole(low: int) -> Callable[[Draft, str, Any], None]:
    def handle(draft: Draft, key: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            draft.edit("reject", f"/{key}", f"{value!r} is not a whole number of at least {low}")
            return
        draft.body[key] = value

    return handle


def _max_tokens(draft: Draft, key: str, value: Any) -> None:
    newer = draft.source.get("max_completion_tokens")
    if key == "max_tokens" and newer is not None:
        if newer != value:
            draft.edit("drop", "/max_tokens", f"'max_completion_tokens' ({newer!r}) says otherwise")
        return
    _whole(1)(draft, key, value)
    if key in draft.body:
        draft.body["max_tokens"] = draft.body.pop(key)


def _seed(draft: Draft, key: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        draft.edit("reject", "/seed", f"{value!r} is not a whole number")
        return
    # torch takes 64 bits; the same seed stays the same seed.
    draft.body[key] = value % (1 << 63)


def _stop(draft: Draft, _: str, value: Any) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops):
        draft.edit("reject", "/stop", "neither a string nor a list of strings that are not empty")
        return
    draft.body["stop"] = stops
    if draft.options.mode == "continuous":
        detail = "continuous batching knows no stop strings: the adapter trims the text and cancels"
        draft.edit("transform", "/stop", detail)


def _prompt(draft: Draft, _: str, value: Any) -> None:
    single = value[0] if isinstance(value, list) and len(value) == 1 else value
    ids = value if isinstance(single, int) else single if isinstance(single, list) else None
    if isinstance(single, str):
        draft.body["prompt"] = single
    elif (
        isinstance(ids, list)
        and ids
        and all(isinstance(one, int) and not isinstance(one, bool) for one in ids)
    ):
        draft.body["prompt"] = ids
        detail = "token ids mean something else to every tokenizer; passed on as they are"
        draft.edit("transform", "/prompt", detail)
    else:
        draft.edit("reject", "/prompt", "neither one text nor one list of token ids")


def _tools(draft: Draft, _: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        draft.edit("reject", "/tools", "not a list of objects")
    elif draft.source.get("tool_choice") == "none":
        # Honours "none" to the letter: what the model is not told of, it cannot call.
        return
    elif not draft.folder.takes_tools:
        draft.edit("drop", "/tools", "the model's chat template does not know tools")
    else:
        draft.body["tools"] = value


def _template_kwargs(draft: Draft, key: str, value: Any) -> None:
    if isinstance(value, dict):
        draft.body[key] = value
    else:
        draft.edit("reject", f"/{key}", "not an object")


def _messages(draft: Draft, _: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        draft.edit("reject", "/messages", "not a list of at least one message")
        return
    messages = [_message(draft, f"/messages/{i}", one) for i, one in enumerate(value)]
    draft.body["messages"] = messages


def _message(draft: Draft, path: str, message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        draft.edit("reject", path, "not an object")
        return {}
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        known = ", ".join(sorted(_ROLES))
        draft.edit("reject", f"{path}/role", f"unknown role {role!r}; known are {known}")
    result = dict(message)
    if isinstance(message.get("content"), list):
        result["content"] = _parts(draft, f"{path}/content", message["content"])
    if message.get("tool_calls"):
        result["tool_calls"] = _calls(draft, f"{path}/tool_calls", message["tool_calls"])
    return result


def _parts(draft: Draft, path: str, parts: list[Any]) -> str:
    texts: list[str] = []
    for i, part in enumerate(parts):
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if isinstance(text, str):
            texts.append(text)
        else:
            kind = part.get("type") if isinstance(part, dict) else part
            draft.edit("reject", f"{path}/{i}", f"takes text parts only, not {kind!r}")
    if len(parts) == 1:
        draft.edit("rename", path, "the one part of text, as a string")
    else:
        draft.edit("transform", path, "the parts of text, joined with line ends")
    return "\n".join(texts)


def _calls(draft: Draft, path: str, calls: Any) -> Any:
    """Past tool calls with their arguments as objects, which is what chat templates expect."""
    if not isinstance(calls, list):
        draft.edit("reject", path, "not a list")
        return calls
    return [_call(draft, f"{path}/{i}/function/arguments", call) for i, call in enumerate(calls)]


def _call(draft: Draft, path: str, call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    text = function["arguments"]
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        draft.edit("reject", path, "neither JSON nor empty: chat templates take an object")
        return call
    draft.edit("rename", path, "chat templates take an object, not JSON text")
    return {**call, "function": {**function, "arguments": arguments}}


def _check_sampling(draft: Draft) -> None:
    """Settings that the decoding in force cannot honour."""
    temperature = draft.body.get("temperature")
    samples = draft.folder.samples if temperature is None else temperature > 0
    if draft.options.mode == "continuous":
        _check_pinned(draft, samples)
        return
    if temperature is None and not samples:
        for key in ("top_p", "top_k"):
            if draft.body.pop(key, 1) != 1:
                detail = (
                    "without a temperature this model decodes greedily, by its generation_config"
                )
                draft.edit("drop", f"/{key}", detail)


def _check_pinned(draft: Draft, samples: bool) -> None:
    """Continuous batching pins the sampling settings of its first day."""
    settings = [key for key in ("temperature", "top_p", "top_k") if key in draft.body]
    greedy = not samples and not draft.folder.samples
    for key in settings:
        value = draft.body.pop(key)
        if not greedy:
            detail = (
                "continuous batching decodes by the model's generation_config alone; use static"
            )
            draft.edit("reject", f"/{key}", detail)
        elif key != "temperature" and value != 1 and draft.source.get("temperature") is None:
            draft.edit("drop", f"/{key}", "continuous batching decodes greedily here")
    if draft.body.pop("seed", None) is not None and samples:
        draft.edit("drop", "/seed", "continuous batching has one seed for all requests")


_HANDLERS: Final[Mapping[str, Callable[[Draft, str, Any], None]]] = {
    "messages": _messages,
    "prompt": _prompt,
    "tools": _tools,
    "temperature": _number(0, 100),
    "top_p": _number(0, 1, above=True),
    "top_k": _whole(1),
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "seed": _seed,
    "stop": _stop,
    "chat_template_kwargs": _template_kwargs,
}
