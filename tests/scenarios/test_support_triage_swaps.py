"""The app of the support_triage scenario, its exits, and what each of them changes."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import exitdrill
from exitdrill.app.copies import copy_of
from exitdrill.backend import Request
from exitdrill.drill import Result
from exitdrill.measures.change import change_counts
from exitdrill.swap import AppliedSwap
from exitdrill_adapters.scripted import Answer, scripted
from exitdrill_scenarios.training.tickets import SYSTEM_PROMPT

SCENARIO = exitdrill.load("support_triage")
APP = SCENARIO.root / "app"
NO_SWAP = SCENARIO.incumbent
MODELS = {"open_moe": "ticket-moe", "small": "ticket-small", "self_hosted": "ticket-dense"}
ANSWER = {"customer": "Ida Wren", "topic": "billing", "priority": "high", "reference": "AB-12345"}


class Host(HTTPServer):
    """A stand-in for whoever serves a model."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = json.dumps(ANSWER)
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_POST(self) -> None:
        self.server.keys.add(self.headers["Authorization"])
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


@contextmanager
def serving() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def left() -> Iterator[Host]:
    """The incumbent's host."""
    with serving() as host:
        yield host


@pytest.fixture
def host() -> Iterator[Host]:
    """The candidate's."""
    with serving() as host:
        yield host


def applied(name: str, tmp_path: Path) -> AppliedSwap:
    """An arm's copy of the app, as the drill makes it."""
    folder = tmp_path / name
    folder.mkdir()
    return copy_of(SCENARIO, name, folder)


def filled(environment: Mapping[str, str], left: Host, host: Host) -> dict[str, str]:
    """The environment, with the places of both hosts in it."""
    found = dict(environment)
    for role, server in (("incumbent", left), ("candidate", host)):
        places = {"url": f"http://127.0.0.1:{server.server_port}/v1", "key": f"key of {role}"}
        for what, value in places.items():
            found = {k: v.replace(f"{{{role}.{what}}}", value) for k, v in found.items()}
    return found


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


def sort(app: ModuleType, ticket: str) -> list[dict[str, str]]:
    output = io.StringIO()
    app.run(app.load_settings(), [ticket], output)
    return [json.loads(line) for line in output.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("name", "lines", "files"),
    [
        ("open_moe", {"configuration": 8, "code": 5, "test": 5}, 4),
        ("small", {"configuration": 6}, 2),
        ("self_hosted", {"configuration": 6}, 2),
    ],
)
def test_what_a_swap_changes(tmp_path: Path, name: str, lines: dict[str, int], files: int) -> None:
    counts = change_counts(applied(name, tmp_path).diff)
    assert {kind: number for kind, number in counts.lines.items() if number} == lines
    assert counts.total_files == files


@pytest.mark.parametrize("name", MODELS)
def test_the_swapped_app_asks_the_candidate_and_nobody_else(
    tmp_path: Path, left: Host, host: Host, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = applied(name, tmp_path)
    for variable, value in filled(copy.environment, left, host).items():
        monkeypatch.setenv(variable, value)
    assert sort(load(copy.path, monkeypatch), "I was charged twice.") == [{"id": "1", **ANSWER}]
    assert [request["model"] for request in host.asked] == [MODELS[name]]
    assert (host.keys, left.asked) == ({"Bearer key of candidate"}, [])


@pytest.mark.parametrize("name", ["open_moe", "self_hosted"])
def test_without_the_swapped_files_the_app_asks_the_incumbent(
    tmp_path: Path, left: Host, host: Host, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable, value in filled(applied(name, tmp_path).environment, left, host).items():
        monkeypatch.setenv(variable, value)
    sort(load(APP, monkeypatch), "I was charged twice.")
    assert (len(left.asked), host.asked) == (1, [])


def as_it_is(monkeypatch: pytest.MonkeyPatch, host: Host) -> ModuleType:
    """The app without a swap, at a host."""
    monkeypatch.setenv("VENDOR_URL", f"http://127.0.0.1:{host.server_port}/v1")
    monkeypatch.setenv("VENDOR_API_KEY", "none")
    return load(APP, monkeypatch)


def test_only_the_open_model_may_answer_in_a_code_fence(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answer = f"```json\n{json.dumps(ANSWER)}\n```"
    assert "error" in sort(as_it_is(monkeypatch, host), "x")[0]
    copy = applied("open_moe", tmp_path)
    for variable, value in filled(copy.environment, host, host).items():
        monkeypatch.setenv(variable, value)
    assert sort(load(copy.path, monkeypatch), "x") == [{"id": "1", **ANSWER}]


def test_the_workload_is_what_the_app_asks(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(exitdrill.check(SCENARIO).workload)
    assert len(cases) == 480
    for case in cases:
        assert case.input == case.request.body["messages"][-1]["content"]
    sort(as_it_is(monkeypatch, host), json.dumps({"text": cases[0].input}))
    assert host.asked == [cases[0].request.body]
    assert host.asked[0]["messages"][0]["content"] == SYSTEM_PROMPT


def test_the_apps_own_tests_pass_before_and_after(tmp_path: Path) -> None:
    assert SCENARIO.app_run is not None
    assert SCENARIO.app_run.test is not None
    command = [word.replace("{python}", sys.executable) for word in SCENARIO.app_run.test]
    running = {}
    for name in (NO_SWAP, "open_moe"):  # the others change no code; the drill tests them all
        copy = applied(name, tmp_path)
        # What they need of the environment they set themselves.
        environment = os.environ | copy.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
        running[name] = subprocess.Popen(
            command, cwd=copy.path, env=environment, stdout=subprocess.PIPE, text=True
        )
    said = {name: (*each.communicate(), each.returncode) for name, each in running.items()}
    assert [code for _, _, code in said.values()] == [0, 0], said


def test_the_command_line(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_is(monkeypatch, host)
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


def sorted_right(_: Request) -> Answer:
    return Answer(text=json.dumps(ANSWER), input_tokens=5, output_tokens=5)


def at_times_polite(request: Request) -> Answer:
    """What is no JSON, to every ticket about a second charge."""
    sorry = "twice" in request.body["messages"][-1]["content"]
    return Answer(text="I am sorry!") if sorry else sorted_right(request)


def drill(folder: Path) -> Result:
    """The app on backends that are scripted; the swap of one candidate misses its files."""
    tickets = ["I was charged twice.", "Where is my parcel?"]
    body = next(iter(exitdrill.check(SCENARIO).workload)).request.body
    cases = [
        exitdrill.Case(text, exitdrill.Request("chat", body), "fields", ANSWER, input=text)
        for text in tickets
    ]
    roles = {NO_SWAP: sorted_right, "open_moe": sorted_right, "self_hosted": at_times_polite}
    backends = {
        name: SCENARIO.backends[name].model_copy(
            update={"adapter": scripted(script), "server": None, "price": None, "options": {}}
        )
        for name, script in roles.items()
    }
    missed = SCENARIO.swap["open_moe"].model_copy(update={"patch": None})
    made = SCENARIO.model_copy(
        update={
            "candidates": ["open_moe", "self_hosted"],
            "backends": backends,
            "swap": {"open_moe": missed, "self_hosted": SCENARIO.swap["self_hosted"]},
            "workload": exitdrill.CaseList(cases),
            "gates": [exitdrill.GateSpec(measure="success", margin=0.5)],
            "replay": exitdrill.ReplaySpec(warmup=0),
        }
    )
    return exitdrill.run(made, out=folder)


def test_a_swap_that_misses_its_files_and_a_ticket_that_cannot_be_sorted(tmp_path: Path) -> None:
    result = drill(tmp_path / "drill")
    missed, polite = result.report["candidates"]
    assert missed["verdict"]["status"] == "not_ready"
    assert missed["veto"].startswith(
        "veto: a call still goes to the incumbent: 4 of 4 trials still call vendor, first "
        "/v1/chat/completions for the model 'ticket-dense'"
    )
    assert polite["veto"] is None
    lines = [json.loads(line) for line in (result.folder / "cases.jsonl").open()]
    found = {line["case"]: line["error"] for line in lines if line["arm"] == "self_hosted"}
    assert found.pop("Where is my parcel?") is None
    (error,) = found.values()
    assert (error["kind"], error["status"]) == ("server", 502)
    assert "not JSON: 'I am sorry!'" in error["message"]
