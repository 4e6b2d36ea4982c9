"""Tests against a stand-in of the vendor on this machine: ``python -m pytest``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from agent import HERE, Agent, NoAnswer
from archive import Archive, Passage
from server import PASSED_ON, Service
from vendor import Model, load_settings

PASSAGES = [
    Passage("d1", "Aldor Museum", "Aldor Museum stands in Brenn. Pia Ott wrote of it."),
    Passage("d2", "Brenn", "Brenn lies on the river Sill."),
    Passage("d3", "Aldor Museum", "Aldor Museum is led by Pia Ott."),
    Passage("d4", "Carn Museum", "Carn Museum stands on a hill."),
]


def call(arguments: str, name: str = "search") -> dict[str, Any]:
    """A message of the model's that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": "c1", "type": "function", "function": function}]}


def looking_for(query: str) -> dict[str, Any]:
    return call(json.dumps({"query": query}))


class Vendor(HTTPServer):
    """Says what it was told to say, the last of it for ever, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.trials: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.trials.append(self.headers[PASSED_ON])
        says = self.server.says
        message = {"role": "assistant", "content": None, **(says.pop(0) if says[1:] else says[0])}
        body = json.dumps({"id": "1", "choices": [{"index": 0, "message": message}]}).encode()
        self.send_response(200 if "error" not in message else 400)
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


@pytest.fixture
def agent(vendor: Vendor) -> Agent:
    return Agent(Model(load_settings(HERE / "settings.toml")), Archive(PASSAGES), most_turns=3)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Brenn river", ["d2", "d1"]),
        ("aldor museum led", ["d3", "d1"]),
        ("Carn Museum town", ["d4", "d1"]),
        ("nobody knows", []),
        ("", []),
    ],
)
def test_rare_words_and_titles_weigh_more(query: str, found: list[str]) -> None:
    assert [passage.id for passage in Archive(PASSAGES).search(query, 2)] == found


def test_it_searches_twice_and_then_answers(vendor: Vendor, agent: Agent) -> None:
    vendor.says = [looking_for("Aldor stands"), looking_for("Brenn"), {"content": "Sill [d2]"}]
    assert agent.answer("On which river is Aldor Museum?", {}) == "Sill [d2]"
    told = [request["messages"][-1]["content"] for request in vendor.asked]
    assert told[0] == "On which river is Aldor Museum?"
    assert told[1].startswith("[d1] Aldor Museum stands in Brenn.")
    assert told[2].startswith("[d2] Brenn lies on the river Sill.\n[d1] ")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (call('{"query": "Brenn"}', name="delete"), "There is no tool 'delete'"),
        (call("Brenn"), "search takes"),
        (call("[]"), "search takes"),
        (call('{"query": 1}'), "search takes"),
        (looking_for("nobody"), "No passage found."),
    ],
)
def test_a_call_that_finds_nothing_is_told_why(
    vendor: Vendor, agent: Agent, said: dict[str, Any], told: str
) -> None:
    vendor.says = [said, {"content": "Sill [d2]"}]
    assert agent.answer("Which river?", {}) == "Sill [d2]"
    assert vendor.asked[1]["messages"][-1]["content"].startswith(told)


def test_it_does_not_search_for_ever(vendor: Vendor, agent: Agent) -> None:
    vendor.says = [looking_for("Brenn")]
    with pytest.raises(NoAnswer, match="3 turns"):
        agent.answer("Which river?", {})
    assert len(vendor.asked) == 3


def test_answers_are_short_and_always_the_same(vendor: Vendor, agent: Agent) -> None:
    vendor.says = [{"content": "Sill [d2]"}]
    agent.answer("Which river?", {})
    limits = json.loads(vendor.asked[0]["generation_config"])
    assert limits == {"max_new_tokens": 64, "do_sample": False}


@pytest.fixture
def service(agent: Agent) -> Iterator[Service]:
    with Service(0, agent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(service: Service, question: str) -> tuple[int, str]:
    """What the service says to a question."""
    connection = HTTPConnection("127.0.0.1", service.server_port)
    connection.request("POST", "/ask", question.encode(), {PASSED_ON: "t7"})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_it_is_served_and_passes_the_trial_on(vendor: Vendor, service: Service) -> None:
    vendor.says = [looking_for("Brenn"), {"content": "Sill [d2]"}]
    assert asked(service, "Which river?") == (200, "Sill [d2]")
    assert set(vendor.trials) == {"t7"}


def test_what_is_no_question_and_a_vendor_that_fails(vendor: Vendor, service: Service) -> None:
    assert asked(service, "") == (400, "POST a question of at most 10000 bytes to /ask")
    vendor.says = [{"error": "no"}]
    status, said = asked(service, "Which river?")
    assert (status, said.partition(":")[0]) == (502, "BadRequestError")
