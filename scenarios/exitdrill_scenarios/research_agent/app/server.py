"""Serves the agent: a question goes to POST /ask as text, the answer with its source comes back.

    python server.py PORT

A request's X-Exitdrill-Trial header, if it has one, goes with the calls that its answer takes.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from agent import HERE, Agent, NoAnswer
from archive import Archive, load
from vendor import Model, load_settings

PASSED_ON = "X-Exitdrill-Trial"
MOST_BYTES = 10_000


class Service(ThreadingHTTPServer):
    """One agent for all requests."""

    daemon_threads = True

    def __init__(self, port: int, agent: Agent) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.agent = agent


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Service

    def do_GET(self) -> None:
        """Whether the service is there."""
        self._say(*((200, "ok") if self.path == "/health" else (404, "only /health and /ask")))

    def do_POST(self) -> None:
        """Answer a question."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/ask" or not 0 < length <= MOST_BYTES:
            self._say(400, f"POST a question of at most {MOST_BYTES} bytes to /ask")
            return
        question = self.rfile.read(length).decode("utf-8", "replace")
        passed = self.headers.get(PASSED_ON)
        try:
            answer = self.server.agent.answer(question, {PASSED_ON: passed} if passed else {})
        except (NoAnswer, openai.APIError) as error:
            self._say(502, f"{type(error).__name__}: {error}")
            return
        self._say(200, answer)

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged: questions are nobody else's business."""


def main() -> None:
    """The command line."""
    model = Model(load_settings(HERE / "settings.toml"))
    agent = Agent(model, Archive(load(HERE / "corpus.jsonl")))
    with Service(int(sys.argv[1]), agent) as service:
        service.serve_forever()


if __name__ == "__main__":
    main()
