"""Tests against a stand-in of the vendor on this machine: ``python -m pytest``."""

from __future__ import annotations

import io
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import service  # type: ignore[import-not-found]  # beside this file, wherever that is
import triage  # type: ignore[import-not-found]

ANSWER = {"customer": "Ida Wren", "topic": "billing", "priority": "high", "reference": "AB-12345"}
SETTINGS = triage.load_settings()


class Vendor(HTTPServer):
    """Answers every ticket alike, and remembers what it was asked."""

    answer = json.dumps(ANSWER)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Message] = []


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        self.server.headers.append(self.headers)
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


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Run a server beside a test."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    server = Vendor()
    monkeypatch.setenv(SETTINGS.url_variable, f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv(SETTINGS.key_variable, "none")
    with serving(server):
        yield server


def sort(*lines: str) -> tuple[int, list[dict[str, str]]]:
    """How many tickets failed, and the answers."""
    output = io.StringIO()
    failures = triage.run(SETTINGS, lines, output)
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


def post(
    server: service.Service, ticket: str, path: str = "/tickets", **headers: str
) -> tuple[int, dict[str, str]]:
    """Status and answer of the service."""
    connection = HTTPConnection("127.0.0.1", server.server_port)
    connection.request("POST", path, ticket.encode(), headers)
    response = connection.getresponse()
    found: dict[str, str] = json.loads(response.read())
    connection.close()
    return response.status, found


def test_the_service_sorts_a_ticket_and_passes_trace_headers_on(vendor: Vendor) -> None:
    server = service.Service(0)
    with serving(server):
        headers = {name: f"id of {name}" for name in service.PASSED_ON}
        assert post(server, "Ü", Cookie="no", **headers) == (200, ANSWER)
        assert post(server, "", path="/tickets")[0] == 400
        assert post(server, "Ü", path="/")[0] == 400
        vendor.answer = "I am sorry."
        status, answer = post(server, "Ü")
        assert (status, "not JSON" in answer["error"]) == (502, True)
    asked, seen = vendor.asked[0], vendor.headers[0]
    assert (asked["model"], asked["messages"][-1]["content"]) == (SETTINGS.name, "Ü")
    assert {name: seen[name] for name in (*headers, "Cookie")} == headers | {"Cookie": None}


def test_an_environment_that_lacks_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTINGS.url_variable, raising=False)
    with pytest.raises(SystemExit, match=f"{SETTINGS.url_variable} is not set"):
        triage.connect(SETTINGS)
