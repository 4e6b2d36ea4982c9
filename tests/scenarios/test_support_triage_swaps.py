"""The app of the support_triage scenario, its exits, and what each of them changes."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import exitdrill_scenarios
from exitdrill.measures.change import change_counts
from exitdrill.swap import AppliedSwap, Swap, apply
from exitdrill_scenarios.training.tickets import SYSTEM_PROMPT

SCENARIO = Path(str(exitdrill_scenarios.__file__)).with_name("support_triage")
APP = SCENARIO / "app"
SWAPS = {
    "open_moe": Swap(patch=SCENARIO / "swap/open_moe/exit.patch"),
    "small": Swap(patch=SCENARIO / "swap/small/exit.patch"),
    "self_hosted": Swap(overlay=SCENARIO / "swap/self_hosted/overlay"),
}
ANSWER = {"customer": "Ida Wren", "topic": "billing", "priority": "high", "reference": "AB-12345"}


class Host(HTTPServer):
    """A stand-in for whoever serves the model."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = json.dumps(ANSWER)
        self.asked: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Host

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
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server
        server.shutdown()
        thread.join()


def load(app: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The app's module, from wherever a copy of it lies."""
    spec = importlib.util.spec_from_file_location("triage", app / "triage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "triage", module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    return module


def sort(app: ModuleType, folder: Path, ticket: str) -> list[dict[str, str]]:
    output = io.StringIO()
    app.run(app.load_settings(folder / "settings.toml"), [ticket], output)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def applied(name: str, tmp_path: Path) -> AppliedSwap:
    return apply(APP, SWAPS[name], tmp_path / name)


@pytest.mark.parametrize(
    ("name", "lines", "files"),
    [
        ("open_moe", {"configuration": 6, "code": 5, "test": 5}, 3),
        ("small", {"configuration": 2}, 1),
        ("self_hosted", {"configuration": 4}, 1),
    ],
)
def test_what_a_swap_changes(tmp_path: Path, name: str, lines: dict[str, int], files: int) -> None:
    counts = change_counts(applied(name, tmp_path).diff)
    assert {kind: number for kind, number in counts.lines.items() if number} == lines
    assert counts.total_files == files


@pytest.mark.parametrize(
    ("name", "model"),
    [("open_moe", "ticket-moe"), ("small", "ticket-small"), ("self_hosted", "ticket-dense")],
)
def test_the_app_works_after_a_swap(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch, name: str, model: str
) -> None:
    folder = applied(name, tmp_path).path
    answers = sort(load(folder, monkeypatch), folder, "I was charged twice.")
    assert answers == [{"id": "1", **ANSWER}]
    assert [request["model"] for request in host.asked] == [model]


def test_only_the_open_model_may_answer_in_a_code_fence(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answer = f"```json\n{json.dumps(ANSWER)}\n```"
    assert "error" in sort(load(APP, monkeypatch), APP, "x")[0]
    folder = applied("open_moe", tmp_path).path
    assert sort(load(folder, monkeypatch), folder, "x") == [{"id": "1", **ANSWER}]


def test_the_workload_is_what_the_app_asks(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with (SCENARIO / "requests.jsonl").open(encoding="utf-8") as file:
        recorded = json.loads(next(file))["body"]
    ticket = json.dumps({"text": recorded["messages"][-1]["content"]})
    sort(load(APP, monkeypatch), APP, ticket)
    assert host.asked == [recorded]
    assert recorded["messages"][0]["content"] == SYSTEM_PROMPT


def test_the_apps_own_tests_pass_before_and_after(tmp_path: Path) -> None:
    for swap in (Swap(), SWAPS["open_moe"]):
        folder = apply(APP, swap, tmp_path / f"{swap.patch is None}").path
        done = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=folder,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # starts faster
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_command_line(host: Host) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "triage.py"],
        cwd=APP,
        input="I was charged twice.\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == json.dumps({"id": "1", **ANSWER}) + "\n"
    assert (done.returncode, done.stderr) == (0, "")
