"""Any local directory of a causal model, computed in a child process by transformers.

This side never imports torch: what computes cannot delay the clock of who measures, and its
death is an error of the requests under way. `worker` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Mapping
from time import perf_counter_ns
from typing import Any

from exitdrill.backend import (
    BackendConfig,
    Description,
    Event,
    Operation,
    Prepared,
    Request,
)
from exitdrill.errors import AdapterError, BackendError
from exitdrill_adapters.options import parse_options
from exitdrill_adapters.transformers import folder, wire
from exitdrill_adapters.transformers.child import Child
from exitdrill_adapters.transformers.prepare import prepare
from exitdrill_adapters.transformers.settings import LocalOptions

__all__ = ["TransformersBackend"]

_NEEDS = ("torch", "transformers", "safetensors")


class TransformersBackend:
    """A causal model in a directory on this machine."""

    def __init__(self, config: BackendConfig) -> None:
        self._options = parse_options(config, LocalOptions)
        self._folder = folder.find(config)
        self._child: Child | None = None
        self._description: Description | None = None

    @property
    def operations(self) -> frozenset[Operation]:
        """Chat and completion."""
        return frozenset({"chat", "completion"})

    @property
    def local(self) -> bool:
        """Always: nothing leaves the machine."""
        return True

    @property
    def samples(self) -> bool:
        """Whether the model draws where a request names no temperature."""
        return self._folder.samples

    def prepare(self, request: Request) -> Prepared:
        """The request as the child takes it, with an edit for whatever it cannot honour."""
        return prepare(request, self._folder, self._options)

    async def start(self) -> Description:
        """Start the child, load the model and hash its weights."""
        if self._description is None:
            self._description = await self._load()
        return self._description

    def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        """Answer one request; the model's process stamps the events."""
        return self._events(prepared, perf_counter_ns())

    async def close(self) -> None:
        """End the child. A later `start` makes a new one."""
        child, self._child, self._description = self._child, None, None
        if child is not None:
            await child.close()

    async def _load(self) -> Description:
        if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
            raise AdapterError(
                f"needs {', '.join(missing)}: pip install 'exitdrill[local]'",
                key="adapter = 'transformers'",
            )
        await self.close()
        child = self._child = await Child.spawn()
        settings = self._options.model_dump() | {"batching": self._options.mode}
        load = child.load({"path": str(self._folder.path), "options": settings})
        try:
            facts, stored = await asyncio.gather(load, asyncio.to_thread(self._folder.read))
        except OSError as error:
            await self.close()
            raise BackendError("server", f"{self._folder.path}: {error}") from error
        except BackendError:
            await self.close()
            raise
        return self._describe(facts, *stored)

    def _describe(
        self, facts: Mapping[str, Any], sha256: str, stored: Mapping[str, Any]
    ) -> Description:
        # What runs says more than what is stored: a dtype may be another, a context shorter.
        return Description(
            adapter="transformers",
            model=self._folder.path.name,
            weights_sha256=sha256,
            server=facts["server"],
            sampling=facts["sampling"],
            details={**stored, **facts["details"]},
        )

    async def _events(self, prepared: Prepared, entered: int) -> AsyncIterator[Event]:
        if rejected := next((edit for edit in prepared.edits if edit.action == "reject"), None):
            raise BackendError("unsupported", f"{rejected.path}: {rejected.detail}")
        if self._child is None:
            raise BackendError("crashed", "the model's process is not running: start() comes first")
        async with contextlib.aclosing(self._child.exchange(prepared.body)) as messages:
            async for sent, message in messages:
                yield wire.event(message, sent - entered)
