"""What the transformers adapter does before its child is asked: no torch is needed here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exitdrill.backend import (
    Backend,
    BackendConfig,
    Event,
    Finish,
    Opaque,
    Prepared,
    Reasoning,
    Request,
    Started,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import AdapterError, BackendError, ScenarioError
from exitdrill_adapters.transformers import wire
from exitdrill_adapters.transformers.backend import TransformersBackend
from exitdrill_adapters.transformers.text import Detokeniser, Piece, StopScanner

USER = {"messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "function": {"name": "add"}}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "chat_template.jinja").write_text("{{ tools }}")
    return path


def make(folder: Path, **options: Any) -> TransformersBackend:
    config = BackendConfig("tiny", "transformers", folder.name, root=folder.parent, options=options)
    return TransformersBackend(config)


def prepare(
    folder: Path, body: Mapping[str, Any], operation: Any = "chat", **options: Any
) -> Prepared:
    return make(folder, **options).prepare(Request(operation, body))


def test_the_parent_never_imports_torch() -> None:
    code = (
        "import sys, exitdrill_adapters.transformers; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_a_backend(folder: Path) -> None:
    assert isinstance(make(folder), Backend)


def test_what_a_chat_may_say_without_an_edit(folder: Path) -> None:
    body = {
        **USER, "model": "gpt", "stream": True, "stream_options": {"include_usage": True},
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": -3, "stop": "x",
        "max_completion_tokens": 7, "n": 1, "logprobs": False, "logit_bias": {}, "user": None,
        "presence_penalty": 0, "frequency_penalty": 0.0, "response_format": {"type": "text"},
        "tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True,
    }  # fmt: skip
    prepared = prepare(folder, body)
    assert prepared.edits == ()
    assert prepared.body == {
        "operation": "chat", "messages": USER["messages"], "temperature": 0.5, "top_p": 0.9,
        "top_k": 5, "seed": (1 << 63) - 3, "stop": ["x"], "max_tokens": 7, "tools": TOOLS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "edits"),
    [
        ({"n": 2}, ["reject /n"]),
        ({"logprobs": True, "top_logprobs": 3}, ["drop /logprobs", "drop /top_logprobs"]),
        ({"logit_bias": {"5": 1}}, ["drop /logit_bias"]),
        ({"presence_penalty": 1}, ["drop /presence_penalty"]),
        ({"response_format": {"type": "json_schema"}}, ["drop /response_format"]),
        ({"tools": TOOLS, "tool_choice": "required"}, ["drop /tool_choice"]),
        ({"tools": TOOLS, "tool_choice": "none"}, []),
        ({"tools": "add"}, ["reject /tools"]),
        ({"odd/key~": 1}, ["drop /odd~1key~0"]),
        ({"prompt": "x"}, ["drop /prompt"]),
        ({"temperature": "hot"}, ["reject /temperature"]),
        ({"temperature": -1}, ["reject /temperature"]),
        ({"temperature": 1, "top_p": 0}, ["reject /top_p"]),
        ({"top_p": 0.5}, ["drop /top_p"]),
        ({"top_p": 0.5, "temperature": 0}, []),
        ({"max_tokens": 0}, ["reject /max_tokens"]),
        ({"max_tokens": True}, ["reject /max_tokens"]),
        ({"max_tokens": 5, "max_completion_tokens": 5}, []),
        ({"max_tokens": 5, "max_completion_tokens": 6}, ["drop /max_tokens"]),
        ({"seed": "1"}, ["reject /seed"]),
        ({"stop": ["a", ""]}, ["reject /stop"]),
        ({"stop": 3}, ["reject /stop"]),
        ({"chat_template_kwargs": 3}, ["reject /chat_template_kwargs"]),
        ({"messages": []}, ["reject /messages"]),
        ({"messages": None}, ["reject /messages"]),
        ({"messages": [3]}, ["reject /messages/0"]),
        ({"messages": [{"role": "narrator"}]}, ["reject /messages/0/role"]),
        ({"messages": [{"role": []}]}, ["reject /messages/0/role"]),
    ],
)
def test_edits(folder: Path, change: dict[str, Any], edits: list[str]) -> None:
    prepared = prepare(folder, USER | change)
    assert [f"{edit.action} {edit.path}" for edit in prepared.edits] == edits


@pytest.mark.parametrize(
    ("content", "result", "edits"),
    [
        ([{"type": "text", "text": "a"}], "a", ["rename /messages/0/content"]),
        (
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "a\nb",
            ["transform /messages/0/content"],
        ),
        (
            [{"type": "image_url"}],
            "",
            ["reject /messages/0/content/0", "rename /messages/0/content"],
        ),
    ],
)
def test_parts_of_a_message(folder: Path, content: Any, result: str, edits: list[str]) -> None:
    prepared = prepare(folder, {"messages": [{"role": "user", "content": content}]})
    assert prepared.body["messages"][0]["content"] == result
    assert [f"{edit.action} {edit.path}" for edit in prepared.edits] == edits


@pytest.mark.parametrize(
    ("arguments", "result", "actions"),
    [
        ('{"a": 1}', {"a": 1}, ["rename"]),
        ("", {}, ["rename"]),
        ({"a": 1}, {"a": 1}, []),
        ("{a", "{a", ["reject"]),
        ("[" * 100_000, "[" * 100_000, ["reject"]),
    ],
)
def test_arguments_of_past_calls(
    folder: Path, arguments: Any, result: Any, actions: list[str]
) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    prepared = prepare(folder, {"messages": [{"role": "assistant", "tool_calls": [call]}]})
    assert prepared.body["messages"][0]["tool_calls"][0]["function"]["arguments"] == result
    assert [edit.action for edit in prepared.edits] == actions
    assert {edit.path for edit in prepared.edits} <= {"/messages/0/tool_calls/0/function/arguments"}
    assert call["function"]["arguments"] is arguments  # type: ignore[index]  # a literal above


@pytest.mark.parametrize(
    ("prompt", "result", "edits"),
    [
        ("a", "a", []),
        (["a"], "a", []),
        ([1, 2], [1, 2], ["transform /prompt"]),
        ([[1, 2]], [1, 2], ["transform /prompt"]),
        ([7], [7], ["transform /prompt"]),
        (["a", "b"], None, ["reject /prompt"]),
        ([], None, ["reject /prompt"]),
        (None, None, ["reject /prompt"]),
    ],
)
def test_prompts(folder: Path, prompt: Any, result: Any, edits: list[str]) -> None:
    prepared = prepare(folder, {"prompt": prompt}, "completion")
    assert prepared.body.get("prompt") == result
    assert [f"{edit.action} {edit.path}" for edit in prepared.edits] == edits


def test_embeddings_are_rejected(folder: Path) -> None:
    prepared = prepare(folder, {"input": "x"}, "embedding")
    assert [edit.action for edit in prepared.edits] == ["reject"]


def test_a_template_that_knows_no_tools(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    prepared = prepare(folder, {**USER, "tools": TOOLS})
    assert [f"{edit.action} {edit.path}" for edit in prepared.edits] == ["drop /tools"]
    assert "tools" not in prepared.body


@pytest.mark.parametrize(
    ("samples", "change", "edits"),
    [
        (False, {"temperature": 0, "seed": 1, "top_p": 1}, []),
        (False, {"temperature": 0.5}, ["reject /temperature"]),
        (False, {"top_p": 0.5}, ["drop /top_p"]),
        (False, {"stop": "x"}, ["transform /stop"]),
        (True, {}, []),
        (True, {"temperature": 0}, ["reject /temperature"]),
        (True, {"seed": 1}, ["drop /seed"]),
    ],
)
def test_continuous_batching_pins_sampling(
    folder: Path, samples: bool, change: dict[str, Any], edits: list[str]
) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": samples}))
    prepared = prepare(folder, USER | change, batching="continuous")
    assert [f"{edit.action} {edit.path}" for edit in prepared.edits] == edits


# --- mistakes of the user's -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("missing", "no such directory"),
        ("../model", "leaves the scenario's folder"),
        ("empty", "no config.json"),
        ("pickled", "only pickled ones (pytorch_model.bin)"),
        ("garbled", "is not valid JSON"),
    ],
)
def test_folders_that_will_not_do(folder: Path, model: str, message: str) -> None:
    root = folder.parent
    for name in ("empty", "pickled", "garbled"):
        (root / name).mkdir()
    for name in ("pickled", "garbled"):
        (root / name / "config.json").write_text("{}")
    (root / "pickled" / "pytorch_model.bin").touch()
    (root / "garbled" / "model.safetensors").touch()
    (root / "garbled" / "generation_config.json").write_text("{")
    with pytest.raises(ScenarioError) as caught:
        TransformersBackend(BackendConfig("tiny", "transformers", model, root=root))
    assert message in str(caught.value)
    assert caught.value.key == "backends.tiny.model"


def test_an_unknown_option(folder: Path) -> None:
    with pytest.raises(ScenarioError, match=r"backends\.tiny\.options\.batchsize: .*'batch_size'"):
        make(folder, batchsize=3)


async def test_what_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else 1)
    with pytest.raises(AdapterError, match=r"needs torch: pip install 'exitdrill\[local\]'"):
        await make(folder).start()


async def test_no_answer_before_the_start_or_to_what_is_rejected(folder: Path) -> None:
    made = make(folder)
    with pytest.raises(BackendError, match="not running"):
        await anext(made.stream(prepare(folder, USER)))
    with pytest.raises(BackendError, match="unsupported: /n"):
        await anext(made.stream(prepare(folder, USER | {"n": 2})))
    await made.close()


# --- pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        Started(1),
        Text(2, "é\n\ud800\u2028", 3),
        Reasoning(3, "x"),
        ToolCallDelta(4, 0, "abc", "f", "{}"),
        Usage(5, 6, 7),
        Usage(5, 6, 7, source="recounted"),
        Opaque(6, {"a": [1]}),
        Finish(7, "stop", "eos"),
    ],
)
def test_the_wire_keeps_events(event: Event) -> None:
    data = wire.line(wire.event_message(9, event))
    assert data.count(b"\n") == 1
    lines = wire.Lines()
    messages = [message for byte in data for message in lines.feed(bytes([byte]))]
    assert [message["r"] for message in messages] == [9]
    moved = wire.event(messages[0], 1000)
    assert moved.at == event.at + 1000
    assert wire.event(messages[0], 0) == event


def test_a_line_that_is_no_message() -> None:
    with pytest.raises(ValueError, match="not an object"):
        list(wire.Lines().feed(b"3\n"))


@pytest.mark.parametrize(
    ("stops", "shown", "stopped"),
    [
        ((), ["ab", "ca", "bd"], False),
        (("abd",), ["ab", "c"], True),
        (("abe", "zz"), ["ab", "ca", "bd"], False),
        (("ca", "bc"), ["a"], True),
        (("d",), ["ab", "ca", "b"], True),
    ],
)
def test_stop_scanner(stops: tuple[str, ...], shown: list[str], stopped: bool) -> None:
    scanner = StopScanner(stops)
    pieces: list[Piece] = []
    for text in ("ab", "ca", "bd"):
        if not scanner.stopped:
            pieces += scanner.push(Piece(text, 1))
    pieces += scanner.flush()
    assert [piece.text for piece in pieces] == shown
    assert scanner.stopped is stopped


def test_what_stays_broken_is_not_held_for_ever() -> None:
    detokeniser = Detokeniser(lambda ids: bytes(ids).decode("utf-8", "replace"))
    pieces = [detokeniser.push(0xFF) for _ in range(40)]
    shown = [piece for piece in (*pieces, detokeniser.flush()) if piece]
    assert sum(piece.tokens for piece in shown) == 40
    assert len("".join(piece.text for piece in shown)) == 40
