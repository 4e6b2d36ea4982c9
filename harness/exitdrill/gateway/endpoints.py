"""What can be asked of a gateway: each endpoint's request and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exitdrill.backend import Edit, Operation, Request
from exitdrill.gateway.answer import About, Answer
from exitdrill.gateway.chat import ChatAnswer, CompletionAnswer
from exitdrill.gateway.embedding import EmbeddingAnswer, without_format
from exitdrill.gateway.incoming import check_body
from exitdrill.gateway.responses_answer import ResponseAnswer
from exitdrill.gateway.responses_request import as_chat

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. ``request`` makes of a body what a backend is asked, with the edits that this
    takes, and raises `Refused`."""

    operation: Operation
    request: Callable[[Body], tuple[Request, tuple[Edit, ...]]]
    answer: Callable[[About], Answer]
    prefix: str


def _plain(operation: Operation) -> Callable[[Body], tuple[Request, tuple[Edit, ...]]]:
    def make(body: Body) -> tuple[Request, tuple[Edit, ...]]:
        check_body(operation, body)
        return Request(operation, body), ()

    return make


def _embedding(body: Body) -> tuple[Request, tuple[Edit, ...]]:
    check_body("embedding", body)
    return Request("embedding", without_format(body)), ()


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/chat/completions": Endpoint("chat", _plain("chat"), ChatAnswer, "chatcmpl-"),
    "/v1/completions": Endpoint("completion", _plain("completion"), CompletionAnswer, "cmpl-"),
    "/v1/embeddings": Endpoint("embedding", _embedding, EmbeddingAnswer, "emb-"),
    "/v1/responses": Endpoint("chat", as_chat, ResponseAnswer, "resp_"),
}
