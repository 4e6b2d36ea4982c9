"""A model on this machine, in a process of its own, as an endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.harness.gateways import gateway

import exitdrill_scenarios
from exitdrill.backend import BackendConfig
from exitdrill_adapters.transformers import TransformersBackend

SCENARIOS = Path(exitdrill_scenarios.__file__).parent


def first_request() -> dict[str, Any]:
    with (SCENARIOS / "support_triage" / "requests.jsonl").open() as file:
        body: dict[str, Any] = json.loads(file.readline())["body"]
    return body


async def test_a_local_model_answers_streams_refuses_and_stops() -> None:
    config = BackendConfig("b", "transformers", str(SCENARIOS / "models" / "ticket-small"))
    backend = TransformersBackend(config)
    await backend.start()
    try:
        async with gateway(backend, spec={"allow_edits": ["rename", "transform"]}) as scene:
            body = {**first_request(), "model": "m"}
            whole = await scene.client.chat.completions.create(**body)
            text = whole.choices[0].message.content
            assert text.startswith("{")
            assert whole.usage.completion_tokens > 5
            chunks = [
                chunk
                async for chunk in await scene.client.chat.completions.create(**body, stream=True)
            ]
            said = [chunk.choices[0].delta.content or "" for chunk in chunks]
            assert "".join(said) == text
            assert len(said) > 5
            with pytest.raises(openai.BadRequestError) as caught:
                await scene.client.chat.completions.create(**body, presence_penalty=1)
            assert caught.value.param == "presence_penalty"
            streaming = await scene.client.chat.completions.create(**body, stream=True)
            async for _ in streaming:
                break
            await streaming.close()
            await scene.gateway.settled("trial 1")
            assert [call.status for call in scene.calls] == [200, 200, 400, 499]
    finally:
        await backend.close()
