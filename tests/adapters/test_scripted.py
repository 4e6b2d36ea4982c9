"""Answers that are scripted: from a function, or from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from exitdrill.backend import BackendConfig, Replayed, Request, Text, fold
from exitdrill.errors import ScenarioError
from exitdrill_adapters.scripted import Answer, ScriptedBackend, scripted

HI = Request("chat", {"messages": [{"role": "user", "content": "hi"}]})


async def test_an_answer_that_pretends_to_come_from_a_cache() -> None:
    adapter = scripted(lambda _: Answer(text="a", replayed="x-cache: HIT"))
    backend = adapter(BackendConfig("b", "scripted", "m"))
    events = [event async for event in backend.stream(backend.prepare(HI))]
    assert [type(event) for event in events][:2] == [Replayed, Text]
    assert fold(events).replayed == "x-cache: HIT"


@pytest.mark.parametrize(
    ("line", "replayed"),
    [
        ('{"user": "hi", "text": "a"}', None),  # timed, as any other
        ('{"user": "hi", "text": "a", "replayed": "a recording"}', "a recording"),
    ],
)
async def test_from_a_file(tmp_path: Path, line: str, replayed: str | None) -> None:
    (tmp_path / "answers.jsonl").write_text(line)
    options = {"answers": "answers.jsonl"}
    backend = ScriptedBackend(BackendConfig("b", "scripted", "m", root=tmp_path, options=options))
    reply = fold([event async for event in backend.stream(backend.prepare(HI))])
    assert (reply.text, reply.replayed) == ("a", replayed)


def test_a_source_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"user": "hi", "replayed": true}')
    options = {"answers": "answers.jsonl"}
    with pytest.raises(ScenarioError, match="not an answer"):
        ScriptedBackend(BackendConfig("b", "scripted", "m", root=tmp_path, options=options))
