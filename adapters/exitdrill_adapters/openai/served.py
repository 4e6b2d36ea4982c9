"""The folder that a server on this machine was given, where the scenario names it.

So the report can say of a served model what it says of one that runs in process: the hash of its
weights, its size, its tokenizer. What the server did with the folder is not known here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exitdrill.backend import BackendConfig
from exitdrill.errors import ScenarioError
from exitdrill_adapters import weights
from exitdrill_adapters.options import option_key, resolve_path

MOST_HASHED = 64 * 1024**3
"""Bytes of weights that are hashed: more would keep a drill from beginning for minutes."""

_NOTE = "of the files in this folder; that the server loaded them is the scenario's word"
_DEFAULTS = ("do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read from a folder: see `weights.facts`."""

    sha256: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)


def find(config: BackendConfig, named: str | None, *, here: bool) -> Path | None:
    """The folder that the option ``weights`` names, else ``model`` where that is one.

    ``here``: whether the endpoint is this machine's; only then ``model`` can be a folder of ours.
    A relative path starts in the scenario's folder and stays there. Raises `ScenarioError` for an
    option that names no model.
    """
    if named is not None:
        folder = resolve_path(config, "weights", named)
        if not weights.is_model(folder):
            message = "is no folder with config.json and *.safetensors"
            raise ScenarioError(message, key=option_key(config, "weights"))
        return folder
    return _implied(config) if here else None


def tokenizer(folder: Path) -> Path | None:
    """A folder's own tokenizer, where what reads it is installed."""
    file = folder / "tokenizer.json"
    return file if file.is_file() and importlib.util.find_spec("tokenizers") else None


def read(folder: Path) -> Folder:
    """Hash and read a folder: slow, not for an event loop. Raises nothing."""
    details: dict[str, Any] = {"weights_folder": folder.name, "weights_note": _NOTE}
    try:
        generation = weights.generation(folder)
        sampling = {name: generation[name] for name in _DEFAULTS if name in generation}
        details |= weights.facts(folder)
        if generation:
            details["generation_config"] = generation
        if weights.size(folder) <= MOST_HASHED:
            return Folder(weights.sha256(folder), details, sampling)
    except OSError as error:
        details["weights_note"] += f"; not read: {error.strerror}"
        return Folder(None, details)
    details["weights_note"] += f"; not hashed: more than {MOST_HASHED // 1024**3} GiB"
    return Folder(None, details, sampling)


def _implied(config: BackendConfig) -> Path | None:
    given = Path(config.model)
    try:
        root = config.root.resolve()
        folder = given if given.is_absolute() else (root / given).resolve()
    except (OSError, ValueError, RuntimeError):  # no name for a file, or links in a circle
        return None
    if not given.is_absolute() and not folder.is_relative_to(root):
        return None
    return folder if weights.is_model(folder) else None
