"""Servers are started, awaited and stopped, and never outlive the drill, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from exitdrill import server as server_module
from exitdrill.environment import looks_secret, without_secrets
from exitdrill.errors import ServerFailed
from exitdrill.server import Server, ServerConfig

# A server that can misbehave on request. It writes its pid, and those of what it starts, to a file.
SERVE = """
import http.server, json, os, signal, sys, time

port, *flags = int(sys.argv[1]), *sys.argv[2:]
pids = open("pids", "a")
print(os.getpid(), file=pids, flush=True)
if "ends" in flags:
    print("\\n".join(f"line {n}" for n in range(40)), flush=True)
    sys.exit("no such model")
if "deaf" in flags:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if "children" in flags:
    for kind in ("session", "orphan", "deaf"):
        if os.fork() == 0:
            if kind != "deaf":
                os.setsid()
            if kind == "orphan" and os.fork():
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "deaf" else signal.SIG_DFL)
            print(os.getpid(), file=pids, flush=True)
            time.sleep(60)
            os._exit(0)
    while len(open("pids").read().split()) < 4:
        time.sleep(0.01)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = "unready" not in flags
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/crash":
            os._exit(3)
    def log_message(self, *args):
        pass

http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

# A drill in miniature: starts a server, says where, and waits for its end.
DRILL = """
import asyncio, os, sys
from pathlib import Path
from exitdrill.server import Server, ServerConfig

async def drill():
    config = ServerConfig(("{python}", "serve.py", "{port}", "children", "deaf"), grace_seconds=0.3)
    async with Server(config, cwd=Path(), log=Path("server.log")) as server:
        if "forks" in sys.argv and os.fork() == 0:
            import time
            time.sleep(4)  # a worker that has inherited every descriptor
            os._exit(0)
        print(server.origin, flush=True)
        if "raises" in sys.argv:
            raise ValueError("a defect of the drill")
        await asyncio.sleep(60)

asyncio.run(drill())
"""


linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="finding descendants with sessions of their own needs Linux"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "serve.py").write_text(SERVE)
    (tmp_path / "drill.py").write_text(DRILL)
    return tmp_path


def make(folder: Path, *flags: str, startup: float = 20, grace: float = 0.5) -> Server:
    command = ("{python}", "serve.py", "{port}", *flags)
    config = ServerConfig(command, startup_seconds=startup, grace_seconds=grace)
    return Server(config, cwd=folder, log=folder / "logs" / "server.log")


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def can_bind(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def soon(condition: Callable[[], bool], seconds: float = 8) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def port_of(origin: str | None) -> int:
    assert origin is not None
    return int(origin.rpartition(":")[2])


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def all_gone(folder: Path, port: int) -> bool:
    return not any(runs(pid) for pid in pids(folder)) and can_bind(port)


async def test_it_runs_inside_the_context_and_not_after(folder: Path) -> None:
    async with make(folder) as server:
        assert server.alive
        assert server.end is None
        assert server.origin is not None
        assert get(f"{server.origin}/health").status_code == 200
    assert not server.alive
    assert server.end == "exit code 143, as after SIGTERM"
    assert all_gone(folder, port_of(server.origin))


async def test_stop_may_be_called_at_any_time(folder: Path) -> None:
    server = make(folder)
    await server.stop()
    await server.start()
    with pytest.raises(RuntimeError, match="already"):
        await server.start()
    await server.stop()
    await server.stop()
    await server.start()  # and again
    await server.stop()
    assert all_gone(folder, port_of(server.origin))


async def test_secrets_stay_with_the_drill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_API_KEY", "a key")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    environment = {"WHERE": "{host}:{port}", "HF_HUB_OFFLINE": "1", "BRACES": '{"a": {}}'}
    config = ServerConfig(("{python}", "serve.py", "{port}"), environment=environment)
    async with Server(config, cwd=folder, log=folder / "log") as server:
        seen = get(f"{server.origin}/health").json()
    assert "VENDOR_API_KEY" not in seen
    assert seen["TOKENIZERS_PARALLELISM"] == "false"
    assert server.origin == f"http://{seen['WHERE']}"
    assert (seen["HF_HUB_OFFLINE"], seen["BRACES"]) == ("1", '{"a": {}}')


async def test_one_that_ends_at_once_is_reported_with_its_output(folder: Path) -> None:
    server = make(folder, "ends")
    with pytest.raises(ServerFailed) as caught:
        await server.start()
    text = str(caught.value)
    assert "ended before it was ready: exit code 1" in text
    assert text.endswith("line 39\nno such model")
    assert "line 20" not in text
    assert str(server.log) in text
    assert len(pids(folder)) == 1, "its port was free: there was no reason for another attempt"


async def test_one_that_never_gets_ready_is_stopped(folder: Path) -> None:
    server = make(folder, "unready", startup=1)
    with pytest.raises(ServerFailed, match=r"not ready after 1 s: GET /health answered 503"):
        await server.start()
    assert not any(runs(pid) for pid in pids(folder))


@pytest.mark.parametrize(
    ("flags", "up", "said"),
    [
        (["unready"], range(500, 504), ""),
        (["unready"], range(200, 500), r"answered 503 \(app.run.ready says what is asked\)"),
        (["elsewhere"], range(200, 600), r"nothing listens on port \d+, which .* as \{port\}"),
    ],
)
async def test_what_counts_as_up(folder: Path, flags: list[str], up: range, said: str) -> None:
    command = ("{python}", "serve.py", "{port}", *flags)
    if flags == ["elsewhere"]:
        command = ("{python}", "-c", "import time\ntime.sleep(60)")
    config = ServerConfig(command, startup_seconds=1 if said else 20, up=up, table="app.run.")
    server = Server(config, cwd=folder, log=folder / "log")
    if not said:
        async with server:
            return
    with pytest.raises(ServerFailed, match=said) as caught:
        await server.start()
    assert "correct 'app.run.ready' or the port" in str(caught.value)


async def test_a_start_that_is_given_up_leaves_nothing_behind(folder: Path) -> None:
    server = make(folder, "unready")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.start(), 1)
    assert not server.alive
    assert not any(runs(pid) for pid in pids(folder))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("no-such-program-anywhere",), "no program 'no-such-program-anywhere' on PATH"),
        (("./no-such-file", "{port}"), "cannot start './no-such-file': No such file"),
    ],
)
async def test_a_program_that_does_not_exist(
    folder: Path, command: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ServerFailed, match=message):
        await Server(ServerConfig(command), cwd=folder, log=folder / "log").start()


async def test_a_folder_that_does_not_exist(folder: Path) -> None:
    with pytest.raises(ServerFailed, match="folder does not exist"):
        await make(folder / "elsewhere").start()


async def test_a_program_beside_python_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    program = Path(sys.executable).name
    config = ServerConfig((program, "serve.py", "{port}"))
    async with Server(config, cwd=folder, log=folder / "log") as server:
        assert server.alive


async def test_another_port_is_tried_when_the_first_was_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = server_module.free_port
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        taken = stranger.getsockname()[1]
        ports = iter([taken, choose()])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports))
        async with make(folder) as server:
            assert port_of(server.origin) != taken
    assert len(pids(folder)) == 2


@linux_only
async def test_one_that_ignores_sigterm_is_killed_with_all_that_it_started(folder: Path) -> None:
    async with make(folder, "deaf", "children") as server:
        assert len(pids(folder)) == 4
        assert all(runs(pid) for pid in pids(folder))
    assert all_gone(folder, port_of(server.origin))
    assert server.end == "exit code 137, as after SIGKILL"


@linux_only
async def test_the_death_of_a_server_is_seen_and_ends_its_children(folder: Path) -> None:
    async with make(folder, "children") as server:
        get(f"{server.origin}/crash")
        assert soon(lambda: not server.alive)
        assert server.end == "exit code 3"
        assert all_gone(folder, port_of(server.origin))


@linux_only
async def test_a_killed_warden_takes_its_server_along(folder: Path) -> None:
    async with make(folder, "deaf") as server:
        warden = server._warden
        assert warden is not None
        warden.kill()
        assert soon(lambda: all_gone(folder, port_of(server.origin)))
        assert server.end == "its warden was killed by SIGKILL"


@linux_only
@pytest.mark.parametrize(
    ("number", "flags"),
    [
        (signal.SIGKILL, []),
        (signal.SIGKILL, ["forks"]),
        (signal.SIGTERM, []),
        (signal.SIGINT, []),
        (None, ["raises"]),
    ],
    ids=["SIGKILL", "SIGKILL, pipe held by a fork", "SIGTERM", "SIGINT", "exception"],
)
def test_nothing_outlives_a_drill(
    folder: Path, number: signal.Signals | None, flags: list[str]
) -> None:
    drill = subprocess.Popen(
        [sys.executable, "drill.py", *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with drill:
        assert drill.stdout is not None
        port = port_of(drill.stdout.readline().strip())
        if number is not None:
            assert len(pids(folder)) == 4
            assert all(runs(pid) for pid in pids(folder))
            assert not can_bind(port)
            os.kill(drill.pid, number)
        drill.wait(timeout=20)
    assert drill.returncode != 0
    assert soon(lambda: all_gone(folder, port))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("HF_TOKEN", True),
        ("PGPASSWORD", True),
        ("MYSQL_PWD", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("DB_PASSWORD", True),
        ("secret", True),
        ("SSH_AUTH_SOCK", True),
        ("PATH", False),
        ("KEYBOARD", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("XDG_DATA_HOME", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret
    assert without_secrets({name: "x"}) == ({} if secret else {name: "x"})
