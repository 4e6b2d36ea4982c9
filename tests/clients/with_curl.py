"""curl, as a shell script would use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

URL, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]


def curl(said: str, *more: str, key: str = KEY, **body: Any) -> tuple[int, str, str]:
    """The exit code, the status and the body of an answer."""
    document = {"model": "small", "messages": [{"role": "user", "content": said}], **body}
    command = ["curl", "-sS", "-N", f"{URL}/chat/completions", "-w", "\n%{http_code}"]
    headers = ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {key}"]
    done = subprocess.run(
        [*command, *headers, *more, "-d", json.dumps(document)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    body_text, _, status = done.stdout.rpartition("\n")
    return done.returncode, status, body_text


def main() -> None:
    """Ask everything."""
    _, status, body = curl("hello")
    answer = json.loads(body)
    assert (status, answer["choices"][0]["message"]["content"]) == ("200", "Hello from here")
    assert answer["usage"]["total_tokens"] == 18

    _, status, body = curl("hello", stream=True, stream_options={"include_usage": True})
    events = body.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    said = [each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"]]
    assert "".join(said) == "Hello from here"
    assert len([piece for piece in said if piece]) == 5
    assert chunks[-1]["usage"]["completion_tokens"] == 7

    _, _, body = curl("tools")
    calls = json.loads(body)["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["find", "read"]

    for said_, more, expected, code in (
        ("hello", {"key": "wrong"}, "401", "invalid_api_key"),
        ("hello", {"model": "large"}, "404", "model_not_found"),
        ("too long", {}, "400", "context_length_exceeded"),
        ("limited", {}, "429", "rate_limit_exceeded"),
    ):
        _, status, body = curl(said_, **more)
        assert (status, json.loads(body)["error"]["code"]) == (expected, code), body

    _, status, body = curl("breaks", stream=True)
    assert '"error"' in body
    assert "[DONE]" not in body

    ended, _, _ = curl("for ever", "--max-time", "1", stream=True)
    assert ended == 28, "curl gave up"
    sys.stdout.write(
        subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
        .stdout.split("(")[0]
        .strip()
        + "\n"
    )


if __name__ == "__main__":
    main()
