"""What a server tells of itself, by the questions of its vendor's row.

Each answer is untrusted, and none is needed: what does not come in time, or is not what is
documented, is left out of the record.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exitdrill_adapters.openai.cleaning import Cleaner, is_plain
from exitdrill_adapters.openai.transport import Found, Transport
from exitdrill_adapters.openai.vendors import Ask, Vendor

_MAX_VALUE = 200
_SAMPLING = "sampling/"
_NAMES = ("name", "model", "id")
"""Fields of an entry in a list of models that may hold the name it is asked for by."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a server said: its version, the model's revision, its defaults, and what else."""

    version: str | None = None
    revision: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


async def ask_all(transport: Transport, vendor: Vendor, model: str) -> Told:
    """Put all questions of a row, at once. Raises nothing."""
    posts = [{"model": model} if ask.posts_model else None for ask in vendor.asks]
    answers = await asyncio.gather(
        *(transport.ask(ask.path, post) for ask, post in zip(vendor.asks, posts, strict=True))
    )
    kept: dict[str, Any] = {}
    for ask, answer in zip(vendor.asks, answers, strict=True):
        kept = _kept(ask, answer, model, transport.cleaner) | kept
    version, revision = kept.pop("version", None), kept.pop("revision", None)
    return Told(
        version=None if version is None else str(version),
        revision=None if revision is None else str(revision),
        sampling={
            name.removeprefix(_SAMPLING): value
            for name, value in kept.items()
            if name.startswith(_SAMPLING)
        },
        facts={name: value for name, value in kept.items() if not name.startswith(_SAMPLING)},
    )


def _kept(ask: Ask, answer: Found, model: str, cleaner: Cleaner) -> dict[str, Any]:
    if answer.status != 200:
        return {}
    found = {name: _at(answer.body, place, model) for name, place in ask.keeps.items()}
    formed = {name: _formed(name, value, cleaner) for name, value in found.items()}
    return {name: value for name, value in formed.items() if value not in (None, "")}


def _at(value: Any, pointer: str, model: str) -> Any:
    """What stands at a pointer; None where nothing does."""
    for step in pointer.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            value = _entry(value, step, model)
        else:
            return None
    return value


def _entry(entries: list[Any], step: str, model: str) -> Any:
    if step != "{model}":
        return entries[int(step)] if step.isdecimal() and int(step) < len(entries) else None
    wanted = (model, f"{model}:latest")  # Ollama's name for a model without a tag
    for entry in entries:
        if isinstance(entry, dict) and any(entry.get(name) in wanted for name in _NAMES):
            return entry
    return None


def _formed(name: str, value: Any, cleaner: Cleaner) -> Any:
    if not is_plain(value):
        return None
    if name.endswith("_sha256"):
        text = value if isinstance(value, str) else ""
        return hashlib.sha256(text.encode(errors="replace")).hexdigest() if text else None
    if name.endswith("_file"):
        value = re.split(r"[/\\]", str(value)[-_MAX_VALUE:])[-1]
    return cleaner.text(value, _MAX_VALUE) if isinstance(value, str) else value
