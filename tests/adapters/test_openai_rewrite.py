"""What each row does to a request, and that all of it is on the record."""

from __future__ import annotations

import copy
import re
from typing import Any, cast

import pytest

from exitdrill.backend import Operation, Prepared, Request
from exitdrill_adapters.openai.rewrite import prepare, tool_call_id
from exitdrill_adapters.openai.vendors import VENDORS

HI = [{"role": "user", "content": "hi"}]


def prepared(vendor: str, body: dict[str, Any], operation: str = "chat") -> Prepared:
    request = Request(cast(Operation, operation), body)
    before = copy.deepcopy(body)
    result = prepare(request, VENDORS[vendor], "theirs", {})
    assert body == before, "the request was changed"
    return result


def edits(result: Prepared) -> list[tuple[str, str]]:
    return [(edit.action, edit.path) for edit in result.edits]


# vendor, a parameter of the body, what is sent instead, the edit
PARAMETERS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}, [("rename", "/max_tokens")]),
    ("openai", {"max_completion_tokens": 5}, {"max_completion_tokens": 5}, []),
    ("vllm", {"max_completion_tokens": 5}, {"max_tokens": 5},
     [("rename", "/max_completion_tokens")]),
    ("vllm", {"max_completion_tokens": 5, "max_tokens": 5}, {"max_tokens": 5}, []),
    ("vllm", {"max_completion_tokens": 5, "max_tokens": 6}, {"max_tokens": 6},
     [("drop", "/max_completion_tokens")]),
    ("mistral", {"seed": 1}, {"random_seed": 1}, [("rename", "/seed")]),
    ("mistral", {"logprobs": True}, {}, [("drop", "/logprobs")]),
    ("mistral", {"logprobs": False, "user": None}, {}, []),
    ("openai", {"top_k": 4}, {}, [("drop", "/top_k")]),
    ("openai", {"a/b~c": 4}, {}, [("drop", "/a~1b~0c")]),
    ("vllm", {"top_k": 4, "user": "me"}, {"top_k": 4}, [("drop", "/user")]),
    ("vllm", {"guided_json": {}}, {}, [("drop", "/guided_json")]),
    ("llama_cpp", {"tool_choice": "required"}, {"tool_choice": "required"}, []),
    ("llama_cpp", {"tool_choice": {"type": "function"}}, {}, [("drop", "/tool_choice")]),
    ("ollama", {"tool_choice": "auto"}, {}, []),
    ("ollama", {"tool_choice": "required"}, {}, [("drop", "/tool_choice")]),
    ("litellm", {"anything": 1, "max_tokens": 5}, {"anything": 1, "max_tokens": 5}, []),
    ("generic", {"seed": 1, "top_k": 2}, {"seed": 1}, [("drop", "/top_k")]),
    ("transformers_serve", {"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}, []),
    ("transformers_serve", {"temperature": 0.7, "top_p": 0.9}, {},
     [("drop", "/temperature"), ("drop", "/top_p")]),
    ("transformers_serve", {"n": 1, "response_format": {"type": "text"}, "presence_penalty": 0},
     {}, []),
    ("transformers_serve", {"response_format": {"type": "json_object"}, "tool_choice": "none",
                            "logprobs": True, "presence_penalty": 1, "frequency_penalty": 1},
     {}, [("drop", "/response_format"), ("drop", "/tool_choice"), ("drop", "/logprobs"),
          ("drop", "/presence_penalty"), ("drop", "/frequency_penalty")]),
    ("transformers_serve", {"stop": ["."]}, {"stop": ["."]}, [("transform", "/stop")]),
    ("openai", {"stop": ["."]}, {"stop": ["."]}, []),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "given", "sent", "record"), PARAMETERS)
def test_parameters(
    vendor: str, given: dict[str, Any], sent: dict[str, Any], record: list[tuple[str, str]]
) -> None:
    result = prepared(vendor, {"model": "ours", "messages": HI, **given})
    body = {k: v for k, v in result.body.items() if k != "stream_options"}
    assert body == {"model": "theirs", "messages": HI, "stream": True, **sent}
    assert edits(result) == record
    assert all(edit.detail for edit in result.edits)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("given", [{"n": 2}, {"n": 3, "temperature": 0}])
def test_more_than_one_answer_is_rejected(vendor: str, given: dict[str, Any]) -> None:
    assert edits(prepared(vendor, {"messages": HI, **given})) == [("reject", "/n")]


def test_completions() -> None:
    body = {"prompt": "a", "max_tokens": 5, "best_of": 2}
    assert edits(prepared("openai", body, "completion")) == [("reject", "/best_of")]
    assert edits(prepared("vllm", {"prompt": ["a", "b"]}, "completion")) == [("reject", "/prompt")]
    assert edits(prepared("vllm", {"prompt": [17, 4]}, "completion")) == []
    assert (
        prepared("openai", {"prompt": "a", "max_tokens": 5}, "completion").body["max_tokens"] == 5
    )


def test_embeddings() -> None:
    result = prepared("mistral", {"input": "a", "dimensions": 8}, "embedding")
    assert result.body == {"model": "theirs", "input": "a", "output_dimension": 8}
    assert edits(result) == [("rename", "/dimensions")]


@pytest.mark.parametrize(
    ("vendor", "operation"), [("mistral", "completion"), ("transformers_serve", "embedding")]
)
def test_an_operation_that_is_not_there(vendor: str, operation: str) -> None:
    assert edits(prepared(vendor, {}, operation)) == [("reject", "")]


def test_usage_is_asked_for_where_that_is_understood() -> None:
    body = {"messages": HI, "stream": False, "stream_options": {"include_obfuscation": False}}
    asked = prepared("openai", body).body
    assert asked["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    for vendor in ("generic", "mistral", "transformers_serve"):
        result = prepared(vendor, body)
        assert "stream_options" not in result.body
        assert result.body["stream"] is True
        assert result.edits == ()


def test_roles() -> None:
    messages = [{"role": "developer", "content": "be brief"}, *HI]
    assert edits(prepared("openai", {"messages": messages})) == []
    result = prepared("vllm", {"messages": messages})
    assert result.body["messages"][0] == {"role": "system", "content": "be brief"}
    assert edits(result) == [("transform", "/messages/0/role")]


def test_a_late_system_message_is_moved_to_the_front() -> None:
    messages = [
        {"role": "system", "content": "1"},
        {"role": "user", "content": "2"},
        {"role": "developer", "content": "3"},
        {"role": "user", "content": "4"},
    ]
    result = prepared("mistral", {"messages": messages})
    assert [message["content"] for message in result.body["messages"]] == ["1", "3", "2", "4"]
    assert edits(result) == [("transform", "/messages/2/role"), ("transform", "/messages/2")]
    kept = prepared("vllm", {"messages": messages}).body["messages"]
    assert [message["content"] for message in kept] == ["1", "2", "3", "4"]


def called(identity: str, arguments: Any, content: Any = None) -> list[dict[str, Any]]:
    call = {"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        *HI,
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": identity, "content": "4"},
    ]


def test_tool_call_ids_are_rewritten_consistently() -> None:
    result = prepared("mistral", {"messages": called("call_abcdef0123456789", "{}")})
    _, assistant, tool = result.body["messages"]
    identity = assistant["tool_calls"][0]["id"]
    assert re.fullmatch("^[a-zA-Z0-9]{9}$", identity)
    assert tool["tool_call_id"] == identity
    assert edits(result) == [
        ("transform", "/messages/1/tool_calls/0/id"),
        ("transform", "/messages/2/tool_call_id"),
    ]
    assert edits(prepared("mistral", {"messages": called("abcDEF123", "{}")})) == []
    assert edits(prepared("openai", {"messages": called("call_1", "{}")})) == []


def test_tool_call_ids_differ_where_the_originals_do() -> None:
    identities = {tool_call_id(f"call_{n}", 9) for n in range(10_000)}
    assert len(identities) == 10_000
    assert tool_call_id("call_1", 9) == tool_call_id("call_1", 9)


def test_tool_arguments() -> None:
    where = ("transform", "/messages/1/tool_calls/0/function/arguments")
    result = prepared("openai", {"messages": called("c", {"a": "ü"})})
    assert result.body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": "ü"}'
    assert edits(result) == [where]
    result = prepared("transformers_serve", {"messages": called("c", "")})
    assert result.body["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert edits(result) == [where]
    assert edits(prepared("vllm", {"messages": called("c", "")})) == []


def test_what_would_be_lost_without_a_word() -> None:
    result = prepared("transformers_serve", {"messages": called("c", "{}", "let me see")})
    assert result.body["messages"][1]["content"] is None
    assert edits(result) == [("drop", "/messages/1/content")]
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {}}]
    body = {"messages": [{"role": "user", "content": parts}]}
    assert edits(prepared("transformers_serve", body)) == [("reject", "/messages/0/content/1")]
    assert edits(prepared("openai", body)) == []


def test_extra_body_wins() -> None:
    request = Request("chat", {"messages": HI, "temperature": 0.5})
    result = prepare(request, VENDORS["vllm"], "m", {"top_k": 3, "temperature": 0})
    assert (result.body["top_k"], result.body["temperature"]) == (3, 0)
    assert result.edits == ()


def test_strange_bodies_do_not_raise() -> None:
    for vendor in VENDORS:
        strange: list[Any] = [None, "hi", [None, "x", {"tool_calls": 3}, {"tool_calls": [None]}]]
        for messages in strange:
            prepared(vendor, {"messages": messages, "n": "2", "stop": 3})


def test_every_row_is_consistent() -> None:
    for name, row in VENDORS.items():
        assert row.name == name
        for known in row.operations.values():
            for target in known.rename.values():
                assert known.honours is not None
                assert target in known.honours
            assert not set(known.rename) & (known.honours or set())
