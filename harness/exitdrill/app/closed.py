"""Runs a command that can connect over TCP to some ports only: by Landlock, since Linux 6.7.

    python -I closed.py PORT PORT… -- COMMAND…

Of hosts Landlock knows nothing: a port is open wherever it is. UDP (names are looked up by it) and
sockets in the file system stay free. Like `confine` it imports nothing but the standard library;
both stand one behind the other before a command.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_NET_PORT = 2
CONNECT_TCP = 1 << 1
PR_SET_NO_NEW_PRIVS = 38
LEAST_VERSION = 4
"""Of Landlock's interface."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


def close(ports: Sequence[int]) -> None:
    """Let this process, and all that it starts, connect to these ports only. Raises `OSError`."""
    ruleset = _Ruleset(0, CONNECT_TCP)
    rules = _system(CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    for port in ports:
        rule = _NetPort(CONNECT_TCP, port)
        _system(ADD_RULE, rules, RULE_NET_PORT, ctypes.byref(rule), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    _system(RESTRICT_SELF, rules, 0)
    os.close(rules)


def _system(number: int, *arguments: object) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    plain = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = int(call(ctypes.c_long(number), *plain))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def command_of(ports: Sequence[int]) -> list[str]:
    """What to put before a command that may connect to these ports only."""
    script = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", script, *map(str, ports), "--"]


def main(arguments: list[str]) -> int:
    """Close this process's ways, and become the command."""
    at = arguments.index("--")
    try:
        close([int(port) for port in arguments[:at]])
    except OSError as error:
        sys.stderr.write(f"its connections could not be closed: {error}\n")
        return 126
    command = arguments[at + 1 :]
    try:
        os.execvp(command[0], command)  # noqa: S606  # as the scenario says, without a shell
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]!r}: {error.strerror or error}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
