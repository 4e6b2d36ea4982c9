"""What an app is told instead of an answer: OpenAI's error envelope, with the status that fits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from exitdrill.backend import Edit
from exitdrill.errors import BackendError, ErrorKind

LONGEST = 4000
"""Characters of a message: what a backend says of itself is not ours to bound otherwise."""
INVALID = "invalid_request_error"
NO_RETRY: Mapping[str, str] = MappingProxyType({"x-should-retry": "false"})
"""The official SDKs heed it: they would try again whatever has a status from 500 on."""

_STATUS: Mapping[ErrorKind, tuple[int, str, str | None]] = {
    "auth": (401, "authentication_error", "invalid_api_key"),
    "bad_parameter": (400, INVALID, None),
    "unsupported": (400, INVALID, "unsupported_parameter"),
    "template": (400, INVALID, "invalid_messages"),
    "context_overflow": (400, INVALID, "context_length_exceeded"),
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "timeout": (504, "server_error", "timeout"),
    "content_filter": (400, INVALID, "content_filter"),
    "malformed_stream": (502, "server_error", "bad_answer"),
    "server": (500, "server_error", None),
    "unreachable": (502, "server_error", "unreachable"),
    "rejected": (400, INVALID, "unsupported_parameter"),
    "crashed": (500, "server_error", "crashed"),
    "cancelled": (499, "server_error", "cancelled"),
    "flood": (502, "server_error", "flood"),
    "left_behind": (410, INVALID, "left_behind"),
}
_OWN_STATUS: Mapping[int, tuple[str, str | None]] = {
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "permission_denied"),
    404: (INVALID, "not_found"),
    429: ("insufficient_quota", "insufficient_quota"),
}
"""What a status means where the kind of the error alone would say something else."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An error as it goes out."""

    status: int
    message: str
    type: str = INVALID
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def document(self) -> dict[str, Any]:
        """``{"error": {…}}``."""
        message = self.message if len(self.message) <= LONGEST else self.message[:LONGEST] + "…"
        error = {"message": message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


class Refused(Exception):
    """A request that goes no further: ``kind`` is what it counts as on the record."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: ErrorKind = "bad_parameter",
        headers: Mapping[str, str] = NO_RETRY,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.envelope = Envelope(status, message, INVALID, code, param, headers)

    @property
    def error(self) -> BackendError:
        """The same as the error of an exchange."""
        return BackendError(self.kind, self.envelope.message, status=self.envelope.status)


def envelope_of(error: BackendError, edit: Edit | None = None) -> Envelope:
    """A backend's error as the app sees it; ``edit`` is the one that was not allowed.

    A status from 400 on is kept; an error within a stream that began well gets that of its kind.
    """
    status, kind, code = _STATUS[error.kind]
    own = error.status
    if own is not None and 400 <= own <= 599 and own != status:
        status = own
        if error.kind in ("auth", "bad_parameter"):
            kind, code = _OWN_STATUS.get(own, (kind, code))
    return Envelope(
        status,
        error.message,
        kind,
        code,
        None if edit is None else parameter(edit.path),
        _headers(error),
    )


def _headers(error: BackendError) -> Mapping[str, str]:
    wait = error.retry_after
    if error.kind == "crashed":
        return NO_RETRY
    if wait is None or not math.isfinite(wait):
        return {}
    # Whole seconds for whoever knows the standard only, the exact wait for the SDKs.
    wait = max(0.0, wait)
    return {"Retry-After": str(math.ceil(wait)), "retry-after-ms": f"{wait * 1000:.0f}"}


def parameter(pointer: str) -> str | None:
    """A JSON pointer as OpenAI names a parameter: ``/tools/0/type`` is ``tools[0].type``."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/") if part]
    dotted = "".join(f"[{part}]" if re.fullmatch(r"\d+", part) else f".{part}" for part in parts)
    return dotted.lstrip(".") or None
