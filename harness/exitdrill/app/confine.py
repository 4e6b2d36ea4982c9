"""Runs a command that can write only where it may: by Landlock, which Linux has since 5.13.

    python -I confine.py BYTES FOLDER FOLDER… -- COMMAND…

Reading, running programs and the network stay free; beside the folders, the command and all that
it starts can write to ``/dev/null`` and the like, and to what it was handed open. From Landlock's
sixth version on it cannot send signals to others either. Where that cannot be had, it is not run.
Without any folder it may write everywhere.

Files in ``/dev/shm`` are free as well: POSIX semaphores and shared memory are made of them, without
which no process pool of Python's works. So shared memory is not contained, and what a command
leaves there stays. It can make no terminals: those of others lie in one folder with its own.

No file can be made larger than so many bytes: who tries is sent SIGXFSZ. There are no core dumps.

The numbers are those of ``linux/landlock.h``, the same on every architecture. Nothing but the
standard library is imported, as it runs before every command.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_OF_ABI = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

WRITE_FILE, REFER, TRUNCATE = 1 << 1, 1 << 13, 1 << 14
MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
REMOVE_FILE, MAKE_FILE = 1 << 5, 1 << 8
SCOPE_SIGNAL = 1 << 1
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
SHARED_MEMORY = "/dev/shm"  # noqa: S108


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        return max(_system(CREATE_RULESET, None, 0, VERSION_OF_ABI), 0)
    except (OSError, AttributeError):
        return 0


def confine(folders: list[str], version: int) -> None:
    """Let this process, and all that it starts, write only there. Raises `OSError`."""
    files = WRITE_FILE | (TRUNCATE if version >= 3 else 0)
    rights = files | MAKE_AND_REMOVE | (REFER if version >= 2 else 0)
    ruleset = _Ruleset(rights, 0, SCOPE_SIGNAL if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _checked(_system(CREATE_RULESET, ctypes.byref(ruleset), size, 0))
    for folder in folders:
        _allow(rules, folder, rights)
    for device in filter(os.path.exists, DEVICES):
        _allow(rules, device, files)
    if os.path.isdir(SHARED_MEMORY):
        _allow(rules, SHARED_MEMORY, files | REMOVE_FILE | MAKE_FILE)
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    _checked(_system(RESTRICT_SELF, rules, 0))
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights, place)
        _checked(_system(ADD_RULE, rules, RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(place)


def _system(number: int, *arguments: object) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    plain = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return int(call(ctypes.c_long(number), *plain))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def limit(largest: int) -> None:
    """Let this process, and all that it starts, make no larger files. Raises `OSError`."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    largest = largest if most == resource.RLIM_INFINITY else min(largest, most)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGXFSZ, signal.SIGPIPE):  # Python ignores them, and so would the command
        signal.signal(number, signal.SIG_DFL)


def command_of(folders: list[Path], largest: int) -> list[str]:
    """What to put before a command that may write to these folders only, no file larger than that;
    without any folder, everywhere."""
    script, places = str(Path(__file__).resolve()), [str(folder) for folder in folders]
    return [sys.executable, "-I", "-S", script, str(largest), *places, "--"]


def main(arguments: list[str]) -> int:
    """Confine this process, and become the command."""
    at = arguments.index("--")
    folders, command = arguments[1:at], arguments[at + 1 :]
    try:
        limit(int(arguments[0]))
        if folders:
            confine(folders, landlock_version())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"it could not be contained: {error}\n")
        return 126
    try:
        os.execvp(command[0], command)  # noqa: S606  # as the scenario says, without a shell
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]!r}: {error.strerror or error}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
