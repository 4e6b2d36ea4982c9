"""What a server tells of itself, and what its folder does."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exitdrill import builtin
from exitdrill.backend import BackendConfig, MadeBy, fold
from exitdrill.errors import ScenarioError
from exitdrill_adapters.openai import OpenAIBackend, served
from exitdrill_adapters.openai.vendors import VENDORS

from .conftest import MakeBackend
from .provoking_server import DONE, DROP, HANG, Answer, ProvokingServer, chunk, reply, sse, usage
from .test_openai_stream import HI, STOP, ask
from .test_weights import model

LLAMA_CPP = {
    "/props": {
        "default_generation_settings": {
            "n_ctx": 4096,
            "params": {"temperature": 0.5, "top_k": 40, "seed": 4294967295, "samplers": ["top_k"]},
        },
        "total_slots": 4,
        "model_path": "/home/somebody/models/llama-Q4_K_M.gguf",
        "chat_template": "{{ x }}",
        "build_info": "b8681-0abc",
    },
    "/v1/models": {
        "data": [
            {"id": "other", "meta": {"n_params": 8030261312, "size": 4912898304, "n_vocab": 128256}}
        ]
    },
}
OLLAMA = {
    "/api/version": {"version": "0.12.6"},
    "/api/tags": {
        "models": [{"name": "x:latest", "digest": "1"}, {"name": "m:latest", "digest": "c6eb"}]
    },
    "/api/show": {
        "details": {
            "format": "gguf",
            "family": "gemma3",
            "families": ["gemma3"],
            "parameter_size": "4.3B",
            "quantization_level": "Q4_K_M",
        },
        "model_info": {"general.architecture": "gemma3", "general.parameter_count": 4299915632},
        "parameters": "temperature 0.7\nnum_ctx 2048",
        "template": "{{ x }}",
        "license": "long",
    },
}
TEMPLATE = hashlib.sha256(b"{{ x }}").hexdigest()


@pytest.mark.parametrize(
    ("vendor", "said", "name", "kept"),
    [
        ("generic", {}, "uvicorn", ({}, None)),
        ("vllm", {"/version": {"version": "0.12.0"}}, "vllm 0.12.0 (uvicorn)", ({}, None)),
        (
            "litellm",
            {"/health/readiness": {"status": "healthy", "litellm_version": "1.50.0"}},
            "litellm 1.50.0 (uvicorn)",
            ({}, None),
        ),
        (
            "litellm",
            {
                "/health/readiness": {"litellm_version": "1.50.0"},
                "/health/readiness/details": {"litellm_version": "1.95.0"},
            },
            "litellm 1.95.0 (uvicorn)",
            ({}, None),
        ),
        (
            "llama_cpp",
            LLAMA_CPP,
            "llama_cpp b8681-0abc (uvicorn)",
            (
                {"temperature": 0.5, "top_k": 40, "seed": 4294967295},
                {
                    "model_file": "llama-Q4_K_M.gguf",
                    "slots": 4,
                    "context": 4096,
                    "chat_template_sha256": TEMPLATE,
                    "parameters": 8030261312,
                    "weights_bytes": 4912898304,
                    "vocabulary": 128256,
                },
            ),
        ),
        (
            "ollama",
            OLLAMA,
            "ollama 0.12.6 (uvicorn)",
            (
                {"parameters": "temperature 0.7 num_ctx 2048"},
                {
                    "format": "gguf",
                    "family": "gemma3",
                    "parameter_size": "4.3B",
                    "quantization_level": "Q4_K_M",
                    "architecture": "gemma3",
                    "parameters": 4299915632,
                    "chat_template_sha256": TEMPLATE,
                },
            ),
        ),
    ],
)
async def test_what_a_server_tells(
    server: ProvokingServer,
    make: MakeBackend,
    vendor: str,
    said: dict[str, Any],
    name: str,
    kept: tuple[dict[str, Any], dict[str, Any] | None],
) -> None:
    server.models = reply({}, 404, Server="uvicorn")
    server.told = {path: reply(body, Server="uvicorn") for path, body in said.items()}
    found = await make(vendor).start()
    if "/v1/models" not in said:  # it is the probe as well, and names the server
        assert found.server == name
    assert (found.server or "").startswith(name)
    assert found.revision == ("c6eb" if vendor == "ollama" else None)
    assert (found.sampling, found.details.get("told")) == kept
    posted = [request.body for request in server.requests if request.method == "POST"]
    assert posted == ([{"model": "m"}] if vendor == "ollama" else [])


async def test_a_version_in_a_header(server: ProvokingServer, make: MakeBackend) -> None:
    server.models = reply({"data": []}, x_litellm_version="1.95.0", Server="uvicorn")
    assert (await make("litellm").start()).server == "litellm 1.95.0 (uvicorn)"
    assert (await make("generic").start()).server == "uvicorn"


async def test_what_we_set_is_in_force(server: ProvokingServer, make: MakeBackend) -> None:
    server.told = {path: reply(body) for path, body in LLAMA_CPP.items()}
    backend = make("llama_cpp", extra_body={"temperature": 0, "cache_prompt": False})
    assert (await backend.start()).sampling == {"temperature": 0, "top_k": 40, "seed": 4294967295}


async def test_an_endpoint_below_a_path(server: ProvokingServer, make: MakeBackend) -> None:
    below = server.url.replace("/v1", "/team/v1")
    server.told = {"/team/version": reply({"version": "1"}), "/version": reply({"version": "2"})}
    found = await make("vllm", config={"endpoint": below}).start()
    assert found.server is not None
    assert found.server.startswith("vllm 1 ")


HOSTILE = [
    Answer([DROP]),
    Answer([b"{", DROP]),
    reply({"version": "1"}, 500),
    reply({"version": "1"}, 302, Location="http://127.0.0.1:1/"),
    Answer([b"<html>"]),
    Answer([b"[" * 100_000]),
    Answer([b'{"version":' + b"9" * 5000 + b"}"]),
    Answer([b'{"version":"\\ud800"}']),
    reply({"version": None, "models": 3, "details": [], "data": {}}),
    reply({"version": ["1"], "models": [None, {"name": ["m"]}, {"name": "m"}], "data": [3]}),
    reply({"version": {"a": 1}, "models": {"{model}": {"digest": {}}}, "data": []}),
]


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("vendor", ["vllm", "llama_cpp", "ollama", "litellm"])
async def test_a_hostile_answer_is_left_out(
    server: ProvokingServer, make: MakeBackend, vendor: str, answer: Answer
) -> None:
    server.told = {row.path: answer for row in VENDORS[vendor].asks if row.path != "/v1/models"}
    server.told["/v1/models"] = reply({}, Server="S")
    found = await make(vendor, config={"endpoint": server.url}).start()
    assert (found.server, found.revision, found.sampling) == ("S", None, {})
    assert "told" not in found.details


async def test_a_huge_answer_is_kept_short(server: ProvokingServer, make: MakeBackend) -> None:
    long = "x\n\u202e<script>" * 20_000
    server.told = {
        "/api/version": reply({"version": long}),
        "/api/tags": reply({"models": [{"name": "m", "digest": long}]}),
        "/api/show": reply(
            {
                "details": {"family": long, "parameter_size": "9" * 10**6},
                "model_info": {"general.parameter_count": 10**300, "general.architecture": 1e300},
                "parameters": long,
            }
        ),
    }
    found = await make("ollama").start()
    told = found.details["told"]
    assert set(told) == {"family", "parameter_size", "architecture"}
    assert len(json.dumps([found.server, found.revision, dict(found.sampling), told])) < 3000


async def test_endless_answers_are_given_up(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exitdrill_adapters.openai.transport._ASK_TIMEOUT", 0.3)
    server.told = {
        "/api/version": Answer([b" " * 65_536] * 1000),  # beyond what is read of it
        "/api/tags": Answer([HANG]),
        "/api/show": Answer([b"{", HANG]),
    }
    began = time.monotonic()
    found = await make("ollama").start()
    assert time.monotonic() - began < 2, "all are asked at once"
    assert "told" not in found.details


async def test_no_key_in_what_is_told(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-abcdefghijklmnop"
    monkeypatch.setenv("A_KEY", key)
    server.told = {
        "/api/version": reply({"version": key}),
        "/api/tags": reply({"models": [{"name": "m", "digest": key}]}),
        "/api/show": reply({"details": {"family": f"Bearer {key}"}, "parameters": key}),
    }
    backend = make("ollama", config={"endpoint": server.url, "key_env": "A_KEY"})
    found = await backend.start()
    assert found.details["told"] == {"family": "Bearer [key]"}
    assert key not in str(found)


# --- what made an answer ------------------------------------------------------------------------


def made_by(events: list[Any]) -> list[Any]:
    return [dict(event.names) for event in events if isinstance(event, MadeBy)]


async def test_what_made_an_answer_is_kept_once(server: ProvokingServer, make: MakeBackend) -> None:
    name = {"model": "gpt-4o-2024-08-06", "system_fingerprint": "fp_1", "service_tier": "default"}
    first = {"model": "", "choices": [], "prompt_filter_results": []}
    server.answer(sse(first, *({**name, **chunk(text)} for text in "ab"), STOP, usage(1, 2), DONE))
    events = await ask(make())
    assert made_by(events) == [name]
    assert [type(event).__name__ for event in events] == [
        "Text", "Text", "Finish", "MadeBy", "Usage",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, []),
        ({"model": None, "system_fingerprint": ""}, []),
        ({"model": 5, "system_fingerprint": ["x"]}, []),
        ({"model": "x" * 9999}, [{"model": "x" * 99 + "…"}]),
        ({"system_fingerprint": "fp\n2"}, [{"system_fingerprint": "fp 2"}]),
        ({"model": "a", "provider": "Host"}, [{"model": "a", "provider": "Host"}]),
    ],
)
async def test_what_is_said_of_it(
    server: ProvokingServer, make: MakeBackend, said: dict[str, Any], kept: list[Any]
) -> None:
    server.answer(sse({**said, **chunk("a")}, STOP, DONE))
    assert made_by(await ask(make())) == kept
    server.answer(reply({**said, "data": [{"embedding": [1]}]}))
    backend = make()
    await ask(backend, HI)
    assert made_by(await ask(backend, {"input": "a"}, "embedding")) == kept


# --- the folder ---------------------------------------------------------------------------------


async def test_the_folder_that_a_server_serves(make: MakeBackend) -> None:
    backend = make("transformers_serve", weights="{models}/ticket-moe")
    found = await backend.start()
    details = found.details
    weights_file = Path(builtin.models()) / "ticket-moe" / "model.safetensors"
    assert found.weights_sha256 == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert (details["parameters"], details["parameters_active"]) == (1_510_528, 920_704)
    assert details["weights_folder"] == "ticket-moe"
    assert "scenario's word" in details["weights_note"]
    assert details["generation_config"]["max_new_tokens"] == 128
    assert found.sampling == {"do_sample": False}
    assert str(builtin.models()) not in json.dumps([found.sampling, dict(details)])


async def test_defaults_of_the_makers_count_where_the_server_takes_them(make: MakeBackend) -> None:
    assert (await make("llama_cpp", weights="{models}/ticket-moe").start()).sampling == {}


@pytest.mark.parametrize(
    ("given", "vendor", "host", "found"),
    [
        ("m", "generic", "127.0.0.1", True),
        ("link", "generic", "127.0.0.1", True),
        ("{root}/m", "generic", "127.0.0.1", True),
        ("{root}/../outside", "generic", "127.0.0.1", True),  # absolute: the user's own word
        ("m", "generic", "example.org", False),
        ("m", "litellm", "127.0.0.1", False),  # a gateway's models are elsewhere
        ("../outside", "generic", "127.0.0.1", False),
        ("m/../../outside", "generic", "127.0.0.1", False),
        ("escape", "generic", "127.0.0.1", False),
        ("circle", "generic", "127.0.0.1", False),
        ("empty", "generic", "127.0.0.1", False),
        ("m/config.json", "generic", "127.0.0.1", False),
        ("nothing", "generic", "127.0.0.1", False),
        ("/etc", "generic", "127.0.0.1", False),
        ("~", "generic", "127.0.0.1", False),
        ("x" * 5000, "generic", "127.0.0.1", False),
        ("a\0b", "generic", "127.0.0.1", False),
        ("\ud800", "generic", "127.0.0.1", False),
        ("file:///etc", "generic", "127.0.0.1", False),
        ("", "generic", "127.0.0.1", False),
    ],
)
def test_a_model_that_is_a_folder(
    tmp_path: Path, given: str, vendor: str, host: str, found: bool
) -> None:
    root = tmp_path / "scenario"
    root.mkdir()
    inside, outside = model(root / "m"), model(tmp_path / "outside")
    (root / "link").symlink_to(inside)
    (root / "escape").symlink_to(outside)
    (root / "circle").symlink_to(root / "circle")
    (root / "empty").mkdir()
    config = BackendConfig(
        "b", "openai", given.replace("{root}", str(root)), root=root,
        endpoint=f"http://{host}/v1", options={"vendor": vendor},
    )  # fmt: skip
    assert (served.find(config, None, here=OpenAIBackend(config).local) is not None) == found


def test_an_option_that_names_no_model(make: MakeBackend, tmp_path: Path) -> None:
    for given, words in (
        (str(tmp_path), "no folder with"),
        ("../x", "leads out"),
        ("y", "nothing"),
    ):
        with pytest.raises(ScenarioError, match=words) as caught:
            make(weights=given, config={"root": tmp_path})
        assert caught.value.key == "backends.b.options.weights"


async def test_a_folder_that_is_too_large_is_not_hashed(
    make: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "MOST_HASHED", 10)
    found = await make(weights=str(model(tmp_path / "m"))).start()
    assert found.weights_sha256 is None
    assert "not hashed: more than" in found.details["weights_note"]
    assert found.details["parameters"] == 40


async def test_without_the_package_a_folders_answers_are_not_counted(
    server: ProvokingServer, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    server.answer(sse(chunk("a"), STOP, DONE))
    backend = make(weights="{models}/ticket-dense")
    assert fold(await ask(backend)).usage_source is None
    assert "tokens_counted_with" not in (await backend.start()).details


async def test_a_folder_that_went_away(make: MakeBackend, tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    backend = make(weights=str(folder))
    shutil.rmtree(folder)
    found = await backend.start()
    assert (found.weights_sha256, found.details["weights_folder"]) == (None, "m")
