"""A server command that the drill starts, awaits and stops.

Nothing is left behind, however the drill ends: neither a process nor a taken port. A second
process, the warden, sees to that; its docstring says how, and on which platforms.

The server's environment is the drill's own, less every variable whose name looks like a key, a
token, a secret or a password (`exitdrill.environment`), plus what the scenario adds. So PATH, HOME,
caches and proxies are as usual; a server that downloads private weights needs a login on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from exitdrill.environment import without_secrets
from exitdrill.errors import ServerFailed

HOST = "127.0.0.1"
POLL_SECONDS = 0.05
TAIL_LINES = 20
TAIL_BYTES = 32_768
WARDEN = Path(__file__).with_name("warden.py").resolve()
_WARDEN = (sys.executable, "-I", str(WARDEN))
STOP_MARGIN = 12.0
"""What a warden may need beyond the grace period before it is killed itself."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a scenario says of a server.

    ``{host}``, ``{port}`` and ``{python}`` in the command and in the environment's values are
    filled in; other braces stay. ``ready`` is the path that answers with one of the statuses
    ``up`` once the server is ready. ``table`` is where these keys stand ("app.run."), for messages.
    ``attempts``: how many ports are tried, should another program take the one that was chosen.
    ``inherited`` is what the environment's values are added to; None is the drill's own, as above.
    ``prefix`` is a command that runs the command.
    """

    command: tuple[str, ...]
    ready: str = "/health"
    startup_seconds: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_seconds: float = 5.0
    attempts: int = 3
    inherited: Mapping[str, str] | None = None
    prefix: tuple[str, ...] = ()
    up: range = range(200, 201)
    table: str = ""


class Server:
    """One run of a server command, in the folder ``cwd``, its output in the file ``log``.

    Use it as an async context manager, or call `start` and, in a ``finally``, `stop`.
    """

    def __init__(self, config: ServerConfig, *, cwd: Path, log: Path) -> None:
        self.config = config
        self.cwd = cwd
        self.log = log
        self.origin: str | None = None
        self._warden: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._warden is not None and self._warden.poll() is None

    @property
    def end(self) -> str | None:
        """How it ended, in words; None while it runs or before it was started."""
        code = None if self._warden is None else self._warden.poll()
        return None if code is None else describe_exit(code)

    async def start(self) -> str:
        """Start the command and wait until it is ready; returns ``http://127.0.0.1:PORT``.

        Raises `ServerFailed` with the end of its output; nothing is left running then.
        """
        if self.alive:
            raise RuntimeError("the server is running already")
        deadline = time.monotonic() + self.config.startup_seconds
        for attempt in range(1, self.config.attempts + 1):
            port = free_port()
            origin = f"http://{HOST}:{port}"
            try:
                self._launch(port)
                ready = await self._wait_until_ready(origin, deadline)
            except BaseException:
                await self.stop()
                raise
            if ready:
                self.origin = origin
                return origin
            await self.stop()
            if attempt == self.config.attempts or _can_bind(port):
                break
        raise ServerFailed(self._report(f"ended before it was ready: {self.end}", _ENDED_HELP))

    async def stop(self) -> None:
        """End the server and all that it started; safe to call twice, and before `start`."""
        warden = self._warden
        if warden is None:
            return
        _tell(warden)
        deadline = time.monotonic() + self.config.grace_seconds + STOP_MARGIN
        while warden.poll() is None:
            if time.monotonic() > deadline:
                warden.kill()
            await asyncio.sleep(POLL_SECONDS)
        _clean_up(warden)

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def tail(self) -> str:
        """The last lines of its output."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return "\n".join(lines[-TAIL_LINES:])
        return ""

    def _launch(self, port: int) -> None:
        if not self.cwd.is_dir():
            raise ServerFailed(f"the server's folder does not exist: {self.cwd}")
        inherited = self.config.inherited
        environment = without_secrets(os.environ) if inherited is None else dict(inherited)
        environment.update(
            {name: _fill(value, port) for name, value in self.config.environment.items()}
        )
        command = [_fill(word, port) for word in self.config.command]
        command[0] = find_program(command[0], environment)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:  # so that it can be cut off while it is written
            self._warden = subprocess.Popen(
                [*_WARDEN, str(self.config.grace_seconds), *self.config.prefix, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.cwd,
                env=environment,
                start_new_session=True,
            )

    async def _wait_until_ready(self, origin: str, deadline: float) -> bool:
        """Whether it became ready before it ended; raises `ServerFailed` when the time is up."""
        import httpx

        port, table = origin.rpartition(":")[2], self.config.table
        said = f" ({table}ready says what is asked)" if table else ""
        seen = "it did not answer"
        url = origin + self.config.ready
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            while self.alive:
                try:
                    status = (await client.get(url)).status_code
                    seen = f"GET {self.config.ready} answered {status}{said}"
                except httpx.ConnectError:
                    status = 0
                    seen = f"nothing listens on port {port}, which the drill gave as {{port}}"
                except httpx.RequestError:
                    status = 0
                if status in self.config.up:
                    return self.alive  # else it was another program that answered
                if time.monotonic() > deadline:
                    late = f"was not ready after {self.config.startup_seconds:g} s: {seen}"
                    raise ServerFailed(self._report(late, _LATE_HELP.format(table=table)))
                await asyncio.sleep(POLL_SECONDS)
        return False

    def _report(self, what: str, help_: str) -> str:
        tail = self.tail()
        said = f"The end of its output:\n{tail}" if tail.strip() else "It wrote nothing."
        command = " ".join(self.config.command)
        return f"the server {command!r} {what}.\n{help_} All output: {self.log}\n{said}"


_ENDED_HELP = "Run the command by hand to see why."
_LATE_HELP = "Raise {table}startup_seconds, or correct '{table}ready' or the port in the command."


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _can_bind(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def _fill(text: str, port: int) -> str:
    """Not str.format: a command may well hold JSON."""
    filled = text.replace("{host}", HOST).replace("{port}", str(port))
    return filled.replace("{python}", sys.executable)


def find_program(word: str, environment: Mapping[str, str]) -> str:
    """The program, also one that is installed beside this Python without being on PATH.

    Raises `ServerFailed` where there is none.
    """
    if "/" in word:
        return word
    beside = str(Path(sys.executable).parent)
    found = shutil.which(word, path=environment.get("PATH")) or shutil.which(word, path=beside)
    if found is None:
        raise ServerFailed(
            f"there is no program {word!r} on PATH or beside {sys.executable}; install it, "
            "or give its path in the command"
        )
    return found


def describe_exit(code: int) -> str:
    """How a warden ended, in words."""
    if code < 0:
        return f"its warden was killed by {signal.Signals(-code).name}"
    names = {number.value: number.name for number in signal.Signals}
    if code - 128 in names:
        return f"exit code {code}, as after {names[code - 128]}"
    return f"exit code {code}"


def _tell(warden: subprocess.Popen[bytes]) -> None:
    """Ask the warden to end. Closing the pipe alone would not do: see its `_drill_is_gone`."""
    assert warden.stdin is not None
    with contextlib.suppress(OSError, ValueError):  # it ended; the pipe was closed before
        os.write(warden.stdin.fileno(), b"\n")
        warden.stdin.close()


def _clean_up(warden: subprocess.Popen[bytes]) -> None:
    """Let go of the pipes; after the death of a warden, end what it had started."""
    assert warden.stdin is not None
    assert warden.stdout is not None
    warden.stdin.close()
    if warden.stdout.closed:
        return
    group = warden.stdout.read().strip()
    warden.stdout.close()
    if warden.returncode < 0 and group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(group), signal.SIGKILL)
