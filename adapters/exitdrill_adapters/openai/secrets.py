"""Refuses a key that stands in a scenario's options: a plan is published, and they are part of it.

What is refused is a text under a name that says so (``api_key``), and a value that looks like a key
or is the one that the environment holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.backend import BackendConfig
from exitdrill.environment import looks_secret
from exitdrill.errors import ScenarioError
from exitdrill_adapters.options import option_key

_SECRET_HEADER = re.compile(
    r"(^|[-_])(authorization|auth|cookie|token|secret|password|credentials?"
    r"|(api|access|subscription)[-_]?key)($|[-_])",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(^|_)((bos|eos|pad|unk|sep|cls|mask|stop|bad|special|image|think|end|start)_(token|word)"
    r"|cache_key)s?($|_)",
    re.IGNORECASE,
)
"""Names of parameters that a server knows, and whose text is no secret."""
_KEY = re.compile(
    r"(?<![A-Za-z0-9])("
    r"(sk|pk|rk|gsk|csk|xai|nvapi|pplx|glpat|fw)[-_][\w-]{8,}"
    r"|(gh[a-z]|hf|r8|github_pat)_\w{16,}"
    r"|AIza[\w-]{30,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[\w-]+\.eyJ[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY)"
    r"|^\s*([Bb]earer|[Bb]asic)\s+\S+\s*$"
)
_SHORTEST = 8
"""Characters. A shorter value of a key's variable is a filler such as "none", and also a word."""


def is_secret_header(name: str) -> bool:
    """Whether a header's name says that its value is a secret."""
    return _SECRET_HEADER.search(name) is not None


def refuse_secrets(config: BackendConfig, key: str | None) -> None:
    """Raises `ScenarioError` for an option that holds a key, or ``key`` itself; without its value.

    The names of headers are not looked at: see `is_secret_header`.
    """
    for path in _secrets(config.options, (), key):
        # A key that stands where a name should is not repeated either.
        shown = [part for part in path if not _is_key(part, key)]
        raise ScenarioError(secret_message(shown[-1]), key=option_key(config, ".".join(shown)))


def secret_message(name: str) -> str:
    """What a scenario is told that holds a secret under a name."""
    return (
        f"{name!r} looks like a secret, which must not stand in a scenario;"
        " name the variable that holds the key in key_env instead"
    )


def _secrets(value: Any, path: tuple[str, ...], key: str | None) -> Iterator[tuple[str, ...]]:
    """The paths of all texts that are secrets by their value, or by a name on the way to them."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if _is_key(str(name), key):
                yield (*path, str(name))
            yield from _secrets(item, (*path, str(name)), key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, path, key)
    elif isinstance(value, str) and value and (_is_key(value, key) or _says_secret(path)):
        yield path


def _says_secret(path: tuple[str, ...]) -> bool:
    return path[:1] != ("headers",) and any(map(_is_secret_name, path))


def _is_secret_name(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_")
    return looks_secret(words) and not _HARMLESS.search(words)


def _is_key(text: str, key: str | None) -> bool:
    if key is not None and len(key) >= _SHORTEST and key in text:
        return True
    return _KEY.search(text) is not None
