"""``/v1/responses`` through the gateway: stateless, translated, and strict about the rest."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from tests.harness.gateways import STOP, gateway, plays, says

from exitdrill.backend import (
    Event,
    Finish,
    Opaque,
    Reasoning,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import BackendError
from exitdrill.gateway.envelope import Refused
from exitdrill.gateway.responses_request import as_chat

FIND: Any = {"type": "function", "name": "find", "parameters": {"type": "object"}, "strict": True}
CALLS: tuple[Event, ...] = (
    Reasoning(0, "hm"),
    Text(0, "Let me "),
    Text(0, "see"),
    ToolCallDelta(0, 0, "call_a", "find", '{"q":'),
    ToolCallDelta(0, 1, "call_b", "find", "{}"),
    ToolCallDelta(0, 0, arguments='"x"}'),
    Finish(0, "tool_calls"),
    Usage(0, 11, 7, cached_tokens=3),
)


async def test_a_whole_response() -> None:
    async with gateway(plays(Text(0, "Hel"), Text(0, "lo"), STOP, Usage(0, 3, 2))) as scene:
        response = await scene.client.responses.create(
            model="m", input="hi", instructions="Be brief.", metadata={"a": "b"}
        )
        assert (response.output_text, response.status) == ("Hello", "completed")
        assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
        assert response.id.startswith("resp_")
        assert response.usage
        assert (response.usage.input_tokens, response.usage.total_tokens) == (3, 5)
        call = await scene.call()
        assert (call.path, call.status) == ("/v1/responses", 200)
        assert call.request
        assert call.request.body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ]


async def test_tools_and_reasoning_in_one_piece() -> None:
    async with gateway(plays(*CALLS)) as scene:
        response = await scene.client.responses.create(model="m", input="hi", tools=[FIND])
        reasoning, message, first, second = response.output
        assert reasoning.type == "reasoning"
        assert reasoning.content
        assert reasoning.content[0].text == "hm"
        assert message.type == "message"
        assert response.output_text == "Let me see"
        assert first.type == second.type == "function_call"
        assert (first.call_id, first.name, first.arguments) == ("call_a", "find", '{"q":"x"}')
        assert (second.call_id, second.arguments) == ("call_b", "{}")
        assert response.usage
        assert response.usage.input_tokens_details.cached_tokens == 3


async def test_a_stream_of_events_adds_up() -> None:
    async with gateway(plays(*CALLS)) as scene:
        events = [
            event
            async for event in await scene.client.responses.create(
                model="m", input="hi", tools=[FIND], stream=True
            )
        ]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [event.type.removeprefix("response.") for event in events] == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
        last = events[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "Let me see"
        assert last.response.usage
        assert last.response.usage.output_tokens == 7
        done = [event.item for event in events if event.type == "response.output_item.done"]
        assert [item.model_dump() for item in done] == [
            item.model_dump() for item in last.response.output
        ]


async def test_the_sdks_own_accumulator_is_content() -> None:
    async with (
        gateway(plays(*CALLS)) as scene,
        scene.client.responses.stream(model="m", input="hi", tools=[FIND]) as events,
    ):
        final = await events.get_final_response()
        assert final.output_text == "Let me see"
        assert [item.type for item in final.output] == [
            "reasoning",
            "message",
            "function_call",
            "function_call",
        ]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (Finish(0, "stop"), "completed", None),
        (Finish(0, "length"), "incomplete", "max_output_tokens"),
        (Finish(0, "content_filter"), "incomplete", "content_filter"),
    ],
)
async def test_how_it_ended(finish: Finish, status: str, reason: str | None) -> None:
    async with gateway(plays(Text(0, "x"), finish)) as scene:
        whole = await scene.client.responses.create(model="m", input="hi")
        assert whole.status == status
        assert (whole.incomplete_details.reason if whole.incomplete_details else None) == reason
        streamed = await scene.client.responses.create(model="m", input="hi", stream=True)
        assert [event.type async for event in streamed][-1] == f"response.{status}"


async def test_a_refusal() -> None:
    async with gateway(plays(Opaque(0, {"refusal": "I won't"}), STOP)) as scene:
        response = await scene.client.responses.create(model="m", input="hi")
        (message,) = response.output
        assert message.type == "message"
        (part,) = message.content
        assert part.type == "refusal"
        assert part.refusal == "I won't"


async def test_errors_before_and_in_the_middle() -> None:
    error = BackendError("overloaded", "busy", status=503)
    async with gateway(plays(error)) as scene:
        with pytest.raises(openai.InternalServerError, match="busy"):
            await scene.client.responses.create(model="m", input="hi", stream=True)
    async with gateway(plays(Text(0, "half"), error)) as scene:
        streamed = await scene.client.responses.create(model="m", input="hi", stream=True)
        last = [event async for event in streamed][-1]
        assert last.type == "response.failed"
        assert last.response.error
        assert (last.response.error.code, last.response.error.message) == ("overloaded", "busy")


# --- what it cannot do --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [FIND, {"type": "mcp"}]}, "tools[1].type"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"text": {"odd": 1}}, "text.odd"),
        ({"no_such": 1}, "no_such"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]",
        ),
        ({"input": 1}, "input"),
        ({"input": None}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"instructions": ["x"]}, "instructions"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    player = says("x")
    async with gateway(player) as scene:
        with pytest.raises(openai.BadRequestError) as caught:
            await scene.client.responses.create(model="m", input="hi", extra_body=body)
        assert caught.value.param == param
        assert param in caught.value.message
        assert player.asked == []
        call = await scene.call()
        assert call.exchange.failure
        assert call.exchange.failure.kind == "unsupported"


async def test_what_asks_for_nothing_is_fine() -> None:
    nothing = {"store": False, "background": False, "include": [], "previous_response_id": None}
    async with gateway(says("x")) as scene:
        response = await scene.client.responses.create(model="m", input="hi", extra_body=nothing)
        assert response.output_text == "x"


async def test_earlier_reasoning_is_an_edit_that_has_to_be_allowed() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "h"}],
    }
    given: Any = [{"role": "user", "content": "hi"}, thought, {"role": "user", "content": "so?"}]
    async with gateway(says("x")) as scene:
        with pytest.raises(openai.BadRequestError, match="'drop:/input/1'") as caught:
            await scene.client.responses.create(model="m", input=given)
        assert caught.value.param == "input[1]"
    async with gateway(says("x"), spec={"allow_edits": ["drop:/input"]}) as scene:
        await scene.client.responses.create(model="m", input=given)
        assert [edit.path for edit in (await scene.call()).exchange.edits] == ["/input/1"]


async def test_a_turn_that_is_sent_back_is_understood() -> None:
    player = plays(*CALLS[1:])
    async with gateway(player) as scene:
        first = await scene.client.responses.create(model="m", input="hi", tools=[FIND])
        sent: Any = [{"role": "user", "content": "hi"}, *first.output]
        sent += [
            {"type": "function_call_output", "call_id": each, "output": "found"}
            for each in ("call_a", "call_b")
        ]
        await scene.client.responses.create(model="m", input=sent, tools=[FIND])
        calls = [
            ("call_a", {"name": "find", "arguments": '{"q":"x"}'}),
            ("call_b", {"name": "find", "arguments": "{}"}),
        ]
        assert player.asked[-1].body["messages"] == [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "Let me see",
                "tool_calls": [
                    {"id": each, "type": "function", "function": function}
                    for each, function in calls
                ],
            },
            {"role": "tool", "tool_call_id": "call_a", "content": "found"},
            {"role": "tool", "tool_call_id": "call_b", "content": "found"},
        ]


# --- the translation ----------------------------------------------------------------------------

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
        (
            {"temperature": 0.5, "top_p": 1, "user": "u"},
            {"temperature": 0.5, "top_p": 1, "user": "u"},
        ),
        ({"reasoning": {"effort": "low", "summary": None}}, {"reasoning_effort": "low"}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {
                "text": {
                    "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {}, "strict": True},
                }
            },
        ),
        ({"tools": []}, {}),
        (
            {"tools": [FIND]},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "find",
                            "parameters": {"type": "object"},
                            "strict": True,
                        },
                    }
                ]
            },
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "find"}},
            {"tool_choice": {"type": "function", "function": {"name": "find"}}},
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "see"}, IMAGE]}
                ]
            },
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "see"},
                            {
                                "type": "image_url",
                                "image_url": {"url": IMAGE["image_url"], "detail": "low"},
                            },
                        ],
                    }
                ]
            },
        ),
        (
            {"input": [{"type": "reasoning", "summary": []}, {"role": "user", "content": "x"}]},
            {"messages": [{"role": "user", "content": "x"}]},
        ),
    ],
)
def test_requests_say_the_same_in_chat(body: dict[str, Any], chat: dict[str, Any]) -> None:
    request, edits = as_chat({"model": "m", "input": "hi", **body})
    expected = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **chat}
    assert (dict(request.body), edits) == (expected, ())


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(Refused, match="at least one message"):
        as_chat({"model": "m", "input": []})
