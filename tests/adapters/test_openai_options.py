"""What a scenario may say of a backend, and what it is told where it may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from exitdrill.backend import Backend, BackendConfig
from exitdrill.errors import ScenarioError
from exitdrill_adapters.openai import OpenAIBackend
from exitdrill_adapters.openai.endpoint import proxy_for
from exitdrill_adapters.openai.vendors import VENDORS

BASE = BackendConfig("b", "openai", "m", endpoint="http://127.0.0.1:1/v1")
OPTIONS = "backends.b.options"
ENDPOINT = "backends.b.endpoint"


def make(
    root: Path = Path(), endpoint: str | None = BASE.endpoint, **options: Any
) -> OpenAIBackend:
    return OpenAIBackend(dataclasses.replace(BASE, root=root, endpoint=endpoint, options=options))


def test_it_is_a_backend() -> None:
    backend = make()
    assert isinstance(backend, Backend)
    assert backend.operations == {"chat", "completion", "embedding"}
    assert make(vendor="mistral").operations == {"chat", "embedding"}


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"vendr": "openai"}, "vendr", "did you mean 'vendor'?"),
        ({"zzz": 1}, "zzz", "known: extra_body, headers, tokenizer, vendor"),
        ({"vendor": "mistrl"}, "vendor", "did you mean 'mistral'?"),
        ({"vendor": 3}, "vendor", "string"),
        ({"headers": {"X": 3}}, "headers.X", "string"),
        ({"headers": {"Authorization": "hush"}}, "headers", "key_env"),
        ({"headers": {"x-api-key": "hush"}}, "headers", "key_env"),
        ({"headers": {"X-Auth-Token": "hush"}}, "headers", "key_env"),
        ({"headers": {"Cookie": "hush"}}, "headers", "key_env"),
        ({"headers": {"Host": "hush"}}, "headers", "set by the adapter"),
        ({"headers": {"X-A": "a\r\nB: hush"}}, "headers", "no valid header"),
        ({"extra_body": {"model": "hush"}}, "extra_body", "'model'"),
        ({"extra_body": {"api_key": "hush"}}, "extra_body.api_key", "key_env"),
        ({"extra_body": {"apiKey": "hush"}}, "extra_body.apiKey", "key_env"),
        ({"extra_body": {"x-api-key": "hush"}}, "extra_body.x-api-key", "key_env"),
        ({"extra_body": {"a": [{"token": "hush"}]}}, "extra_body.a.token", "key_env"),
        ({"extra_body": {"auth": {"value": ["hush"]}}}, "extra_body.auth.value", "key_env"),
        ({"extra_body": {"a": {"user": "sk-hush-0123456789"}}}, "extra_body.a.user", "key_env"),
        ({"extra_body": {"user": ["Bearer hush"]}}, "extra_body.user", "key_env"),
        ({"extra_body": {"sk-hush-0123456789": 1}}, "extra_body", "key_env"),
        ({"extra_body": {"user": "pre hush-of-the-environment"}}, "extra_body.user", "key_env"),
        ({"headers": {"X-User": "bearer hush"}}, "headers.X-User", "key_env"),
        ({"headers": {"X-User": "hush-of-the-environment"}}, "headers.X-User", "key_env"),
        ({"vendor": "sk-hush-0123456789"}, "vendor", "key_env"),
        ({"tokenizer": "sk-hush-0123456789"}, "tokenizer", "key_env"),
        ({"api_key": "hush"}, "api_key", "key_env"),
        ({"tokenizer": "../tokenizer.json"}, "tokenizer", "leads out"),
        ({"tokenizer": "a/../../b"}, "tokenizer", "leads out"),
        ({"tokenizer": "absent.json"}, "tokenizer", "nothing at"),
        ({"tokenizer": "."}, "tokenizer", "not a file"),
    ],
)
def test_a_wrong_option(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    key: str,
    words: str,
) -> None:
    monkeypatch.setenv("DRILL_KEY", " hush-of-the-environment\n")
    config = dataclasses.replace(BASE, root=tmp_path, key_env="DRILL_KEY", options=options)
    with pytest.raises(ScenarioError) as caught:
        OpenAIBackend(config)
    assert caught.value.key == f"{OPTIONS}.{key}"
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


def test_options_that_are_fine(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    make(tmp_path, tokenizer="tokenizer.json", headers={"X-Tokenizer": "a", "Idempotency-Key": "b"})
    make(tokenizer=str(tmp_path / "tokenizer.json"))


def test_parameters_that_only_sound_like_secrets() -> None:
    make(
        extra_body={
            "min_tokens": 3,
            "stop_token_ids": [1, 2],
            "skip_special_tokens": True,
            "eos_token": "</s>",
            "bad_words": ["task-oriented-dialogue"],
            "prompt_cache_key": "drill",
            "chat_template_kwargs": {"enable_thinking": False, "stop_token": "<|end|>"},
            "monkey": "risk-assessment-of-2024",
        }
    )


def test_a_filler_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_KEY", "none")
    options = {"extra_body": {"reasoning_effort": "none"}}
    OpenAIBackend(dataclasses.replace(BASE, key_env="DRILL_KEY", options=options))


def test_the_key_of_a_vendors_row_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "hushhushhush")
    with pytest.raises(ScenarioError, match="key_env"):
        make(endpoint=None, vendor="mistral", extra_body={"user": "hushhushhush"})


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (None, "endpoint = 'http://127.0.0.1:8000/v1'"),
        ("", "endpoint = 'http://127.0.0.1:8000/v1'"),
        ("http://me:hush@host/v1", "credentials"),
        ("http://hush@host/v1", "credentials"),
        ("localhost:8000/v1", "must begin with http://"),
        ("ftp://host/v1", "must begin with http://"),
        ("example.com/v1", "name a host, such as 'http://127.0.0.1:8000/v1'"),
        ("http:///v1", "name a host, such as 'http://127.0.0.1:8000/v1'"),
        ("//hush/v1", "name a host, such as 'http://127.0.0.1:8000/v1'"),
        ("http://host/v1?key=hush", "leave out"),
        ("http://host/v1/chat/completions", "leave out '/chat/completions'"),
        ("http://host/v1/completions/", "leave out '/completions'"),
        ("http://[hush/v1", "not a URL"),
    ],
)
def test_a_wrong_endpoint(endpoint: str | None, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        make(endpoint=endpoint)
    assert caught.value.key == ENDPOINT
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_row_may_bring_its_endpoint() -> None:
    for name, row in VENDORS.items():
        if row.endpoint is not None:
            make(endpoint=None, vendor=name)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://LOCALHOST./v1", True),
        ("http://localhost.example.org/v1", False),
        ("http://10.0.0.1/v1", False),
        ("https://api.example.org/v1", False),
    ],
)
def test_local_is_loopback(endpoint: str, local: bool) -> None:
    assert make(endpoint=endpoint).local is local


def test_a_gateway_on_loopback_is_not_local() -> None:
    assert make(vendor="litellm").local is False


def test_a_proxy_is_for_what_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("https_proxy", "proxy:3129")
    monkeypatch.setenv("no_proxy", "inside.example.org")
    assert proxy_for(URL("http://a.example.org/v1")) == URL("http://proxy:3128")
    assert proxy_for(URL("https://a.example.org/v1")) == URL("http://proxy:3129")
    assert proxy_for(URL("http://inside.example.org/v1")) is None
    assert proxy_for(URL("http://127.0.0.1:8000/v1")) is None
