"""How the model is reached and asked: all that depends on who serves it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai


@dataclass(frozen=True)
class Settings:
    """The settings file; `name` and `base_url` may come from the environment instead."""

    base_url: str
    key_variable: str
    name: str
    max_new_tokens: int
    timeout_seconds: float


def load_settings(path: Path) -> Settings:
    """The section `model` of the settings file."""
    settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    settings["base_url"] = os.environ.get("OPENAI_BASE_URL") or settings["base_url"]
    settings["name"] = os.environ.get("RESEARCH_MODEL") or settings["name"]
    return Settings(**settings)


class Model:
    """A model that can call tools."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = openai.OpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get(settings.key_variable),
            timeout=settings.timeout_seconds,
        )

    def reply(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        headers: Mapping[str, str],
    ) -> Any:
        """The model's next message."""
        limits = {"max_new_tokens": self._settings.max_new_tokens, "do_sample": False}
        completion = self._client.chat.completions.create(
            model=self._settings.name,
            messages=list(messages),  # type: ignore[arg-type]
            tools=list(tools),  # type: ignore[arg-type]
            extra_headers=dict(headers),
            # The server takes its limits this way, as one text; its own default is 1,024 tokens.
            extra_body={"generation_config": json.dumps(limits)},
        )
        return completion.choices[0].message
