"""From a request to token ids, with every reason why there are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exitdrill.errors import BackendError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and how many tokens may follow it.

    ``capped``: it is the context that ends there, and not what was asked for.
    """

    ids: list[int]
    text: str
    room: int
    capped: bool


@dataclass(frozen=True, slots=True)
class Prompter:
    """Renders and encodes requests."""

    tokenizer: PreTrainedTokenizerBase
    context: int
    vocabulary: int
    default_max_tokens: int | None
    template_kwargs: Mapping[str, Any]

    def __call__(self, body: Mapping[str, Any]) -> Prompt:
        """The prompt of a request, or the `BackendError` that it ends in."""
        ids, text = self._chat(body) if body["operation"] == "chat" else self._plain(body)
        if not ids:
            raise BackendError("bad_parameter", "the prompt is empty: no token to start from")
        if not 0 <= min(ids) <= max(ids) < self.vocabulary:
            what = f"a token id outside the model's vocabulary of {self.vocabulary}"
            raise BackendError("bad_parameter", f"the prompt holds {what}")
        left = self.context - len(ids)
        if left < 1:
            raise BackendError(
                "context_overflow",
                f"the prompt has {len(ids)} tokens, the model's context {self.context}: "
                "not one token fits behind it",
            )
        limit = body.get("max_tokens") or self.default_max_tokens
        capped = limit is None or limit > left
        return Prompt(ids, text, left if limit is None else min(limit, left), capped)

    def _plain(self, body: Mapping[str, Any]) -> tuple[list[int], str]:
        prompt = body["prompt"]
        if isinstance(prompt, list):
            return prompt, ""
        return list(self.tokenizer(prompt)["input_ids"]), prompt

    def _chat(self, body: Mapping[str, Any]) -> tuple[list[int], str]:
        if not self.tokenizer.chat_template:
            raise BackendError(
                "template",
                "the model has no chat template (chat_template.jinja): it takes completions only",
            )
        text = self._render(body)
        if lost := next(_lost(body["messages"], text), None):
            raise BackendError("template", f"the model's chat template leaves out {lost}")
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]), text

    def _render(self, body: Mapping[str, Any]) -> str:
        arguments = {**self.template_kwargs, **body.get("chat_template_kwargs", {})}
        try:
            text = self.tokenizer.apply_chat_template(
                body["messages"],
                tools=body.get("tools"),
                add_generation_prompt=True,
                tokenize=False,
                **arguments,
            )
        # A template is a program of the model's author: it may raise anything.
        except Exception as error:
            what = (
                f"the model's chat template refuses the messages: {type(error).__name__}: {error}"
            )
            raise BackendError("template", what) from error
        if not isinstance(text, str):
            raise BackendError("template", "the model's chat template gave no text")
        return text


def _lost(messages: list[Mapping[str, Any]], text: str) -> Iterator[str]:
    """The messages that a template passed over in silence, as some do with roles they don't know.

    What assistants said is left alone: templates cut old reasoning out of it on purpose.
    """
    for i, message in enumerate(messages):
        content = message.get("content")
        if message["role"] != "assistant" and isinstance(content, str):
            forms = {content.strip(), json.dumps(content)[1:-1]}
            forms.add(json.dumps(content, ensure_ascii=False)[1:-1])
            if not any(form in text for form in forms):
                yield f"message {i} (role {message['role']!r})"
        for call in message.get("tool_calls") or ():
            if call["function"]["name"] not in text:
                yield f"the tool calls of message {i} (role {message['role']!r})"
