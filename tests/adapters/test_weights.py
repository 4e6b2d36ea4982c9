"""What is read from a folder of weights, also from one that lies."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from exitdrill import builtin
from exitdrill_adapters import weights

DENSE = {"a": [4, 8], "b": [8]}
EXPERTS = {f"l.experts.{n}.w": [4, 4] for n in range(4)} | {"l.shared_experts.w": [4], "r": [2, 4]}
MIXTURE = {"num_local_experts": 4, "num_experts_per_tok": 2}


def tensors(shapes: dict[str, Any], dtype: str = "F32") -> bytes:
    """A safetensors file that is as long as its header says, up to a limit."""
    header = {name: {"dtype": dtype, "shape": shape} for name, shape in shapes.items()}
    return framed(json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()) + bytes(1000)


def framed(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


def model(path: Path, config: Any = None, **files: bytes) -> Path:
    """A folder with a model; ``__`` in the name of a file stands for a dot."""
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or {}))
    for name, data in (files or {"model__safetensors": tensors(DENSE)}).items():
        (path / name.replace("__", ".")).write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("config", "shapes", "expected"),
    [
        ({}, DENSE, {"parameters": 40, "parameters_active": 40}),
        (
            MIXTURE,
            EXPERTS,
            {"parameters": 76, "parameters_active": 44, "experts": 4, "experts_active": 2},
        ),
        (
            {"text_config": {"n_routed_experts": 4, "num_experts_per_tok": 1}},
            EXPERTS,
            {"parameters": 76, "parameters_active": 28, "experts": 4, "experts_active": 1},
        ),
        # Experts under a name that is not known: how many are active is not known either.
        (MIXTURE, DENSE, {"parameters": 40, "experts": 4, "experts_active": 2}),
        ({"num_experts": 4}, EXPERTS, {"parameters": 76}),
        ({"num_experts": 4, "num_experts_per_tok": [2]}, EXPERTS, {"parameters": 76}),
        ({"num_experts": 2, "num_experts_per_tok": 9}, EXPERTS, {"parameters": 76}),
    ],
)
def test_parameters(
    tmp_path: Path, config: dict[str, Any], shapes: dict[str, Any], expected: dict[str, Any]
) -> None:
    folder = model(tmp_path / "m", config, model__safetensors=tensors(shapes))
    found = weights.facts(folder)
    assert found.pop("stored_dtype") == "F32"
    assert found == expected


def test_the_models_that_come_with_the_package() -> None:
    root = Path(builtin.models())
    found = {path.name: weights.facts(path) for path in sorted(root.iterdir())}
    counts = {
        name: (each["parameters"], each["parameters_active"], each["stored_dtype"])
        for name, each in found.items()
    }
    assert counts == {
        "research-dense": (820_352, 820_352, "BF16"),
        "ticket-dense": (820_352, 820_352, "F32"),
        "ticket-moe": (1_510_528, 920_704, "BF16"),
        "ticket-small": (195_008, 195_008, "F32"),
    }
    moe = found["ticket-moe"]
    assert (moe["architecture"], moe["context"], moe["experts"], moe["experts_active"]) == (
        "MixtralForCausalLM", 1024, 4, 2,
    )  # fmt: skip
    template = (root / "ticket-moe" / "chat_template.jinja").read_bytes()
    assert moe["chat_template_sha256"] == hashlib.sha256(template).hexdigest()
    tickets = {each["tokenizer_sha256"] for name, each in found.items() if "ticket" in name}
    assert len(tickets) == 1


def test_weights_that_lie_there_twice_are_counted_once(tmp_path: Path) -> None:
    both = {"model__safetensors": tensors(DENSE), "consolidated__safetensors": tensors({"z": [9]})}
    assert weights.facts(model(tmp_path / "a", **both))["parameters"] == 40
    index = json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).encode()
    shards = {"1__safetensors": tensors({"a": [4, 8]}), "2__safetensors": tensors({"b": [8]})}
    more = {"model__safetensors__index__json": index, "old__safetensors": tensors({"z": [9]})}
    folder = model(tmp_path / "b", **shards, **more)
    assert weights.facts(folder)["parameters"] == 40
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": 3}}')
    assert weights.facts(folder)["parameters"] == 49


def test_quantised_weights_are_not_counted(tmp_path: Path) -> None:
    folder = model(
        tmp_path / "m", {"quantization_config": {"bits": 4}}, w__safetensors=tensors(DENSE, "I32")
    )
    found = weights.facts(folder)
    assert found["stored_dtype"] == "I32"
    assert "parameters" not in found
    assert "quantised" in found["parameters_note"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"weights",
        framed(b"{}", 10 * 1024**3),
        framed(b"{}", 2**64 - 1),
        framed(b"[]"),
        framed(b"["),
        framed(b'{"a":' * 5000 + b"1" + b"}" * 5000),
        framed(b"\xff\xfe"),
        tensors({"a": [10**9, 10**9]}),
        tensors({"a": [-1]}),
        tensors({"a": [1.5]}),
        tensors({"a": [True]}),
        tensors({"a": [10**400]}),
        tensors({"a": [1] * 17}),
        tensors({"a": None}),
        framed(b'{"a":[]}'),
    ],
    ids=range(16),
)
def test_a_file_that_lies_is_not_counted(tmp_path: Path, data: bytes) -> None:
    folder = model(tmp_path / "m", model__safetensors=data)
    found = weights.facts(folder)
    assert set(found) == {"parameters_note"}
    assert len(found["parameters_note"]) <= 100
    assert weights.sha256(folder) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[" * 100_000,
        b'{"architectures":{"a":1},"max_position_embeddings":1e999,"text_config":[]}',
        b'{"architectures":[],"max_position_embeddings":-1}',
        b'{"architectures":[["x"]],"max_position_embeddings":' + b"9" * 4000 + b"}",
        b'{"num_experts":' + b"9" * 4000 + b',"num_experts_per_tok":true}',
        b'{"a":1}' + b" " * (weights.MAX_JSON + 1),
    ],
    ids=range(7),
)
def test_a_configuration_that_lies(tmp_path: Path, config: bytes) -> None:
    folder = model(tmp_path / "m")
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_bytes(config)
    found = weights.facts(folder)
    assert (found["parameters"], found["parameters_active"]) == (40, 40)
    assert set(found) == {"parameters", "parameters_active", "stored_dtype"}
    json.dumps(weights.generation(folder), allow_nan=False)


def test_how_the_makers_sample(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    assert weights.generation(folder) == {}
    config = '{"temperature": 0.6, "top_k": NaN, "eos_token_id": [1], "do_sample": true}'
    (folder / "generation_config.json").write_text(config)
    assert weights.generation(folder) == {"temperature": 0.6, "do_sample": True}


@pytest.mark.parametrize("inline", ["{{ x }}", [{"name": "default", "template": "{{ x }}"}]])
def test_a_template_within_the_configuration(tmp_path: Path, inline: Any) -> None:
    folder = model(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": inline}))
    text = inline if isinstance(inline, str) else json.dumps(inline, sort_keys=True)
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert weights.facts(folder)["chat_template_sha256"] == expected


def test_what_is_no_model(tmp_path: Path) -> None:
    assert not weights.is_model(tmp_path)
    assert not weights.is_model(tmp_path / "nothing")
    assert not weights.is_model(tmp_path / ("x" * 5000))
    assert not weights.is_model(Path("a\0b"))
    (tmp_path / "config.json").write_text("{}")
    assert not weights.is_model(tmp_path)
    os.mkfifo(tmp_path / "model.safetensors")  # reading it would never end
    assert not weights.is_model(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"w")
    assert weights.is_model(tmp_path)
    assert weights.sha256(tmp_path) == hashlib.sha256(b"w").hexdigest()
    assert weights.size(tmp_path) == 1
