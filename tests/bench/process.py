"""Whole processes, from their start to their end: wall time, CPU time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import loopback

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VERDICTS = (0, 1, 3)
"""The exit codes of a drill that could be completed."""
LIMIT = 600.0
"""Seconds that one process may take."""


class BenchmarkError(Exception):
    """A benchmark that could not be run."""


@dataclass(frozen=True)
class Ran:
    """What a process took. ``began`` and ``ended`` are seconds since the epoch; ``peak`` bytes.

    ``said`` is the end of what it wrote.
    """

    wall: float
    cpu: float
    peak: int
    began: float
    ended: float
    said: str = ""


def run(
    command: Sequence[str | Path],
    *,
    codes: Sequence[int] = (0,),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: float = LIMIT,
) -> Ran:
    """Run a command to its end; its CPU time is user and system, with that of its children.

    Raises `BenchmarkError`, with what it said last, where its exit code is another, or where it
    takes longer than ``limit`` seconds.
    """
    with tempfile.TemporaryFile() as said:
        began, start = time.time(), time.monotonic()
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            timer.cancel()
        wall, ended = time.monotonic() - start, time.time()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        tail = said.read()[-2000:].decode(errors="replace").strip()
        if process.returncode not in codes:
            words = " ".join(map(str, command))
            raise BenchmarkError(f"{words}\nended with {process.returncode}:\n{tail}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit, began, ended, tail)


def alternate(
    pairs: int, ours: Callable[[], Ran], reference: Callable[[], Ran]
) -> tuple[list[Ran], list[Ran]]:
    """A B A B …, so that what slows the machine down meets both; one of each is thrown away
    first, for the disk's cache and the compiled modules."""
    ours()
    reference()
    both = [(ours(), reference()) for _ in range(pairs)]
    return [pair[0] for pair in both], [pair[1] for pair in both]


def drill(folder: Path, option: str, out: Path) -> Ran:
    """`exitdrill run`, the real command, quiet; the option is ``--out`` or ``--resume``."""
    command = [sys.executable, "-m", "exitdrill", "run", str(folder), "--quiet", option, str(out)]
    return run(command, codes=VERDICTS)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="exitdrill-bench-") as name:
        yield Path(name)


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """A `loopback` server in a process of its own; the URL of its API."""
    with beside("loopback.py", *options) as port:
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def beside(script: str, *arguments: str) -> Iterator[str]:
    """A script of this folder in a process of its own, which ends with the block; what it says
    first."""
    process = subprocess.Popen(
        [sys.executable, "-P", HERE / script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        if not said:
            raise BenchmarkError(f"{script} did not start")
        yield said
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def log_of(url: str) -> list[loopback.Note]:
    """What the server at a URL knows of every answer, in the order of their first tokens."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/log", timeout=30) as answer:
        rows: list[list[Any]] = json.load(answer)
    return [
        (str(model), str(said), int(received), int(written))
        for model, said, received, written in rows
    ]
