"""LangChain's chat model."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import openai
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found,unused-ignore]

TOOL = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
}


def refused(kind: type[Exception], said: str, **more: Any) -> None:
    """Make sure that a request fails in one way."""
    try:
        ChatOpenAI(**{"model": "small", "max_retries": 1, **more}).invoke(said)
    except kind:
        return
    raise AssertionError(f"{said}: no {kind.__name__}")


def main() -> None:
    """Ask everything."""
    model = ChatOpenAI(model="small", stream_usage=True)
    answer = model.invoke("hello")
    assert answer.content == "Hello from here"
    assert answer.usage_metadata["total_tokens"] == 18
    assert answer.response_metadata["finish_reason"] == "stop"

    pieces = list(model.stream("hello"))
    assert "".join(piece.content for piece in pieces) == "Hello from here"
    assert len([piece for piece in pieces if piece.content]) == 5
    assert (
        sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) == 7
    )

    bound = model.bind_tools([TOOL])
    calls = [(call["name"], call["args"]) for call in bound.invoke("tools").tool_calls]
    assert calls == [("find", {"q": "parcel"}), ("read", {"n": 1})]
    total = None
    for piece in bound.stream("tools"):
        total = piece if total is None else total + piece
    assert total is not None
    assert [call["name"] for call in total.tool_calls] == ["find", "read"]

    through_responses = ChatOpenAI(model="small", use_responses_api=True)
    assert through_responses.invoke("hello").text == "Hello from here"

    refused(openai.AuthenticationError, "hello", api_key="wrong")
    refused(openai.NotFoundError, "hello", model="large")
    refused(openai.BadRequestError, "too long")
    refused(openai.RateLimitError, "limited")

    stream = model.stream("for ever")
    next(stream)
    stream.close()
    refused(openai.APITimeoutError, "for ever", timeout=0.5, max_retries=0)
    packages = ("langchain-openai", "langchain-core", "openai")
    sys.stdout.write(", ".join(f"{each} {version(each)}" for each in packages) + "\n")


if __name__ == "__main__":
    main()
