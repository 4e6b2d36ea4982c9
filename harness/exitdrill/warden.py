"""The warden: a tiny process between the drill and a server that it started.

    drill ── pipe on standard input ──> warden ──> server ──> whatever the server starts

It runs the server's command in a session of its own and ends it, with everything that it started,
when the drill says so or is gone, however the drill ended: the pipe closes even after ``kill -9``.
Then the warden sends SIGTERM, and after a grace period SIGKILL. It ends when the server has ended,
with the server's exit code (128 + n after signal n, as in a shell).

Platforms. On macOS and other POSIX systems the server's process group is ended; a descendant that
made a session of its own escapes. On Linux such descendants are found too, because the orphans of
the server are handed to the warden (PR_SET_CHILD_SUBREAPER), and the server dies with a warden that
was itself killed (PR_SET_PDEATHSIG). A server that runs elsewhere, such as a container started
through a daemon, is not a descendant: its command must stay in the foreground and end it.

Run as ``python -I warden.py [--streams=IN,OUT,ERR] GRACE COMMAND…``; it imports nothing but the
standard library, so that it starts in milliseconds. With the numbers of three open files, those are
the standard streams of what it runs; else there is no input, and all output is its own errors.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.1
"""How often the warden looks whether the server or the drill has ended."""
KILL_SECONDS = 10.0
"""How long SIGKILL is repeated; what is left then cannot be killed (a broken disk, say)."""


def main(arguments: list[str]) -> int:
    """Run the command until it ends, or until the drill is gone or says so."""
    streams = _streams(arguments)
    grace, command = float(arguments[0]), arguments[1:]
    drill = os.getppid()
    told = _listen_to_signals()
    ended = _wake_when_a_child_ends()
    prctl = _load_prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = _launch(command, prctl, streams)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]!r}: {error.strerror or error}\n")
        return 127
    sys.stdout.write(f"{server.pid}\n")  # for the drill, should the warden be killed
    sys.stdout.flush()
    while server.returncode is None and not told and not _drill_is_gone(drill, ended):
        _reap(server)
    if server.returncode is None:
        _end(server, signal.SIGTERM, grace)
    _end(server, signal.SIGKILL, KILL_SECONDS)
    code = server.returncode
    if code is None:
        return 1
    return code if code >= 0 else 128 - code


def _streams(arguments: list[str]) -> list[int]:
    """The files that the command gets as its standard streams; none by default."""
    if not arguments[0].startswith("--streams="):
        return []
    return [int(number) for number in arguments.pop(0).partition("=")[2].split(",")]


def _wake_when_a_child_ends() -> int:
    """A pipe that can be read from when a child ended."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _listen_to_signals() -> list[int]:
    """The list that SIGTERM and SIGHUP are noted in.

    SIGINT goes unheard: a Ctrl-C reaches a whole terminal, and it is for the drill to say in which
    order things end. A handler, unlike SIG_IGN, is not passed on to the server.
    """
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, lambda *_: None)
    return told


def _load_prctl() -> Callable[[int, int], object]:
    """Linux's prctl; elsewhere a function that does nothing."""
    if not LINUX:
        return lambda option, value: None
    function = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: function(option, ctypes.c_ulong(value), 0, 0, 0)


def _launch(
    command: list[str], prctl: Callable[[int, int], object], streams: list[int]
) -> subprocess.Popen[bytes]:
    warden = os.getpid()
    given, out, errors = streams or (subprocess.DEVNULL, sys.stderr, sys.stderr)

    def die_with_the_warden() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != warden:  # it died before it could be tied to us
            os._exit(1)

    started = subprocess.Popen(
        command,
        stdin=given,
        stdout=out,
        stderr=errors,
        start_new_session=True,
        preexec_fn=die_with_the_warden,  # noqa: PLW1509  (this process has no threads)
    )
    for stream in streams:  # whoever reads the other end waits for the last one that has it open
        os.close(stream)
    return started


def _drill_is_gone(drill: int, ended: int) -> bool:
    """Wait a moment, or until a child ended; whether the drill ended, or wrote or closed the pipe.

    Its process id is looked at as well, because a child that the drill forked may hold the pipe
    open for longer than the drill lives.
    """
    readable, _, _ = select.select([0, ended], [], [], LOOK_SECONDS)
    if ended in readable:
        os.read(ended, 4096)
    return 0 in readable or os.getppid() != drill


def _reap(server: subprocess.Popen[bytes]) -> bool:
    """Take note of children that ended; whether any child is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            if pid == server.pid:
                server.returncode = os.waitstatus_to_exitcode(status)
    return False


def _end(server: subprocess.Popen[bytes], number: signal.Signals, seconds: float) -> None:
    """Send a signal to all that is left, until nothing is or the time is up.

    SIGTERM once (servers take the second one for "at once"); SIGKILL again and again, because
    what dies may have started something after we looked.
    """
    deadline = time.monotonic() + seconds
    _signal_all(server.pid, number)
    while _reap(server) and time.monotonic() < deadline:
        time.sleep(0.02)
        if number == signal.SIGKILL:
            _signal_all(server.pid, number)


def _signal_all(group: int, number: signal.Signals) -> None:
    # macOS answers EPERM for a group of nothing but zombies
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != group:
                os.kill(pid, number)


def _descendants(ancestor: int) -> list[int]:
    """All processes below one, by /proc; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat") if LINUX else ():
        with contextlib.suppress(OSError):
            # "pid (name) state parent …", where the name may hold spaces and parentheses
            parent = int(entry.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found = list(children.get(ancestor, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
