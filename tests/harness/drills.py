"""Drills in miniature: scripted backends that keep a log, and a server of drills to be killed.

As a script it forks a drill on each request, so that one import serves many drills, and each can
be killed without mercy.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from exitdrill.backend import Adapter, BackendConfig, Edit, Event, Prepared, Request
from exitdrill.drill import JOURNAL, run
from exitdrill.scenario import (
    BackendSpec,
    CheckerSpec,
    GateSpec,
    ReplaySpec,
    Scenario,
)
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import Answer, Error, ScriptedBackend, last_user_text

Say = Callable[[Request], Answer | str]
Settings = Any
"""A dictionary or None; not typed as such, so that ``**backends`` may follow."""


def right(request: Request) -> Answer:
    """The answer that the case expects."""
    return Answer(
        text="a" + last_user_text(request.body)[1:], chunks=2, input_tokens=5, output_tokens=3
    )


def late(seconds: float, say: Say = right) -> Say:
    """The same, after a while."""

    def answer(request: Request) -> Answer:
        said = say(request)
        said = Answer(text=said) if isinstance(said, str) else said
        return said.model_copy(update={"first_after": seconds})

    return answer


def failing(kind: str, message: str = "no", **more: Any) -> Say:
    """Nothing but this error; ``#`` in the message is a number that never comes twice."""
    count = iter(range(1_000_000))

    def answer(request: Request) -> Answer:
        text = message.replace("#", str(next(count)))
        return Answer(error=Error(kind=kind, message=text, **more))  # type: ignore[arg-type]  # a kind

    return answer


def in_turn(*says: Say | str) -> Say:
    """The first answer first, and so on; the last for ever."""
    waiting = list(says)

    def answer(request: Request) -> Answer | str:
        say = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return say if isinstance(say, str) else say(request)

    return answer


def request(number: int | str = 0, **body: Any) -> Request:
    """The request of a case."""
    messages = [{"role": "user", "content": f"q{number}"}]
    return Request("chat", {"messages": messages, "max_tokens": 20, **body})


def cases(count: int, arrivals: Sequence[float] | None = None) -> CaseList:
    """Cases whose right answer is known."""
    return CaseList(
        [
            Case(
                f"c{number}",
                request(number),
                checker="exact",
                expected=f"a{number}",
                arrival=arrivals[number] if arrivals else None,
            )
            for number in range(count)
        ]
    )


@dataclass
class Call:
    """A call that was really made; times on the monotonic clock."""

    arm: str
    user: str
    began: int
    ended: int | None = None


@dataclass
class Log:
    """Every call that reached a backend of this log, in order."""

    calls: list[Call] = field(default_factory=list)

    def adapter(
        self,
        say: Say = right,
        edit: Callable[[Request], tuple[Edit, ...]] = lambda _: (),
        local: bool = True,
    ) -> Adapter:
        """An adapter whose backend writes down each call."""

        def script(request: Request) -> Answer:
            said = say(request)
            return Answer(text=said) if isinstance(said, str) else said

        def adapter(config: BackendConfig) -> ScriptedBackend:
            return Logged(config, script, edit, local=local, log=self)

        return adapter

    def of(self, arm: str) -> list[Call]:
        """The calls of one arm."""
        return [call for call in self.calls if call.arm == arm]

    def users(self, arm: str) -> list[str]:
        """What one arm was asked, in order."""
        return [call.user for call in self.of(arm)]

    def most_at_once(self, arm: str) -> int:
        """How many calls of an arm were under way at the same time."""
        steps = [(call.began, 1) for call in self.of(arm)]
        steps += [(call.ended, -1) for call in self.of(arm) if call.ended is not None]
        now = most = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most


class Logged(ScriptedBackend):
    """A scripted backend that writes down each call."""

    def __init__(self, config: BackendConfig, *script: Any, log: Log, local: bool) -> None:
        super().__init__(config, *script, local=local)
        self._name, self._log = config.name, log

    async def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        user = last_user_text(prepared.request.body)
        call = Call(self._name, user, time.monotonic_ns())
        self._log.calls.append(call)
        try:
            async for event in super().stream(prepared):
                yield event
        finally:
            call.ended = time.monotonic_ns()


def scenario(
    workload: CaseList | int = 10,
    replay: Settings = None,
    spec: Settings = None,
    more: Settings = None,
    **backends: Adapter | BackendSpec,
) -> Scenario:
    """A scenario; the first backend is the incumbent. ``spec`` goes to every backend."""
    names = list(backends)
    return Scenario(
        name="mini",
        incumbent=names[0],
        candidates=names[1:],
        backends={
            name: backend
            if isinstance(backend, BackendSpec)
            else BackendSpec(adapter=backend, model=f"model-{name}", **(spec or {}))
            for name, backend in backends.items()
        },
        workload=cases(workload) if isinstance(workload, int) else workload,
        checkers={"exact": CheckerSpec(type="exact")},
        gates=[GateSpec(measure="success", margin=0.5)],
        replay=ReplaySpec(**{"warmup": 0, **(replay or {})}),
        **(more or {}),
    )


def rows(folder: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a query finds in a drill's journal."""
    with closing(sqlite3.connect(folder / JOURNAL)) as connection:
        return list(connection.execute(sql, parameters))


def case_lines(folder: Path) -> list[dict[str, Any]]:
    """The rows of cases.jsonl."""
    with (folder / "cases.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


TIMINGS = {"latency", "cost", "distributions", "volume", "delay"}
SPENT = {"id", "started", "ended", "repeated", "spend"}


def timeless(report: dict[str, Any]) -> dict[str, Any]:
    """A report without times, spend, and what a repeated trial leaves behind."""
    report = json.loads(json.dumps(report))
    for key in SPENT:
        report["drill"].pop(key)
    for arm in [report["incumbent"], *report["candidates"]]:
        for key in TIMINGS & arm.keys():
            arm.pop(key)
    return report


# --- drills to be killed --------------------------------------------------------------------------


def killable(asked: Path, count: int = 48, seconds: float = 0.004) -> Scenario:
    """A drill with answers, failures after retries, rejections; ``asked`` gets a line per call."""
    descriptor = os.open(asked, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(arm: str) -> Say:
        def answer(request: Request) -> Answer | str:
            user = last_user_text(request.body)
            os.write(descriptor, f"{arm} {user}\n".encode())
            if user.endswith("3"):
                return Answer(error=Error(kind="overloaded", message="busy", retry_after=0.001))
            if arm == "bad" and user.endswith("7"):
                return Answer(text="wrong", first_after=seconds)
            return late(seconds)(request)

        return answer

    def edit(request: Request) -> tuple[Edit, ...]:
        rejected = last_user_text(request.body).endswith("5")
        return (Edit("drop", "/seed", "it has none"),) if rejected else ()

    log = Log()
    return scenario(
        count,
        {"block": 16, "attempts": 3, "warmup": 1},
        old=log.adapter(say("old")),
        new=log.adapter(say("new"), edit),
        bad=log.adapter(say("bad")),
    )


@dataclass(frozen=True)
class Ended:
    """How a forked drill ended: its exit code, or the signal that killed it (negative)."""

    code: int
    error: str


class DrillServer:
    """Forks drills in a process that has imported everything already."""

    def __enter__(self) -> DrillServer:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=30)

    def drill(
        self,
        folder: Path,
        *,
        resume: bool = False,
        kill_after: float | Callable[[], bool] | None = None,
        with_signal: int = signal.SIGKILL,
        **options: Any,
    ) -> Ended:
        """Run `killable` in a folder, or resume it; kill it after so many seconds, or when due."""
        order = {"folder": str(folder), "resume": resume, **options}
        assert self._process.stdin
        print(json.dumps(order), file=self._process.stdin, flush=True)
        pid = int(self._read()["pid"])
        if kill_after is not None:
            if callable(kill_after):
                while not kill_after():
                    time.sleep(0.005)
            else:
                time.sleep(kill_after)
            os.kill(pid, with_signal)  # not reaped before our next order, so it is still ours
        print("wait", file=self._process.stdin, flush=True)
        ended = self._read()
        return Ended(ended["code"], ended["error"])

    def _read(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    with tempfile.TemporaryDirectory() as folder:  # imports whatever a drill imports
        run(killable(Path(folder) / "asked", 2), out=Path(folder) / "drill")
    _tell(ready=True)
    for line in _lines():
        order = json.loads(line)
        errors = Path(order["folder"]).with_suffix(".errors")
        pid = os.fork()
        if pid == 0:
            os._exit(_forked(order, errors))
        _tell(pid=pid)
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        error = errors.read_text() if errors.exists() else ""
        _tell(code=os.waitstatus_to_exitcode(status), error=error)


def _tell(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _lines() -> Iterator[str]:
    while line := sys.stdin.readline():
        yield line


def _forked(order: dict[str, Any], errors: Path) -> int:
    from exitdrill.errors import DrillStopped, UsageError

    folder = Path(order["folder"])
    errors.unlink(missing_ok=True)
    drilled = killable(folder.with_suffix(".asked"), *order.get("killable", ()))
    if limit := order.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        if order["resume"]:
            return run(drilled, resume=folder).exit_code
        return run(drilled, out=folder).exit_code
    except KeyboardInterrupt:
        return 130
    except (DrillStopped, UsageError) as error:
        errors.write_text(f"{type(error).__name__}: {error}")
        return 4 if isinstance(error, DrillStopped) else 2
    except BaseException:
        import traceback

        errors.write_text(traceback.format_exc())
        return 70


if __name__ == "__main__":
    _serve()
