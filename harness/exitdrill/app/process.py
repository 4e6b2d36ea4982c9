"""One run of a command to its end: its input, its time, its output, all of it bounded.

The warden runs it (`exitdrill.warden`): with it end all that it started, also when the drill is
killed. Where the platform has Landlock it can write to its own folders only (`confine`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exitdrill.app.closed import command_of as closed_to_others
from exitdrill.app.confine import command_of, landlock_version
from exitdrill.app.disk import BY_RUNNING, Disk
from exitdrill.server import STOP_MARGIN, TAIL_LINES, WARDEN, describe_exit, find_program

MOST_OUTPUT = 1_000_000
"""Bytes of an answer; what writes more is a flood."""
MOST_ERRORS = 16_000_000
"""Bytes on standard error, of which only the end is kept."""
TAIL_BYTES = 4_000
GRACE_SECONDS = 1.0
_CHUNK = 65_536

Why = Literal["itself", "timeout", "flood", "filled", "stopped"]
"""``flood``: of its output; ``filled``: of its folders."""
FLOOD = (
    f"the app wrote more than {MOST_OUTPUT / 1e6:g} MB, or than {MOST_ERRORS / 1e6:g} MB on "
    "standard error, and was ended"
)
FILLED = "the app wrote more to its folders than it may, and was ended"
TOO_LARGE = 128 + signal.SIGXFSZ
"""The exit code of what would have made a file larger than it may be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command runs: its folder, its environment, and the folders that it may write to, no
    file larger than ``largest`` bytes."""

    folder: Path
    environment: Mapping[str, str]
    writable: Sequence[Path]
    largest: int = BY_RUNNING.bytes
    ports: Sequence[int] | None = None
    """That it may connect to; None: any."""

    @property
    def prefix(self) -> list[str]:
        """What keeps a command in its bounds, and in its folders where the platform offers that."""
        closed = [] if self.ports is None else closed_to_others(self.ports)
        return closed + command_of(list(self.writable) if contained() else [], self.largest)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: by itself with its exit code, or ended by us, and why.

    ``seconds`` is until its output was whole, ``errors`` the end of its standard error.
    """

    why: Why
    code: int
    output: bytes
    errors: str
    seconds: float

    @property
    def exit(self) -> str:
        """The exit code, in words."""
        return describe_exit(self.code)


def contained() -> bool:
    """Whether a command can be kept from writing elsewhere."""
    return landlock_version() > 0


def given_to(value: Any) -> bytes:
    """An input as a command gets it: a text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def words(command: Sequence[str], place: Place) -> list[str]:
    """A scenario's command with ``{python}`` filled in, and its program found.

    Raises `ServerFailed` where there is no such program.
    """
    filled = [word.replace("{python}", sys.executable) for word in command]
    return [find_program(filled[0], place.environment), *filled[1:]]


async def run(
    command: Sequence[str],
    data: bytes,
    place: Place,
    seconds: float,
    stop: asyncio.Event | None = None,
    disks: Sequence[Disk] = (),
) -> Ended:
    """Run a command until it ends, or for so many seconds, or until ``stop`` is set, or too much
    was written to one of its ``disks``.

    It, and all that it started, has ended when this returns, or raises.
    """
    with _streams(data) as (given, out, errors):
        began = time.monotonic()
        warden = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(WARDEN)),
            f"--streams={given},{out.theirs},{errors.theirs}",
            *(str(GRACE_SECONDS), *place.prefix, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors.theirs,
            cwd=place.folder,
            env=dict(place.environment),
            pass_fds=(given, out.theirs, errors.theirs),
            start_new_session=True,
        )
        out.hand_over()
        errors.hand_over()
        said, complained = _Heard(MOST_OUTPUT, MOST_OUTPUT), _Heard(TAIL_BYTES, MOST_ERRORS)
        reading = asyncio.gather(said.read(out), complained.read(errors))
        try:
            why = await _wait(warden, (said, complained), seconds, stop, disks)
        finally:
            await _end(warden)
            await asyncio.wait({reading}, timeout=STOP_MARGIN)
            reading.cancel()
    ended = said.ended or time.monotonic()
    code = warden.returncode or 0
    return Ended(why, code, said.kept, _last_lines(complained.kept), ended - began)


async def _wait(
    warden: Process,
    heard: Sequence[_Heard],
    seconds: float,
    stop: asyncio.Event | None,
    disks: Sequence[Disk],
) -> Why:
    """Wait for what comes first."""
    ended = asyncio.create_task(warden.wait())
    flooded = [asyncio.create_task(each.too_much.wait()) for each in heard]
    stopped = asyncio.create_task((stop or asyncio.Event()).wait())
    filled = {asyncio.create_task(disk.filled()) for disk in disks}
    every = {ended, *flooded, stopped, *filled}
    try:
        done, _ = await asyncio.wait(every, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in every:
            task.cancel()
    if stopped in done:
        return "stopped"
    if done & {*flooded}:
        return "flood"
    if done & filled:
        return "filled"
    return "itself" if ended in done else "timeout"


async def _end(warden: Process) -> None:
    """Have the warden end all that is left, and wait for that."""
    assert warden.stdin is not None
    with contextlib.suppress(OSError, RuntimeError):  # it has ended
        warden.stdin.write(b"\n")
        warden.stdin.close()
    try:
        await asyncio.wait_for(warden.wait(), GRACE_SECONDS + STOP_MARGIN)
    except TimeoutError:
        warden.kill()
        await warden.wait()


class _Pipe:
    """A pipe whose one end is theirs, and is closed here once they have it."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.pipe()
        self._open = {self.ours, self.theirs}

    def hand_over(self) -> None:
        self._close(self.theirs)

    def taken(self) -> int:
        """Our end, for somebody else to close."""
        self._open.discard(self.ours)
        return self.ours

    def close(self) -> None:
        self._close(self.ours)
        self._close(self.theirs)

    def _close(self, number: int) -> None:
        if number in self._open:
            self._open.discard(number)
            os.close(number)


@contextlib.contextmanager
def _streams(data: bytes) -> Iterator[tuple[int, _Pipe, _Pipe]]:
    """The standard streams of a command. Its input is a file: nobody waits until it was read."""
    with contextlib.ExitStack() as stack:
        file, name = tempfile.mkstemp(prefix="exitdrill-")
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
        given = os.open(name, os.O_RDONLY)  # and not to be written to
        os.unlink(name)
        stack.callback(os.close, given)
        pipes = _Pipe(), _Pipe()
        for pipe in pipes:
            stack.callback(pipe.close)
        yield given, *pipes


class _Heard:
    """What comes through a pipe: the last bytes of it, until it is too much."""

    def __init__(self, keep: int, most: int) -> None:
        self._keep, self._most = keep, most
        self._bytes = bytearray()
        self._size = 0
        self.too_much = asyncio.Event()
        self.ended: float | None = None

    @property
    def kept(self) -> bytes:
        return bytes(self._bytes[-self._keep :])

    async def read(self, pipe: _Pipe) -> None:
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        file = os.fdopen(pipe.taken(), "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
        try:
            while chunk := await reader.read(_CHUNK):
                self._take(chunk)
        finally:
            self.ended = time.monotonic()
            transport.close()

    def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            self.too_much.set()
            return  # read on, so that it does not hang before it is ended
        self._bytes += chunk
        if len(self._bytes) > 2 * self._keep:
            del self._bytes[: -self._keep]


def _last_lines(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-TAIL_LINES:])
