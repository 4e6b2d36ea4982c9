"""What an OpenAI-compatible server says when it does not answer, as a `BackendError`.

Servers differ in status, envelope and words; this is the one place that knows them. A quota or a
bill that is used up is ``auth`` although its status is 429: waiting does not help.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from exitdrill.errors import BackendError, ErrorKind


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_FILTERED = _any(
    r"content_?filter",
    r"content_policy_violation",
    r"content management policy",
    r"responsible ?ai",
    r"flagged by (our )?moderation",
)
_QUOTA = _any(r"insufficient_quota", r"billing", r"exceeded your current quota")
_PATTERNS: Mapping[ErrorKind, re.Pattern[str]] = {
    "content_filter": _FILTERED,
    "context_overflow": _any(
        r"context_length_exceeded",
        r"exceed_context_size",
        r"context (length|window|size)",
        r"max(imum)?[ _]model[ _]len(gth)?",
        r"prompt is too long",
        r"too (many|large).{0,40}tokens",
        r"too large for model",
    ),
    "template": _any(
        r"chat[ _]template",
        r"jinja",
        r"template ?error",
        r"roles must alternate",
        r"unexpected role",
        r"expected last role",
        r"invalid_request_message_order",
    ),
    "unsupported": _any(
        r"unsupported",
        r"not[ _]supported",
        r"does not support",
        r"not implemented",
        r"extra_forbidden",
        r"extra (inputs|fields) (are )?not permitted",
        r"unexpected fields?",
        r"unrecognized request argument",
        r"unknown[ _]parameter",
    ),
}

_STATUS: Mapping[int, ErrorKind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    405: "unsupported",
    408: "timeout",
    429: "rate_limit",
    501: "unsupported",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


def from_response(status: int, headers: Mapping[str, str], body: str) -> BackendError:
    """The error that an HTTP response with a status other than 200 stands for."""
    if 300 <= status < 400:
        message = "the endpoint redirects; redirects are not followed, a key must not travel"
        return BackendError("bad_parameter", message, status=status)
    code, message = _read(_json(body))
    return BackendError(
        _kind(status, code, message),
        message or f"no reason given (HTTP {status})",
        status=status,
        retry_after=retry_after(headers),
    )


def from_stream(error: object) -> BackendError:
    """The error that arrived inside a stream, where the status was 200 already."""
    code, message = _read({"error": error})
    found = re.search(r"\b[45]\d\d\b", code)
    return BackendError(
        _kind(int(found[0]) if found else 500, code, message),
        message or "the server broke the stream off with an error",
        status=200,
    )


def too_long(limit: int) -> BackendError:
    """The error for an answer that does not end. Not worth another attempt: it costs too much."""
    message = f"the answer is longer than {limit / 2**20:g} MiB, which is all that is read of one"
    return BackendError("unsupported", message, status=200)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``Retry-After`` (a number or an HTTP date)."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("Retry-After")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one before there were clocks
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _kind(status: int, code: str, message: str) -> ErrorKind:
    text = f"{code} {message}"
    if status in (402, 429):
        return "auth" if status == 402 or _QUOTA.search(text) else "rate_limit"
    if status in (401, 403) and not _FILTERED.search(text):
        return "auth"
    # An overloaded server's excuse may contain anything; its status says enough.
    if status not in (408, 503, 504, 529):
        for kind, pattern in _PATTERNS.items():
            if pattern.search(text):
                return kind
    return _STATUS.get(status) or ("bad_parameter" if status < 500 else "server")


def _json(body: str) -> object:
    try:
        return from_json(body)  # unlike json.loads, it has a depth at which it gives up
    except ValueError:
        return body


def _read(value: Any) -> tuple[str, str]:
    """Code and message of ``{"error": {…}}``, ``{"error": "…"}``, ``{"detail": …}``, plain text."""
    if isinstance(value, list):
        parts = [_read(part) for part in value[:3]]
        return " ".join(code for code, _ in parts), "; ".join(text for _, text in parts)
    if not isinstance(value, dict):
        return "", "" if value is None else str(value)
    for key in ("error", "detail"):
        if value.get(key):
            code, message = _read(value[key])
            return f"{_code(value)} {code}".strip(), message
    text = value.get("message") or value.get("msg") or json.dumps(value)
    if isinstance(text, dict | list):  # Mistral: {"message": {"detail": […]}}
        code, message = _read(text)
        return f"{_code(value)} {code}".strip(), message
    where = value.get("loc")  # of pydantic's list of mistakes
    place = ".".join(map(str, where)) + ": " if isinstance(where, list) else ""
    return _code(value), f"{place}{text}"


def _code(value: dict[str, Any]) -> str:
    return " ".join(str(value[key]) for key in ("code", "type", "status") if value.get(key))
