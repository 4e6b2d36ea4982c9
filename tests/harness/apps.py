"""Apps under drill: small programs in a folder, and the scenarios that run them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.drills import Log, rows

from exitdrill.backend import Adapter, Request
from exitdrill.drill import Result, run
from exitdrill.scenario import (
    AppRunSpec,
    AppSpec,
    BackendSpec,
    BudgetSpec,
    CheckerSpec,
    GateSpec,
    ReplaySpec,
    Scenario,
    SwapSpec,
)
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer

CLIENT = '''
"""A client of no library's: quick to start."""
import json, os, urllib.request


def ask(content, at="OPENAI", headers=None, **more):
    body = {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 20}
    request = urllib.request.Request(
        os.environ[at + "_BASE_URL"] + "/chat/completions",
        json.dumps({**body, **more}).encode(),
        {
            "Authorization": "Bearer " + os.environ[at + "_API_KEY"],
            "Content-Type": "application/json",
            **(headers or {}),
        },
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]["content"]
'''

COMMAND = """
import sys
from client import ask
print(ask(sys.stdin.read()))
"""

FUNCTION = """
from client import ask

async def answer(given):
    print("what an app prints is no answer")
    return ask(given)
"""

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from client import ask

NAME = "X-Exitdrill-Trial"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, "ok")

    def do_POST(self):
        given = self.rfile.read(int(self.headers["Content-Length"])).decode()
        passed = {NAME: self.headers[NAME]} if NAME in self.headers and "--pass" in sys.argv else {}
        try:
            self.answer(200, ask(given, headers=passed))
        except Exception as error:
            self.answer(500, f"it went wrong: {error}")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

AGENT = """
import json, sys
import openai

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
client = openai.OpenAI()
messages = [{"role": "user", "content": sys.stdin.read()}]
while True:
    answer = client.chat.completions.create(model="m", messages=messages, tools=TOOLS, max_tokens=9)
    message = answer.choices[0].message
    if not message.tool_calls:
        break
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls:
        found = "found " + json.loads(call.function.arguments)["what"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
print(message.content)
"""

BY_COMMAND = {"command": ["{python}", "main.py"]}
SERVE = ["{python}", "server.py", "{port}"]


def program(folder: Path, files: Mapping[str, str]) -> Path:
    """A scenario's folder with an app of these files in it, and the client beside them."""
    for name, text in {"client.py": CLIENT, **files}.items():
        path = folder / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return folder


def inputs(*given: Any) -> CaseList:
    """Cases for an app: what the user says is ``q…``, and the right answer ``a…``."""
    return CaseList(
        [
            Case(
                f"c{number}",
                Request("app", {"input": value}),
                checker="exact",
                expected=f"a{str(value)[1:]}",
            )
            for number, value in enumerate(given)
        ]
    )


def app_scenario(
    folder: Path,
    run: Mapping[str, Any],
    workload: CaseList | int = 2,
    swap: Mapping[str, Any] | None = None,
    budget: BudgetSpec | None = None,
    replay: Mapping[str, Any] | None = None,
    **backends: Adapter,
) -> Scenario:
    """A drill of the app in a folder; the first backend is the incumbent."""
    names = list(backends)
    return Scenario(
        name="mini",
        incumbent=names[0],
        candidates=names[1:],
        backends={
            name: BackendSpec(adapter=adapter, model="m") for name, adapter in backends.items()
        },
        workload=inputs(*(f"q{n}" for n in range(workload)))
        if isinstance(workload, int)
        else workload,
        checkers={"exact": CheckerSpec(type="exact")},
        gates=[GateSpec(measure="success", margin=0.5)],
        app=AppSpec(run=AppRunSpec(**run)),
        swap={name: SwapSpec(**swap) for name in names[1:]} if swap else {},
        budget=budget,
        replay=ReplaySpec(**{"warmup": 0, **(replay or {})}),
        root=folder,
    )


def drilled(folder: Path, run_spec: Mapping[str, Any], *given: Any, **more: Any) -> Result:
    """The drill of the app in a folder, with two backends that answer right."""
    log = Log()
    backends = more.pop("backends", {"old": log.adapter(), "new": log.adapter()})
    workload = inputs(*given) if given else 2
    scenario = app_scenario(folder, run_spec, workload, **more, **backends)
    return run(scenario, out=folder / "drill")


def calls_of(folder: Path) -> list[dict[str, Any]]:
    """The model calls of a drill's trials, in the order in which they were recorded."""
    names = ("position", "arm", "repeat", "number", "sent_to", "path", "status", "request", "error")
    found = rows(
        folder,
        f"SELECT {', '.join(names)} FROM app_calls WHERE position >= 0 AND lost = 0 ORDER BY id",
    )
    calls = [dict(zip(names, row, strict=True)) for row in found]
    for call in calls:
        request = json.loads(call["request"]) if call["request"] else ["", {}]
        call["body"] = request[1]
        call["error"] = json.loads(call["error"])[0] if call["error"] else None
    return calls


def row_of(result: Result, section: str, name: str, candidate: int = 0) -> dict[str, Any]:
    """A row of the report."""
    found = result.report["candidates"][candidate][section]
    return next(row for row in found if row["name"] == name)


def everything_in(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def says(text: str, *tools: tuple[str, str]) -> Answer:
    """A scripted answer, with its usage."""
    return Answer(text=text, tool_calls=tools, input_tokens=5, output_tokens=3)


def agent(request: Request) -> Answer:
    """Calls its tool, and answers with what that found."""
    last = request.body["messages"][-1]
    if last["role"] == "tool":
        return says(f"a{last['content'][-1]}")
    return says("", ("look_up", json.dumps({"what": last["content"][1:]})))


def processes() -> list[str]:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
