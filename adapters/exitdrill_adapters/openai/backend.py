"""Any endpoint that speaks the OpenAI protocol, streamed, over aiohttp.

How vendors differ is in the table of rows (`vendors`); a new vendor costs one row. Redirects are
not followed and netrc is not read: a key goes to the endpoint that the scenario names, and nowhere
else.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from exitdrill.backend import (
    BackendConfig,
    Description,
    Event,
    Operation,
    Prepared,
    Replayed,
    Request,
    Usage,
)
from exitdrill.errors import BackendError, ScenarioError
from exitdrill_adapters.openai import failures, rewrite, served
from exitdrill_adapters.openai.asking import Told, ask_all
from exitdrill_adapters.openai.cleaning import Cleaner, is_plain
from exitdrill_adapters.openai.embeddings import read_embeddings
from exitdrill_adapters.openai.endpoint import base_url, is_local, proxy_for
from exitdrill_adapters.openai.reading import MAX_STREAM, Reading
from exitdrill_adapters.openai.recount import NOTE, TokenCounter
from exitdrill_adapters.openai.replays import replayed
from exitdrill_adapters.openai.secrets import is_secret_header, refuse_secrets, secret_message
from exitdrill_adapters.openai.transport import Found, Progress, Transport, read_whole, since
from exitdrill_adapters.openai.vendors import SAMPLING, VENDORS, Vendor
from exitdrill_adapters.openai.wire import ChunkReader, parse_chunk
from exitdrill_adapters.options import nearest, option_key, parse_options, resolve_path

_PATHS: Mapping[Operation, str] = {
    "chat": "chat/completions",
    "completion": "completions",
    "embedding": "embeddings",
}
MAX_EMBEDDINGS = 64 * 1024 * 1024
"""Bytes of one embedding response: some 1,000 vectors of 3,000 numbers."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset(
    {"accept-encoding", "content-length", "content-type", "host", "transfer-encoding"}
)
_OWN_BODY = frozenset({"model", "stream", "stream_options", "messages", "prompt", "input", "n"})
_MAX_FIELDS = 12
_MAX_FIELD = 100
"""Fields, and characters of one, that are kept of what a server says of itself."""


class OpenAIOptions(BaseModel):
    """The options of an `OpenAIBackend` in scenario.toml.

    ``tokenizer`` is the model's tokenizer.json: every answer is counted with it. ``weights`` is the
    folder that the server serves, where it lies on this machine: it is hashed, and has a tokenizer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendor: str = "generic"
    headers: dict[str, str] = Field(default_factory=dict)
    tokenizer: str | None = None
    weights: str | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("vendor")
    @classmethod
    def _vendor_is_known(cls, value: str) -> str:
        if value not in VENDORS:
            raise ValueError(f"{value!r} is no known vendor; {nearest(value, VENDORS)}")
        return value

    @field_validator("headers")
    @classmethod
    def _headers_hold_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if is_secret_header(name):
                raise ValueError(secret_message(name))
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"{name!r} is set by the adapter")
            if not (_HEADER_NAME.fullmatch(name) and text.isprintable()):
                raise ValueError(f"{name!r} is no valid header")
        return value

    @field_validator("extra_body")
    @classmethod
    def _extra_body_leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OWN_BODY & value.keys()):
            raise ValueError(f"{taken[0]!r} belongs to the workload or to the adapter")
        return value


class OpenAIBackend:
    """A backend behind an OpenAI-compatible endpoint.

    Making one validates the configuration and raises `ScenarioError`; nothing is called yet.
    ``variants`` are the vendors that ``options.vendor`` may name.
    """

    variants = tuple(sorted(VENDORS))

    def __init__(self, config: BackendConfig) -> None:
        named = VENDORS.get(str(config.options.get("vendor")))
        refuse_secrets(config, _environ(config.key_env or (named.key_env if named else None)))
        options = parse_options(config, OpenAIOptions)
        self._config = config
        self._options = options
        self._vendor: Vendor = VENDORS[options.vendor]
        self._url = base_url(config, self._vendor)
        self._folder = served.find(config, options.weights, here=self.local)
        self._tokenizer = None if self._folder is None else served.tokenizer(self._folder)
        if options.tokenizer is not None:
            self._tokenizer = resolve_path(config, "tokenizer", options.tokenizer)
            if not self._tokenizer.is_file():
                raise ScenarioError("is not a file", key=option_key(config, "tokenizer"))
        self._counter: TokenCounter | None = None
        self._transport: Transport | None = None

    @property
    def operations(self) -> frozenset[Operation]:
        """What the vendor's row lists."""
        return frozenset(self._vendor.operations)

    @property
    def endpoint(self) -> str:
        """The base URL that is called: the scenario's, else the vendor's own."""
        return str(self._url)

    @property
    def local(self) -> bool:
        """Whether the endpoint is on loopback, and the answer is computed there."""
        return is_local(self._url) and not self._vendor.forwards

    def prepare(self, request: Request) -> Prepared:
        """The request as this vendor takes it, by its row."""
        return rewrite.prepare(request, self._vendor, self._config.model, self._options.extra_body)

    async def start(self) -> Description:
        """Open the session, and ask the server what it is.

        Raises `ScenarioError` for a key that is not set and for a tokenizer that is none,
        `AdapterError` where the tokenizers package is missing, `BackendError` (unreachable) where
        nothing answers at all.
        """
        secret = self._key()
        if self._tokenizer is not None:
            self._counter = await asyncio.to_thread(TokenCounter, self._tokenizer)
        await self.close()
        transport = Transport(self._url, secret, self._options.headers, self._config.timeouts)
        self._transport = transport
        try:
            found = await transport.probe(self._vendor.probe)
        except BackendError:
            await self.close()
            raise
        told, folder = await asyncio.gather(
            ask_all(transport, self._vendor, self._config.model), self._read_folder()
        )
        return self._describe(transport.cleaner, found, told, folder)

    def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        """Answer one request: see `Backend.stream`. Raises `BackendError`."""
        start = time.monotonic_ns()
        if self._transport is None:
            raise RuntimeError("stream() before start()")
        if prepared.request.operation == "embedding":
            return self._embed(self._transport, prepared, start)
        return self._generate(self._transport, prepared, start)

    async def close(self) -> None:
        """Close all connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    # --- one answer

    async def _generate(
        self, transport: Transport, prepared: Prepared, start: int
    ) -> AsyncIterator[Event]:
        _refuse_rejected(prepared)
        operation, gap = prepared.request.operation, self._config.timeouts.gap
        reader = ChunkReader(self._vendor, operation, prepared.body, transport.cleaner)
        progress, kept, given = Progress(), list[Event](), self._given(prepared)
        with transport.translated(progress):
            async with transport.post(_PATHS[operation], prepared.body, progress) as response:
                if (source := replayed(response.headers, transport.cleaner)) is not None:
                    yield Replayed(since(start), source)
                await _refuse_whole(response)
                async with Reading(response, reader, start, gap, progress) as reading:
                    while (events := await reading.batch()) is not None:
                        if self._counter is not None:
                            kept += events
                        for event in events:
                            yield event
        if (usage := await self._recount(given, kept, start)) is not None:
            yield usage

    async def _embed(
        self, transport: Transport, prepared: Prepared, start: int
    ) -> AsyncIterator[Event]:
        _refuse_rejected(prepared)
        progress, given = Progress(), self._given(prepared)
        with transport.translated(progress):
            async with transport.post(_PATHS["embedding"], prepared.body, progress) as response:
                source = replayed(response.headers, transport.cleaner)
                body = await read_whole(response, MAX_EMBEDDINGS)
                events = read_embeddings(body, since(start), transport.cleaner)
        if source is not None:
            yield Replayed(events[0].at, source)
        for event in events:
            yield event
        if (usage := await self._recount(given, events, start)) is not None:
            yield usage

    def _given(self, prepared: Prepared) -> asyncio.Future[int | None] | None:
        """The request's own count, begun now: it is made while the server answers."""
        if self._counter is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(None, self._counter.given, prepared.body)

    async def _recount(
        self, given: asyncio.Future[int | None] | None, events: list[Event], start: int
    ) -> Usage | None:
        """Counted after the answer and without its connection: nobody's time but our own.

        An answer that is whole must not fail for it: long before a timeout it is given up.
        """
        if self._counter is None or given is None:
            return None
        limits = self._config.timeouts
        patience = min(limits.gap, limits.request - since(start) / 1e9) / 2
        counting = asyncio.gather(given, asyncio.to_thread(self._counter.made, events))
        try:
            prompt, made = await asyncio.wait_for(counting, patience)
        except TimeoutError:
            return None
        if prompt is None or made is None:
            return None
        return Usage(events[-1].at if events else 0, prompt, made, source="recounted")

    # --- beginnings

    def _key(self) -> SecretStr | None:
        name = self._config.key_env
        if name is None and self._config.endpoint is None:
            # The row's variable goes to the row's endpoint only: a key is not sent elsewhere.
            name = self._vendor.key_env
        if name is None:
            return None
        value = _environ(name)
        place = f"backends.{self._config.name}.key_env"
        if not value:
            raise ScenarioError(f"the environment variable {name} is not set", key=place)
        if not (value.isascii() and value.isprintable()):
            raise ScenarioError(f"the environment variable {name} holds no valid key", key=place)
        return SecretStr(value)

    async def _read_folder(self) -> served.Folder:
        if self._folder is None:
            return served.Folder()
        return await asyncio.to_thread(served.read, self._folder)

    def _describe(
        self, cleaner: Cleaner, found: Found, told: Told, folder: served.Folder
    ) -> Description:
        details = {
            **self._facts(found, _listed(found.body, self._config.model, cleaner)),
            **({"told": told.facts} if told.facts else {}),
            **folder.details,
        }
        return Description(
            adapter=self._config.adapter,
            model=self._config.model,
            revision=told.revision,
            weights_sha256=folder.sha256,
            server=_server(self._vendor, found, told, cleaner),
            endpoint_host=cleaner.value(self._url.authority),
            sampling=cleaner.value(self._sampling(told, folder)),
            details=cleaner.value(details),
        )

    def _sampling(self, told: Told, folder: served.Folder) -> dict[str, Any]:
        """What is in force where a request says nothing, and what we set for all of them."""
        makers = folder.sampling if self._vendor.generation_config else {}
        ours = {name: value for name, value in self._options.extra_body.items() if name in SAMPLING}
        return {**makers, **told.sampling, **ours}

    def _facts(self, found: Found, listed: Mapping[str, Any]) -> dict[str, Any]:
        proxy = proxy_for(self._url)
        details: dict[str, Any] = {
            "vendor": self._vendor.name,
            "quirks": self._vendor.quirks(),
            "transport": self._url.scheme,
            "probe": f"{self._vendor.probe}: {found.status or 'no answer in time'}",
            **listed,
        }
        if proxy is not None:
            details["proxy"] = proxy.authority.rpartition("@")[2]
        if self._options.extra_body:
            details["extra_body"] = self._options.extra_body
        if self._counter is not None:
            details["tokens_counted_with"] = NOTE
        return details


def _environ(name: str | None) -> str:
    return os.environ.get(name or "", "").strip()


def _server(vendor: Vendor, found: Found, told: Told, cleaner: Cleaner) -> str | None:
    """The server's version, where it tells one, and what it calls itself."""
    header = found.headers.get("Server")
    version = told.version or found.headers.get(vendor.version_header or "")
    if not version:
        return None if header is None else cleaner.text(header, _MAX_FIELD)
    name = f"{vendor.name} {cleaner.text(version, _MAX_FIELD)}"
    return name if header is None else f"{name} ({cleaner.text(header, _MAX_FIELD)})"


def _refuse_rejected(prepared: Prepared) -> None:
    for edit in prepared.edits:
        if edit.action == "reject":
            raise BackendError("rejected", f"{edit.path or '/'}: {edit.detail}")


async def _refuse_whole(response: aiohttp.ClientResponse) -> None:
    """A server that does not stream cannot be timed: its first token would be its last."""
    if response.content_type != "application/json":
        return
    reply = parse_chunk(await read_whole(response, MAX_STREAM))
    if reply.get("error"):
        raise failures.from_stream(reply["error"])
    message = "answered in one piece although a stream was asked for"
    raise BackendError("unsupported", message, status=response.status)


def _listed(found: object, model: str, cleaner: Cleaner) -> dict[str, Any]:
    """What a list of models says of ours; only plain values, and few."""
    entries = found.get("data") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        return {}
    for entry in entries:
        if isinstance(entry, dict) and entry.get("id") == model:
            plain = [(k, v) for k, v in entry.items() if is_plain(v)][:_MAX_FIELDS]
            return {"listed": {_short(k, cleaner): _short(v, cleaner) for k, v in plain}}
    return {"listed": None}


def _short(value: Any, cleaner: Cleaner) -> Any:
    return cleaner.text(value, _MAX_FIELD) if isinstance(value, str) else value
