"""Tests against a stand-in of the vendor on this machine: ``python -m pytest``."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import triage  # type: ignore[import-not-found]  # beside this file, wherever that is

ANSWER = {"customer": "Ida Wren", "topic": "billing", "priority": "high", "reference": "AB-12345"}
SETTINGS = Path(triage.__file__).with_name("settings.toml")


class Vendor(HTTPServer):
    """Answers every ticket alike, and remembers what it was asked."""

    answer = json.dumps(ANSWER)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": self.server.answer}
        body = json.dumps({"id": "1", "choices": [{"index": 0, "message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    with Vendor() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server
        server.shutdown()
        thread.join()


def sort(*lines: str) -> tuple[int, list[dict[str, str]]]:
    """How many tickets failed, and the answers."""
    output = io.StringIO()
    failures = triage.run(triage.load_settings(SETTINGS), lines, output)
    return failures, [json.loads(line) for line in output.getvalue().splitlines()]


def test_tickets_as_text_and_as_json(vendor: Vendor) -> None:
    failures, answers = sort("I was charged twice.\n", "\n", '{"id": "t9", "text": "Ü"}')
    assert failures == 0
    assert answers == [{"id": "1", **ANSWER}, {"id": "t9", **ANSWER}]
    texts = [request["messages"][-1]["content"] for request in vendor.asked]
    assert texts == ["I was charged twice.", "Ü"]


@pytest.mark.parametrize(
    "answer", ["I am sorry.", "", "[]", '{"customer": "Ida"}', json.dumps(ANSWER | {"topic": 1})]
)
def test_an_answer_that_is_not_what_was_asked_for(vendor: Vendor, answer: str) -> None:
    vendor.answer = answer
    failures, answers = sort("I was charged twice.")
    assert failures == 1
    assert "wants" in answers[0]["error"] or "not JSON" in answers[0]["error"]
