"""Options of an adapter, validated; shared by the built-in adapters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from exitdrill import builtin
from exitdrill.backend import BackendConfig
from exitdrill.errors import ScenarioError

T = TypeVar("T", bound=BaseModel)


def option_key(config: BackendConfig, key: str = "") -> str:
    """Where an option stands in scenario.toml, for error messages."""
    place = f"backends.{config.name}.options"
    return f"{place}.{key}" if key else place


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, else all of them."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(choices)}" if choices else "none is known"


def parse_options(config: BackendConfig, model: type[T]) -> T:
    """The options of a backend as ``model``, which should forbid extra keys.

    Raises `ScenarioError` with the key of the first mistake, and the nearest known key where the
    key is unknown.
    """
    try:
        return model.model_validate(dict(config.options))
    except ValidationError as error:
        # Neither input nor URL: a value that somebody took for a key must not be printed.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    location = [str(part) for part in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = model.model_fields if len(location) == 1 else ()
        message = f"unknown option; {nearest(location[-1], known)}" if known else "unknown key"
    # `from None`: pydantic's own message repeats the input.
    raise ScenarioError(message, key=option_key(config, ".".join(location))) from None


def resolve_path(config: BackendConfig, key: str, value: str) -> Path:
    """The path that an option names: relative to the scenario's folder, or absolute.

    ``{models}`` stands for the folder of the models that come with the package.

    Raises `ScenarioError` for a relative path that leads out of the scenario's folder, and for one
    where nothing is.
    """
    given = Path(value.replace("{models}", builtin.models()))
    root = config.root.resolve()
    path = given if given.is_absolute() else (root / given).resolve()
    if not given.is_absolute() and not path.is_relative_to(root):
        raise ScenarioError(
            f"{value!r} leads out of the scenario's folder (an absolute path may)",
            key=option_key(config, key),
        )
    if not path.exists():
        raise ScenarioError(f"there is nothing at {str(path)!r}", key=option_key(config, key))
    return path
