"""The triage as a service: the text of a ticket by POST to /tickets, who wants what as JSON back.

    python service.py 8080

A ticket that cannot be sorted is answered with 502 and the reason: the model was not reached, or
did not say what was asked for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import triage  # type: ignore[import-not-found]  # beside this file, wherever that is

PASSED_ON = ("traceparent", "tracestate", "X-Request-Id", "X-Exitdrill-Trial")
"""Headers that go on to the model's host, so that its log and ours can be put together."""
LONGEST_TICKET = 100_000
"""Bytes."""


class Service(ThreadingHTTPServer):
    """All requests share the client, and its connections."""

    daemon_threads = True
    request_queue_size = 128  # by default five may wait, and the next tries again a second later

    def __init__(self, port: int) -> None:
        self.settings = triage.load_settings()
        self.client = triage.connect(self.settings)
        super().__init__(("127.0.0.1", port), Handler)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Service
    wbufsize = -1  # a response goes out in one piece

    def do_GET(self) -> None:
        """Whether it is there."""
        if self.path == "/health":
            self._answer(200, {"status": "ok"})
        else:
            self._answer(404, {"error": "there is POST /tickets and GET /health"})

    def do_POST(self) -> None:
        """One ticket."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/tickets" or not 0 < length <= LONGEST_TICKET:
            self._answer(400, {"error": f"/tickets takes a text of 1 to {LONGEST_TICKET} bytes"})
            return
        ticket = self.rfile.read(length).decode("utf-8", "replace")
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        try:
            found = triage.ask(self.server.client, self.server.settings, ticket, headers)
        except (triage.BadAnswer, openai.APIError) as error:
            self._answer(502, {"error": str(error)})
        else:
            self._answer(200, asdict(found))

    def log_message(self, *_: object) -> None:
        """Not a line per request."""

    def _answer(self, status: int, document: dict[str, str]) -> None:
        body = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description="Sort support tickets over HTTP.")
    parser.add_argument("port", type=int)
    Service(parser.parse_args().port).serve_forever()


if __name__ == "__main__":
    main()
