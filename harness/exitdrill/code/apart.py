"""The comparison in a process of its own, with limits: no file of an app may end a drill."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from exitdrill.code.comparison import CodeChange, compare

SECONDS = 300
MEMORY = 4 * 2**30
"""Bytes of address space that the comparison may use."""


def compare_apart(before: Path, after: Path) -> CodeChange:
    """`compare`, as a child process. Where that takes too long, or dies, nothing is measured."""
    command = [sys.executable, "-P", "-m", "exitdrill.code", str(before), str(after)]
    with tempfile.TemporaryDirectory(prefix="exitdrill-") as folder:
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return CodeChange(problem=f"comparing the code took longer than {SECONDS} s")
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().split("\n")
        return CodeChange(problem=f"comparing the code failed: {lines[-1]}"[:300])
    return CodeChange.from_json(json.loads(done.stdout))


def main() -> int:
    """The child: two folders in, JSON out."""
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        with contextlib.suppress(ValueError, OSError):  # the limit is lower already, or has no use
            resource.setrlimit(kind, (limit, limit))
    before, after = (Path(argument).resolve() for argument in sys.argv[1:3])
    sys.stdout.write(json.dumps(compare(before, after).to_json()))
    return 0
