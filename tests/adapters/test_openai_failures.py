"""Every way in which servers say no, and what it means."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest

from exitdrill.errors import ErrorKind
from exitdrill_adapters.openai.failures import from_response, from_stream, retry_after

OVERFLOW = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
MISTRAL_422 = {
    "object": "error",
    "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "user"], "msg": "Extra"}]},
    "type": "invalid_request_error",
}
CASES: list[tuple[int, Any, ErrorKind, str]] = [
    (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, "auth", "Incor"),
    (403, {"error": "no entry"}, "auth", "no entry"),
    (402, {"error": {"message": "pay"}}, "auth", "pay"),
    (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "rate_limit", "slow"),
    (429, {"error": {"message": "broke", "code": "insufficient_quota"}}, "auth", "broke"),
    (400, {"error": {"message": OVERFLOW}}, "context_overflow", "maximum context"),
    (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, "context_overflow", "x"),
    (
        400,
        {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}},
        "context_overflow",
        "x",
    ),
    (
        400,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens, too large for model with"
            " 32768 maximum context length",
            "code": 3051,
        },
        "context_overflow",
        "40000",
    ),
    (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens'",
                "code": "unsupported_parameter",
            }
        },
        "unsupported",
        "max_tokens",
    ),
    (422, {"detail": "Unexpected fields in the request: {'x'}"}, "unsupported", "Unexpected"),
    (422, MISTRAL_422, "unsupported", "body.user: Extra"),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "not an int"}]}, "bad_parameter", "body.n"),
    (400, {"error": {"message": "Conversation roles must alternate"}}, "template", "roles"),
    (400, {"error": {"message": "no", "code": "content_filter"}}, "content_filter", "no"),
    (403, {"error": {"message": "flagged by moderation"}}, "content_filter", "flagged"),
    (404, {"error": {"message": "no model 'x'", "code": "model_not_found"}}, "bad_parameter", "x"),
    (400, {"message": "plainly"}, "bad_parameter", "plainly"),
    (400, [{"error": {"code": 400, "message": "in a list"}}], "bad_parameter", "in a list"),
    (400, "plain text", "bad_parameter", "plain text"),
    (405, "", "unsupported", "no reason given"),
    (408, "", "timeout", "HTTP 408"),
    (500, "Internal Server Error", "server", "Internal"),
    (501, {"error": "x"}, "unsupported", "x"),
    (502, "<html>bad gateway</html>", "server", "bad gateway"),
    (503, {"error": {"message": "loading; not supported yet"}}, "overloaded", "loading"),
    (504, "", "timeout", "504"),
    (529, {"error": {"message": "Overloaded"}}, "overloaded", "Overloaded"),
    (307, "", "bad_parameter", "redirect"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), CASES)
def test_a_response(status: int, body: Any, kind: ErrorKind, words: str) -> None:
    error = from_response(status, {}, body if isinstance(body, str) else json.dumps(body))
    assert (error.kind, error.status) == (kind, status)
    assert words in error.message


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("CUDA out of memory", "server"),
        ({"message": "x", "code": 400}, "bad_parameter"),
        ({"message": "x", "code": 503}, "overloaded"),
        ({"message": "x", "code": "rate_limit_exceeded", "status": 429}, "rate_limit"),
        ({"message": OVERFLOW}, "context_overflow"),
        ({"message": "x", "type": "content_filter"}, "content_filter"),
        ([1], "server"),
    ],
)
def test_an_error_in_the_stream(value: object, kind: ErrorKind) -> None:
    error = from_stream(value)
    assert (error.kind, error.status) == (kind, 200)


def test_retry_after() -> None:
    later = email.utils.formatdate(time.time() + 60, usegmt=True)
    earlier = email.utils.formatdate(time.time() - 60, usegmt=True)
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "0.5"}) == 0.5
    assert retry_after({"retry-after-ms": "250", "Retry-After": "1"}) == 0.25
    assert retry_after({"Retry-After": later}) == pytest.approx(60, abs=2)
    assert retry_after({"Retry-After": earlier}) == 0
    assert retry_after({"Retry-After": "-3"}) == 0
    for nonsense in ("soon", "nan", "inf", "", "9" * 5000):
        assert retry_after({"Retry-After": nonsense}) is None
    assert retry_after({}) is None
    for ancient in ("Mon, 01 Jan 0001 00:00:00 -0000", "Mon, 01 Jan 0001 00:00:00 +2359"):
        assert not retry_after({"Retry-After": ancient})


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"error":' * 900 + "1" + "}" * 900,
        '{"error":' * 150 + "1" + "}" * 150,
        '{"message": {"detail": ' * 90 + "1" + "}}" * 90,
        '{"error": {"message": ' + "9" * 5000 + "}}",
        '{"error": {"code": NaN, "message": 1e999}}',
        '{"error": {"message": "half \\ud800 a character"}}',
        '{"detail": [[[{"loc": {"a": 1}, "msg": []}]], null, 3]}',
        "\x00",
    ],
)
def test_hostile_json(body: str) -> None:
    error = from_response(400, {}, body)
    assert (error.kind, error.status) == ("bad_parameter", 400)
    assert error.message
