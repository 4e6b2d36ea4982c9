"""Who may come in, and in whose name: a key for the drill, a base URL of its own for each trial."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from exitdrill.gateway.envelope import Refused

HEADER = "X-Exitdrill-Trial"
"""A long-running app may name the trial in a header instead of the path, with the same token."""
_TOKEN_BYTES = 32
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::\d+)?")
_PATH = re.compile(r"/t/([^/]+)(/.*)")


@dataclass(frozen=True, slots=True)
class Door:
    """A way in: what an app is given as its base URL and its key. Calls through it are ``owner``'s.

    Whoever knows both can call, so neither is shown.
    """

    owner: str
    url: str = field(repr=False)
    key: str = field(repr=False)
    token: str = field(repr=False)


class Doors:
    """The doors of one gateway."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(_TOKEN_BYTES)
        self._owners: dict[bytes, str] = {}

    def open(self, owner: str, origin: str, token: str | None = None) -> Door:
        """A door of somebody's, at a server's origin (``http://127.0.0.1:8000``)."""
        token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        self._owners[_digest(token)] = owner
        return Door(owner, f"{origin}/t/{token}/v1", self.key, token)

    def assign(self, door: Door, owner: str) -> None:
        """Make the calls through a door somebody else's from now on."""
        self._owners[_digest(door.token)] = owner

    def shut(self, door: Door) -> None:
        """Let nobody in there any more."""
        self._owners.pop(_digest(door.token), None)

    def owner(self, token: str | None) -> str | None:
        """Whose a token is; None where it is nobody's."""
        # By its hash: how long a look-up takes says nothing of what would have been right.
        return None if token is None else self._owners.get(_digest(token))

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises `Refused` (401) where the drill's key is missing or another."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(errors="replace"), self.key.encode())
        if scheme.lower() != "bearer" or not right:
            # Begins as OpenAI's own: there are clients that look for the words.
            message = "Incorrect API key provided: this is a drill's gateway, which has its own key"
            raise Refused(401, message, code="invalid_api_key", kind="auth")


def check_host(headers: Mapping[str, str]) -> None:
    """Raises `Refused` (403) for a name that is not loopback's: a web page may have led here."""
    found = _HOST.fullmatch(headers.get("Host", ""))
    if found is None or found[1].lower() not in _LOOPBACK:
        message = "this endpoint is for loopback only"
        raise Refused(403, message, code="host_not_allowed", kind="auth")


def split_path(path: str) -> tuple[str | None, str]:
    """The token that a path begins with, if any, and the path behind it."""
    found = _PATH.fullmatch(path)
    return (found[1], found[2]) if found else (None, path)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
