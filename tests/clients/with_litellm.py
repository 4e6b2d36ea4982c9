"""LiteLLM."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import litellm  # type: ignore[import-not-found,unused-ignore]

TOOL = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
}


def ask(said: str, **more: Any) -> Any:
    """One answer."""
    messages = [{"role": "user", "content": said}]
    return litellm.completion(**{"model": "openai/small", "messages": messages, **more})


def refused(kind: type[Exception], said: str, **more: Any) -> None:
    """Make sure that a request fails in one way."""
    try:
        answer = ask(said, **more)
        if more.get("stream"):
            list(answer)
    except kind:
        return
    raise AssertionError(f"{said}: no {kind.__name__}")


def main() -> None:
    """Ask everything."""
    litellm.suppress_debug_info = True
    answer = ask("hello")
    assert answer.choices[0].message.content == "Hello from here"
    assert answer.usage.total_tokens == 18

    chunks = list(ask("hello", stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == "Hello from here"
    rebuilt = litellm.stream_chunk_builder(chunks)
    assert rebuilt.usage.completion_tokens == 7

    calls = ask("tools", tools=[TOOL]).choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["find", "read"]
    rebuilt = litellm.stream_chunk_builder(list(ask("tools", tools=[TOOL], stream=True)))
    found = rebuilt.choices[0].message.tool_calls
    assert [call.function.arguments for call in found] == ['{"q": "parcel"}', '{"n": 1}']

    refused(litellm.AuthenticationError, "hello", api_key="wrong")
    refused(litellm.NotFoundError, "hello", model="openai/large")
    refused(litellm.ContextWindowExceededError, "too long")
    refused(litellm.RateLimitError, "limited")
    refused(Exception, "breaks", stream=True)
    refused(litellm.Timeout, "for ever", timeout=0.5)
    sys.stdout.write(f"litellm {version('litellm')}, openai {version('openai')}\n")


if __name__ == "__main__":
    main()
