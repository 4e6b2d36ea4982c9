"""Fixtures for the tests of all adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from exitdrill.backend import BackendConfig, Timeouts
from exitdrill_adapters.openai import OpenAIBackend

from .provoking_server import ProvokingServer

MakeBackend = Callable[..., OpenAIBackend]


@pytest.fixture(autouse=True)
def no_keys_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "MISTRAL_API_KEY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server() -> AsyncIterator[ProvokingServer]:
    async with ProvokingServer() as running:
        yield running


@pytest.fixture
async def make(server: ProvokingServer) -> AsyncIterator[MakeBackend]:
    """Makes backends on the provoking server, and closes them."""
    made: list[OpenAIBackend] = []

    def make_backend(
        vendor: str = "generic",
        *,
        timeouts: Timeouts = Timeouts(connect=5, request=10, gap=5),  # noqa: B008  frozen
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> OpenAIBackend:
        fields: dict[str, Any] = {"endpoint": server.url, **(config or {})}
        options = {"vendor": vendor, **options}
        made.append(
            OpenAIBackend(
                BackendConfig("b", "openai", "m", timeouts=timeouts, options=options, **fields)
            )
        )
        return made[-1]

    yield make_backend
    for backend in made:
        await backend.close()
